//! Restoring a cluster on a host that has nothing of it: from the archive and its password alone.
//!
//! ```text
//! archive -> staging folder, tried there -> log -> database server, unfinished -> folder in its
//! place -> database server, finished
//! ```
//!
//! Whoever is killed at any point gives the same command again: the staging folder is begun anew,
//! events are passed over that are there already, and a database that says that it was being filled
//! from this very archive is taken as it is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openrms_store::{
    Found, Location, PostgresLocation, Restoring, Sqlite, Store, StoreError, TABLES,
};
use openrms_xrml::Time;
use serde::Serialize;
use zeroize::Zeroizing;

use super::archive::{self, ArchiveError};
use super::contents::{Contents, Summary, summary};
use super::drill::{self, Check};
use super::log::{self, LogRestoreError, RestoredLog};
use super::manifest::{FileName, Keeping, Manifest};
use super::staging::Staging;
use crate::config::Config;
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};
use crate::files;
use crate::key_protection::{KeyAccess, KeyProtection, KeyProtectionError, Unlocked};
use crate::open::{OpenError, Opened, blocking, connect};
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
    /// Whether the log stays where it is, in the archive.
    pub without_log: bool,
}

/// A cluster that was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The data directory.
    pub data: PathBuf,
    /// Where the database is.
    pub database: String,
    /// Rows of the cluster's database.
    pub rows: u64,
    /// The log, where there is one in the archive and it was wanted.
    pub log: Option<RestoredLog>,
    /// What the backup was of.
    pub of: Manifest,
    /// What was looked at before the cluster was put in its place.
    pub checks: Vec<Check>,
}

/// Why nothing was restored. There is no cluster that was not there before, then; events may have
/// come into a logging database.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive does not open, or is not whole.
    #[error("{0}: {1}")]
    Archive(PathBuf, ArchiveError),
    /// There is something already.
    #[error("{0} is not empty: a backup is restored to where there is nothing")]
    NotEmpty(String),
    /// The log is that of another cluster.
    #[error("the backup is one of {of}, the cluster here is {here}")]
    OtherCluster {
        /// The URL of the cluster in the backup.
        of: String,
        /// The URL of the cluster whose log it was to be.
        here: String,
    },
    /// There is no log in it.
    #[error("the backup holds no log")]
    NoLog,
    /// The log cannot be brought in.
    #[error("the log cannot be restored: {0}")]
    Log(#[from] LogRestoreError),
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
    let archive = |error| RestoreError::Archive(options.archive.clone(), error);
    let found = summary(&options.archive, &options.password).map_err(archive)?;
    let has_key = matches!(found.manifest.keys, Keeping::KeyFile | Keeping::Password);
    if options.key_file && !has_key {
        return Err(RestoreError::NoKey);
    }
    let digest = File::open(&options.archive)
        .and_then(archive::digest)
        .map_err(|error| archive(ArchiveError::Io(error)))?;
    let server = options.database.as_ref();
    let location = server.map(DatabaseServer::location).transpose();
    let location = location.map_err(OpenError::from)?;
    blocking(async || {
        let is_placed = check_places(options, location.as_deref(), &digest).await?;
        let staging = Staging::begin(&options.data)
            .map_err(|error| RestoreError::File(options.data.clone(), error))?;
        let work = Work {
            options,
            found: &found,
            digest: &digest,
            staging,
            is_placed,
        };
        work.do_it(location.as_deref(), now).await
    })
}

/// Brings the log of a backup into the logging database of a cluster that is there. Events that are
/// there already are passed over. Blocks.
pub fn restore_log(
    archive: &Path,
    password: &[u8],
    config: &Config,
) -> Result<RestoredLog, RestoreError> {
    let wrong = |error| RestoreError::Archive(archive.to_owned(), error);
    let found = summary(archive, password).map_err(wrong)?;
    if found.log() == (0, 0) {
        return Err(RestoreError::NoLog);
    }
    blocking(async || {
        let store = connect(config).await?;
        let stored = store.snapshot().await;
        store.close().await;
        let here = stored?.policies.base_url.unwrap_or_default();
        let of = found.manifest.url;
        if of != here {
            return Err(RestoreError::OtherCluster { of, here });
        }
        Ok(log::import(archive, password, &config.logging.database).await?)
    })
}

