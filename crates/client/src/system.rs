//! What differs from system to system: keeping files for one person, giving a finished file its
//! name, and what identifies a machine and a person. Each system's module has the same functions;
//! the rest of the client is the same everywhere.

use std::fs::OpenOptions;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as this;
#[cfg(windows)]
use windows as this;

/// Folders: made for the person alone; taken from everybody else; their names made durable.
pub(crate) use this::{make_private, make_private_folder, sync_folder};

/// Files without a name until they are whole, and the permissions of another file.
pub(crate) use this::{copy_permissions, name_file, unnamed_file};

/// Who and where.
pub(crate) use this::{machine_id, uid};

/// Secrets that are stored: of no use to another account, where the system can see to that.
pub(crate) use this::{WITHOUT_PASSPHRASE, bind_to_account, unbind_from_account};

/// Who may read a file that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The person alone.
    Owner,
    /// Whoever may read new files of this person in that folder.
    Usual,
}

/// How a new file is made that must not be there yet.
pub(crate) fn new_file(readers: Readers) -> OpenOptions {
    let mut options = this::options(readers);
    options.write(true).create_new(true);
    options
}

/// How a file of the person's is opened for writing that stays what it is; made where it is missing.
pub(crate) fn kept_file() -> OpenOptions {
    let mut options = this::options(Readers::Owner);
    options.write(true).create(true).truncate(false);
    options
}
