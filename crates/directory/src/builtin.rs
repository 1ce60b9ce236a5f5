//! The built-in directory: a people list, expanded once when it is loaded. Answers are look-ups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::memberships::Groups;
use crate::people::{Entry, Index};
use crate::sign_in::{Credential, PasswordCheck};
use crate::{
    Account, AccountRef, Address, Directory, DirectoryError, ForeignGroup, ForestName, Identity,
    Memberships, People, PeopleError, Person, SignInError,
};

/// A directory that holds all it knows in memory. It does not change: to change people, edit
/// the [`People`] list and load it anew.
#[derive(Debug)]
pub struct BuiltIn {
    list: People,
    index: Index,
    accounts: Vec<Account>,
    memberships: HashMap<Entry, Arc<Memberships>>,
    foreign: Arc<[ForeignGroup]>,
    passwords: PasswordCheck,
}

impl BuiltIn {
    /// Loads a people list.
    pub fn new(list: People) -> Result<Self, PeopleError> {
        let index = list.index()?;
        let foreign = foreign_groups(&list);
        let memberships = expand(&list, &index, &foreign)?;
        let accounts = list
            .persons
            .iter()
            .map(|person| account(&list, person))
            .collect();
        let example = list
            .persons
            .iter()
            .find_map(|person| person.password.clone());
        let passwords = PasswordCheck::new(example)?;
        Ok(Self {
            list,
            index,
            accounts,
            memberships,
            foreign,
            passwords,
        })
    }

    /// Loads a people list from its file's text.
    pub fn from_toml(text: &str) -> Result<Self, PeopleError> {
        Self::new(People::from_toml(text)?)
    }

    /// The people list as a file's text.
    pub fn to_toml(&self) -> Result<String, PeopleError> {
        self.list.to_toml()
    }

    /// The people list, to be edited as a copy.
    pub fn people(&self) -> &People {
        &self.list
    }

    /// Checks a password for an account name (`DOMAIN\user` or `user`) or mail address.
    ///
    /// Blocks for as long as the hash takes, tens of milliseconds: not to be called on a thread
    /// that serves others. It takes as long for an account that does not exist. A right
    /// password is remembered for a few minutes, in a form that does not reveal it.
    pub fn check_password(
        &self,
        name_or_mail: &str,
        password: &str,
    ) -> Result<Account, SignInError> {
        self.check_password_at(name_or_mail, password, Instant::now())
    }

    /// As [`BuiltIn::check_password`], at a given instant.
    pub fn check_password_at(
        &self,
        name_or_mail: &str,
        password: &str,
        now: Instant,
    ) -> Result<Account, SignInError> {
        let entry = AccountRef::parse(name_or_mail).and_then(|who| self.find(&who));
        let known = match entry {
            Some(Entry::Person(position)) => self
                .list
                .persons
                .get(position)
                .zip(self.accounts.get(position)),
            _ => None,
        };
        let credential = known.map(|(person, _)| Credential {
            identifier: person.sid.as_str(),
            hash: person.password.as_ref(),
            disabled: person.disabled,
        });
        self.passwords.check(credential, password, now)?;
        known
            .map(|(_, account)| account.clone())
            .ok_or(SignInError::Refused)
    }

    fn find(&self, who: &AccountRef) -> Option<Entry> {
        match who {
            AccountRef::Sid(sid) => self.index.sids.get(sid.as_str()),
            AccountRef::Name(name) => self.index.names.get(name.key()),
            AccountRef::Address(address) => self.index.addresses.get(address.key()),
        }
        .copied()
    }

    /// The entries whose groups an identity has; see [`Directory::memberships`] for the rule.
    fn entries(&self, who: &Identity) -> Vec<Entry> {
        let by_sid = who
            .sid
            .as_ref()
            .and_then(|sid| self.index.sids.get(sid.as_str()));
        if let Some(entry) = by_sid {
            return vec![*entry];
        }
        let mut entries = Vec::new();
        for address in &who.addresses {
            match self.index.addresses.get(address.key()) {
                // Known by another SID: the address may have changed hands.
                Some(Entry::Person(_) | Entry::Group(_)) if who.sid.is_some() => {}
                Some(entry) if !entries.contains(entry) => entries.push(*entry),
                _ => {}
            }
        }
        entries
    }