/// Refuses places that hold anything, but for what an earlier attempt has left. Answers whether
/// that has come to put the folder in its place.
async fn check_places(
    options: &RestoreOptions,
    location: Option<&PostgresLocation>,
    digest: &str,
) -> Result<bool, RestoreError> {
    let is_placed = !is_empty(&options.data)?;
    let not_empty = |what: &dyn std::fmt::Display| RestoreError::NotEmpty(what.to_string());
    let Some(location) = location else {
        if is_placed {
            return Err(not_empty(&options.data.display()));
        }
        return Ok(false);
    };
    if is_placed {
        let config = Config::for_data_dir(&options.data).ok();
        let leads_there = match (config.map(|config| config.database), &options.database) {
            (Some(Database::Server(of_folder)), Some(asked)) => of_folder.url == asked.url,
            _ => false,
        };
        if !leads_there || !Restoring::was_begun(location, digest).await? {
            return Err(not_empty(&options.data.display()));
        }
    }
    if Restoring::may_begin(location, digest).await? {
        Ok(is_placed)
    } else {
        Err(not_empty(location))
    }
}

/// A restore under way.
struct Work<'w> {
    options: &'w RestoreOptions,
    found: &'w Summary,
    digest: &'w str,
    staging: Staging,
    /// Whether the folder is in its place already, from an earlier attempt.
    is_placed: bool,
}

