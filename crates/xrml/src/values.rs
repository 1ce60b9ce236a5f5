//! The elements that all certificates and licenses share (MS-RMPR 2.2.9.1).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::{PublicKey, SealedKeyVersion};
use uuid::Uuid;

use crate::error::XrmlError;
use crate::time::{Interval, Time};
use crate::tree::Element;

/// A GUID; written in braces, read with or without, in any case (MS-RMPR 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(pub Uuid);

impl Guid {
    /// A GUID from 16 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The GUID that a digest stands for (RFC 9562, 5.8).
    #[must_use]
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// As clients write it: upper case, in braces.
    #[must_use]
    pub fn to_upper(self) -> String {
        format!("{{{:X}}}", self.0.hyphenated())
    }
}

impl fmt::Display for Guid {
    /// As servers write it: lower case, in braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{:x}}}", self.0.hyphenated())
    }
}

impl FromStr for Guid {
    type Err = XrmlError;

    fn from_str(text: &str) -> Result<Self, XrmlError> {
        let bare = text.trim();
        let bare = bare
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(bare);
        if bare.len() != 36 {
            return Err(XrmlError::invalid("GUID", "not 36 characters"));
        }
        Uuid::try_parse(bare)
            .map(Self)
            .map_err(|error| XrmlError::invalid("GUID", error))
    }
}

/// OBJECT: what something is and who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// `type` attribute of OBJECT, such as `MS-DRM-Server`.
    pub kind: Option<Cow<'static, str>>,
    /// `type` attribute of ID, such as `MS-GUID`.
    pub id_type: Cow<'static, str>,
    /// Text of ID; empty for `<ID type=".." />`.
    pub id: String,
    /// `version` attribute of ID: the time of the template a label was made from.
    pub version: Option<String>,
    /// NAME.
    pub name: Option<String>,
    /// ADDRESS elements in order.
    pub addresses: Vec<Address>,
}

/// ADDRESS: a URL, or an alias of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `type` attribute, such as `URL` or `email_alias`.
    pub kind: String,
    /// Text.
    pub value: String,
}

impl Object {
    /// An object identified by a GUID.
    pub fn guid(kind: Option<&'static str>, id: Guid) -> Self {
        Self {
            kind: kind.map(Cow::Borrowed),
            id_type: "MS-GUID".into(),
            id: id.to_string(),
            ..Self::default()
        }
    }

    /// The ID as a GUID, when it is one.
    #[must_use]
    pub fn as_guid(&self) -> Option<Guid> {
        self.id.parse().ok()
    }

    /// The first ADDRESS of type `URL`.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.addresses
            .iter()
            .find(|a| a.kind == "URL")
            .map(|a| a.value.as_str())
    }

    /// Adds a NAME.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds an ADDRESS of type `URL`.
    #[must_use]
    pub fn at(mut self, url: impl Into<String>) -> Self {
        self.addresses.push(Address {
            kind: "URL".into(),
            value: url.into(),
        });
        self
    }

    pub(crate) fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let id = one(element, "ID")?.ok_or(XrmlError::Missing("OBJECT/ID"))?;
        let mut addresses = Vec::new();
        for address in element.children_named("ADDRESS") {
            addresses.push(Address {
                kind: attribute(address, "type").unwrap_or_default(),
                value: text(address, "ADDRESS")?,
            });
        }
        Ok(Self {
            kind: element.attribute("type").map(well_known),
            id_type: id.attribute("type").map(well_known).unwrap_or_default(),
            id: text(id, "OBJECT/ID")?,
            version: attribute(id, "version"),
            name: one(element, "NAME")?
                .map(|name| text(name, "NAME"))
                .transpose()?,
            addresses,
        })
    }
}

/// SECURITYLEVEL: a name and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityLevel {
    /// `name` attribute.
    pub name: String,
    /// `value` attribute.
    pub value: String,
}

impl SecurityLevel {
    /// A pair.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }

    pub(crate) fn read_all(parent: Element<'_>) -> Vec<Self> {
        parent
            .children_named("SECURITYLEVEL")
            .map(|level| {
                Self::new(
                    attribute(level, "name").unwrap_or_default(),
                    attribute(level, "value").unwrap_or_default(),
                )
            })
            .collect()
    }
}

/// ENABLINGBITS: a key sealed to a recipient (MS-RMPR 2.2.9.1.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnablingBits {
    /// `sealed-key` or `sealed-key-v2`.
    pub version: SealedKeyVersion,
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

impl EnablingBits {
    /// Name of the type on the wire.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.version {
            SealedKeyVersion::V1 => "sealed-key",
            SealedKeyVersion::V2 => "sealed-key-v2",
        }
    }

    /// Length in bits, as the `size` attribute says it.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bytes.len() * 8
    }

    pub(crate) fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let version = match attribute(element, "type").as_deref() {
            Some("sealed-key") => SealedKeyVersion::V1,
            Some("sealed-key-v2") => SealedKeyVersion::V2,
            other => {
                return Err(XrmlError::invalid(
                    "ENABLINGBITS type",
                    format!("{other:?}"),
                ));
            }
        };
        let value = one(element, "VALUE")?.ok_or(XrmlError::Missing("ENABLINGBITS/VALUE"))?;
        let bytes = base64_value(value, "ENABLINGBITS")?;
        check_size(value, "ENABLINGBITS", bytes.len())?;
        Ok(Self { version, bytes })
    }
}

/// DISTRIBUTIONPOINT: where a service is (MS-RMPR 2.2.9.1.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionPoint {
    /// Kind, identity, name and address.
    pub object: Object,
    /// Key of a revocation authority, where one is given.
    pub key: Option<PublicKey>,
}

