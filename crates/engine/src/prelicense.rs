//! `AcquirePreLicense`: use licenses on behalf of recipients, whom the caller names by mail address
//! (MS-RMSI 3.5.4.1). The decision is that of AcquireLicense (`decision`); the key goes to the
//! recipient's RAC, never to the caller.

use openrms_directory::{AccountRef, Address, Identity};
use openrms_protocol::prelicensing::{
    AcquirePreLicense, AcquirePreLicenseException, AcquirePreLicenseResponse, PreLicenseOutcome,
    PreLicenses,
};
use openrms_protocol::{CertificateText, FaultCode};
use openrms_xrml::rights_data::RightsData;

use crate::accounts::{absent, account_key, identity_of, signed_in, stored_key};
use crate::caller::Caller;
use crate::certificates::check_lockbox;
use crate::context::{Context, check_in_service};
use crate::decision::{Person, check_license, decide, policy_now};
use crate::license::{ItemRecord, write};
use crate::licenses::{OpenedLicense, open_license};
use crate::observer::Step;
use crate::refusal::Refusal;

/// What became of a request for use licenses.
#[derive(Debug)]
pub struct PreLicensed {
    /// The answer.
    pub response: AcquirePreLicenseResponse<'static>,
    /// What was decided for each recipient, for the log, in the same order.
    pub items: Vec<ItemRecord>,
}

/// Decides on an `AcquirePreLicense` request. Recipients fail alone; what is wrong with a license
/// is wrong for all of them and fails the request.
pub async fn acquire_prelicense(
    context: &Context<'_>,
    caller: &Caller,
    request: &AcquirePreLicense<'_>,
) -> Result<PreLicensed, Refusal> {
    check_in_service(context)?;
    signed_in(caller)?;
    // Recipients' machines are not known here: where old security processors are excluded, they
    // must ask themselves.
    check_lockbox(context.cluster, None)?;
    let (cluster, caches) = (context.cluster, context.caches);
    let mut done = PreLicensed {
        response: AcquirePreLicenseResponse { items: Vec::new() },
        items: Vec::new(),
    };
    let mut new_keys = MOST_NEW_KEYS;
    for params in &request.items {
        let chain = &params.issuance_license;
        let opening = Step::OpenLicense.begin(context.observer);
        let (opened, server) =
            open_license(cluster, &caches.certificates, &caches.licenses, chain)?;
        drop(opening);
        check_license(context, &opened)?;
        let policy = policy_now(context, &opened, server)?;
        let mut licenses = Vec::with_capacity(params.licensee_identities.len());
        for (batch_index, recipient) in (0..).zip(&params.licensee_identities) {
            let mut record = ItemRecord {
                content: opened.license.content_id().map(str::to_owned),
                ..ItemRecord::default()
            };
            let issued = issue(
                context,
                (&opened, &policy),
                recipient,
                &mut new_keys,
                &mut record,
            );
            licenses.push(match issued.await {
                Ok(license) => PreLicenseOutcome::License(license),
                Err(refusal) => {
                    let fault = refusal.fault();
                    record.refusal = Some(refusal);
                    PreLicenseOutcome::Exception(AcquirePreLicenseException { fault, batch_index })
                }
            });
            done.items.push(record);
        }
        done.response.items.push(PreLicenses {
            licenses,
            certificate_chain: cluster.server()?.chain.clone(),
        });
    }
    Ok(done)
}

async fn issue(
    context: &Context<'_>,
    (opened, policy): (&OpenedLicense, &RightsData),
    recipient: &str,
    new_keys: &mut u32,
    record: &mut ItemRecord,
) -> Result<CertificateText<'static>, Refusal> {
    let invalid = FaultCode::AcquirePreLicenseInvalidLicensee;
    let address: Address = recipient
        .parse()
        .map_err(|error| Refusal::new(invalid, format!("mail address: {error}")))?;
    record.account = Some(address.to_string());
    let account = absent(context, &AccountRef::Address(address), invalid).await?;
    let identity = identity_of(&account, invalid)?;
    let key = match stored_key(context, &identity.id).await? {
        Some((key, _)) => key,
        None if *new_keys == 0 => {
            let reason = format!("more than {MOST_NEW_KEYS} new key pairs in one request");
            return Err(Refusal::new(FaultCode::UnspecifiedError, reason));
        }
        None => {
            *new_keys -= 1;
            account_key(context, &identity.id).await?.0
        }
    };
    if context.cluster.excludes_rac(&key) {
        let reason = "the RAC's key is excluded";
        return Err(Refusal::new(FaultCode::DrmacIsExcluded, reason));
    }
    // The recipient as a RAC of theirs would name them: by SID and primary address.
    let person = Person {
        identity: &Identity {
            sid: Some(account.sid.clone()),
            addresses: account.mail.iter().cloned().collect(),
        },
        key: &key,
        sid_counts: true,
    };
    let grant = decide(context, opened, policy, person).await?;
    let principal = identity.principal(&key, false);
    let (ul, id) = write(context, opened, policy, &principal, &grant)?;
    record.issued = Some((id, grant.ground()));
    CertificateText::new(ul).map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))
}

/// Each recipient who was never certified costs an RSA key; the rest of them ask for themselves.
const MOST_NEW_KEYS: u32 = 8;
