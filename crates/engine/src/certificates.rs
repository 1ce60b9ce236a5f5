//! Certificates that come in with requests: parsed and verified once, then found by their exact
//! text; SPC and RAC chains judged by the rules of MS-RMPR 3.3.4.1 and 3.4.4.1.
//!
//! Only what can never change is kept: what a text says and that its own signature holds.
//! Times, exclusions and trust are judged anew for every request.

use std::sync::Arc;

use openrms_crypto::{HashAlgorithm, Mode};
use openrms_directory::{AccountRef, Address, Directory, DirectoryError, Identity, Sid};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_xrml::chain::{self, ChainError, SharedNode};
use openrms_xrml::node::Node;
use openrms_xrml::rac::{AccountCertificate, AccountType};
use openrms_xrml::spc::SecurityProcessorCertificate;
use openrms_xrml::surface::{self, RecoverError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::caller::FederatedAccount;
use crate::cluster::{Cluster, RacIssuer};
use crate::context::Context;
use crate::observer::Step;
use crate::refusal::Refusal;

/// Verified certificates by exact text.
#[derive(Debug)]
pub struct CertificateCache {
    nodes: Cache<Arc<str>, SharedNode, ByText>,
}

/// Weighs a certificate by its text: memory of the cache is bounded in bytes.
#[derive(Debug, Clone, Copy)]
pub struct ByText;

/// A RAC that may be served, and what its issuer may vouch for.
#[derive(Debug)]
pub struct TrustedRac<'c> {
    /// The RAC.
    pub rac: AccountCertificate,
    /// Who issued it.
    pub issuer: &'c RacIssuer,
    /// Who the directory is asked about.
    pub identity: Identity,
}

impl TrustedRac<'_> {
    /// Whether rights given to SIDs are the holder's: for an account that has one, where the issuer
    /// may name SIDs, and not for a machine that is not the holder's own. The product's temporary
    /// RACs have no SID at all; MS-RMPR 2.2.9.5.4 wants it written, so it is not counted.
    pub(crate) fn sid_counts(&self) -> bool {
        let has_sid = self.rac.account().account_type == AccountType::Windows;
        has_sid && self.issuer.allow_sid && !self.rac.is_temporary()
    }
}

impl CertificateCache {
    /// A cache of about that many bytes.
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(16);
        Self {
            nodes: Cache::with_weighter(entries, bytes, ByText),
        }
    }

    /// The verified node of a text.
    pub fn verified(&self, text: &str) -> Result<SharedNode, RecoverError> {
        if let Some(node) = self.nodes.get(text) {
            return Ok(node);
        }
        let node = Arc::new(surface::recover(text)?);
        self.nodes.insert(Arc::from(text), node.clone());
        Ok(node)
    }

    /// The verified nodes of a chain.
    pub fn chain(&self, chain: &CertificateChain<'_>) -> Result<Vec<SharedNode>, RecoverError> {
        chain
            .iter()
            .map(|text| self.verified(text.as_str()))
            .collect()
    }

    /// Found and not found since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.nodes.hits(), self.nodes.misses())
    }
}

impl Weighter<Arc<str>, SharedNode> for ByText {
    fn weight(&self, key: &Arc<str>, _: &SharedNode) -> u64 {
        // The text is held twice when it was respelled, and parsed once.
        2 * key.len() as u64 + 1024
    }
}

/// Judges an SPC chain for Certify.
pub(crate) fn judge_spc(
    cluster: &Cluster,
    cache: &CertificateCache,
    chain: &CertificateChain<'_>,
) -> Result<SecurityProcessorCertificate, Refusal> {
    let failed =
        |reason: String| Refusal::new(FaultCode::VerifyMachineCertificateChainFailed, reason);
    let nodes = cache
        .chain(chain)
        .map_err(|error| failed(error.to_string()))?;
    let leaf = nodes.first().ok_or_else(|| failed("empty chain".into()))?;
    let spc = SecurityProcessorCertificate::new(leaf.clone()).map_err(|e| failed(e.to_string()))?;
    // The key of the first or second certificate above the SPC must be trusted; the path from the
    // SPC to it must hold.
    let above: Vec<_> = nodes
        .iter()
        .skip(1)
        .take(2)
        .filter_map(|n| n.principal_key())
        .collect();
    chain::verify_path(&nodes, None, |key| {
        above.contains(&key) && cluster.trusts_spc_authority(key)
    })
    .map_err(|error| failed(error.to_string()))?;
    if !nodes
        .iter()
        .all(|node| suits_mode(node, cluster.mode, true))
    {
        return Err(Refusal::new(
            FaultCode::UnsupportedCryptographicSet,
            "key length or hash algorithm of the SPC chain",
        ));
    }
    check_lockbox(cluster, spc.repository_version())?;
    Ok(spc)
}

