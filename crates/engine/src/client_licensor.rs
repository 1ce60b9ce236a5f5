//! GetClientLicensorCert: a CLC for the holder of a RAC (MS-RMPR 3.5.4.2).

use openrms_crypto::sealed_key::{self, Payload};
use openrms_crypto::{Digest, PrivateKey};
use openrms_protocol::publishing::{GetClientLicensorCert, GetClientLicensorCertResponse};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_store::{CertificateBody, CertificateKind, IssuedCertificate};
use openrms_xrml::clc::ClcRequest;
use openrms_xrml::{EnablingBits, Guid, Interval};

use crate::certificates::{judge_rac, still_known};
use crate::certify::issued_chain;
use crate::context::{Context, check_in_service, new_guid};
use crate::refusal::Refusal;

/// CLCs were issued.
#[derive(Debug)]
pub struct Licensed<'c> {
    /// The answer.
    pub response: GetClientLicensorCertResponse<'c>,
    /// Mail address and CLC identifier for each, for the log.
    pub certificates: Vec<(String, Guid)>,
}

/// Decides on a GetClientLicensorCert request.
pub async fn get_client_licensor_cert<'c>(
    context: &Context<'c>,
    request: &GetClientLicensorCert<'_>,
) -> Result<Licensed<'c>, Refusal> {
    check_in_service(context)?;
    if request.persona_certs.len() > MOST_PERSONAS {
        let reason = format!("more than {MOST_PERSONAS} CLCs in one request");
        return Err(Refusal::new(FaultCode::UnspecifiedError, reason));
    }
    let mut chains = Vec::new();
    let mut certificates = Vec::new();
    for persona in &request.persona_certs {
        let (chain, email, id) = issue(context, persona).await?;
        chains.push(chain);
        certificates.push((email, id));
    }
    let response = GetClientLicensorCertResponse {
        certificate_chains: chains,
    };
    Ok(Licensed {
        response,
        certificates,
    })
}

async fn issue<'c>(
    context: &Context<'c>,
    persona: &CertificateChain<'_>,
) -> Result<(CertificateChain<'c>, String, Guid), Refusal> {
    let cluster = context.cluster;
    let trusted = judge_rac(context, persona)?;
    still_known(context.directory, &trusted).await?;
    let rac = &trusted.rac;
    // A CLC's key is made anew each time and not kept, as on Windows (note 45): losing it loses
    // nothing, since what it signed is verified by its certificate.
    let key = context.key_source.take(cluster.mode)?;
    let server = cluster.server()?;
    let version = cluster.mode.sealed_key_version();
    let bound = Digest::of_utf16le(version.hash(), &server.identity().issuer());
    let blob = key.to_private_key_blob();
    let sealed = sealed_key::seal(rac.key(), version, Payload::PrivateKey(&blob), &bound)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    let issued = context.now.floor_minute();
    let range = rac.validity().unwrap_or(Interval {
        from: issued,
        until: issued.plus_days(365),
    });
    let id = new_guid()?;
    let clc = ClcRequest {
        id,
        issued,
        issuer: server.identity(),
        licensing_url: &cluster.licensing_url(),
        external_licensing_url: cluster.policies.external_licensing_url.as_deref(),
        account: rac.account(),
        key: key.public(),
        range,
        sealed_key: &EnablingBits {
            version,
            bytes: sealed,
        },
    }
    .sign(server.key.as_ref(), cluster.mode.hash())?;
    context
        .store
        .record_issued(&IssuedCertificate {
            guid: id.0,
            kind: CertificateKind::Clc,
            account: Some(rac.account().id.clone()),
            body: CertificateBody::Digest(openrms_crypto::sha256(clc.as_bytes())),
            issued_at: issued.unix(),
            expires_at: Some(range.until.unix()),
        })
        .await?;
    Ok((
        issued_chain(clc, &server.chain)?,
        rac.account().email.clone(),
        id,
    ))
}

/// Clients ask for one at a time; each costs an RSA key.
const MOST_PERSONAS: usize = 4;
