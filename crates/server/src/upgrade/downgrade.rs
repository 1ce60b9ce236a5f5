//! The way back (S46 to S49): which older releases may serve the cluster as it is, and what stands in
//! their way. The database keeps what was added, which they do not see.

use openrms_engine::authority;
use serde::Serialize;

use super::UpgradeError;
use super::check::{Check, Rule, is_allowed};
use super::release::{self, EARLIER, Earlier, RELEASE};
use super::survey::{Found, Survey, look};
use crate::config::{Config, ConfigError, Layers, Setting, Sources};
use crate::open::{OpenError, blocking, connect};
use crate::servers;

/// What a return to an older release comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Return {
    /// This release.
    pub release: &'static str,
    /// The release to return to.
    pub to: String,
    /// The older releases that may serve the database as it is.
    pub may_serve: Vec<&'static str>,
    /// Whether nothing is refused.
    pub allowed: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// Looks whether this server can return to the release that it was, or to the one named, and changes
/// nothing. Blocks.
pub fn downgrade_check(
    config: &Config,
    sources: &Sources,
    to: Option<&str>,
) -> Result<Return, UpgradeError> {
    blocking(async || {
        let survey = match look(config).await? {
            Found::Cluster(survey) => survey,
            Found::Closed(error) => return Err(error.into()),
            Found::Nothing => {
                let location = config.database.location().map_err(OpenError::from)?;
                return Err(OpenError::NotProvisioned(location).into());
            }
        };
        let answer = examine(&survey, sources, to);
        survey.store.close().await;
        answer
    })
}

/// Prepares the return: what this release has put down of this server is forgotten. The older program is
/// then installed and started. Blocks.
pub fn downgrade(
    config: &Config,
    sources: &Sources,
    to: Option<&str>,
) -> Result<Return, UpgradeError> {
    let found = downgrade_check(config, sources, to)?;
    if !found.allowed {
        return Err(UpgradeError::NoReturn(Box::new(found)));
    }
    blocking(async || {
        let store = connect(config).await?;
        let name = servers::name(config);
        let forgotten = store.record_upgrade(&name, None, None).await;
        store.close().await;
        forgotten?;
        Ok::<_, UpgradeError>(())
    })?;
    Ok(found)
}

fn examine(survey: &Survey, sources: &Sources, to: Option<&str>) -> Result<Return, UpgradeError> {
    let upgraded_from = survey.own().and_then(|server| {
        let upgrade = server.upgrade.as_ref();
        upgrade.map(|upgrade| upgrade.from.as_str())
    });
    let newest = EARLIER.last().map(|release| release.name);
    let to = to.or(upgraded_from).or(newest).unwrap_or_default();
    let serve = EARLIER
        .iter()
        .filter(|release| release.schema >= survey.schema.oldest());
    let may_serve: Vec<_> = serve.map(|release| release.name).collect();
    let checks = match Earlier::named(to) {
        None => vec![unknown(to)],
        Some(release) => vec![
            schema(survey, release),
            configuration_file(sources, release)?,
            hierarchy(survey),
            others(survey),
        ],
    };
    Ok(Return {
        release: RELEASE,
        to: to.to_owned(),
        may_serve,
        allowed: is_allowed(&checks),
        checks,
    })
}

fn unknown(to: &str) -> Check {
    let found = match release::is_older(to) {
        Some(true) => format!("this release does not know what release {to} can serve"),
        _ => format!("{to:?} is no release before {RELEASE}"),
    };
    let known: Vec<_> = EARLIER.iter().map(|release| release.name).collect();
    RELEASE_KNOWN.refused(found, &format!("Name one with --to: {}.", known.join(", ")))
}

fn schema(survey: &Survey, to: &Earlier) -> Check {
    let made = survey.schema.made.iter();
    let newer: Vec<_> = made.filter(|step| step.number > to.schema).collect();
    match newer.iter().find(|step| step.oldest > to.schema) {
        Some(step) => SCHEMA.refused(
            format!(
                "schema {} of the database is not for {}",
                step.number, to.name
            ),
            "Only a backup that was made before leads back: `rmsd restore`.",
        ),
        None if newer.is_empty() => SCHEMA.ok(format!("{} knows all of the schema", to.name)),
        None => {
            let numbers: Vec<_> = newer.iter().map(|step| step.number.to_string()).collect();
            let numbers = numbers.join(", ");
            SCHEMA.ok(format!("{} ignores what schema {numbers} added", to.name))
        }
    }
}

/// A release does not start at a key that it does not know, and all of them read one file alone.
fn configuration_file(sources: &Sources, to: &Earlier) -> Result<Check, UpgradeError> {
    let file = &sources.file;
    let layers = match Layers::read(sources) {
        Ok(layers) => layers,
        Err(ConfigError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(FILE.ok(format!("{} needs none", to.name)));
        }
        Err(error) => {
            return Err(UpgradeError::Configuration(file.clone(), error.to_string()));
        }
    };
    let settings = layers.settings();
    let unknown = to.unknown_keys.iter().filter(|key| {
        let is_it = |setting: &Setting| setting.key.split('.').next() == Some(**key);
        settings.iter().any(is_it)
    });
    let unknown: Vec<_> = unknown.copied().collect();
    if !unknown.is_empty() {
        let found = format!("{} does not know: {}", to.name, unknown.join(", "));
        return Ok(FILE.refused(found, &format!("Take it out of {}.", file.display())));
    }
    let elsewhere = settings.iter().filter(|setting| setting.file != *file);
    let elsewhere: Vec<_> = elsewhere.map(|setting| setting.key.as_str()).collect();
    if !elsewhere.is_empty() {
        let folder = sources.folder.display();
        let found = format!(
            "{} does not read {folder}: {}",
            to.name,
            elsewhere.join(", ")
        );
        return Ok(FILE.refused(found, &format!("Bring it into {}.", file.display())));
    }
    Ok(FILE.ok(format!("{} knows all that rmsd.toml says", to.name)))
}

fn hierarchy(survey: &Survey) -> Check {
    if survey.roles.iter().any(authority::is_for_activation) {
        return HIERARCHY.warning(
            "clients of version 1.0 are activated here",
            "The older release ignores it; it activates no clients of version 1.0.",
        );
    }
    HIERARCHY.ok("nothing in it was added by this release")
}

fn others(survey: &Survey) -> Check {
    let own = survey.own().map(|server| server.name.as_str());
    let others = survey.servers.iter();
    let others = others.filter(|server| own != Some(server.name.as_str()));
    let others: Vec<_> = others
        .map(|server| format!("{} (release {})", server.name, server.version))
        .collect();
    match others.as_slice() {
        [] => OTHERS.not_applicable("this is the only server"),
        others => OTHERS.ok(format!("they go on as they are: {}", others.join(", "))),
    }
}

const RELEASE_KNOWN: Rule = Rule {
    id: "S46",
    name: "release",
};
const SCHEMA: Rule = Rule {
    id: "S48",
    name: "database",
};
const FILE: Rule = Rule {
    id: "S46",
    name: "configuration file",
};
const HIERARCHY: Rule = Rule {
    id: "S49",
    name: "trust anchor",
};
const OTHERS: Rule = Rule {
    id: "S27",
    name: "other servers",
};