    fn combine(&self, entries: &[Entry], who: &Identity) -> Result<Memberships, DirectoryError> {
        let mut own_sids = Vec::from_iter(who.sid.clone());
        let mut own_addresses = Vec::new();
        let mut groups = Groups::default();
        for known in entries
            .iter()
            .filter_map(|entry| self.memberships.get(entry))
        {
            for sid in known.own_sids() {
                if !own_sids.contains(sid) {
                    own_sids.push(sid.clone());
                }
            }
            own_addresses.extend_from_slice(known.own_addresses());
            groups.extend(known.groups())?;
        }
        let foreign = Arc::clone(&self.foreign);
        Ok(
            Memberships::assemble(own_sids, own_addresses, Arc::new(groups), foreign)
                .with_own_addresses(&who.addresses),
        )
    }
}

#[async_trait]
impl Directory for BuiltIn {
    async fn account(&self, who: &AccountRef) -> Result<Option<Account>, DirectoryError> {
        Ok(match self.find(who) {
            Some(Entry::Person(position)) => self.accounts.get(position).cloned(),
            _ => None,
        })
    }

    async fn memberships(&self, who: &Identity) -> Result<Arc<Memberships>, DirectoryError> {
        let entries = self.entries(who);
        if let [entry] = entries.as_slice()
            && let Some(known) = self.memberships.get(entry)
        {
            let sid_is_own = who
                .sid
                .as_ref()
                .is_none_or(|sid| known.own_sids().contains(sid));
            let is_own = |address| known.own_addresses().contains(address);
            if sid_is_own && who.addresses.iter().all(is_own) {
                return Ok(Arc::clone(known));
            }
            // The same groups, without copying them.
            let mut extended = known.with_own_addresses(&who.addresses);
            if let Some(sid) = &who.sid {
                extended = extended.with_own_sid(sid);
            }
            return Ok(Arc::new(extended));
        }
        Ok(Arc::new(self.combine(&entries, who)?))
    }

    fn home_forest(&self) -> &ForestName {
        &self.list.forest
    }

    async fn forest_of(&self, who: &AccountRef) -> Result<Option<ForestName>, DirectoryError> {
        Ok(match self.find(who) {
            Some(Entry::Person(_) | Entry::Group(_)) => Some(self.list.forest.clone()),
            Some(Entry::Contact(position)) => self
                .list
                .contacts
                .get(position)
                .map(|contact| contact.forest.clone()),
            None => None,
        })
    }

    async fn foreign_groups_in(
        &self,
        group: &Address,
    ) -> Result<Arc<[ForeignGroup]>, DirectoryError> {
        if self.foreign.is_empty() {
            return Ok(Arc::clone(&self.foreign));
        }
        let mut found = Vec::new();
        let mut known = HashSet::new();
        let mut waiting = Vec::from_iter(self.index.addresses.get(group.key()).copied());
        while let Some(entry) = waiting.pop() {
            if !known.insert(entry) {
                continue;
            }
            match entry {
                Entry::Group(position) => {
                    let group = self.list.groups.get(position);
                    let members = group.iter().flat_map(|group| &group.members);
                    waiting.extend(members.filter_map(|member| self.index.find(member)));
                }
                Entry::Contact(position) => {
                    let contact = self.list.contacts.get(position);
                    found.extend(contact.filter(|contact| contact.group).map(|contact| {
                        ForeignGroup {
                            address: contact.address.clone(),
                            forest: contact.forest.clone(),
                        }
                    }));
                }
                Entry::Person(_) => {}
            }
        }
        Ok(found.into())
    }
}

