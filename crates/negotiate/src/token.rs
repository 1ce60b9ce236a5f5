//! The first token of a client, read just far enough to know what it offers: the frame of RFC 2743
//! 3.1 around `NegTokenInit` (RFC 4178 4.2.1) or a bare Kerberos token, and NTLM without a frame.
//!
//! The library behind this crate is handed only tokens that offer Kerberos, so its other mechanisms
//! and plugins are never reached by what a client sends.

use thiserror::Error;

/// What a client can be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Kerberos, bare or among the mechanisms of SPNEGO.
    Kerberos,
    /// NTLM and no Kerberos.
    Ntlm,
    /// Neither.
    Other,
}

/// Why a first token cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// A field is missing, of another type, or ends after the token does.
    #[error("the token has no readable {0}")]
    Field(&'static str),
    /// More mechanisms than anybody offers.
    #[error("the token offers more than {MAX_MECHANISMS} mechanisms")]
    TooManyMechanisms,
}

impl Offer {
    /// Reads the client's first token.
    pub fn read(token: &[u8]) -> Result<Self, TokenError> {
        if token.starts_with(NTLMSSP) {
            return Ok(Self::Ntlm);
        }
        let (frame, _) = element(token, APPLICATION_0, "frame")?;
        let (mechanism, rest) = element(frame, OBJECT_IDENTIFIER, "mechanism")?;
        match mechanism {
            SPNEGO => Self::in_negotiation(rest),
            KERBEROS => Ok(Self::Kerberos),
            NTLM => Ok(Self::Ntlm),
            _ => Ok(Self::Other),
        }
    }

    /// Kerberos wherever it stands in the list, since the acceptor chooses.
    fn in_negotiation(bytes: &[u8]) -> Result<Self, TokenError> {
        let (choice, _) = element(bytes, CONTEXT_0, "NegTokenInit")?;
        let (init, _) = element(choice, SEQUENCE, "NegTokenInit")?;
        let (tagged, _) = element(init, CONTEXT_0, "mechTypes")?;
        let (mut list, _) = element(tagged, SEQUENCE, "mechTypes")?;
        let mut offer = Self::Other;
        for _ in 0..MAX_MECHANISMS {
            if list.is_empty() {
                return Ok(offer);
            }
            let (mechanism, rest) = element(list, OBJECT_IDENTIFIER, "mechType")?;
            match mechanism {
                KERBEROS | KERBEROS_MICROSOFT => return Ok(Self::Kerberos),
                NTLM => offer = Self::Ntlm,
                _ => {}
            }
            list = rest;
        }
        if list.is_empty() {
            Ok(offer)
        } else {
            Err(TokenError::TooManyMechanisms)
        }
    }
}

/// The content of the DER element at the start of `bytes`, and what follows it.
fn element<'a>(
    bytes: &'a [u8],
    tag: u8,
    field: &'static str,
) -> Result<(&'a [u8], &'a [u8]), TokenError> {
    let error = TokenError::Field(field);
    let (&[found, first], rest) = bytes.split_first_chunk().ok_or(error)?;
    if found != tag {
        return Err(error);
    }
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        // Four bytes of length are what a frame of 64 KiB could need, written wastefully.
        0x81..=0x84 => {
            let (digits, rest) = rest
                .split_at_checked(usize::from(first & 0x7F))
                .ok_or(error)?;
            let length = digits
                .iter()
                .fold(0_u32, |sum, digit| sum << 8 | u32::from(*digit));
            (usize::try_from(length).map_err(|_| error)?, rest)
        }
        _ => return Err(error),
    };
    rest.split_at_checked(length).ok_or(error)
}

const NTLMSSP: &[u8] = b"NTLMSSP\0";
const MAX_MECHANISMS: usize = 32;

