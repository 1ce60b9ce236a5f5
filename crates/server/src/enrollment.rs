//! The server licensor certificate of this cluster: asked for on line or by files, judged, and taken
//! over, at enrollment and at renewal alike (MS-RMPR 3.1.3.2, 3.6.4; MS-RMPRS 3.3, 3.4). Key and
//! GUID stay what they are.

mod ask;
pub(crate) mod own;
#[cfg(test)]
mod tests;

use openrms_crypto::{KeyProvider, PublicKey};
use openrms_engine::Refusal;
use openrms_engine::authority::{self, AuthorityError, EnrollmentService};
use openrms_engine::cluster::{ROOT_SLC, ROOT_URL};
use openrms_protocol::level::NotAtLevel;
use openrms_protocol::{Feature, Limits, ProtocolError, ServiceLevel, offline_enrollment};
use openrms_store::{
    AuthorityRole, Change, ConfigurationSnapshot, Store, StoreError, TrustedSpcCaKey,
};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::{Time, chain};

use crate::authority::{ClientTrust, FOREIGN, TrustError};
use crate::credential::CredentialError;
use crate::open::Opened;
use crate::slc;
pub(crate) use ask::{OnLine, SignIn};
use own::OwnServer;

/// Why a server was not certified, or a certificate not taken over. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The service cannot be reached.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the attempt ended with.
        reason: String,
    },
    /// The service refused.
    #[error("the request was refused: {0}")]
    Refused(String),
    /// A password does not travel in the clear.
    #[error("{0} is not https, and a password is not sent there")]
    NotPrivate(String),
    /// The root cluster does not believe who this server says it is.
    #[error("{url} refuses the sign-in of {who}")]
    SignIn {
        /// What was asked.
        url: String,
        /// As whom.
        who: String,
    },
    /// The password is not where it should be.
    #[error("the password for the root cluster: {0}")]
    Password(#[from] CredentialError),
    /// There is no ticket, or the service does not prove who it is.
    #[error("Kerberos: {0}")]
    Kerberos(String),
    /// The attempt did not come to its end.
    #[error("the attempt was broken off: {0}")]
    BrokenOff(String),
    /// A file or an answer is not what it should be.
    #[error("the {what} cannot be read: {reason}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate was changed after it was signed.
    #[error("the certificate chain was changed or forged: {0}")]
    Forged(String),
    /// It was made for another server.
    #[error("the certificate is for another server: its {0} differs")]
    OtherServer(&'static str),
    /// It does not lead to the anchors.
    #[error("the certificate does not lead to the authority's anchors: {0}")]
    Untrusted(String),
    /// The bundle is that of another hierarchy.
    #[error("the client bundle is of another hierarchy than the anchors")]
    OtherHierarchy,
    /// A licensing cluster's certificate for a root cluster, or the other way round.
    #[error("the certificate is that of a {0} cluster")]
    OtherKind(&'static str),
    /// It is of the other cryptographic mode.
    #[error("the {0} is of the other cryptographic mode")]
    OtherMode(&'static str),
    /// It has run out.
    #[error("the certificate expired at {0}")]
    Expired(Time),
    /// It does not hold yet.
    #[error("the certificate is not valid before {0}: check the clocks")]
    NotYetValid(Time),
    /// Servers of this level do not go by files.
    #[error(transparent)]
    Level(#[from] NotAtLevel),
    /// Nobody is known who would certify this server on line.
    #[error("the server was enrolled by files, and is renewed by files")]
    ByFiles,
    /// The root cluster cannot certify this one for longer than it may issue itself.
    #[error("the root cluster's own certificate ends at {0} already, and is to be renewed first")]
    RootEndsFirst(Time),
    /// Nothing says what clients of the authority trust.
    #[error("it is not known what clients of the authority trust: its client bundle is needed")]
    NoBundle,
    /// Nothing was provisioned.
    #[error("the cluster is not provisioned")]
    NotProvisioned,
    /// The private key cannot be used.
    #[error("the server's key: {0}")]
    Key(String),
    /// The trust anchor of this cluster cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What the authority hands over for its clients cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The database failed, or somebody else changed the configuration meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A server that asks for an SLC.
#[derive(Clone, Copy)]
pub(crate) struct Applicant<'a> {
    /// The database of its cluster.
    pub(crate) store: &'a dyn Store,
    /// Where its private key is.
    pub(crate) provider: &'a dyn KeyProvider,
    /// As which it behaves, and says that it does.
    pub(crate) level: ServiceLevel,
}

/// Who certifies this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certifier {
    /// Its own trust anchor, in its own database.
    Own,
    /// The enrollment service at this URL.
    Service(String),
    /// The root cluster with this base URL.
    Root(String),
    /// Whoever gets its request by hand.
    Files,
}

/// What a certificate is judged by besides the server that it is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// What clients of the authority trust; what is known of it already when absent.
    pub(crate) bundle: Option<ClientTrust>,
    /// The only anchors that may be believed.
    pub(crate) pinned: Option<Anchors>,
}

/// A certificate was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enrolled {
    /// Fingerprint of the server's key.
    pub(crate) key: String,
    /// Until when the server may issue.
    pub(crate) until: Time,
}

impl<'a> Applicant<'a> {
    /// A server whose cluster is open.
    pub(crate) fn new(opened: &'a Opened, level: ServiceLevel) -> Self {
        Self {
            store: &*opened.store,
            provider: &*opened.provider,
            level,
        }
    }
}

impl Certifier {
    /// As it was provisioned.
    pub(crate) fn of(stored: &ConfigurationSnapshot, roles: &[AuthorityRole]) -> Self {
        let setting = |name| stored.settings.get(name).cloned();
        if let Some(url) = setting(ROOT_URL) {
            return Self::Root(url);
        }
        if let Some(url) = setting(SERVICE) {
            return Self::Service(url);
        }
        if roles.is_empty() || stored.settings.contains_key(FOREIGN) {
            Self::Files
        } else {
            Self::Own
        }
    }
}

/// A certificate that was judged and is yet to be stored.
#[derive(Debug)]
pub(crate) struct Certified {
    /// The SLC chain, leaf first, concatenated.
    pub(crate) chain: String,
    /// Until when the server may issue.
    pub(crate) until: Time,
    /// What is trusted with it.
    pub(crate) trusted: Vec<Change>,
}

/// What a request for a certificate is about.
#[derive(Clone, Copy)]
pub(crate) struct Application<'a> {
    /// The configuration as it is.
    pub(crate) stored: &'a ConfigurationSnapshot,
    /// This cluster's own trust anchor, if it has one.
    pub(crate) roles: &'a [AuthorityRole],
    /// The server.
    pub(crate) own: &'a OwnServer,
}

