//! The rules for an upgrade, looked at one by one. Nothing is changed.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use openrms_protocol::ServiceLevel;
use openrms_store::StoreError;
use openrms_xrml::Time;
use serde::Serialize;
use zeroize::Zeroizing;

use super::check::{Check, Rule, is_allowed};
use super::host::Host;
use super::perform::Step;
use super::release::{self, EARLIER, RELEASE};
use super::survey::{Found, Survey, look};
use super::{UpgradeError, archive, root};
use crate::backup;
use crate::config::Config;
use crate::database::Database;
use crate::key_protection;
use crate::open::{Opened, blocking};
use crate::servers::ListedServer;

/// What whoever upgrades says.
#[derive(Debug, Clone, Default)]
pub struct PreflightOptions {
    /// The backup that was made before.
    pub backup: Option<BackupFile>,
    /// Go on without one.
    pub without_backup: bool,
    /// Whether the log must be in the backup.
    pub keep_statistics: bool,
    /// Go on although the root cluster does not say that it was upgraded.
    pub without_root: bool,
}

/// A backup, and what opens it.
#[derive(Clone)]
pub struct BackupFile {
    /// The archive.
    pub path: PathBuf,
    /// Its password.
    pub password: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for BackupFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupFile({})", self.path.display())
    }
}

/// What was found before an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// This release.
    pub release: &'static str,
    /// What is here.
    pub installation: Installation,
    /// Whether nothing is refused.
    pub allowed: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What an upgrade would add.
    pub missing: Vec<Step>,
    /// The servers of the cluster.
    pub servers: Vec<ListedServer>,
}

/// What is where a configuration says that a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Installation {
    /// Nothing was provisioned: there is nothing to upgrade.
    None,
    /// A database that cannot be looked at by this release, or not now.
    Closed,
    /// A cluster.
    Cluster,
}

/// Looks at a cluster, its backup and its machine before an upgrade, and changes nothing. Blocks.
pub fn preflight(
    config: &Config,
    options: &PreflightOptions,
    host: &dyn Host,
    now: Time,
) -> Result<Preflight, UpgradeError> {
    let looked = blocking(async || {
        Ok::<_, UpgradeError>(match look(config).await? {
            Found::Nothing => Err((Installation::None, Vec::new())),
            Found::Closed(error) => Err((Installation::Closed, vec![closed(error)])),
            Found::Cluster(survey) => {
                let mut checks = cluster_rules(&survey, config, now);
                checks.push(root::check(&survey, config, options.without_root).await);
                checks.push(keys(&survey, config, now).await);
                survey.store.close().await;
                Ok((survey, checks))
            }
        })
    })?;
    let (survey, mut checks) = match looked {
        Ok(looked) => looked,
        Err((installation, checks)) => {
            return Ok(Preflight {
                release: RELEASE,
                installation,
                allowed: is_allowed(&checks),
                checks,
                missing: Vec::new(),
                servers: Vec::new(),
            });
        }
    };
    checks.extend(archive::check(&survey, options, now));
    checks.push(updates(host));
    checks.push(space(config, host));
    Ok(Preflight {
        release: RELEASE,
        installation: Installation::Cluster,
        allowed: is_allowed(&checks),
        checks,
        missing: survey.missing(),
        servers: survey.servers.iter().map(ListedServer::of).collect(),
    })
}

/// Of a database that cannot be looked at.
fn closed(error: StoreError) -> Check {
    match error {
        StoreError::Moved { .. } => UNFINISHED.refused(
            error,
            "Have the configuration name the database that everything was moved to.",
        ),
        StoreError::Unfinished { .. } => UNFINISHED.refused(
            error,
            "Give the `rmsd restore` that was begun once more: it completes it.",
        ),
        StoreError::SchemaTooNew { .. } => DATABASE.refused(
            error,
            "There is no way back to this release but a backup that it made: `rmsd restore`.",
        ),
        StoreError::Missing { .. } => DATABASE.refused(
            error,
            "The configuration names a cluster: restore its database, or set the cluster up.",
        ),
        _ => DATABASE.refused(error, "The database must be there and answer."),
    }
}

/// The rules that the database answers.
fn cluster_rules(survey: &Survey, config: &Config, now: Time) -> Vec<Check> {
    vec![
        database(survey),
        UNFINISHED.ok("no restore and no move was left half-done"),
        own_release(survey),
        own_level(survey, config.service_level),
        servers(survey, now),
        decommissioned(survey),
    ]
}

