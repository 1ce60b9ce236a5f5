//! Chains of certificates (MS-RMPR 2.2.9.2): splitting, matching issuers, walking to a trusted key.
//!
//! Trust is by key. A node's issuer is searched by key, not assumed to be the next node, because
//! files hold two chains glued together. Each step demands that the signer may issue that kind of
//! node and that the node was issued inside the signer's ISSUE range.
//!
//! The SLC of a licensing cluster has the form of its root cluster's. What sets it apart is its
//! place: below the SLC of a server, which is below an enrollment service. From there it may issue
//! everything but RACs and SLCs (MS-RMPRS 3.3).

use std::sync::Arc;

use openrms_crypto::PublicKey;

use crate::error::XrmlError;
use crate::node::{Kind, Node, SignatureError, Verified};
use crate::rights::Right;
use crate::time::{Interval, Time};
use crate::tree::{Limits, TreeError, trim_start};

/// A node that was verified once and is shared by caches and chains.
pub type SharedNode = Arc<Verified<Node>>;

/// Why a chain does not lead from its leaf to a trusted key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A node's own signature fails.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// No node.
    #[error("the chain is empty")]
    Empty,
    /// The chain ends before it reaches a trusted key.
    #[error("the issuer of the {0} is not in the chain and not trusted")]
    Untrusted(Kind),
    /// A signer that may not issue such a node.
    #[error("a {signer} may not issue a {issued}")]
    RoleMismatch {
        /// Kind of the signing node.
        signer: Kind,
        /// Kind of the signed node.
        issued: Kind,
    },
    /// What a licensing cluster leaves to its root cluster.
    #[error("a licensing cluster may not issue a {0}")]
    Subordinate(Kind),
    /// The node was issued when its signer was not allowed to issue.
    #[error("the {0} was issued outside the time its issuer may issue")]
    IssuedOutsideRange(Kind),
    /// The leaf's validity has not begun.
    #[error("the {0} is not valid before {1}")]
    NotYetValid(Kind, Time),
    /// The leaf's validity has ended.
    #[error("the {0} expired at {1}")]
    Expired(Kind, Time),
}

/// Splits a concatenation of nodes into the raw text of each, in order.
///
/// A node has no comment, CDATA section or nested XrML element (the parser refuses them), so the
/// end tag of the root is the only place where `</XrML>` can stand.
pub fn split(text: &str) -> Result<Vec<&str>, XrmlError> {
    let mut nodes = Vec::new();
    let mut rest = trim_start(text);
    while !rest.is_empty() {
        if !rest.starts_with("<XrML") {
            return Err(XrmlError::NotAChain("text between nodes"));
        }
        if nodes.len() == MAX_NODES {
            return Err(XrmlError::TooManyNodes(MAX_NODES));
        }
        let end = memchr::memmem::find(rest.as_bytes(), END_TAG.as_bytes())
            .ok_or(XrmlError::NotAChain("a node does not end"))?
            + END_TAG.len();
        nodes.push(&rest[..end]);
        rest = trim_start(&rest[end..]);
    }
    if nodes.is_empty() {
        return Err(XrmlError::NotAChain("no node"));
    }
    Ok(nodes)
}

/// Splits and parses a concatenation of nodes. The default bounds are for the whole chain.
pub fn parse(text: &str) -> Result<Vec<Node>, XrmlError> {
    let whole = Limits::default();
    if text.len() > whole.bytes {
        return Err(TreeError::TooLarge(text.len()).into());
    }
    let mut left = whole;
    let mut nodes = Vec::new();
    for part in split(text)? {
        let (node, elements) = Node::parse_counted(part, &left).map_err(|error| match error {
            XrmlError::Tree(TreeError::TooManyElements(_)) => {
                TreeError::TooManyElements(whole.elements).into()
            }
            error => error,
        })?;
        left.elements = left.elements.saturating_sub(elements);
        nodes.push(node);
    }
    Ok(nodes)
}

/// Parses a concatenation of nodes and verifies each one's own signature.
pub fn parse_verified(text: &str) -> Result<Vec<SharedNode>, ChainReadError> {
    parse(text)?
        .into_iter()
        .map(|node| Ok(Arc::new(node.verify()?)))
        .collect()
}

