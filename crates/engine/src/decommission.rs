//! `AcquireContentKey`: what a cluster does when it has ended (MS-RMSI 3.2.4.1).
//!
//! The content key leaves in clear here and nowhere else, and only from a cluster that is
//! decommissioned: [`crate::vault::HeldContent::surrender`] asks for a [`Decommissioned`]. What
//! the license grants is not looked at; who may call at all is the administrator's choice, and
//! who called is in the log.

use openrms_protocol::FaultCode;
use openrms_protocol::decommissioning::{
    AcquireContentKey, AcquireContentKeyResponse, ClearKey, KeyType,
};

use crate::accounts::signed_in;
use crate::caller::Caller;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::licenses::verified_license;
use crate::publish::matching_server;
use crate::refusal::Refusal;
use crate::vault::HeldContent;

/// That the cluster has ended. Only a cluster whose configuration says so gives one.
#[derive(Debug)]
pub struct Decommissioned<'c> {
    cluster: &'c Cluster,
}

/// A content key was given out.
#[derive(Debug)]
pub struct Surrendered {
    /// The answer.
    pub response: AcquireContentKeyResponse,
    /// Content identifier, for the log.
    pub content: String,
}

impl<'c> Decommissioned<'c> {
    /// Asks a cluster whether it has ended.
    pub fn of(cluster: &'c Cluster) -> Option<Self> {
        cluster.policies.decommissioned.then_some(Self { cluster })
    }
}

/// Decides on an `AcquireContentKey` request. Neither the PL's time nor the cluster's own
/// certificate needs to be valid any more: what was protected must not be lost with them.
pub fn acquire_content_key(
    context: &Context<'_>,
    caller: &Caller,
    request: &AcquireContentKey<'_>,
) -> Result<Surrendered, Refusal> {
    let ended = Decommissioned::of(context.cluster).ok_or_else(|| {
        let reason = "the cluster is in service";
        Refusal::new(FaultCode::ClusterNotDecommissioned, reason)
    })?;
    signed_in(caller)?;
    let certificates = &context.caches.certificates;
    let license = verified_license(ended.cluster, certificates, &request.issuance_license)
        .map_err(|refusal| match refusal.code {
            FaultCode::RightsLabelNoMatchingIssuedPrincipal => not_ours(refusal),
            _ => refusal,
        })?;
    let server = matching_server(ended.cluster, &license)
        .ok_or_else(|| not_ours("no issued principal is this server or one it licenses for"))?;
    let content = HeldContent::open(&license, server.key.as_ref())
        .map_err(|error| Refusal::new(FaultCode::CryptoUnsupportedSymKey, error))?;
    let key = content.surrender(&ended);
    Ok(Surrendered {
        response: AcquireContentKeyResponse {
            content_key: ClearKey::new(key.expose().to_vec()),
            // What is sealed under a DES key does not open above.
            key_type: KeyType::Aes,
        },
        content: license.content_id().unwrap_or_default().to_owned(),
    })
}

fn not_ours(reason: impl ToString) -> Refusal {
    Refusal::new(FaultCode::ContentKeyNoMatchingIssuedPrincipal, reason)
}
