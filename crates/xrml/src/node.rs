//! One `<XrML>` node: its raw text, what it says, and its signature (MS-RMPR 2.2.9.1, 2.2.9.1.12).
//!
//! Everything read from a node is read from the slice that its signature covers.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use openrms_crypto::{Digest, HashAlgorithm, PublicKey};

pub use crate::content::{
    ApplicationPolicy, AuthenticatedData, BodyCondition, Content, PolicyList, Principal, Work,
};
use crate::error::XrmlError;
use crate::rights::RightEntry;
use crate::tree::{Element, Limits, Tree, trim};
use crate::values::{attribute, base64_value, check_size, child_text, one};

/// A parsed node, not yet verified.
#[derive(Debug, Clone)]
pub struct Node {
    text: Arc<str>,
    body: Range<usize>,
    kind: Kind,
    content: Content,
    signature: Option<Signature>,
}

/// A value whose digest and signature held under the key its own ISSUER names.
///
/// Whether that key is trusted is another question, answered by [`crate::chain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

/// What a node is, told by its BODY and DESCRIPTOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A certification authority's certificate.
    CaCertificate,
    /// SLC, enrollment service, SPC issuer: an issuing certificate that is not a CA's.
    ServerLicensorCertificate,
    /// SPC: a machine's security processor.
    SecurityProcessorCertificate,
    /// RAC: a person's account.
    RightsAccountCertificate,
    /// CLC: the right to publish off line.
    ClientLicensorCertificate,
    /// PL: what travels with the content.
    PublishingLicense,
    /// UL: one person's rights and key.
    UseLicense,
    /// A template signed by a server.
    OfficialTemplate,
    /// Rights data written by an author.
    RightsTemplate,
    /// A list of what is revoked.
    RevocationList,
}

/// SIGNATURE (MS-RMPR 2.2.9.1.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// DIGEST.
    pub digest: Digest,
    /// Signature value, big-endian.
    pub value: Vec<u8>,
}

/// Why a node's own signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The node has no SIGNATURE.
    #[error("the {0} is not signed")]
    Unsigned(Kind),
    /// The node has no ISSUER with a key.
    #[error("the {0} does not name its issuer's key")]
    NoIssuerKey(Kind),
    /// The digest is not the digest of the body: the text was changed.
    #[error("the {0} was changed: its digest does not fit its body")]
    DigestMismatch(Kind),
    /// The signature is not the issuer's.
    #[error("the signature of the {0} is not its issuer's")]
    SignatureMismatch(Kind),
}

impl Node {
    /// Parses one node with the default bounds.
    pub fn parse(text: impl Into<Arc<str>>) -> Result<Self, XrmlError> {
        Self::parse_with(text, &Limits::default())
    }

    /// Parses one node. White space round it is cut away; the rest is kept as it stands.
    pub fn parse_with(text: impl Into<Arc<str>>, limits: &Limits) -> Result<Self, XrmlError> {
        Self::parse_counted(text, limits).map(|(node, _)| node)
    }

    /// Parses one node and tells how many elements it has.
    pub(crate) fn parse_counted(
        text: impl Into<Arc<str>>,
        limits: &Limits,
    ) -> Result<(Self, usize), XrmlError> {
        let mut text: Arc<str> = text.into();
        let trimmed = trim(&text);
        if trimmed.len() != text.len() {
            text = trimmed.into();
        }
        let tree = Tree::parse(&text, limits)?;
        let root = tree.root();
        check_root(&tree)?;
        let body = one(root, "BODY")?.ok_or(XrmlError::Missing("BODY"))?;
        let content = Content::read(body)?;
        let kind = Kind::of(body, &content)?;
        let signature = one(root, "SIGNATURE")?.map(Signature::read).transpose()?;
        let (body, elements) = (body.range(), tree.elements().len());
        drop(tree);
        Ok((
            Self {
                text,
                body,
                kind,
                content,
                signature,
            },
            elements,
        ))
    }

