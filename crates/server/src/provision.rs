//! Setting up a cluster: folder, database, protection of keys, trust anchor or enrollment with one,
//! people list, server key and SLC, policies.
//!
//! Every step leaves something whole. A process that is killed between two of them leaves a
//! folder that the same command completes; one that is complete is never overwritten.

mod checks;
mod cluster;
mod config_file;
mod join;
mod remove;
#[cfg(test)]
mod tests;
mod url;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use openrms_crypto::{Mode, PublicKey};
use openrms_directory::{ForestName, People, PeopleError};
use openrms_engine::authority::{self, AuthorityError};
use openrms_protocol::level::NotAtLevel;
use openrms_protocol::{Feature, ServiceLevel};
use openrms_store::{Change, Found, StoreError};
use openrms_xrml::anchors::Anchors;
use serde::Serialize;

use crate::authority::TrustError;
use crate::clock;
use crate::config::{ConfigError, Tls};
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};
pub use crate::enrollment::EnrollError;
use crate::enrollment::{self, Applicant, OnLine, SignIn, Trust};
use crate::files;
use crate::key_protection::{KeyAccess, KeyProtection, KeyProtectionError};
use crate::open::{OpenError, Opened, blocking};
use crate::people::{self, PeopleFileError};
use crate::root_cluster::RootSignIn;
pub use checks::{Check, Verdict, checks};
use config_file::OneServer;
pub use join::{JoinOptions, Joined, join};
pub use remove::{Removal, Removed, unprovision};
use url::BaseUrl;
pub(crate) use url::{base_url, is_loopback_url};

/// What a root cluster, or a licensing cluster below one, is made of.
#[derive(Debug, Clone)]
pub struct RootOptions {
    /// The data directory; it is made.
    pub data: PathBuf,
    /// The URL by which clients reach the cluster, such as `https://rms.example.com`. It goes into
    /// every license and cannot be changed.
    pub url: String,
    /// What people call the cluster.
    pub name: String,
    /// The version of RMS as which this server behaves.
    pub service_level: ServiceLevel,
    /// The cryptographic mode.
    pub mode: Mode,
    /// Who certifies the server.
    pub authority: Authority,
    /// Forest of the people list; the host of the URL when absent.
    pub forest: Option<String>,
    /// The people to begin with.
    pub people: Option<People>,
    /// The database server, when the database is at one and not in the data directory.
    pub database: Option<DatabaseServer>,
    /// How the private keys are kept.
    pub keys: KeyProtection,
    /// What opens them: the password, or the PIN of the security module.
    pub credential: Credential,
    /// Addresses for the configuration file; chosen after the URL when empty.
    pub listen: Vec<SocketAddr>,
    /// HTTPS for the configuration file.
    pub tls: Option<Tls>,
    /// The HTTP proxy by which this server asks others.
    pub proxy: Option<String>,
    /// What this server is called among those of the cluster; as the machine when absent.
    pub server_name: Option<String>,
    /// The mail address of whoever administers the cluster. People who are refused something are
    /// told it.
    pub contact: Option<String>,
    /// How this server signs in to its root cluster.
    pub sign_in: Option<RootSignIn>,
    /// Whether the configuration file says so too, but for a password that is in no file: the server
    /// then renews its certificate by itself.
    pub keep_sign_in: bool,
    /// The only anchors that are believed to be those of whoever certifies the server.
    pub anchors: Option<Anchors>,
    /// Public keys of third parties that may revoke the server's certificate.
    pub revocation_keys: Vec<PublicKey>,
    /// For how many days this cluster's authority certifies servers, and this cluster others; a
    /// year when absent.
    pub slc_days: Option<u32>,
}

/// Who certifies the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authority {
    /// A trust anchor of its own, in the same data directory.
    #[default]
    Own,
    /// The enrollment service at this URL, and the client bundle beside it.
    Enroll(String),
    /// An authority that gets the request by hand.
    Files,
    /// The root cluster at this URL: this one becomes a licensing cluster.
    Root(String),
    /// The root cluster at this URL, which gets the request by hand.
    RootByFiles(String),
}

/// What provisioning did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provisioned {
    /// The base URL, ending in `/_wmcs`.
    pub url: String,
    /// The cluster's name.
    pub name: String,
    /// The cryptographic mode, 1 or 2.
    pub mode: u8,
    /// Fingerprint of the server's key.
    pub server_key: String,
    /// Where everything is.
    pub data: PathBuf,
    /// Whether somebody has certified the server, which it cannot serve without.
    pub enrolled: bool,
    /// Whether it was there already, and nothing was done.
    pub already: bool,
}