impl Work<'_> {
    async fn do_it(
        self,
        location: Option<&PostgresLocation>,
        now: Time,
    ) -> Result<Restored, RestoreError> {
        let file = |error| RestoreError::File(self.options.data.clone(), error);
        let data = DataDir::new(self.staging.path());
        let store: Arc<dyn Store> = Arc::new(Sqlite::create(&data.database()).await?);
        let master = self.unpack(&*store, &data).await?;
        let checks = self.examine(store.clone(), master.clone(), now).await;
        store.close().await;
        let checks = checks?;
        if let Some(location) = location {
            let place = Location::Postgres(Box::new(location.clone()));
            if place.inspect().await? == Found::Missing {
                place.create_database().await?;
            }
        }
        // While there is nothing yet that a failure would leave half-done.
        let log = self.log(&data).await?;
        let mut unfinished = None;
        if let Some(location) = location {
            unfinished = Some(self.to_server(location, master, &data).await?);
            remove_database(&data).map_err(file)?;
        }
        data.make_admin_token().map_err(file)?;
        if !self.is_placed {
            self.staging.put(&self.options.data).map_err(file)?;
        }
        if let Some(unfinished) = unfinished {
            unfinished.complete().await?;
        }
        let database = DataDir::new(&self.options.data).database();
        Ok(Restored {
            database: location.map_or_else(
                || database.display().to_string(),
                PostgresLocation::to_string,
            ),
            data: self.options.data.clone(),
            rows: self.found.cluster_rows(),
            log,
            of: self.found.manifest.clone(),
            checks,
        })
    }

    /// Reads the archive into a data directory and its database. Answers with the key, where the
    /// archive has it.
    async fn unpack(
        &self,
        store: &dyn Store,
        data: &DataDir,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, RestoreError> {
        let options = self.options;
        let archive = |error| RestoreError::Archive(options.archive.clone(), error);
        let mut contents = Contents::open(&options.archive, &options.password).map_err(archive)?;
        contents.manifest().map_err(archive)?;
        let master = contents.master_key().map_err(archive)?;
        contents
            .files(|name| private_file(&data.path().join(name.as_str())).map(Some))
            .map_err(archive)?;
        self.import(&mut contents, store).await?;
        adapt(data, options)?;
        people_into_file(store, data, options).await?;
        if let Some(master) = &master {
            self.protect(store, master.clone(), data).await?;
        }
        Ok(master)
    }

    async fn import(&self, contents: &mut Contents, store: &dyn Store) -> Result<(), RestoreError> {
        let imported = store.import(&mut contents.rows(TABLES)).await;
        match contents.failure() {
            Some(error) => Err(RestoreError::Archive(self.options.archive.clone(), error)),
            None => Ok(imported?),
        }
    }

    /// Puts the key into a file where it is to be in one, and has the database say so.
    async fn protect(
        &self,
        store: &dyn Store,
        master: Zeroizing<[u8; 32]>,
        data: &DataDir,
    ) -> Result<(), RestoreError> {
        let access = KeyAccess {
            key_file: data.master_key(),
            credential: Credential::None,
            library: None,
        };
        let keys = Unlocked::of_backup(store, master).await?;
        match keys.protection {
            KeyProtection::Password if self.options.key_file => {
                keys.protect_anew(store, &KeyProtection::KeyFile, &access)
                    .await?;
            }
            KeyProtection::KeyFile if !access.key_file.exists() => {
                files::create_private(&access.key_file, keys.master.expose())
                    .map_err(|error| RestoreError::File(access.key_file, error))?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn examine(
        &self,
        store: Arc<dyn Store>,
        master: Option<Zeroizing<[u8; 32]>>,
        now: Time,
    ) -> Result<Vec<Check>, RestoreError> {
        let Some(master) = master else {
            let why = "they are not in the backup and were not tried";
            return Ok(vec![Check::skipped("keys", why)]);
        };
        let keys = Unlocked::of_backup(&*store, master).await?;
        let checks = drill::examine(&Opened::with_keys(store, keys)?, now).await?;
        match checks.iter().find(|check| check.ok == Some(false)) {
            Some(wrong) => Err(RestoreError::Unfit {
                name: wrong.name,
                detail: wrong.detail.clone(),
            }),
            None => Ok(checks),
        }
    }

    /// Brings the log to where the restored configuration has it.
    async fn log(&self, data: &DataDir) -> Result<Option<RestoredLog>, RestoreError> {
        let options = self.options;
        if options.without_log || self.found.log() == (0, 0) {
            return Ok(None);
        }
        // After an earlier attempt the folder in its place counts.
        let folder = if self.is_placed {
            &options.data
        } else {
            data.path()
        };
        let config = Config::for_data_dir(folder)
            .map_err(|error| RestoreError::Configuration(error.to_string()))?;
        let place = &config.logging.database;
        let mut restored = log::import(&options.archive, &options.password, place).await?;
        if *place == Database::Embedded(data.logging_database()) {
            let moved = DataDir::new(&options.data).logging_database();
            restored.database = moved.display().to_string();
        }
        Ok(Some(restored))
    }

    /// Brings the cluster to a database server, where nobody opens it yet.
    async fn to_server(
        &self,
        location: &PostgresLocation,
        master: Option<Zeroizing<[u8; 32]>>,
        data: &DataDir,
    ) -> Result<Restoring, RestoreError> {
        let options = self.options;
        let restoring = Restoring::begin(location, self.digest).await?;
        if !restoring.is_filled() {
            let opened = Contents::open(&options.archive, &options.password);
            let passed = opened.and_then(|mut contents| {
                contents.pass_to(TABLES)?;
                Ok(contents)
            });
            let mut contents =
                passed.map_err(|error| RestoreError::Archive(options.archive.clone(), error))?;
            self.import(&mut contents, restoring.store()).await?;
        }
        if let Some(master) = master {
            self.protect(restoring.store(), master, data).await?;
        }
        Ok(restoring)
    }
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

fn is_empty(data: &Path) -> Result<bool, RestoreError> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(RestoreError::File(data.to_owned(), error)),
        Ok(mut entries) => Ok(entries.next().is_none()),
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
