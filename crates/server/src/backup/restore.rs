//! Restoring a cluster on a host that has nothing of it: from the archive and its password alone.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openrms_store::{Found, Location, Sqlite, Store, StoreError};
use openrms_xrml::Time;
use serde::Serialize;
use zeroize::Zeroizing;

use super::archive::ArchiveError;
use super::contents::{Contents, Summary, summary};
use super::drill::{self, Check};
use super::records::{FileName, Keeping, Manifest};
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};
use crate::files;
use crate::key_protection::{KeyAccess, KeyProtection, KeyProtectionError, Unlocked};
use crate::open::{OpenError, Opened, blocking};
use crate::people::{self, PeopleFileError, PeopleSource};

/// What is to be restored, and where to.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The archive.
    pub archive: PathBuf,
    /// The password that opens it.
    pub password: Zeroizing<Vec<u8>>,
    /// The data directory, which must not be there or be empty.
    pub data: PathBuf,
    /// The database, which must be empty; the data directory's own when absent.
    pub database: Option<DatabaseServer>,
    /// Whether keys that a password protects are protected by a key file from now on: for who has
    /// lost that password.
    pub key_file: bool,
}

/// A cluster that was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The data directory.
    pub data: PathBuf,
    /// Where the database is.
    pub database: String,
    /// Rows of the database.
    pub rows: u64,
    /// What the backup was of.
    pub of: Manifest,
    /// What was looked at before the cluster was put in its place.
    pub checks: Vec<Check>,
}

