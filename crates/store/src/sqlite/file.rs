//! The database as a file: how it comes to be, and what is refused before SQLite touches it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Entity, StoreError};

/// Marks the database of a cluster, at offset 68 of the file header: `ORMS`.
pub(super) const APPLICATION_ID: u32 = 0x4F52_4D53;
/// Marks the directory services database: `ORMD`.
pub(super) const DIRECTORY_CACHE_ID: u32 = 0x4F52_4D44;
/// Marks the logging database: `ORML`.
pub(super) const LOGGING_ID: u32 = 0x4F52_4D4C;

/// Refuses what is not one of our databases, so that SQLite never writes to it.
pub(super) fn check_header(path: &Path, application_id: u32) -> Result<(), StoreError> {
    let mut header = Vec::with_capacity(HEADER);
    let mut file = File::open(path).map_err(|error| fault(path, &error))?;
    file.by_ref()
        .take(HEADER as u64)
        .read_to_end(&mut header)
        .map_err(|error| fault(path, &error))?;
    let corrupt = |why: &str| StoreError::Corrupt {
        what: format!("{}: {why}", path.display()),
    };
    if header.is_empty() {
        return Err(corrupt("the file is empty"));
    }
    if !header.starts_with(MAGIC) || header.len() < HEADER {
        return Err(corrupt("not a SQLite database"));
    }
    if header.get(68..72) != Some(&application_id.to_be_bytes()[..]) {
        return Err(corrupt("not this kind of OpenRMS database"));
    }
    Ok(())
}

/// A log without its database would be played into a new one under the same name.
pub(super) fn refuse_leftovers(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Err(exists(path));
    }
    for suffix in ["-wal", "-journal"] {
        let name = with_suffix(path, suffix);
        if name.exists() {
            return Err(StoreError::Corrupt {
                what: format!("{} belongs to a database that is gone", name.display()),
            });
        }
    }
    Ok(())
}

/// Gives a database, or what is left of one, another name, in the place of one that was set aside
/// earlier. What SQLite had beside it goes with it.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = with_suffix(path, ".unusable");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        let moved = match std::fs::rename(&from, &to) {
            // Nor may one of an earlier time stay beside what was set aside now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::remove_file(&to),
            moved => moved,
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fault(&from, &error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// Keeps others from setting aside a database of this folder, until the answer is dropped.
pub(super) fn lock_folder(path: &Path) -> Result<File, StoreError> {
    let folder = folder(path);
    let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|error| fault(folder, &error))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// An empty file in the same folder, which only this user can read.
pub(super) fn draft_beside(path: &Path) -> Result<NamedTempFile, StoreError> {
    NamedTempFile::with_prefix_in(".openrms-new-", folder(path))
        .map_err(|error| fault(path, &error))
}

/// Gives the finished draft its name, unless somebody else took it meanwhile.
pub(super) fn publish(draft: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    let file = draft
        .persist_noclobber(path)
        .map_err(|refused| match refused.error.kind() {
            io::ErrorKind::AlreadyExists => exists(path),
            _ => fault(path, &refused.error),
        })?;
    file.sync_all().map_err(|error| fault(path, &error))?;
    #[cfg(unix)]
    File::open(folder(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| fault(path, &error))?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn exists(path: &Path) -> StoreError {
    StoreError::AlreadyExists {
        entity: Entity::Database,
        id: path.display().to_string(),
    }
}

fn fault(path: &Path, error: &io::Error) -> StoreError {
    let what = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { what },
        io::ErrorKind::StorageFull => StoreError::Full,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Unreachable {
            what,
            reason: error.to_string(),
        },
    }
}

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: usize = 100;
