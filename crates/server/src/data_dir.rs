//! The data directory: everything one server keeps, in one folder that only its user can enter.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openrms_crypto::Secret;

use crate::files;

/// Names of the files in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The data directory at a path, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("openrms.db")
    }

    /// The directory services database. It can be deleted at any time.
    pub fn directory_database(&self) -> PathBuf {
        self.0.join("directory.db")
    }

    /// The master key, 32 bytes, where no password guards it.
    pub fn master_key(&self) -> PathBuf {
        self.0.join("master.key")
    }

    /// The people list.
    pub fn people(&self) -> PathBuf {
        self.0.join("people.toml")
    }

    /// The bearer token of the administration site.
    pub fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// The server's configuration file.
    pub fn config(&self) -> PathBuf {
        self.0.join("rmsd.toml")
    }

    /// The logging database.
    pub fn logging_database(&self) -> PathBuf {
        self.0.join("logging.db")
    }

    /// Where events wait for the logging database.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// The audit file.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// Tickets that were used, so that none is used twice.
    pub(crate) fn replay_cache(&self) -> PathBuf {
        self.0.join("tickets.replay")
    }

    /// What running servers hold, so that nobody takes the folder away from under them.
    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running.lock")
    }

    /// The token of the administration site.
    pub fn read_admin_token(&self) -> io::Result<Secret> {
        let bytes = files::read_limited(&self.admin_token(), 1024)?;
        Ok(Secret::new(bytes.trim_ascii().to_vec()))
    }

    /// Makes the token of the administration site unless there is one.
    pub(crate) fn make_admin_token(&self) -> io::Result<()> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        openrms_crypto::random::fill(&mut *bytes).map_err(io::Error::other)?;
        let token = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        match files::create_private(&self.admin_token(), token.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }
}