/// Asks for an SLC on line, and takes it over.
pub(crate) async fn on_line(
    applicant: Applicant<'_>,
    trust: Trust,
    by: &OnLine,
    now: Time,
) -> Result<Enrolled, EnrollError> {
    let stored = applicant.store.snapshot().await?;
    let roles = applicant.store.authority_roles().await?;
    on_line_from(&stored, &roles, applicant, trust, by, now).await
}

/// The same for this configuration and no later one: whoever changed it meanwhile was first.
pub(crate) async fn on_line_from(
    stored: &ConfigurationSnapshot,
    roles: &[AuthorityRole],
    applicant: Applicant<'_>,
    trust: Trust,
    by: &OnLine,
    now: Time,
) -> Result<Enrolled, EnrollError> {
    let Applicant {
        store, provider, ..
    } = applicant;
    let own = OwnServer::of(stored, applicant)?;
    let application = Application {
        stored,
        roles,
        own: &own,
    };
    let certified = application.certify(store, provider, trust, by, now).await?;
    application.take_over(store, certified).await
}

/// Until when the root cluster at this URL may issue, as it says; a certificate of its making ends no
/// later. None when it does not say.
pub(crate) async fn end_of_root(root: &str, by: &OnLine) -> Result<Option<Time>, EnrollError> {
    let root = root.to_owned();
    let slc = by.apart(move |by| ask::root_slc(&root, by)).await?;
    Ok(slc.range().map(|range| range.until))
}