    /// The node exactly as it was read.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The signed part: from `<BODY` to `</BODY>`.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.text[self.body.clone()]
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it says.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Takes the rights of its WORK out; `None` where it has no WORK.
    pub(crate) fn take_rights(&mut self) -> Option<Vec<RightEntry>> {
        let work = self.content.work.as_mut()?;
        Some(std::mem::take(&mut work.rights))
    }

    /// Its signature, verified or not.
    #[must_use]
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// A raw part of the node, by a range that its content gave.
    #[must_use]
    pub fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Key that the ISSUER names.
    #[must_use]
    pub fn issuer_key(&self) -> Option<&PublicKey> {
        self.content.issuer.as_ref()?.key.as_ref()
    }

    /// Puts an equal key, prepared before, in the place of the ISSUER's.
    pub(crate) fn share_issuer_key(&mut self, known: &PublicKey) {
        let issuer = self.content.issuer.as_mut();
        if let Some(key) = issuer.and_then(|issuer| issuer.key.as_mut())
            && key == known
        {
            *key = known.clone();
        }
    }

    /// Key that the node certifies.
    #[must_use]
    pub fn principal_key(&self) -> Option<&PublicKey> {
        self.content.principal.as_ref()?.key.as_ref()
    }

    /// Whether DIGEST is the digest of the body as it stands.
    #[must_use]
    pub fn digest_holds(&self) -> bool {
        self.signature.as_ref().is_some_and(|signature| {
            Digest::of_utf16le(signature.digest.algorithm(), self.body()) == signature.digest
        })
    }

    /// Whether the signature over DIGEST is the ISSUER key's; says nothing of the body.
    #[must_use]
    pub fn signature_holds(&self) -> bool {
        match (&self.signature, self.issuer_key()) {
            (Some(signature), Some(key)) => key.verify(&signature.digest, &signature.value).is_ok(),
            _ => false,
        }
    }

    /// Verifies digest and signature under the key in ISSUER.
    pub fn verify(self) -> Result<Verified<Self>, SignatureError> {
        let kind = self.kind;
        if self.signature.is_none() {
            return Err(SignatureError::Unsigned(kind));
        }
        if self.issuer_key().is_none() {
            return Err(SignatureError::NoIssuerKey(kind));
        }
        if !self.digest_holds() {
            return Err(SignatureError::DigestMismatch(kind));
        }
        if !self.signature_holds() {
            return Err(SignatureError::SignatureMismatch(kind));
        }
        Ok(Verified(self))
    }

    pub(crate) fn expect(&self, kind: Kind) -> Result<(), XrmlError> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(XrmlError::WrongKind {
                expected: kind,
                found: self.kind,
            })
        }
    }
}

