//! Adding what is missing, while the servers of the cluster serve. Each step is made whole or not at
//! all, and finds out by itself whether it is still to be made: whoever is killed in between gives the
//! same command again.

use std::fmt;

use openrms_engine::authority;
use openrms_store::{Change, StoreError, Upgrade};
use openrms_xrml::Time;
use serde::Serialize;

use super::UpgradeError;
use super::host::Host;
use super::preflight::{Installation, Preflight, PreflightOptions, preflight};
use crate::config::Config;
use crate::open::{Opened, blocking, connect};

/// One thing that this release adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "adds", rename_all = "kebab-case")]
pub enum Step {
    /// A step of the database's schema.
    Schema {
        /// Its number.
        number: i64,
    },
    /// What a hierarchy of one's own activates clients of version 1.0 with.
    Activation,
    /// What this release, and the one before, are on this server.
    Server {
        /// The server's name.
        name: String,
        /// The release it was.
        from: String,
        /// The release it is from its next start on.
        to: String,
    },
}

/// An upgrade that was made, or found to be made already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was found before.
    pub found: Preflight,
    /// What was added.
    pub added: Vec<Step>,
}

/// Adds what is missing to a cluster that passes [`preflight`], and to nothing else: keys,
/// certificates, policies and URLs stay as they are. `progress` is told each step when it is made.
/// Where nothing is missing, or nothing was provisioned, nothing is done. Blocks.
pub fn upgrade(
    config: &Config,
    options: &PreflightOptions,
    host: &dyn Host,
    now: Time,
    progress: &(dyn Fn(&Step) + Sync),
) -> Result<Outcome, UpgradeError> {
    let found = preflight(config, options, host, now)?;
    let is_done = found.installation == Installation::Cluster && found.missing.is_empty();
    if !(found.allowed || is_done) {
        return Err(UpgradeError::Refused(Box::new(found)));
    }
    let mut added = Vec::new();
    for step in &found.missing {
        blocking(async || make(step, config, now).await)?;
        progress(step);
        added.push(step.clone());
    }
    Ok(Outcome { found, added })
}

async fn make(step: &Step, config: &Config, now: Time) -> Result<(), UpgradeError> {
    match step {
        // Whoever opens it adds the steps that are missing, all of them.
        Step::Schema { .. } => connect(config).await?.close().await,
        Step::Activation => activation(config, now).await?,
        Step::Server { name, from, to } => {
            let store = connect(config).await?;
            let upgrade = Upgrade {
                from: from.clone(),
                to: to.clone(),
                at: now.unix(),
            };
            let level = Some(config.service_level.name());
            let recorded = store.record_upgrade(name, level, Some(&upgrade)).await;
            store.close().await;
            recorded?;
        }
    }
    Ok(())
}

/// Adds what a hierarchy lacks, unless another server of the cluster does so meanwhile.
async fn activation(config: &Config, now: Time) -> Result<(), UpgradeError> {
    let opened = Opened::open(config).await?;
    let mut attempts = 0;
    let applied = loop {
        let version = opened.store.configuration_version().await?;
        let roles = opened.store.authority_roles().await?;
        let added = authority::added_for_activation(&roles, &*opened.provider, now)?;
        let changes: Vec<_> = added.into_iter().map(Change::AddAuthorityRole).collect();
        attempts += 1;
        match opened.store.apply(&changes, Some(version)).await {
            Err(StoreError::VersionConflict { .. }) if attempts < ATTEMPTS => {}
            applied => break applied,
        }
    };
    opened.store.close().await;
    Ok(applied.map(drop)?)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema { number } => write!(f, "schema {number} of the database"),
            Self::Activation => f.write_str("activation of clients of version 1.0"),
            Self::Server { name, from, to } => {
                write!(f, "server {name}: from release {from} to {to}")
            }
        }
    }
}

/// How often others may be quicker.
const ATTEMPTS: u32 = 5;
