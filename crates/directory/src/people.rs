//! A people list: the accounts, groups and contacts of an installation that has no directory
//! server. A document that is edited, checked as a whole, and loaded as a [`crate::BuiltIn`].

mod index;

use std::fmt;

use openrms_crypto::password::{self, PasswordError};

use crate::{AccountName, Address, AddressError, ForestName, Sid, SidError};

pub(crate) use index::{Entry, Index};

/// A people list. Every value of this type is consistent: names, SIDs and addresses are unique
/// and every member is in the list. An edit that would break this changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    pub(crate) forest: ForestName,
    /// The short domain name before the backslash of account names.
    pub(crate) domain: Option<String>,
    pub(crate) domain_sid: Sid,
    /// Counted up only: a SID is never given twice, even when its holder is gone.
    pub(crate) next_rid: u32,
    pub(crate) persons: Vec<Person>,
    pub(crate) groups: Vec<Group>,
    pub(crate) contacts: Vec<Contact>,
}

/// A person of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account name; without a domain it is in the list's own.
    pub account: AccountName,
    /// The security identifier.
    pub sid: Sid,
    /// What people call it.
    pub display_name: String,
    /// The primary mail address. Without one there is no RAC.
    pub mail: Option<Address>,
    /// Further addresses.
    pub addresses: Vec<Address>,
    /// Whether it may not sign in.
    pub disabled: bool,
    /// What the password is checked against. Without one nobody signs in by password.
    pub password: Option<PasswordHash>,
    /// When it was created, in seconds since 1970 UTC.
    pub created: Option<i64>,
}

/// A group of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its mail address.
    pub address: Address,
    /// Its security identifier.
    pub sid: Sid,
    /// People, groups and contacts in it. Groups may be in each other, even in circles.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Member {
    /// A person, by account name.
    Account(AccountName),
    /// A person, a group or a contact, by address.
    Address(Address),
}

impl Member {
    /// Reads a member: a text with an `@` is an address, any other an account name.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            text.parse().ok().map(Self::Address)
        } else {
            text.parse().ok().map(Self::Account)
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Someone or some group of another forest, known here by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The address, the same in both forests.
    pub address: Address,
    /// The forest that knows more.
    pub forest: ForestName,
    /// Whether it stands for a group, whose members only the other forest knows.
    pub group: bool,
}

/// A password's hash in its stored form, `$argon2id$...` for one. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a hash that was made elsewhere. The cost in it is checked when it is used.
    pub fn new(text: String) -> Result<Self, PasswordError> {
        if password::is_stored_form(&text) {
            Ok(Self(text))
        } else {
            Err(PasswordError::Malformed)
        }
    }

    /// Hashes a password, slowly.
    pub fn of(password: &str) -> Result<Self, PeopleError> {
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(PeopleError::PasswordLength);
        }
        Ok(Self(password::hash(password.as_bytes())?))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A person to be added; the SID is given by the list.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// The account name.
    pub account: AccountName,
    /// What people call it.
    pub display_name: String,
    /// The primary mail address.
    pub mail: Option<Address>,
    /// Further addresses.
    pub addresses: Vec<Address>,
    /// When, in seconds since 1970 UTC.
    pub created: Option<i64>,
}

impl People {
    /// An empty list. `random` makes the SIDs of this list differ from those of all others;
    /// it is used once and need not be kept.
    pub fn new(
        forest: ForestName,
        domain: Option<&str>,
        random: [u32; 3],
    ) -> Result<Self, PeopleError> {
        let [a, b, c] = random;
        let text = format!("S-1-5-21-{a}-{b}-{c}");
        let domain_sid = text.parse().map_err(|reason| PeopleError::BadSid {
            of: "the domain".to_owned(),
            text,
            reason,
        })?;
        let list = Self {
            forest,
            domain: domain.map(str::to_owned),
            domain_sid,
            next_rid: FIRST_RID,
            persons: Vec::new(),
            groups: Vec::new(),
            contacts: Vec::new(),
        };
        list.checked()
    }

    /// The forest the list stands for.
    pub fn forest(&self) -> &ForestName {
        &self.forest
    }

    /// The people, in the order of the file.
    pub fn people(&self) -> &[Person] {
        &self.persons
    }

