//! Renewal of the server licensor certificate by the server itself, a month ahead (MS-RMPR 3.1.6.2,
//! MS-RMPRS 3.3): from the cluster's own trust anchor, from the enrollment service that certified it
//! on line, or from its root cluster, where the server was told how to sign in there. Each server of
//! a cluster tries; whoever is first is the only one, as the others' change is based on a version
//! that is gone.

use openrms_engine::Cluster;
use openrms_protocol::CertificateChain;
use openrms_store::{ConfigurationSnapshot, StoreError};
use openrms_xrml::Time;

use crate::enrollment::{self, Applicant, Certifier, EnrollError, OnLine, SignIn, Trust};
use crate::events::Event;
use crate::root_cluster::RootSignIn;
use crate::slc::{self, Notice};

/// Looks after the certificate, time and again.
#[derive(Debug, Default)]
pub(crate) struct SlcKeeper {
    /// How the server signs in to its root cluster.
    root: Option<RootSignIn>,
    /// The HTTP proxy by which others are asked.
    proxy: Option<String>,
    /// What signs in with tickets: they are kept for as long as the process runs.
    tickets: Option<SignIn>,
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
    pub(crate) fn new(root: Option<RootSignIn>, proxy: Option<String>) -> Self {
        Self {
            root,
            proxy,
            ..Self::default()
        }
    }

    /// Renews what ends, where it can; else says so once a day.
    pub(crate) async fn tend(
        &mut self,
        server: Applicant<'_>,
        cluster: &Cluster,
        now: Time,
    ) -> Tended {
        let Some(notice) = Notice::of(cluster, now) else {
            return Tended::Nothing;
        };
        let is_time = |last: Time| now.unix().saturating_sub(last.unix()).abs() >= RETRY_SECONDS;
        if self.tried.is_none_or(is_time) {
            self.tried = Some(now);
            match self.renew(server, cluster, now).await {
                Ok(true) => return Tended::Renewed,
                Ok(false) => {}
                Err(error) => Event::SlcRequestFailed.emit(format_args!(
                    "the server licensor certificate is not renewed, and tried again in an hour: \
                     {error}"
                )),
            }
        }
        let today = now.unix().div_euclid(SECONDS_PER_DAY);
        if self.told == Some((today, notice)) {
            return Tended::Nothing;
        }
        self.told = Some((today, notice));
        let advice = if cluster.root.is_some() && self.root.is_none() {
            ADVICE_BELOW_A_ROOT
        } else {
            ADVICE
        };
        notice.log(cluster, now, advice);
        Tended::Told(notice)
    }

    /// Renews, where that needs nobody. Says whether there is another certificate now.
    async fn renew(
        &mut self,
        server: Applicant<'_>,
        cluster: &Cluster,
        now: Time,
    ) -> Result<bool, EnrollError> {
        let stored = server.store.snapshot().await?;
        if is_renewed(&stored, cluster) {
            return Ok(true);
        }
        let roles = server.store.authority_roles().await?;
        let sign_in = match Certifier::of(&stored, &roles) {
            Certifier::Own | Certifier::Service(_) => SignIn::Nobody,
            // It asks who is calling.
            Certifier::Root(_) => match self.sign_in()? {
                Some(sign_in) => sign_in,
                None => return Ok(false),
            },
            // They are carried by people.
            Certifier::Files => return Ok(false),
        };
        let by = OnLine {
            sign_in,
            proxy: self.proxy.clone(),
        };
        if let Some(root) = &cluster.root {
            check_root_outlasts(cluster, &root.base_url, &by).await?;
        }
        let renewed =
            enrollment::on_line_from(&stored, &roles, server, Trust::default(), &by, now).await;
        match renewed {
            Ok(enrolled) => {
                tracing::info!(until = %enrolled.until, "the server licensor certificate is renewed");
                Ok(true)
            }
            // Another server of the cluster was first.
            Err(EnrollError::Store(StoreError::VersionConflict { .. })) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// A password is read each time, as somebody may have corrected it.
    fn sign_in(&mut self) -> Result<Option<SignIn>, EnrollError> {
        if self.tickets.is_some() {
            return Ok(self.tickets.clone());
        }
        let Some(root) = &self.root else {
            return Ok(None);
        };
        let sign_in = root.open()?;
        if let SignIn::Kerberos(_) = sign_in {
            self.tickets = Some(sign_in.clone());
        }
        Ok(Some(sign_in))
    }
}

/// Whether another server of the cluster renewed what this one still serves with.
fn is_renewed(stored: &ConfigurationSnapshot, cluster: &Cluster) -> bool {
    let served = cluster.server().ok().map(|server| &server.chain);
    let current = stored.current_licensor_key();
    let current = current.and_then(|key| CertificateChain::split(&key.slc_chain).ok());
    current.is_some() && current.as_ref() != served
}

/// A certificate ends no later than that of the root cluster: until that one is renewed there is
/// nothing to be had, and each request would leave a record there.
async fn check_root_outlasts(
    cluster: &Cluster,
    root: &str,
    by: &OnLine,
) -> Result<(), EnrollError> {
    match (enrollment::end_of_root(root, by).await?, slc::end(cluster)) {
        (Some(until), Some(own)) if until <= own => Err(EnrollError::RootEndsFirst(until)),
        _ => Ok(()),
    }
}

const ADVICE: &str = "renew it with `rmsd renew`";
const ADVICE_BELOW_A_ROOT: &str = "renew it with `rmsd renew`, or say in [root_cluster] how this \
                                   server signs in to its root cluster, and it renews by itself";
const RETRY_SECONDS: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;
