//! What all threads of a server share.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use openrms_crypto::Secret;
use openrms_directory::{CachedForests, ForeignForests, NoForeignForests, SecondLevel};
use openrms_engine::{Caches, Context, Observer};
use openrms_protocol::{Limits, Service};
use openrms_store::ConfigurationVersion;
use openrms_xrml::Time;

use crate::access::Access;
use crate::accounts::Accounts;
use crate::activation::{ActivationProxy, Activations};
use crate::audit::Audit;
use crate::clock;
use crate::config::Config;
use crate::events::Event;
use crate::forests::HttpForests;
use crate::health::Health;
use crate::key_pool::KeyPool;
use crate::logging::Journal;
use crate::metrics::{AllCounters, Counters, Shared};
use crate::open::Opened;
use crate::people::PeopleSource;
use crate::repo::Served;
use crate::sign_in::{FailedSignIns, Schemes};
use crate::snapshot::{LoadError, Snapshot};
use crate::traces::Traces;

/// What all threads of a server share.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) opened: Opened,
    pub(crate) keys: Arc<KeyPool>,
    pub(crate) audit: Audit,
    pub(crate) journal: Arc<Journal>,
    pub(crate) schemes: Schemes,
    forests: Option<CachedForests<HttpForests>>,
    /// The database behind what is remembered of directories.
    pub(crate) second_level: Option<Arc<SecondLevel>>,
    pub(crate) failed_sign_ins: FailedSignIns,
    pub(crate) connections: Gauge,
    pub(crate) requests: Gauge,
    pub(crate) admin_token: Secret,
    /// Passwords that are being checked, each on a thread of its own.
    pub(crate) password_checks: tokio::sync::Semaphore,
    snapshot: ArcSwap<Snapshot>,
    pub(crate) caches: Caches,
    counters: AllCounters,
    pub(crate) shared: Arc<Shared>,
    /// Where traces go, when they are switched on.
    pub(crate) traces: Option<Traces>,
    pub(crate) activations: Activations,
    /// Where machines are activated, when another authority does it.
    pub(crate) activation_proxy: Option<ActivationProxy>,
    pub(crate) health: Health,
    /// The channel of packages.
    pub(crate) repo: Served,
    /// When the server started, in seconds since 1970.
    pub(crate) started: u64,
    request_prefix: u32,
    request_number: AtomicU64,
    /// Swapping is done by one at a time, so that an older state never follows a newer one.
    swapping: tokio::sync::Mutex<()>,
    /// Locked as long as this server runs.
    _running: File,
}

/// The parts that are made before the state.
pub(crate) struct Parts {
    pub(crate) running: File,
    pub(crate) config: Config,
    pub(crate) opened: Opened,
    pub(crate) snapshot: Snapshot,
    pub(crate) keys: Arc<KeyPool>,
    pub(crate) audit: Audit,
    pub(crate) journal: Arc<Journal>,
    pub(crate) schemes: Schemes,
    pub(crate) forests: Option<CachedForests<HttpForests>>,
    pub(crate) second_level: Option<Arc<SecondLevel>>,
    pub(crate) admin_token: Secret,
    pub(crate) threads: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) traces: Option<Traces>,
    pub(crate) activation_proxy: Option<ActivationProxy>,
}

/// Counts what is under way, up to a bound.
#[derive(Debug)]
pub(crate) struct Gauge {
    under_way: AtomicUsize,
    bound: usize,
}

