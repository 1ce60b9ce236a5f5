//! Certify: a RAC for an authenticated account on an activated machine (MS-RMPR 3.3.4.1).

use openrms_crypto::Digest;
use openrms_crypto::sealed_key::{self, Payload};
use openrms_directory::Account;
use openrms_protocol::certification::{Certify, CertifyResponse, QuotaResponse};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_store::{CertificateBody, CertificateKind, IssuedCertificate};
use openrms_xrml::rac::{AccountIdentity, AccountType, RacRequest};
use openrms_xrml::{EnablingBits, Guid, Interval};

use crate::certificates::judge_spc;
use crate::context::{Caller, Context, check_in_service, new_guid};
use crate::refusal::Refusal;

/// A RAC was issued.
#[derive(Debug)]
pub struct Certified<'c> {
    /// The answer.
    pub response: CertifyResponse<'c>,
    /// The RAC's identifier, for the log.
    pub certificate: Guid,
}

/// Decides on a Certify request.
pub async fn certify<'c>(
    context: &Context<'c>,
    caller: &Caller,
    request: &Certify<'_>,
) -> Result<Certified<'c>, Refusal> {
    check_in_service(context)?;
    let account = caller.account.as_ref().ok_or_else(|| {
        Refusal::new(
            FaultCode::UnauthorizedAccess,
            "the caller is not authenticated",
        )
    })?;
    if !account.enabled {
        let reason = format!("{} is disabled", account.name);
        return Err(Refusal::new(FaultCode::UnauthorizedAccess, reason));
    }
    let cluster = context.cluster;
    let spc = judge_spc(
        cluster,
        &context.caches.certificates,
        &request.machine_certificate_chain,
    )?;
    let identity = identity_of(account)?;
    let (key, blob) = account_key(context, &identity.id).await?;

    let server = cluster.server();
    let version = cluster.mode.sealed_key_version();
    let binding = RacRequest::binding_text(server.identity());
    let bound = Digest::of_utf16le(version.hash(), &binding);
    let sealed = sealed_key::seal(spc.key(), version, Payload::PrivateKey(&blob), &bound)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    let policies = &cluster.policies;
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let valid_for = if request.persistent {
        policies.rac_validity
    } else {
        policies.temporary_rac_validity
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
    let rac = RacRequest {
        id,
        issued,
        validity,
        issuer: server.identity(),
        certification_url: &cluster.certification_url(),
        external_certification_url: policies.external_certification_url.as_deref(),
        account: &identity,
        key: &key,
        temporary: !request.persistent,
        machine: &spc,
        sealed_key: &EnablingBits {
            version,
            bytes: sealed,
        },
    }
    .sign(server.key.as_ref(), cluster.mode.hash())?;
    let kind = if request.persistent {
        CertificateKind::Rac
    } else {
        CertificateKind::TemporaryRac
    };
    context
        .store
        .record_issued(&IssuedCertificate {
            guid: id.0,
            kind,
            account: Some(identity.id.clone()),
            body: CertificateBody::Digest(openrms_crypto::sha256(rac.as_bytes())),
            issued_at: issued.unix(),
            expires_at: Some(until.unix()),
        })
        .await?;
    let response = CertifyResponse {
        certificate_chain: issued_chain(rac, &server.chain)?,
        quota: Some(QuotaResponse::PRODUCTION),
    };
    Ok(Certified {
        response,
        certificate: id,
    })
}

/// The identity that a RAC of a directory account carries.
fn identity_of(account: &Account) -> Result<AccountIdentity, Refusal> {
    let mail = account.mail.as_ref().ok_or_else(|| {
        let reason = format!("{} has no mail address", account.name);
        Refusal::new(FaultCode::ADEntrySearchFailed, reason)
    })?;
    Ok(AccountIdentity {
        account_type: AccountType::Windows,
        id: account.sid.to_string(),
        email: mail.to_string(),
        aliases: Vec::new(),
    })
}

/// The account's key pair: the stored one, else a new one that is stored before it is used.
async fn account_key(
    context: &Context<'_>,
    account: &str,
) -> Result<
    (
        openrms_crypto::PublicKey,
        openrms_crypto::rsa::PrivateKeyBlob,
    ),
    Refusal,
> {
    let mode = context.cluster.mode;
    let name = key_name(account, mode);
    let vault = context.cluster.user_keys();
    let stored = if let Some(stored) = context.store.user_key(&name).await? {
        stored
    } else {
        let key = context.key_source.take(mode)?;
        let fresh = vault.seal(&name, &key, context.now)?;
        context.store.insert_user_key(&name, fresh).await?
    };
    vault
        .open(&name, &stored)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, format!("{name}: {error}")))
}

/// Name under which an account's key pair is stored. A cluster that changes its mode gives
/// accounts a second pair and keeps the first.
pub(crate) fn key_name(account: &str, mode: openrms_crypto::Mode) -> String {
    match mode {
        openrms_crypto::Mode::Two => account.to_owned(),
        openrms_crypto::Mode::One => format!("{account}#mode1"),
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
