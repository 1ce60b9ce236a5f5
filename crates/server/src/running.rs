//! A server from start to end.

use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use openrms_crypto::Mode;
use openrms_protocol::ServiceLevel;
use openrms_store::StoreError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot, watch};

use crate::activation::ActivationError;
use crate::audit::Audit;
use crate::clock;
use crate::config::Config;
use crate::directory::DirectoryStartError;
use crate::enrollment::Applicant;
use crate::events::Event;
use crate::files;
use crate::fips::{self, FipsError};
use crate::forests::ForestsError;
use crate::health;
use crate::http::{self, Core, HandedOver, ListenError, Listeners, TlsError};
use crate::key_pool::KeyPool;
use crate::logging::{self, Listener, LogError};
use crate::metrics::Shared;
use crate::open::{OpenError, Opened, blocking};
use crate::renewal::{SlcKeeper, Tended};
use crate::second_level;
use crate::servers;
use crate::sign_in::{SchemeError, Schemes};
use crate::snapshot::{LoadError, Snapshot};
use crate::state::{Parts, State};
use crate::traces::{Traces, TracesError};

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that serves, until [`Running::stop`] or until this is dropped. Either way requests
/// under way are answered first, for as long as the configuration's `drain_seconds`.
pub struct Running {
    url: String,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    reload: UnboundedSender<Asked>,
    ended: Arc<Notify>,
    threads: Vec<JoinHandle<()>>,
    keys: Option<JoinHandle<()>>,
    log: Option<Listener>,
    keeper: Option<JoinHandle<()>>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server is not what `[crypto]` asks for.
    #[error(transparent)]
    Fips(#[from] FipsError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is stored cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The organisation's directory cannot be asked.
    #[error(transparent)]
    Directory(#[from] DirectoryStartError),
    /// Other forests cannot be asked.
    #[error(transparent)]
    Forests(#[from] ForestsError),
    /// A way to sign in cannot be offered.
    #[error(transparent)]
    SignIn(#[from] SchemeError),
    /// The service of another authority cannot be asked to activate machines.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// HTTPS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cluster is another one than the configuration says.
    #[error("the configuration says {configured}, but the cluster was provisioned as {stored}")]
    OtherUrl {
        /// URL of the configuration file.
        configured: String,
        /// URL in the database.
        stored: String,
    },
    /// A file of the data directory cannot be used.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Requests cannot be logged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system gives no threads.
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
}

impl Server {
    /// Opens what was provisioned and serves it at the addresses of the configuration. Blocks
    /// until the first request can be answered.
    pub fn start(config: Config) -> Result<Running, StartError> {
        // Before an address is taken: nobody is to meet a server that does not serve.
        fips::hold(&config)?;
        let threads = thread_count(&config);
        let listeners = Listeners::bind(&config, threads)?;
        launch(config, listeners)
    }

    /// As [`Server::start`], at a listener that was bound before: for those who must know the
    /// port before they provision. It speaks plain HTTP.
    pub fn start_with_listener(
        config: Config,
        listener: TcpListener,
    ) -> Result<Running, StartError> {
        let tls = false;
        Self::start_with_sockets(config, &[HandedOver { listener, tls }])
    }

    /// As [`Server::start`], at sockets that were made before, such as those of a service manager: they
    /// take the place of all addresses of the configuration.
    pub fn start_with_sockets(
        config: Config,
        sockets: &[HandedOver],
    ) -> Result<Running, StartError> {
        fips::hold(&config)?;
        let threads = thread_count(&config);
        let listeners = Listeners::share(&config, sockets, threads)?;
        launch(config, listeners)
    }
}

impl Running {
    /// Scheme, address and port by which this machine reaches the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As which version of RMS the server behaves.
    pub fn service_level(&self) -> ServiceLevel {
        self.state.config.service_level
    }

    /// The administration site, token included: to be shown to its owner only.
    pub fn admin_url(&self) -> String {
        let token = String::from_utf8_lossy(self.state.admin_token.expose()).into_owned();
        format!("{}/admin/?token={token}", self.url)
    }

    /// Reads configuration and people list anew, and opens the audit file anew, also when nobody waits
    /// for it. What cannot be read is logged, and what is in use stays in use; the answer is then false.
    pub fn reload(&self) -> impl Future<Output = bool> + use<> {
        let (done, answer) = oneshot::channel();
        // Fails when the server is ending, and then so does the answer.
        let _ = self.reload.send(done);
        async { answer.await.unwrap_or(false) }
    }

    /// Reads configuration and people list anew, now. Blocks.
    pub fn reload_now(&self) -> Result<(), LoadError> {
        blocking(|| self.state.reload())
    }

    /// Takes no more connections, answers the requests under way, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.state.health.drain();
        // Fails when nobody listens any more, which is what is wanted.
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                Event::ShutdownFailed.emit("a serving thread had panicked");
            }
        }
        self.state.keys.stop();
        // Nobody asks any more, so what waits now is all.
        if let Some(log) = self.log.take() {
            log.stop();
        }
        self.ended.notify_one();
        for thread in [self.keys.take(), self.keeper.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

fn launch(config: Config, listeners: Listeners) -> Result<Running, StartError> {
    let tls = config
        .tls
        .as_ref()
        .map(|tls| http::acceptor(tls, config.certificates.as_ref()))
        .transpose()?;
    let (started, answer) = mpsc::sync_channel(1);
    let (reload, mut asked) = unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let threads = listeners.threads.len();
    let ended = Arc::new(Notify::new());
    let keeper = {
        let ended = ended.clone();
        spawn("rmsd-keeper", move || {
            keeper(config, threads, &started, &mut asked, &ended);
        })?
    };
    let (state, keys, log) = match answer.recv() {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(error)) => {
            let _ = keeper.join();
            return Err(error);
        }
        Err(_) => {
            let why = std::io::Error::other("the first thread ended");
            return Err(StartError::Thread(why));
        }
    };
    let mut running = Running {
        url: listeners.url(),
        state: state.clone(),
        stop,
        reload,
        ended,
        threads: Vec::new(),
        keys: Some(keys),
        log,
        keeper: Some(keeper),
    };
    for (index, listeners) in listeners.threads.into_iter().enumerate() {
        let core = Core::new(state.clone(), index);
        let (tls, stopped) = (tls.clone(), stopped.clone());
        let thread = spawn(&format!("rmsd-{index}"), move || match runtime() {
            Ok(runtime) => runtime.block_on(http::serve(core, listeners, tls, stopped)),
            Err(error) => Event::PartFailed.emit(format_args!("a thread does not serve: {error}")),
        })?;
        running.threads.push(thread);
    }
    Ok(running)
}

/// Opens everything, then looks after it: the configuration's version, reloading, and the end,
/// which comes when nobody serves any more.
fn keeper(
    config: Config,
    threads: usize,
    started: &mpsc::SyncSender<Result<Prepared, StartError>>,
    reload: &mut UnboundedReceiver<Asked>,
    ended: &Notify,
) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(StartError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        let state = match prepare(config, threads).await {
            Ok((state, keys, log)) => {
                let _ = started.send(Ok((state.clone(), keys, log)));
                state
            }
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        tokio::select! {
            () = keep_current(&state, reload, ended) => {}
            () = keep_certified(&state) => {}
        }
        if let Some(level) = &state.second_level {
            level.close().await;
        }
        if let Some(traces) = &state.traces {
            traces.stop();
        }
        state.opened.store.close().await;
    });
    // Whoever is being asked for a certificate may take long, and is not waited for.
    runtime.shutdown_background();
}

/// Takes up what is changed, until the end.
async fn keep_current(state: &State, reload: &mut UnboundedReceiver<Asked>, ended: &Notify) {
    loop {
        health::look_at_directory(state);
        state.repo.look(clock::now());
        health::count_servers(state).await;
        let interval = refresh_interval(state);
        let mut asked = None;
        let outcome = tokio::select! {
            () = ended.notified() => return,
            Some(asker) = reload.recv() => {
                asked = Some(asker);
                if let Err(error) = state.audit.reopen() {
                    Event::LoggingFailed
                        .emit(format_args!("the audit file cannot be opened anew: {error}"));
                }
                state.reload().await
            }
            () = tokio::time::sleep(interval) => {
                let here = servers::say_here(&*state.opened.store, &state.config).await;
                if let Err(error) = here {
                    tracing::warn!(%error, "the cluster's list of servers was not reached");
                }
                state.refresh().await
            }
            () = state.opened.store.changed() => state.refresh().await,
        };
        if let Some(asker) = asked {
            // Who asked need not wait for the answer.
            let _ = asker.send(outcome.is_ok());
        }
        match outcome {
            Ok(()) => {}
            Err(LoadError::Store(error)) if !matches!(error, StoreError::Corrupt { .. }) => {
                state.health.note_database(Err(&error));
            }
            Err(error) => Event::ConfigurationCorrupt.emit(error),
        }
    }
}

/// Looks after the certificate of the cluster, beside everything else: others that are asked for one
/// must not keep this server from taking up what is changed.
async fn keep_certified(state: &State) {
    let config = &state.config;
    let mut slc = SlcKeeper::new(config.root_cluster.clone(), config.outbound_proxy.clone());
    loop {
        let snapshot = state.snapshot();
        let server = Applicant::new(&state.opened, config.service_level);
        let done = slc.tend(server, &snapshot.cluster, clock::now()).await;
        drop(snapshot);
        if done == Tended::Renewed
            && let Err(error) = state.refresh().await
        {
            tracing::error!(%error, "the renewed certificate is not in use yet");
        }
        tokio::time::sleep(refresh_interval(state)).await;
    }
}

/// How long the version of the configuration is not looked at. Whoever enrolls a cluster waits for
/// it to take up service.
fn refresh_interval(state: &State) -> Duration {
    let snapshot = state.snapshot();
    let shortest = Duration::from_secs(1);
    if snapshot.cluster.server().is_err() {
        return shortest;
    }
    let interval = snapshot.cluster.policies.configuration_refresh_interval;
    interval.clamp(shortest, Duration::from_hours(24))
}

/// Somebody who asked for everything to be read anew, and is told whether it was.
type Asked = oneshot::Sender<bool>;

/// The state, the thread that makes keys for it, and the one that takes its log to the database.
type Prepared = (Arc<State>, JoinHandle<()>, Option<Listener>);

async fn prepare(config: Config, threads: usize) -> Result<Prepared, StartError> {
    let path = config.data.running();
    let running = files::lock_together(&path)
        .map_err(|error| StartError::File(path.display().to_string(), error))?;
    let opened = Opened::open(&config).await?;
    let runtime = tokio::runtime::Handle::current();
    let directory = config.directory.as_ref();
    let second_level = match directory {
        Some(directory) => second_level::open(directory, &config, &opened, &runtime).await,
        None => None,
    };
    let accounts = directory
        .map(|directory| directory.open(second_level.as_ref(), runtime))
        .transpose()?;
    let shared = Arc::new(Shared::default());
    let snapshot = Snapshot::load(&opened, &config, accounts, &shared.keys).await?;
    servers::say_here(&*opened.store, &config)
        .await
        .map_err(LoadError::Store)?;
    let stored = snapshot.cluster.base_url();
    if let Some(configured) = config.url.as_deref().filter(|url| !same_url(url, stored)) {
        return Err(StartError::OtherUrl {
            configured: configured.to_owned(),
            stored: stored.to_owned(),
        });
    }
    let file =
        |path: std::path::PathBuf| move |error| StartError::File(path.display().to_string(), error);
    let audit = Audit::open(config.audit.as_deref())
        .map_err(file(config.audit.clone().unwrap_or_default()))?;
    let admin_token = config
        .data
        .read_admin_token()
        .map_err(file(config.data.admin_token()))?;
    let mode: Mode = snapshot.cluster.mode;
    let (keys, thread) =
        KeyPool::start(mode, config.limits.spare_keys).map_err(StartError::Thread)?;
    let schemes = Schemes::start(&config, tokio::runtime::Handle::current())?;
    let cache = config
        .directory
        .as_ref()
        .map(|directory| directory.cache.clone())
        .unwrap_or_default();
    let forests = config
        .forests
        .as_ref()
        .map(|forests| {
            let level = config.service_level;
            forests.open(level, &cache, second_level.as_ref(), &shared.forests)
        })
        .transpose()?;
    let traces = config.traces.as_ref();
    let traces = traces
        .map(|traces| Traces::start(traces, snapshot.cluster.base_url()))
        .transpose()?;
    let activation_proxy = config
        .activation
        .as_ref()
        .map(|activation| activation.open(config.outbound_proxy.as_deref()))
        .transpose()?;
    // Last: what follows cannot fail, and would leave a thread behind.
    let (journal, log) = logging::start(&config.logging, &opened, &shared)?;
    let parts = Parts {
        running,
        config,
        opened,
        snapshot,
        keys,
        audit,
        journal,
        schemes,
        forests,
        second_level,
        admin_token,
        threads,
        shared,
        traces,
        activation_proxy,
    };
    Ok((Arc::new(State::new(parts)), thread, log))
}

fn same_url(configured: &str, stored: &str) -> bool {
    let bare = |url: &str| {
        let url = url.trim().trim_end_matches('/').to_ascii_lowercase();
        url.strip_suffix("/_wmcs").map(str::to_owned).unwrap_or(url)
    };
    bare(configured) == bare(stored)
}

fn thread_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().ok();
    config
        .threads
        .or(cores)
        .map_or(1, std::num::NonZeroUsize::get)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(StartError::Thread)
}