/// What the root cluster at this URL says of its version, and of its release, where it tells.
pub(crate) async fn version_of_root(
    root: &str,
    by: &OnLine,
) -> Result<(String, Option<String>), EnrollError> {
    let root = root.to_owned();
    by.apart(move |by| ask::version(&root, by)).await
}

/// The request document for an authority, or for the root cluster of a licensing cluster.
pub(crate) async fn request_document(applicant: Applicant<'_>) -> Result<String, EnrollError> {
    applicant.level.require(Feature::OfflineEnrollment)?;
    let stored = applicant.store.snapshot().await?;
    Ok(OwnServer::of(&stored, applicant)?.request_document())
}

/// Takes over the SLC of a response document.
pub(crate) async fn by_file(
    applicant: Applicant<'_>,
    document: &[u8],
    trust: Trust,
    now: Time,
) -> Result<Enrolled, EnrollError> {
    applicant.level.require(Feature::OfflineEnrollment)?;
    let store = applicant.store;
    let stored = store.snapshot().await?;
    let roles = store.authority_roles().await?;
    let own = OwnServer::of(&stored, applicant)?;
    let application = Application {
        stored: &stored,
        roles: &roles,
        own: &own,
    };
    let certified = application.judge_document(document, &trust, now)?;
    application.take_over(store, certified).await
}

