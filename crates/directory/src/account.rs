//! Accounts, the ways to name one, and the identity a RAC speaks for.

use crate::{AccountName, Address, ForestName, Sid};

/// One account of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its security identifier.
    pub sid: Sid,
    /// `DOMAIN\user`, or `user` where the directory has no domain name.
    pub name: AccountName,
    /// What people call it.
    pub display_name: String,
    /// The primary mail address (`mail`); without one no RAC can be issued.
    pub mail: Option<Address>,
    /// Further addresses (`proxyAddresses`, SMTP only), without the primary one.
    pub proxy_addresses: Vec<Address>,
    /// Whether it may sign in.
    pub enabled: bool,
    /// The forest it lives in.
    pub forest: ForestName,
    /// When it was created, in seconds since 1970 UTC. Feeds the RAC's `CredentialCreationTime`.
    pub created: Option<i64>,
}

impl Account {
    /// The primary address and the further ones.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.mail.iter().chain(&self.proxy_addresses)
    }
}

/// A way to name an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// By security identifier.
    Sid(Sid),
    /// By account name.
    Name(AccountName),
    /// By any of its mail addresses.
    Address(Address),
}

impl AccountRef {
    /// Reads what a person types or a protocol carries: a text with an `@` is an address, a text
    /// that is a SID is one, anything else is an account name. `None` when it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return text.parse().ok().map(Self::Address);
        }
        if let Ok(sid) = text.parse() {
            return Some(Self::Sid(sid));
        }
        text.parse().ok().map(Self::Name)
    }
}

/// Whoever a RAC speaks for: a SID where the RAC has one and its issuer is trusted with SIDs,
/// and the addresses (MS-RMPR 2.2.9.5.4). The directory need not know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The SID, to be left out where the issuer of the RAC is not trusted to name SIDs.
    pub sid: Option<Sid>,
    /// The addresses, the primary one first.
    pub addresses: Vec<Address>,
}

impl Identity {
    /// An identity known by its address only.
    pub fn of_address(address: Address) -> Self {
        Self {
            sid: None,
            addresses: vec![address],
        }
    }

    /// An identity with a SID and an address.
    pub fn new(sid: Sid, address: Address) -> Self {
        Self {
            sid: Some(sid),
            addresses: vec![address],
        }
    }
}

impl From<&Account> for Identity {
    fn from(account: &Account) -> Self {
        Self {
            sid: Some(account.sid.clone()),
            addresses: account.addresses().cloned().collect(),
        }
    }
}
