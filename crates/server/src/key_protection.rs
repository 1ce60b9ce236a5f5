//! How the private keys of a cluster are kept: which key encrypts them at rest, and how that one,
//! the master key, is kept itself. What every server of the cluster needs to know of it is in the
//! configuration database; what opens it is not ("private key protection" of the product).
//!
//! ```text
//! key file         master.key, which each server has a copy of
//! password         argon2id, or PBKDF2 under FIPS -> AES-256-GCM { master key }, in the database
//! security module  RSA in the module -> { master key }, in the database; the module also makes and
//!                  keeps the server's own keys, which nothing outside ever sees
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::envelope::{self, EnvelopeError, PasswordKey};
use openrms_crypto::pkcs11::{Pkcs11Provider, Pkcs11Settings};
use openrms_crypto::{KeyHandle, KeyProvider, Mode, Secret, SoftwareProvider, Wrapping};
use openrms_store::{KeyProtection as Stored, Store, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credential::{Credential, CredentialError};
use crate::files;

/// How the keys of a new cluster shall be kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyProtection {
    /// By a key in a file that only the server's user can read. For one server.
    #[default]
    KeyFile,
    /// By a password.
    Password,
    /// In a security module.
    SecurityModule {
        /// The library by which the module speaks PKCS #11.
        library: PathBuf,
        /// The label of the token.
        token: String,
    },
}

/// What one server opens the keys of its cluster with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAccess {
    /// The key file, where keys are protected by one.
    pub key_file: PathBuf,
    /// Where the password or the PIN comes from.
    pub credential: Credential,
    /// The module's library on this machine, when it is another one than where the cluster was
    /// set up.
    pub library: Option<PathBuf>,
}

/// The keys of a cluster, opened.
pub(crate) struct Unlocked {
    /// What keys of accounts, and all that is derived, are encrypted under.
    pub(crate) master: MasterKey,
    /// The server's own private keys.
    pub(crate) provider: Arc<dyn KeyProvider>,
    /// How they are kept.
    pub(crate) protection: KeyProtection,
    /// The version of what is stored about it.
    version: i64,
}

/// A master key in memory.
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

/// Why keys cannot be protected or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyProtectionError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing is stored of how keys are protected.
    #[error("the database says nothing of how its keys are protected")]
    Missing,
    /// No password, no PIN.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The key file cannot be read or written.
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
    /// Others can read the key file.
    #[error("{0} can be read by other users: chmod 600 it")]
    Open(PathBuf),
    /// The key file is that of another cluster.
    #[error("{0} is not the key file that this cluster was made with")]
    WrongKeyFile(PathBuf),
    /// The password is another one.
    #[error("the password from {0} is not that of this cluster")]
    WrongPassword(Credential),
    /// The security module, or its token, failed.
    #[error("the security module: {0}")]
    Module(String),
    /// The token's key does not open the master key.
    #[error("the token {0} is not the one that this cluster was made with")]
    WrongToken(String),
    /// What is stored cannot be read.
    #[error("what is stored of how keys are protected is damaged: {0}")]
    Damaged(String),
    /// The keys are protected in another way.
    #[error("the keys of this cluster are protected by {is}, not by {asked}")]
    Other {
        /// How they are.
        is: &'static str,
        /// How they should have been.
        asked: &'static str,
    },
    /// What is in a security module stays there.
    #[error("keys in a security module stay there, protected by its PIN")]
    StaysInModule,
    /// The library failed.
    #[error("the master key cannot be made: {0}")]
    Failed(String),
}

impl KeyProtection {
    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyFile => "a key file",
            Self::Password => "a password",
            Self::SecurityModule { .. } => "a security module",
        }
    }

    /// Protects the keys of a new cluster; when its keys are protected already, opens them. A
    /// second attempt therefore completes what a first one began.
    pub(crate) async fn establish(
        &self,
        store: &dyn Store,
        access: &KeyAccess,
    ) -> Result<Unlocked, KeyProtectionError> {
        if let Some(stored) = store.key_protection().await? {
            let unlocked = open(&stored, access)?;
            return unlocked.kept_by(self);
        }
        let (document, _) = self.protect(None, access)?;
        match store.set_key_protection(&document.to_json()?, None).await {
            Ok(stored) => open(&stored, access),
            // Another server was quicker.
            Err(StoreError::AlreadyExists { .. }) => unlock(store, access).await?.kept_by(self),
            Err(error) => Err(error.into()),
        }
    }

    /// Protects a master key: the one given, or a new one.
    fn protect(
        &self,
        master: Option<&MasterKey>,
        access: &KeyAccess,
    ) -> Result<(Document, MasterKey), KeyProtectionError> {
        let master = match master {
            Some(master) => MasterKey(master.0.clone()),
            None => MasterKey::random()?,
        };
        Ok(match self {
            Self::KeyFile => {
                let master = MasterKey::in_file(&access.key_file, &master)?;
                let check = envelope::seal(&master.0, CONTEXT, CHECK).map_err(failed)?;
                let check = STANDARD.encode(check);
                (Document::KeyFile { check }, master)
            }
            Self::Password => {
                let password = access.credential.read(PASSWORD)?;
                let parameters = PasswordKey::fresh().map_err(failed)?;
                let key = parameters.derive(&password).map_err(failed)?;
                let sealed = envelope::seal(&key, CONTEXT, &*master.0).map_err(failed)?;
                let document = Document::Password {
                    argon2id: STANDARD.encode(parameters.to_bytes()),
                    master: STANDARD.encode(sealed),
                };
                (document, master)
            }
            Self::SecurityModule { library, token } => {
                let provider = module(library, token, access)?;
                let (handle, key) = provider.generate(Mode::Two).map_err(in_module)?;
                let wrapped = key
                    .public()
                    .wrap_block(Wrapping::OaepSha1, &*master.0)
                    .map_err(failed)?;
                let document = Document::SecurityModule {
                    library: library.clone(),
                    token: token.clone(),
                    key: STANDARD.encode(handle.as_bytes()),
                    master: STANDARD.encode(wrapped),
                };
                (document, master)
            }
        })
    }
}

