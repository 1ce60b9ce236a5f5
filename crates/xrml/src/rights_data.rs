//! Rights data: who may do what, until when. Written by an author (Encrypted Rights Data,
//! MS-RMPR 2.2.9.8) or by an administrator as an official template (2.2.9.10).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey};

use crate::error::XrmlError;
use crate::names::{LocalizedName, format_names, parse_names};
use crate::node::{AuthenticatedData, Kind, Node, PolicyList};
use crate::pl::REFERRAL_GUID;
use crate::rights::{Right, TimeCondition};
use crate::time::Time;
use crate::values::{Guid, Object};
use crate::writer::{Hand, Identity, Xml, sign};

/// Rights data as read.
#[derive(Debug, Clone)]
pub struct RightsData {
    node: Node,
    grants: Vec<RightGrant>,
}

/// One right for one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightGrant {
    /// The right.
    pub right: Right,
    /// Who holds it.
    pub holder: Grantee,
    /// When, where it is limited.
    pub time: TimeCondition,
    /// Conditions this library does not know: the right must not be granted.
    pub unknown_conditions: Vec<String>,
}

/// A principal of rights data (MS-RMPR 2.2.9.8.5.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// Whoever holds a RAC that is trusted.
    Anyone,
    /// The author of the content.
    Owner,
    /// A directory account or group by SID.
    Sid(String),
    /// A person or group by mail address.
    Address(String),
    /// Something else; matches nobody.
    Unknown(String),
}

/// What an author writes.
#[derive(Debug, Clone)]
pub struct RightsDataRequest {
    /// Instant of publishing.
    pub issued: Time,
    /// Policy GUID and names, repeated from the PL.
    pub descriptor: Option<Object>,
    /// Where to ask for more rights, repeated from the PL.
    pub referral: Option<(String, String)>,
    /// The content, repeated from the PL.
    pub content_id: Guid,
    /// OBJECT of the author, repeated from the PL.
    pub owner: Object,
    /// When the content may be used at all.
    pub precondition: TimeCondition,
    /// The rights.
    pub grants: Vec<RightGrant>,
    /// Application data: name and value (id `APPSPECIFIC`).
    pub app_data: Vec<(String, String)>,
    /// Applications that may or may not open the content.
    pub policy_lists: Vec<PolicyList>,
}

/// What an administrator writes into an official template.
#[derive(Debug, Clone)]
pub struct TemplateRequest {
    /// Identifier of the template.
    pub id: Guid,
    /// Instant of signing.
    pub issued: Time,
    /// Names and descriptions by language.
    pub names: Vec<LocalizedName>,
    /// Licensing URL of the server.
    pub publishing_url: String,
    /// Where to ask for more rights.
    pub referral: Option<String>,
    /// When content may be used at all.
    pub precondition: TimeCondition,
    /// The rights; the author's OWNER right is always written first.
    pub grants: Vec<RightGrant>,
    /// Application data: name and value.
    pub app_data: Vec<(String, String)>,
}

impl RightsData {
    /// Reads rights data from its plain text.
    pub fn parse(text: &str) -> Result<Self, XrmlError> {
        let mut node = Node::parse(text)?;
        if !matches!(node.kind(), Kind::OfficialTemplate | Kind::RightsTemplate) {
            return Err(XrmlError::WrongKind {
                expected: Kind::RightsTemplate,
                found: node.kind(),
            });
        }
        let rights = node.take_rights().ok_or(XrmlError::Missing("WORK"))?;
        let mut grants = Vec::with_capacity(rights.len());
        for entry in rights {
            for holder in entry.holders {
                grants.push(RightGrant {
                    right: entry.right.clone(),
                    holder: match holder.object {
                        Some(object) => Grantee::of(object),
                        None => Grantee::Unknown("PRINCIPAL without OBJECT".into()),
                    },
                    time: entry.time,
                    unknown_conditions: entry.unknown_conditions.clone(),
                });
            }
        }
        Ok(Self { node, grants })
    }

    /// Reads rights data from the bytes that Encrypted Rights Data decrypts to: UTF-16LE, filled
    /// up to a whole cipher block; what follows the last end tag is filling.
    pub fn from_decrypted(bytes: &[u8]) -> Result<Self, XrmlError> {
        let end_tag: Vec<u8> = END_TAG.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let end = memchr::memmem::rfind(bytes, &end_tag)
            .filter(|at| at % 2 == 0)
            .ok_or(XrmlError::NotAChain("rights data do not end"))?;
        let (units, _) = bytes[..end + end_tag.len()].as_chunks::<2>();
        Self::parse(
            &utf16le(units).ok_or_else(|| XrmlError::invalid("rights data", "not UTF-16LE"))?,
        )
    }

    /// The node, with its signature when it is an official template's. Its rights are not kept
    /// twice: they are [`RightsData::grants`].
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it is a copy of an official template.
    #[must_use]
    pub fn is_official(&self) -> bool {
        self.node.kind() == Kind::OfficialTemplate
    }

