//! The drill: a backup is restored to scratch storage, and its keys are made to do what they are
//! for. A backup that was never restored is a hope.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openrms_crypto::PublicKey;
use openrms_engine::{Cluster, rehearsal};
use openrms_formats::inspect;
use openrms_protocol::CertificateChain;
use openrms_store::logging::{Chosen, Reports};
use openrms_store::{AuthorityRole, ConfigurationSnapshot, Sqlite, Store, StoreError, TABLES};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::chain::{parse_verified, verify_path};
use openrms_xrml::{Time, text};
use serde::Serialize;
use zeroize::Zeroizing;

use super::archive;
use super::contents::{Contents, summary};
use super::log;
use super::manifest::Manifest;
use super::record::Verified;
use super::restore::RestoreError;
use crate::authority::ClientTrust;
use crate::config::Config;
use crate::database::Database;
use crate::files;
use crate::key_protection::Unlocked;
use crate::logging;
use crate::open::{Opened, blocking, connect};

/// What a drill found.
#[derive(Debug, Clone, Serialize)]
pub struct Drill {
    /// Whether the backup is good: no check failed, and the keys were tried.
    pub good: bool,
    /// SHA-256 of the archive, in hexadecimal digits.
    pub digest: String,
    /// Rows of the cluster's database.
    pub rows: u64,
    /// Events of the log.
    pub events: u64,
    /// What the backup is of.
    pub of: Manifest,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// The file beside the archive that says that it is good.
    pub record: Option<PathBuf>,
    /// Whether the cluster remembers it as well.
    pub remembered: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be; none when it could not be looked at.
    pub ok: Option<bool>,
    /// What was found.
    pub detail: String,
}

impl Check {
    fn of<T: std::fmt::Display, E: std::fmt::Display>(
        name: &'static str,
        outcome: Result<T, E>,
    ) -> Self {
        let (ok, detail) = match outcome {
            Ok(found) => (true, found.to_string()),
            Err(wrong) => (false, wrong.to_string()),
        };
        Self {
            name,
            ok: Some(ok),
            detail,
        }
    }

    pub(super) fn skipped(name: &'static str, why: &str) -> Self {
        Self {
            name,
            ok: None,
            detail: why.to_owned(),
        }
    }
}

/// What the cluster in a backup is set to.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) stored: ConfigurationSnapshot,
    pub(crate) roles: Vec<AuthorityRole>,
}

/// Restores a backup to scratch storage, looks whether it could serve, and removes it again. The
/// keys are in memory only. `sample` is a protected file that must still open; `cluster` is the
/// cluster that is to remember the drill. Blocks.
pub fn drill(
    path: &Path,
    password: &Zeroizing<Vec<u8>>,
    sample: Option<&Path>,
    cluster: Option<&Config>,
    now: Time,
) -> Result<Drill, RestoreError> {
    let (mut drill, _) = examine_archive(path, password, sample, now)?;
    if drill.good {
        let verified = Verified {
            created: drill.of.created,
            drilled: now.unix(),
            digest: drill.digest.clone(),
        };
        let beside = Verified::beside(path);
        let text = verified.to_json();
        files::replace_private(&beside, text.as_bytes())
            .map_err(|error| RestoreError::File(beside.clone(), error))?;
        drill.record = Some(beside);
        drill.remembered = match cluster {
            Some(config) => remember(config, &drill.of, &verified)?,
            None => false,
        };
    }
    Ok(drill)
}

/// As [`drill`], and nothing is written down of it; with what is in the backup. Blocks.
pub(crate) fn examine_archive(
    path: &Path,
    password: &Zeroizing<Vec<u8>>,
    sample: Option<&Path>,
    now: Time,
) -> Result<(Drill, Held), RestoreError> {
    let wrong = |error| RestoreError::Archive(path.to_owned(), error);
    let file = |error| RestoreError::File(path.to_owned(), error);
    let found = summary(path, password).map_err(wrong)?;
    let digest = fs::File::open(path)
        .and_then(archive::digest)
        .map_err(file)?;
    let scratch = files::draft_folder(&std::env::temp_dir()).map_err(file)?;
    let database = scratch.path().join("openrms.db");
    let (checks, held) = blocking(async || {
        let store: Arc<dyn Store> = Arc::new(Sqlite::create(&database).await?);
        let rehearsed = rehearse(path, password, sample, store.clone(), now).await;
        let held = async || {
            Ok::<_, StoreError>(Held {
                stored: store.snapshot().await?,
                roles: store.authority_roles().await?,
            })
        };
        let held = held().await;
        store.close().await;
        let mut checks = rehearsed?;
        let in_it = found.log();
        if in_it != (0, 0) {
            let place = Database::Embedded(scratch.path().join("logging.db"));
            let outcome = log_comes_back(path, password, &place, in_it).await;
            checks.push(Check::of("log", outcome));
        }
        Ok::<_, RestoreError>((checks, held?))
    })?;
    scratch.close().map_err(file)?;
    let drill = Drill {
        good: checks.iter().all(|check| check.ok == Some(true)),
        digest,
        rows: found.cluster_rows(),
        events: found.log().0,
        of: found.manifest,
        checks,
        record: None,
        remembered: false,
    };
    Ok((drill, held))
}

