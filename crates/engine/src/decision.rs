//! What an opened publishing license means now, and for whom (MS-RMPR 3.4.4.1): asked alike by
//! whoever brings a RAC, by those who ask for others (MS-RMSI 3.5.4.1), and by those who would
//! change the license (MS-RMSI 3.4.4.1).

use std::sync::Arc;

use openrms_crypto::PublicKey;
use openrms_directory::Identity;
use openrms_protocol::FaultCode;
use openrms_xrml::chain::{ChainError, check_validity};
use openrms_xrml::rights_data::RightsData;

use crate::certificates::unanswered;
use crate::cluster::{AuthorProof, LicensingServer};
use crate::context::Context;
use crate::evaluate::{Grant, Requester, evaluate};
use crate::expansion::{Expanded, expand};
use crate::licenses::OpenedLicense;
use crate::observer::Step;
use crate::refusal::Refusal;

/// The person a decision is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    /// Who they are.
    pub(crate) identity: &'a Identity,
    /// The key a grant is for.
    pub(crate) key: &'a PublicKey,
    /// Whether rights given to SIDs are theirs.
    pub(crate) sid_counts: bool,
}

/// Whether the license may be used at all at this instant, under this configuration.
pub(crate) fn check_license(context: &Context<'_>, opened: &OpenedLicense) -> Result<(), Refusal> {
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
    Ok(())
}

/// A template holds as it is now, not as it was when the content was published. Content whose
/// template was deleted is not licensed any more.
pub(crate) fn policy_now(
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

/// Evaluates the policy that holds now for the person.
pub(crate) async fn decide(
    context: &Context<'_>,
    opened: &OpenedLicense,
    policy: &RightsData,
    person: Person<'_>,
) -> Result<Grant, Refusal> {
    let cluster = context.cluster;
    let asking = Step::AskDirectory.begin(context.observer);
    let memberships = context.directory.memberships(person.identity).await;
    let Expanded {
        memberships,
        unanswered: silent,
    } = expand(
        context,
        person.identity,
        memberships.map_err(unanswered)?,
        policy,
    )
    .await;
    drop(asking);
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
        key: person.key,
        memberships: &memberships,
        sid_counts: person.sid_counts,
        is_author,
        is_super_user,
    };
    let content = opened.content.tag();
    evaluate(policy, content, opened.published, &requester, context.now).map_err(|denial| {
        match silent {
            // A forest that did not answer might have said otherwise.
            Some(error) => unanswered(error),
            None => Refusal::new(FaultCode::NoRightsForRequestedPrincipal, denial),
        }
    })
}
