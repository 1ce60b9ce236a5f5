//! Results on disk: nobody ever sees half of one. Where the file system can, a file being written
//! has no name at all (`O_TMPFILE`), so that also a process that is killed leaves nothing behind;
//! elsewhere it has a hidden name beside the target, `.NAME.HEX.part`.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use openrms_crypto::random;

use crate::error::{Class, Coded};
use crate::system::{self, Readers};

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
    /// The hidden name; `None` for a file without a name.
    temporary: Option<PathBuf>,
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
        if target.is_dir() || target.file_name().is_none() {
            return Err(OutputError::NotAFile(target));
        }
        // Nobody else reads along while plain text is being written; a new file without a source
        // gets what the person's mask leaves.
        let readers = match like {
            Some(_) => Readers::Owner,
            None => Readers::Usual,
        };
        let (file, temporary) = match system::unnamed_file(folder_of(&target), readers) {
            Some(file) => (file, None),
            None => named(&target, readers).map(|(file, path)| (file, Some(path)))?,
        };
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
                system::copy_permissions(like, &self.file)?;
                if let Ok(modified) = like.modified() {
                    self.file.set_modified(modified)?;
                }
            }
            self.file.sync_all()?;
            match (&self.temporary, self.overwrite) {
                (None, overwrite) => self.name(overwrite),
                (Some(temporary), Overwrite::Force) => fs::rename(temporary, &self.target),
                (Some(temporary), Overwrite::Never) => rename_new(temporary, &self.target),
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

    /// Gives an unnamed file its name. The system refuses a name that is taken; to replace that
    /// file, the new one, whole by now, goes by a hidden name for a moment.
    fn name(&self, overwrite: Overwrite) -> io::Result<()> {
        match (system::name_file(&self.file, &self.target), overwrite) {
            (Err(error), Overwrite::Force) if error.kind() == io::ErrorKind::AlreadyExists => {}
            (outcome, _) => return outcome,
        }
        let hidden = hidden_name(&self.target)?;
        system::name_file(&self.file, &hidden)?;
        fs::rename(&hidden, &self.target).inspect_err(|_| {
            let _ = fs::remove_file(&hidden);
        })
    }
}

/// A file with a hidden name beside the target.
fn named(target: &Path, readers: Readers) -> Result<(File, PathBuf), OutputError> {
    let io = |source| OutputError::Io {
        path: target.to_owned(),
        source,
    };
    let temporary = hidden_name(target).map_err(io)?;
    let file = system::new_file(readers).open(&temporary).map_err(io)?;
    Ok((file, temporary))
}

/// `.NAME.HEX.part`.
fn hidden_name(target: &Path) -> io::Result<PathBuf> {
    let mut salt = [0; 8];
    random::fill(&mut salt).map_err(|e| io::Error::other(e.to_string()))?;
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name().unwrap_or_default());
    hidden.push(format!(".{:016x}.part", u64::from_le_bytes(salt)));
    Ok(target.with_file_name(hidden))
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Renames without replacing: a link under the new name fails where a file is, also one that came
/// a moment ago. File systems without links get the look before the rename.
fn rename_new(temporary: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, target) {
        Ok(()) => fs::remove_file(temporary),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if fs::symlink_metadata(target).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(temporary, target),
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
        if let Some(temporary) = &self.temporary {
            // Gone already after a commit.
            let _ = fs::remove_file(temporary);
        }
    }
}
