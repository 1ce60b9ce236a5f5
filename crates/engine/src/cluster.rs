//! The cluster at one version of its configuration: an immutable snapshot, keys loaded,
//! certificates parsed and verified (`ServerState` of MS-RMPR 3.1.1.2.1).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use openrms_crypto::{KeyHandle, KeyProvider, Mode, PrivateKey, PublicKey};
use openrms_protocol::{CertificateChain, Service, ServiceLevel};
use openrms_store::{
    ConfigurationSnapshot, ConfigurationVersion, CryptographicMode, EmailDomains, Policies,
    TemplateState, TrustedPublishingDomain, TrustedUserDomain,
};
use openrms_xrml::chain::{self, SharedNode};
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::node::{ApplicationPolicy, PolicyList};
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::{Guid, Identity, Time};

use crate::keys::KeyVault;

/// Everything a decision needs to know of the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Version of the configuration this was built from.
    pub version: ConfigurationVersion,
    /// The scalar settings.
    pub policies: Policies,
    /// Cryptographic mode of what is issued.
    pub mode: Mode,
    /// How far PLs without an author's proof are believed.
    pub author_proof: AuthorProof,
    /// The root cluster, where this is a licensing cluster.
    pub root: Option<RootCluster>,
    /// Whether clients of version 1.0 are activated here; for the server to say.
    pub activates: bool,
    /// Keys of third parties that may revoke the SLC.
    pub revocation_authorities: Vec<PublicKey>,
    is_enrolled: bool,
    servers: Vec<LicensingServer>,
    rac_issuers: Vec<RacIssuer>,
    spc_authorities: HashSet<PublicKey>,
    excluded_racs: HashSet<PublicKey>,
    exclusion_policy: Option<PolicyList>,
    templates: HashMap<Guid, Template>,
    user_keys: KeyVault,
}

/// The cluster that certified a licensing cluster, and certifies its people (MS-RMPRS 1.3.2).
#[derive(Debug, Clone)]
pub struct RootCluster {
    /// Its base URL, ending in `/_wmcs`.
    pub base_url: String,
    /// Its key: RACs of this one are honored.
    pub key: PublicKey,
}

/// What a cluster cannot do before it is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster is not enrolled: its key pair has no server licensor certificate")]
pub struct NotEnrolled;

/// A server whose content key this cluster can open: itself, its retired keys, and the trusted
/// publishing domains (MS-RMPR 3.1.1.1.2).
#[derive(Debug)]
pub struct LicensingServer {
    /// Its SLC.
    pub slc: ServerLicensorCertificate,
    /// SLC and what is above, as texts.
    pub chain: CertificateChain<'static>,
    /// Its private key.
    pub key: Arc<dyn PrivateKey>,
    /// The templates of a trusted publishing domain; `None` for the cluster's own keys.
    pub templates: Option<HashMap<Guid, Template>>,
}

/// A server whose RACs are honored.
#[derive(Debug)]
pub struct RacIssuer {
    /// Its key.
    pub key: PublicKey,
    /// Whether it is this cluster, or its root cluster: the directory knows every account it
    /// certified.
    pub own: bool,
    /// Whether SIDs in its RACs count.
    pub allow_sid: bool,
    /// Whether its RACs of federated people count.
    pub allow_federated: bool,
    /// Which mail addresses it may vouch for.
    pub email_domains: EmailDomains,
}

/// An official template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Signed text.
    pub text: Arc<str>,
    /// What it grants.
    pub rights: Arc<RightsData>,
    /// Whether clients are offered it.
    pub published: bool,
}

/// How far PLs without a proof of their author are believed ([`openrms_xrml::author_proof`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthorProof {
    /// PLs without a proof are refused.
    Required,
    /// PLs without a proof are licensed, but their clear OWNER gets no owner's rights.
    #[default]
    ForOwner,
    /// The clear OWNER of a PL is believed, as AD RMS believes it.
    Off,
}

/// Why a stored configuration cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No key pair in use.
    #[error("the cluster has no key pair: provision it first")]
    NotProvisioned,
    /// A private key cannot be loaded.
    #[error("the private key of {0} cannot be loaded: {1}")]
    Key(String, String),
    /// A stored certificate is unusable.
    #[error("stored {0}: {1}")]
    Certificate(String, String),
    /// The base URL is not set.
    #[error("the cluster has no base URL")]
    NoBaseUrl,
}