/// Opens the keys of a cluster. Deriving a key from a password takes a tenth of a second and
/// 64 MiB.
pub(crate) async fn unlock(
    store: &dyn Store,
    access: &KeyAccess,
) -> Result<Unlocked, KeyProtectionError> {
    let stored = store.key_protection().await?;
    open(&stored.ok_or(KeyProtectionError::Missing)?, access)
}

/// How the keys of a cluster are kept, without opening them.
pub(crate) async fn kept(store: &dyn Store) -> Result<KeyProtection, KeyProtectionError> {
    let stored = store.key_protection().await?;
    let stored = stored.ok_or(KeyProtectionError::Missing)?;
    let document = serde_json::from_str(&stored.document).map_err(damaged)?;
    Ok(match document {
        Document::KeyFile { .. } => KeyProtection::KeyFile,
        Document::Password { .. } => KeyProtection::Password,
        Document::SecurityModule { library, token, .. } => {
            KeyProtection::SecurityModule { library, token }
        }
    })
}

impl Unlocked {
    /// Protects the same keys in another way, or by another password. Fails when somebody else
    /// did so meanwhile.
    pub(crate) async fn protect_anew(
        &self,
        store: &dyn Store,
        how: &KeyProtection,
        access: &KeyAccess,
    ) -> Result<(), KeyProtectionError> {
        let in_module = |how: &KeyProtection| matches!(how, KeyProtection::SecurityModule { .. });
        if in_module(&self.protection) || in_module(how) {
            return Err(KeyProtectionError::StaysInModule);
        }
        let (document, _) = how.protect(Some(&self.master), access)?;
        let document = document.to_json()?;
        store
            .set_key_protection(&document, Some(self.version))
            .await?;
        Ok(())
    }

    fn kept_by(self, asked: &KeyProtection) -> Result<Self, KeyProtectionError> {
        if std::mem::discriminant(&self.protection) == std::mem::discriminant(asked) {
            return Ok(self);
        }
        Err(KeyProtectionError::Other {
            is: self.protection.name(),
            asked: asked.name(),
        })
    }
}

