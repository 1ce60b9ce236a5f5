//! The folder in which a data directory is put together, beside its place.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files;

/// A data directory that is being put together. It is gone when this is dropped; what a killed
/// process has left is removed by the next.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    is_put: bool,
    /// Held while somebody works there.
    _lock: File,
}

impl Staging {
    /// Begins with an empty folder, on the same disk as the data directory's place.
    pub(super) fn begin(data: &Path) -> io::Result<Self> {
        let data = std::path::absolute(data)?;
        let Some(name) = data.file_name() else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let mut hidden = std::ffi::OsString::from(".openrms-restoring-");
        hidden.push(name);
        let folder = files::folder(&data).join(hidden);
        files::private_folder(&folder)?;
        let lock = File::open(&folder)?;
        let busy = || io::Error::new(io::ErrorKind::ResourceBusy, "another restore is at work");
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it before may have put it in its place meanwhile.
        if lock.metadata()?.ino() != fs::symlink_metadata(&folder)?.ino() {
            return Err(busy());
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            folder,
            is_put: false,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Puts the folder in its place, which must not be there or be empty.
    pub(super) fn put(mut self, data: &Path) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()?;
        fs::rename(&self.folder, data)?;
        self.is_put = true;
        files::sync_folder(data)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_put {
            // What cannot be removed is removed by the next restore to this place.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