impl Cluster {
    /// Builds the snapshot that requests are answered from.
    pub fn new(
        snapshot: &ConfigurationSnapshot,
        provider: &dyn KeyProvider,
        user_keys: KeyVault,
    ) -> Result<Self, ClusterError> {
        let current = snapshot
            .current_licensor_key()
            .ok_or(ClusterError::NotProvisioned)?;
        if snapshot.policies.base_url.is_none() {
            return Err(ClusterError::NoBaseUrl);
        }
        let own = std::iter::once(current)
            .chain(
                snapshot
                    .licensor_keys
                    .iter()
                    .filter(|key| key.id != current.id),
            )
            .filter(|key| !key.slc_chain.is_empty());
        let mut servers = Vec::new();
        for key in own {
            let sealed = key.sealed_private_key.as_slice();
            servers.push(LicensingServer::new(
                &key.id,
                sealed,
                &key.slc_chain,
                provider,
            )?);
        }
        let is_enrolled = !current.slc_chain.is_empty();
        let root = RootCluster::read(&snapshot.settings, is_enrolled)?;
        let mut rac_issuers: Vec<_> = match &root {
            Some(root) => vec![RacIssuer::own(&root.key)],
            None => servers
                .iter()
                .map(|s| RacIssuer::own(s.slc.key()))
                .collect(),
        };
        for domain in &snapshot.trusted_publishing_domains {
            servers.push(LicensingServer::trusted(domain, provider)?);
        }
        for domain in &snapshot.trusted_user_domains {
            rac_issuers.push(RacIssuer::trusted(domain)?);
        }
        let bad = |what: &str, reason: &str| {
            ClusterError::Certificate(what.to_owned(), reason.to_owned())
        };
        let key = |what: &str, modulus: &[u8], exponent| {
            PublicKey::from_le(modulus, exponent).map_err(|error| bad(what, &error.to_string()))
        };
        let templates = snapshot.templates.iter();
        let exclusions: Vec<_> = snapshot
            .application_exclusions
            .iter()
            .map(|exclusion| ApplicationPolicy {
                filename: exclusion.filename.clone(),
                min: exclusion.minimum_version.to_string(),
                max: exclusion.maximum_version.to_string(),
            })
            .collect();
        Ok(Self {
            version: snapshot.version,
            mode: mode_of(current.mode),
            author_proof: AuthorProof::from_setting(snapshot.settings.get("author-proof")),
            root,
            revocation_authorities: snapshot
                .revocation_authorities
                .iter()
                .map(|authority| PublicKey::from_pkcs1_der(&authority.public_key))
                .collect::<Result<_, _>>()
                .map_err(|error| bad("revocation authority", &error.to_string()))?,
            activates: false,
            is_enrolled,
            servers,
            rac_issuers,
            spc_authorities: snapshot
                .trusted_spc_ca_keys
                .iter()
                .map(|ca| key("trusted SPC CA key", &ca.modulus, ca.exponent))
                .collect::<Result<_, _>>()?,
            excluded_racs: snapshot
                .rac_exclusions
                .iter()
                .map(|excluded| key("RAC exclusion", &excluded.modulus, 65_537))
                .collect::<Result<_, _>>()?,
            exclusion_policy: (!exclusions.is_empty()).then_some(PolicyList {
                exclusion: true,
                policies: exclusions,
            }),
            templates: templates
                .map(|t| Template::read(&t.xrml, t.state == TemplateState::Published))
                .collect::<Result<_, _>>()?,
            policies: snapshot.policies.clone(),
            user_keys,
        })
    }

    /// The server itself, with the key that signs.
    pub fn server(&self) -> Result<&LicensingServer, NotEnrolled> {
        // `new` put the current key first.
        self.servers
            .first()
            .filter(|_| self.is_enrolled)
            .ok_or(NotEnrolled)
    }

    /// The server that holds the private half of a key.
    pub fn server_by_key(&self, key: &PublicKey) -> Option<&LicensingServer> {
        self.servers.iter().find(|server| server.slc.key() == key)
    }

