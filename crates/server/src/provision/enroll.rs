//! Asking an enrollment service for an SLC (MS-RMPR 3.6.4.1), here or over HTTP, and what an
//! authority hands over for its clients.

use std::time::Duration;

use openrms_crypto::PublicKey;
use openrms_protocol::enrollment::{
    Enroll, EnrollResponse, EnrolleeServerInformation, Guid, Revocation,
};
use openrms_protocol::{
    Contract, Limits, Operation, OperationName, SoapVersion, VersionData, encode_request,
    parse_response,
};
use openrms_store::Policies;
use openrms_xrml::anchors::Anchors;
use openrms_xrml::{Time, chain};

use crate::authority::{ClientTrust, TrustError};
use crate::bundle::ClientBundle;
use crate::outbound;

/// Why a server was not certified.
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
    #[error("the enrollment service refused: {0}")]
    Refused(String),
    /// The answer cannot be used.
    #[error("the enrollment service's answer cannot be used: {0}")]
    Unusable(String),
    /// The answer does not lead to the authority's anchors.
    #[error("the certificate does not lead to the authority's anchors: {0}")]
    Untrusted(String),
    /// What the authority hands over for its clients cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// What a server says of itself when it enrolls.
pub(super) fn request(key: &PublicKey, policies: &Policies) -> Result<Enroll, EnrollError> {
    let bytes = openrms_crypto::random::guid_bytes()
        .map_err(|error| EnrollError::Unusable(error.to_string()))?;
    let guid: Guid = openrms_xrml::Guid::from_random(bytes)
        .to_string()
        .parse()
        .map_err(|error| EnrollError::Unusable(format!("{error}")))?;
    Ok(Enroll {
        authorization: None,
        revocation: Revocation::Standard,
        public_key: key.to_pkcs1_der(),
        guid,
        enrollee: EnrolleeServerInformation {
            sku: Some(policies.sku.clone()),
            version: policies.server_version.clone(),
            name: Some(policies.name.clone()),
            url: policies.base_url.clone(),
        },
    })
}

/// Enrolls over HTTP and checks what comes back.
pub(super) fn over_http(
    url: &str,
    proxy: Option<&str>,
    request: Enroll,
    key: &PublicKey,
    anchors: &Anchors,
    now: Time,
) -> Result<String, EnrollError> {
    let operation = Operation::Enroll(request);
    let version = Some(VersionData::CLIENT);
    let body = encode_request(SoapVersion::V11, Contract::Enrollment, version, &operation);
    let action = Contract::Enrollment.soap_action(OperationName::Enroll);
    let mut answer = agent(proxy)?
        .post(url)
        .header("Content-Type", SoapVersion::V11.content_type())
        .header("SOAPAction", format!("\"{action}\""))
        .send(body)
        .map_err(|error| unreachable(url, &error))?;
    let answer = read(url, &mut answer)?;
    let answer = parse_response(OperationName::Enroll, &answer, &Limits::client())
        .map_err(|error| EnrollError::Unusable(error.to_string()))?;
    let response = answer
        .outcome
        .map_err(|fault| EnrollError::Refused(fault.to_string()))?;
    let response = EnrollResponse::try_from(response)
        .map_err(|error| EnrollError::Unusable(error.to_string()))?;
    let text = response.licensor_certificate_chain.concatenated();
    let nodes = verified(&text, anchors, now)?;
    if nodes.first().and_then(|slc| slc.principal_key()) != Some(key) {
        return Err(EnrollError::Unusable("it certifies another key".into()));
    }
    Ok(text)
}

/// What the authority behind an enrollment service hands out to its clients.
pub(super) fn fetch_trust(service: &str, proxy: Option<&str>) -> Result<ClientTrust, EnrollError> {
    let origin = service
        .split_once("://")
        .map(|(scheme, rest)| format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()))
        .ok_or_else(|| EnrollError::Unusable(format!("{service} is not a URL")))?;
    let url = format!("{origin}{}", crate::http::CLIENT_BUNDLE_PATH);
    let mut answer = agent(proxy)?
        .get(&url)
        .call()
        .map_err(|error| unreachable(&url, &error))?;
    if !answer.status().is_success() {
        return Err(unreachable(
            &url,
            &ureq::Error::StatusCode(answer.status().as_u16()),
        ));
    }
    let body = read(&url, &mut answer)?;
    let bundle: ClientBundle = serde_json::from_slice(&body)
        .map_err(|error| EnrollError::Unusable(format!("{url}: {error}")))?;
    Ok(bundle.trust)
}

/// The key above the authority's SPC issuer.
pub(super) fn spc_authority(
    trust: &ClientTrust,
    anchors: &Anchors,
    now: Time,
) -> Result<PublicKey, EnrollError> {
    let nodes = verified(&trust.spc_issuer_chain, anchors, now)?;
    let key = nodes.get(1).and_then(|node| node.principal_key().cloned());
    key.ok_or_else(|| EnrollError::Unusable("the SPC issuer's chain is too short".into()))
}

fn verified(
    text: &str,
    anchors: &Anchors,
    now: Time,
) -> Result<Vec<chain::SharedNode>, EnrollError> {
    let nodes =
        chain::parse_verified(text).map_err(|error| EnrollError::Unusable(error.to_string()))?;
    chain::verify_path(&nodes, Some(now), |key| anchors.contains(key))
        .map_err(|error| EnrollError::Untrusted(error.to_string()))?;
    Ok(nodes)
}

fn agent(proxy: Option<&str>) -> Result<ureq::Agent, EnrollError> {
    outbound::agent(None, proxy, WHOLE_TIME)
        .map_err(|error| EnrollError::Unusable(error.to_string()))
}

fn read(url: &str, answer: &mut ureq::http::Response<ureq::Body>) -> Result<Vec<u8>, EnrollError> {
    outbound::read(answer, MAX_ANSWER).map_err(|error| EnrollError::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

fn unreachable(url: &str, error: &ureq::Error) -> EnrollError {
    EnrollError::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

const MAX_ANSWER: usize = 4 << 20;
const WHOLE_TIME: Duration = Duration::from_mins(1);
