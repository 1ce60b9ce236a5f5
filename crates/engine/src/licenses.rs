//! Publishing licenses that come in: verified, opened and read once, then found by their exact
//! text. The whole text is the name: a forged body under a known signature is another license.

use std::sync::Arc;

use openrms_protocol::{CertificateChain, FaultCode};
use openrms_xrml::Time;
use openrms_xrml::author_proof::AUTHOR_PROOF_NAME;
use openrms_xrml::chain::{self, ChainError, SharedNode};
use openrms_xrml::pl::PublishingLicense;
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::surface::{self, RecoverError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::certificates::CertificateCache;
use crate::cluster::{AuthorProof, Cluster, LicensingServer};
use crate::publish::matching_server;
use crate::refusal::Refusal;
use crate::vault::HeldContent;

/// Opened publishing licenses by exact text.
#[derive(Debug)]
pub struct LicenseCache {
    licenses: Cache<Arc<str>, Arc<OpenedLicense>, ByText>,
}

/// Weighs a license by its text.
#[derive(Debug, Clone, Copy)]
pub struct ByText;

/// A PL whose content key was opened and whose rights data were read: facts that never change.
#[derive(Debug)]
pub struct OpenedLicense {
    /// The license.
    pub license: PublishingLicense<SharedNode>,
    /// Its content key.
    pub content: HeldContent,
    /// Its rights data.
    pub rights: Arc<RightsData>,
    /// The mail address of the author, as far as it is proven.
    pub author: Author,
    /// The instant from which the content's days are counted.
    pub published: Time,
}

/// What is known of a PL's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// Proven to have known the content key, or named in what only who knew it could encrypt.
    Proven(String),
    /// Named in the clear part alone, which anyone with a CLC can write.
    Claimed(String),
    /// Nobody is named.
    Unknown,
}

impl LicenseCache {
    /// A cache of about that many bytes.
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(16);
        Self {
            licenses: Cache::with_weighter(entries, bytes, ByText),
        }
    }

    /// Found and not found since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.licenses.hits(), self.licenses.misses())
    }

    fn get(&self, text: &str) -> Option<Arc<OpenedLicense>> {
        self.licenses.get(text)
    }

    fn insert(&self, text: &str, license: Arc<OpenedLicense>) {
        let own = license.license.node().text();
        let key = if **own == *text {
            own.clone()
        } else {
            Arc::from(text)
        };
        self.licenses.insert(key, license);
    }
}

impl Weighter<Arc<str>, Arc<OpenedLicense>> for ByText {
    fn weight(&self, key: &Arc<str>, _: &Arc<OpenedLicense>) -> u64 {
        // Text, parsed license and rights data.
        4 * key.len() as u64 + 2048
    }
}

/// Finds or opens the PL of a request. Trust in its chain and the server that opens it are judged
/// each time; what it says is not read twice.
pub(crate) fn open_license<'c>(
    cluster: &'c Cluster,
    certificates: &CertificateCache,
    licenses: &LicenseCache,
    chain: &CertificateChain<'_>,
) -> Result<(Arc<OpenedLicense>, &'c LicensingServer), Refusal> {
    let known = chain.leaf().and_then(|leaf| licenses.get(leaf.as_str()));
    if let Some(opened) = known {
        let leaf = opened.license.shared().clone();
        verify(cluster, certificates, chain, Some(leaf))?;
        let server = server_of(cluster, &opened.license)?;
        return Ok((opened, server));
    }
    let license = verified_license(cluster, certificates, chain)?;
    let server = server_of(cluster, &license)?;
    let opened = Arc::new(OpenedLicense::open(license, server)?);
    if let Some(leaf) = chain.leaf() {
        licenses.insert(leaf.as_str(), opened.clone());
    }
    Ok((opened, server))
}

/// Reads the PL of a request whose chain leads to a server that is trusted here, without opening
/// it.
pub(crate) fn verified_license(
    cluster: &Cluster,
    certificates: &CertificateCache,
    chain: &CertificateChain<'_>,
) -> Result<PublishingLicense<SharedNode>, Refusal> {
    let leaf = verify(cluster, certificates, chain, None)?;
    PublishingLicense::new(leaf)
        .map_err(|error| Refusal::new(FaultCode::InvalidRightsLabelSignature, error))
}

