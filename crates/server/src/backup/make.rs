//! Making a backup, while the cluster serves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use openrms_spool::SpoolError;
use openrms_store::{RowSink, Store, StoreError, Table, Value};
use openrms_xrml::Time;
use serde::Serialize;
use zeroize::Zeroizing;

use super::archive::{self, ArchiveError};
use super::contents::summary;
use super::log::{self, SavedLog};
use super::manifest::{FileName, Keeping, Manifest};
use super::records::Writer;
use crate::config::Config;
use crate::files;
use crate::key_protection::{self, KeyProtection, KeyProtectionError, MasterKey};
use crate::logging::LogDatabaseError;
use crate::open::{OpenError, blocking, connect};
use crate::people::PeopleSource;

/// What is to be backed up, and where to.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The archive.
    pub output: PathBuf,
    /// The password that opens it.
    pub password: Zeroizing<Vec<u8>>,
    /// The configuration file of this server.
    pub configuration: Option<PathBuf>,
    /// Whether the log goes into it: the logging database, and the audit file where there is one.
    pub with_logs: bool,
    /// Whether the cluster's key stays out of it.
    pub without_key: bool,
    /// Whether a file that is there is replaced.
    pub force: bool,
}

/// A backup that was made and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The archive.
    pub archive: PathBuf,
    /// Its SHA-256, in hexadecimal digits.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
    /// Rows of the cluster's database.
    pub rows: u64,
    /// The log, where it was asked for.
    pub log: Option<SavedLog>,
    /// The files in it.
    pub files: Vec<&'static str>,
    /// What it is of.
    pub of: Manifest,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The keys are where no backup gets at them.
    #[error(
        "the keys are in the security module token {0}, and nothing gets them out of it: this \
         would be a backup without them"
    )]
    InModule(String),
    /// There is a file already.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The archive cannot be written, or not be read back.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What was read back is not what was written.
    #[error("what was read back from the disk is not what was written")]
    NotTheSame,
    /// The cluster cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] KeyProtectionError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The logging database cannot be read.
    #[error("the logging database: {0}")]
    Log(LogDatabaseError),
    /// Nobody can tell how many events wait in the spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Makes a backup, as of one instant of the cluster's database; the log goes on while it is read. It
/// appears under its name when it was written and read back whole. Blocks.
pub fn backup(config: &Config, options: &BackupOptions, now: Time) -> Result<Backup, BackupError> {
    if options.output.exists() && !options.force {
        return Err(BackupError::Exists(options.output.clone()));
    }
    blocking(async || {
        let store = connect(config).await?;
        let made = make(&*store, config, options, now).await;
        store.close().await;
        made
    })
}

async fn make(
    store: &dyn Store,
    config: &Config,
    options: &BackupOptions,
    now: Time,
) -> Result<Backup, BackupError> {
    let file = |error| BackupError::File(options.output.clone(), error);
    // Before the log is read: what neither waits now nor is stored comes later.
    let waiting = options.with_logs.then(|| log::waiting(&config.logging));
    let waiting = waiting.transpose()?;
    let (keys, master) = key(store, config, options.without_key).await?;
    let policies = store.snapshot().await?.policies;
    let manifest = Manifest {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        created: now.unix(),
        name: policies.name,
        url: policies.base_url.unwrap_or_default(),
        keys,
    };
    let draft = files::draft_beside(&options.output).map_err(file)?;
    let (rows, kept) = write(
        draft.as_file(),
        store,
        (config, options),
        (&manifest, master),
    )
    .await?;
    draft.as_file().sync_all().map_err(file)?;

    // Only what can be read is a backup.
    let found = summary(draft.path(), &options.password)?;
    if (&found.manifest, &found.rows, &found.files) != (&manifest, &rows, &kept) {
        return Err(BackupError::NotTheSame);
    }
    draft.as_file().rewind().map_err(file)?;
    let digest = archive::digest(draft.as_file()).map_err(file)?;
    let bytes = draft.as_file().metadata().map_err(file)?.len();
    let (events, certificates) = found.log();
    files::persist(draft, &options.output, options.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(options.output.clone()),
        _ => file(error),
    })?;
    Ok(Backup {
        archive: options.output.clone(),
        digest,
        bytes,
        rows: found.cluster_rows(),
        log: waiting.map(|waiting| SavedLog {
            events,
            certificates,
            waiting,
        }),
        files: kept.into_iter().map(FileName::as_str).collect(),
        of: manifest,
    })
}