impl Application<'_> {
    /// Asks whoever certifies this cluster on line, and judges the answer.
    pub(crate) async fn certify(
        self,
        store: &dyn Store,
        provider: &dyn KeyProvider,
        mut trust: Trust,
        by: &OnLine,
        now: Time,
    ) -> Result<Certified, EnrollError> {
        let Self { stored, own, .. } = self;
        let (chain, asked) = match Certifier::of(stored, self.roles) {
            Certifier::Own => {
                let service = EnrollmentService::load(self.roles, provider)?;
                let days = slc::days(&stored.settings);
                let answer = service.enroll(store, &own.enroll(), days, now).await?;
                (answer.licensor_certificate_chain.concatenated(), None)
            }
            Certifier::Service(url) => {
                let (service, request) = (url.clone(), own.enroll());
                let ask = move |by: &OnLine| ask::enroll(&service, request, by);
                (by.apart(ask).await?, Some(url))
            }
            Certifier::Root(url) => {
                let (root, request) = (url.clone(), own.sub_enroll());
                let ask = move |by: &OnLine| ask::sub_enroll(&root, request, by);
                (by.apart(ask).await?, Some(url))
            }
            Certifier::Files => return Err(EnrollError::ByFiles),
        };
        if let Some(url) = asked
            && trust.bundle.is_none()
            && self.known()?.is_none()
        {
            let mode = own.mode;
            let fetch = move |by: &OnLine| ask::fetch_trust(&url, mode, by);
            trust.bundle = Some(by.apart(fetch).await?);
        }
        self.judge(chain, &trust, now)
    }

    /// What another authority handed over before, for machines of this mode.
    fn known(self) -> Result<Option<ClientTrust>, EnrollError> {
        let known = self.stored.settings.get(FOREIGN);
        let known = known.map(|text| ClientTrust::parse(text)).transpose()?;
        Ok(match known {
            Some(known) if known.mode()? == self.own.mode => Some(known),
            _ => None,
        })
    }

    /// Judges the SLC of a response document.
    pub(crate) fn judge_document(
        self,
        document: &[u8],
        trust: &Trust,
        now: Time,
    ) -> Result<Certified, EnrollError> {
        let limits = Limits::client();
        let chain = if self.own.root.is_some() {
            offline_enrollment::decode_sub_response(document, &limits)
                .map(|response| response.licensor_certificate_chain)
        } else {
            offline_enrollment::decode_response(document, &limits)
                .map(|response| response.licensor_certificate_chain)
        };
        let chain = chain.map_err(malformed("response"))?.concatenated();
        self.judge(chain, trust, now)
    }

    /// Judges a chain, and what is to be trusted with it.
    fn judge(self, chain: String, trust: &Trust, now: Time) -> Result<Certified, EnrollError> {
        let Self { stored, roles, own } = self;
        let mut trusted = Vec::new();
        let is_foreign = stored.settings.contains_key(FOREIGN);
        let (anchors, spc_authority) = match (&trust.bundle, self.known()?) {
            (Some(bundle), _) => {
                let value = serde_json::to_string(bundle)
                    .map_err(|error| TrustError::Damaged("client trust", error.to_string()))?;
                let name = FOREIGN.to_owned();
                trusted.push(Change::PutSetting { name, value });
                foreign(bundle)?
            }
            (None, Some(known)) => foreign(&known)?,
            (None, None) if roles.is_empty() || is_foreign => return Err(EnrollError::NoBundle),
            (None, None) => (
                authority::anchors(roles)?,
                authority::spc_authority_key(roles, own.mode)?,
            ),
        };
        if let Some(pinned) = &trust.pinned
            && !anchors.iter().all(|anchor| pinned.contains(&anchor.key))
        {
            return Err(EnrollError::OtherHierarchy);
        }
        if spc_authority.bits() != own.mode.rsa_bits() {
            return Err(EnrollError::OtherMode("client bundle"));
        }
        let range = own.judge(&chain, &anchors, now)?;
        if own.root.is_some() {
            let above = chain::split(&chain).map_err(malformed("certificate chain"))?;
            trusted.push(Change::PutSetting {
                name: ROOT_SLC.to_owned(),
                value: above.get(1..).unwrap_or_default().concat(),
            });
        }
        // At a renewal it stays as it is: an administrator may have withdrawn it.
        if trust.bundle.is_some() || !own.is_enrolled {
            trusted.push(Change::PutTrustedSpcCaKey(TrustedSpcCaKey {
                modulus: spc_authority.modulus_le().to_vec(),
                exponent: spc_authority.exponent(),
                name: "clients of the hierarchy".into(),
            }));
        }
        Ok(Certified {
            chain,
            until: range.until,
            trusted,
        })
    }

    /// Stores a certificate, unless the configuration was changed meanwhile.
    async fn take_over(
        self,
        store: &dyn Store,
        certified: Certified,
    ) -> Result<Enrolled, EnrollError> {
        let mut changes = certified.trusted;
        changes.push(Change::SetLicensorChain {
            id: self.own.id.clone(),
            slc_chain: certified.chain,
        });
        store.apply(&changes, Some(self.stored.version)).await?;
        Ok(Enrolled {
            key: self.own.id.clone(),
            until: certified.until,
        })
    }
}

/// Anchors of another authority, and the key above its SPC issuer, which must lead to them.
fn foreign(bundle: &ClientTrust) -> Result<(Anchors, PublicKey), EnrollError> {
    let anchors = bundle.anchors()?;
    let nodes = chain::parse_verified(&bundle.spc_issuer_chain)
        .map_err(malformed("SPC issuer's chain of the client bundle"))?;
    chain::verify_path(&nodes, None, |key| anchors.contains(key))
        .map_err(|error| EnrollError::Untrusted(format!("the client bundle: {error}")))?;
    let key = nodes.get(1).and_then(|node| node.principal_key().cloned());
    let key = key.ok_or_else(|| malformed("SPC issuer's chain")("it is too short"))?;
    Ok((anchors, key))
}

fn malformed<E: ToString>(what: &'static str) -> impl Fn(E) -> EnrollError {
    move |error| EnrollError::Malformed {
        what,
        reason: error.to_string(),
    }
}

impl From<Refusal> for EnrollError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

impl From<ProtocolError> for EnrollError {
    fn from(error: ProtocolError) -> Self {
        malformed("answer")(error)
    }
}

/// Setting: the enrollment service that certified this cluster, and renews its SLC.
pub(crate) const SERVICE: &str = "enrollment-service";
/// Setting: whom people turn to whose sub-enrollment is refused.
pub(crate) const CONTACT: &str = "administrator-contact";