const APPLICATION_0: u8 = 0x60;
const CONTEXT_0: u8 = 0xA0;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// 1.3.6.1.5.5.2 (RFC 4178).
pub(crate) const SPNEGO: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.2.840.113554.1.2.2 (RFC 4121).
pub(crate) const KERBEROS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02];
/// 1.2.840.48018.1.2.2, the same cut to 16 bits, which Windows puts first ([MS-SPNG] 2.2.1).
pub(crate) const KERBEROS_MICROSOFT: &[u8] =
    &[0x2A, 0x86, 0x48, 0x82, 0xF7, 0x12, 0x01, 0x02, 0x02];
/// 1.3.6.1.4.1.311.2.2.10.
const NTLM: &[u8] = &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, 0x81, length], content].concat()
    }

    fn spnego(mechanisms: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = mechanisms
            .iter()
            .flat_map(|oid| tagged(OBJECT_IDENTIFIER, oid))
            .collect();
        let types = tagged(CONTEXT_0, &tagged(SEQUENCE, &list));
        let init = tagged(CONTEXT_0, &tagged(SEQUENCE, &types));
        tagged(
            APPLICATION_0,
            &[tagged(OBJECT_IDENTIFIER, SPNEGO), init].concat(),
        )
    }

    #[test]
    fn kerberos_is_found_wherever_it_stands_in_the_list() {
        for list in [
            &[KERBEROS][..],
            &[KERBEROS_MICROSOFT, KERBEROS, NTLM],
            &[NTLM, KERBEROS],
        ] {
            assert_eq!(Offer::read(&spnego(list)), Ok(Offer::Kerberos));
        }
    }

    #[test]
    fn ntlm_alone_is_known_bare_framed_and_in_spnego() {
        let bare = b"NTLMSSP\0\x01\0\0\0".to_vec();
        let framed = tagged(APPLICATION_0, &tagged(OBJECT_IDENTIFIER, NTLM));
        for token in [bare, framed, spnego(&[NTLM])] {
            assert_eq!(Offer::read(&token), Ok(Offer::Ntlm));
        }
    }

    #[test]
    fn other_mechanisms_are_other() {
        let iakerb = [0x2B, 0x06, 0x01, 0x05, 0x02, 0x05];
        assert_eq!(Offer::read(&spnego(&[&iakerb])), Ok(Offer::Other));
        let framed = tagged(APPLICATION_0, &tagged(OBJECT_IDENTIFIER, &iakerb));
        assert_eq!(Offer::read(&framed), Ok(Offer::Other));
        assert_eq!(Offer::read(&spnego(&[])), Ok(Offer::Other));
    }

    #[test]
    fn every_cut_token_names_the_field_that_is_missing() {
        let token = spnego(&[NTLM]);
        for length in 0..token.len() {
            assert_eq!(
                Offer::read(&token[..length]),
                Err(TokenError::Field("frame"))
            );
        }
        let later = [
            0x60, 0x08, 0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02, 0xA1,
        ];
        assert_eq!(
            Offer::read(&later),
            Err(TokenError::Field("NegTokenInit")),
            "the content ends with its frame"
        );
    }

    #[test]
    fn endless_lists_are_refused() {
        let list: Vec<&[u8]> = vec![&[0x2B]; MAX_MECHANISMS + 1];
        assert_eq!(
            Offer::read(&spnego(&list)),
            Err(TokenError::TooManyMechanisms)
        );
        let list: Vec<&[u8]> = vec![&[0x2B]; MAX_MECHANISMS];
        assert_eq!(Offer::read(&spnego(&list)), Ok(Offer::Other));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Offer::read(&bytes);
        }

        #[test]
        fn no_damaged_token_breaks_the_reader(at in 0_usize..60, byte: u8, cut in 0_usize..80) {
            let mut token = spnego(&[KERBEROS_MICROSOFT, KERBEROS, NTLM]);
            if let Some(place) = token.get_mut(at) {
                *place = byte;
            }
            token.truncate(cut);
            let _ = Offer::read(&token);
        }
    }
}
