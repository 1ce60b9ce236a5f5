//! Use license: one person's rights and the content key sealed to them (MS-RMPR 2.2.9.9).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::SharedNode;
use crate::error::XrmlError;
use crate::node::{AuthenticatedData, BodyCondition, Kind, PolicyList};
use crate::rac::{AccountIdentity, read_principal};
use crate::rights::{Right, RightEntry, TimeCondition};
use crate::rights_data::APP_SPECIFIC;
use crate::time::{Interval, Time};
use crate::values::{EnablingBits, Guid, Object};
use crate::writer::{Hand, Identity, Xml, sign};

/// What goes into a UL. Elements called `_raw` are copied verbatim from PL and RAC.
#[derive(Debug)]
pub struct UlRequest<'a> {
    /// The license's own identifier.
    pub id: Guid,
    /// Instant of issue.
    pub issued: Time,
    /// When the license may be used.
    pub validity: Option<Interval>,
    /// The signer: a server, or the author for an owner license.
    pub issuer: &'a Identity,
    /// PRINCIPAL element of the RAC.
    pub principal_raw: &'a str,
    /// DISTRIBUTIONPOINT of type `Referral-Info`.
    pub referral_raw: Option<&'a str>,
    /// OBJECT of the PL's WORK.
    pub work_raw: &'a str,
    /// OWNER element of the PL.
    pub owner_raw: Option<&'a str>,
    /// CONDITIONLIST with the revocation list that must be checked.
    pub revocation_raw: Option<&'a str>,
    /// The rights with their times.
    pub rights: &'a [(Right, TimeCondition)],
    /// The content key sealed to the RAC.
    pub sealed_key: &'a EnablingBits,
    /// Application data: name and value.
    pub app_data: &'a [(String, String)],
    /// Excluded span of operating systems, `min-max`.
    pub os_exclusion: Option<&'a str>,
    /// Applications that may or may not open the content.
    pub policy_lists: &'a [PolicyList],
}

/// A verified UL.
#[derive(Debug, Clone)]
pub struct UseLicense {
    node: SharedNode,
    account: AccountIdentity,
    key: PublicKey,
}

