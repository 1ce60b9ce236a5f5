//! Users, groups and contacts as Active Directory writes them (MS-ADA1, MS-ADA2, MS-ADA3).

use super::entry::{Entry, Guid, invalid};
use crate::{Account, Address, DirectoryError, ForestName, Sid};

/// An object that somebody may be, or be in.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) guid: Guid,
    pub(super) kind: Kind,
    pub(super) dn: String,
    pub(super) sid: Option<Sid>,
    /// SIDs it had in domains it came from.
    pub(super) sid_history: Vec<Sid>,
    /// `sAMAccountName`.
    account_name: Option<String>,
    display_name: Option<String>,
    mail: Option<Address>,
    proxy_addresses: Vec<Address>,
    disabled: bool,
    created: Option<i64>,
    /// Relative identifier of a group that `memberOf` does not name.
    primary_group: Option<u32>,
    /// DNs of the groups it is directly in.
    pub(super) member_of: Vec<String>,
    /// `msExchOriginatingForest`, of contacts.
    originating_forest: Option<ForestName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person, or an account of one.
    User,
    /// The account of a computer or a managed service.
    Machine,
    /// Security and distribution groups of every scope.
    Group,
    /// Stands for somebody or a group elsewhere.
    Contact,
    /// Stands for a SID of another forest in groups of this one.
    ForeignPrincipal,
}

impl Object {
    /// The attributes to ask for.
    pub(super) const ATTRIBUTES: [&'static str; 13] = [
        "objectClass",
        "objectGUID",
        "objectSid",
        "sIDHistory",
        "sAMAccountName",
        "displayName",
        "mail",
        "proxyAddresses",
        "userAccountControl",
        "whenCreated",
        "primaryGroupID",
        "memberOf",
        "msExchOriginatingForest",
    ];

    /// `None` for objects of other classes.
    pub(super) fn read(entry: &Entry) -> Result<Option<Self>, DirectoryError> {
        let Some(kind) = Kind::read(entry) else {
            return Ok(None);
        };
        let mail = address(entry, "mail", entry.text("mail"));
        let mut proxy_addresses = Vec::new();
        for text in entry.texts("proxyaddresses") {
            let smtp = text
                .split_once(':')
                .filter(|(kind, _)| kind.eq_ignore_ascii_case("smtp"));
            let Some(proxy) = address(entry, "proxyAddresses", smtp.map(|(_, rest)| rest)) else {
                continue;
            };
            if mail.as_ref() != Some(&proxy) && !proxy_addresses.contains(&proxy) {
                proxy_addresses.push(proxy);
            }
        }
        let control = entry.number("useraccountcontrol")?.unwrap_or_default();
        let primary_group = entry.number("primarygroupid")?;
        let primary_group = primary_group.map(u32::try_from).transpose();
        let forest = entry.text("msexchoriginatingforest");
        Ok(Some(Self {
            guid: entry.guid("objectguid")?,
            kind,
            dn: entry.dn.clone(),
            sid: entry.sids("objectsid")?.into_iter().next(),
            sid_history: entry.sids("sidhistory")?,
            account_name: entry.text("samaccountname").map(str::to_owned),
            display_name: entry.text("displayname").map(str::to_owned),
            mail,
            proxy_addresses,
            disabled: control & ACCOUNT_DISABLE != 0,
            created: entry.instant("whencreated")?,
            primary_group: primary_group
                .map_err(|_| invalid("primaryGroupID", "not a number of 32 bits"))?,
            member_of: entry.texts("memberof").map(str::to_owned).collect(),
            originating_forest: forest.and_then(|forest| forest.parse().ok()),
        }))
    }

    /// The primary address and the further ones.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.mail.iter().chain(&self.proxy_addresses)
    }

    /// Whether it has this address by our comparison. That of a directory is laxer: Active
    /// Directory takes accents off, so that others would be found.
    pub(super) fn has_address(&self, address: &Address) -> bool {
        self.addresses().any(|own| own == address)
    }

    /// Whether this is its account name, by the same reasoning.
    pub(super) fn has_account_name(&self, name: &str) -> bool {
        let own = self.account_name.as_deref();
        own.is_some_and(|own| own.to_lowercase() == name.to_lowercase())
    }

    /// The SID of the primary group, which is in the domain of the account.
    pub(super) fn primary_group(&self) -> Option<Sid> {
        let (domain, _) = self.sid.as_ref()?.split_relative_id()?;
        format!("{domain}-{}", self.primary_group?).parse().ok()
    }

    /// The forest it belongs to, in a directory of the home forest.
    pub(super) fn forest(&self, home: &ForestName) -> Option<ForestName> {
        match self.kind {
            Kind::User | Kind::Machine | Kind::Group => Some(home.clone()),
            Kind::Contact => self.originating_forest.clone(),
            Kind::ForeignPrincipal => None,
        }
    }

    /// As an account, if it is one. `domain` tells the `NetBIOS` name for a DN.
    pub(super) fn account<'a>(
        &self,
        home: &ForestName,
        domain: impl FnOnce(&str) -> Option<&'a str>,
    ) -> Result<Option<Account>, DirectoryError> {
        if !matches!(self.kind, Kind::User | Kind::Machine) {
            return Ok(None);
        }
        let missing = |field| invalid(field, "missing");
        let sid = self.sid.clone().ok_or_else(|| missing("objectSid"))?;
        let user = self.account_name.as_deref();
        let user = user.ok_or_else(|| missing("sAMAccountName"))?;
        let name = match domain(&self.dn) {
            Some(domain) => format!("{domain}\\{user}").parse(),
            None => user.parse(),
        };
        let name = name.map_err(|_| invalid("sAMAccountName", "not an account name"))?;
        Ok(Some(Account {
            sid,
            name,
            display_name: self.display_name.clone().unwrap_or_else(|| user.to_owned()),
            mail: self.mail.clone(),
            proxy_addresses: self.proxy_addresses.clone(),
            enabled: !self.disabled,
            forest: home.clone(),
            created: self.created,
        }))
    }
}

impl Kind {
    fn read(entry: &Entry) -> Option<Self> {
        let is = |class: &str| {
            entry
                .texts("objectclass")
                .any(|known| known.eq_ignore_ascii_case(class))
        };
        // Computers and managed service accounts are users as well.
        match () {
            () if is("computer") => Some(Self::Machine),
            () if is("user") => Some(Self::User),
            () if is("group") => Some(Self::Group),
            () if is("contact") => Some(Self::Contact),
            () if is("foreignSecurityPrincipal") => Some(Self::ForeignPrincipal),
            () => None,
        }
    }
}

/// Nobody can be reached, hence certified, at an address that is none; the rest of the object
/// is as good as ever.
fn address(entry: &Entry, attribute: &str, text: Option<&str>) -> Option<Address> {
    let parsed = text?.parse();
    if parsed.is_err() {
        tracing::debug!(dn = entry.dn, attribute, "not a mail address, ignored");
    }
    parsed.ok()
}

/// Of `userAccountControl` (MS-ADTS 2.2.16).
const ACCOUNT_DISABLE: i64 = 2;
