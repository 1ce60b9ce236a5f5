//! The state that requests are answered from: built whole, swapped whole, never changed. A request
//! holds one from its start to its end.

use std::sync::Arc;

use openrms_crypto::Mode;
use openrms_directory::{BuiltIn, ForestName, PeopleError};
use openrms_engine::activation::ActivationService;
use openrms_engine::authority::EnrollmentService;
use openrms_engine::cluster::ROOT_URL;
use openrms_engine::{Cluster, ClusterError};
use openrms_protocol::Feature;
use openrms_protocol::level::NotAtLevel;
use openrms_store::{ConfigurationSnapshot, StoreError};

use crate::accounts::{Accounts, PeopleList};
use crate::authority::ClientTrust;
use crate::bundle::ClientBundle;
use crate::config::Config;
use crate::enrollment::{CONTACT, Certifier};
use crate::events::Event;
use crate::metrics::{CountedProvider, KeyCounters};
use crate::open::{OpenError, Opened};
use crate::people::{self, PeopleFileError};
use crate::slc;

/// One version of everything.
pub(crate) struct Snapshot {
    pub(crate) cluster: Cluster,
    pub(crate) accounts: Accounts,
    /// What clients are handed, by mode; empty when this server has no means to
    /// let clients join.
    bundles: Vec<(Mode, String)>,
    /// The trust anchor's enrollment service, where there is one.
    pub(crate) enrollment: Option<EnrollmentService>,
    /// What activates clients of version 1.0, where this cluster is certified by an authority of its
    /// own.
    pub(crate) activation: Option<Arc<ActivationService>>,
    /// For how many days servers are certified here.
    pub(crate) slc_days: u32,
    /// Whom people turn to who are refused something.
    pub(crate) contact: Option<String>,
}

/// Why the stored state cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be served.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The cluster is in a mode that servers of this level do not know.
    #[error(transparent)]
    Level(#[from] NotAtLevel),
    /// The people list cannot be read.
    #[error(transparent)]
    File(#[from] PeopleFileError),
    /// The people list cannot be used.
    #[error("the people list cannot be used: {0}")]
    People(#[from] PeopleError),
    /// Whoever the issuer says would be one of this organization's own people.
    #[error(
        "[sign_in.tokens] the federated issuer {issuer} has mail_domains of this forest, {forest}"
    )]
    OwnDomain {
        /// Which issuer.
        issuer: String,
        /// The forest.
        forest: ForestName,
    },
    /// Nothing can be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Snapshot {
    /// Reads everything anew. `accounts` is what is in use, when it need not be read.
    pub(crate) async fn load(
        opened: &Opened,
        config: &Config,
        accounts: Option<Accounts>,
        keys: &Arc<KeyCounters>,
    ) -> Result<Self, LoadError> {
        let stored = opened.store.snapshot().await?;
        let provider = CountedProvider::new(&*opened.provider, keys);
        let mut cluster = Cluster::new(&stored, &provider, opened.vault.clone())?;
        if cluster.mode == Mode::Two {
            config.service_level.require(Feature::ModeTwo)?;
        }
        let roles = opened.store.authority_roles().await?;
        let enrollment = if roles.is_empty() {
            None
        } else {
            let service = EnrollmentService::load(&roles, &provider);
            service
                .inspect_err(|error| {
                    Event::PartFailed.emit(format_args!("nobody can enroll here: {error}"));
                })
                .ok()
        };
        let activation = if Certifier::of(&stored, &roles) == Certifier::Own {
            let service = ActivationService::load(&roles, &provider);
            service
                .inspect_err(|error| {
                    Event::PartFailed.emit(format_args!("nobody is activated here: {error}"));
                })
                .ok()
                .flatten()
                .map(Arc::new)
        } else {
            None
        };
        cluster.activates =
            cluster.root.is_none() && (activation.is_some() || config.activation.is_some());
        let bundles = [Mode::One, Mode::Two]
            .into_iter()
            .filter_map(|mode| {
                let trust = ClientTrust::load(&roles, &stored, &opened.vault, Some(mode)).ok()?;
                Some((mode, bundle(&stored, trust)?))
            })
            .collect();
        // An organisation's directory was opened at the start.
        let accounts = if let Some(accounts) = accounts {
            accounts
        } else {
            let builtin = BuiltIn::new(people::of(&config.people, &stored)?)?;
            Accounts::List(Arc::new(PeopleList::new(builtin)?))
        };
        let forest = accounts.directory().home_forest();
        let tokens = config.tokens.as_ref();
        if let Some(issuer) = tokens.and_then(|tokens| tokens.federated_over(forest)) {
            return Err(LoadError::OwnDomain {
                issuer: issuer.to_string(),
                forest: forest.clone(),
            });
        }
        Ok(Self {
            cluster,
            accounts,
            bundles,
            enrollment,
            activation,
            slc_days: slc::days(&stored.settings),
            contact: stored.settings.get(CONTACT).cloned(),
        })
    }
}

impl Snapshot {
    /// What clients are handed: those of the cluster's mode, where they ask for none.
    pub(crate) fn bundle(&self, mode: Option<Mode>) -> Option<&str> {
        let mode = mode.unwrap_or(self.cluster.mode);
        let mut bundles = self.bundles.iter();
        let (_, bundle) = bundles.find(|(of, _)| *of == mode)?;
        Some(bundle)
    }
}

/// Clients join at the root cluster, which certifies them.
fn bundle(stored: &ConfigurationSnapshot, trust: ClientTrust) -> Option<String> {
    if stored.settings.contains_key(ROOT_URL) {
        return None;
    }
    serde_json::to_string(&ClientBundle {
        server: stored.policies.base_url.clone()?,
        name: stored.policies.name.clone(),
        trust,
    })
    .ok()
}