    /// The trusted issuer of RACs with that key.
    pub fn rac_issuer(&self, key: &PublicKey) -> Option<&RacIssuer> {
        self.rac_issuers.iter().find(|issuer| issuer.key == *key)
    }

    /// Whether a key may certify security processors.
    pub fn trusts_spc_authority(&self, key: &PublicKey) -> bool {
        self.spc_authorities.contains(key)
    }

    /// Whether RACs with that key are excluded.
    pub fn excludes_rac(&self, key: &PublicKey) -> bool {
        self.excluded_racs.contains(key)
    }

    /// Applications excluded in every UL.
    pub fn exclusion_policy(&self) -> Option<&PolicyList> {
        self.exclusion_policy.as_ref()
    }

    /// The template of that GUID, published or archived.
    pub fn template(&self, id: Guid) -> Option<&Template> {
        self.templates.get(&id)
    }

    /// All templates by GUID.
    pub fn templates(&self) -> impl Iterator<Item = (&Guid, &Template)> {
        self.templates.iter()
    }

    /// What opens and seals users' keys at rest.
    pub fn user_keys(&self) -> &KeyVault {
        &self.user_keys
    }

    /// Whether there is an SLC, and it allows issuing at that instant (MS-RMPR 3.1.6.2).
    pub fn may_issue(&self, at: Time) -> bool {
        self.server()
            .is_ok_and(|server| server.slc.range().is_none_or(|range| range.contains(at)))
    }

    /// Whether this kind of cluster has the service at all: what certifies people and servers is
    /// at the root cluster alone, and so is what other forests ask.
    pub fn offers(&self, service: Service) -> bool {
        self.root.is_none()
            || !matches!(
                service,
                Service::Activation
                    | Service::Certification
                    | Service::CertificationExternal
                    | Service::ServerCertification
                    | Service::MobileCertification
                    | Service::Precertification
                    | Service::SubEnrollment
                    | Service::GroupExpansion
            )
    }

    /// Base URL, ending in `/_wmcs`.
    pub fn base_url(&self) -> &str {
        self.policies.base_url.as_deref().unwrap_or_default()
    }

    /// Certification URL inside: people of a licensing cluster are certified at its root cluster.
    pub fn certification_url(&self) -> String {
        let base = self.root.as_ref().map(|root| root.base_url.as_str());
        format!("{}/certification", base.unwrap_or(self.base_url()))
    }

    /// Licensing URL inside.
    pub fn licensing_url(&self) -> String {
        let own = || format!("{}/licensing", self.base_url());
        self.policies.licensing_url.clone().unwrap_or_else(own)
    }
}

impl LicensingServer {
    fn new(
        id: &str,
        sealed_key: &[u8],
        slc_chain: &str,
        provider: &dyn KeyProvider,
    ) -> Result<Self, ClusterError> {
        let key = provider
            .load(&KeyHandle::new(sealed_key.to_vec()))
            .map_err(|error| ClusterError::Key(id.to_owned(), error.to_string()))?;
        let (slc, _) = read_slc(id, slc_chain)?;
        if slc.key() != key.public() {
            let reason = "the SLC certifies another key".to_owned();
            return Err(ClusterError::Certificate(id.to_owned(), reason));
        }
        let chain = CertificateChain::split(slc_chain)
            .map_err(|error| ClusterError::Certificate(id.to_owned(), error.to_string()))?
            .into_owned();
        Ok(Self {
            slc,
            chain,
            key,
            templates: None,
        })
    }

    fn trusted(
        domain: &TrustedPublishingDomain,
        provider: &dyn KeyProvider,
    ) -> Result<Self, ClusterError> {
        let sealed = domain.sealed_private_key.as_slice();
        let mut server = Self::new(&domain.id, sealed, &domain.slc_chain, provider)?;
        let texts = domain.templates.iter().map(String::as_str);
        server.templates = Some(
            texts
                .map(|text| Template::read(text, false))
                .collect::<Result<_, _>>()?,
        );
        Ok(server)
    }

    /// The server as it is named in what it issues.
    pub fn identity(&self) -> &Identity {
        self.slc.identity()
    }
}

