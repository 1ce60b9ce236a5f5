//! Groups of other forests inside a group, found by walking downwards. The members themselves are
//! not read, of whom there may be very many: the directory is asked for the groups and contacts
//! that are in a group, level by level.

use std::collections::HashSet;

use super::finder::Finder;
use super::object::Kind;
use crate::{Address, DirectoryError, ForeignGroup};

/// See [`crate::Directory::foreign_groups_in`].
pub(super) async fn foreign_groups(
    finder: &Finder,
    group: &Address,
) -> Result<Vec<ForeignGroup>, DirectoryError> {
    let Some(start) = finder.by_address(group).await? else {
        return Ok(Vec::new());
    };
    let home = finder.pool().forest();
    let settings = finder.pool().settings();
    let mut known = HashSet::from([start.guid]);
    let mut level = vec![start];
    let mut foreign: Vec<ForeignGroup> = Vec::new();
    let mut depth = 0_usize;
    while !level.is_empty() {
        depth += 1;
        if depth > settings.nesting_depth {
            return Err(DirectoryError::LimitExceeded {
                what: "levels of nested groups",
            });
        }
        let mut next = Vec::new();
        for object in level {
            match object.kind {
                Kind::Group => {
                    for inside in finder.groups_and_contacts_in(&object.dn).await? {
                        if known.insert(inside.guid) {
                            next.push(inside);
                        }
                    }
                }
                Kind::Contact => {
                    let forest = object.forest(home).filter(|forest| forest != home);
                    if let (Some(address), Some(forest)) = (object.addresses().next(), forest) {
                        foreign.push(ForeignGroup {
                            address: address.clone(),
                            forest,
                        });
                    }
                }
                _ => {}
            }
            if known.len() > settings.groups_of_one {
                return Err(DirectoryError::LimitExceeded {
                    what: "groups in one group",
                });
            }
        }
        level = next;
    }
    Ok(foreign)
}