/// Why a chain cannot be read and verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainReadError {
    /// Not a chain of certificates.
    #[error(transparent)]
    Malformed(#[from] XrmlError),
    /// A node's own signature fails.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Index of the certificate that certifies the key that signed node `index`.
///
/// A PL and a UL name keys of others without certifying them, so they are nobody's signer.
#[must_use]
pub fn signer_of(nodes: &[Node], index: usize) -> Option<usize> {
    let key = nodes.get(index)?.issuer_key()?;
    nodes.iter().enumerate().position(|(i, node)| {
        i != index && issue_range(node).is_some() && node.principal_key() == Some(key)
    })
}

/// Walks from the first node to a trusted key and returns the nodes passed, leaf first.
///
/// The path ends as soon as a node is issued by a key that `trusted` accepts. Where several
/// certificates are for the same key, each is tried. The leaf's VALIDITYTIME is checked at `at`;
/// the nodes above are checked by their ISSUE range against the issued time of what they signed,
/// because real authorities' ranges ended long ago. When there is no path, the error is the first
/// one met.
pub fn verify_path(
    nodes: &[SharedNode],
    at: Option<Time>,
    trusted: impl Fn(&PublicKey) -> bool,
) -> Result<Vec<&SharedNode>, ChainError> {
    let leaf = nodes.first().ok_or(ChainError::Empty)?;
    if let Some(at) = at {
        check_validity(leaf, at)?;
    }
    let mut walk = Walk {
        nodes,
        trusted,
        passed: vec![[false; MOST_SERVERS + 1]; nodes.len()],
        refused: None,
    };
    let mut path = Vec::new();
    let servers = usize::from(is_server(leaf));
    if walk.reaches_trust(0, servers, &mut path)? {
        return Ok(path);
    }
    Err(walk.refused.unwrap_or(ChainError::Untrusted(leaf.kind())))
}

/// Depth first, each node once with each number of servers up to it: whether trust is reached from
/// a node does not depend on anything else about how the walk came there.
struct Walk<'c, F> {
    nodes: &'c [SharedNode],
    trusted: F,
    passed: Vec<[bool; MOST_SERVERS + 1]>,
    refused: Option<ChainError>,
}

impl<'c, F: Fn(&PublicKey) -> bool> Walk<'c, F> {
    fn reaches_trust(
        &mut self,
        index: usize,
        servers: usize,
        path: &mut Vec<&'c SharedNode>,
    ) -> Result<bool, ChainError> {
        let nodes = self.nodes;
        let Some(node) = nodes.get(index) else {
            return Ok(false);
        };
        let kind = node.kind();
        let key = node.issuer_key().ok_or(SignatureError::NoIssuerKey(kind))?;
        if let Some(passed) = self.passed.get_mut(index).and_then(|p| p.get_mut(servers)) {
            *passed = true;
        }
        path.push(node);
        if (self.trusted)(key) {
            return Ok(true);
        }
        let mut dead_end = ChainError::Untrusted(kind);
        for (next, signer) in nodes.iter().enumerate() {
            // A PL and a UL name keys of others without certifying them.
            if matches!(signer.kind(), Kind::PublishingLicense | Kind::UseLicense)
                || signer.principal_key() != Some(key)
            {
                continue;
            }
            let servers = servers + usize::from(is_server(signer));
            let is_new = |passed: &[bool; MOST_SERVERS + 1]| passed.get(servers) != Some(&true);
            let in_circles = path.iter().any(|below| Arc::ptr_eq(below, signer));
            if in_circles || !self.passed.get(next).is_some_and(is_new) {
                continue;
            }
            let checked = check_issuer(signer, node).and_then(|()| self.check_place(servers));
            match checked {
                Ok(()) if self.reaches_trust(next, servers, path)? => return Ok(true),
                Ok(()) => {}
                Err(error) => dead_end = error,
            }
        }
        self.refused.get_or_insert(dead_end);
        path.pop();
        Ok(false)
    }
}

impl<F> Walk<'_, F> {
    /// Whether the leaf may have so many servers above it, itself counted where it is one.
    fn check_place(&self, servers: usize) -> Result<(), ChainError> {
        let leaf = self.nodes.first().map(|leaf| leaf.kind());
        if servers > MOST_SERVERS {
            return Err(ChainError::Subordinate(Kind::ServerLicensorCertificate));
        }
        if servers == MOST_SERVERS && leaf == Some(Kind::RightsAccountCertificate) {
            return Err(ChainError::Subordinate(Kind::RightsAccountCertificate));
        }
        Ok(())
    }
}

/// Checks a node's VALIDITYTIME, where it has one.
pub fn check_validity(node: &Node, at: Time) -> Result<(), ChainError> {
    match node.content().validity {
        Some(validity) if at < validity.from => {
            Err(ChainError::NotYetValid(node.kind(), validity.from))
        }
        Some(validity) if at >= validity.until => {
            Err(ChainError::Expired(node.kind(), validity.until))
        }
        _ => Ok(()),
    }
}

/// Checks that `signer` may issue `issued`: kinds, ISSUE right, and that the time of issue is
/// inside the signer's ISSUE range and VALIDITYTIME.
pub fn check_issuer(signer: &Node, issued: &Node) -> Result<(), ChainError> {
    let (signing, kind) = (signer.kind(), issued.kind());
    let mismatch = ChainError::RoleMismatch {
        signer: signing,
        issued: kind,
    };
    if !may_issue(signer, issued) {
        return Err(mismatch);
    }
    let range = issue_range(signer).ok_or(mismatch)?;
    let outside = |span: Interval| !span.contains(issued.content().issued);
    if outside(range) || signer.content().validity.is_some_and(outside) {
        return Err(ChainError::IssuedOutsideRange(kind));
    }
    Ok(())
}

