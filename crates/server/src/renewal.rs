//! Renewal of the server licensor certificate by the server itself, a month ahead, where that needs
//! nobody: from the cluster's own trust anchor, or from the enrollment service that certified it on
//! line. Each server of a cluster tries; whoever is first is the only one, as the others' change is
//! based on a version that is gone.

use openrms_crypto::KeyProvider;
use openrms_engine::Cluster;
use openrms_store::{Store, StoreError};
use openrms_xrml::Time;

use crate::enrollment::{self, Certifier, EnrollError, OnLine, SignIn, Trust};
use crate::slc::Notice;

/// Looks after the certificate, time and again.
#[derive(Debug, Default)]
pub(crate) struct SlcKeeper {
    /// The last attempt to renew.
    tried: Option<Time>,
    /// What was last written down, and on which day.
    told: Option<(i64, Notice)>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tended {
    /// Nothing was to be done.
    Nothing,
    /// There is a new certificate: the configuration is to be read anew.
    Renewed,
    /// It was written down that it ends.
    Told(Notice),
}

impl SlcKeeper {
    /// Renews what ends, where it can; else says so once a day.
    pub(crate) async fn tend(
        &mut self,
        store: &dyn Store,
        provider: &dyn KeyProvider,
        cluster: &Cluster,
        proxy: Option<&str>,
        now: Time,
    ) -> Tended {
        let Some(notice) = Notice::of(cluster, now) else {
            return Tended::Nothing;
        };
        let is_time = |last: Time| now.unix().saturating_sub(last.unix()).abs() >= RETRY_SECONDS;
        if self.tried.is_none_or(is_time) {
            self.tried = Some(now);
            match renew(store, provider, proxy, now).await {
                Ok(true) => return Tended::Renewed,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the server licensor certificate is not renewed");
                }
            }
        }
        let today = now.unix().div_euclid(SECONDS_PER_DAY);
        if self.told == Some((today, notice)) {
            return Tended::Nothing;
        }
        self.told = Some((today, notice));
        notice.log(cluster, now);
        Tended::Told(notice)
    }
}

/// Renews, where that needs nobody. Says whether there is another certificate now.
async fn renew(
    store: &dyn Store,
    provider: &dyn KeyProvider,
    proxy: Option<&str>,
    now: Time,
) -> Result<bool, EnrollError> {
    let stored = store.snapshot().await?;
    let roles = store.authority_roles().await?;
    match Certifier::of(&stored, &roles) {
        Certifier::Own | Certifier::Service(_) => {}
        // The root cluster asks who is calling, and files are carried by people.
        Certifier::Root(_) | Certifier::Files => return Ok(false),
    }
    let by = OnLine {
        sign_in: &SignIn::Nobody,
        proxy,
    };
    match enrollment::on_line(store, provider, Trust::default(), by, now).await {
        Ok(enrolled) => {
            tracing::info!(until = %enrolled.until, "the server licensor certificate is renewed");
            Ok(true)
        }
        // Another server of the cluster was first.
        Err(EnrollError::Store(StoreError::VersionConflict { .. })) => Ok(true),
        Err(error) => Err(error),
    }
}

const RETRY_SECONDS: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;