    /// Policy or template GUID.
    #[must_use]
    pub fn policy_id(&self) -> Option<Guid> {
        self.node.content().descriptor.as_ref()?.as_guid()
    }

    /// Localised names and descriptions.
    pub fn names(&self) -> Vec<LocalizedName> {
        let name = self
            .node
            .content()
            .descriptor
            .as_ref()
            .and_then(|object| object.name.as_deref());
        name.map(parse_names).unwrap_or_default()
    }

    /// OBJECT of the author, where the author wrote it.
    #[must_use]
    pub fn owner(&self) -> Option<&Object> {
        self.node.content().work.as_ref()?.owner.as_ref()
    }

    /// Time condition on the content as a whole.
    #[must_use]
    pub fn precondition(&self) -> TimeCondition {
        self.node
            .content()
            .work
            .as_ref()
            .map(|work| work.precondition)
            .unwrap_or_default()
    }

    /// Conditions on the content as a whole that this library does not know.
    #[must_use]
    pub fn unknown_preconditions(&self) -> &[String] {
        self.node
            .content()
            .work
            .as_ref()
            .map_or(&[], |work| &work.unknown_preconditions)
    }

    /// Every right for every holder, in order.
    #[must_use]
    pub fn grants(&self) -> &[RightGrant] {
        &self.grants
    }

    /// Application data.
    pub fn app_data(&self) -> impl Iterator<Item = &AuthenticatedData> {
        self.node
            .content()
            .authenticated_data
            .iter()
            .filter(|data| data.id == APP_SPECIFIC)
    }

    /// Inclusion and exclusion lists of applications.
    #[must_use]
    pub fn policy_lists(&self) -> &[PolicyList] {
        &self.node.content().policy_lists
    }

    /// Revocation requirement of the content, verbatim.
    #[must_use]
    pub fn revocation_raw(&self) -> Option<&str> {
        let work = self.node.content().work.as_ref()?;
        work.revocation_raw
            .as_ref()
            .map(|range| self.node.slice(range))
    }