/// When an issuing certificate or CLC may issue: without end where its ISSUE right has no range,
/// `None` where it has no such right.
fn issue_range(signer: &Node) -> Option<Interval> {
    let work = signer.content().work.as_ref()?;
    let issue = work
        .rights
        .iter()
        .find(|entry| entry.right.name() == Right::ISSUE && entry.unknown_conditions.is_empty())?;
    Some(issue.time.window(signer.content().issued).unwrap_or(ALWAYS))
}

/// Which node may sign which (MS-RMPR 2.2.9.2 figures 3 and 4, 2.2.9.3.2, 2.2.9.3.3).
///
/// The private key of an SPC issuer is on every client, so its certificate, though of the same
/// kind as an SLC, may sign SPCs and nothing else; so may that of an activation service. Their
/// authority makes these two only, and nobody else makes them: a server signs no SPC. With a CLC
/// its holder publishes, and makes use licenses for nobody but the holder.
fn may_issue(signer: &Node, issued: &Node) -> bool {
    let kind = issued.kind();
    match (signer.kind(), role_of(signer)) {
        (Kind::CaCertificate, CERTIFICATE_AUTHORITY) => {
            matches!(kind, Kind::CaCertificate | Kind::ServerLicensorCertificate)
                && role_of(issued) != SECURITY_PROCESSOR
                && !activates(issued)
        }
        (Kind::CaCertificate | Kind::ServerLicensorCertificate, SECURITY_PROCESSOR_AUTHORITY) => {
            kind == Kind::ServerLicensorCertificate
                && (role_of(issued) == SECURITY_PROCESSOR || activates(issued))
        }
        (Kind::ServerLicensorCertificate, SECURITY_PROCESSOR) => {
            kind == Kind::SecurityProcessorCertificate
        }
        (Kind::ServerLicensorCertificate, SERVER) if activates(signer) => {
            kind == Kind::SecurityProcessorCertificate
        }
        (Kind::ServerLicensorCertificate, SERVER) => match kind {
            Kind::CaCertificate | Kind::SecurityProcessorCertificate => false,
            Kind::ServerLicensorCertificate => role_of(issued) == SERVER && !activates(issued),
            _ => true,
        },
        (Kind::ClientLicensorCertificate, _) => {
            kind == Kind::PublishingLicense
                || (kind == Kind::UseLicense && is_same_person(signer, issued))
        }
        _ => false,
    }
}

/// Whether it certifies a server: an SLC, or an enrollment service, which has the same form.
fn is_server(node: &Node) -> bool {
    node.kind() == Kind::ServerLicensorCertificate && role_of(node) == SERVER && !activates(node)
}

/// Whether it certifies an activation service (MS-RMPR product notes 9, 10): by its form a server,
/// by name and issuer not one. A node may name any issuer; it is one where [`verify_path`] led through
/// it.
#[must_use]
pub fn activates(node: &Node) -> bool {
    let content = node.content();
    let name = content.principal.as_ref().map(|p| p.object.name.as_deref());
    let issuer = content.issuer.as_ref().map(|i| i.object.kind.as_deref());
    role_of(node) == SERVER
        && name == Some(Some(MACHINE_ACTIVATION))
        && issuer == Some(Some(SECURITY_PROCESSOR_AUTHORITY))
}

fn is_same_person(a: &Node, b: &Node) -> bool {
    match (&a.content().principal, &b.content().principal) {
        (Some(a), Some(b)) => {
            a.object.id_type == b.object.id_type && a.object.id.eq_ignore_ascii_case(&b.object.id)
        }
        _ => false,
    }
}

/// OBJECT type of the certified principal; empty without one.
fn role_of(node: &Node) -> &str {
    let principal = node.content().principal.as_ref();
    principal
        .and_then(|p| p.object.kind.as_deref())
        .unwrap_or_default()
}

pub(crate) const CERTIFICATE_AUTHORITY: &str = "DRM-Certificate-Authority";
pub(crate) const SERVER: &str = "MS-DRM-Server";
pub(crate) const SECURITY_PROCESSOR: &str = "MS-DRM-Desktop-Security-Processor";
pub(crate) const SECURITY_PROCESSOR_AUTHORITY: &str =
    "DRM-Desktop-Security-Processor-Certificate-Authority";
/// NAME of activation services, as they stand in what they issue (MS-RMPR product note 10).
pub const MACHINE_ACTIVATION: &str = "Machine Activation Server";
/// Most nodes of one chain; the longest real one has eight.
pub const MAX_NODES: usize = 64;
/// Enrollment service, root cluster, licensing cluster.
const MOST_SERVERS: usize = 3;
const ALWAYS: Interval = Interval {
    from: Time::from_unix(i64::MIN),
    until: Time::from_unix(i64::MAX),
};
const END_TAG: &str = "</XrML>";
