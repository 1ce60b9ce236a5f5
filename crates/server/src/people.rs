//! The people list: read as a whole, changed as a whole. On one server it is a file, edited under a
//! lock; in a cluster it is in the database.

use std::io;
use std::path::{Path, PathBuf};

use openrms_directory::{ForestName, People, PeopleError};
use openrms_store::{Change, ConfigurationSnapshot, StoreError};

use crate::config::Config;
use crate::files;
use crate::open::{OpenError, blocking, connect};

/// Where the people list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeopleSource {
    /// In a file of this server.
    File(PathBuf),
    /// In the cluster's database, for all its servers.
    Database,
}

/// Why a people list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PeopleFileError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The list, or the change to it, is wrong.
    #[error("{path}: {error}")]
    List {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: PeopleError,
    },
    /// The list in the database, or the change to it, is wrong.
    #[error("the people list of the cluster: {0}")]
    Stored(PeopleError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed, or somebody else changed it at the same time.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The people list of a server's configuration.
pub(crate) fn of(
    source: &PeopleSource,
    stored: &ConfigurationSnapshot,
) -> Result<People, PeopleFileError> {
    match source {
        PeopleSource::File(path) => load(path),
        PeopleSource::Database => {
            let text = stored.settings.get(SETTING).map_or("", String::as_str);
            People::from_toml(text).map_err(PeopleFileError::Stored)
        }
    }
}

/// Whether there is a people list in the database.
pub(crate) fn is_stored(stored: &ConfigurationSnapshot) -> bool {
    stored.settings.contains_key(SETTING)
}

/// The people list of a server's configuration. Opens the database where it is there.
pub(crate) fn read(config: &Config) -> Result<People, PeopleFileError> {
    match &config.people {
        PeopleSource::File(path) => load(path),
        PeopleSource::Database => blocking(async || {
            let store = connect(config).await?;
            let stored = store.snapshot().await?;
            store.close().await;
            of(&config.people, &stored)
        }),
    }
}

/// Changes the people list of a server's configuration, wherever it is.
pub fn change<T: Send>(
    config: &Config,
    change: impl FnOnce(&mut People) -> Result<T, PeopleError> + Send,
) -> Result<T, PeopleFileError> {
    match &config.people {
        PeopleSource::File(path) => edit(path, change),
        PeopleSource::Database => blocking(async || {
            let store = connect(config).await?;
            let stored = store.snapshot().await?;
            let mut people = of(&config.people, &stored)?;
            let outcome = change(&mut people).map_err(PeopleFileError::Stored)?;
            store
                .apply(&[setting(&people)?], Some(stored.version))
                .await?;
            store.close().await;
            Ok(outcome)
        }),
    }
}

/// The list as it is put into the database.
pub(crate) fn setting(people: &People) -> Result<Change, PeopleFileError> {
    Ok(Change::PutSetting {
        name: SETTING.into(),
        value: people.to_toml().map_err(PeopleFileError::Stored)?,
    })
}

/// Reads a people list.
pub fn load(path: &Path) -> Result<People, PeopleFileError> {
    let text = std::fs::read_to_string(path).map_err(|error| file(path, error))?;
    People::from_toml(&text).map_err(|error| list(path, error))
}

/// Changes a people list: all of the change, or none of it. Two who change it at a time wait for
/// each other.
pub fn edit<T>(
    path: &Path,
    change: impl FnOnce(&mut People) -> Result<T, PeopleError>,
) -> Result<T, PeopleFileError> {
    let _held = files::lock_folder(files::folder(path)).map_err(|error| file(path, error))?;
    let mut people = load(path)?;
    let outcome = change(&mut people).map_err(|error| list(path, error))?;
    let text = people.to_toml().map_err(|error| list(path, error))?;
    files::replace_private(path, text.as_bytes()).map_err(|error| file(path, error))?;
    Ok(outcome)
}

/// A list without people, with identifiers of its own.
pub fn empty(forest: ForestName, domain: Option<&str>) -> Result<People, PeopleError> {
    let mut bytes = [0; 12];
    openrms_crypto::random::fill(&mut bytes).map_err(|_| PeopleError::Limit {
        what: "random numbers of this system",
    })?;
    let (words, _) = bytes.as_chunks::<4>();
    let mut random = [0; 3];
    for (word, bytes) in random.iter_mut().zip(words) {
        *word = u32::from_le_bytes(*bytes);
    }
    People::new(forest, domain, random)
}

/// Writes a list where there is none yet.
pub(crate) fn create(path: &Path, people: &People) -> Result<(), PeopleFileError> {
    let text = people.to_toml().map_err(|error| list(path, error))?;
    match files::create_private(path, text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(path, error)),
        _ => Ok(()),
    }
}

fn file(path: &Path, error: io::Error) -> PeopleFileError {
    PeopleFileError::File {
        path: path.to_owned(),
        error,
    }
}

fn list(path: &Path, error: PeopleError) -> PeopleFileError {
    PeopleFileError::List {
        path: path.to_owned(),
        error,
    }
}

/// The setting that holds the list.
const SETTING: &str = "people";