    /// An official template as another server key signs it: all else stays as it is.
    pub fn signed_anew(
        &self,
        issuer: &Identity,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, ResignError> {
        let body = self.node.body();
        // Markup in texts is written as entities: what looks like the element is the element.
        let (before, rest) = body.split_once("<ISSUER>").ok_or(ResignError::NoIssuer)?;
        let (_, after) = rest.split_once("</ISSUER>").ok_or(ResignError::NoIssuer)?;
        let body = [before, &issuer.issuer(), after].concat();
        Ok(sign(Hand::Server, false, &body, key, hash)?)
    }
}

/// Why a template is not signed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResignError {
    /// It names nobody who signed it.
    #[error("the template names no issuer")]
    NoIssuer,
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Grantee {
    /// The principal an OBJECT names.
    pub fn of(object: Object) -> Self {
        let address = object.name.filter(|name| name.contains('@'));
        match (&*object.id_type, address) {
            ("Internal", _) if object.id.eq_ignore_ascii_case("anyone") => Self::Anyone,
            ("Internal", _) if object.id.eq_ignore_ascii_case("owner") => Self::Owner,
            ("Windows", _) if !object.id.is_empty() => Self::Sid(object.id),
            ("Windows" | "Unspecified" | "Federation" | "Passport", Some(address)) => {
                Self::Address(trimmed(address))
            }
            (other, _) => Self::Unknown(other.to_owned()),
        }
    }

    /// The OBJECT that names the principal.
    #[must_use]
    pub fn object(&self) -> Object {
        let internal = |id: &str| Object {
            id_type: "Internal".into(),
            id: id.into(),
            ..Object::default()
        };
        match self {
            Self::Anyone => internal("ANYONE").named("ANYONE"),
            Self::Owner => internal("Owner").named("Owner"),
            Self::Sid(sid) => Object {
                id_type: "Windows".into(),
                id: sid.clone(),
                ..Object::default()
            },
            Self::Address(address) => Object {
                id_type: "Unspecified".into(),
                ..Object::default()
            }
            .named(address),
            Self::Unknown(kind) => Object {
                id_type: kind.clone().into(),
                ..Object::default()
            },
        }
    }
}

impl RightGrant {
    /// A right without conditions.
    #[must_use]
    pub fn new(right: Right, holder: Grantee) -> Self {
        Self {
            right,
            holder,
            time: TimeCondition::default(),
            unknown_conditions: Vec::new(),
        }
    }
}

impl RightsDataRequest {
    /// The plain text to be encrypted.
    pub fn text(&self) -> String {
        let content = Object {
            id_type: "MS-GUID".into(),
            id: self.content_id.to_upper(),
            ..Object::default()
        };
        let mut xml = Xml::by(Hand::Client);
        xml.raw(r#"<XrML version="1.2" xmlns=""><BODY type="Microsoft Rights Template" "#)
            .raw(r#"version="3.0">"#)
            .issued(self.issued);
        if let Some(descriptor) = &self.descriptor {
            xml.descriptor(descriptor);
        }
        if let Some((name, address)) = &self.referral {
            xml.distribution_point(&referral(REFERRAL_GUID, Some(name), address));
        }
        xml.raw("<WORK>")
            .object(&content)
            .raw("<METADATA><OWNER>")
            .object(&self.owner);
        xml.raw("</OWNER></METADATA>");
        write_precondition(&mut xml, &self.precondition);
        write_grants(&mut xml, &self.grants, Grantee::object);
        xml.raw("</WORK>");
        for (name, value) in &self.app_data {
            xml.authenticated(APP_SPECIFIC, name, value);
        }
        for list in &self.policy_lists {
            xml.policy_list(list);
        }
        xml.raw("</BODY></XrML>");
        xml.finish()
    }
}

impl TemplateRequest {
    /// Signs the template with the server's key.
    pub fn sign(
        &self,
        issuer: &Identity,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        let publishing = Object {
            kind: Some("Publishing-URL".into()),
            id_type: "MS-GUID".into(),
            id: PUBLISHING_GUID.into(),
            ..Object::default()
        };
        let mut xml = Xml::default();
        xml.raw(r#"<BODY type="Microsoft Official Rights Template">"#)
            .issued(self.issued)
            .descriptor(&Object::guid(None, self.id).named(format_names(&self.names)))
            .raw(&issuer.issuer())
            .distribution_point(
                &publishing
                    .named("Publishing Point")
                    .at(&self.publishing_url),
            );
        if let Some(address) = &self.referral {
            xml.distribution_point(&referral(TEMPLATE_REFERRAL_GUID, None, address));
        }
        xml.raw(r#"<WORK><OBJECT><ID type="" /></OBJECT>"#);
        write_precondition(&mut xml, &self.precondition);
        let owner = RightGrant::new(Right::new(Right::OWNER), Grantee::Owner);
        let others = self
            .grants
            .iter()
            .filter(|grant| grant.holder != Grantee::Owner);
        let grants: Vec<_> = std::iter::once(&owner).chain(others).cloned().collect();
        write_grants(&mut xml, &grants, |holder| match holder {
            // Templates name these two by ID alone.
            Grantee::Anyone | Grantee::Owner => Object {
                name: None,
                ..holder.object()
            },
            _ => holder.object(),
        });
        xml.raw("</WORK>");
        for (name, value) in &self.app_data {
            xml.authenticated(APP_SPECIFIC, name, value);
        }
        xml.raw("</BODY>");
        sign(Hand::Server, false, &xml.finish(), key, hash)
    }
}

fn trimmed(text: String) -> String {
    let inner = text.trim();
    if inner.len() == text.len() {
        text
    } else {
        inner.to_owned()
    }
}

/// Text of UTF-16LE units; most rights data are ASCII and need no decoding.
fn utf16le(units: &[[u8; 2]]) -> Option<String> {
    // Without an early end, so that it is done many units at a time.
    let bits = units
        .iter()
        .fold(0, |bits, unit| bits | u16::from_le_bytes(*unit));
    if bits < 0x80 {
        return String::from_utf8(units.iter().map(|[low, _]| *low).collect()).ok();
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<String, _>>()
        .ok()
}

fn write_precondition(xml: &mut Xml, time: &TimeCondition) {
    if !time.is_none() {
        xml.raw("<PRECONDITIONLIST>")
            .time_condition(time)
            .raw("</PRECONDITIONLIST>");
    }
}

/// A grant under conditions that this library does not know cannot be written again with them, so
/// it is left out: it was never to be honoured here.
fn write_grants(xml: &mut Xml, grants: &[RightGrant], object: impl Fn(&Grantee) -> Object) {
    xml.raw(r#"<RIGHTSGROUP name="Main-Rights"><RIGHTSLIST>"#);
    for grant in grants
        .iter()
        .filter(|grant| grant.unknown_conditions.is_empty())
    {
        xml.right(&grant.right, |xml| {
            xml.time_condition(&grant.time)
                .raw("<ACCESS><PRINCIPAL>")
                .object(&object(&grant.holder))
                .raw("</PRINCIPAL></ACCESS>");
        });
    }
    xml.raw("</RIGHTSLIST></RIGHTSGROUP>");
}

fn referral(guid: &str, name: Option<&String>, address: &str) -> Object {
    let object = Object {
        kind: Some("Referral-Info".into()),
        id_type: "MS-GUID".into(),
        id: guid.into(),
        name: name.cloned(),
        ..Object::default()
    };
    object.at(address)
}

/// `id` of application data.
pub const APP_SPECIFIC: &str = "APPSPECIFIC";
const END_TAG: &str = "</XrML>";
const TEMPLATE_REFERRAL_GUID: &str = "{D5BA4021-27D6-42C0-A322-4064E2F91AB0}";
const PUBLISHING_GUID: &str = "{9A23D98E-4449-4ba5-812A-F30808F3CB16}";