/// Writes the archive; how many rows of which tables it has, and which files.
async fn write(
    to: &File,
    store: &dyn Store,
    (config, options): (&Config, &BackupOptions),
    (manifest, master): (&Manifest, Option<MasterKey>),
) -> Result<(BTreeMap<&'static str, u64>, Vec<FileName>), BackupError> {
    let file = |error| BackupError::File(options.output.clone(), error);
    let body = archive::create(BufWriter::new(to), &options.password)?;
    let mut writer = Writer::new(body, manifest).map_err(file)?;
    if let Some(master) = &master {
        writer.master_key(master.expose()).map_err(file)?;
    }
    let mut kept = Vec::new();
    for (name, path) in here(config, options) {
        let from = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| BackupError::File(path.clone(), error))?,
        };
        let written = writer.file(name, from);
        written.map_err(|error| BackupError::File(path, error))?;
        kept.push(name);
    }
    let mut sink = Rows {
        writer,
        written: BTreeMap::new(),
        failed: None,
    };
    let exported = store.export(&mut sink).await;
    if let Some(error) = sink.failed.take() {
        return Err(file(error));
    }
    exported?;
    if options.with_logs {
        let exported = log::export(&config.logging, &mut sink).await;
        if let Some(error) = sink.failed.take() {
            return Err(file(error));
        }
        exported.map_err(BackupError::Log)?;
    }
    let Rows {
        writer,
        written: rows,
        ..
    } = sink;
    let body = writer.finish().map_err(file)?;
    drop(body.finish().map_err(file)?);
    Ok((rows, kept))
}

/// The key that goes into the archive: with it and the archive's password alone everything opens.
async fn key(
    store: &dyn Store,
    config: &Config,
    without: bool,
) -> Result<(Keeping, Option<MasterKey>), BackupError> {
    let keeping = match key_protection::kept(store).await? {
        KeyProtection::SecurityModule { token, .. } if !without => {
            return Err(BackupError::InModule(token));
        }
        KeyProtection::SecurityModule { .. } => return Ok((Keeping::SecurityModule, None)),
        _ if without => return Ok((Keeping::Elsewhere, None)),
        KeyProtection::KeyFile => Keeping::KeyFile,
        KeyProtection::Password => Keeping::Password,
    };
    let unlocked = key_protection::unlock(store, &config.keys).await?;
    Ok((keeping, Some(unlocked.master)))
}

/// What this server has besides the database.
fn here(config: &Config, options: &BackupOptions) -> Vec<(FileName, PathBuf)> {
    let mut all = Vec::new();
    if let Some(path) = &options.configuration {
        all.push((FileName::Configuration, path.clone()));
    }
    // A list in the database is among its settings.
    if let (PeopleSource::File(path), None) = (&config.people, &config.directory) {
        all.push((FileName::People, path.clone()));
    }
    if let Some(path) = config.audit.as_ref().filter(|_| options.with_logs) {
        all.push((FileName::Audit, Path::to_owned(path)));
    }
    all
}

/// Takes the rows of an export into an archive.
struct Rows<W> {
    writer: Writer<W>,
    written: BTreeMap<&'static str, u64>,
    failed: Option<io::Error>,
}

impl<W: Write + Send> RowSink for Rows<W> {
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError> {
        self.writer.row(table, row).map_err(|error| {
            let reason = error.to_string();
            self.failed = Some(error);
            StoreError::Failed { reason }
        })?;
        *self.written.entry(table.name).or_default() += 1;
        Ok(())
    }
}
