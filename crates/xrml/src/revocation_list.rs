//! Revocation list: certificates, licenses, content and principals that are revoked
//! (XrML 1.2 section 3.17; MS-RMPR 2.2.9.7.9).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{Digest, HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::SharedNode;
use crate::error::XrmlError;
use crate::node::{Kind, Node};
use crate::time::Time;
use crate::tree::{Element, Limits, Tree};
use crate::values::{Guid, Object, base64_value, child_text, one, read_public_key};
use crate::writer::{Hand, Identity, Xml, sign};

/// A verified revocation list.
#[derive(Debug, Clone)]
pub struct RevocationList {
    node: SharedNode,
    entries: Vec<Revoked>,
}

/// One REVOKE element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// Whoever holds this key.
    PrincipalKey(PublicKey),
    /// A person or machine by identity: type and value of the ID.
    PrincipalId(String, String),
    /// A certificate or license by its GUID.
    LicenseId(String),
    /// A certificate or license by the digest of its body.
    LicenseHash(Digest),
    /// Whatever this key signed.
    IssuerKey(PublicKey),
    /// Whatever this issuer signed, by GUID.
    IssuerId(String),
    /// Every license of this content.
    ContentId(String),
}

/// What goes into a revocation list.
#[derive(Debug, Clone)]
pub struct RevocationListRequest {
    /// Identifier of the list.
    pub id: Guid,
    /// Instant of signing.
    pub issued: Time,
    /// The signer.
    pub issuer: Identity,
    /// What is revoked.
    pub entries: Vec<Revoked>,
}

impl RevocationListRequest {
    /// Signs the list.
    pub fn sign(&self, key: &dyn PrivateKey, hash: HashAlgorithm) -> Result<String, KeyError> {
        let mut xml = Xml::default();
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .descriptor(&Object::guid(Some("Revocation-List"), self.id))
            .raw(&self.issuer.issuer())
            .raw("<REVOCATIONLIST>");
        for entry in &self.entries {
            entry.write(&mut xml);
        }
        xml.raw("</REVOCATIONLIST></BODY>");
        sign(Hand::Server, false, &xml.finish(), key, hash)
    }
}

impl RevocationList {
    /// Reads a list. An entry that is not understood is an error: a list that is half read would
    /// let through what it revokes.
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::RevocationList)?;
        let range = node
            .content()
            .revocation_list
            .as_ref()
            .ok_or(XrmlError::Missing("REVOCATIONLIST"))?;
        let tree = Tree::parse(node.slice(range), &Limits::default())?;
        let entries = tree
            .root()
            .children()
            .map(Revoked::read)
            .collect::<Result<_, _>>()?;
        Ok(Self { node, entries })
    }

    /// The list.
    #[must_use]
    pub fn node(&self) -> &SharedNode {
        &self.node
    }

    /// What is revoked.
    #[must_use]
    pub fn entries(&self) -> &[Revoked] {
        &self.entries
    }

    /// Whether the list revokes a certificate or license.
    #[must_use]
    pub fn revokes(&self, node: &Node) -> bool {
        let mut hashes = BodyHashes::default();
        self.entries
            .iter()
            .any(|entry| entry.matches(node, &mut hashes))
    }
}

/// Hashes of one BODY: lists say SHA-1 also of what is signed over SHA-256, so the hash is made
/// here, at most once for each algorithm.
#[derive(Default)]
struct BodyHashes(Vec<Digest>);

impl BodyHashes {
    fn of(&mut self, algorithm: HashAlgorithm, node: &Node) -> Digest {
        if let Some(known) = self.0.iter().find(|digest| digest.algorithm() == algorithm) {
            return *known;
        }
        let digest = Digest::of_utf16le(algorithm, node.body());
        self.0.push(digest);
        digest
    }
}

