//! The master key: what seals every private key at rest. 32 bytes from a file that only the
//! server's user can read, or derived from a password that is kept elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::envelope::{self, EnvelopeError, PasswordKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::data_dir::DataDir;
use crate::files;

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MasterKeySource {
    /// `master.key` in the data directory.
    #[default]
    KeyFile,
    /// A password in this file; how the key is derived from it is in the data directory.
    PasswordFile(PathBuf),
}

/// The master key in memory.
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The key file does not hold a key.
    #[error("{0}: a master key has 32 bytes")]
    Length(PathBuf),
    /// Others can read the file.
    #[error("{0} can be read by other users: chmod 600 it")]
    Open(PathBuf),
    /// The parameters beside the database are damaged.
    #[error("{0}: {1}")]
    Parameters(PathBuf, String),
    /// The password is another one.
    #[error("the password in {0} is not the one that this data directory was made with")]
    WrongPassword(PathBuf),
    /// The password is empty.
    #[error("the password in {0} is empty")]
    EmptyPassword(PathBuf),
    /// The library failed.
    #[error("the master key cannot be made: {0}")]
    Failed(String),
}

impl MasterKeySource {
    /// Reads or derives the key. Deriving takes a tenth of a second and 64 MiB.
    pub fn load(&self, dir: &DataDir) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::KeyFile => read_key(&dir.master_key()),
            Self::PasswordFile(password) => derive(password, &dir.master_password()),
        }
    }

    /// The key, made now when the data directory has none.
    pub(crate) fn load_or_create(&self, dir: &DataDir) -> Result<MasterKey, MasterKeyError> {
        let path = match self {
            Self::KeyFile => dir.master_key(),
            Self::PasswordFile(_) => dir.master_password(),
        };
        let contents = match self {
            _ if path.exists() => return self.load(dir),
            Self::KeyFile => {
                let mut key = Zeroizing::new([0; 32]);
                openrms_crypto::random::fill(&mut *key).map_err(failed)?;
                Zeroizing::new(key.to_vec())
            }
            Self::PasswordFile(password) => Zeroizing::new(fresh_parameters(password)?),
        };
        match files::create_private(&path, &contents) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(MasterKeyError::File { path, error })
            }
            _ => self.load(dir),
        }
    }
}

impl MasterKey {
    /// The key.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// What stands in `master.password.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// [`PasswordKey`] in its stored form, base64.
    argon2id: String,
    /// [`CHECK`] sealed under the key, base64: tells a wrong password from a right one.
    check: String,
}

fn read_key(path: &Path) -> Result<MasterKey, MasterKeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let about = std::fs::metadata(path).map_err(|error| file(path, error))?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(MasterKeyError::Open(path.to_owned()));
    }
    let bytes = Zeroizing::new(files::read_limited(path, 32).map_err(|error| file(path, error))?);
    let key = <[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_| MasterKeyError::Length(path.to_owned()))?;
    Ok(MasterKey(Zeroizing::new(key)))
}

fn fresh_parameters(password: &Path) -> Result<Vec<u8>, MasterKeyError> {
    let secret = read_password(password)?;
    let parameters = PasswordKey::fresh().map_err(failed)?;
    let key = parameters.derive(&secret).map_err(failed)?;
    let check = envelope::seal(&key, CONTEXT, CHECK).map_err(failed)?;
    let stored = Parameters {
        argon2id: STANDARD.encode(parameters.to_bytes()),
        check: STANDARD.encode(check),
    };
    serde_json::to_vec(&stored).map_err(failed)
}

fn derive(password: &Path, stored: &Path) -> Result<MasterKey, MasterKeyError> {
    let secret = read_password(password)?;
    let bytes = files::read_limited(stored, 4096).map_err(|error| file(stored, error))?;
    let damaged = |why: String| MasterKeyError::Parameters(stored.to_owned(), why);
    let parameters: Parameters =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let decode = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| damaged(error.to_string()))
    };
    let argon2id = PasswordKey::from_bytes(&decode(&parameters.argon2id)?)
        .map_err(|error| damaged(error.to_string()))?;
    let key = argon2id.derive(&secret).map_err(failed)?;
    match envelope::open(&key, CONTEXT, &decode(&parameters.check)?) {
        Ok(_) => Ok(MasterKey(key)),
        Err(EnvelopeError::CannotOpen) => Err(MasterKeyError::WrongPassword(password.to_owned())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn read_password(path: &Path) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let bytes = Zeroizing::new(files::read_limited(path, 4096).map_err(|error| file(path, error))?);
    // Editors end a file with a line feed; no password does.
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |at| at + 1);
    match bytes.get(..end) {
        Some(password) if !password.is_empty() => Ok(Zeroizing::new(password.to_vec())),
        _ => Err(MasterKeyError::EmptyPassword(path.to_owned())),
    }
}

fn file(path: &Path, error: io::Error) -> MasterKeyError {
    MasterKeyError::File {
        path: path.to_owned(),
        error,
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "errors and texts are both handed over"
)]
fn failed(error: impl ToString) -> MasterKeyError {
    MasterKeyError::Failed(error.to_string())
}

const CONTEXT: &[u8] = b"openrms master key check 1";
const CHECK: &[u8] = b"the password is the one this data directory was made with";
