//! Results on disk: written beside the target and renamed, so that nobody ever sees half of one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use openrms_crypto::random;

use crate::error::{Class, Coded};

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// It is left as it is, and that is an error.
    #[default]
    Never,
    /// It is replaced.
    Force,
}

/// A file being written. Dropped without [`Output::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    overwrite: Overwrite,
    like: Option<Metadata>,
}

/// Why a result was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The target is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The target has no name of its own.
    #[error("{} is not the name of a file", .0.display())]
    NotAFile(PathBuf),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Coded for OutputError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "output-exists",
            Self::NotAFile(_) => "output-not-a-file",
            Self::Io { .. } => "output-not-writable",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotAFile(_) => Class::Usage,
            Self::Exists(_) | Self::Io { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("--force replaces it".into()),
            _ => None,
        }
    }
}

impl Output {
    /// Begins a file at `target`. `like` is the source, whose permissions and modification time
    /// carry over. A link is followed, so that replacing a file leaves links to it whole.
    pub fn create(
        target: &Path,
        overwrite: Overwrite,
        like: Option<&Metadata>,
    ) -> Result<Self, OutputError> {
        if overwrite == Overwrite::Never && fs::symlink_metadata(target).is_ok() {
            return Err(OutputError::Exists(target.to_owned()));
        }
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let io = |source| OutputError::Io {
            path: target.clone(),
            source,
        };
        if target.is_dir() {
            return Err(OutputError::NotAFile(target));
        }
        let name = target
            .file_name()
            .ok_or_else(|| OutputError::NotAFile(target.clone()))?;
        let mut salt = [0; 8];
        random::fill(&mut salt).map_err(|e| io(io::Error::other(e.to_string())))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}.part", u64::from_le_bytes(salt)));
        let temporary = target.with_file_name(hidden);
        // Nobody else reads along while plain text is being written; a new file without a source
        // gets what the person's mask leaves.
        let mode = if like.is_some() { 0o600 } else { 0o666 };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(io)?;
        Ok(Self {
            file,
            temporary,
            target,
            overwrite,
            like: like.cloned(),
        })
    }

    /// Makes the file durable and gives it its name.
    pub fn commit(self) -> Result<PathBuf, OutputError> {
        let place = || -> io::Result<()> {
            if let Some(like) = &self.like {
                let mode = like.permissions().mode() & 0o777;
                self.file
                    .set_permissions(fs::Permissions::from_mode(mode))?;
                if let Ok(modified) = like.modified() {
                    self.file.set_modified(modified)?;
                }
            }
            self.file.sync_all()?;
            match self.overwrite {
                Overwrite::Force => fs::rename(&self.temporary, &self.target),
                Overwrite::Never => self.rename_new(),
            }
        };
        match place() {
            Ok(()) => Ok(self.target.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OutputError::Exists(self.target.clone()))
            }
            Err(source) => Err(OutputError::Io {
                path: self.target.clone(),
                source,
            }),
        }
    }

    /// Renames without replacing: a link under the new name fails where a file is, also one that
    /// came a moment ago. File systems without links get the look before the rename.
    fn rename_new(&self) -> io::Result<()> {
        match fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => fs::remove_file(&self.temporary),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) if fs::symlink_metadata(&self.target).is_ok() => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Err(_) => fs::rename(&self.temporary, &self.target),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = fs::remove_file(&self.temporary);
    }
}
