//! AcquireLicense: use licenses (MS-RMPR 3.4.4.1). The hot path.

use std::sync::Arc;

use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseException, AcquireLicenseParams, AcquireLicenseResponse,
    LicenseOutcome,
};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_xrml::chain::{ChainError, check_validity};
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::ul::UlRequest;
use openrms_xrml::{Guid, Hand};

use crate::certificates::{TrustedRac, judge_rac, still_known, unanswered};
use crate::certify::issued_chain;
use crate::cluster::{AuthorProof, LicensingServer};
use crate::context::{Context, check_in_service, new_guid};
use crate::evaluate::{Grant, Ground, Requester, evaluate};
use crate::licenses::{OpenedLicense, open_license};
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
    let rac = judge_rac(
        cluster,
        &caches.certificates,
        &params.licensee_certs,
        context.now,
    )?;
    record.account = Some(rac.rac.account().email.clone());
    let (opened, server) = open_license(cluster, &caches.certificates, &caches.licenses, license)?;
    record.content = opened.license.content_id().map(str::to_owned);
    check_license(context, &opened, &rac)?;
    let policy = policy_now(context, &opened, server)?;
    let grant = decide(context, &opened, &policy, &rac).await?;
    let (ul, id) = write(context, &opened, &policy, &rac, &grant)?;
    record.issued = Some((id, grant.ground()));
    issued_chain(ul, &cluster.server().chain)
}

/// What depends on the instant and on the configuration, judged on every request.
fn check_license(
    context: &Context<'_>,
    opened: &OpenedLicense,
    rac: &TrustedRac<'_>,
) -> Result<(), Refusal> {
    match check_validity(opened.license.node(), context.now) {
        Ok(()) => {}
        Err(error @ (ChainError::Expired(..) | ChainError::NotYetValid(..))) => {
            return Err(Refusal::new(
                FaultCode::IssuanceLicenseIsNotWithinValidTimeRange,
                error,
            ));
        }
        Err(error) => return Err(Refusal::new(FaultCode::InvalidRightsLabelSignature, error)),
    }
    if context.cluster.author_proof == AuthorProof::Required && !opened.has_author_proof() {
        let reason = "the license carries no proof of its author, which this cluster requires";
        return Err(Refusal::new(FaultCode::InvalidRightsLabelSignature, reason));
    }
    if let Some(created) = rac.rac.credential_created() {
        let created = created.map_err(|e| Refusal::new(FaultCode::UnexpectedPersonaCert, e))?;
        let tolerance = context.cluster.policies.creation_time_tolerance.as_secs();
        let latest = opened
            .published
            .plus(i64::try_from(tolerance).unwrap_or(i64::MAX));
        if created > latest {
            let reason = "the account is younger than the license";
            return Err(Refusal::new(FaultCode::CredentialCreationTime, reason));
        }
    }
    Ok(())
}

/// Evaluates the policy that holds now for the person.
async fn decide(
    context: &Context<'_>,
    opened: &OpenedLicense,
    policy: &RightsData,
    rac: &TrustedRac<'_>,
) -> Result<Grant, Refusal> {
    let cluster = context.cluster;
    let identity = still_known(context.directory, rac).await?;
    let memberships = context.directory.memberships(&identity).await;
    let memberships = memberships.map_err(unanswered)?;
    let is_super_user = cluster.policies.super_user_enabled
        && cluster
            .policies
            .super_user_group
            .as_deref()
            .is_some_and(|group| memberships.is_in_group(group));
    let is_author = opened
        .believed_author(cluster.author_proof)
        .is_some_and(|author| {
            memberships
                .own_addresses()
                .iter()
                .any(|own| own.key().eq_ignore_ascii_case(author.trim()))
        });
    let requester = Requester {
        account: rac.rac.account(),
        key: rac.rac.key(),
        memberships: &memberships,
        sid_counts: rac.issuer.allow_sid,
        is_author,
        is_super_user,
    };
    let content = opened.content.tag();
    evaluate(policy, content, opened.published, &requester, context.now)
        .map_err(|denial| Refusal::new(FaultCode::NoRightsForRequestedPrincipal, denial))
}

/// A template holds as it is now, not as it was when the content was published. Content whose
/// template was deleted is not licensed any more.
fn policy_now(
    context: &Context<'_>,
    opened: &OpenedLicense,
    server: &LicensingServer,
) -> Result<Arc<RightsData>, Refusal> {
    let cluster = context.cluster;
    let id = opened.rights.policy_id();
    let current = id.and_then(|id| match &server.templates {
        Some(templates) => templates.get(&id),
        None => cluster.template(id),
    });
    match current {
        Some(template) => Ok(template.rights.clone()),
        None if opened.rights.is_official() => Err(Refusal::new(
            FaultCode::NoRightsForRequestedPrincipal,
            format!(
                "template {} was deleted",
                id.map(|id| id.to_string()).unwrap_or_default()
            ),
        )),
        None => Ok(opened.rights.clone()),
    }
}

/// Writes and signs the UL.
fn write(
    context: &Context<'_>,
    opened: &OpenedLicense,
    policy: &RightsData,
    rac: &TrustedRac<'_>,
    grant: &Grant,
) -> Result<(String, Guid), Refusal> {
    let cluster = context.cluster;
    let issuer = cluster.server();
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
        principal_raw: rac.rac.principal_raw(),
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
