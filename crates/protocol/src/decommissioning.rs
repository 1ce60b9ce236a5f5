//! `AcquireContentKey`: a content key in clear, from a cluster that has ended ([MS-RMSI] 3.2.4.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::certificate::CertificateChain;
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for the content key of a PL. Of several PLs in one message only the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireContentKey<'a> {
    /// The PL, with what is above it.
    pub issuance_license: CertificateChain<'a>,
}

/// The content key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireContentKeyResponse {
    /// The key itself.
    pub content_key: ClearKey,
    /// What it is a key for.
    pub key_type: KeyType,
}

/// A content key outside of anything sealed. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClearKey(Zeroizing<Vec<u8>>);

/// The kind of a key (3.2.4.1.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// None of the others.
    Unknown,
    /// 56-bit DES.
    Des,
    /// AES of the key's length.
    Aes,
    /// RSA.
    Rsa,
}

impl ClearKey {
    /// Takes a key.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The raw key. Named so that every use stands out in review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClearKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClearKey")
    }
}

impl KeyType {
    /// Every kind, in the order of the schema.
    pub const ALL: &'static [Self] = &[Self::Unknown, Self::Des, Self::Aes, Self::Rsa];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Des => "DES",
            Self::Aes => "AES",
            Self::Rsa => "RSA",
        }
    }
}

impl FromStr for KeyType {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| ProtocolError::BadValue {
            element: "ContentKeyType",
            value: excerpt(text),
            expected: "a KeyType",
        })
    }
}

impl<'a> Message<'a> for AcquireContentKey<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("paramsSoap")?;
        let items = array.any_items(PARAMS, limits)?;
        let first = items.first().filter(|item| !item.nil);
        let first = first.ok_or_else(|| ProtocolError::Missing {
            element: PARAMS,
            parent: array.name.to_owned(),
        })?;
        let bounds = (limits.issuance_license_bytes, limits.issuance_license_bytes);
        let license = first.required("IssuanceLicense")?;
        CertificateChain::decode(license, "an issuance license", bounds, limits)
            .map(|issuance_license| Self { issuance_license })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("paramsSoap", |out| {
            out.element(PARAMS, |out| {
                self.issuance_license.encode("IssuanceLicense", out);
            });
        });
    }
}

impl Message<'_> for AcquireContentKeyResponse {
    fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("AcquireContentKeyResult")?;
        let entry = result.only_item("AcquireContentKeyResponse", limits)?;
        let key = entry.required("ContentKey")?.short_text(limits)?;
        let kind = entry.required("ContentKeyType")?.short_text(limits)?;
        Ok(Self {
            content_key: decode_key(key)?,
            key_type: kind.trim().parse()?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        let key = Zeroizing::new(STANDARD.encode(self.content_key.expose()));
        out.element("AcquireContentKeyResult", |out| {
            out.element("AcquireContentKeyResponse", |out| {
                out.leaf("ContentKey", &key);
                out.leaf("ContentKeyType", self.key_type.as_str());
            });
        });
    }
}

/// Reads the key; what does not read as one is not quoted, for it may be most of one.
fn decode_key(text: &str) -> Result<ClearKey, ProtocolError> {
    let packed: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|c| !c.is_ascii_whitespace())
            .take(LONGEST_TEXT + 1)
            .collect(),
    );
    let key = STANDARD.decode(&*packed).ok();
    key.filter(|key| !key.is_empty() && packed.len() <= LONGEST_TEXT)
        .map(ClearKey::new)
        .ok_or_else(|| ProtocolError::BadValue {
            element: "ContentKey",
            value: format!("{} characters", text.len()),
            expected: "a key in base64",
        })
}

const PARAMS: &str = "AcquireContentKeyParams";
/// More than the longest key of any kind takes in base64.
const LONGEST_TEXT: usize = 8192;