/// A step of provisioning that is done and survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The data directory is there.
    Folder,
    /// The database is there, empty.
    Database,
    /// The keys to come are protected.
    Keys,
    /// The hierarchy is in the database.
    Hierarchy,
    /// The people list is there.
    People,
    /// The token of the administration site is there.
    AdminToken,
    /// The configuration file is there.
    ConfigFile,
    /// Server key and policies are in the database.
    Cluster,
    /// The SLC is in the database, and who is trusted with it.
    Enrolled,
}

/// Why a cluster cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The URL cannot be a cluster's.
    #[error("{url} cannot be a cluster's URL: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// Why not.
        reason: &'static str,
    },
    /// There is a cluster already, and it is another one.
    #[error("{data} already holds the cluster {url} in mode {mode}, which is not overwritten")]
    AlreadyProvisioned {
        /// The data directory.
        data: PathBuf,
        /// The URL of the cluster that is there.
        url: String,
        /// Its mode.
        mode: u8,
    },
    /// A file or folder cannot be made.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The keys cannot be protected.
    #[error(transparent)]
    Keys(#[from] KeyProtectionError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The trust anchor cannot be made or used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What clients trust cannot be kept.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The people list cannot be made.
    #[error(transparent)]
    PeopleFile(#[from] PeopleFileError),
    /// The people list to begin with is wrong.
    #[error("the people list: {0}")]
    People(#[from] PeopleError),
    /// Servers of this level are not set up so.
    #[error(transparent)]
    Level(#[from] NotAtLevel),
    /// The server was not certified.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// There is no cluster to join.
    #[error("{0} holds no cluster to join: set one up with `rmsd provision root`")]
    NothingToJoin(String),
    /// There is a server already, of another cluster.
    #[error("{data} already holds a server of {url}")]
    OtherServer {
        /// The data directory.
        data: PathBuf,
        /// The cluster's URL.
        url: String,
    },
    /// What is there cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server is running.
    #[error("a server is running with {0}: stop it first")]
    Running(PathBuf),
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(String),
}

impl Authority {
    fn is_by_files(&self) -> bool {
        matches!(self, Self::Files | Self::RootByFiles(_))
    }
}

impl RootOptions {
    /// Refuses what servers of its level do not have.
    pub(crate) fn check_level(&self) -> Result<(), NotAtLevel> {
        if self.mode == Mode::Two {
            self.service_level.require(Feature::ModeTwo)?;
        }
        match self.authority {
            Authority::Own => self.service_level.require(Feature::SelfEnrollment),
            Authority::Files | Authority::RootByFiles(_) => {
                self.service_level.require(Feature::OfflineEnrollment)
            }
            Authority::Enroll(_) | Authority::Root(_) => Ok(()),
        }
    }

    /// A cluster with its own trust anchor in mode 2.
    pub fn new(data: impl Into<PathBuf>, url: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            url: url.into(),
            name: "OpenRMS".into(),
            service_level: ServiceLevel::default(),
            mode: Mode::Two,
            authority: Authority::Own,
            forest: None,
            people: None,
            database: None,
            keys: KeyProtection::KeyFile,
            credential: Credential::None,
            listen: Vec::new(),
            tls: None,
            proxy: None,
            server_name: None,
            contact: None,
            sign_in: None,
            keep_sign_in: false,
            anchors: None,
            revocation_keys: Vec::new(),
            slc_days: None,
        }
    }
}

/// Sets up a root cluster, or completes what an earlier attempt began. Blocks: eight key pairs
/// are made.
pub fn provision_root(options: &RootOptions) -> Result<Provisioned, ProvisionError> {
    provision_root_with(options, &|_| {})
}

/// As [`provision_root`]; tells of each step once it is done.
pub fn provision_root_with(
    options: &RootOptions,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Provisioned, ProvisionError> {
    options.check_level()?;
    let url = BaseUrl::parse(&options.url)?;
    let data = DataDir::new(&options.data);
    let _held = prepare_folder(&data)?;
    progress(Step::Folder);
    blocking(async || {
        let (keys, credential) = (&options.keys, &options.credential);
        let opened = open(&data, options.database.as_ref(), keys, credential, progress).await?;
        let snapshot = opened.store.snapshot().await?;
        if let (Some(key), Some(there)) =
            (snapshot.current_licensor_key(), &snapshot.policies.base_url)
        {
            let mode = key.mode.number();
            if *there != url.base || mode != options.mode.number() {
                return Err(ProvisionError::AlreadyProvisioned {
                    data: options.data.clone(),
                    url: there.clone(),
                    mode,
                });
            }
            if !key.slc_chain.is_empty() {
                return Ok(Provisioned {
                    url: there.clone(),
                    name: snapshot.policies.name.clone(),
                    mode,
                    server_key: key.id.clone(),
                    data: options.data.clone(),
                    enrolled: true,
                    already: true,
                });
            }
        }
        if options.authority == Authority::Own {
            store_hierarchy(&opened, &options.name, options.mode, progress).await?;
        }
        let list = match (&options.people, &options.forest) {
            (Some(list), _) => list.clone(),
            (None, forest) => {
                people::empty(forest_name(forest.as_deref().unwrap_or(&url.host))?, None)?
            }
        };
        // Servers that share a database share the list.
        let shared = match options.database {
            None => {
                people::create(&data.people(), &list)?;
                None
            }
            Some(_) => Some(people::setting(&list)?),
        };
        progress(Step::People);
        let file = |error| ProvisionError::File(data.admin_token(), error);
        data.make_admin_token().map_err(file)?;
        progress(Step::AdminToken);
        OneServer::from(options).write(&data, &url)?;
        progress(Step::ConfigFile);
        let snapshot = opened.store.snapshot().await?;
        let server_key = cluster::make(&opened, options, &url, shared, &snapshot).await?;
        progress(Step::Cluster);
        let by_files = options.authority.is_by_files();
        if !by_files {
            enroll(&opened, options, progress).await?;
        }
        opened.store.close().await;
        Ok(Provisioned {
            url: url.base,
            name: options.name.clone(),
            mode: options.mode.number(),
            server_key,
            data: options.data.clone(),
            enrolled: !by_files,
            already: false,
        })
    })
}

/// Has the server certified.
async fn enroll(
    opened: &Opened,
    options: &RootOptions,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(), ProvisionError> {
    let trust = Trust {
        bundle: None,
        pinned: options.anchors.clone(),
    };
    let sign_in = options.sign_in.as_ref();
    let by = OnLine {
        sign_in: sign_in.map_or(Ok(SignIn::Nobody), RootSignIn::open)?,
        proxy: options.proxy.clone(),
    };
    let server = Applicant::new(opened, options.service_level);
    enrollment::on_line(server, trust, &by, clock::now()).await?;
    progress(Step::Enrolled);
    Ok(())
}

/// Makes a trust anchor alone; a root cluster may be set up beside it later. Says whether it was
/// made now.
pub fn create_authority(
    data: impl Into<PathBuf>,
    name: &str,
    mode: Mode,
    keys: &KeyProtection,
    credential: &Credential,
) -> Result<bool, ProvisionError> {
    let data = DataDir::new(data);
    let _held = prepare_folder(&data)?;
    blocking(async || {
        let opened = open(&data, None, keys, credential, &|_| {}).await?;
        let made = store_hierarchy(&opened, name, mode, &|_| {}).await;
        opened.store.close().await;
        made
    })
}

fn prepare_folder(data: &DataDir) -> Result<std::fs::File, ProvisionError> {
    let file = |error| ProvisionError::File(data.path().to_owned(), error);
    files::private_folder(data.path()).map_err(file)?;
    let held = files::lock_folder(data.path()).map_err(file)?;
    files::remove_drafts(data.path()).map_err(file)?;
    Ok(held)
}

async fn open(
    data: &DataDir,
    database: Option<&DatabaseServer>,
    keys: &KeyProtection,
    credential: &Credential,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Opened, ProvisionError> {
    let database = match database {
        None => Database::Embedded(data.database()),
        Some(server) => Database::Server(server.clone()),
    };
    let location = database.location().map_err(OpenError::Password)?;
    if location.inspect().await? == Found::Missing {
        location.create_database().await?;
    }
    let store = location.open_or_create().await?;
    progress(Step::Database);
    let access = KeyAccess {
        key_file: data.master_key(),
        credential: credential.clone(),
        library: None,
    };
    let unlocked = keys.establish(&*store, &access).await?;
    progress(Step::Keys);
    Ok(Opened::with_keys(store, unlocked)?)
}

/// The hierarchy in the database: the one that is there, or a new one. Says whether it was made now.
async fn store_hierarchy(
    opened: &Opened,
    name: &str,
    mode: Mode,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<bool, ProvisionError> {
    let roles = opened.store.authority_roles().await?;
    let is_new = roles.is_empty();
    if is_new {
        let now = clock::now();
        let made = authority::create(&*opened.provider, &opened.vault, name, mode, now)?;
        let roles = made.roles.into_iter().map(Change::AddAuthorityRole);
        opened.store.apply(&roles.collect::<Vec<_>>(), None).await?;
    } else {
        // SPCs of a hierarchy of one mode are refused by a cluster of the other.
        authority::spc_authority_key(&roles, mode)?;
    }
    progress(Step::Hierarchy);
    Ok(is_new)
}

fn forest_name(text: &str) -> Result<ForestName, ProvisionError> {
    // An address in brackets is no DNS name.
    let text = if text.starts_with('[') {
        "localhost"
    } else {
        text
    };
    text.parse().map_err(|_| {
        PeopleError::BadForest {
            name: text.to_owned(),
        }
        .into()
    })
}
