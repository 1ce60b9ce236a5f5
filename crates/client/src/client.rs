//! The client: everything it needs handed in, one door for everything it does.
//!
//! What is missing is made or fetched when it is first needed: lockbox, SPC, RAC, CLC. A `Client`
//! may be shared between threads; certificates are read once and kept until they expire.

mod builder;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrms_crypto::Mode;
use openrms_protocol::certification::{Certify, CertifyResponse};
use openrms_protocol::publishing::{GetClientLicensorCert, GetClientLicensorCertResponse};
use openrms_protocol::{
    CertificateChain, CertificateText, Contract, FaultCode, Feature, Response, Service,
};
use openrms_xrml::SharedNode;
use openrms_xrml::anchors::Anchors;

use crate::account::{Account, AccountError, Licensor, is_account_id};
use crate::clock::{Clock, Moment};
use crate::credentials::{CredentialSource, NoCredentials, Scheme};
use crate::discovery::{Discovery, DiscoveryError, ForestSource, LicenseServers, NameService};
use crate::error::Error;
use crate::hierarchy::{BUNDLE_PATH, Bundle, Hierarchy, HierarchyError, JoinPolicy, Joined};
use crate::keyring::SecretCache;
use crate::level::LevelError;
use crate::license_store::{self, Purge, StoredLicense};
use crate::lockbox::Lockbox;
use crate::lockbox_secret::LockboxSecretSource;
use crate::machine::MachineIdentity;
use crate::service::{Auth, Caller, ServiceError};
use crate::settings::{Role, Settings};
use crate::storage::Home;
use crate::transport::Transport;
use crate::url::ServerUrl;

pub use builder::ClientBuilder;

/// A rights-management client of one person on one machine.
pub struct Client {
    pub(crate) home: Home,
    pub(crate) machine: MachineIdentity,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    credentials: Arc<dyn CredentialSource>,
    pub(crate) passphrases: Arc<dyn LockboxSecretSource>,
    pub(crate) cache: Arc<dyn SecretCache>,
    pub(crate) discovery: Discovery,
    pub(crate) forest: Arc<dyn ForestSource>,
    pub(crate) names: Arc<dyn NameService>,
    join: Option<JoinPolicy>,
    pub(crate) license_servers: LicenseServers,
    session: Mutex<Session>,
}

/// How long a RAC is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persistence {
    /// For a machine of one's own: months.
    #[default]
    Persistent,
    /// For a machine that others use too: minutes.
    Temporary,
}

/// Whom an author trusts, who they are, and what they sign with.
pub(crate) type Publisher = (Arc<Hierarchy>, Arc<Account>, Arc<Licensor>);

/// What was read and verified already.
#[derive(Default)]
pub(crate) struct Session {
    hierarchy: Option<Arc<Hierarchy>>,
    pub(crate) lockbox: Option<Arc<Lockbox>>,
    account: Option<Arc<Account>>,
    licensor: Option<Arc<Licensor>>,
}

impl Client {
    /// The folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The settings.
    pub fn settings(&self) -> Result<Settings, Error> {
        Ok(Settings::load(&self.home)?)
    }

    /// Joins a hierarchy that came in files: the caller's word that they are the right ones. Takes
    /// the place of another one. Asks nobody, but the server must be known ([`Self::set_server`]).
    pub fn join(&self, hierarchy: Hierarchy) -> Result<Joined, Error> {
        let server = self.server()?;
        self.check_lockbox_of_level()?;
        let mut session = self.session();
        self.adopt(&mut session, server, String::new(), hierarchy, true)
    }

    /// The hierarchy that this client belongs to without asking anybody: what the administrator of the
    /// machine placed, else what was joined before. Of a placed one whose cluster went over to mode
    /// 2 since, what the client followed to, under the same anchors.
    pub fn known_hierarchy(&self) -> Result<Option<Hierarchy>, Error> {
        let Some(placed) = self.discovery.machine.hierarchy()? else {
            return Ok(Hierarchy::load(&self.home)?);
        };
        let joined = Hierarchy::load(&self.home).ok().flatten();
        let followed = joined.filter(|joined| joined.follows(&placed));
        Ok(Some(followed.unwrap_or(placed)))
    }

    /// The hierarchy joined; see [`ClientBuilder::join_when_missing`].
    pub fn hierarchy(&self) -> Result<Arc<Hierarchy>, Error> {
        self.hierarchy_in(&mut self.session())
    }

