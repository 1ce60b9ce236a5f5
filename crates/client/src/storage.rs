//! The folder of one person: lockbox, certificates, licenses, templates, settings.
//!
//! Every file is written beside its target, made durable and renamed, by whoever holds the one
//! lock of the folder; so a reader needs no lock, two processes cannot mix their writes, and a
//! process that is killed leaves either the old or the new file.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Class, Coded};
use crate::system::{self, Readers};

/// The folder, `$RMS_HOME`.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

/// The right to write into a [`Home`]; dropped, it lets others in.
///
/// Not to be held while waiting for a network or a person.
#[derive(Debug)]
pub struct Lock<'h> {
    home: &'h Home,
    // Closing the file gives the lock up, also when the process is killed.
    _file: File,
}

/// What is wrong with the folder.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than any that this client writes.
    #[error("{} is larger than {LARGEST} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// A file that should be text is not.
    #[error("{} is not text", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// The settings cannot be read.
    #[error("{}: {reason}", path.display())]
    Settings {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for StorageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "store-full",
                io::ErrorKind::ReadOnlyFilesystem => "store-read-only",
                _ => "store-not-accessible",
            },
            Self::TooLarge { .. } => "store-file-too-large",
            Self::NotText { .. } => "store-file-not-text",
            Self::Settings { .. } => "settings-malformed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Failed,
            _ => Class::Malformed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source } => Some(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on that disk and try again".into()
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "set RMS_HOME to a folder that can be written to".into()
                }
                _ => format!("check that {} is yours", path.display()),
            }),
            Self::TooLarge { path } | Self::NotText { path } | Self::Settings { path, .. } => {
                Some(format!(
                    "{} was not written by this program; move it away",
                    path.display()
                ))
            }
        }
    }
}

impl Home {
    /// Opens the folder, made when it is missing. It belongs to one person: others lose access.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let home = Self { path: path.into() };
        make_folder(&home.path)?;
        system::make_private(&home.path).map_err(|e| home.io("", e))?;
        Ok(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else writes.
    pub fn lock(&self) -> Result<Lock<'_>, StorageError> {
        let file = system::kept_file()
            .open(self.at(LOCK))
            .map_err(|e| self.io(LOCK, e))?;
        file.lock().map_err(|e| self.io(LOCK, e))?;
        let lock = Lock {
            home: self,
            _file: file,
        };
        lock.sweep()?;
        Ok(lock)
    }

    /// Reads a file; `None` when there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let file = match File::open(self.at(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(name, error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.io(name, e))?;
        if bytes.len() as u64 > LARGEST {
            return Err(StorageError::TooLarge {
                path: self.at(name),
            });
        }
        Ok(Some(bytes))
    }

    /// Reads a text file; `None` when there is none.
    pub fn read_text(&self, name: &str) -> Result<Option<String>, StorageError> {
        self.read(name)?
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| StorageError::NotText {
                path: self.at(name),
            })
    }

    /// Names of the entries of a sub-folder, sorted; none when it is missing.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let entries = match fs::read_dir(self.at(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(folder, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| self.io(folder, e))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn io(&self, name: &str, source: io::Error) -> StorageError {
        StorageError::Io {
            path: self.at(name),
            source,
        }
    }
}

impl Lock<'_> {
    /// The folder.
    pub fn home(&self) -> &Home {
        self.home
    }

    /// Writes a file as a whole, for the person alone.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let home = self.home;
        let target = home.at(name);
        let folder = target.parent().unwrap_or(&home.path);
        make_folder(folder)?;
        make_folder(&home.at(TEMPORARY))?;
        // Under the lock one name is enough.
        let temporary = home.at(TEMPORARY).join("new");
        let write = || -> io::Result<()> {
            let mut file = system::new_file(Readers::Owner).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &target)?;
            system::sync_folder(folder)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&temporary);
            home.io(name, e)
        })
    }

    /// Removes a file; that there is none is no error.
    pub fn remove(&self, name: &str) -> Result<(), StorageError> {
        match fs::remove_file(self.home.at(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.home.io(name, error)),
            _ => Ok(()),
        }
    }

    /// Removes a sub-folder with everything in it.
    pub fn remove_folder(&self, name: &str) -> Result<(), StorageError> {
        match fs::remove_dir_all(self.home.at(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.home.io(name, error)),
            _ => Ok(()),
        }
    }

    /// Whoever holds the lock is the only writer, so what lies here was left by the killed.
    fn sweep(&self) -> Result<(), StorageError> {
        for name in self.home.list(TEMPORARY)? {
            self.remove(&format!("{TEMPORARY}/{name}"))?;
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<(), StorageError> {
    system::make_private_folder(path).map_err(|source| StorageError::Io {
        path: path.to_owned(),
        source,
    })
}

const LOCK: &str = "lock";
const TEMPORARY: &str = "tmp";
/// More than the longest chain or template.
const LARGEST: u64 = 64 << 20;