/// Judges a RAC chain for licensing and for CLCs.
pub(crate) fn judge_rac<'c>(
    context: &Context<'c>,
    chain: &CertificateChain<'_>,
) -> Result<TrustedRac<'c>, Refusal> {
    let _verifying = Step::VerifyCertificates.begin(context.observer);
    let cluster = context.cluster;
    let unexpected = |reason: String| Refusal::new(FaultCode::UnexpectedPersonaCert, reason);
    let nodes = context.caches.certificates.chain(chain);
    let nodes = nodes.map_err(|error| match error {
        RecoverError::Signature(error) => {
            Refusal::new(FaultCode::InvalidPersonaCertSignature, error)
        }
        RecoverError::Malformed(error) => unexpected(error.to_string()),
    })?;
    let leaf = nodes
        .first()
        .ok_or_else(|| unexpected("empty chain".into()))?;
    let rac = AccountCertificate::new(leaf.clone()).map_err(|e| unexpected(e.to_string()))?;
    // Before trust: where the root cluster has gone over to mode 2, its old key is trusted no more, and
    // this is what tells a client to follow.
    if !suits_mode(leaf, cluster.mode, false) {
        return Err(Refusal::new(
            FaultCode::UnsupportedCryptographicSet,
            "key length or hash algorithm of the RAC",
        ));
    }
    let now = Some(context.now);
    let path = chain::verify_path(&nodes, now, |key| cluster.rac_issuer(key).is_some());
    match path {
        Ok(path) if path.len() == 1 => {}
        // A path through another certificate would let that certificate's key make RACs.
        Ok(_) | Err(ChainError::Untrusted(_)) => {
            let reason = "the issuer of the RAC is not trusted";
            return Err(Refusal::new(FaultCode::UntrustedPersonaCert, reason));
        }
        Err(error @ (ChainError::Expired(..) | ChainError::NotYetValid(..))) => {
            return Err(Refusal::new(FaultCode::InvalidPersonaCertTime, error));
        }
        Err(error @ ChainError::Signature(_)) => {
            return Err(Refusal::new(FaultCode::InvalidPersonaCertSignature, error));
        }
        Err(error) => return Err(unexpected(error.to_string())),
    }
    let issuer = leaf
        .issuer_key()
        .and_then(|key| cluster.rac_issuer(key))
        .ok_or_else(|| unexpected("no issuer key".into()))?;
    if cluster.excludes_rac(rac.key()) {
        return Err(Refusal::new(
            FaultCode::DrmacIsExcluded,
            "the RAC's key is excluded",
        ));
    }
    check_lockbox(cluster, rac.repository_version())?;
    let account = rac.account();
    // CLCs, ULs and the log call the person by this address; that the issuer may vouch for
    // another one does not make up for it.
    if !issuer.may_vouch_for(&account.email) {
        return Err(Refusal::new(
            FaultCode::UntrustedPersonaCert,
            "the RAC's issuer is not trusted for its mail address",
        ));
    }
    if account.account_type == AccountType::Federation {
        if !cluster.policies.federation_enabled {
            return Err(unexpected("federation is switched off".into()));
        }
        if !issuer.allow_federated {
            return Err(Refusal::new(
                FaultCode::UntrustedPersonaCert,
                "the RAC's issuer is not trusted with federated people",
            ));
        }
    } else if context.external {
        return Err(Refusal::new(
            FaultCode::UnauthorizedAccess,
            "the external paths are for federated people",
        ));
    }
    let vouched = std::iter::once(&account.email)
        .chain(&account.aliases)
        .filter(|address| issuer.may_vouch_for(address));
    let addresses: Vec<Address> = vouched.filter_map(|address| address.parse().ok()).collect();
    if addresses.is_empty() {
        return Err(Refusal::new(
            FaultCode::UntrustedPersonaCert,
            "the RAC has no mail address",
        ));
    }
    let counts = issuer.allow_sid && account.account_type == AccountType::Windows;
    let sid: Option<Sid> = counts.then(|| account.id.parse().ok()).flatten();
    Ok(TrustedRac {
        identity: Identity { sid, addresses },
        issuer,
        rac,
    })
}