    /// Makes the lockbox, with the network unplugged; and signs the SPC when the hierarchy is
    /// known. A client of level 1.0 has both made by the activation service. Nothing changes when
    /// both are there.
    pub fn activate(&self) -> Result<Arc<Lockbox>, Error> {
        let mut session = self.session();
        let hierarchy = match self.stored_hierarchy(&mut session)? {
            None if self.is_activated_over_network()? => {
                let level = self.level()?;
                self.server().map_err(|_| LevelError::NeedsNetwork(level))?;
                Some(self.hierarchy_in(&mut session)?)
            }
            stored => stored,
        };
        let lockbox = match hierarchy {
            Some(hierarchy) => self.machine_in(&mut session, &hierarchy)?.0,
            None => self.lockbox_in(&mut session, None)?,
        };
        self.remember_level()?;
        Ok(lockbox)
    }

    /// Signs in as a person or as a service from now on.
    pub fn set_role(&self, role: Role) -> Result<(), Error> {
        if role == Role::Service {
            self.check_ever(Feature::ServerCertification)?;
        }
        if self.settings()?.role != role {
            let lock = self.home.lock()?;
            Settings::update(&lock, |settings| settings.role = role)?;
        }
        Ok(())
    }

    /// Acquires a RAC for whom the credentials name, stores it, and makes it the account in use
    /// (MS-RMPR 3.3.4.1).
    pub fn certify(&self, persistence: Persistence) -> Result<Arc<Account>, Error> {
        self.in_either_mode(|| self.certify_in(&mut self.session(), persistence, None))
    }

    /// Signs in: remembers the user name, then acquires RAC and CLC.
    pub fn sign_in(
        &self,
        user: Option<&str>,
        persistence: Persistence,
    ) -> Result<(Arc<Account>, Arc<Licensor>), Error> {
        if let Some(user) = user {
            let lock = self.home.lock()?;
            Settings::update(&lock, |settings| settings.user = Some(user.to_owned()))?;
        }
        self.in_either_mode(|| {
            let mut session = self.session();
            let account = self.certify_in(&mut session, persistence, None)?;
            let licensor = self.licensor_in(&mut session, &account)?;
            Ok((account, licensor))
        })
    }

    /// Makes another account of this machine the one in use.
    pub fn switch_account(&self, id: &str) -> Result<Arc<Account>, Error> {
        let mut session = self.session();
        let hierarchy = self.hierarchy_in(&mut session)?;
        let lockbox = self.lockbox_in(&mut session, Some(&hierarchy))?;
        let missing = || AccountError::NoSuchAccount(id.to_owned());
        if !is_account_id(id) {
            return Err(missing().into());
        }
        let account = Account::load(&self.home, id, &lockbox, hierarchy.anchors())?;
        let account = Arc::new(account.ok_or_else(missing)?);
        let lock = self.home.lock()?;
        Settings::update(&lock, |settings| settings.account = Some(id.to_owned()))?;
        session.account = Some(account.clone());
        session.licensor = None;
        Ok(account)
    }

    /// The account in use; certified when there is none, or when its RAC has expired.
    pub fn account(&self) -> Result<Arc<Account>, Error> {
        self.in_either_mode(|| self.account_in(&mut self.session()))
    }

    /// The CLC of the account in use; acquired when there is none, or when it has expired
    /// (MS-RMPR 3.5.4.2).
    pub fn client_licensor(&self) -> Result<Arc<Licensor>, Error> {
        self.in_either_mode(|| {
            let mut session = self.session();
            let account = self.account_in(&mut session)?;
            self.licensor_in(&mut session, &account)
        })
    }

    /// Use licenses in the store.
    pub fn licenses(&self) -> Result<Vec<StoredLicense>, Error> {
        let moment = Moment::look(&self.home, self.clock.as_ref())?;
        Ok(license_store::list(&self.home, moment.judged())?)
    }

    /// Deletes use licenses; answers how many.
    pub fn purge_licenses(&self, what: &Purge) -> Result<usize, Error> {
        let moment = Moment::look(&self.home, self.clock.as_ref())?;
        let lock = self.home.lock()?;
        let gone = license_store::purge(&lock, what, moment.judged())?;
        if *what == Purge::All {
            Moment::forget(&lock)?;
        }
        Ok(gone)
    }

    /// The clock, compared with the newest time seen.
    pub fn moment(&self) -> Result<Moment, Error> {
        Ok(Moment::observe(&self.home, self.clock.as_ref())?)
    }

    pub(crate) fn look_at_clock(&self) -> Result<Moment, Error> {
        Ok(Moment::look(&self.home, self.clock.as_ref())?)
    }

    /// How servers are asked.
    pub fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    pub(crate) fn machine(&self) -> &MachineIdentity {
        &self.machine
    }

