//! Taking a server out of its cluster, which goes on without it (product: *Remove RMS from this Web
//! site*). What only the last server leaves behind, it names and keeps: without the database nobody
//! opens what was protected.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::ProvisionError;
use crate::config::Config;
use crate::files;
use crate::logging;
use crate::open::{blocking, connect};
use crate::servers;

/// What to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// Also the embedded database with the key file: everything that was protected is lost.
    pub with_database: bool,
    /// Go on although the database does not answer. The server stays on the cluster's list.
    pub without_database_answer: bool,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The cluster's URL, where it could be read.
    pub url: Option<String>,
    /// Servers that the cluster has left, where its list could be read.
    pub servers_left: Option<usize>,
    /// Files that are gone.
    pub removed: Vec<PathBuf>,
    /// What is kept, because the cluster, or a new server of it, needs it.
    pub kept: Vec<PathBuf>,
}

/// Takes this server out of its cluster and removes what was its own. A server whose set-up was
/// not completed is removed in the same way.
pub fn unprovision(config: &Config, removal: Removal) -> Result<Removed, ProvisionError> {
    let data = &config.data;
    let file = |error| ProvisionError::File(data.path().to_owned(), error);
    let Some(_nobody) = files::lock_alone(&data.running()).map_err(file)? else {
        return Err(ProvisionError::Running(data.path().to_owned()));
    };
    let left = blocking(async || {
        let store = connect(config).await?;
        let url = store.snapshot().await?.policies.base_url;
        store.remove_server(&servers::name(config)).await?;
        let left = store.servers().await?.len();
        store.close().await;
        Ok::<_, ProvisionError>((url, left))
    });
    let (url, servers_left) = match left {
        Ok((url, left)) => (url, Some(left)),
        Err(_) if removal.without_database_answer => (None, None),
        Err(error) => return Err(error),
    };
    let mut own = vec![data.config(), data.admin_token(), data.running()];
    let cache = data.directory_database();
    own.extend(["", "-wal", "-shm"].map(|suffix| with_suffix(&cache, suffix)));
    let (database, log) = (data.database(), data.logging_database());
    let mut precious = vec![data.master_key(), data.people(), data.audit()];
    precious.extend(["", "-wal", "-shm"].map(|suffix| with_suffix(&log, suffix)));
    precious.extend(["", "-wal", "-shm"].map(|suffix| with_suffix(&database, suffix)));
    if removal.with_database {
        own.append(&mut precious);
    }
    let mut removed = Vec::new();
    for path in own {
        match std::fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ProvisionError::File(path, error)),
        }
    }
    let mut kept: Vec<_> = precious.into_iter().filter(|path| path.exists()).collect();
    // Another server of the cluster can bring in what waits there.
    let spool = &config.logging.spool;
    let unsaved = |error| ProvisionError::File(spool.clone(), io::Error::other(error));
    if spool.is_dir() {
        let is_gone = logging::remove_spool(&config.logging).map_err(unsaved)?;
        let told = if is_gone { &mut removed } else { &mut kept };
        told.push(spool.clone());
    }
    // Whatever else is in the folder keeps it.
    let _ = std::fs::remove_dir(data.path());
    Ok(Removed {
        url,
        servers_left,
        removed,
        kept,
    })
}

fn with_suffix(path: &std::path::Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
