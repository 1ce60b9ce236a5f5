//! Asking on line: an enrollment service (MS-RMPR 3.6.4.1), or a root cluster (MS-RMPRS 3.3.4.1,
//! 3.4.4.1), and what their clients trust.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::Mode;
use openrms_engine::locate::RELEASE as RELEASE_FEATURE;
use openrms_negotiate::{Initiator, NegotiateError, Tickets};
use openrms_protocol::enrollment::{Enroll, EnrollResponse};
use openrms_protocol::server::{
    GetLicensorCertificate, GetLicensorCertificateResponse, GetServerInfo, GetServerInfoResponse,
    ServerInfoRequest, ServerInfoType, ServerInfoValue,
};
use openrms_protocol::sub_enrollment::{SubEnroll, SubEnrollResponse};
use openrms_protocol::{
    Contract, Limits, Operation, ProtocolError, Response, Service, SoapVersion, VersionData,
    encode_request, parse_response,
};
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::{Node, chain};
use zeroize::Zeroizing;

use super::{EnrollError, malformed};
use crate::authority::ClientTrust;
use crate::bundle::ClientBundle;
use crate::outbound;
use crate::provision::is_loopback_url;

/// How somebody signs in to a root cluster.
#[derive(Clone, Default)]
pub(crate) enum SignIn {
    /// Not at all: for a root cluster on this machine.
    #[default]
    Nobody,
    /// With a name and password, over TLS or on this machine.
    Password(String, Zeroizing<String>),
    /// With Kerberos tickets.
    Kerberos(Arc<Tickets>),
}

/// How others are asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnLine {
    /// How this server signs in.
    pub(crate) sign_in: SignIn,
    /// The HTTP proxy in between.
    pub(crate) proxy: Option<String>,
}

impl OnLine {
    /// Asks on a thread of its own: others may take their time to answer.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Self) -> Result<T, EnrollError> + Send + 'static,
    ) -> Result<T, EnrollError> {
        let by = self.clone();
        match tokio::task::spawn_blocking(move || ask(&by)).await {
            Ok(answer) => answer,
            Err(error) => Err(EnrollError::BrokenOff(error.to_string())),
        }
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Password(name, _) => f.debug_tuple("Password").field(name).finish(),
            Self::Kerberos(_) => f.write_str("Kerberos"),
        }
    }
}

impl SignIn {
    /// Who signs in.
    fn name(&self) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::Password(user, _) => Some(user.clone()),
            Self::Kerberos(tickets) => Some(
                tickets
                    .principal()
                    .unwrap_or_else(|_| "the ticket's owner".to_owned()),
            ),
        }
    }
}

/// Enrolls at an enrollment service. What comes back is yet to be judged.
pub(super) fn enroll(url: &str, request: Enroll, by: &OnLine) -> Result<String, EnrollError> {
    let operation = Operation::Enroll(request);
    let take = |response: Response<'_>| {
        EnrollResponse::try_from(response)
            .map(|answer| answer.licensor_certificate_chain.concatenated())
    };
    // Nobody is asked who they are there, and so nobody is told.
    let by = OnLine {
        sign_in: SignIn::Nobody,
        proxy: by.proxy.clone(),
    };
    ask(url, Contract::Enrollment, &operation, &by, take)
}

/// Enrolls at a root cluster, which must be the one that signs: what it says is its own SLC is the
/// second of the chain. What comes back is yet to be judged.
pub(super) fn sub_enroll(
    root: &str,
    request: SubEnroll,
    by: &OnLine,
) -> Result<String, EnrollError> {
    let url = Service::SubEnrollment.url(root);
    let operation = Operation::SubEnroll(request);
    let take = |response: Response<'_>| {
        SubEnrollResponse::try_from(response)
            .map(|answer| answer.licensor_certificate_chain.into_owned())
    };
    let chain = ask(&url, Contract::SubEnrollment, &operation, by, take)?;
    let above = root_slc(root, by)?;
    let signer = chain.iter().nth(1).map(|text| Node::parse(text.as_str()));
    let signer = signer.and_then(Result::ok);
    if signer.and_then(|node| node.principal_key().cloned()) != Some(above.key().clone()) {
        let reason = format!("{root} names another server than the one that signed");
        return Err(EnrollError::Untrusted(reason));
    }
    Ok(chain.concatenated())
}

/// What a root cluster says is its own SLC (MS-RMPRS 3.4.4.1). Nothing says yet that it leads to the
/// anchors.
pub(super) fn root_slc(root: &str, by: &OnLine) -> Result<ServerLicensorCertificate, EnrollError> {
    let url = Service::CertificationServer.url(root);
    let operation = Operation::GetLicensorCertificate(GetLicensorCertificate);
    let take = |response: Response<'_>| {
        GetLicensorCertificateResponse::try_from(response)
            .map(|answer| answer.certificate_chain.into_owned())
    };
    let answer = ask(&url, Contract::Server, &operation, by, take)?;
    let what = "root cluster's certificate";
    let nodes = chain::parse_verified(&answer.concatenated()).map_err(malformed(what))?;
    let leaf = nodes
        .into_iter()
        .next()
        .ok_or_else(|| malformed(what)("there is none"))?;
    ServerLicensorCertificate::new(leaf).map_err(malformed(what))
}