impl RootCluster {
    /// Before a licensing cluster is enrolled, its root cluster is not known but by its URL.
    fn read(
        settings: &BTreeMap<String, String>,
        is_enrolled: bool,
    ) -> Result<Option<Self>, ClusterError> {
        let Some(url) = settings.get(ROOT_URL).filter(|_| is_enrolled) else {
            return Ok(None);
        };
        let missing = || ClusterError::Certificate("root cluster".into(), "no SLC".into());
        let slc = settings.get(ROOT_SLC).ok_or_else(missing)?;
        let (slc, _) = read_slc("root cluster", slc)?;
        Ok(Some(Self {
            base_url: url.clone(),
            key: slc.key().clone(),
        }))
    }
}

impl RacIssuer {
    fn own(key: &PublicKey) -> Self {
        Self {
            key: key.clone(),
            own: true,
            allow_sid: true,
            allow_federated: true,
            email_domains: EmailDomains::All,
        }
    }

    fn trusted(domain: &TrustedUserDomain) -> Result<Self, ClusterError> {
        let (slc, _) = read_slc(&domain.id, &domain.slc_chain)?;
        Ok(Self {
            key: slc.key().clone(),
            own: false,
            allow_sid: domain.allow_sid,
            allow_federated: domain.allow_federated,
            email_domains: domain.email_domains.clone(),
        })
    }

    /// Whether the issuer may vouch for a mail address: all, or those of listed domains and what
    /// is below them.
    pub fn may_vouch_for(&self, address: &str) -> bool {
        let EmailDomains::Only(domains) = &self.email_domains else {
            return true;
        };
        let Some((_, domain)) = address.rsplit_once('@') else {
            return false;
        };
        let domain = domain.to_ascii_lowercase();
        domains.iter().any(|trusted| {
            let trusted = trusted.trim_start_matches('.').to_ascii_lowercase();
            domain == trusted
                || domain
                    .strip_suffix(&trusted)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

impl Template {
    fn read(text: &str, published: bool) -> Result<(Guid, Self), ClusterError> {
        let bad = |reason: String| ClusterError::Certificate("template".into(), reason);
        let rights = RightsData::parse(text).map_err(|error| bad(error.to_string()))?;
        let id = rights.policy_id().ok_or_else(|| bad("no GUID".into()))?;
        if !rights.is_official() {
            return Err(bad(format!("{id} is not an official template")));
        }
        Ok((
            id,
            Self {
                text: text.into(),
                rights: Arc::new(rights),
                published,
            },
        ))
    }
}

impl AuthorProof {
    fn from_setting(setting: Option<&String>) -> Self {
        match setting.map(String::as_str) {
            Some("required") => Self::Required,
            Some("off") => Self::Off,
            _ => Self::ForOwner,
        }
    }
}

/// A mode as it is stored.
pub fn mode_of(stored: CryptographicMode) -> Mode {
    match stored {
        CryptographicMode::One => Mode::One,
        CryptographicMode::Two => Mode::Two,
    }
}

/// What a server of that level says of its version.
pub fn server_version(level: ServiceLevel, policies: &Policies) -> &str {
    level.server_version().unwrap_or(&policies.server_version)
}

/// What a server of that level says it is.
pub fn server_sku(level: ServiceLevel, policies: &Policies) -> &str {
    match level.server_version() {
        Some(_) => level.sku(),
        None => &policies.sku,
    }
}

fn read_slc(
    id: &str,
    text: &str,
) -> Result<(ServerLicensorCertificate, Vec<SharedNode>), ClusterError> {
    let bad = |error: String| ClusterError::Certificate(id.to_owned(), error);
    let nodes = chain::parse_verified(text).map_err(|error| bad(error.to_string()))?;
    let leaf = nodes.first().ok_or_else(|| bad("empty chain".into()))?;
    let slc =
        ServerLicensorCertificate::new(leaf.clone()).map_err(|error| bad(error.to_string()))?;
    Ok((slc, nodes))
}

/// Setting of a licensing cluster: its root cluster's base URL, ending in `/_wmcs`.
pub const ROOT_URL: &str = "root-cluster-url";
/// Setting of a licensing cluster: its root cluster's SLC chain, leaf first, concatenated
/// (MS-RMPRS 3.4).
pub const ROOT_SLC: &str = "root-cluster-slc";
