//! Questions and answers as bytes. Answers are JSON; changing what it looks like needs new
//! purposes in [`super::AnswerSeal`], so that older answers are no longer opened.

use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    Account, AccountRef, Address, ForeignGroup, ForestName, Identity, Memberships,
    MembershipsBuilder,
};

/// What can be asked: equal questions have equal parts, different ones of a kind have not.
pub(super) trait Question: Clone + Eq + Hash {
    fn parts(&self) -> Vec<&str>;
}

/// What can be answered.
pub(super) trait Answer: Clone {
    fn to_bytes(&self) -> Option<Vec<u8>>;

    /// `None` when nobody can have answered that.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Question for AccountRef {
    fn parts(&self) -> Vec<&str> {
        match self {
            Self::Sid(sid) => vec!["sid", sid.as_str()],
            Self::Name(name) => vec!["name", name.key()],
            Self::Address(address) => vec!["address", address.key()],
        }
    }
}

impl Question for Identity {
    fn parts(&self) -> Vec<&str> {
        let sid = self.sid.as_ref().map_or("", |sid| sid.as_str());
        let addresses = self.addresses.iter().map(Address::key);
        std::iter::once(sid).chain(addresses).collect()
    }
}

impl Question for Address {
    fn parts(&self) -> Vec<&str> {
        vec![self.key()]
    }
}

impl Question for (ForestName, Address, Vec<Address>) {
    fn parts(&self) -> Vec<&str> {
        let (forest, who, groups) = self;
        let groups = groups.iter().map(Address::key);
        [forest.as_str(), who.key()]
            .into_iter()
            .chain(groups)
            .collect()
    }
}

impl Answer for Option<Account> {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        json(&self.as_ref().map(AccountForm::of))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match read::<Option<AccountForm<'_>>>(bytes)? {
            Some(form) => form.account().map(Some),
            None => Some(None),
        }
    }
}

impl Answer for Option<ForestName> {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        json(&self.as_ref().map(ForestName::as_str))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

impl Answer for Arc<Memberships> {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        json(&MembershipsForm::of(self))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        read::<MembershipsForm<'_>>(bytes)?
            .memberships()
            .map(Arc::new)
    }
}

impl Answer for Arc<[ForeignGroup]> {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        json(&self.iter().map(ForeignForm::of).collect::<Vec<_>>())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let forms: Vec<ForeignForm<'_>> = read(bytes)?;
        forms.iter().map(ForeignForm::group).collect()
    }
}

impl Answer for bool {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        json(self)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        read(bytes)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountForm<'a> {
    sid: Cow<'a, str>,
    name: Cow<'a, str>,
    display_name: Cow<'a, str>,
    mail: Option<Cow<'a, str>>,
    proxy_addresses: Vec<Cow<'a, str>>,
    enabled: bool,
    forest: Cow<'a, str>,
    created: Option<i64>,
}