    /// The groups, in the order of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The contacts, in the order of the file.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// Adds a person and returns its SID.
    pub fn add_person(&mut self, new: NewPerson) -> Result<Sid, PeopleError> {
        self.edit(|list| {
            let sid = list.next_sid()?;
            list.persons.push(Person {
                account: new.account,
                sid: sid.clone(),
                display_name: new.display_name,
                mail: new.mail,
                addresses: new.addresses,
                disabled: false,
                password: None,
                created: new.created,
            });
            Ok(sid)
        })
    }

    /// Adds an empty group and returns its SID.
    pub fn add_group(&mut self, address: Address) -> Result<Sid, PeopleError> {
        self.edit(|list| {
            let sid = list.next_sid()?;
            list.groups.push(Group {
                address,
                sid: sid.clone(),
                members: Vec::new(),
            });
            Ok(sid)
        })
    }

    /// Adds a contact for someone or some group of another forest.
    pub fn add_contact(&mut self, contact: Contact) -> Result<(), PeopleError> {
        self.edit(|list| {
            list.contacts.push(contact);
            Ok(())
        })
    }

    /// Puts somebody into a group; being there already is fine.
    pub fn add_member(&mut self, group: &Address, member: Member) -> Result<(), PeopleError> {
        self.edit(|list| {
            let group = list.group_mut(group)?;
            if !group.members.contains(&member) {
                group.members.push(member);
            }
            Ok(())
        })
    }

    /// Takes somebody out of a group, however it is spelled there.
    pub fn remove_member(&mut self, group: &Address, member: &Member) -> Result<(), PeopleError> {
        self.edit(|list| {
            let target = list.index()?.find(member);
            let index = list.index()?;
            let kept: Vec<Member> = list
                .groups
                .iter()
                .find(|candidate| candidate.address == *group)
                .ok_or_else(|| unknown(group))?
                .members
                .iter()
                .filter(|candidate| target.is_none() || index.find(candidate) != target)
                .cloned()
                .collect();
            let group = list.group_mut(group)?;
            if kept.len() == group.members.len() {
                return Err(unknown(member));
            }
            group.members = kept;
            Ok(())
        })
    }

    /// Removes a person, a group or a contact, also from all groups.
    pub fn remove(&mut self, what: &Member) -> Result<(), PeopleError> {
        self.edit(|list| {
            let target = list.index()?.find(what).ok_or_else(|| unknown(what))?;
            let index = list.index()?;
            let members: Vec<Vec<Member>> = list
                .groups
                .iter()
                .map(|group| {
                    let stays = |member: &&Member| index.find(member) != Some(target);
                    group.members.iter().filter(stays).cloned().collect()
                })
                .collect();
            for (group, kept) in list.groups.iter_mut().zip(members) {
                group.members = kept;
            }
            match target {
                Entry::Person(position) => drop(list.persons.remove(position)),
                Entry::Group(position) => drop(list.groups.remove(position)),
                Entry::Contact(position) => drop(list.contacts.remove(position)),
            }
            Ok(())
        })
    }

    /// Gives a person a password.
    pub fn set_password(&mut self, who: &Member, password: &str) -> Result<(), PeopleError> {
        let position = self.person_position(who)?;
        let hash = PasswordHash::of(password)?;
        if let Some(person) = self.persons.get_mut(position) {
            person.password = Some(hash);
        }
        Ok(())
    }

    /// Lets a person sign in, or not any more.
    pub fn set_disabled(&mut self, who: &Member, disabled: bool) -> Result<(), PeopleError> {
        let position = self.person_position(who)?;
        if let Some(person) = self.persons.get_mut(position) {
            person.disabled = disabled;
        }
        Ok(())
    }

    /// Passes the list on if it is consistent.
    pub(crate) fn checked(mut self) -> Result<Self, PeopleError> {
        self.index()?.check_members(&self)?;
        if let Some(domain) = &self.domain {
            let is_name = domain
                .parse::<AccountName>()
                .is_ok_and(|name| name.domain().is_none());
            if !is_name {
                return Err(PeopleError::BadName {
                    name: domain.clone(),
                });
            }
        }
        // A list written by hand may not have counted.
        let sids = self
            .persons
            .iter()
            .map(|p| &p.sid)
            .chain(self.groups.iter().map(|g| &g.sid));
        let highest = sids
            .filter_map(Sid::split_relative_id)
            .filter(|(domain, _)| *domain == self.domain_sid.as_str())
            .map(|(_, relative_id)| relative_id)
            .max();
        if let Some(highest) = highest {
            self.next_rid = self.next_rid.max(highest.saturating_add(1));
        }
        Ok(self)
    }