impl<T> Verified<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Kind {
    /// Stable name, as `rms inspect` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CaCertificate => "ca-certificate",
            Self::ServerLicensorCertificate => "server-licensor-certificate",
            Self::SecurityProcessorCertificate => "security-processor-certificate",
            Self::RightsAccountCertificate => "rights-account-certificate",
            Self::ClientLicensorCertificate => "client-licensor-certificate",
            Self::PublishingLicense => "publishing-license",
            Self::UseLicense => "use-license",
            Self::OfficialTemplate => "official-rights-template",
            Self::RightsTemplate => "rights-template",
            Self::RevocationList => "revocation-list",
        }
    }

    fn of(body: Element<'_>, content: &Content) -> Result<Self, XrmlError> {
        let body_type = attribute(body, "type").unwrap_or_default();
        let descriptor = content
            .descriptor
            .as_ref()
            .and_then(|object| object.kind.as_deref());
        Ok(match (body_type.as_str(), descriptor.unwrap_or_default()) {
            ("Microsoft Rights Label", _) => Self::PublishingLicense,
            ("Microsoft Official Rights Template", _) => Self::OfficialTemplate,
            ("Microsoft Rights Template", _) => Self::RightsTemplate,
            ("LICENSE", "DRM-CA-Certificate") => Self::CaCertificate,
            ("LICENSE", "Server-Licensor-Certificate") => Self::ServerLicensorCertificate,
            ("LICENSE", "Machine-Certificate") => Self::SecurityProcessorCertificate,
            ("LICENSE", "Group-Identity-Credential") => Self::RightsAccountCertificate,
            ("LICENSE", "Client-Licensor-Certificate") => Self::ClientLicensorCertificate,
            ("LICENSE", "Content-License") => Self::UseLicense,
            ("LICENSE", "Revocation-List") => Self::RevocationList,
            (body, descriptor) => {
                return Err(XrmlError::UnknownKind {
                    body: body.chars().take(80).collect(),
                    descriptor: descriptor.chars().take(80).collect(),
                });
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('-', " "))
    }
}

impl Signature {
    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let digest = one(element, "DIGEST")?.ok_or(XrmlError::Missing("SIGNATURE/DIGEST"))?;
        let name = child_text(digest, "ALGORITHM", "DIGEST/ALGORITHM")?;
        let algorithm = HashAlgorithm::from_wire_name(&name)
            .ok_or_else(|| XrmlError::invalid("DIGEST/ALGORITHM", name))?;
        let scheme = child_text(element, "ALGORITHM", "SIGNATURE/ALGORITHM")?;
        if scheme != SIGNATURE_SCHEME {
            return Err(XrmlError::invalid("SIGNATURE/ALGORITHM", scheme));
        }
        let coding = match one(digest, "PARAMETER")? {
            Some(parameter) => child_text(parameter, "VALUE", "DIGEST codingtype")?,
            None => return Err(XrmlError::Missing("DIGEST codingtype")),
        };
        if coding != "surface-coding" {
            return Err(XrmlError::invalid(
                "DIGEST codingtype",
                "only surface-coding is known",
            ));
        }
        let digest_value = one(digest, "VALUE")?.ok_or(XrmlError::Missing("DIGEST/VALUE"))?;
        let digest_bytes = base64_value(digest_value, "DIGEST/VALUE")?;
        check_size(digest_value, "DIGEST/VALUE", digest_bytes.len())?;
        let digest = Digest::new(algorithm, &digest_bytes)
            .map_err(|error| XrmlError::invalid("DIGEST/VALUE", error))?;
        let value = one(element, "VALUE")?.ok_or(XrmlError::Missing("SIGNATURE/VALUE"))?;
        let bytes = base64_value(value, "SIGNATURE/VALUE")?;
        check_size(value, "SIGNATURE/VALUE", bytes.len())?;
        Ok(Self {
            digest,
            value: bytes,
        })
    }
}

/// Checks what stands outside BODY and SIGNATURE, where no digest covers it: nothing but white
/// space; and that no node hides in another, so that [`crate::chain::split`] cuts where we do.
fn check_root(tree: &Tree<'_>) -> Result<(), XrmlError> {
    let root = tree.root();
    if root.name() != "XrML" {
        return Err(XrmlError::NotAChain("the root element is not XrML"));
    }
    if tree
        .elements()
        .skip(1)
        .any(|element| element.name() == "XrML")
    {
        return Err(XrmlError::NotAChain("a node inside another"));
    }
    let inner = root.inner_range();
    let mut from = inner.start;
    let mut only_white_space = true;
    for child in root.children() {
        if !matches!(child.name(), "BODY" | "SIGNATURE") {
            return Err(XrmlError::invalid(
                "XrML",
                "children other than BODY and SIGNATURE",
            ));
        }
        only_white_space &= trim(root.between(from, child.range().start)).is_empty();
        from = child.range().end;
    }
    if only_white_space && trim(root.between(from, inner.end)).is_empty() {
        Ok(())
    } else {
        Err(XrmlError::invalid("XrML", "text beside BODY and SIGNATURE"))
    }
}

/// Name of RSASSA-PKCS1-v1_5 on the wire.
pub(crate) const SIGNATURE_SCHEME: &str = "RSA PKCS#1-V1.5";