    /// Anchors, account and CLC in one, for publishing.
    pub(crate) fn publisher(&self) -> Result<Publisher, Error> {
        self.in_either_mode(|| {
            let mut session = self.session();
            let account = self.account_in(&mut session)?;
            let licensor = self.licensor_in(&mut session, &account)?;
            Ok((self.hierarchy_in(&mut session)?, account, licensor))
        })
    }

    /// Anchors and account in one, for opening.
    pub(crate) fn reader(&self) -> Result<(Arc<Hierarchy>, Arc<Account>), Error> {
        self.in_either_mode(|| {
            let mut session = self.session();
            let account = self.account_in(&mut session)?;
            Ok((self.hierarchy_in(&mut session)?, account))
        })
    }

    /// Does something that the server may refuse to a machine of cryptographic mode 1. When it does,
    /// and the cluster has gone over to mode 2, the machine follows, and it is done again.
    pub(crate) fn in_either_mode<T>(&self, act: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        match act() {
            Err(Error::Service(ServiceError::Fault { fault, url }))
                if fault.code == Some(FaultCode::UnsupportedCryptographicSet) =>
            {
                if self.follow_mode()? {
                    act()
                } else {
                    Err(ServiceError::Fault { fault, url }.into())
                }
            }
            done => done,
        }
    }

    /// Goes over to mode 2 where the server hands out an SPC issuer of that mode. It must lead to the
    /// anchors that are trusted already, so nothing more is trusted than before; and there is no way
    /// back to mode 1, which somebody in between might like. Nor is anything done at the word of
    /// somebody in between: what was sealed to the machine's old key is lost with it.
    fn follow_mode(&self) -> Result<bool, Error> {
        let mut session = self.session();
        let known = match self.stored_hierarchy(&mut session)? {
            Some(known) if known.mode() == Mode::One => known,
            _ => return Ok(false),
        };
        if self.check_ever(Feature::ModeTwo).is_err() {
            return Ok(false);
        }
        let server = self.server()?;
        if !server.origin().is_private() {
            return Ok(false);
        }
        let bundle = match self.fetch_bundle(&server) {
            Err(HierarchyError::NoBundle { .. }) => return Ok(false),
            bundle => bundle?,
        };
        let next = known.activating_by(&bundle)?;
        if next.mode() == Mode::One {
            return Ok(false);
        }
        self.adopt(&mut session, server, bundle.name, next, true)?;
        Ok(true)
    }

    /// Asks services on behalf of this client.
    pub(crate) fn with_caller<T>(
        &self,
        ask: impl FnOnce(&Caller<'_>, Option<&ServerUrl>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let settings = self.settings()?;
        let located = self.discovery.locate(&settings).ok();
        let server = located.map(|located| located.server);
        let licensing = match &server {
            Some(server) => self.licensing(&settings, server)?,
            None => None,
        };
        let caller = Caller {
            transport: self.transport.as_ref(),
            server: server.as_ref(),
            licensing,
            source: self.credentials.as_ref(),
            user: settings.user.as_deref(),
        };
        ask(&caller, server.as_ref())
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        // Whatever panicked left only complete values behind.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stored_hierarchy(
        &self,
        session: &mut Session,
    ) -> Result<Option<Arc<Hierarchy>>, Error> {
        if session.hierarchy.is_none() {
            session.hierarchy = self.known_hierarchy()?.map(Arc::new);
        }
        Ok(session.hierarchy.clone())
    }

    fn hierarchy_in(&self, session: &mut Session) -> Result<Arc<Hierarchy>, Error> {
        if let Some(hierarchy) = self.stored_hierarchy(session)? {
            return Ok(hierarchy);
        }
        let policy = self.join.as_ref().ok_or(HierarchyError::Unknown)?;
        let server = self.server()?;
        self.join_server(session, &server, policy)?;
        Ok(session.hierarchy.clone().ok_or(HierarchyError::Unknown)?)
    }

    pub(crate) fn join_server(
        &self,
        session: &mut Session,
        server: &ServerUrl,
        policy: &JoinPolicy,
    ) -> Result<Joined, Error> {
        self.discovery.check_final_server(server)?;
        if *policy == JoinPolicy::TrustOnFirstUse && !server.origin().is_private() {
            return Err(HierarchyError::NotPrivate(server.clone()).into());
        }
        self.check_lockbox_of_level()?;
        let bundle = self.fetch_bundle(server)?;
        let hierarchy = Hierarchy::from_bundle(&bundle, policy)?;
        let replace = matches!(policy, JoinPolicy::Pinned(_));
        self.adopt(session, server.clone(), bundle.name, hierarchy, replace)
    }

    fn fetch_bundle(&self, server: &ServerUrl) -> Result<Bundle, HierarchyError> {
        let caller = Caller {
            transport: self.transport.as_ref(),
            server: Some(server),
            licensing: None,
            source: &NoCredentials,
            user: None,
        };
        let answer = caller.get(&format!("{server}{BUNDLE_PATH}"))?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(HierarchyError::NoBundle {
                server: server.clone(),
                status,
            });
        }
        serde_json::from_slice(&answer.body).map_err(|error| HierarchyError::Bundle {
            server: server.clone(),
            reason: error.to_string(),
        })
    }

