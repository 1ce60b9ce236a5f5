//! Why protected content was not opened, or not taken out of its protection.

use std::io;
use std::path::PathBuf;

use openrms_formats::{inspect, pfile};
use openrms_xrml::Time;
use openrms_xrml::rights::Right;

use crate::error::{Class, Coded};

/// The right to remove protection is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("removing protection needs EXPORT or OWNER; held are {}", names(.held))]
pub struct Denied {
    /// The rights held.
    pub held: Vec<Right>,
}

/// Why content was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The right is missing.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Source {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a container this client decrypts.
    #[error("content of a {0} is not decrypted by this client yet")]
    Unsupported(String),
    /// The file is not protected.
    #[error("the file is not protected")]
    NotProtected,
    /// The container is damaged.
    #[error(transparent)]
    Container(#[from] pfile::Error),
    /// The container is damaged.
    #[error(transparent)]
    Inspect(#[from] inspect::InspectError),
    /// Reading failed.
    #[error("the content could not be read: {0}")]
    Io(#[from] io::Error),
    /// The rights are over, or have not begun.
    #[error("the use license gives no right at {at}{}", ended(*.until))]
    NoRightNow {
        /// The instant judged.
        at: Time,
        /// When the last right ended, where it is over.
        until: Option<Time>,
    },
    /// The rights would hold if the clock had not been set back.
    #[error("the clock says {now}, but this machine has seen {newest} already")]
    ClockSetBack {
        /// What the clock says.
        now: Time,
        /// The newest time seen.
        newest: Time,
    },
    /// Not a key that this client deciphers with.
    #[error("the server gave a content key of the kind {0}, for which this client has no cipher")]
    KeyType(&'static str),
    /// The license demands a list of what is revoked, which this client cannot look at.
    #[error("the use license demands a revocation list, which is not at hand")]
    RevocationListNeeded,
}

impl Coded for Denied {
    fn code(&self) -> &'static str {
        "export-denied"
    }

    fn class(&self) -> Class {
        Class::Denied
    }

    fn hint(&self) -> Option<String> {
        Some("with VIEW, text can be shown but not saved; ask the author for EXPORT".into())
    }
}

impl Coded for OpenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Source { .. } => "source-not-readable",
            Self::Unsupported(_) => "container-unsupported",
            Self::NotProtected => "not-protected",
            Self::Container(_) | Self::Inspect(_) => "container-malformed",
            Self::Io(_) => "content-not-readable",
            Self::NoRightNow { .. } => "rights-ended",
            Self::ClockSetBack { .. } => "clock-set-back",
            Self::KeyType(_) => "content-key-unsupported",
            Self::RevocationListNeeded => "revocation-list-needed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Denied(_) | Self::NoRightNow { .. } | Self::ClockSetBack { .. } => Class::Denied,
            // Damaged content comes as `InvalidData` out of the decrypting reader.
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => Class::Malformed,
            Self::Source { .. } | Self::Io(_) => Class::Failed,
            Self::Unsupported(_)
            | Self::NotProtected
            | Self::Container(_)
            | Self::Inspect(_)
            | Self::KeyType(_) => Class::Malformed,
            Self::RevocationListNeeded => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied(denied) => denied.hint(),
            Self::ClockSetBack { .. } => Some(
                "set the clock right; if it was ahead before, rms licenses purge --all forgets \
                 that with all stored licenses"
                    .into(),
            ),
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Some("get the file again from where it came: it was cut short or changed".into())
            }
            Self::Source { .. } | Self::Io(_) => {
                Some("check the file, its permissions and the room on the disk".into())
            }
            _ => None,
        }
    }
}

fn names(rights: &[Right]) -> String {
    rights
        .iter()
        .map(Right::name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn ended(until: Option<Time>) -> String {
    until
        .map(|until| format!("; it ended at {until}"))
        .unwrap_or_default()
}
