//! What is remembered of backups that a drill showed to be good: beside the archive, and in the
//! cluster itself.

use std::path::{Path, PathBuf};

use openrms_store::{Change, ConfigurationSnapshot};
use openrms_xrml::Time;
use serde::{Deserialize, Serialize};

/// That a backup was restored to scratch storage and found to be good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verified {
    /// When the backup was made, in seconds since 1970.
    pub(super) created: i64,
    /// When the drill was, in seconds since 1970.
    pub(super) drilled: i64,
    /// SHA-256 of the archive, in hexadecimal digits.
    pub(super) digest: String,
}

impl Verified {
    /// The last one of a cluster, if there was any.
    pub(crate) fn last(stored: &ConfigurationSnapshot) -> Option<Self> {
        serde_json::from_str(stored.settings.get(SETTING)?).ok()
    }

    /// How old the backup is at `now`, in seconds.
    pub(crate) fn age(&self, now: Time) -> i64 {
        now.unix().saturating_sub(self.created)
    }

    /// Forgets it in a configuration that is compared with another.
    pub(crate) fn forget(stored: &mut ConfigurationSnapshot) {
        stored.settings.remove(SETTING);
    }

    /// The same, to be remembered by the cluster.
    pub(super) fn change(&self) -> Change {
        Change::PutSetting {
            name: SETTING.to_owned(),
            value: self.to_json(),
        }
    }

    /// The same, to be kept beside the archive.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Where that is.
    pub(super) fn beside(archive: &Path) -> PathBuf {
        let mut name = archive.as_os_str().to_owned();
        name.push(".verified");
        name.into()
    }
}

const SETTING: &str = "verified-backup";
