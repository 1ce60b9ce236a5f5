//! SASL with the mechanism GSSAPI (RFC 4752) as a client: Kerberos, mutual authentication, and then
//! either a layer that seals all that follows, or none where TLS does that. Layers that only sign
//! are never chosen.
//!
//! ```text
//! client                                    server
//! Client::begin: a token              ->
//!                                     <-    its proof: Client::proved
//! nothing                             ->
//!                                     <-    the layers it has: Proved::choose
//! the layer, and how long frames be   ->
//! ```

use crate::NegotiateError;
use crate::acceptor::{check_length, end_point};
use crate::ffi::{Context, Credential, Name, Progress, Purpose};
use crate::tickets::{Tickets, check_target, refusal};

/// What protects the messages after signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// The layer of the exchange itself.
    Sealing,
    /// The TLS channel that the exchange runs in.
    Tls {
        /// The hash of the server's certificate, see [`crate::end_point_hash`].
        end_point: Option<Vec<u8>>,
    },
}

/// A client that has sent its token.
pub struct Client {
    credential: Credential,
    target: Name,
    context: Context,
    protection: Protection,
}

/// A client to whom the server has proved who it is.
pub struct Proved {
    context: Context,
    protection: Protection,
}

/// What client and server agreed on, once the server accepts the client's last message.
pub struct Agreed {
    /// The layer, if the exchange was to have one.
    pub layer: Option<SecurityLayer>,
    /// Who signed in, `svc-rms@CORP.EXAMPLE`.
    pub principal: String,
}

/// Seals messages, and opens those of the server in the order in which they were sealed.
pub struct SecurityLayer {
    context: Context,
    longest: usize,
}

impl Protection {
    fn purpose(&self) -> Purpose {
        match self {
            Self::Sealing => Purpose::Seal,
            Self::Tls { .. } => Purpose::SignIn,
        }
    }

    fn bindings(&self) -> Option<Vec<u8>> {
        match self {
            Self::Sealing => None,
            Self::Tls { end_point: hash } => hash.as_deref().map(end_point),
        }
    }
}

impl Client {
    /// Begins to sign in at a service, `ldap@host.name`, and makes the first token. Blocks on the
    /// KDC.
    pub fn begin(
        tickets: &Tickets,
        target: &str,
        protection: Protection,
    ) -> Result<(Self, Vec<u8>), NegotiateError> {
        check_target(target)?;
        let mut client = Self {
            credential: tickets.credential(protection.purpose())?,
            target: tickets.target(target)?,
            context: tickets.context(),
            protection,
        };
        let token = client.step(None)?.token.ok_or(NegotiateError::OutOfOrder)?;
        Ok((client, token))
    }

    /// Checks the server's proof. The client answers with nothing.
    pub fn proved(mut self, proof: &[u8]) -> Result<Proved, NegotiateError> {
        check_length(proof)?;
        let progress = self.step(Some(proof))?;
        if !progress.done || progress.token.is_some() {
            return Err(NegotiateError::MoreLegs);
        }
        if !progress.proved {
            return Err(NegotiateError::NotMutual);
        }
        Ok(Proved {
            context: self.context,
            protection: self.protection,
        })
    }

    fn step(&mut self, reply: Option<&[u8]>) -> Result<Progress, NegotiateError> {
        let bindings = self.protection.bindings();
        self.context
            .step(
                &self.credential,
                &self.target,
                self.protection.purpose(),
                reply,
                bindings.as_deref(),
            )
            .map_err(refusal)
    }
}

impl Proved {
    /// Chooses among the layers that the server offers. Gives the client's last message.
    pub fn choose(mut self, offer: &[u8]) -> Result<(Vec<u8>, Agreed), NegotiateError> {
        check_length(offer)?;
        // Only signed: what is agreed on here need not be secret.
        let offer = self.context.unwrap(offer).map_err(refusal)?.message;
        let offer = LayerOffer::read(&offer)?;
        let answer = offer.answer(&self.protection)?;
        let principal = self
            .context
            .initiator()
            .and_then(|name| name.display())
            .map_err(refusal)?;
        let principal = String::from_utf8(principal).map_err(|_| NegotiateError::PrincipalName)?;
        let last = self.context.wrap(&answer, false).map_err(refusal)?;
        let last = last.ok_or(NegotiateError::Unsealed)?;
        let layer = match self.protection {
            Protection::Tls { .. } => None,
            Protection::Sealing => Some(SecurityLayer::new(self.context, offer.longest)?),
        };
        Ok((last, Agreed { layer, principal }))
    }
}

impl SecurityLayer {
    fn new(mut context: Context, longest_frame: u32) -> Result<Self, NegotiateError> {
        let longest = context.longest_sealed(longest_frame).map_err(refusal)?;
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        if longest == 0 {
            return Err(NegotiateError::LayerOffer);
        }
        Ok(Self { context, longest })
    }