impl<'a> AccountForm<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            sid: account.sid.as_str().into(),
            name: account.name.as_str().into(),
            display_name: account.display_name.as_str().into(),
            mail: account.mail.as_ref().map(|mail| mail.as_str().into()),
            proxy_addresses: texts(account.proxy_addresses.iter().map(Address::as_str)),
            enabled: account.enabled,
            forest: account.forest.as_str().into(),
            created: account.created,
        }
    }

    fn account(self) -> Option<Account> {
        let mail = self.mail.map(|mail| mail.parse()).transpose();
        Some(Account {
            sid: self.sid.parse().ok()?,
            name: self.name.parse().ok()?,
            display_name: self.display_name.into_owned(),
            mail: mail.ok()?,
            proxy_addresses: parsed(&self.proxy_addresses)?,
            enabled: self.enabled,
            forest: self.forest.parse().ok()?,
            created: self.created,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipsForm<'a> {
    own_sids: Vec<Cow<'a, str>>,
    own_addresses: Vec<Cow<'a, str>>,
    group_sids: Vec<Cow<'a, str>>,
    group_addresses: Vec<Cow<'a, str>>,
    foreign: Vec<ForeignForm<'a>>,
}

impl<'a> MembershipsForm<'a> {
    fn of(memberships: &'a Memberships) -> Self {
        let foreign = memberships.foreign().iter().map(ForeignForm::of);
        Self {
            own_sids: texts(memberships.own_sids().iter().map(crate::Sid::as_str)),
            own_addresses: texts(memberships.own_addresses().iter().map(Address::as_str)),
            group_sids: texts(memberships.group_sids()),
            group_addresses: texts(memberships.group_addresses()),
            foreign: foreign.collect(),
        }
    }

    fn memberships(&self) -> Option<Memberships> {
        let mut builder = MembershipsBuilder::default();
        for sid in &self.own_sids {
            builder.own_sid(sid.parse().ok()?);
        }
        for address in &self.own_addresses {
            builder.own_address(address.parse().ok()?);
        }
        for sid in &self.group_sids {
            builder.group(Some(&sid.parse().ok()?), None).ok()?;
        }
        for address in &self.group_addresses {
            builder.group(None, Some(&address.parse().ok()?)).ok()?;
        }
        for foreign in &self.foreign {
            builder.foreign(foreign.group()?);
        }
        Some(builder.build())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForeignForm<'a> {
    address: Cow<'a, str>,
    forest: Cow<'a, str>,
}

impl<'a> ForeignForm<'a> {
    fn of(group: &'a ForeignGroup) -> Self {
        Self {
            address: group.address.as_str().into(),
            forest: group.forest.as_str().into(),
        }
    }

    fn group(&self) -> Option<ForeignGroup> {
        Some(ForeignGroup {
            address: self.address.parse().ok()?,
            forest: self.forest.parse().ok()?,
        })
    }
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Cow<'a, str>> {
    texts.map(Cow::Borrowed).collect()
}

fn parsed<T: std::str::FromStr>(texts: &[Cow<'_, str>]) -> Option<Vec<T>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

fn json(form: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(form).ok()
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Spelled as people spell, also in ways that lower case changes.
    fn address() -> impl Strategy<Value = Address> {
        "[A-Za-zΑ-ΩŻ]{1,6}@[A-Za-zÄß]{1,6}\\.example"
            .prop_filter_map("not an address", |text| text.parse().ok())
    }

    fn sid() -> impl Strategy<Value = crate::Sid> {
        any::<u32>().prop_map(|number| format!("S-1-5-21-1-2-3-{number}").parse().unwrap())
    }

    fn forest() -> impl Strategy<Value = ForestName> {
        "[a-zä]{1,6}\\.Example".prop_map(|name| name.parse().unwrap())
    }

    fn foreign() -> impl Strategy<Value = ForeignGroup> {
        (address(), forest()).prop_map(|(address, forest)| ForeignGroup { address, forest })
    }

    fn account() -> impl Strategy<Value = Account> {
        let names = (sid(), "[A-Z]{1,4}\\\\[a-zÄ]{1,8}", "\\PC{0,12}");
        let addresses = (prop::option::of(address()), vec(address(), 0..4));
        let rest = (any::<bool>(), forest(), any::<Option<i64>>());
        (names, addresses, rest).prop_map(|(names, addresses, rest)| Account {
            sid: names.0,
            name: names.1.parse().unwrap(),
            display_name: names.2,
            mail: addresses.0,
            proxy_addresses: addresses.1,
            enabled: rest.0,
            forest: rest.1,
            created: rest.2,
        })
    }

    fn again<T: Answer>(answer: &T) -> T {
        T::from_bytes(&answer.to_bytes().unwrap()).unwrap()
    }

    fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut texts: Vec<_> = texts.collect();
        texts.sort_unstable();
        texts
    }

    proptest! {
        #[test]
        fn an_account_is_read_as_it_was_written(account in prop::option::of(account())) {
            let read = again(&account);
            prop_assert_eq!(format!("{read:?}"), format!("{account:?}"));
            prop_assert_eq!(read, account);
        }

        #[test]
        fn memberships_are_read_as_they_were_written(
            own_sids in vec(sid(), 0..3),
            own_addresses in vec(address(), 0..3),
            groups in vec((prop::option::of(sid()), prop::option::of(address())), 0..20),
            foreign in vec(foreign(), 0..3),
        ) {
            let mut builder = MembershipsBuilder::default();
            for sid in own_sids {
                builder.own_sid(sid);
            }
            for address in own_addresses {
                builder.own_address(address);
            }
            for group in foreign {
                builder.foreign(group);
            }
            for (sid, address) in &groups {
                builder.group(sid.as_ref(), address.as_ref()).unwrap();
            }
            let written = Arc::new(builder.build());
            let read = again(&written);
            prop_assert_eq!(read.own_sids(), written.own_sids());
            prop_assert_eq!(format!("{:?}", read.own_addresses()), format!("{:?}", written.own_addresses()));
            prop_assert_eq!(sorted(read.group_sids()), sorted(written.group_sids()));
            prop_assert_eq!(sorted(read.group_addresses()), sorted(written.group_addresses()));
            prop_assert_eq!(read.foreign(), written.foreign());
        }

        #[test]
        fn foreign_groups_and_forests_are_read_as_they_were_written(
            groups in vec(foreign(), 0..4),
            forest in prop::option::of(forest()),
            member in any::<bool>(),
        ) {
            let groups: Arc<[ForeignGroup]> = groups.into();
            prop_assert_eq!(again(&groups), groups);
            prop_assert_eq!(again(&forest), forest);
            prop_assert_eq!(again(&member), member);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..60), text in "[\\[\\]{}\",:a-z0]{0,40}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = Option::<Account>::from_bytes(bytes);
                let _ = Option::<ForestName>::from_bytes(bytes);
                let _ = Arc::<Memberships>::from_bytes(bytes);
                let _ = Arc::<[ForeignGroup]>::from_bytes(bytes);
                let _ = bool::from_bytes(bytes);
            }
        }
    }

    #[test]
    fn what_nobody_can_have_answered_is_not_read() {
        for wrong in [
            r#"{"own_sids":["S-9"],"own_addresses":[],"group_sids":[],"group_addresses":[],"foreign":[]}"#,
            r#"{"own_sids":[],"own_addresses":[],"group_sids":[],"group_addresses":["x"],"foreign":[]}"#,
            r#"{"own_sids":[],"own_addresses":[],"group_sids":[],"group_addresses":[],"foreign":[],"more":1}"#,
            r#"{"own_sids":[],"own_addresses":[]}"#,
            "null",
        ] {
            assert!(
                Arc::<Memberships>::from_bytes(wrong.as_bytes()).is_none(),
                "{wrong}"
            );
        }
        assert_eq!(Option::<Account>::from_bytes(b"null"), Some(None));
        assert_eq!(Option::<Account>::from_bytes(b"null null"), None);
        assert_eq!(Option::<ForestName>::from_bytes(b"\"a b\""), None);
    }

    #[test]
    fn equal_questions_have_equal_parts_and_others_have_not() {
        let who = |text: &str| AccountRef::parse(text).unwrap();
        assert_eq!(
            who("Alice@X.Example").parts(),
            who("alice@x.example").parts()
        );
        assert_eq!(who("CORP\\Alice").parts(), who("corp\\alice").parts());
        assert_ne!(who("alice").parts(), who("alice@x.example").parts());
        let address: Address = "a@x.example".parse().unwrap();
        let known = Identity::new("S-1-5-21-1-2-3-4".parse().unwrap(), address.clone());
        assert_ne!(known.parts(), Identity::of_address(address).parts());
    }
}
