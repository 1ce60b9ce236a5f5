//! What a decision may look at besides its request: handed in, never fetched.

use openrms_directory::{Directory, ForeignForests};
use openrms_protocol::{FaultCode, ServiceLevel};
use openrms_store::Store;
use openrms_xrml::{Guid, Time};

use crate::certificates::CertificateCache;
use crate::cluster::Cluster;
use crate::decommission::Decommissioned;
use crate::keys::KeySource;
use crate::licenses::LicenseCache;
use crate::observer::Observer;
use crate::refusal::Refusal;

/// The surroundings of one request, the same from its start to its end.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// The configuration.
    pub cluster: &'c Cluster,
    /// Who people are.
    pub directory: &'c dyn Directory,
    /// Groups of other forests.
    pub forests: &'c dyn ForeignForests,
    /// Accounts' key pairs and the record of what was issued.
    pub store: &'c dyn Store,
    /// New key pairs.
    pub key_source: &'c dyn KeySource,
    /// Immutable facts found out before.
    pub caches: &'c Caches,
    /// Told how long steps take.
    pub observer: &'c dyn Observer,
    /// The instant of the request.
    pub now: Time,
    /// Whether it came by the paths of federated people (MS-RMPR 3.1.4.2). Those who come there
    /// need not sign in to be licensed, so only federated RACs are: the rules by which others sign
    /// in are not to be walked round.
    pub external: bool,
    /// Whether it came by the paths of servers' services and mobile devices, which are for the
    /// security processors that came with them (Service Pack 1).
    pub newer_processors: bool,
    /// The version of RMS as which this server behaves; others of its cluster may have another one
    /// while it is upgraded.
    pub level: ServiceLevel,
    /// The release of the software that serves, such as `0.2.0`.
    pub release: &'c str,
}

/// Facts that can never change, kept because finding them out is costly.
#[derive(Debug)]
pub struct Caches {
    /// Verified certificates.
    pub certificates: CertificateCache,
    /// Opened publishing licenses.
    pub licenses: LicenseCache,
}

impl Caches {
    /// Caches of about that many bytes each.
    pub fn new(bytes: u64) -> Self {
        Self {
            certificates: CertificateCache::new(bytes),
            licenses: LicenseCache::new(bytes),
        }
    }
}

/// A fresh GUID for something that is issued.
pub(crate) fn new_guid() -> Result<Guid, Refusal> {
    openrms_crypto::random::guid_bytes()
        .map(Guid::from_random)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))
}

/// Refuses what a decommissioned cluster may not do: everything but giving out content keys.
pub fn check_not_decommissioned(cluster: &Cluster) -> Result<(), Refusal> {
    match Decommissioned::of(cluster) {
        Some(_) => Err(Refusal::new(
            FaultCode::ClusterDecommissioned,
            "decommissioned",
        )),
        None => Ok(()),
    }
}

/// Refuses what a decommissioned cluster, or one whose SLC has run out, may not do.
pub(crate) fn check_in_service(context: &Context<'_>) -> Result<(), Refusal> {
    in_service(context.cluster, context.now)
}

fn in_service(cluster: &Cluster, now: Time) -> Result<(), Refusal> {
    check_not_decommissioned(cluster)?;
    cluster.server()?;
    if !cluster.may_issue(now) {
        return Err(Refusal::new(
            FaultCode::UnspecifiedError,
            "the server licensor certificate is not valid now: renew it",
        ));
    }
    Ok(())
}

/// Refuses what only a root cluster may do, and only in service: RACs, and SLCs of others.
pub(crate) fn check_certifies(cluster: &Cluster, now: Time) -> Result<(), Refusal> {
    use openrms_protocol::FaultCode;
    if let Some(root) = &cluster.root {
        let reason = format!(
            "a licensing cluster certifies nobody: {} does",
            root.base_url
        );
        return Err(Refusal::new(FaultCode::UnspecifiedError, reason));
    }
    in_service(cluster, now)
}