    pub(crate) fn index(&self) -> Result<Index, PeopleError> {
        Index::of(self)
    }

    /// `DOMAIN\user` where there is a domain.
    pub(crate) fn full_name(&self, account: &AccountName) -> AccountName {
        match (account.domain(), &self.domain) {
            (None, Some(domain)) => format!("{domain}\\{account}")
                .parse()
                .unwrap_or_else(|_| account.clone()),
            _ => account.clone(),
        }
    }

    fn edit<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        let mut changed = self.clone();
        let answer = change(&mut changed)?;
        *self = changed.checked()?;
        Ok(answer)
    }

    fn next_sid(&mut self) -> Result<Sid, PeopleError> {
        let relative_id = self.next_rid;
        self.next_rid = relative_id.checked_add(1).ok_or(PeopleError::Limit {
            what: "relative identifiers",
        })?;
        self.domain_sid
            .child(relative_id)
            .map_err(|reason| PeopleError::BadSid {
                of: "the domain".to_owned(),
                text: self.domain_sid.to_string(),
                reason,
            })
    }

    fn group_mut(&mut self, address: &Address) -> Result<&mut Group, PeopleError> {
        self.groups
            .iter_mut()
            .find(|group| group.address == *address)
            .ok_or_else(|| unknown(address))
    }

    fn person_position(&self, who: &Member) -> Result<usize, PeopleError> {
        match self.index()?.find(who) {
            Some(Entry::Person(position)) => Ok(position),
            _ => Err(unknown(who)),
        }
    }
}

/// What is wrong with a people list, or with an edit of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// Not TOML, or not the fields of a people list.
    #[error("not a people list: {message}")]
    Syntax {
        /// Where and what.
        message: String,
    },
    /// A SID is not one.
    #[error("the SID {text:?} of {of} is wrong: {reason}")]
    BadSid {
        /// Whose it is.
        of: String,
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: SidError,
    },
    /// An address is not one.
    #[error("the address {text:?} of {of} is wrong: {reason}")]
    BadAddress {
        /// Whose it is.
        of: String,
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: AddressError,
    },
    /// An account or domain name is not one.
    #[error("{name:?} is not an account or domain name")]
    BadName {
        /// What was written.
        name: String,
    },
    /// A forest is not a DNS name.
    #[error("{name:?} is not the DNS name of a forest")]
    BadForest {
        /// What was written.
        name: String,
    },
    /// Two people have the same account name.
    #[error("the account {account} is there twice")]
    DuplicateAccount {
        /// Which.
        account: AccountName,
    },
    /// An address is used twice, by whomever.
    #[error("the address {address} is used twice")]
    DuplicateAddress {
        /// Which.
        address: Address,
    },
    /// A SID is used twice.
    #[error("the SID {sid} is used twice")]
    DuplicateSid {
        /// Which.
        sid: Sid,
    },
    /// A member is not in the list.
    #[error("the group {group} has a member that is not in the list: {member}")]
    UnknownMember {
        /// The group.
        group: Address,
        /// The member as written.
        member: String,
    },
    /// What was to be edited is not in the list.
    #[error("{name} is not in the list")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A password hash is not in its stored form, or hashing failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A password is empty or too long.
    #[error("a password must have between 1 and {MAX_PASSWORD} bytes")]
    PasswordLength,
    /// The list exceeds a limit.
    #[error("the people list has too many {what}")]
    Limit {
        /// Of what there are too many.
        what: &'static str,
    },
}

fn unknown(what: &dyn fmt::Display) -> PeopleError {
    PeopleError::Unknown {
        name: what.to_string(),
    }
}

/// The longest password that is hashed.
pub(crate) const MAX_PASSWORD: usize = 1024;
/// Windows gives lower ones to built-in accounts.
const FIRST_RID: u32 = 1101;