impl Revoked {
    fn matches(&self, node: &Node, hashes: &mut BodyHashes) -> bool {
        let content = node.content();
        let principal = content.principal.as_ref();
        let issuer = content.issuer.as_ref();
        let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
        match self {
            Self::PrincipalKey(key) => node.principal_key() == Some(key),
            Self::PrincipalId(kind, id) => {
                principal.is_some_and(|p| p.object.id_type == *kind && same(&p.object.id, id))
            }
            Self::LicenseId(id) => content.descriptor.as_ref().is_some_and(|d| same(&d.id, id)),
            Self::LicenseHash(digest) => hashes.of(digest.algorithm(), node) == *digest,
            Self::IssuerKey(key) => node.issuer_key() == Some(key),
            Self::IssuerId(id) => issuer.is_some_and(|i| same(&i.object.id, id)),
            Self::ContentId(id) => content
                .work
                .as_ref()
                .and_then(|work| work.object.as_ref())
                .is_some_and(|object| same(&object.id, id)),
        }
    }

    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let kind = |name: &str| {
            element
                .attribute(name)
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let category = kind("category");
        let id = || -> Result<String, XrmlError> {
            let object = one(element, "OBJECT")?.ok_or(XrmlError::Missing("REVOKE/OBJECT"))?;
            child_text(object, "ID", "REVOKE/OBJECT/ID")
        };
        let key = || -> Result<PublicKey, XrmlError> {
            read_public_key(
                one(element, "PUBLICKEY")?.ok_or(XrmlError::Missing("REVOKE/PUBLICKEY"))?,
            )
        };
        Ok(match (category.as_str(), kind("type").as_str()) {
            ("principal", "principal-key") => Self::PrincipalKey(key()?),
            ("principal", "principal-id") => {
                let object = one(element, "OBJECT")?.ok_or(XrmlError::Missing("REVOKE/OBJECT"))?;
                let object = Object::read(object)?;
                Self::PrincipalId(object.id_type.into_owned(), object.id)
            }
            ("license", "license-id") => Self::LicenseId(id()?),
            ("license", "license-hash") => {
                let digest = one(element, "DIGEST")?.ok_or(XrmlError::Missing("REVOKE/DIGEST"))?;
                let name = child_text(digest, "ALGORITHM", "DIGEST/ALGORITHM")?;
                let algorithm = HashAlgorithm::from_wire_name(&name)
                    .ok_or_else(|| XrmlError::invalid("DIGEST/ALGORITHM", name))?;
                let value = one(digest, "VALUE")?.ok_or(XrmlError::Missing("DIGEST/VALUE"))?;
                let digest = Digest::new(algorithm, &base64_value(value, "DIGEST/VALUE")?);
                Self::LicenseHash(digest.map_err(|e| XrmlError::invalid("DIGEST/VALUE", e))?)
            }
            ("license", "issuer-key") => Self::IssuerKey(key()?),
            ("license", "issuer-id") => Self::IssuerId(id()?),
            ("content", "content-id") => Self::ContentId(id()?),
            (category, kind) => {
                return Err(XrmlError::invalid("REVOKE", format!("{category}/{kind}")));
            }
        })
    }

    fn write(&self, xml: &mut Xml) {
        let (category, kind) = match self {
            Self::PrincipalKey(_) => ("principal", "principal-key"),
            Self::PrincipalId(..) => ("principal", "principal-id"),
            Self::LicenseId(_) => ("license", "license-id"),
            Self::LicenseHash(_) => ("license", "license-hash"),
            Self::IssuerKey(_) => ("license", "issuer-key"),
            Self::IssuerId(_) => ("license", "issuer-id"),
            Self::ContentId(_) => ("content", "content-id"),
        };
        xml.raw("<REVOKE")
            .attribute("category", category)
            .attribute("type", kind)
            .raw(">");
        let named = |kind: Option<&'static str>, id: &str| Object {
            kind: kind.map(Into::into),
            id_type: if id.parse::<Guid>().is_ok() {
                "MS-GUID"
            } else {
                "ascii-tag"
            }
            .into(),
            id: id.into(),
            ..Object::default()
        };
        match self {
            Self::PrincipalKey(key) | Self::IssuerKey(key) => xml.public_key(key),
            Self::PrincipalId(id_type, id) => xml.object(&Object {
                kind: Some("Group-Identity".into()),
                id_type: id_type.clone().into(),
                id: id.clone(),
                ..Object::default()
            }),
            Self::LicenseHash(digest) => xml.digest(digest),
            Self::IssuerId(id) => xml.object(&named(Some("MS-DRM-Server"), id)),
            Self::LicenseId(id) | Self::ContentId(id) => xml.object(&named(None, id)),
        };
        xml.raw("</REVOKE>");
    }
}
