//! Look-ups of single objects. Whatever goes into a filter is escaped (RFC 4515 3), and whatever
//! is found is compared again by our own rules.

use std::fmt::Write;
use std::sync::Arc;

use ldap3::{Scope, ldap_escape};

use super::connection::Search;
use super::entry::{Entry, invalid};
use super::layout::{Layout, search};
use super::object::{Kind, Object};
use super::pool::Pool;
use crate::{AccountName, AccountRef, Address, DirectoryError, Sid};

/// Finds objects in a directory.
#[derive(Clone)]
pub(super) struct Finder {
    pool: Arc<Pool>,
    layout: Arc<Layout>,
    attributes: Arc<[String]>,
}

impl Finder {
    pub(super) fn new(pool: Arc<Pool>, layout: Arc<Layout>) -> Self {
        let attributes = Object::ATTRIBUTES.iter().map(|&name| name.to_owned());
        Self {
            pool,
            layout,
            attributes: attributes.collect(),
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) async fn find(&self, who: &AccountRef) -> Result<Option<Object>, DirectoryError> {
        match who {
            AccountRef::Sid(sid) => self.by_sid(sid).await,
            AccountRef::Name(name) => self.by_name(name).await,
            AccountRef::Address(address) => self.by_address(address).await,
        }
    }

    pub(super) async fn by_sid(&self, sid: &Sid) -> Result<Option<Object>, DirectoryError> {
        let filter = format!("(objectSid={})", escaped(&sid.to_bytes()));
        let is_it = |object: &Object| object.sid.as_ref() == Some(sid);
        self.only(&self.layout.base, filter, "objectSid", is_it)
            .await
    }

    async fn by_name(&self, name: &AccountName) -> Result<Option<Object>, DirectoryError> {
        let base = match name.domain() {
            Some(domain) => match self.layout.context_of(domain) {
                Some(context) => context,
                None => return Ok(None),
            },
            None => &self.layout.base,
        };
        let filter = format!("(sAMAccountName={})", ldap_escape(name.user()));
        // Those of a domain below this one are not in this domain.
        let in_domain = |object: &Object| {
            let wanted = name.domain().map(str::to_lowercase);
            let own = self.layout.domain_of(&object.dn).map(str::to_lowercase);
            wanted.is_none() || own == wanted
        };
        let is_it = |object: &Object| object.has_account_name(name.user()) && in_domain(object);
        self.only(base, filter, "sAMAccountName", is_it).await
    }

    /// The user, group or contact that has a mail address. Two that have it are an error:
    /// whoever is in the groups of one must not be taken for the other.
    pub(super) async fn by_address(
        &self,
        address: &Address,
    ) -> Result<Option<Object>, DirectoryError> {
        let value = ldap_escape(address.as_str());
        let filter = format!("(|(mail={value})(proxyAddresses=smtp:{value}))");
        let is_it = |object: &Object| object.has_address(address) && object.kind != Kind::Machine;
        self.only(&self.layout.base, filter, "mail address", is_it)
            .await
    }

    /// The object with a DN, if there still is one and this directory holds it.
    pub(super) async fn by_dn(&self, dn: String) -> Result<Option<Object>, DirectoryError> {
        let found = self
            .pool
            .search(&Search {
                base: dn,
                scope: Scope::Base,
                filter: "(objectClass=*)".to_owned(),
                attributes: Arc::clone(&self.attributes),
                enough: 1,
            })
            .await?;
        match found.into_iter().next() {
            Some(entry) => self.object(entry).await,
            None => Ok(None),
        }
    }

    /// The groups and contacts that are directly in the group with a DN.
    pub(super) async fn groups_and_contacts_in(
        &self,
        dn: &str,
    ) -> Result<Vec<Object>, DirectoryError> {
        let most = self.pool.settings().groups_of_one;
        let found = self
            .pool
            .search(&Search {
                base: self.layout.base.clone(),
                scope: Scope::Subtree,
                filter: format!(
                    "(&(|(objectClass=group)(objectClass=contact))(memberOf={}))",
                    ldap_escape(dn)
                ),
                attributes: Arc::clone(&self.attributes),
                enough: most,
            })
            .await?;
        if found.len() >= most {
            return Err(DirectoryError::LimitExceeded {
                what: "groups in one group",
            });
        }
        let mut objects = Vec::with_capacity(found.len());
        for entry in found {
            objects.extend(self.object(entry).await?);
        }
        Ok(objects)
    }

    async fn only(
        &self,
        base: &str,
        filter: String,
        field: &'static str,
        is_it: impl Fn(&Object) -> bool,
    ) -> Result<Option<Object>, DirectoryError> {
        let search = Search {
            base: base.to_owned(),
            scope: Scope::Subtree,
            filter,
            attributes: Arc::clone(&self.attributes),
            enough: MANY,
        };
        let found = self.pool.search(&search).await?;
        if found.len() >= MANY {
            return Err(invalid(field, "too many objects have it"));
        }
        let mut only: Option<Object> = None;
        for entry in found {
            let Some(object) = self.object(entry).await? else {
                continue;
            };
            if is_it(&object) && only.replace(object).is_some() {
                return Err(invalid(field, "several objects have it"));
            }
        }
        Ok(only)
    }

    /// Reads an object, after fetching what did not fit into the answer.
    async fn object(&self, mut entry: Entry) -> Result<Option<Object>, DirectoryError> {
        while let Some(from) = entry.missing_from("memberof")? {
            if entry.count("memberof") > self.pool.settings().groups_of_one {
                return Err(DirectoryError::LimitExceeded {
                    what: "groups of one identity",
                });
            }
            let range = format!("memberOf;range={from}-*");
            let next = search(&entry.dn, Scope::Base, "(objectClass=*)", &[&range], 1);
            match self.pool.search(&next).await?.into_iter().next() {
                Some(further) => entry.add_values("memberof", from, further)?,
                // Removed since.
                None => return Ok(None),
            }
        }
        Object::read(&entry)
    }
}

/// Octets in a filter.
fn escaped(octets: &[u8]) -> String {
    let mut text = String::with_capacity(3 * octets.len());
    for octet in octets {
        // Writing to a text cannot fail.
        let _ = write!(text, "\\{octet:02x}");
    }
    text
}

/// So many objects that a directory finds alike show that something is wrong with it.
const MANY: usize = 100;
