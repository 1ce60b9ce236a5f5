//! Who gets what: rights data against one person at one instant (MS-RMPR 3.4.4.1).
//!
//! [`Grant`] can only be made here. The content key is released only against a grant, and only
//! for the content and the key the grant names ([`crate::vault`]).

use openrms_crypto::PublicKey;
use openrms_directory::Memberships;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsData};
use openrms_xrml::time::{Interval, Time};

use crate::vault::ContentTag;

/// The decision that one holder of a RAC may have rights in one content.
#[derive(Debug, Clone)]
pub struct Grant {
    content: ContentTag,
    holder: PublicKey,
    rights: Vec<(Right, TimeCondition)>,
    ground: Ground,
}

/// Why a grant was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// The rights data name the person, a group of theirs, or anyone.
    RightsData,
    /// They are the author.
    Author,
    /// They are in the super users group.
    SuperUser,
}

/// Why no grant was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The rights data name neither the person nor a group of theirs.
    #[error("the rights data grant this person nothing")]
    NoRights,
    /// Everything that was granted is over.
    #[error("the rights ended at {0}")]
    Expired(Time),
    /// Nothing that was granted has begun.
    #[error("the rights begin at {0}")]
    NotYet(Time),
    /// Something about the content must be met that this server does not know.
    #[error("unknown condition {0}")]
    UnknownCondition(String),
}

/// The person asking, as far as the decision needs them.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// The key a grant is for: the RAC's, when it is to open the content.
    pub key: &'a PublicKey,
    /// What the directory says they are, transitively.
    pub memberships: &'a Memberships,
    /// Whether the RAC's SID counts (own domain, or a domain trusted with SIDs).
    pub sid_counts: bool,
    /// Whether they are the author of the content.
    pub is_author: bool,
    /// Whether they are in the super users group, and that group is switched on.
    pub is_super_user: bool,
}

impl Grant {
    /// The content it is for.
    pub(crate) fn content(&self) -> &ContentTag {
        &self.content
    }

    /// The key the content key may be sealed to.
    pub fn holder(&self) -> &PublicKey {
        &self.holder
    }

    /// The rights and when they hold.
    pub fn rights(&self) -> &[(Right, TimeCondition)] {
        &self.rights
    }

    /// Whether its holder may put other rights in the place of those that granted it.
    pub fn may_edit_rights(&self) -> bool {
        let edits = |right: &Right| right.is_owner() || right.name() == EDIT_RIGHTS_DATA;
        self.rights.iter().any(|(right, _)| edits(right))
    }

    /// Why it was made.
    pub fn ground(&self) -> Ground {
        self.ground
    }
}

/// Decides. `published` is the instant from which the content's days are counted.
pub fn evaluate(
    rights: &RightsData,
    content: &ContentTag,
    published: Time,
    requester: &Requester<'_>,
    at: Time,
) -> Result<Grant, Denial> {
    let grant = |rights: Vec<(Right, TimeCondition)>, ground| Grant {
        content: content.clone(),
        holder: requester.key.clone(),
        rights,
        ground,
    };
    let everything = || vec![(Right::new(Right::OWNER), TimeCondition::default())];
    if requester.is_super_user {
        return Ok(grant(everything(), Ground::SuperUser));
    }
    if requester.is_author {
        return Ok(grant(everything(), Ground::Author));
    }
    if let Some(unknown) = rights.unknown_preconditions().first() {
        return Err(Denial::UnknownCondition(unknown.clone()));
    }
    let window = rights.precondition().window(published);
    let mut granted: Vec<(Right, TimeCondition)> = Vec::new();
    let mut denial = Denial::NoRights;
    for entry in rights.grants() {
        if !names(&entry.holder, requester) {
            continue;
        }
        if let Some(unknown) = entry.unknown_conditions.first() {
            denial = Denial::UnknownCondition(unknown.clone());
            continue;
        }
        match open_now(entry, window, at) {
            Ok(time) => add(&mut granted, &entry.right, time),
            Err(why) => denial = why,
        }
    }
    if granted.is_empty() {
        return Err(denial);
    }
    // OWNER without conditions holds every other right (MS-RMPR 2.2.9.9.6).
    if granted
        .iter()
        .any(|(right, time)| right.is_owner() && time.is_none())
    {
        granted = everything();
    }
    Ok(grant(granted, Ground::RightsData))
}

/// Whether a principal of rights data means the requester.
fn names(holder: &Grantee, requester: &Requester<'_>) -> bool {
    match holder {
        Grantee::Anyone => true,
        Grantee::Owner => requester.is_author,
        Grantee::Sid(sid) => requester.sid_counts && requester.memberships.contains_sid(sid),
        Grantee::Address(address) => requester.memberships.contains_address(address),
        Grantee::Unknown(_) => false,
    }
}

/// The time condition a UL must carry, when the right may be exercised at `at`.
fn open_now(
    entry: &RightGrant,
    window: Option<Interval>,
    at: Time,
) -> Result<TimeCondition, Denial> {
    let range = match (entry.time.range, window) {
        (Some(own), Some(all)) => Some(own.intersect(all)),
        (own, all) => own.or(all),
    };
    if let Some(range) = range {
        if at >= range.until || range.from >= range.until {
            return Err(Denial::Expired(range.until));
        }
        if at < range.from {
            return Err(Denial::NotYet(range.from));
        }
    }
    if entry.time.days == Some(0) {
        return Err(Denial::Expired(at));
    }
    Ok(TimeCondition {
        range,
        days: entry.time.days,
    })
}

/// Adds a right, or widens it when it is granted more than once (by name and by group, say).
fn add(granted: &mut Vec<(Right, TimeCondition)>, right: &Right, time: TimeCondition) {
    let reach = |time: &TimeCondition| {
        let until = time.range.map_or(i64::MAX, |range| range.until.unix());
        (until, time.days.unwrap_or(u32::MAX))
    };
    match granted.iter_mut().find(|(have, _)| have == right) {
        Some((_, have)) if reach(&time) > reach(have) => *have = time,
        Some(_) => {}
        None => granted.push((right.clone(), time)),
    }
}

/// The right to change rights data, by the name applications give it.
const EDIT_RIGHTS_DATA: &str = "EDITRIGHTSDATA";
