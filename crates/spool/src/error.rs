//! What can go wrong with a spool.

use std::io;
use std::path::{Path, PathBuf};

use crate::LONGEST_RECORD;

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file or the folder failed.
    #[error("the spool at {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("the spool at {0} is in use by another process")]
    InUse(PathBuf),
    /// Written by something else, or by a later version.
    #[error("the spool at {0} holds a file that is none of its own")]
    Foreign(PathBuf),
}

/// Why a record was not taken. Nothing of it is kept, unless the disk did not say that it has it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// As much waits as may.
    #[error("the spool at {0} is full")]
    Full(PathBuf),
    /// No record is as long.
    #[error("a record of {0} bytes, {LONGEST_RECORD} are the most")]
    TooLong(usize),
    /// The disk refused.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl SpoolError {
    pub(crate) fn new(path: &Path, error: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            error,
        }
    }
}