/// One thing under way; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'g>(&'g Gauge);

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        let mut prefix = [0; 4];
        // Only tells one start of the server from another; without it they look alike.
        let _ = openrms_crypto::random::fill(&mut prefix);
        let limits = &parts.config.limits;
        Self {
            limits: Limits::server().with_body_bytes(limits.body_bytes),
            connections: Gauge::new(limits.connections),
            requests: Gauge::new(limits.requests),
            caches: Caches::new(limits.cache_bytes),
            counters: (0..parts.threads)
                .map(|_| Arc::new(Counters::default()))
                .collect(),
            shared: parts.shared,
            traces: parts.traces,
            activations: Activations::default(),
            activation_proxy: parts.activation_proxy,
            health: Health::default(),
            repo: Served::new(parts.config.repo.folder.clone()),
            started: clock::since_1970().as_secs(),
            config: parts.config,
            opened: parts.opened,
            keys: parts.keys,
            audit: parts.audit,
            journal: parts.journal,
            schemes: parts.schemes,
            forests: parts.forests,
            second_level: parts.second_level,
            failed_sign_ins: FailedSignIns::default(),
            admin_token: parts.admin_token,
            password_checks: tokio::sync::Semaphore::new(PASSWORD_CHECKS),
            snapshot: ArcSwap::from_pointee(parts.snapshot),
            request_prefix: u32::from_le_bytes(prefix),
            request_number: AtomicU64::new(1),
            swapping: tokio::sync::Mutex::new(()),
            _running: parts.running,
        }
    }

    /// The state to answer one request from.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The surroundings of a decision.
    pub(crate) fn context<'c>(
        &'c self,
        snapshot: &'c Snapshot,
        service: Service,
        observer: &'c dyn Observer,
        now: Time,
    ) -> Context<'c> {
        Context {
            cluster: &snapshot.cluster,
            directory: snapshot.accounts.directory(),
            forests: self.forests(),
            store: &*self.opened.store,
            key_source: &*self.keys,
            caches: &self.caches,
            observer,
            now,
            external: service.is_external(),
            newer_processors: matches!(
                service,
                Service::ServerCertification | Service::MobileCertification
            ),
            level: self.config.service_level,
            release: env!("CARGO_PKG_VERSION"),
        }
    }

    fn forests(&self) -> &dyn ForeignForests {
        match &self.forests {
            Some(forests) => forests,
            None => &NoForeignForests,
        }
    }

    /// Who may use a service.
    pub(crate) fn access(&self, snapshot: &Snapshot, service: Service) -> Access {
        // The paths of federated people are there with federation alone (MS-RMPR 3.1.4.2).
        let federation = snapshot.cluster.policies.federation_enabled;
        if service.is_external() && !(federation && self.schemes.takes_tokens(true)) {
            return Access::Closed;
        }
        let integrated = self.schemes.negotiate.is_some() || self.schemes.ntlm.is_some();
        self.config.access.access(service, integrated)
    }

    /// A name for a request, unlike those before and those of earlier starts.
    pub(crate) fn next_request(&self) -> String {
        let number = self.request_number.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.request_prefix)
    }

    /// The version of the configuration in use.
    pub(crate) fn version(&self) -> ConfigurationVersion {
        self.snapshot.load().cluster.version
    }

    /// Reads configuration and people list anew and answers from them from now on; what is
    /// remembered of an organisation's directory is forgotten. When that fails, what is in use
    /// stays in use.
    pub(crate) async fn reload(&self) -> Result<(), LoadError> {
        if let Some(forests) = &self.forests {
            forests.flush().await;
        }
        let accounts = self.snapshot().accounts.clone();
        match accounts {
            Accounts::List(_) => self.swap(None).await,
            Accounts::Remote(ref directory) => {
                directory.flush().await;
                self.swap(Some(accounts)).await
            }
        }
    }

    /// Reads the configuration anew when its version says so (MS-RMPR 3.1.5).
    pub(crate) async fn refresh(&self) -> Result<(), LoadError> {
        let version = self.opened.store.configuration_version().await;
        self.health.note_database(version.as_ref().map(|_| ()));
        if version? == self.version() {
            return Ok(());
        }
        let accounts = match self.snapshot().accounts.clone() {
            // What changed may be the list.
            Accounts::List(_) if self.config.people == PeopleSource::Database => None,
            accounts => Some(accounts),
        };
        self.swap(accounts).await
    }

    async fn swap(&self, accounts: Option<Accounts>) -> Result<(), LoadError> {
        let _one_at_a_time = self.swapping.lock().await;
        let fresh = Snapshot::load(&self.opened, &self.config, accounts, &self.shared.keys);
        let fresh = fresh.await?;
        let before = self.snapshot.swap(Arc::new(fresh));
        if before.cluster.version != self.version() {
            Event::ConfigurationChanged.emit(format_args!("version {} is in use", self.version()));
        }
        Ok(())
    }
}

impl Gauge {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            bound,
        }
    }

    /// Begins something, unless the bound is reached.
    pub(crate) fn begin(&self) -> Option<UnderWay<'_>> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let guard = UnderWay(self);
        (before < self.bound).then_some(guard)
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

const PASSWORD_CHECKS: usize = 4;