    fn adopt(
        &self,
        session: &mut Session,
        server: ServerUrl,
        name: String,
        hierarchy: Hierarchy,
        replace: bool,
    ) -> Result<Joined, Error> {
        let lock = self.home.lock()?;
        let known = self.known_hierarchy()?;
        let placed = self.discovery.machine.hierarchy_file();
        if let (Some(file), Some(known)) = (placed, &known)
            && known.anchors() != hierarchy.anchors()
        {
            return Err(HierarchyError::Fixed {
                server,
                found: hierarchy.first_fingerprint(),
                file: file.to_owned(),
            }
            .into());
        }
        let hierarchy = match &known {
            // What was placed is read anew each time; only where it leads to is kept here.
            Some(known) if placed.is_some() && !hierarchy.follows(known) => known.clone(),
            _ => hierarchy,
        };
        let changed = match &known {
            Some(known) if known.is_same(&hierarchy) => false,
            Some(_) if !replace && placed.is_none() => {
                let found = hierarchy.first_fingerprint();
                return Err(HierarchyError::Changed { found }.into());
            }
            _ => true,
        };
        if changed {
            hierarchy.store(&lock)?;
        }
        let is_held = |held: &Arc<Hierarchy>| held.is_same(&hierarchy);
        if changed || !session.hierarchy.as_ref().is_some_and(is_held) {
            // The lockbox is the machine's; nobody is asked for its passphrase twice.
            let lockbox = session.lockbox.take();
            *session = Session {
                lockbox,
                ..Session::default()
            };
        }
        let joined = Joined {
            server,
            name,
            anchors: hierarchy.fingerprints(),
            spc_issuer: hierarchy.issuer().key().fingerprint_hex(),
            changed,
        };
        session.hierarchy = Some(Arc::new(hierarchy));
        Ok(joined)
    }