fn database(survey: &Survey) -> Check {
    if survey.stored.current_licensor_key().is_none() {
        let found = "a set-up was begun here and not completed";
        return DATABASE.refused(found, "Complete it: `rmsd provision` again.");
    }
    let schema = survey.schema.newest();
    let mut found = format!("schema {schema}");
    for step in &survey.schema.missing {
        let serve = EARLIER
            .iter()
            .filter(|release| release.schema >= step.oldest);
        let serve: Vec<_> = serve.map(|release| release.name).collect();
        let serve = match serve.as_slice() {
            [] => "no release before this one serves it then".to_owned(),
            serve => format!("releases that go on serving it: {}", serve.join(", ")),
        };
        found = format!("{found}; {} is to be added, {serve}", step.number);
    }
    DATABASE.ok(found)
}

/// A program never takes the place of a newer one.
fn own_release(survey: &Survey) -> Check {
    let Some(server) = survey.own() else {
        return PATH.not_applicable("this server never served");
    };
    let upgraded_to = server.upgrade.as_ref().map(|upgrade| upgrade.to.as_str());
    let known = [Some(server.version.as_str()), upgraded_to];
    for release in known.into_iter().flatten() {
        match release::is_newer(release) {
            Some(false) => {}
            Some(true) => {
                let found = format!("release {release} served here, this is {RELEASE}");
                return PATH.refused(found, BACK);
            }
            None => {
                let found = format!("{release:?} served here, which is no release");
                return PATH.refused(found, BACK);
            }
        }
    }
    PATH.ok(format!("from {} to {RELEASE}", server.version))
}

fn own_level(survey: &Survey, to: ServiceLevel) -> Check {
    let Some(server) = survey.own() else {
        return LEVEL.not_applicable("this server never served");
    };
    // Releases that say none know the newest alone.
    let from = match server.service_level.as_deref() {
        None => ServiceLevel::default(),
        Some(name) => match name.parse() {
            Ok(level) => level,
            Err(error) => return LEVEL.refused(error, BACK),
        },
    };
    match from.check_path(to) {
        Ok(()) => LEVEL.ok(format!("from level {from} to {to}")),
        Err(error) => LEVEL.refused(
            error,
            "Set `service_level` in rmsd.toml to what can come next.",
        ),
    }
}

fn servers(survey: &Survey, now: Time) -> Check {
    let interval = survey.stored.policies.configuration_refresh_interval;
    let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
    let late = interval.saturating_mul(2).max(LATE_SECONDS);
    let own = survey.own().map(|server| server.name.as_str());
    let mut described = Vec::new();
    let (mut unseen, mut newer) = (Vec::new(), Vec::new());
    for server in &survey.servers {
        let level = server.service_level.as_deref().unwrap_or("unsaid");
        described.push(format!(
            "{} (release {}, level {level})",
            server.name, server.version
        ));
        let is_late = now.unix().saturating_sub(server.last_seen) > late;
        if is_late && own != Some(&server.name) {
            unseen.push(server.name.as_str());
        }
        if release::is_newer(&server.version) == Some(true) {
            newer.push(server.name.as_str());
        }
    }
    let levels = survey.servers.iter();
    let mut levels: Vec<_> = levels
        .filter_map(|server| server.service_level.as_ref())
        .collect();
    levels.dedup();
    let found = match described.as_slice() {
        [] => return SERVERS.not_applicable("no server of the cluster ever served"),
        described => described.join(", "),
    };
    if !unseen.is_empty() {
        let found = format!("{found}; not seen lately: {}", unseen.join(", "));
        return SERVERS.warning(
            found,
            "Start it, or take it off the list with `rmsd unprovision` on it.",
        );
    }
    if !newer.is_empty() {
        let found = format!("{found}; newer than {RELEASE}: {}", newer.join(", "));
        return SERVERS.warning(found, "Upgrade to what the others are.");
    }
    if levels.len() > 1 {
        return SERVERS.warning(
            found,
            "Have all servers of a cluster behave as the same level.",
        );
    }
    SERVERS.ok(found)
}

fn decommissioned(survey: &Survey) -> Check {
    if survey.stored.policies.decommissioned {
        return DECOMMISSIONED.refused(
            "the cluster is decommissioned",
            "It is removed, not upgraded: `rmsd unprovision` on each of its servers.",
        );
    }
    DECOMMISSIONED.ok("the cluster is in service")
}