fn account(list: &People, person: &Person) -> Account {
    Account {
        sid: person.sid.clone(),
        name: list.full_name(&person.account),
        display_name: person.display_name.clone(),
        mail: person.mail.clone(),
        proxy_addresses: person.addresses.clone(),
        enabled: !person.disabled,
        forest: list.forest.clone(),
        created: person.created,
    }
}

fn foreign_groups(list: &People) -> Arc<[ForeignGroup]> {
    list.contacts
        .iter()
        .filter(|contact| contact.group)
        .map(|contact| ForeignGroup {
            address: contact.address.clone(),
            forest: contact.forest.clone(),
        })
        .collect()
}

/// What every entry is, transitively. Those who are in the same groups share one set.
fn expand(
    list: &People,
    index: &Index,
    foreign: &Arc<[ForeignGroup]>,
) -> Result<HashMap<Entry, Arc<Memberships>>, PeopleError> {
    let mut parents: HashMap<Entry, Vec<usize>> = HashMap::new();
    for (position, group) in list.groups.iter().enumerate() {
        for member in group.members.iter().filter_map(|member| index.find(member)) {
            let of_member = parents.entry(member).or_default();
            // Positions come in order, so a doubled member is next to itself.
            if of_member.last() != Some(&position) {
                of_member.push(position);
            }
        }
    }
    let people = list.persons.iter().enumerate().map(|(position, person)| {
        let addresses = person
            .mail
            .iter()
            .chain(&person.addresses)
            .cloned()
            .collect();
        (Entry::Person(position), vec![person.sid.clone()], addresses)
    });
    let groups = list.groups.iter().enumerate().map(|(position, group)| {
        (
            Entry::Group(position),
            vec![group.sid.clone()],
            vec![group.address.clone()],
        )
    });
    let contacts = list.contacts.iter().enumerate().map(|(position, contact)| {
        (
            Entry::Contact(position),
            Vec::new(),
            vec![contact.address.clone()],
        )
    });
    let mut shared: HashMap<&[usize], Arc<Groups>> = HashMap::new();
    let mut total = 0_usize;
    let mut expanded = HashMap::new();
    for (entry, own_sids, own_addresses) in people.chain(groups).chain(contacts) {
        let direct = parents.get(&entry).map_or(&[][..], Vec::as_slice);
        let groups = if let Some(known) = shared.get(direct) {
            Arc::clone(known)
        } else {
            let closure = Arc::new(closure(list, &parents, direct, &mut total)?);
            shared.insert(direct, Arc::clone(&closure));
            closure
        };
        let memberships =
            Memberships::assemble(own_sids, own_addresses, groups, Arc::clone(foreign));
        expanded.insert(entry, Arc::new(memberships));
    }
    Ok(expanded)
}

/// All groups above some groups, these included.
fn closure(
    list: &People,
    parents: &HashMap<Entry, Vec<usize>>,
    direct: &[usize],
    total: &mut usize,
) -> Result<Groups, PeopleError> {
    let mut groups = Groups::default();
    let mut visited: HashSet<usize> = direct.iter().copied().collect();
    let mut level: Vec<usize> = direct.to_vec();
    let mut depth = 0_usize;
    while !level.is_empty() {
        depth += 1;
        if depth > MAX_DEPTH {
            return Err(PeopleError::Limit {
                what: "levels of nested groups",
            });
        }
        let mut above = Vec::new();
        for position in level {
            let Some(group) = list.groups.get(position) else {
                continue;
            };
            groups
                .add(Some(&group.sid), Some(&group.address))
                .map_err(|_| PeopleError::Limit {
                    what: "groups of one member",
                })?;
            *total += 1;
            if *total > MAX_TOTAL {
                return Err(PeopleError::Limit {
                    what: "memberships",
                });
            }
            let next = parents.get(&Entry::Group(position)).into_iter().flatten();
            above.extend(next.copied().filter(|&parent| visited.insert(parent)));
        }
        level = above;
    }
    Ok(groups)
}

const MAX_DEPTH: usize = 100;
/// Across all entries, shared sets counted once: some 500 MB at most.
const MAX_TOTAL: usize = 2_000_000;