/// Verifies a chain. `known` is its leaf, where that was verified before.
fn verify(
    cluster: &Cluster,
    certificates: &CertificateCache,
    chain: &CertificateChain<'_>,
    known: Option<SharedNode>,
) -> Result<SharedNode, Refusal> {
    let mut nodes = Vec::with_capacity(chain.len());
    for certificate in chain.iter().skip(1) {
        nodes.push(
            certificates
                .verified(certificate.as_str())
                .map_err(|e| read_error(&e))?,
        );
    }
    // A license is kept here, not among the certificates: one text, one copy.
    let leaf = match (known, chain.leaf()) {
        (Some(leaf), _) => leaf,
        (None, Some(text)) => {
            let above = nodes.first().map(|node| &***node);
            let leaf = surface::recover_under(text.as_str(), above);
            Arc::new(leaf.map_err(|error| read_error(&error))?)
        }
        (None, None) => {
            let reason = "empty chain";
            return Err(Refusal::new(FaultCode::InvalidRightsLabelSignature, reason));
        }
    };
    nodes.insert(0, leaf.clone());
    check_chain(cluster, &nodes)?;
    Ok(leaf)
}

impl OpenedLicense {
    fn open(
        license: PublishingLicense<SharedNode>,
        server: &LicensingServer,
    ) -> Result<Self, Refusal> {
        let no_match =
            |reason: String| Refusal::new(FaultCode::RightsLabelNoMatchingIssuedPrincipal, reason);
        let content = HeldContent::open(&license, server.key.as_ref())
            .map_err(|error| no_match(error.to_string()))?;
        let rights = content
            .rights_data(license.encrypted_rights())
            .map_err(|error| no_match(error.to_string()))?;
        let (author, proven) = find_author(&license, &content, &rights)?;
        // The PL's own time stands in the clear: with a CLC, anyone can sign a later one round the
        // same sealed key. So the earliest counts. A template's time is when it was made.
        let written = (!rights.is_official()).then_some(rights.node().content().issued);
        let signed = license.node().content().issued;
        let published = [written, proven]
            .into_iter()
            .flatten()
            .fold(signed, Time::min);
        Ok(Self {
            license,
            content,
            rights: Arc::new(rights),
            author,
            published,
        })
    }

    /// The author's mail address, as far as the cluster's policy believes it.
    pub(crate) fn believed_author(&self, policy: AuthorProof) -> Option<&str> {
        match (&self.author, policy) {
            (Author::Proven(address), _) | (Author::Claimed(address), AuthorProof::Off) => {
                Some(address)
            }
            _ => None,
        }
    }

    /// Whether the license carries a proof of its author.
    pub(crate) fn has_author_proof(&self) -> bool {
        self.license
            .authenticated("APPSPECIFIC", AUTHOR_PROOF_NAME)
            .is_some()
    }
}

/// Who wrote the license, and when, where that is proven. A proof that does not hold means that
/// somebody rearranged it.
fn find_author(
    license: &PublishingLicense<SharedNode>,
    content: &HeldContent,
    rights: &RightsData,
) -> Result<(Author, Option<Time>), Refusal> {
    let name = |object: Option<&openrms_xrml::Object>| object.and_then(|o| o.name.clone());
    let claimed = name(license.owner());
    if let Some(proof) = license.authenticated("APPSPECIFIC", AUTHOR_PROOF_NAME) {
        let owner = claimed.unwrap_or_default();
        let proof = openrms_xrml::values::decode_base64(&proof.value).unwrap_or_default();
        let proven = content.proven_time(&proof, &owner, license.encrypted_rights());
        if proven.is_some() {
            return Ok((Author::Proven(owner), proven));
        }
        let reason = "the author's proof does not fit the license";
        return Err(Refusal::new(FaultCode::InvalidRightsLabelSignature, reason));
    }
    let author = match (name(rights.owner()), claimed) {
        (Some(encrypted), _) => Author::Proven(encrypted),
        (None, Some(claimed)) => Author::Claimed(claimed),
        (None, None) => Author::Unknown,
    };
    Ok((author, None))
}

fn server_of<'c>(
    cluster: &'c Cluster,
    license: &PublishingLicense<SharedNode>,
) -> Result<&'c LicensingServer, Refusal> {
    matching_server(cluster, license).ok_or_else(|| {
        Refusal::new(
            FaultCode::RightsLabelNoMatchingIssuedPrincipal,
            "no issued principal is this server or one it licenses for",
        )
    })
}

/// The PL must be signed by a server whose key is here, or by a CLC such a server issued.
fn check_chain(cluster: &Cluster, nodes: &[SharedNode]) -> Result<(), Refusal> {
    let path = chain::verify_path(nodes, None, |key| cluster.server_by_key(key).is_some());
    match path {
        Ok(path) if path.len() <= 2 => Ok(()),
        Ok(_) | Err(ChainError::Untrusted(_)) => Err(Refusal::new(
            FaultCode::RightsLabelNoMatchingIssuedPrincipal,
            "the issuer of the publishing license is not trusted",
        )),
        Err(error) => Err(Refusal::new(FaultCode::InvalidRightsLabelSignature, error)),
    }
}

fn read_error(error: &RecoverError) -> Refusal {
    Refusal::new(FaultCode::InvalidRightsLabelSignature, error)
}

const TYPICAL_BYTES: u64 = 64 << 10;