async fn rehearse(
    archive: &Path,
    password: &[u8],
    sample: Option<&Path>,
    store: Arc<dyn Store>,
    now: Time,
) -> Result<Vec<Check>, RestoreError> {
    let wrong = |error| RestoreError::Archive(archive.to_owned(), error);
    let mut contents = Contents::open(archive, password).map_err(wrong)?;
    contents.manifest().map_err(wrong)?;
    let master = contents.master_key().map_err(wrong)?;
    contents.files(|_| Ok(None)).map_err(wrong)?;
    let imported = store.import(&mut contents.rows(TABLES)).await;
    if let Some(error) = contents.failure() {
        return Err(wrong(error));
    }
    imported?;
    let Some(master) = master else {
        let why = "they are not in the backup: nothing can be opened with it alone";
        return Ok(vec![Check::skipped("keys", why)]);
    };
    let keys = Unlocked::of_backup(&*store, master).await?;
    let opened = Opened::with_keys(store, keys)?;
    let mut checks = examine(&opened, now).await?;
    if let Some(sample) = sample {
        let outcome = match cluster_of(&opened).await? {
            Ok(cluster) => open_sample(&cluster, sample),
            Err(error) => Err(error),
        };
        checks.push(Check::of("sample", outcome));
    }
    Ok(checks)
}

/// Looks whether a cluster that was restored could serve.
pub(crate) async fn examine(opened: &Opened, now: Time) -> Result<Vec<Check>, RestoreError> {
    // Every private key is loaded and held against its certificate, every template is parsed.
    let cluster = match cluster_of(opened).await? {
        Ok(cluster) => cluster,
        Err(error) => return Ok(vec![Check::of("keys", Err::<String, _>(error))]),
    };
    let stored = opened.store.snapshot().await?;
    let keys = stored.licensor_keys.len() + stored.trusted_publishing_domains.len();
    let of_keys = format!("{keys} private keys are those of their certificates");
    let of_templates = format!("{} templates are understood", stored.templates.len());
    let roles = opened.store.authority_roles().await?;
    let trust = ClientTrust::load(&roles, &stored, &opened.vault, None);
    let anchors = trust.and_then(|trust| trust.anchors()).ok();
    let current = stored.current_licensor_key();
    let chain = current.map_or("", |key| key.slc_chain.as_str());
    let chain = verified_chain(chain, anchors.as_ref());
    let content = rehearsal::opens_new_content(&cluster, now);
    let content = content.map(|()| "content that is protected now opens");
    Ok(vec![
        Check::of("keys", Ok::<_, String>(of_keys)),
        Check::of("templates", Ok::<_, String>(of_templates)),
        Check::of("certificate", chain),
        Check::of("new content", content),
    ])
}

/// Verifies an SLC chain up to an anchor; up to its own end where the cluster knows no anchor.
fn verified_chain(text: &str, anchors: Option<&Anchors>) -> Result<String, String> {
    let nodes = parse_verified(text).map_err(|error| error.to_string())?;
    let top = nodes.last().and_then(|node| node.issuer_key().cloned());
    let is_trusted = |key: &PublicKey| match anchors {
        Some(anchors) => anchors.contains(key),
        None => top.as_ref() == Some(key),
    };
    let path = verify_path(&nodes, None, is_trusted).map_err(|error| error.to_string())?;
    let to = match anchors {
        Some(_) => "lead to a trust anchor",
        None => "hold; the cluster knows no trust anchor that they should lead to",
    };
    Ok(format!("{} certificates {to}", path.len()))
}

/// Whether a logging database takes all of the log, and has it then.
async fn log_comes_back(
    archive: &Path,
    password: &[u8],
    place: &Database,
    (events, certificates): (u64, u64),
) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    log::import(archive, password, place)
        .await
        .map_err(|error| failed(&error))?;
    let database = logging::open_database(place)
        .await
        .map_err(|error| failed(&error))?;
    let stored = Reports::new(&*database, Chosen::EVER).count().await;
    database.close().await;
    let stored = stored.map_err(|error| failed(&error))?;
    if stored != events {
        return Err(format!("{stored} events of {events} are stored"));
    }
    Ok(format!(
        "{events} events and {certificates} certificates are as they were"
    ))
}

async fn cluster_of(opened: &Opened) -> Result<Result<Cluster, String>, RestoreError> {
    let stored = opened.store.snapshot().await?;
    let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone());
    Ok(cluster.map_err(|error| error.to_string()))
}

/// Opens the content key of a protected file, or of a bare license.
fn open_sample(cluster: &Cluster, path: &Path) -> Result<String, String> {
    let inspection = inspect::open_container(path).map_err(|error| error.to_string())?;
    let license = inspection
        .license
        .ok_or("the sample is not a protected file")?;
    let (text, _) = text::decode(&license).map_err(|error| error.to_string())?;
    let chain = CertificateChain::split(&text).map_err(|error| error.to_string())?;
    let content = rehearsal::opens(cluster, &chain).map_err(|refusal| refusal.reason)?;
    Ok(format!("{} opens, content {content}", path.display()))
}

/// Has the cluster remember that there is a good backup of it.
fn remember(config: &Config, of: &Manifest, verified: &Verified) -> Result<bool, RestoreError> {
    blocking(async || {
        let store = connect(config).await?;
        let stored = store.snapshot().await?;
        let same = stored.policies.base_url.as_deref() == Some(of.url.as_str());
        if same {
            store.apply(&[verified.change()], None).await?;
        }
        store.close().await;
        Ok(same)
    })
}