impl UlRequest<'_> {
    /// Signs the license. The author's own hand is that of a client.
    pub fn sign(
        &self,
        hand: Hand,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        let mut descriptor = Object::guid(Some("Content-License"), self.id);
        if hand == Hand::Client {
            descriptor.id = self.id.to_upper();
        }
        let mut xml = Xml::by(hand);
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .validity(self.validity)
            .descriptor(&descriptor)
            .raw(&self.issuer.issuer())
            .raw("<ISSUEDPRINCIPALS>")
            .raw(self.principal_raw)
            .raw("</ISSUEDPRINCIPALS>")
            .raw(self.referral_raw.unwrap_or_default())
            .raw("<WORK>")
            .raw(self.work_raw);
        if let Some(owner) = self.owner_raw {
            xml.raw("<METADATA>").raw(owner).raw("</METADATA>");
        }
        xml.raw(self.revocation_raw.unwrap_or_default());
        xml.raw(r#"<RIGHTSGROUP name="Main-Rights"><RIGHTSLIST>"#);
        for (right, time) in self.rights {
            let conditions = |xml: &mut Xml| {
                xml.raw(r#"<ACCESS><PRINCIPAL internal-id="1">"#)
                    .enabling_bits(self.sealed_key)
                    .raw("</PRINCIPAL></ACCESS>")
                    .time_condition(time);
            };
            if hand == Hand::Client && time.is_none() {
                xml.bare_right(right, conditions);
            } else {
                xml.right(right, conditions);
            }
        }
        xml.raw("</RIGHTSLIST></RIGHTSGROUP></WORK>");
        for (name, value) in self.app_data {
            xml.authenticated(APP_SPECIFIC, name, value);
        }
        if let Some(span) = self.os_exclusion {
            xml.raw(r#"<CONDITIONLIST><CONDITION NAME="OS-Exclusion" TYPE="versionspan">"#)
                .text(span)
                .raw("</CONDITION></CONDITIONLIST>");
        }
        for list in self.policy_lists {
            xml.policy_list(list);
        }
        xml.raw("</BODY>");
        sign(hand, true, &xml.finish(), key, hash)
    }

    /// The text that the content key is bound to: the ISSUER element (MS-RMPR 2.2.9.1.13).
    #[must_use]
    pub fn binding_text(issuer: &Identity) -> String {
        issuer.issuer()
    }
}

impl UseLicense {
    /// Reads a UL.
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::UseLicense)?;
        let (account, key) = read_principal(&node)?;
        node.content()
            .work
            .as_ref()
            .ok_or(XrmlError::Missing("WORK"))?;
        Ok(Self { node, account, key })
    }

    /// The license.
    #[must_use]
    pub fn node(&self) -> &SharedNode {
        &self.node
    }

    /// Whom it is for.
    #[must_use]
    pub fn account(&self) -> &AccountIdentity {
        &self.account
    }

    /// Key of the RAC it is for.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Identifier of the content.
    #[must_use]
    pub fn content_id(&self) -> Option<&str> {
        Some(
            self.node
                .content()
                .work
                .as_ref()?
                .object
                .as_ref()?
                .id
                .as_str(),
        )
    }

    /// The rights as written, whatever their conditions.
    #[must_use]
    pub fn rights(&self) -> &[RightEntry] {
        self.node
            .content()
            .work
            .as_ref()
            .map_or(&[], |work| &work.rights)
    }

    /// The rights that may be exercised at that instant, each once. A right with a condition that
    /// is not known, or whose time has not come or is over, is not among them; nor is any when the
    /// license itself is outside its validity or its preconditions do not hold or are not known.
    ///
    /// Conditions on the machine and the application are not looked at: see
    /// [`Self::conditions`], [`Self::policy_lists`] and [`Self::revocation_raw`].
    #[must_use]
    pub fn rights_at(&self, at: Time) -> Vec<Right> {
        let mut rights = Vec::new();
        for (right, _) in self.held_at(at) {
            if !rights.contains(right) {
                rights.push(right.clone());
            }
        }
        rights
    }

    /// The rights that may be used at an instant, as [`UseLicense::rights_at`], each with the first
    /// instant without it; `None` for never.
    pub fn held_at(&self, at: Time) -> impl Iterator<Item = (&Right, Option<Time>)> {
        let work = self.node.content().work.as_ref();
        let known = work.is_some_and(|work| work.unknown_preconditions.is_empty());
        self.rights()
            .iter()
            .filter(move |entry| known && entry.unknown_conditions.is_empty())
            .filter_map(move |entry| {
                let window = self.window(entry);
                let open = window.is_none_or(|window| window.contains(at));
                open.then_some((&entry.right, window.map(|window| window.until)))
            })
    }

    /// When a right may be used: what it says itself, what the content says of all its rights, and
    /// the validity of the license; `None` for always.
    #[must_use]
    pub fn window(&self, entry: &RightEntry) -> Option<Interval> {
        let content = self.node.content();
        let work = content.work.as_ref();
        let windows = [
            content.validity,
            work.and_then(|work| work.precondition.window(content.issued)),
            entry.time.window(content.issued),
        ];
        windows.into_iter().flatten().reduce(Interval::intersect)
    }

    /// Revocation requirement of the content, verbatim: CONDITIONLIST of WORK.
    #[must_use]
    pub fn revocation_raw(&self) -> Option<&str> {
        let work = self.node.content().work.as_ref()?;
        work.revocation_raw
            .as_ref()
            .map(|range| self.node.slice(range))
    }

    /// The content key, sealed to the RAC.
    #[must_use]
    pub fn sealed_key(&self) -> Option<&EnablingBits> {
        self.rights()
            .iter()
            .flat_map(|e| &e.holders)
            .find_map(|h| h.enabling_bits.as_ref())
    }

    /// Application data.
    pub fn app_data(&self) -> impl Iterator<Item = &AuthenticatedData> {
        self.node
            .content()
            .authenticated_data
            .iter()
            .filter(|data| data.id == APP_SPECIFIC)
    }

    /// Whether the license must not be kept after use.
    #[must_use]
    pub fn must_not_be_cached(&self) -> bool {
        self.app_data()
            .any(|d| d.name.as_deref() == Some("NOLICCACHE") && d.value.trim() == "1")
    }

    /// Conditions on the machine, such as excluded operating systems.
    #[must_use]
    pub fn conditions(&self) -> &[BodyCondition] {
        &self.node.content().conditions
    }

    /// Applications that may or may not open the content.
    #[must_use]
    pub fn policy_lists(&self) -> &[PolicyList] {
        &self.node.content().policy_lists
    }
}
