//! `SubEnroll`: an SLC for a licensing cluster, signed with the SLC key of its root cluster
//! (MS-RMPRS 3.3.4.1).

use openrms_protocol::FaultCode;
use openrms_protocol::sub_enrollment::{SubEnroll, SubEnrollResponse};
use openrms_store::Store;
use openrms_xrml::Time;

use crate::certify::issued_chain;
use crate::cluster::Cluster;
use crate::context::check_certifies;
use crate::enrollee::{Certifier, Enrollee, EnrolleeError};
use crate::refusal::Refusal;

/// Decides on a `SubEnroll` request of whoever was let through to it. The SLC ends with the root
/// cluster's own at the latest, and those who may revoke that one may revoke this one.
pub async fn sub_enroll<'c>(
    cluster: &'c Cluster,
    store: &dyn Store,
    request: &SubEnroll,
    valid_days: u32,
    now: Time,
) -> Result<SubEnrollResponse<'c>, Refusal> {
    check_certifies(cluster, now)?;
    let server = cluster.server()?;
    let enrollee = Enrollee::read(&request.public_key, &request.guid, &request.enrollee)
        .map_err(EnrolleeError::for_servers)?;
    if enrollee.key().bits() != cluster.mode.rsa_bits() {
        let reason = "the key is of the other cryptographic mode";
        return Err(Refusal::new(FaultCode::Argument, reason));
    }
    let url = request.enrollee.url.as_deref().unwrap_or_default();
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return Err(Refusal::new(
            FaultCode::Argument,
            "the URL is not one of HTTP",
        ));
    }
    // Nobody else is this cluster, by key or by name.
    let own = server.identity().object().as_guid();
    if cluster.server_by_key(enrollee.key()).is_some() || own == Some(enrollee.guid()) {
        return Err(Refusal::new(
            FaultCode::Argument,
            "the GUID or the key is this cluster's",
        ));
    }
    let range = server.slc.range().ok_or_else(|| {
        Refusal::new(
            FaultCode::UnspecifiedError,
            "the SLC of this cluster has no range",
        )
    })?;
    let certifier = Certifier {
        identity: server.identity(),
        key: server.key.as_ref(),
        range,
        revocation_authorities: cluster.revocation_authorities.clone(),
        store,
    };
    let slc = enrollee
        .certify(&certifier, valid_days, now)
        .await
        .map_err(EnrolleeError::for_servers)?;
    Ok(SubEnrollResponse {
        licensor_certificate_chain: issued_chain(slc, &server.chain)?,
    })
}
