//! Setting up a cluster: folder, master key, database, trust anchor or enrollment with one,
//! server key and SLC, policies, people list.
//!
//! Every step leaves something whole. A process that is killed between two of them leaves a
//! folder that the same command completes; one that is complete is never overwritten.

mod enroll;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use axum::http::Uri;
use openrms_crypto::{KeyProvider as _, Mode};
use openrms_directory::{ForestName, People, PeopleError};
use openrms_engine::authority::{self, AuthorityError, EnrollmentService};
use openrms_store::{
    AuthorityRole, Change, CryptographicMode, LicensorKey, Policies, SealedBytes, Sqlite,
    Store as _, StoreError, TrustedSpcCaKey,
};
use openrms_xrml::chain;
use serde::Serialize;

use crate::authority::{ClientTrust, FOREIGN, Pending, TrustError};
use crate::clock;
use crate::config::Tls;
use crate::data_dir::DataDir;
use crate::files;
use crate::master_key::{MasterKeyError, MasterKeySource};
use crate::open::{OpenError, Opened, blocking};
use crate::people::{self, PeopleFileError};
pub use enroll::EnrollError;

/// What a root cluster is made of.
#[derive(Debug, Clone)]
pub struct RootOptions {
    /// The data directory; it is made.
    pub data: PathBuf,
    /// The URL by which clients reach the cluster, such as `https://rms.example.com`. It goes into
    /// every license and cannot be changed.
    pub url: String,
    /// What people call the cluster.
    pub name: String,
    /// The cryptographic mode.
    pub mode: Mode,
    /// Who certifies the server.
    pub authority: Authority,
    /// Forest of the people list; the host of the URL when absent.
    pub forest: Option<String>,
    /// The people to begin with.
    pub people: Option<People>,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// Addresses for the configuration file; chosen after the URL when empty.
    pub listen: Vec<SocketAddr>,
    /// HTTPS for the configuration file.
    pub tls: Option<Tls>,
}

/// Who certifies the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authority {
    /// A trust anchor of its own, in the same data directory.
    #[default]
    Own,
    /// The enrollment service at this URL, and the client bundle beside it.
    Enroll(String),
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
    /// Whether it was there already, and nothing was done.
    pub already: bool,
}

/// A step of provisioning that is done and survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The data directory is there.
    Folder,
    /// The master key is there.
    MasterKey,
    /// The database is there, empty.
    Database,
    /// The hierarchy's keys are made and written down.
    HierarchyMade,
    /// The hierarchy is in the database.
    HierarchyStored,
    /// The people list is there.
    People,
    /// The token of the administration site is there.
    AdminToken,
    /// The configuration file is there.
    ConfigFile,
    /// Server key, SLC, policies and trust are in the database.
    Cluster,
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
    /// The trust anchor in the data directory was made for the other mode.
    #[error("the authority in {0} was made for the other cryptographic mode")]
    AuthorityMode(PathBuf),
    /// A file or folder cannot be made.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// No master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
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
    /// The server was not certified.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(String),
}

impl RootOptions {
    /// A cluster with its own trust anchor in mode 2.
    pub fn new(data: impl Into<PathBuf>, url: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            url: url.into(),
            name: "OpenRMS".into(),
            mode: Mode::Two,
            authority: Authority::Own,
            forest: None,
            people: None,
            master_key: MasterKeySource::KeyFile,
            listen: Vec::new(),
            tls: None,
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
    let url = BaseUrl::parse(&options.url)?;
    let data = DataDir::new(&options.data);
    let _held = prepare_folder(&data)?;
    progress(Step::Folder);
    blocking(async || {
        let opened = open(&data, &options.master_key, progress).await?;
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
            return Ok(Provisioned {
                url: there.clone(),
                name: snapshot.policies.name.clone(),
                mode,
                server_key: key.id.clone(),
                data: options.data.clone(),
                already: true,
            });
        }
        if options.authority == Authority::Own {
            store_hierarchy(&data, &opened, &options.name, options.mode, progress).await?;
        }
        let list = match (&options.people, &options.forest) {
            (Some(list), _) => list.clone(),
            (None, forest) => {
                people::empty(forest_name(forest.as_deref().unwrap_or(&url.host))?, None)?
            }
        };
        people::create(&data.people(), &list)?;
        progress(Step::People);
        let file = |error| ProvisionError::File(data.admin_token(), error);
        data.make_admin_token().map_err(file)?;
        progress(Step::AdminToken);
        write_config(&data, options, &url)?;
        progress(Step::ConfigFile);
        let server_key = make_cluster(&opened, options, &url, snapshot.version).await?;
        progress(Step::Cluster);
        opened.store.close().await;
        Ok(Provisioned {
            url: url.base,
            name: options.name.clone(),
            mode: options.mode.number(),
            server_key,
            data: options.data.clone(),
            already: false,
        })
    })
}

