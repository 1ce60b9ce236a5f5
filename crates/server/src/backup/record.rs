//! What the cluster remembers of its backups: when one was last shown to open and to be whole.

use openrms_store::ConfigurationSnapshot;
use openrms_xrml::Time;
use serde::{Deserialize, Serialize};

/// That a backup was read back and found to hold the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// When, in seconds since 1970.
    time: i64,
    /// SHA-256 of the archive, in hexadecimal digits.
    digest: String,
}

impl Verified {
    /// The last one, if there was any.
    pub(crate) fn last(stored: &ConfigurationSnapshot) -> Option<Self> {
        serde_json::from_str(stored.settings.get(SETTING)?).ok()
    }

    /// Seconds from then to `now`.
    pub(crate) fn age(&self, now: Time) -> i64 {
        now.unix().saturating_sub(self.time)
    }
}

const SETTING: &str = "verified-backup";
