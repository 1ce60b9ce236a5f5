//! Certificates and licenses that come in: read, verified up to the anchors, keys opened.

use openrms_crypto::rsa::PrivateKey;
use openrms_crypto::sealed_key::{self, OpenedPayload};
use openrms_crypto::{ContentKey, Mode, PublicKey, SoftwareKey};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::chain::{self, ChainError, ChainReadError};
use openrms_xrml::node::SignatureError;
use openrms_xrml::{EnablingBits, SharedNode, Time, XrmlError};

use crate::error::{Class, Coded};

/// Why a certificate or license is not used. `what` names it: `RAC`, `use license`, ..
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It cannot be read.
    #[error("the {what} cannot be read: {source}")]
    Malformed {
        /// Which certificate.
        what: &'static str,
        /// What is wrong with it.
        source: XrmlError,
    },
    /// Its own signature, or one above it, fails.
    #[error("the {what} was changed or forged: {source}")]
    Signature {
        /// Which certificate.
        what: &'static str,
        /// What fails.
        source: SignatureError,
    },
    /// It does not lead to a trusted key.
    #[error("the {what} is not trusted: {source}")]
    Chain {
        /// Which certificate.
        what: &'static str,
        /// Where the chain breaks.
        source: ChainError,
    },
    /// The sealed key in it does not open with our key.
    #[error("the key in the {what} does not open with this {with}'s key")]
    CannotOpen {
        /// Which certificate.
        what: &'static str,
        /// Whose key was tried.
        with: &'static str,
    },
    /// The private key in it is not that of the public key it certifies, or it is for a key that
    /// is not ours.
    #[error("the {what} is for another key")]
    KeyMismatch {
        /// Which certificate.
        what: &'static str,
    },
    /// It is about something else than was asked for.
    #[error("the {what} is for another {field}")]
    Mismatch {
        /// Which certificate.
        what: &'static str,
        /// What differs.
        field: &'static str,
    },
}

impl Coded for TrustError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "certificate-malformed",
            Self::Signature { .. } => "signature-invalid",
            Self::Chain {
                source: ChainError::Expired(..),
                ..
            } => "certificate-expired",
            Self::Chain {
                source: ChainError::NotYetValid(..),
                ..
            } => "certificate-not-yet-valid",
            Self::Chain { .. } => "chain-untrusted",
            Self::CannotOpen { .. } => "sealed-key-cannot-open",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::Mismatch { .. } => "certificate-mismatch",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Malformed { .. } => Class::Malformed,
            _ => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Chain {
                source: ChainError::NotYetValid(..),
                ..
            } => Some("check the clock of this machine".into()),
            Self::Chain {
                source: ChainError::Untrusted(_),
                ..
            } => Some("it was issued in another hierarchy than the one joined".into()),
            _ => None,
        }
    }
}

/// Reads a concatenated chain and verifies every node's own signature.
pub(crate) fn read(what: &'static str, text: &str) -> Result<Vec<SharedNode>, TrustError> {
    chain::parse_verified(text).map_err(|error| match error {
        ChainReadError::Malformed(source) => TrustError::Malformed { what, source },
        ChainReadError::Signature(source) => TrustError::Signature { what, source },
    })
}

/// Reads a chain and walks it up to the anchors; the nodes passed, leaf first.
pub(crate) fn read_trusted(
    what: &'static str,
    text: &str,
    at: Option<Time>,
    anchors: &Anchors,
) -> Result<Vec<SharedNode>, TrustError> {
    let nodes = read(what, text)?;
    walk(what, &nodes, at, |key| anchors.contains(key))
}

/// Walks nodes up to a trusted key; the nodes passed, leaf first.
pub(crate) fn walk(
    what: &'static str,
    nodes: &[SharedNode],
    at: Option<Time>,
    trusted: impl Fn(&PublicKey) -> bool,
) -> Result<Vec<SharedNode>, TrustError> {
    chain::verify_path(nodes, at, trusted)
        .map(|path| path.into_iter().cloned().collect())
        .map_err(|source| TrustError::Chain { what, source })
}

/// The first node of a path.
pub(crate) fn leaf(what: &'static str, nodes: &[SharedNode]) -> Result<SharedNode, TrustError> {
    nodes.first().cloned().ok_or(TrustError::Chain {
        what,
        source: ChainError::Empty,
    })
}

/// Gives an XrML error its certificate's name.
pub(crate) fn malformed(what: &'static str) -> impl Fn(XrmlError) -> TrustError {
    move |source| TrustError::Malformed { what, source }
}

/// Nodes one after the other, as chains are stored.
pub(crate) fn concatenated(nodes: &[SharedNode]) -> String {
    nodes.iter().map(|node| &**node.text()).collect()
}

/// The private key sealed in a RAC or CLC, when it is the one the certificate is for.
pub(crate) fn open_private_key(
    what: &'static str,
    sealed: Option<&EnablingBits>,
    (holder, with): (&dyn PrivateKey, &'static str),
    public: &PublicKey,
) -> Result<SoftwareKey, TrustError> {
    let cannot = TrustError::CannotOpen { what, with };
    match open(sealed, holder) {
        Some(OpenedPayload::PrivateKey(blob)) => match SoftwareKey::try_from(&blob) {
            Ok(key) if key.public() == public => Ok(key),
            Ok(_) => Err(TrustError::KeyMismatch { what }),
            Err(_) => Err(cannot),
        },
        _ => Err(cannot),
    }
}

/// The content key sealed in a use license.
pub(crate) fn open_content_key(
    what: &'static str,
    sealed: Option<&EnablingBits>,
    holder: &dyn PrivateKey,
) -> Result<ContentKey, TrustError> {
    match open(sealed, holder) {
        Some(OpenedPayload::ContentKey(key)) => Ok(key),
        _ => Err(TrustError::CannotOpen {
            what,
            with: "account",
        }),
    }
}

fn open(sealed: Option<&EnablingBits>, holder: &dyn PrivateKey) -> Option<OpenedPayload> {
    let sealed = sealed?;
    sealed_key::open(holder, sealed.version, &sealed.bytes)
        .ok()
        .map(|opened| opened.payload)
}

/// The mode of whoever has a key of that length (MS-RMPR 3.1.4.7).
pub(crate) fn mode_of(key: &PublicKey) -> Mode {
    if key.bits() <= 1024 {
        Mode::One
    } else {
        Mode::Two
    }
}
