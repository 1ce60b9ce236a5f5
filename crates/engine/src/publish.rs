//! AcquireIssuanceLicense: signing PLs that clients composed (MS-RMPR 3.5.4.1).

use openrms_protocol::publishing::{AcquireIssuanceLicense, AcquireIssuanceLicenseResponse};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_xrml::node::{Node, SignatureError};
use openrms_xrml::pl::{PublishingLicense, ServerPart};
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::surface;

use crate::cluster::{Cluster, LicensingServer};
use crate::context::{Context, check_in_service};
use crate::refusal::Refusal;
use crate::vault::HeldContent;

/// PLs were signed.
#[derive(Debug)]
pub struct Published {
    /// The answer.
    pub response: AcquireIssuanceLicenseResponse<'static>,
    /// Content identifiers, for the log.
    pub contents: Vec<String>,
}

/// Decides on an AcquireIssuanceLicense request.
pub fn acquire_issuance_license(
    context: &Context<'_>,
    request: &AcquireIssuanceLicense<'_>,
) -> Result<Published, Refusal> {
    check_in_service(context)?;
    if !context.cluster.policies.online_publishing_enabled {
        let reason = "online publishing is switched off";
        return Err(Refusal::new(FaultCode::OnlinePublishingDisabled, reason));
    }
    let mut certificate_chains = Vec::new();
    let mut contents = Vec::new();
    for unsigned in &request.unsigned_issuance_licenses {
        let (chain, content) = sign(context, unsigned)?;
        certificate_chains.push(chain);
        contents.push(content);
    }
    let response = AcquireIssuanceLicenseResponse { certificate_chains };
    Ok(Published { response, contents })
}

/// A PL that a client composed and wants signed.
pub(crate) struct Unsigned {
    /// The license.
    pub(crate) license: PublishingLicense<Box<Node>>,
    /// Its rights data.
    pub(crate) rights: RightsData,
    held: HeldContent,
}

/// Opens a PL that is to be signed, and checks what its composer vouches for.
pub(crate) fn open_unsigned(
    cluster: &Cluster,
    unsigned: &CertificateText<'_>,
) -> Result<Unsigned, Refusal> {
    let unspecified = |reason: String| Refusal::new(FaultCode::UnspecifiedError, reason);
    let node = Node::parse(unsigned.as_str()).map_err(|error| unspecified(error.to_string()))?;
    let license =
        PublishingLicense::new(Box::new(node)).map_err(|error| unspecified(error.to_string()))?;
    let server = matching_server(cluster, &license).ok_or_else(|| {
        Refusal::new(
            FaultCode::UnsignedIssuanceLicenseNoMatchingIssuedPrincipal,
            "no issued principal is this server",
        )
    })?;
    let held = HeldContent::open(&license, server.key.as_ref())
        .map_err(|error| Refusal::new(FaultCode::CryptoUnsupportedSymKey, error))?;
    if !binding_holds(&held, &license) {
        return Err(Refusal::new(
            FaultCode::EnablingBitsHashDoesNotMatch,
            "the sealed key is not bound to these issued principals",
        ));
    }
    let rights = held
        .rights_data(license.encrypted_rights())
        .map_err(|error| unspecified(error.to_string()))?;
    check_template(cluster, &rights)?;
    Ok(Unsigned {
        license,
        rights,
        held,
    })
}

fn sign(
    context: &Context<'_>,
    unsigned: &CertificateText<'_>,
) -> Result<(CertificateChain<'static>, String), Refusal> {
    let unspecified = |reason: String| Refusal::new(FaultCode::UnspecifiedError, reason);
    let cluster = context.cluster;
    let Unsigned { license, held, .. } = open_unsigned(cluster, unsigned)?;
    // Whatever key the content key was sealed to, what is signed now names the key in use.
    let current = cluster.server()?;
    let version = cluster.mode.sealed_key_version();
    let binding = openrms_xrml::pl::PlContent::binding_text(current.identity());
    let sealed = held
        .rebind(current.key.as_ref(), version, &binding)
        .map_err(|error| unspecified(error.to_string()))?;
    let part = ServerPart {
        issued: context.now.floor_minute(),
        issuer: current.identity(),
        licensing_url: &cluster.licensing_url(),
        external_licensing_url: cluster.policies.external_licensing_url.as_deref(),
        sealed_key: &sealed,
    };
    let signed = license.sign_as_server(&part, current.key.as_ref(), cluster.mode.hash())?;
    let content = license.content_id().unwrap_or_default().to_owned();
    // An on-line PL is a single node (MS-RMPR 2.2.9.2): the chain ends at the SLC, which every
    // client of this server has.
    let text = CertificateText::new(signed).map_err(|error| unspecified(error.to_string()))?;
    Ok((CertificateChain(vec![text]), content))
}

/// The server whose OBJECT ID and key the issued principal names.
pub(crate) fn matching_server<'c, N>(
    cluster: &'c Cluster,
    license: &PublishingLicense<N>,
) -> Option<&'c LicensingServer>
where
    N: std::ops::Deref<Target: openrms_xrml::pl::AsNode>,
{
    let server = cluster.server_by_key(license.server_key()?)?;
    let named = license.server()?.object.as_guid()?;
    (server.identity().object().as_guid()? == named).then_some(server)
}

/// The binding is over characters; a client's XML library may have respelled empty elements on
/// the way, so both spellings are tried.
fn binding_holds(held: &HeldContent, license: &PublishingLicense<Box<Node>>) -> bool {
    let text = license.binding_text();
    held.is_bound_to(&text) || held.is_bound_to(&surface::as_server(&text))
}

/// Rights data that call themselves an official template must be signed by this cluster, or by
/// one on whose behalf it licenses.
pub(crate) fn check_template(cluster: &Cluster, rights: &RightsData) -> Result<(), Refusal> {
    if !rights.is_official() {
        return Ok(());
    }
    let invalid = |reason: String| Refusal::new(FaultCode::InvalidOfficialRightsTemplate, reason);
    let verified = rights
        .node()
        .clone()
        .verify()
        .map_err(|error: SignatureError| invalid(error.to_string()))?;
    match verified.issuer_key() {
        Some(key) if cluster.server_by_key(key).is_some() => Ok(()),
        _ => Err(invalid("the template is signed by another server".into())),
    }
}
