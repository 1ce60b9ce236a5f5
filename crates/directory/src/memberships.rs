//! The transitive answer to "who is this?", built once and asked many times.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::lower_case;
use crate::{Address, DirectoryError, ForestName, Sid};

/// Everything one identity is: its own SIDs and addresses, and those of all its groups.
#[derive(Debug, Clone, Default)]
pub struct Memberships {
    /// Few: compared one after another, which beats hashing.
    own_sids: Box<[Sid]>,
    own_addresses: Box<[Address]>,
    /// Shared by all who are in the same groups.
    groups: Arc<Groups>,
    foreign: Arc<[ForeignGroup]>,
}

impl Memberships {
    /// Whether this mail address, in any case, is one of its own or of its groups.
    /// Does not allocate when the query is ASCII and lower-case already.
    pub fn contains_address(&self, address: &str) -> bool {
        let key = lower_case(address);
        self.own_addresses.iter().any(|own| own.key() == key) || self.groups.has_address(&key)
    }

    /// Whether this SID is one of its own or of its groups.
    /// Does not allocate when the query is spelled canonically.
    pub fn contains_sid(&self, sid: &str) -> bool {
        let known = |sid: &str| {
            self.own_sids.iter().any(|own| own.as_str() == sid) || self.groups.sids.contains(sid)
        };
        known(sid)
            || sid
                .parse::<Sid>()
                .is_ok_and(|canonical| known(canonical.as_str()))
    }

    /// Whether it is in the group with this address, in any case. Own addresses do not count.
    pub fn is_in_group(&self, address: &str) -> bool {
        self.groups.has_address(&lower_case(address))
    }

    /// Whether it is in any group at all.
    pub fn is_in_any_group(&self) -> bool {
        !self.groups.sids.is_empty() || !self.groups.addresses.is_empty()
    }

    /// Its own SIDs.
    pub fn own_sids(&self) -> &[Sid] {
        &self.own_sids
    }

    /// Its own addresses, the primary one first.
    pub fn own_addresses(&self) -> &[Address] {
        &self.own_addresses
    }

    /// The SIDs of its groups, in no order.
    pub fn group_sids(&self) -> impl Iterator<Item = &str> {
        self.groups.sids.iter().map(AsRef::as_ref)
    }

    /// The lower-case addresses of its groups, in no order.
    pub fn group_addresses(&self) -> impl Iterator<Item = &str> {
        self.groups.addresses.iter().map(AsRef::as_ref)
    }

    /// Groups of other forests that this directory knows as contact objects. Whether the
    /// identity is in one must be asked of that forest (MS-RMPRS group expansion); if it is,
    /// it is also in every group that `memberships` tells for the contact's address.
    pub fn foreign(&self) -> &[ForeignGroup] {
        &self.foreign
    }

    /// The same groups with further own addresses, as a RAC may hold one the directory has
    /// dropped since. Addresses that are present are not doubled.
    #[must_use]
    pub fn with_own_addresses(&self, further: &[Address]) -> Self {
        let mut own_addresses = self.own_addresses.to_vec();
        for address in further {
            if !own_addresses.contains(address) {
                own_addresses.push(address.clone());
            }
        }
        Self {
            own_addresses: own_addresses.into(),
            ..self.clone()
        }
    }

    /// The same identity in one more group, which another forest knows it to be in.
    pub fn with_group(&self, address: &Address) -> Result<Self, DirectoryError> {
        let mut groups = Groups::default();
        groups.extend(&self.groups)?;
        groups.add(None, Some(address))?;
        Ok(Self {
            groups: Arc::new(groups),
            ..self.clone()
        })
    }

    /// The same groups with one more own SID, unless it is there.
    #[must_use]
    pub(crate) fn with_own_sid(&self, sid: &Sid) -> Self {
        let mut own_sids = self.own_sids.to_vec();
        if !own_sids.contains(sid) {
            own_sids.push(sid.clone());
        }
        Self {
            own_sids: own_sids.into(),
            ..self.clone()
        }
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }
}

/// A contact object that stands for a group of another forest (`msExchOriginatingForest`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForeignGroup {
    /// The group's address, the same in both forests.
    pub address: Address,
    /// The forest to ask.
    pub forest: ForestName,
}

/// Collects what an identity is; for implementations of [`crate::Directory`].
#[derive(Debug, Default)]
pub struct MembershipsBuilder {
    own_sids: Vec<Sid>,
    own_addresses: Vec<Address>,
    groups: Groups,
    foreign: Vec<ForeignGroup>,
}

impl MembershipsBuilder {
    /// Adds an own SID.
    pub fn own_sid(&mut self, sid: Sid) -> &mut Self {
        if !self.own_sids.contains(&sid) {
            self.own_sids.push(sid);
        }
        self
    }

