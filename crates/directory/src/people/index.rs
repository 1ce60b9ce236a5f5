//! Entries of a people list by name, address and SID, each of which one entry has.

use std::collections::{HashMap, HashSet};

use super::{Member, People, PeopleError};
use crate::{AccountName, Address, Sid};

/// One entry of a list, by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    Person(usize),
    Group(usize),
    Contact(usize),
}

/// Finds entries by name, address and SID, all in lower case or canonical spelling.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) names: HashMap<String, Entry>,
    pub(crate) addresses: HashMap<String, Entry>,
    pub(crate) sids: HashMap<String, Entry>,
}

impl Index {
    pub(super) fn of(list: &People) -> Result<Self, PeopleError> {
        if list.persons.len() > MAX_PEOPLE {
            return Err(PeopleError::Limit { what: "people" });
        }
        if list.groups.len() > MAX_GROUPS || list.contacts.len() > MAX_PEOPLE {
            return Err(PeopleError::Limit {
                what: "groups or contacts",
            });
        }
        let mut index = Self::default();
        for (position, person) in list.persons.iter().enumerate() {
            let entry = Entry::Person(position);
            for key in name_keys(list, &person.account) {
                if index
                    .names
                    .insert(key, entry)
                    .is_some_and(|other| other != entry)
                {
                    return Err(PeopleError::DuplicateAccount {
                        account: person.account.clone(),
                    });
                }
            }
            index.add_sid(&person.sid, entry)?;
            for address in person.mail.iter().chain(&person.addresses) {
                index.add_address(address, entry)?;
            }
        }
        for (position, group) in list.groups.iter().enumerate() {
            index.add_sid(&group.sid, Entry::Group(position))?;
            index.add_address(&group.address, Entry::Group(position))?;
        }
        for (position, contact) in list.contacts.iter().enumerate() {
            index.add_address(&contact.address, Entry::Contact(position))?;
        }
        Ok(index)
    }

    pub(crate) fn find(&self, member: &Member) -> Option<Entry> {
        match member {
            Member::Account(account) => self.names.get(account.key()).copied(),
            Member::Address(address) => self.addresses.get(address.key()).copied(),
        }
    }

    pub(super) fn check_members(&self, list: &People) -> Result<(), PeopleError> {
        let mut count = 0_usize;
        for group in &list.groups {
            count = count.saturating_add(group.members.len());
            if let Some(member) = group
                .members
                .iter()
                .find(|member| self.find(member).is_none())
            {
                return Err(PeopleError::UnknownMember {
                    group: group.address.clone(),
                    member: member.to_string(),
                });
            }
        }
        if count > MAX_MEMBERS {
            Err(PeopleError::Limit { what: "members" })
        } else {
            Ok(())
        }
    }

    fn add_sid(&mut self, sid: &Sid, entry: Entry) -> Result<(), PeopleError> {
        match self.sids.insert(sid.as_str().to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(PeopleError::DuplicateSid { sid: sid.clone() }),
        }
    }

    fn add_address(&mut self, address: &Address, entry: Entry) -> Result<(), PeopleError> {
        match self.addresses.insert(address.key().to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(PeopleError::DuplicateAddress {
                address: address.clone(),
            }),
        }
    }
}

/// `domain\user`, and `user` alone for people of the list's own domain.
fn name_keys(list: &People, account: &AccountName) -> HashSet<String> {
    let full = list.full_name(account);
    let mut keys = HashSet::from([full.key().to_owned()]);
    let own = list.domain.as_deref().map(str::to_lowercase);
    if full.domain().map(str::to_lowercase) == own {
        keys.insert(full.user().to_lowercase());
    }
    keys
}

const MAX_PEOPLE: usize = 100_000;
const MAX_GROUPS: usize = 20_000;
const MAX_MEMBERS: usize = 2_000_000;