    /// Acquires a RAC; `renewed` is the account whose own has expired, where it is for them.
    fn certify_in(
        &self,
        session: &mut Session,
        persistence: Persistence,
        renewed: Option<&Account>,
    ) -> Result<Arc<Account>, Error> {
        let hierarchy = self.hierarchy_in(session)?;
        let (lockbox, machine) = self.machine_in(session, &hierarchy)?;
        let request = Certify {
            machine_certificate_chain: wire_chain(&machine.chain)?,
            persistent: persistence == Persistence::Persistent,
        };
        let request = request.into();
        let text = self.with_caller(|caller, server| {
            let server = server.ok_or(DiscoveryError::NoServer)?;
            let settings = self.settings()?;
            let services = settings.services;
            let at = services.and_then(|services| services.certification(server));
            let base = at.as_ref().unwrap_or(server).as_str();
            let certify = |service: Service| {
                let take = |response: Response<'_>| {
                    let answer: CertifyResponse<'_> = CertifyResponse::try_from(response)?;
                    Ok(answer.certificate_chain.concatenated())
                };
                let contract = Contract::Certification;
                caller.call(&service.url(base), contract, &request, Auth::Always, take)
            };
            let known = renewed.map(|account| account.endpoint(Service::Certification));
            Ok(match known {
                _ if settings.role == Role::Service => certify(Service::ServerCertification)?,
                Some(service) if service.is_external() => certify(service)?,
                _ => certified_as_either(certify)?,
            })
        })?;
        let account = Account::read(&text, &lockbox, hierarchy.anchors())?;
        let now = self.clock.now();
        if !account.is_valid_at(now) {
            return Err(AccountError::NotValidNow {
                what: "account certificate",
                now,
            }
            .into());
        }
        let lock = self.home.lock()?;
        account.store(&lock)?;
        Settings::update(&lock, |settings| {
            settings.account = Some(account.id().to_owned());
        })?;
        drop(lock);
        self.locate_services(&account)?;
        let account = Arc::new(account);
        session.account = Some(account.clone());
        session.licensor = None;
        Ok(account)
    }

    fn account_in(&self, session: &mut Session) -> Result<Arc<Account>, Error> {
        let at = Moment::observe(&self.home, self.clock.as_ref())?.judged();
        if let Some(account) = session.account.as_ref().filter(|a| a.is_valid_at(at)) {
            return Ok(account.clone());
        }
        let hierarchy = self.hierarchy_in(session)?;
        let lockbox = self.lockbox_in(session, Some(&hierarchy))?;
        let current = self.settings()?.account.filter(|id| is_account_id(id));
        let stored = match current {
            Some(id) => Account::load(&self.home, &id, &lockbox, hierarchy.anchors())?,
            None => None,
        };
        match stored {
            Some(account) if account.is_valid_at(at) => {
                let account = Arc::new(account);
                session.account = Some(account.clone());
                session.licensor = None;
                Ok(account)
            }
            expired => {
                let temporary = |account: &Account| account.certificate().is_temporary();
                let persistence = if expired.as_ref().is_some_and(temporary) {
                    Persistence::Temporary
                } else {
                    Persistence::Persistent
                };
                self.certify_in(session, persistence, expired.as_ref())
            }
        }
    }

    fn licensor_in(
        &self,
        session: &mut Session,
        account: &Arc<Account>,
    ) -> Result<Arc<Licensor>, Error> {
        let now = self.clock.now();
        if let Some(licensor) = session.licensor.as_ref().filter(|l| l.may_sign_at(now)) {
            return Ok(licensor.clone());
        }
        let hierarchy = self.hierarchy_in(session)?;
        let stored = Licensor::load(&self.home, account, hierarchy.anchors())?;
        let licensor = match stored.filter(|licensor| licensor.may_sign_at(now)) {
            Some(licensor) => licensor,
            None => self.acquire_licensor(account, hierarchy.anchors())?,
        };
        let licensor = Arc::new(licensor);
        session.licensor = Some(licensor.clone());
        Ok(licensor)
    }

    fn acquire_licensor(&self, account: &Account, anchors: &Anchors) -> Result<Licensor, Error> {
        let request = GetClientLicensorCert {
            persona_certs: vec![wire_chain(account.chain())?],
        };
        let ask = request.into();
        let service = account.endpoint(Service::Publish);
        let text = self.ask_licensing(service, |caller, url| {
            let take = |response: Response<'_>| {
                let answer = GetClientLicensorCertResponse::try_from(response)?;
                Ok(answer
                    .certificate_chains
                    .first()
                    .map(CertificateChain::concatenated))
            };
            let text = caller.call(&url, Contract::Publishing, &ask, Auth::OnDemand, take)?;
            let what = "client licensor certificate";
            text.ok_or(ServiceError::Empty { url, what })
        })?;
        let licensor = Licensor::read(&text, account, anchors)?;
        let now = self.clock.now();
        if !licensor.may_sign_at(now) {
            return Err(AccountError::NotValidNow {
                what: "licensor certificate",
                now,
            }
            .into());
        }
        let lock = self.home.lock()?;
        licensor.store(&lock, account)?;
        Ok(licensor)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// Certifies whoever a token is for. The token does not tell whether the server's directory has an
/// account for them or they are federated, and each has a path of their own (MS-RMPR 3.1.4.2): one
/// that the first path refuses is shown at the other.
pub(crate) fn certified_as_either(
    certify: impl Fn(Service) -> Result<String, ServiceError>,
) -> Result<String, ServiceError> {
    let refused = match certify(Service::Certification) {
        Err(
            error @ ServiceError::SignInRefused {
                shown: Some(Scheme::Bearer),
                ..
            },
        ) => error,
        outcome => return outcome,
    };
    match certify(Service::CertificationExternal) {
        // There is no such path, or it does not take the token either.
        Err(
            ServiceError::SignInRefused { .. }
            | ServiceError::Missing { .. }
            | ServiceError::Status { .. },
        ) => Err(refused),
        Err(ServiceError::Fault { fault, .. })
            if fault.code == Some(FaultCode::UnauthorizedAccess) =>
        {
            Err(refused)
        }
        outcome => outcome,
    }
}

/// Nodes as they go into a message.
pub(crate) fn wire_chain(nodes: &[SharedNode]) -> Result<CertificateChain<'_>, Error> {
    nodes
        .iter()
        .map(|node| CertificateText::new(&**node.text()))
        .collect::<Result<_, _>>()
        .map_err(|source| {
            let source = openrms_xrml::XrmlError::Invalid {
                field: "XrML",
                reason: source.to_string(),
            };
            crate::trust::TrustError::Malformed {
                what: "certificate",
                source,
            }
            .into()
        })
}