impl MasterKey {
    /// The key.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn random() -> Result<Self, KeyProtectionError> {
        let mut key = Zeroizing::new([0; 32]);
        openrms_crypto::random::fill(&mut *key).map_err(failed)?;
        Ok(Self(key))
    }

    /// What the file holds, which is this key when there was no file.
    fn in_file(path: &Path, key: &Self) -> Result<Self, KeyProtectionError> {
        match files::create_private(path, &*key.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(path, error)),
            _ => Self::read(path),
        }
    }

    fn read(path: &Path) -> Result<Self, KeyProtectionError> {
        use std::os::unix::fs::PermissionsExt as _;
        let about = std::fs::metadata(path).map_err(|error| file(path, error))?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(KeyProtectionError::Open(path.to_owned()));
        }
        let bytes = files::read_limited(path, 32).map_err(|error| file(path, error))?;
        Self::from_bytes(&Zeroizing::new(bytes))
            .ok_or_else(|| KeyProtectionError::Length(path.to_owned()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = <[u8; 32]>::try_from(bytes).ok()?;
        Some(Self(Zeroizing::new(key)))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// What is in the database. Binary values are base64.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Document {
    KeyFile {
        /// [`CHECK`] sealed under the master key: tells a wrong file from the right one.
        check: String,
    },
    Password {
        /// [`PasswordKey`] in its stored form. The name is older than its other derivation.
        argon2id: String,
        /// The master key, sealed under the password's key.
        master: String,
    },
    SecurityModule {
        /// The library where the cluster was set up.
        library: PathBuf,
        /// The label of the token.
        token: String,
        /// The handle of the module's key that wraps the master key.
        key: String,
        /// The master key, wrapped to that key with OAEP.
        master: String,
    },
}

impl Document {
    fn to_json(&self) -> Result<String, KeyProtectionError> {
        serde_json::to_string(self).map_err(failed)
    }
}

fn open(stored: &Stored, access: &KeyAccess) -> Result<Unlocked, KeyProtectionError> {
    let document: Document = serde_json::from_str(&stored.document)
        .map_err(|error| KeyProtectionError::Damaged(error.to_string()))?;
    let version = stored.version;
    match document {
        Document::KeyFile { check } => {
            let master = MasterKey::read(&access.key_file)?;
            match envelope::open(&master.0, CONTEXT, &decode(&check)?) {
                Ok(_) => Ok(Unlocked::software(master, KeyProtection::KeyFile, version)),
                Err(EnvelopeError::CannotOpen) => {
                    Err(KeyProtectionError::WrongKeyFile(access.key_file.clone()))
                }
                Err(error) => Err(damaged(error)),
            }
        }
        Document::Password { argon2id, master } => {
            let parameters = PasswordKey::from_bytes(&decode(&argon2id)?).map_err(damaged)?;
            let password = access.credential.read(PASSWORD)?;
            let key = parameters.derive(&password).map_err(failed)?;
            match envelope::open(&key, CONTEXT, &decode(&master)?) {
                Ok(opened) => {
                    let master = MasterKey::from_bytes(opened.expose())
                        .ok_or_else(|| damaged("the master key has another length"))?;
                    Ok(Unlocked::software(master, KeyProtection::Password, version))
                }
                Err(EnvelopeError::CannotOpen) => {
                    Err(KeyProtectionError::WrongPassword(access.credential.clone()))
                }
                Err(error) => Err(damaged(error)),
            }
        }
        Document::SecurityModule {
            library,
            token,
            key,
            master,
        } => {
            let library = access.library.clone().unwrap_or(library);
            let provider = module(&library, &token, access)?;
            let wrong = || KeyProtectionError::WrongToken(token.clone());
            let key = provider
                .load(&KeyHandle::new(decode(&key)?))
                .map_err(|_| wrong())?;
            let opened = key
                .open_block(Wrapping::OaepSha1, &decode(&master)?)
                .map_err(|_| wrong())?;
            let master = MasterKey::from_bytes(opened.expose()).ok_or_else(wrong)?;
            Ok(Unlocked {
                master,
                provider: Arc::new(provider),
                protection: KeyProtection::SecurityModule { library, token },
                version,
            })
        }
    }
}

impl Unlocked {
    /// The keys of a restored cluster, by the master key that the backup holds.
    pub(crate) async fn of_backup(
        store: &dyn Store,
        master: Zeroizing<[u8; 32]>,
    ) -> Result<Self, KeyProtectionError> {
        let protection = kept(store).await?;
        if matches!(protection, KeyProtection::SecurityModule { .. }) {
            return Err(KeyProtectionError::StaysInModule);
        }
        let stored = store.key_protection().await?;
        let version = stored.ok_or(KeyProtectionError::Missing)?.version;
        Ok(Self::software(MasterKey(master), protection, version))
    }

    fn software(master: MasterKey, protection: KeyProtection, version: i64) -> Self {
        Self {
            provider: Arc::new(SoftwareProvider::new(&master.0)),
            master,
            protection,
            version,
        }
    }
}

fn module(
    library: &Path,
    token: &str,
    access: &KeyAccess,
) -> Result<Pkcs11Provider, KeyProtectionError> {
    let pin = access
        .credential
        .read(&format!("PIN of the token {token}"))?;
    Pkcs11Provider::open(&Pkcs11Settings {
        module: library.to_owned(),
        token: token.to_owned(),
        pin: Secret::from(pin.as_slice()),
    })
    .map_err(in_module)
}

fn decode(text: &str) -> Result<Vec<u8>, KeyProtectionError> {
    STANDARD.decode(text).map_err(damaged)
}

fn file(path: &Path, error: io::Error) -> KeyProtectionError {
    KeyProtectionError::File {
        path: path.to_owned(),
        error,
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "errors and texts are both handed over"
)]
fn failed(error: impl ToString) -> KeyProtectionError {
    KeyProtectionError::Failed(error.to_string())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "errors and texts are both handed over"
)]
fn damaged(error: impl ToString) -> KeyProtectionError {
    KeyProtectionError::Damaged(error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "handed over by map_err")]
fn in_module(error: openrms_crypto::provider::ProviderError) -> KeyProtectionError {
    KeyProtectionError::Module(error.to_string())
}

/// What people are asked for.
const PASSWORD: &str = "Password of the cluster's keys";
const CONTEXT: &[u8] = b"openrms master key 2";
const CHECK: &[u8] = b"this is the key file that the cluster was made with";
