//! Groups across forests (MS-RMPRS 3.5): while licensing, other forests are asked about groups that
//! only they can look into; and their servers are answered about groups of this one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use openrms_directory::{
    Address, DirectoryError, ForeignQuestion, ForestName, Identity, Memberships,
};
use openrms_protocol::FaultCode;
use openrms_protocol::group_expansion::{
    IsPrincipalMemberOf, IsPrincipalMemberOfResponse, PrincipalName,
};
use openrms_xrml::rights_data::{Grantee, RightsData};

use crate::certificates::unanswered;
use crate::context::{Context, check_in_service};
use crate::refusal::Refusal;

/// What somebody is, other forests asked.
pub(crate) struct Expanded {
    pub(crate) memberships: Arc<Memberships>,
    /// Why one of the forests did not answer: whoever gets nothing may have been in its groups.
    pub(crate) unanswered: Option<DirectoryError>,
}

/// Adds the groups that somebody is in by way of other forests, of those that rights are given to.
pub(crate) async fn expand(
    context: &Context<'_>,
    identity: &Identity,
    memberships: Arc<Memberships>,
    rights: &RightsData,
) -> Expanded {
    let mut expanded = Expanded {
        memberships,
        unanswered: None,
    };
    let Some(who) = identity.addresses.first() else {
        return expanded;
    };
    if context.forests.max_calls() <= FIRST_CALL {
        return expanded;
    }
    let mut tried = HashSet::new();
    for grant in rights.grants() {
        let Grantee::Address(text) = &grant.holder else {
            continue;
        };
        // The rights data are what an author wrote: so many groups and no more are looked into.
        if expanded.memberships.contains_address(text)
            || tried.len() >= MOST_GROUPS
            || !tried.insert(text.as_str())
        {
            continue;
        }
        let Ok(group) = text.parse::<Address>() else {
            continue;
        };
        let further = match reaches(context, who, &group, FIRST_CALL).await {
            Ok(true) => expanded.memberships.with_group(&group),
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        match further {
            Ok(further) => expanded.memberships = Arc::new(further),
            Err(error) => expanded.unanswered = Some(error),
        }
    }
    expanded
}

/// Answers a server of another forest. Somebody unknown, or groups unknown, is no member.
pub async fn is_principal_member_of(
    context: &Context<'_>,
    request: &IsPrincipalMemberOf,
) -> Result<IsPrincipalMemberOfResponse, Refusal> {
    check_in_service(context)?;
    let limit = context.forests.max_calls();
    request
        .check_calls(limit)
        .map_err(|error| Refusal::new(FaultCode::ArgumentOutOfRange, error))?;
    let (identity, who) = match PrincipalName::parse(&request.principal_name) {
        PrincipalName::Mail(text) => match text.parse::<Address>() {
            Ok(address) => (Identity::of_address(address.clone()), Some(address)),
            Err(_) => return Ok(answer(false)),
        },
        PrincipalName::Id(text) => {
            let sid = text.to_ascii_uppercase().parse().ok();
            let identity = Identity {
                sid,
                addresses: Vec::new(),
            };
            (identity, None)
        }
    };
    let groups: Vec<Address> = request
        .target_groups
        .iter()
        .filter_map(|group| match PrincipalName::parse(group) {
            PrincipalName::Mail(text) => text.parse().ok(),
            PrincipalName::Id(_) => None,
        })
        .collect();
    let memberships = context.directory.memberships(&identity).await;
    let memberships = memberships.map_err(unanswered)?;
    if groups
        .iter()
        .any(|group| memberships.is_in_group(group.key()))
    {
        return Ok(answer(true));
    }
    // One more server is involved when this one asks in turn.
    let calls = request.cross_forest_calls_so_far.saturating_add(1);
    if let Some(who) = who.filter(|_| calls < limit) {
        for group in &groups {
            if reaches(context, &who, group, calls)
                .await
                .map_err(unanswered)?
            {
                return Ok(answer(true));
            }
        }
    }
    Ok(answer(false))
}

/// Whether somebody is in a group by way of groups of other forests that are in it. Circles end
/// at the number of calls.
async fn reaches(
    context: &Context<'_>,
    who: &Address,
    group: &Address,
    calls: u32,
) -> Result<bool, DirectoryError> {
    let inside = context.directory.foreign_groups_in(group).await?;
    let mut by_forest: BTreeMap<&ForestName, Vec<Address>> = BTreeMap::new();
    for foreign in inside.iter().filter(|foreign| foreign.address != *who) {
        let groups = by_forest.entry(&foreign.forest).or_default();
        groups.push(foreign.address.clone());
    }
    let mut failed = None;
    for (forest, groups) in by_forest {
        for groups in groups.chunks(MOST_AT_ONCE) {
            let question = ForeignQuestion {
                forest,
                who,
                groups,
                calls,
            };
            match context.forests.is_member(question).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // Another forest may still know.
                Err(error) => failed = Some(error),
            }
        }
    }
    failed.map_or(Ok(false), Err)
}

fn answer(is_member: bool) -> IsPrincipalMemberOfResponse {
    IsPrincipalMemberOfResponse { is_member }
}

/// The count of the server that asks first.
const FIRST_CALL: u32 = 1;
/// Groups in one question: the most that a server takes.
const MOST_AT_ONCE: usize = 100;
/// Groups of one content that are looked into.
const MOST_GROUPS: usize = 100;
