//! Certify: a RAC for an authenticated account on an activated machine (MS-RMPR 3.3.4.1).

use openrms_crypto::sealed_key::{self, Payload};
use openrms_crypto::{Digest, PublicKey};
use openrms_protocol::certification::{Certify, CertifyResponse, QuotaResponse};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_store::{CertificateBody, CertificateKind, IssuedCertificate};
use openrms_xrml::rac::{AccountIdentity, AccountType, RacRequest, SealedTo};
use openrms_xrml::{EnablingBits, Guid, Interval, Time};

use crate::accounts::{Subject, account_key, subject};
use crate::caller::Caller;
use crate::certificates::judge_spc;
use crate::context::{Context, check_certifies, new_guid};
use crate::observer::Step;
use crate::refusal::Refusal;

/// A RAC was issued.
#[derive(Debug)]
pub struct Certified<'c> {
    /// The answer.
    pub response: CertifyResponse<'c>,
    /// The RAC's identifier, for the log.
    pub certificate: Guid,
}

/// Decides on a Certify request. It is the same for people, server services and mobile devices
/// (MS-RMPR 3.1.4.2): the account that signed in is certified, whoever that is.
pub async fn certify<'c>(
    context: &Context<'c>,
    caller: &Caller,
    request: &Certify<'_>,
) -> Result<Certified<'c>, Refusal> {
    check_certifies(context.cluster, context.now)?;
    let cluster = context.cluster;
    let Subject {
        identity,
        key_account,
    } = subject(cluster, caller)?;
    let verifying = Step::VerifyCertificates.begin(context.observer);
    let spc = judge_spc(
        cluster,
        &context.caches.certificates,
        &request.machine_certificate_chain,
    )?;
    drop(verifying);
    if context.newer_processors && spc.repository_version() < Some(SERVICE_PACK_1) {
        let reason = "services and mobile devices have security processors of Service Pack 1";
        return Err(Refusal::new(FaultCode::BlackBoxIsInvalid, reason));
    }
    let (key, blob) = account_key(context, &key_account).await?;

    let server = cluster.server()?;
    let version = cluster.mode.sealed_key_version();
    let sealing = Step::AddEnablingBits.begin(context.observer);
    let binding = RacRequest::binding_text(server.identity());
    let bound = Digest::of_utf16le(version.hash(), &binding);
    let bytes = sealed_key::seal(spc.key(), version, Payload::PrivateKey(&blob), &bound)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    drop(sealing);
    let sealed = SealedTo {
        machine: &spc,
        key: &EnablingBits { version, bytes },
    };
    let new = NewRac {
        account: &identity,
        key: &key,
        temporary: !request.persistent,
        sealed: Some(sealed),
    };
    let rac = new.issue(context)?;
    let kind = if request.persistent {
        CertificateKind::Rac
    } else {
        CertificateKind::TemporaryRac
    };
    let associating = Step::AssociateUserAndMachine.begin(context.observer);
    context
        .store
        .record_issued(&IssuedCertificate {
            guid: rac.id.0,
            kind,
            account: Some(identity.id.clone()),
            body: CertificateBody::Digest(openrms_crypto::sha256(rac.text.as_bytes())),
            issued_at: rac.issued.unix(),
            expires_at: Some(rac.until.unix()),
        })
        .await?;
    drop(associating);
    let response = CertifyResponse {
        certificate_chain: issued_chain(rac.text, &server.chain)?,
        quota: Some(QuotaResponse::PRODUCTION),
    };
    Ok(Certified {
        response,
        certificate: rac.id,
    })
}

/// A RAC to be issued.
pub(crate) struct NewRac<'a> {
    /// The person.
    pub(crate) account: &'a AccountIdentity,
    /// Their key.
    pub(crate) key: &'a PublicKey,
    /// For a machine that is not theirs.
    pub(crate) temporary: bool,
    /// Their private key, when they asked themselves.
    pub(crate) sealed: Option<SealedTo<'a>>,
}

/// A RAC that was issued.
pub(crate) struct IssuedRac {
    /// Its text.
    pub(crate) text: String,
    /// Its identifier.
    pub(crate) id: Guid,
    issued: Time,
    until: Time,
}

impl NewRac<'_> {
    /// Signs the RAC with the cluster's key.
    pub(crate) fn issue(&self, context: &Context<'_>) -> Result<IssuedRac, Refusal> {
        let _generating = Step::GenerateUserCertificate.begin(context.observer);
        let cluster = context.cluster;
        let server = cluster.server()?;
        let policies = &cluster.policies;
        let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let federated = self.account.account_type == AccountType::Federation;
        let valid_for = match (federated, self.temporary) {
            (false, false) => policies.rac_validity,
            (false, true) => policies.temporary_rac_validity,
            (true, false) => policies.federated_rac_validity,
            (true, true) => policies
                .federated_rac_validity
                .min(policies.temporary_rac_validity),
        };
        let issued = context.now.floor_minute();
        // A license tells minutes only: round the end up, or a RAC of minutes would be cut short.
        let until = context.now.plus(seconds(valid_for)).plus(59).floor_minute();
        let validity = Interval {
            from: issued
                .plus(-seconds(policies.certificate_validity_time_tolerance))
                .floor_minute(),
            until,
        };
        let id = new_guid()?;
        let text = RacRequest {
            id,
            issued,
            validity,
            issuer: server.identity(),
            certification_url: &cluster.certification_url(),
            external_certification_url: policies.external_certification_url.as_deref(),
            account: self.account,
            key: self.key,
            temporary: self.temporary,
            sealed: self.sealed,
        }
        .sign(server.key.as_ref(), cluster.mode.hash())?;
        Ok(IssuedRac {
            text,
            id,
            issued,
            until,
        })
    }
}

/// A leaf that was just signed, with the server's chain behind it.
pub(crate) fn issued_chain<'c>(
    leaf: String,
    above: &'c CertificateChain<'static>,
) -> Result<CertificateChain<'c>, Refusal> {
    let leaf = CertificateText::new(leaf)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    let above = above.iter().map(CertificateText::borrow);
    Ok(std::iter::once(leaf).chain(above).collect())
}

/// The oldest security processor of Service Pack 1.
const SERVICE_PACK_1: [u32; 4] = [5, 0, 0, 0];
