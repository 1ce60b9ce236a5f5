//! The end of a cluster (`serverDecommissioned` of MS-RMPR 3.1.1.1.1, MS-RMSI 3.2): from then on
//! it gives out content keys in clear and does nothing else. There is no way back.

use openrms_store::{Change, ConfigurationSnapshot, Policies, StoreError};
use openrms_xrml::Time;

use crate::backup::Verified;
use crate::config::Config;
use crate::open::{OpenError, Opened, blocking};

/// A cluster that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which whoever ends it must say.
    pub name: String,
    /// Its base URL.
    pub url: String,
    /// Whether it is the trust anchor that servers are enrolled at.
    pub is_authority: bool,
    /// Whether a backup was verified lately.
    pub has_backup: bool,
}

/// Why a cluster is not decommissioned.
#[derive(Debug, thiserror::Error)]
pub enum DecommissionError {
    /// It is already.
    #[error("the cluster is decommissioned already")]
    Already,
    /// Whoever asks means another cluster.
    #[error("this cluster is called {name:?}, not {given:?}")]
    OtherName {
        /// Its name.
        name: String,
        /// What was said.
        given: String,
    },
    /// What cannot be undone needs a backup before it.
    #[error("no backup of this cluster was verified in the last {RECENT_DAYS} days")]
    NoBackup,
    /// The cluster cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed, or somebody else changed it meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Looks at a cluster without changing it. Blocks.
pub fn candidate(config: &Config, now: Time) -> Result<Candidate, DecommissionError> {
    blocking(async || {
        let opened = Opened::open(config).await?;
        let stored = opened.store.snapshot().await?;
        let is_authority = !opened.store.authority_roles().await?.is_empty();
        opened.store.close().await;
        Candidate::of(&stored, is_authority, now)
    })
}

/// Ends a cluster for good. `name` is its name as whoever asks said it. Blocks. Servers that run
/// take it over by themselves within half a minute.
pub fn decommission(
    config: &Config,
    name: &str,
    without_backup: bool,
    now: Time,
) -> Result<Candidate, DecommissionError> {
    blocking(async || {
        // With its keys: content of a cluster whose keys do not open could not be freed.
        let opened = Opened::open(config).await?;
        let stored = opened.store.snapshot().await?;
        let is_authority = !opened.store.authority_roles().await?.is_empty();
        let candidate = Candidate::of(&stored, is_authority, now)?;
        if name.trim() != candidate.name {
            return Err(DecommissionError::OtherName {
                name: candidate.name,
                given: name.trim().to_owned(),
            });
        }
        if !(candidate.has_backup || without_backup) {
            return Err(DecommissionError::NoBackup);
        }
        let policies = Policies {
            decommissioned: true,
            ..stored.policies
        };
        let changes = [
            Change::SetPolicies(Box::new(policies)),
            Change::PutSetting {
                name: SINCE.to_owned(),
                value: now.unix().to_string(),
            },
        ];
        opened.store.apply(&changes, Some(stored.version)).await?;
        opened.store.close().await;
        Ok(candidate)
    })
}

/// Since when a cluster has been decommissioned.
pub(crate) fn since(stored: &ConfigurationSnapshot) -> Option<Time> {
    let seconds = stored.settings.get(SINCE)?.parse().ok()?;
    Some(Time::from_unix(seconds))
}

impl Candidate {
    fn of(
        stored: &ConfigurationSnapshot,
        is_authority: bool,
        now: Time,
    ) -> Result<Self, DecommissionError> {
        if stored.policies.decommissioned {
            return Err(DecommissionError::Already);
        }
        let recent = |backup: Verified| backup.age(now) < RECENT_DAYS * 86_400;
        Ok(Self {
            name: stored.policies.name.trim().to_owned(),
            url: stored.policies.base_url.clone().unwrap_or_default(),
            is_authority,
            has_backup: Verified::last(stored).is_some_and(recent),
        })
    }
}

/// How old a verified backup may be.
const RECENT_DAYS: i64 = 7;
const SINCE: &str = "decommissioned-since";
