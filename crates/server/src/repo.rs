//! The channel that a cluster hands out: packages and their indexes for apt, dnf and Windows, with
//! `openrms.manifest` over all of it. It is brought in whole and verified (`rmsd repo import`), served
//! below `/openrms/repo/`, and carried on to where there is no network (`rmsd repo export`).
//!
//! The folder holds `current`, a link to one of `channel-…` beside it. A channel is written under
//! another name, and then the link is: whoever is killed at any instant leaves the old one or the new.

mod body;
mod export;
mod import;
pub mod manifest;
mod page;
mod range;
mod serve;
mod source;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use openrms_xrml::Time;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;
use crate::files;
pub use export::Exported;
pub use import::Imported;
use manifest::{Manifest, ManifestError, ReleaseKey, ReleaseKeyError};
pub(crate) use serve::{Served, router};

/// Where the channel is, and whose word counts on what comes into it: `[repo]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoConfig {
    /// The folder.
    pub folder: PathBuf,
    /// PEM file with the public key of releases.
    pub key: PathBuf,
}

/// The table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RepoTable {
    folder: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// A folder for a channel.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
    limits: Limits,
}

/// A channel that was brought in.
#[derive(Debug)]
pub struct Channel {
    /// Where its files are.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The bytes of the manifest.
    bytes: Vec<u8>,
}

/// What is there, for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Of the packages.
    pub version: String,
    /// Seconds since 1970 at which it was signed.
    pub serial: u64,
    /// Until when machines take it.
    pub expires: String,
    /// Whether that is over.
    pub expired: bool,
    /// How many files it has.
    pub files: usize,
}

/// Bounds on what is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all of them.
    pub all_bytes: u64,
}

/// Why a channel is not taken, or not handed on.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// A file or folder cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The release key cannot be used.
    #[error("{0}: {1}")]
    Key(PathBuf, ReleaseKeyError),
    /// The manifest is not what it is to be, or nobody's.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An older publication than the one seen last.
    #[error("the manifest has the serial {found}, but one with {seen} was here already")]
    Replayed {
        /// Of what is brought.
        found: u64,
        /// Of what was here.
        seen: u64,
    },
    /// An older version under a newer date.
    #[error("it is version {found}, older than {seen} which was here already")]
    Older {
        /// Of what is brought.
        found: String,
        /// Of what was here.
        seen: String,
    },
    /// The manifest counts no more.
    #[error("the manifest expired at {0}")]
    Expired(Time),
    /// A file is another one than the manifest says.
    #[error("{0} is not the file that the manifest lists: it was altered")]
    FileAltered(String),
    /// A file is not there.
    #[error("{0} is missing")]
    FileMissing(String),
    /// There is more than the manifest lists.
    #[error("{0} is no file that the manifest lists")]
    NotListed(String),
    /// The bundle is not one.
    #[error("the bundle: {0}")]
    Bundle(String),
    /// More than a channel can have.
    #[error("{0} is larger than the {1} bytes that are left for it")]
    TooLarge(String, u64),
    /// What is remembered cannot be read.
    #[error("{0} is not what was written there")]
    Damaged(PathBuf),
    /// There is no channel.
    #[error("{0} holds no channel")]
    Nothing(PathBuf),
    /// There is a file already.
    #[error("{0} exists")]
    Exists(PathBuf),
}

impl RepoConfig {
    /// A folder within the data, and the key that the package brings.
    pub(crate) fn of(data: &DataDir) -> Self {
        Self {
            folder: data.path().join("repo"),
            key: RELEASE_KEY.into(),
        }
    }
}

impl RepoTable {
    pub(crate) fn resolve(self, data: &DataDir, base: &Path) -> RepoConfig {
        let plain = RepoConfig::of(data);
        RepoConfig {
            folder: self.folder.map_or(plain.folder, |folder| base.join(folder)),
            key: self.key.map_or(plain.key, |key| base.join(key)),
        }
    }
}