/// Why nothing was restored. Nothing was changed, then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive does not open, or is not whole.
    #[error("{0}: {1}")]
    Archive(PathBuf, ArchiveError),
    /// There is something already.
    #[error("{0} is not empty: a backup is restored to where there is nothing")]
    NotEmpty(String),
    /// The backup has no key, and so none to put into a key file.
    #[error("the backup holds no key to put into a key file")]
    NoKey,
    /// What is in the backup is not a cluster that could serve.
    #[error("the cluster in the backup cannot serve: {name}: {detail}")]
    Unfit {
        /// What was looked at.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The configuration file in the backup is none.
    #[error("the configuration file in the backup: {0}")]
    Configuration(String),
    /// A file cannot be written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The cluster cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The people list in the backup cannot be used.
    #[error(transparent)]
    People(#[from] PeopleFileError),
    /// The keys cannot be opened or protected.
    #[error(transparent)]
    Keys(#[from] KeyProtectionError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Restores a cluster: all of it, or nothing. Blocks.
pub fn restore(options: &RestoreOptions, now: Time) -> Result<Restored, RestoreError> {
    let found = summary(&options.archive, &options.password)
        .map_err(|error| RestoreError::Archive(options.archive.clone(), error))?;
    let has_key = matches!(found.manifest.keys, Keeping::KeyFile | Keeping::Password);
    if options.key_file && !has_key {
        return Err(RestoreError::NoKey);
    }
    check_empty(&options.data)?;
    let database = options.database.clone().map(Database::Server);
    let location = database.map(|database| database.location()).transpose();
    let location = location.map_err(OpenError::from)?;
    blocking(async || to_its_place(options, location.as_ref(), &found, now).await)
}

/// Builds the data directory beside its place, and moves it there when it is complete.
async fn to_its_place(
    options: &RestoreOptions,
    location: Option<&Location>,
    found: &Summary,
    now: Time,
) -> Result<Restored, RestoreError> {
    let file = |error| RestoreError::File(options.data.clone(), error);
    if let Some(location) = location
        && !matches!(location.inspect().await?, Found::Empty | Found::Missing)
    {
        return Err(RestoreError::NotEmpty(location.to_string()));
    }
    let above = files::folder(&options.data);
    fs::create_dir_all(above).map_err(file)?;
    let staging = files::draft_folder(above).map_err(file)?;
    let data = DataDir::new(staging.path());
    let store = Sqlite::create(&data.database()).await?;
    let store: Arc<dyn Store> = Arc::new(store);
    let keys = fill(options, &*store, &data, true).await?;
    let checks = match keys {
        Some(keys) => {
            let opened = Opened::with_keys(store.clone(), keys)?;
            drill::examine(&opened, now).await?
        }
        None => vec![Check::skipped(
            "keys",
            "they are not in the backup and were not tried",
        )],
    };
    store.close().await;
    if let Some(wrong) = checks.iter().find(|check| check.ok == Some(false)) {
        return Err(RestoreError::Unfit {
            name: wrong.name,
            detail: wrong.detail.clone(),
        });
    }
    if let Some(location) = location {
        if location.inspect().await? == Found::Missing {
            location.create_database().await?;
        }
        let store = location.open_or_create().await?;
        fill(options, &*store, &data, false).await?;
        store.close().await;
        remove_database(&data).map_err(file)?;
    }
    data.make_admin_token().map_err(file)?;
    fs::rename(staging.path(), &options.data).map_err(file)?;
    // It is not a draft any more.
    let _ = staging.keep();
    files::sync_folder(&options.data).map_err(file)?;
    let data = DataDir::new(&options.data);
    Ok(Restored {
        database: location.map_or_else(
            || data.database().display().to_string(),
            Location::to_string,
        ),
        data: options.data.clone(),
        rows: found.rows.values().sum(),
        of: found.manifest.clone(),
        checks,
    })
}

/// Reads the archive into a database and, the first time, into a data directory. Answers with the
/// keys, where the archive has them.
async fn fill(
    options: &RestoreOptions,
    store: &dyn Store,
    data: &DataDir,
    first: bool,
) -> Result<Option<Unlocked>, RestoreError> {
    let archive = |error| RestoreError::Archive(options.archive.clone(), error);
    let mut contents = Contents::open(&options.archive, &options.password).map_err(archive)?;
    let manifest = contents.manifest().map_err(archive)?;
    let master = contents.master_key().map_err(archive)?;
    let place = |name: FileName| {
        let path = data.path().join(name.as_str());
        first.then(|| private_file(&path)).transpose()
    };
    contents.files(place).map_err(archive)?;
    let imported = store.import(&mut contents).await;
    if let Some(error) = contents.failure() {
        return Err(archive(error));
    }
    imported?;
    contents.files(place).map_err(archive)?;
    if first {
        adapt(data, options)?;
        people_into_file(store, data, options).await?;
    }
    let Some(master) = master else {
        return Ok(None);
    };
    let access = KeyAccess {
        key_file: data.master_key(),
        credential: Credential::None,
        library: None,
    };
    let keys = Unlocked::of_backup(store, master).await?;
    if manifest.keys == Keeping::KeyFile && first {
        files::create_private(&access.key_file, keys.master.expose())
            .map_err(|error| RestoreError::File(access.key_file, error))?;
    } else if manifest.keys == Keeping::Password && options.key_file {
        keys.protect_anew(store, &KeyProtection::KeyFile, &access)
            .await?;
    }
    Ok(Some(keys))
}

/// Paths of the host that the backup was made on lead nowhere here: the people list and the
/// database are where they were restored to.
fn adapt(data: &DataDir, options: &RestoreOptions) -> Result<(), RestoreError> {
    let path = data.config();
    let file = |error| RestoreError::File(path.clone(), error);
    let mut text = String::new();
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => {
            let mut opened = opened.map_err(file)?;
            opened.read_to_string(&mut text).map_err(file)?;
        }
    }
    let wrong = |error: &dyn std::fmt::Display| RestoreError::Configuration(error.to_string());
    let mut table: toml::Table = text.parse().map_err(|error| wrong(&error))?;
    let before = table.clone();
    for key in ["data", "people", "database", "server_name"] {
        table.remove(key);
    }
    if let Some(server) = &options.database {
        let mut database = toml::Table::new();
        database.insert("url".to_owned(), server.url.clone().into());
        if let Credential::File(path) = &server.password {
            let path = std::path::absolute(path).map_err(file)?;
            database.insert(
                "password_file".to_owned(),
                path.display().to_string().into(),
            );
        }
        table.insert("database".to_owned(), database.into());
        if data.people().exists() {
            table.insert("people".to_owned(), FileName::People.as_str().into());
        }
    }
    if table == before {
        return Ok(());
    }
    let text = toml::to_string(&table).map_err(|error| wrong(&error))?;
    files::replace_private(&path, text.as_bytes()).map_err(file)
}

/// A people list that was in the database of several servers is in a file where there is one.
async fn people_into_file(
    store: &dyn Store,
    data: &DataDir,
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    let stored = store.snapshot().await?;
    let is_stored = people::is_stored(&stored);
    if options.database.is_some() || data.people().exists() || !is_stored {
        return Ok(());
    }
    let list = people::of(&PeopleSource::Database, &stored)?;
    Ok(people::create(&data.people(), &list)?)
}

fn check_empty(data: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RestoreError::File(data.to_owned(), error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty(data.display().to_string())),
        },
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// The database that took the archive first, to be examined.
fn remove_database(data: &DataDir) -> io::Result<()> {
    for entry in fs::read_dir(data.path())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("openrms.db") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
