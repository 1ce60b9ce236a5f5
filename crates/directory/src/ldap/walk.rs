//! The groups somebody is in, found by walking `memberOf` upwards, level by level. This finds
//! security and distribution groups alike, which no attribute of Active Directory does
//! (`tokenGroups` holds security groups only), and needs no index but that of the DN.

use std::collections::{HashSet, VecDeque};

use tokio::task::JoinSet;

use super::finder::Finder;
use super::object::{Kind, Object};
use crate::{DirectoryError, Identity, Memberships, MembershipsBuilder, Sid};

/// Everything `who` is; see [`crate::Directory::memberships`] for the rule.
pub(super) async fn memberships(
    finder: &Finder,
    who: &Identity,
) -> Result<Memberships, DirectoryError> {
    let starts = starts(finder, who).await?;
    let mut builder = MembershipsBuilder::default();
    if let Some(sid) = &who.sid {
        builder.own_sid(sid.clone());
    }
    for object in &starts {
        for sid in object.sid.iter().chain(&object.sid_history) {
            builder.own_sid(sid.clone());
        }
        for address in object.addresses() {
            builder.own_address(address.clone());
        }
    }
    for address in &who.addresses {
        builder.own_address(address.clone());
    }
    for group in groups_above(finder, &starts, &mut builder).await? {
        for sid in group.sid.iter().chain(&group.sid_history) {
            builder.group(Some(sid), None)?;
        }
        for address in group.addresses() {
            builder.group(None, Some(address))?;
        }
    }
    Ok(builder.build())
}

/// The objects whose groups an identity has.
async fn starts(finder: &Finder, who: &Identity) -> Result<Vec<Object>, DirectoryError> {
    let mut starts = Vec::new();
    if let Some(sid) = &who.sid
        && let Some(object) = finder.by_sid(sid).await?
    {
        let foreign = object.kind == Kind::ForeignPrincipal;
        starts.push(object);
        // Somebody of another forest may have a contact here as well.
        if !foreign {
            return Ok(starts);
        }
    }
    for address in &who.addresses {
        match finder.by_address(address).await? {
            // Known by another SID: the address may have changed hands.
            Some(object) if who.sid.is_some() && object.kind != Kind::Contact => {}
            Some(object) if starts.iter().all(|known| known.guid != object.guid) => {
                starts.push(object);
            }
            _ => {}
        }
    }
    Ok(starts)
}

/// All groups above some objects, each once.
async fn groups_above(
    finder: &Finder,
    starts: &[Object],
    builder: &mut MembershipsBuilder,
) -> Result<Vec<Object>, DirectoryError> {
    let settings = finder.pool().settings();
    let mut asked = HashSet::new();
    let mut known = HashSet::new();
    let mut groups = Vec::new();
    let mut level = Vec::new();
    for start in starts {
        level.extend(start.member_of.iter().cloned().map(Pointer::Dn));
        if let Some(primary) = start.primary_group() {
            // In it by its SID, even if the group cannot be read.
            builder.group(Some(&primary), None)?;
            level.push(Pointer::Sid(primary));
        }
    }
    let mut depth = 0_usize;
    loop {
        level.retain(|pointer| asked.insert(pointer.key()));
        if level.is_empty() {
            return Ok(groups);
        }
        depth += 1;
        if depth > settings.nesting_depth {
            return Err(DirectoryError::LimitExceeded {
                what: "levels of nested groups",
            });
        }
        if asked.len() > settings.groups_of_one {
            return Err(DirectoryError::LimitExceeded {
                what: "groups of one identity",
            });
        }
        let found = read_all(finder, std::mem::take(&mut level)).await?;
        for group in found {
            if group.kind == Kind::Group && known.insert(group.guid) {
                level.extend(group.member_of.iter().cloned().map(Pointer::Dn));
                groups.push(group);
            }
        }
    }
}

/// How a group is referred to.
enum Pointer {
    Dn(String),
    Sid(Sid),
}

impl Pointer {
    /// DNs differ in case depending on who wrote them.
    fn key(&self) -> String {
        match self {
            Self::Dn(dn) => dn.to_lowercase(),
            Self::Sid(sid) => sid.to_string(),
        }
    }
}

/// Reads the objects of one level, several at a time.
async fn read_all(finder: &Finder, level: Vec<Pointer>) -> Result<Vec<Object>, DirectoryError> {
    let mut waiting = VecDeque::from(level);
    let mut in_flight = JoinSet::new();
    let mut found = Vec::new();
    loop {
        while in_flight.len() < AT_ONCE
            && let Some(pointer) = waiting.pop_front()
        {
            let finder = finder.clone();
            in_flight.spawn(async move {
                match pointer {
                    Pointer::Dn(dn) => finder.by_dn(dn).await,
                    Pointer::Sid(sid) => finder.by_sid(&sid).await,
                }
            });
        }
        match in_flight.join_next().await {
            Some(Ok(object)) => found.extend(object?),
            Some(Err(_)) => return Err(finder.pool().broken()),
            None => return Ok(found),
        }
    }
}

/// Enough to hide the way to the server and back, few enough not to crowd others out.
const AT_ONCE: usize = 8;