    /// Adds an own address.
    pub fn own_address(&mut self, address: Address) -> &mut Self {
        if !self.own_addresses.contains(&address) {
            self.own_addresses.push(address);
        }
        self
    }

    /// Adds a group by what is known of it. Refused when the identity would be in more groups
    /// than any sane directory has.
    pub fn group(
        &mut self,
        sid: Option<&Sid>,
        address: Option<&Address>,
    ) -> Result<&mut Self, DirectoryError> {
        self.groups.add(sid, address)?;
        Ok(self)
    }

    /// Adds a contact object that another forest must be asked about.
    pub fn foreign(&mut self, group: ForeignGroup) -> &mut Self {
        if !self.foreign.contains(&group) {
            self.foreign.push(group);
        }
        self
    }

    /// The finished answer.
    pub fn build(self) -> Memberships {
        Memberships::assemble(
            self.own_sids,
            self.own_addresses,
            Arc::new(self.groups),
            self.foreign.into(),
        )
    }
}

impl Memberships {
    /// From parts that several identities share.
    pub(crate) fn assemble(
        own_sids: Vec<Sid>,
        own_addresses: Vec<Address>,
        groups: Arc<Groups>,
        foreign: Arc<[ForeignGroup]>,
    ) -> Self {
        Self {
            own_sids: own_sids.into(),
            own_addresses: own_addresses.into(),
            groups,
            foreign,
        }
    }
}

/// SIDs and lower-case addresses of a set of groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    sids: HashSet<Box<str>>,
    addresses: HashSet<Box<str>>,
}

impl Groups {
    pub(crate) fn add(
        &mut self,
        sid: Option<&Sid>,
        address: Option<&Address>,
    ) -> Result<(), DirectoryError> {
        if let Some(sid) = sid {
            self.sids.insert(sid.as_str().into());
        }
        if let Some(address) = address {
            self.addresses.insert(address.key().into());
        }
        self.within_limit()
    }

    pub(crate) fn extend(&mut self, other: &Self) -> Result<(), DirectoryError> {
        self.sids.extend(other.sids.iter().cloned());
        self.addresses.extend(other.addresses.iter().cloned());
        self.within_limit()
    }

    fn within_limit(&self) -> Result<(), DirectoryError> {
        if self.sids.len() > MAX_GROUPS_OF_ONE || self.addresses.len() > MAX_GROUPS_OF_ONE {
            return Err(DirectoryError::LimitExceeded {
                what: "groups of one identity",
            });
        }
        Ok(())
    }

    fn has_address(&self, lower: &str) -> bool {
        self.addresses.contains(lower)
    }
}

/// Windows itself stops at 1,015 groups in a token; distribution groups come on top.
const MAX_GROUPS_OF_ONE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn own_and_group_addresses_are_found_in_any_case() {
        let mut builder = MembershipsBuilder::default();
        builder.own_address(address("Alice@corp.example"));
        builder.own_sid("S-1-5-21-1-2-3-1000".parse().unwrap());
        let sid = "S-1-5-21-1-2-3-2000".parse().unwrap();
        builder
            .group(Some(&sid), Some(&address("Staff@Corp.Example")))
            .unwrap();
        let memberships = builder.build();
        assert!(memberships.contains_address("alice@corp.example"));
        assert!(memberships.contains_address("ALICE@CORP.EXAMPLE"));
        assert!(memberships.contains_address("staff@corp.EXAMPLE"));
        assert!(!memberships.contains_address("bob@corp.example"));
        assert!(!memberships.contains_address(""));
        assert!(memberships.contains_sid("S-1-5-21-1-2-3-1000"));
        assert!(memberships.contains_sid("s-1-5-21-1-2-3-2000"));
        assert!(!memberships.contains_sid("S-1-5-21-1-2-3-1"));
        assert!(!memberships.contains_sid("everyone"));
    }

    #[test]
    fn an_own_address_is_not_a_group() {
        let mut builder = MembershipsBuilder::default();
        builder.own_address(address("super@corp.example"));
        assert!(!builder.build().is_in_group("super@corp.example"));
    }

    #[test]
    fn a_runaway_number_of_groups_is_refused_by_name() {
        let mut builder = MembershipsBuilder::default();
        let error = (0..=MAX_GROUPS_OF_ONE).find_map(|n| {
            builder
                .group(None, Some(&address(&format!("g{n}@x"))))
                .err()
        });
        assert!(matches!(
            error,
            Some(DirectoryError::LimitExceeded {
                what: "groups of one identity"
            })
        ));
    }
}