/// What a cluster says of its version: that of the specification, and the release where it is one of
/// this software that tells (MS-RMPR 3.7.4.3).
pub(super) fn version(cluster: &str, by: &OnLine) -> Result<(String, Option<String>), EnrollError> {
    let url = Service::CertificationServer.url(cluster);
    let kinds = [
        ServerInfoType::VersionInfo,
        ServerInfoType::ServerFeatureInfo,
    ];
    let question = |kind| ServerInfoRequest {
        kind,
        additional_info: None,
    };
    let requests = kinds.map(question).to_vec();
    let operation = Operation::GetServerInfo(GetServerInfo { requests });
    let take = |response: Response<'_>| {
        let answer = GetServerInfoResponse::try_from(response)?;
        let (mut version, mut release) = (String::new(), None);
        for entry in answer.entries {
            match entry.value {
                ServerInfoValue::VersionInfo(text) => version = text,
                ServerInfoValue::ServerFeatureInfo(features) => {
                    let mut features = features.into_iter();
                    release = features.find(|feature| feature.name == RELEASE_FEATURE);
                }
                _ => {}
            }
        }
        Ok((version, release.map(|release| release.value)))
    };
    ask(&url, Contract::Server, &operation, by, take)
}

/// What an authority, or a root cluster, hands out to its clients for machines of a mode.
pub(super) fn fetch_trust(
    service: &str,
    mode: Mode,
    by: &OnLine,
) -> Result<ClientTrust, EnrollError> {
    let (path, mode) = (crate::http::CLIENT_BUNDLE_PATH, mode.number());
    let url = format!("{}{path}?mode={mode}", origin(service));
    let mut answer = agent(by)?
        .get(&url)
        .call()
        .map_err(|error| unreachable(&url, &error))?;
    if !answer.status().is_success() {
        let status = answer.status().as_u16();
        return Err(unreachable(&url, &ureq::Error::StatusCode(status)));
    }
    let body = read(&url, &mut answer)?;
    let bundle: ClientBundle = serde_json::from_slice(&body).map_err(malformed("client bundle"))?;
    Ok(bundle.trust)
}

/// Posts a request, and believes no answer to a ticket that does not prove who gives it.
fn ask<T>(
    url: &str,
    contract: Contract,
    operation: &Operation<'_>,
    by: &OnLine,
    take: impl FnOnce(Response<'_>) -> Result<T, ProtocolError>,
) -> Result<T, EnrollError> {
    let name = operation.name();
    let action = contract.soap_action(name);
    let version = Some(VersionData::CLIENT);
    let body = encode_request(SoapVersion::V11, contract, version, operation);
    let mut request = agent(by)?
        .post(url)
        .header(
            "Content-Type",
            SoapVersion::V11.request_content_type(&action),
        )
        .header("SOAPAction", format!("\"{action}\""));
    let ticket = |error: NegotiateError| EnrollError::Kerberos(error.to_string());
    let mut initiator = None;
    match &by.sign_in {
        SignIn::Nobody => {}
        SignIn::Password(user, password) => {
            if !url.starts_with("https://") && !is_loopback_url(&origin(url)) {
                return Err(EnrollError::NotPrivate(url.to_owned()));
            }
            let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
            let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            request = request.header("Authorization", value.as_str());
        }
        SignIn::Kerberos(tickets) => {
            let service = format!("HTTP@{}", outbound::host(url));
            let mut ours = Initiator::with_tickets(&service, tickets).map_err(ticket)?;
            let value = ours.authorization().map_err(ticket)?;
            request = request.header("Authorization", value);
            initiator = Some(ours);
        }
    }
    let mut answer = request
        .send(body)
        .map_err(|error| unreachable(url, &error))?;
    let status = answer.status().as_u16();
    if status == 401
        && let Some(who) = by.sign_in.name()
    {
        let url = url.to_owned();
        return Err(EnrollError::SignIn { url, who });
    }
    if !matches!(status, 200 | 500) {
        let reason = match status {
            401 | 403 => "the service asks who is calling: name a user who may enroll".to_owned(),
            404 => "there is no such service".to_owned(),
            _ => format!("HTTP status {status}"),
        };
        return Err(EnrollError::Refused(format!("{url}: {reason}")));
    }
    if let Some(mut initiator) = initiator {
        let fields = answer.headers().get_all("www-authenticate").iter();
        initiator
            .check_proof(fields.filter_map(|value| value.to_str().ok()))
            .map_err(ticket)?;
    }
    let body = read(url, &mut answer)?;
    let answer = parse_response(name, &body, &Limits::client())?;
    let response = answer
        .outcome
        .map_err(|fault| EnrollError::Refused(fault.to_string()))?;
    Ok(take(response)?)
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
}

fn agent(by: &OnLine) -> Result<ureq::Agent, EnrollError> {
    outbound::agent(None, by.proxy.as_deref(), WHOLE_TIME).map_err(malformed("proxy"))
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