impl DistributionPoint {
    /// `type` attribute of its OBJECT.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.object.kind.as_deref().unwrap_or_default()
    }

    pub(crate) fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let object =
            one(element, "OBJECT")?.ok_or(XrmlError::Missing("DISTRIBUTIONPOINT/OBJECT"))?;
        Ok(Self {
            object: Object::read(object)?,
            key: one(element, "PUBLICKEY")?
                .map(read_public_key)
                .transpose()?,
        })
    }
}

/// PUBLICKEY: little-endian modulus, decimal exponent (MS-RMPR 2.2.9.1.6).
pub(crate) fn read_public_key(element: Element<'_>) -> Result<PublicKey, XrmlError> {
    if child_text(element, "ALGORITHM", "PUBLICKEY/ALGORITHM")? != "RSA" {
        return Err(XrmlError::invalid(
            "PUBLICKEY/ALGORITHM",
            "only RSA is known",
        ));
    }
    let parameter = |name: &'static str| -> Result<Element<'_>, XrmlError> {
        let mut found = element
            .children_named("PARAMETER")
            .filter(|p| p.attribute("name").as_deref() == Some(name));
        let parameter = found.next().ok_or(XrmlError::Missing(name))?;
        if found.next().is_some() {
            return Err(XrmlError::Repeated(name));
        }
        one(parameter, "VALUE")?.ok_or(XrmlError::Missing(name))
    };
    // Keys are compared by their modulus, so no other exponent may come in beside it.
    let exponent = text(parameter("public-exponent")?, "public-exponent")?;
    if exponent != EXPONENT.to_string() {
        return Err(XrmlError::invalid(
            "public-exponent",
            format!("{exponent} is not {EXPONENT}"),
        ));
    }
    let modulus_value = parameter("modulus")?;
    let modulus = base64_value(modulus_value, "modulus")?;
    check_size(modulus_value, "modulus", modulus.len())?;
    PublicKey::from_le(&modulus, EXPONENT).map_err(|error| XrmlError::invalid("PUBLICKEY", error))
}

pub(crate) fn read_interval(element: Element<'_>) -> Result<Interval, XrmlError> {
    Ok(Interval {
        from: read_time(element, "FROM")?,
        until: read_time(element, "UNTIL")?,
    })
}

pub(crate) fn read_time(parent: Element<'_>, name: &'static str) -> Result<Time, XrmlError> {
    let element = one(parent, name)?.ok_or(XrmlError::Missing(name))?;
    borrowed_text(element, name)?
        .parse()
        .map_err(|error| XrmlError::invalid(name, error))
}

/// The only child of that name; `Repeated` when there are several.
pub(crate) fn one<'t>(
    parent: Element<'t>,
    name: &'static str,
) -> Result<Option<Element<'t>>, XrmlError> {
    let mut found = parent.children_named(name);
    let first = found.next();
    if found.next().is_some() {
        return Err(XrmlError::Repeated(name));
    }
    Ok(first)
}

pub(crate) fn child_text(
    parent: Element<'_>,
    name: &'static str,
    field: &'static str,
) -> Result<String, XrmlError> {
    text(one(parent, name)?.ok_or(XrmlError::Missing(field))?, field)
}

pub(crate) fn text(element: Element<'_>, field: &'static str) -> Result<String, XrmlError> {
    borrowed_text(element, field).map(Cow::into_owned)
}

fn borrowed_text<'t>(element: Element<'t>, field: &'static str) -> Result<Cow<'t, str>, XrmlError> {
    element
        .text()
        .ok_or_else(|| XrmlError::invalid(field, "has child elements"))
}

/// Most types are a few names that repeat in every node: those are not copied.
fn well_known(name: Cow<'_, str>) -> Cow<'static, str> {
    match WELL_KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.into_owned()),
    }
}

pub(crate) fn attribute(element: Element<'_>, name: &str) -> Option<String> {
    element.attribute(name).map(std::borrow::Cow::into_owned)
}

/// Checks the `size` attribute (in bits) of a VALUE of that many bytes.
pub(crate) fn check_size(
    value: Element<'_>,
    field: &'static str,
    bytes: usize,
) -> Result<(), XrmlError> {
    match value.attribute("size") {
        Some(size) if size != (bytes * 8).to_string() => {
            Err(XrmlError::invalid(field, "size does not match its value"))
        }
        _ => Ok(()),
    }
}

/// Decodes base64; white space inside is skipped, as signers compare values and not text.
pub(crate) fn base64_value(
    element: Element<'_>,
    field: &'static str,
) -> Result<Vec<u8>, XrmlError> {
    decode_base64(&borrowed_text(element, field)?).map_err(|error| XrmlError::invalid(field, error))
}

/// Decodes base64, white space skipped.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let bytes = text.as_bytes();
    if memchr::memchr3(b' ', b'\n', b'\r', bytes).is_some() || bytes.contains(&b'\t') {
        let joined: String = text.split_ascii_whitespace().collect();
        return STANDARD.decode(joined);
    }
    STANDARD.decode(text)
}

/// Encodes base64, as the wire has it.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Types of OBJECT and ID, the most frequent first.
const WELL_KNOWN: [&str; 9] = [
    "Unspecified",
    "Windows",
    "MS-GUID",
    "Internal",
    "Group-Identity",
    "MS-DRM-Server",
    "License-Acquisition-URL",
    "Publishing-URL",
    "Referral-Info",
];
/// The one public exponent of rights management (MS-RMPR 2.2.9.1.6).
const EXPONENT: u32 = 65_537;