/// Makes a trust anchor alone; a root cluster may be set up beside it later. Says whether it was
/// made now.
pub fn create_authority(
    data: impl Into<PathBuf>,
    name: &str,
    mode: Mode,
    master_key: &MasterKeySource,
) -> Result<bool, ProvisionError> {
    let data = DataDir::new(data);
    let _held = prepare_folder(&data)?;
    blocking(async || {
        let opened = open(&data, master_key, &|_| {}).await?;
        let made = store_hierarchy(&data, &opened, name, mode, &|_| {}).await;
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
    master_key: &MasterKeySource,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Opened, ProvisionError> {
    master_key.load_or_create(data)?;
    progress(Step::MasterKey);
    let store = Sqlite::open_or_create(&data.database()).await?;
    progress(Step::Database);
    Ok(Opened::with_keys(store, data, master_key)?)
}

/// The hierarchy in the database: the one that is there, the one an earlier attempt wrote down,
/// or a new one.
async fn store_hierarchy(
    data: &DataDir,
    opened: &Opened,
    name: &str,
    mode: Mode,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<bool, ProvisionError> {
    let pending = match Pending::find(data) {
        Some(pending) => Some(pending),
        None if opened.store.authority_roles().await?.is_empty() => {
            let now = clock::now();
            let made = authority::create(&opened.provider, &opened.vault, name, mode, now)?;
            Some(Pending::write(data, &made)?)
        }
        None => None,
    };
    progress(Step::HierarchyMade);
    let made = pending.is_some();
    if let Some(pending) = pending {
        pending.store(&opened.store).await?;
        pending.done()?;
    }
    progress(Step::HierarchyStored);
    check_mode(data, &opened.store.authority_roles().await?, mode)?;
    Ok(made)
}

/// SPCs of a hierarchy of one mode are refused by a cluster of the other.
fn check_mode(data: &DataDir, roles: &[AuthorityRole], mode: Mode) -> Result<(), ProvisionError> {
    let key = authority::spc_authority_key(roles)?;
    if key.bits() == mode.rsa_bits() {
        Ok(())
    } else {
        Err(ProvisionError::AuthorityMode(data.path().to_owned()))
    }
}

/// Makes the server's key, has it certified, and stores everything in one transaction.
async fn make_cluster(
    opened: &Opened,
    options: &RootOptions,
    url: &BaseUrl,
    version: openrms_store::ConfigurationVersion,
) -> Result<String, ProvisionError> {
    let (handle, key) = opened
        .provider
        .generate(options.mode)
        .map_err(|error| ProvisionError::Key(error.to_string()))?;
    let policies = Policies {
        name: options.name.clone(),
        server_version: SERVER_VERSION.into(),
        sku: SERVER_SKU.into(),
        cryptographic_mode: stored_mode(options.mode),
        base_url: Some(url.base.clone()),
        ..Policies::default()
    };
    let request = enroll::request(key.public(), &policies)?;
    let now = clock::now();
    let (slc_chain, spc_authority, foreign) = match &options.authority {
        Authority::Own => {
            let roles = opened.store.authority_roles().await?;
            let service = EnrollmentService::load(&roles, &opened.provider)?;
            let answer = service
                .enroll(&request, SLC_DAYS, now)
                .map_err(|refusal| EnrollError::Refused(refusal.to_string()))?;
            let chain = answer.licensor_certificate_chain.concatenated();
            (chain, authority::spc_authority_key(&roles)?, None)
        }
        Authority::Enroll(service) => {
            let trust = enroll::fetch_trust(service)?;
            let anchors = trust.anchors()?;
            let spc_authority = enroll::spc_authority(&trust, &anchors, now)?;
            let chain = enroll::over_http(service, request.clone(), key.public(), &anchors, now)?;
            (chain, spc_authority, Some(trust))
        }
    };
    let guid = chain::parse_verified(&slc_chain)
        .ok()
        .and_then(|nodes| {
            nodes
                .first()?
                .content()
                .principal
                .as_ref()?
                .object
                .as_guid()
        })
        .ok_or_else(|| EnrollError::Unusable("the SLC names no GUID".into()))?;
    let id = key.public().fingerprint_hex();
    let mut changes = vec![
        Change::AddLicensorKey(LicensorKey {
            id: id.clone(),
            guid: guid.0,
            mode: stored_mode(options.mode),
            sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
            slc_chain,
            created: now.unix(),
            retired: false,
        }),
        Change::SetPolicies(Box::new(policies)),
        Change::PutTrustedSpcCaKey(TrustedSpcCaKey {
            modulus: spc_authority.modulus_le().to_vec(),
            exponent: spc_authority.exponent(),
            name: match &options.authority {
                Authority::Own => "this cluster's clients".into(),
                Authority::Enroll(service) => format!("clients of {service}"),
            },
        }),
    ];
    if let Some(trust) = foreign {
        changes.push(foreign_setting(&trust)?);
    }
    opened.store.apply(&changes, Some(version)).await?;
    Ok(id)
}

fn foreign_setting(trust: &ClientTrust) -> Result<Change, ProvisionError> {
    let value = serde_json::to_string(trust)
        .map_err(|error| TrustError::Damaged("client trust", error.to_string()))?;
    Ok(Change::PutSetting {
        name: FOREIGN.into(),
        value,
    })
}

fn stored_mode(mode: Mode) -> CryptographicMode {
    match mode {
        Mode::One => CryptographicMode::One,
        Mode::Two => CryptographicMode::Two,
    }
}

/// A URL that clients reach the cluster by, taken apart.
struct BaseUrl {
    base: String,
    host: String,
    port: u16,
    secure: bool,
}

impl BaseUrl {
    fn parse(url: &str) -> Result<Self, ProvisionError> {
        let wrong = |reason| ProvisionError::Url {
            url: url.to_owned(),
            reason,
        };
        let uri: Uri = url.trim().parse().map_err(|_| wrong("it is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name"));
        }
        if authority.port_u16() == Some(0) {
            return Err(wrong("port 0 is no port that clients can reach"));
        }
        let path = uri.path().trim_end_matches('/');
        if uri.query().is_some() || !(path.is_empty() || path.eq_ignore_ascii_case("/_wmcs")) {
            return Err(wrong(
                "clients look below /_wmcs only: give scheme and host",
            ));
        }
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            base: format!(
                "{scheme}://{}/_wmcs",
                authority.as_str().to_ascii_lowercase()
            ),
            host: authority.host().to_ascii_lowercase(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            secure,
        })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// Where to listen: at the URL's port, or beside a proxy that does HTTPS.
    fn listen(&self, has_tls: bool) -> SocketAddr {
        let own = self
            .host
            .trim_matches(['[', ']'])
            .parse()
            .ok()
            .filter(IpAddr::is_loopback);
        match own {
            Some(ip) => (ip, self.port).into(),
            None if self.is_loopback() => (Ipv4Addr::LOCALHOST, self.port).into(),
            None if self.secure && !has_tls => (Ipv4Addr::LOCALHOST, 8080).into(),
            None => (Ipv4Addr::UNSPECIFIED, self.port).into(),
        }
    }
}

/// Whether a cluster's URL leads to this very machine.
pub(crate) fn is_loopback_url(url: &str) -> bool {
    BaseUrl::parse(url).is_ok_and(|url| url.is_loopback())
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

/// The configuration file, as an administrator would begin it.
#[derive(Serialize)]
struct ConfigFile<'a> {
    url: &'a str,
    listen: Vec<SocketAddr>,
    audit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsTable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialTable>,
}

#[derive(Serialize)]
struct TlsTable<'a> {
    listen: Vec<SocketAddr>,
    certificate: &'a PathBuf,
    key: &'a PathBuf,
}

#[derive(Serialize)]
struct CredentialTable {
    password_file: PathBuf,
}

fn write_config(
    data: &DataDir,
    options: &RootOptions,
    url: &BaseUrl,
) -> Result<(), ProvisionError> {
    let file = |error| ProvisionError::File(data.config(), error);
    let chosen = vec![url.listen(options.tls.is_some())];
    let given = |listen: &Vec<_>| {
        if listen.is_empty() {
            chosen.clone()
        } else {
            listen.clone()
        }
    };
    let tls = options.tls.as_ref().map(|tls| TlsTable {
        listen: given(&tls.listen),
        certificate: &tls.certificate,
        key: &tls.key,
    });
    let credential = match &options.master_key {
        MasterKeySource::KeyFile => None,
        MasterKeySource::PasswordFile(path) => Some(CredentialTable {
            password_file: std::path::absolute(path).map_err(file)?,
        }),
    };
    let text = toml::to_string(&ConfigFile {
        url: &url.base,
        listen: if tls.is_some() {
            options.listen.clone()
        } else {
            given(&options.listen)
        },
        audit: "audit.jsonl",
        tls,
        credential,
    })
    .map_err(|error| file(io::Error::other(error)))?;
    match files::create_private(&data.config(), text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(error)),
        _ => Ok(()),
    }
}

/// Consumers compare this with Windows' own numbers: 6.3 is Windows Server 2012 R2.
const SERVER_VERSION: &str = "6.3.0.0";
const SERVER_SKU: &str = "RMS 2.0";
/// A hundred years: trust ends by replacing anchors, not by a date that nobody watches.
pub(crate) const SLC_DAYS: u32 = 36_500;
