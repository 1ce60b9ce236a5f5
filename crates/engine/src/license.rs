//! AcquireLicense: use licenses (MS-RMPR 3.4.4.1). The hot path.

use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseException, AcquireLicenseParams, AcquireLicenseResponse,
    LicenseOutcome,
};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::ul::UlRequest;
use openrms_xrml::{Guid, Hand};

use crate::certificates::{judge_rac, still_known};
use crate::certify::issued_chain;
use crate::context::{Context, check_in_service, new_guid};
use crate::decision::{Person, check_license, decide, policy_now};
use crate::evaluate::{Grant, Ground};
use crate::licenses::{OpenedLicense, open_license};
use crate::observer::Step;
use crate::refusal::Refusal;

/// What became of a request for use licenses.
#[derive(Debug)]
pub struct Answered<'c> {
    /// The answer.
    pub response: AcquireLicenseResponse<'c>,
    /// What each item was about, for the log, in the same order.
    pub items: Vec<ItemRecord>,
}

/// One item, for the log.
#[derive(Debug, Clone, Default)]
pub struct ItemRecord {
    /// The person, as far as the RAC was readable.
    pub account: Option<String>,
    /// The content.
    pub content: Option<String>,
    /// The UL, when one was issued, and why.
    pub issued: Option<(Guid, Ground)>,
    /// Why none was.
    pub refusal: Option<Refusal>,
}

/// Decides on an AcquireLicense request. Items of a batch fail alone; a request of one item fails
/// as a whole, which older clients expect.
pub async fn acquire_license<'c>(
    context: &Context<'c>,
    request: &AcquireLicense<'_>,
) -> Result<Answered<'c>, (Refusal, ItemRecord)> {
    check_in_service(context).map_err(|refusal| (refusal, ItemRecord::default()))?;
    let single = request.items.len() == 1;
    let mut answered = Answered {
        response: AcquireLicenseResponse { items: Vec::new() },
        items: Vec::new(),
    };
    for (index, (params, license)) in request.resolved().enumerate() {
        let mut record = ItemRecord::default();
        match issue(context, params, license, &mut record).await {
            Ok(chain) => answered.response.items.push(LicenseOutcome::license(chain)),
            Err(refusal) if single => return Err((refusal, record)),
            Err(refusal) => {
                let batch_index = u32::try_from(index).unwrap_or(u32::MAX);
                answered
                    .response
                    .items
                    .push(LicenseOutcome::Exception(AcquireLicenseException {
                        fault: refusal.fault(),
                        batch_index,
                    }));
                record.refusal = Some(refusal);
            }
        }
        answered.items.push(record);
    }
    Ok(answered)
}

async fn issue<'c>(
    context: &Context<'c>,
    params: &AcquireLicenseParams<'_>,
    license: Option<&CertificateChain<'_>>,
    record: &mut ItemRecord,
) -> Result<CertificateChain<'c>, Refusal> {
    let cluster = context.cluster;
    let caches = context.caches;
    let license = license.ok_or_else(|| {
        Refusal::new(
            FaultCode::ArgumentNull,
            "the first item has no publishing license",
        )
    })?;
    let rac = judge_rac(context, &params.licensee_certs)?;
    record.account = Some(rac.rac.account().email.clone());
    let opening = Step::OpenLicense.begin(context.observer);
    let (opened, server) = open_license(cluster, &caches.certificates, &caches.licenses, license)?;
    drop(opening);
    record.content = opened.license.content_id().map(str::to_owned);
    check_license(context, &opened)?;
    check_credential(context, &opened, &rac.rac)?;
    let policy = policy_now(context, &opened, server)?;
    let asking = Step::AskDirectory.begin(context.observer);
    let identity = still_known(context.directory, &rac).await?;
    drop(asking);
    let person = Person {
        identity: &identity,
        key: rac.rac.key(),
        sid_counts: rac.sid_counts(),
    };
    let grant = decide(context, &opened, &policy, person).await?;
    let (ul, id) = write(context, &opened, &policy, rac.rac.principal_raw(), &grant)?;
    record.issued = Some((id, grant.ground()));
    issued_chain(ul, &cluster.server()?.chain)
}

/// A RAC may say when its account was made; one made long after the content gets nothing of it.
fn check_credential(
    context: &Context<'_>,
    opened: &OpenedLicense,
    rac: &AccountCertificate,
) -> Result<(), Refusal> {
    let Some(created) = rac.credential_created() else {
        return Ok(());
    };
    let created = created.map_err(|e| Refusal::new(FaultCode::UnexpectedPersonaCert, e))?;
    let tolerance = context.cluster.policies.creation_time_tolerance.as_secs();
    let latest = opened
        .published
        .plus(i64::try_from(tolerance).unwrap_or(i64::MAX));
    if created > latest {
        let reason = "the account is younger than the license";
        return Err(Refusal::new(FaultCode::CredentialCreationTime, reason));
    }
    Ok(())
}

/// Writes and signs the UL. `principal` is the PRINCIPAL element of the person's RAC.
pub(crate) fn write(
    context: &Context<'_>,
    opened: &OpenedLicense,
    policy: &RightsData,
    principal: &str,
    grant: &Grant,
) -> Result<(String, Guid), Refusal> {
    let _writing = Step::WriteLicense.begin(context.observer);
    let cluster = context.cluster;
    let issuer = cluster.server()?;
    let version = cluster.mode.sealed_key_version();
    let binding = UlRequest::binding_text(issuer.identity());
    let sealed_key = opened
        .content
        .release(grant, version, &binding)
        .map_err(|error| Refusal::new(FaultCode::UnspecifiedError, error))?;
    let node = opened.license.node();
    let content = node.content();
    let work = content.work.as_ref();
    let slice = |range: Option<&std::ops::Range<usize>>| range.map(|range| node.slice(range));
    let app_data: Vec<(String, String)> = policy
        .app_data()
        .map(|data| (data.name.clone().unwrap_or_default(), data.value.clone()))
        .collect();
    let policy_lists: Vec<_> = policy
        .policy_lists()
        .iter()
        .chain(&content.policy_lists)
        .chain(cluster.exclusion_policy())
        .cloned()
        .collect();
    let exclusion = cluster.policies.os_exclusion_enabled.then(|| {
        let range = &cluster.policies.os_exclusion;
        format!("{}-{}", range.minimum, range.maximum)
    });
    // An author goes on without lists: their owner license never asks for one either.
    let revocation = match grant.ground() {
        Ground::Author => None,
        _ => policy
            .revocation_raw()
            .or_else(|| slice(work.and_then(|work| work.revocation_raw.as_ref()))),
    };
    let id = new_guid()?;
    let ul = UlRequest {
        id,
        issued: context.now.floor_minute(),
        validity: None,
        issuer: issuer.identity(),
        principal_raw: principal,
        referral_raw: slice(content.referral_raw.as_ref()),
        work_raw: slice(work.and_then(|work| work.object_raw.as_ref())).unwrap_or_default(),
        owner_raw: slice(work.and_then(|work| work.owner_raw.as_ref())),
        revocation_raw: revocation,
        rights: grant.rights(),
        sealed_key: &sealed_key,
        app_data: &app_data,
        os_exclusion: exclusion.as_deref(),
        policy_lists: &policy_lists,
    }
    .sign(Hand::Server, issuer.key.as_ref(), cluster.mode.hash())?;
    Ok((ul, id))
}