    /// The longest message that one frame holds, in bytes; at least 1.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Makes a frame of a message of at most [`SecurityLayer::longest`] bytes, its length in front
    /// (RFC 4422 3.7).
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, NegotiateError> {
        let token = self.context.wrap(message, true).map_err(refusal)?;
        let token = token.ok_or(NegotiateError::Unsealed)?;
        let length = u32::try_from(token.len());
        let length = length.map_err(|_| NegotiateError::FrameLength {
            length: token.len(),
        })?;
        Ok([&length.to_be_bytes(), token.as_slice()].concat())
    }

    /// Opens the server's next frame, without its length. After an error nothing that comes can be
    /// believed, and the connection is to be closed.
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, NegotiateError> {
        let unwrapped = self.context.unwrap(frame).map_err(refusal)?;
        if unwrapped.sealed {
            Ok(unwrapped.message)
        } else {
            Err(NegotiateError::Unsealed)
        }
    }
}

/// How many bytes follow the four that a frame begins with (RFC 4422 3.7): no more than the server
/// was told that it may send.
pub fn frame_length(prefix: [u8; 4]) -> Result<usize, NegotiateError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if (1..=LONGEST_FRAME as usize).contains(&length) {
        Ok(length)
    } else {
        Err(NegotiateError::FrameLength { length })
    }
}

/// What the server offers (RFC 4752 3.1, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LayerOffer {
    layers: u8,
    /// The longest frame that it takes, in bytes.
    longest: u32,
}

impl LayerOffer {
    fn read(offer: &[u8]) -> Result<Self, NegotiateError> {
        let [layers, a, b, c] = *offer else {
            return Err(NegotiateError::LayerOffer);
        };
        Ok(Self {
            layers,
            longest: u32::from_be_bytes([0, a, b, c]),
        })
    }

    /// The layer chosen and the longest frame taken. No identity follows: whose ticket it is, is
    /// who signs in.
    fn answer(self, protection: &Protection) -> Result<[u8; 4], NegotiateError> {
        let (layer, longest, missing) = match protection {
            Protection::Sealing => (SEAL, LONGEST_FRAME, NegotiateError::NoSealing),
            Protection::Tls { .. } => (NO_LAYER, 0, NegotiateError::LayerForced),
        };
        if self.layers & layer == 0 {
            return Err(missing);
        }
        let [_, a, b, c] = longest.to_be_bytes();
        Ok([layer, a, b, c])
    }
}

/// The most that can be said in three bytes: not every server minds what it is told.
const LONGEST_FRAME: u32 = 0x00FF_FFFF;
const NO_LAYER: u8 = 1;
const SEAL: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: Protection = Protection::Tls { end_point: None };

    #[test]
    fn a_server_without_encryption_is_refused() {
        // None; signing; both.
        for layers in [0, 1, 2, 3, 0xF8, 0xFB] {
            let offer = LayerOffer::read(&[layers, 1, 0, 0]).unwrap();
            let error = offer.answer(&Protection::Sealing).unwrap_err();
            assert!(matches!(error, NegotiateError::NoSealing), "{layers}");
        }
        for layers in [4, 5, 7, 0xFF] {
            let offer = LayerOffer::read(&[layers, 1, 0, 0]).unwrap();
            let answer = offer.answer(&Protection::Sealing).unwrap();
            assert_eq!(answer, [4, 0xFF, 0xFF, 0xFF]);
        }
    }

    #[test]
    fn inside_tls_no_layer_is_chosen() {
        for layers in [1, 3, 7] {
            let offer = LayerOffer::read(&[layers, 0, 0, 0]).unwrap();
            assert_eq!(offer.answer(&TLS).unwrap(), [1, 0, 0, 0]);
        }
        let offer = LayerOffer::read(&[6, 1, 0, 0]).unwrap();
        let error = offer.answer(&TLS).unwrap_err();
        assert!(matches!(error, NegotiateError::LayerForced));
    }

    #[test]
    fn an_offer_is_four_bytes() {
        for length in [0, 1, 3, 5, 1000] {
            let error = LayerOffer::read(&vec![7; length]).unwrap_err();
            assert!(matches!(error, NegotiateError::LayerOffer), "{length}");
        }
        let offer = LayerOffer::read(&[7, 0xFF, 0xFF, 0xFF]).unwrap();
        assert_eq!(offer.longest, 0x00FF_FFFF);
    }

    #[test]
    fn a_frame_is_neither_empty_nor_longer_than_was_said() {
        for length in [0, LONGEST_FRAME + 1, 0x7FFF_FFFF, u32::MAX] {
            let error = frame_length(length.to_be_bytes()).unwrap_err();
            assert!(
                matches!(error, NegotiateError::FrameLength { length: l } if l == length as usize)
            );
        }
        assert_eq!(frame_length([0, 0, 0, 1]).unwrap(), 1);
        assert_eq!(frame_length([0, 0xFF, 0xFF, 0xFF]).unwrap(), 0x00FF_FFFF);
    }
}
