//! Sizes and times of the cache. Names and defaults are those of the values below
//! `DRMS\1.0\DirectoryServices` in the original server's registry.

use std::time::Duration;

use serde::Deserialize;

use super::table::Limits;

/// How much is kept, and for how long. Times are in minutes. Longer and larger is faster, and
/// makes changes of the directory count later. With 0 nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The most accounts (`PrincipalCacheMax`).
    pub principal_cache_max: usize,
    /// How long an account is kept (`PrincipalCacheExpireMinutes`).
    pub principal_cache_expire_minutes: u32,
    /// The most answers to which forest an object is of (`GroupIDCacheMax`).
    pub group_id_cache_max: usize,
    /// How long such an answer is kept (`GroupIDCacheExpireMinutes`).
    pub group_id_cache_expire_minutes: u32,
    /// The most identities with all their groups (`GroupMembershipCacheMax`).
    pub group_membership_cache_max: usize,
    /// How long they are kept (`GroupMembershipCacheExpireMinutes`).
    pub group_membership_cache_expire_minutes: u32,
    /// How long it is kept at most that the directory does not know somebody, so that new
    /// people need not wait. The original server has no such value.
    pub unknown_expire_minutes: u32,
    /// Whether answers are kept in a database as well, where a server finds them again that was
    /// started anew. They end there when they end in memory.
    pub database: bool,
    /// How many times as many answers the database keeps as memory does. The original server
    /// has no such value: its database is not bounded.
    pub database_max_factor: u32,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            principal_cache_max: 1_000,
            principal_cache_expire_minutes: 12,
            group_id_cache_max: 1_000,
            group_id_cache_expire_minutes: 12,
            group_membership_cache_max: 1_000,
            group_membership_cache_expire_minutes: 12,
            unknown_expire_minutes: 2,
            database: true,
            database_max_factor: 10,
        }
    }
}

impl CacheSettings {
    pub(super) fn principals(&self) -> Limits {
        self.limits(
            self.principal_cache_max,
            self.principal_cache_expire_minutes,
        )
    }

    pub(super) fn groups(&self) -> Limits {
        self.limits(self.group_id_cache_max, self.group_id_cache_expire_minutes)
    }

    pub(super) fn group_memberships(&self) -> Limits {
        self.limits(
            self.group_membership_cache_max,
            self.group_membership_cache_expire_minutes,
        )
    }

    fn limits(&self, most: usize, expire_minutes: u32) -> Limits {
        let minutes = |minutes: u32| Duration::from_secs(60 * u64::from(minutes));
        let most = most.min(MOST);
        Limits {
            most,
            most_in_database: (most as u64).saturating_mul(self.database_max_factor.into()),
            known: minutes(expire_minutes),
            unknown: minutes(self.unknown_expire_minutes.min(expire_minutes)),
        }
    }
}

/// Above it the bookkeeping alone would fill the memory.
const MOST: usize = 10_000_000;