/// Whoever cannot open the keys now could start no server after the upgrade.
async fn keys(survey: &Survey, config: &Config, now: Time) -> Check {
    let advice = "Without what opens the keys no server starts again: bring it before the upgrade.";
    let unlocked = match key_protection::unlock(&*survey.store, &config.keys).await {
        Ok(unlocked) => unlocked,
        Err(error) => return KEYS.refused(error, advice),
    };
    let kept = unlocked.protection.name();
    let opened = match Opened::with_keys(survey.store.clone(), unlocked) {
        Ok(opened) => opened,
        Err(error) => return KEYS.refused(error, advice),
    };
    let checks = match backup::examine(&opened, now).await {
        Ok(checks) => checks,
        Err(error) => return KEYS.refused(error, advice),
    };
    match checks.into_iter().find(|check| check.name == "keys") {
        Some(check) if check.ok == Some(true) => {
            KEYS.ok(format!("opened with {kept}; {}", check.detail))
        }
        found => KEYS.refused(
            found.map_or_else(|| "they were not tried".to_owned(), |check| check.detail),
            advice,
        ),
    }
}

fn updates(host: &dyn Host) -> Check {
    let updates = match host.updates() {
        Ok(updates) => updates,
        Err(reason) => {
            let found = format!("it cannot be told: {reason}");
            return UPDATES.warning(
                found,
                "See to it that the machine has its security updates.",
            );
        }
    };
    let count = updates.packages.len();
    let some: Vec<_> = updates.packages.into_iter().take(NAMED).collect();
    let some = some.join(", ");
    match count {
        0 if !updates.restart => UPDATES.ok("no security update waits"),
        0 => UPDATES.warning("updates wait for the machine to be started anew", RESTART),
        1..=NAMED => UPDATES.warning(format!("{count} wait: {some}"), INSTALL),
        _ => UPDATES.warning(format!("{count} wait, such as {some}"), INSTALL),
    }
}

/// Room for the database once more, and for what waits in the spool.
fn space(config: &Config, host: &dyn Host) -> Check {
    let mut places = vec![config.data.path(), config.logging.spool.as_path()];
    places.retain(|place| place.is_dir());
    let sizes = || {
        let database = match &config.database {
            Database::Embedded(path) => size_of_database(path)?,
            Database::Server(_) => 0,
        };
        Ok::<_, io::Error>(database + size_of_folder(&config.logging.spool)?)
    };
    let needed = match sizes() {
        Ok(sizes) => sizes.saturating_add(MARGIN),
        Err(error) => return SPACE.warning(format!("it cannot be told: {error}"), ROOM),
    };
    let mut least = u64::MAX;
    for place in places {
        match host.free_bytes(place) {
            Ok(free) => least = least.min(free),
            Err(error) => {
                let found = format!("{}: {error}", place.display());
                return SPACE.warning(found, ROOM);
            }
        }
    }
    let found = format!(
        "{} MiB are free, {} MiB are needed",
        least >> 20,
        needed >> 20
    );
    if least < needed {
        return SPACE.refused(found, ROOM);
    }
    SPACE.ok(found)
}

/// With what is written beside it.
fn size_of_database(path: &Path) -> io::Result<u64> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut size = fs::metadata(path)?.len();
    match fs::metadata(PathBuf::from(log)) {
        Ok(log) => size += log.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(size)
}

fn size_of_folder(path: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut size = 0;
    for entry in entries {
        // Files of a spool come and go.
        if let Ok(file) = entry?.metadata() {
            size += file.len();
        }
    }
    Ok(size)
}

const fn rule(id: &'static str, name: &'static str) -> Rule {
    Rule { id, name }
}

const DATABASE: Rule = rule("S48", "database");
const UNFINISHED: Rule = rule("S47", "restore and move");
const PATH: Rule = rule("S31", "release");
const LEVEL: Rule = rule("S31", "service level");
const SERVERS: Rule = rule("S27", "servers");
const DECOMMISSIONED: Rule = rule("S19", "decommissioned");
const KEYS: Rule = rule("S22", "keys");
const UPDATES: Rule = rule("S24", "security updates");
const SPACE: Rule = rule("S20", "disk space");
const BACK: &str = "An older release does not take the place of a newer one: see `rmsd downgrade` of \
                    the newer one.";
const RESTART: &str = "Start the machine anew before the upgrade.";
const INSTALL: &str = "Install them before the upgrade.";
const ROOM: &str = "Make room before the upgrade.";
/// A server that was not seen for longer than this does not run.
const LATE_SECONDS: i64 = 3_600;
/// How many packages are named.
const NAMED: usize = 5;
/// What an upgrade may need besides.
const MARGIN: u64 = 64 << 20;