/// Who a RAC of this cluster speaks for today. RACs last for a year and are shown without a
/// password, so an account that was disabled or removed meanwhile gets nothing more, and an
/// address that belongs to somebody else by now is not theirs any more.
pub(crate) async fn still_known(
    directory: &dyn Directory,
    trusted: &TrustedRac<'_>,
) -> Result<Identity, Refusal> {
    let mut identity = trusted.identity.clone();
    if !trusted.issuer.own {
        return Ok(identity);
    }
    if trusted.rac.account().account_type == AccountType::Federation {
        return still_federated(directory, identity).await;
    }
    let Some(sid) = identity.sid.as_ref() else {
        return Ok(identity);
    };
    let account = directory
        .account(&AccountRef::Sid(sid.clone()))
        .await
        .map_err(unanswered)?;
    let Some(account) = account else {
        let reason = format!("the account {sid} is gone");
        return Err(Refusal::new(FaultCode::UntrustedPersonaCert, reason));
    };
    if !account.enabled {
        let reason = format!("{} is disabled", account.name);
        return Err(Refusal::new(FaultCode::UnauthorizedAccess, reason));
    }
    let mut kept = Vec::with_capacity(identity.addresses.len());
    for address in identity.addresses {
        let is_own = account.addresses().any(|own| *own == address);
        let holder = AccountRef::Address(address.clone());
        if is_own
            || directory
                .forest_of(&holder)
                .await
                .map_err(unanswered)?
                .is_none()
        {
            kept.push(address);
        }
    }
    identity.addresses = kept;
    Ok(identity)
}

/// A federated RAC whose address is that of an account of the directory by now speaks for nobody:
/// the account is another identity, with a RAC of its own.
async fn still_federated(
    directory: &dyn Directory,
    identity: Identity,
) -> Result<Identity, Refusal> {
    let mut addresses = identity.addresses.into_iter();
    let account = match addresses.next() {
        Some(mail) => FederatedAccount::find(directory, mail, addresses)
            .await
            .map_err(unanswered)?,
        None => None,
    };
    let account = account.ok_or_else(|| {
        let reason = "the directory has an account with the RAC's mail address";
        Refusal::new(FaultCode::UntrustedPersonaCert, reason)
    })?;
    Ok(Identity::from(&account))
}

/// What the directory could not answer is refused.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub fn unanswered(error: DirectoryError) -> Refusal {
    Refusal::new(FaultCode::UnspecifiedError, format!("directory: {error}"))
}

/// Refuses security processors older than the policy allows.
pub(crate) fn check_lockbox(cluster: &Cluster, version: Option<[u32; 4]>) -> Result<(), Refusal> {
    let Some(minimum) = &cluster.policies.spc_minimum_version else {
        return Ok(());
    };
    // A lockbox that does not tell its version is older than any minimum.
    if version.is_some_and(|version| version >= minimum.numbers()) {
        return Ok(());
    }
    let reason = format!("lockbox version {version:?} is below {minimum}");
    Err(Refusal::new(FaultCode::BlackBoxIsInvalid, reason))
}

/// Whether key length and hash of a certificate are those of the mode (MS-RMPR 3.1.4.7).
pub(crate) fn suits_mode(node: &Node, mode: Mode, in_spc_chain: bool) -> bool {
    let hash = node
        .signature()
        .map(|signature| signature.digest.algorithm());
    let bits = node.principal_key().map(openrms_crypto::PublicKey::bits);
    match mode {
        Mode::One => {
            let length = bits == Some(1024) || (in_spc_chain && bits == Some(2048));
            hash == Some(HashAlgorithm::Sha1) && length
        }
        Mode::Two => hash == Some(HashAlgorithm::Sha256) && bits == Some(2048),
    }
}

const TYPICAL_BYTES: u64 = 8 << 10;