impl Repository {
    /// The folder, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limits: Limits::default(),
        }
    }

    /// With other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The channel that is there, if one is.
    pub fn current(&self) -> Result<Option<Channel>, RepoError> {
        let Some(folder) = self.current_folder()? else {
            return Ok(None);
        };
        let path = folder.join(Manifest::FILE);
        let most = manifest::MOST_BYTES as u64;
        let bytes = files::read_limited(&path, most).map_err(|e| RepoError::io(&path, e))?;
        let manifest = Manifest::parse(&bytes)?;
        Ok(Some(Channel {
            folder,
            manifest,
            bytes,
        }))
    }

    /// Takes the channel away. A later one must still not be older than it was.
    pub fn remove(&self) -> Result<(), RepoError> {
        let _held = self.hold()?;
        let link = self.folder.join(CURRENT);
        match fs::remove_file(&link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RepoError::Nothing(self.folder.clone()));
            }
            removed => removed.map_err(|error| RepoError::io(&link, error))?,
        }
        files::sync_folder(&link).map_err(|error| RepoError::io(&link, error))?;
        self.remove_others(&[])
    }

    /// Where the channel is that is served now.
    fn current_folder(&self) -> Result<Option<PathBuf>, RepoError> {
        let link = self.folder.join(CURRENT);
        match fs::read_link(&link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RepoError::io(&link, error)),
            Ok(name) => {
                let is_ours = name
                    .to_str()
                    .is_some_and(|name| name.starts_with(CHANNEL) && !name.contains('/'));
                if is_ours {
                    Ok(Some(self.folder.join(name)))
                } else {
                    Err(RepoError::Damaged(link))
                }
            }
        }
    }

    /// Keeps others from changing what is there.
    fn hold(&self) -> Result<fs::File, RepoError> {
        let failed = |error| RepoError::io(&self.folder, error);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        files::only_as_owner(&self.folder).map_err(failed)?;
        let held = files::lock_folder(&self.folder).map_err(failed)?;
        files::remove_drafts(&self.folder).map_err(failed)?;
        Ok(held)
    }

    /// What a channel may not be older than.
    fn seen(&self) -> Result<Option<Seen>, RepoError> {
        let path = self.folder.join(SEEN);
        match files::read_limited(&path, 4096) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RepoError::io(&path, error)),
            Ok(bytes) => {
                let seen = serde_json::from_slice(&bytes);
                seen.map(Some).map_err(|_| RepoError::Damaged(path))
            }
        }
    }

    /// Remembers it, whatever becomes of the channel.
    fn remember(&self, manifest: &Manifest) -> Result<(), RepoError> {
        let path = self.folder.join(SEEN);
        let seen = Seen {
            serial: manifest.serial(),
            version: manifest.version().to_string(),
        };
        let written = serde_json::to_vec(&seen)
            .map_err(io::Error::from)
            .and_then(|text| files::replace_private(&path, &text));
        written.map_err(|error| RepoError::io(&path, error))
    }

    /// Removes channels that are not among those to be kept.
    fn remove_others(&self, keep: &[&Path]) -> Result<(), RepoError> {
        let failed = |error| RepoError::io(&self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let is_channel = entry.file_name().to_string_lossy().starts_with(CHANNEL);
            if is_channel && !keep.contains(&path.as_path()) {
                fs::remove_dir_all(&path).map_err(|error| RepoError::io(&path, error))?;
            }
        }
        Ok(())
    }
}

impl Channel {
    /// What there is to say of it.
    pub fn status(&self, now: Time) -> ChannelStatus {
        ChannelStatus {
            version: self.manifest.version().to_string(),
            serial: self.manifest.serial(),
            expires: self.manifest.expires().to_string(),
            expired: self.manifest.is_expired(now),
            files: self.manifest.files().len(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 2 << 30,
            all_bytes: 16 << 30,
        }
    }
}

impl RepoError {
    fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Io(path.to_owned(), error.into())
    }
}

/// Reads the public key of releases.
pub fn release_key(path: &Path) -> Result<ReleaseKey, RepoError> {
    let bytes = files::read_limited(path, 16 << 10).map_err(|error| RepoError::io(path, error))?;
    ReleaseKey::from_pem(&String::from_utf8_lossy(&bytes))
        .map_err(|error| RepoError::Key(path.to_owned(), error))
}

/// What was here last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    serial: u64,
    version: String,
}

/// The link to the channel that is served.
const CURRENT: &str = "current";
/// How the names of channels begin.
const CHANNEL: &str = "channel-";
/// What was brought in last.
const SEEN: &str = "seen.json";
const RELEASE_KEY: &str = "/usr/share/openrms/openrms-release.pem";
