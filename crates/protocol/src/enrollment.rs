//! Enroll: an SLC for a server, asked on line ([MS-RMPR] 3.6.4.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{CertificateChain, certificates_in};
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::templates::base64_of;
use crate::xml::{Element, Writer};

/// Asks for an SLC: `oInput` of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enroll {
    /// X.509 information, which enrollment services pass over. Empty when there is none.
    pub authorization: Option<String>,
    /// Who may revoke the SLC.
    pub revocation: Revocation,
    /// The server's PKCS#1 public key.
    pub public_key: Vec<u8>,
    /// Identifies the server, and keeps doing so when the SLC is renewed.
    pub guid: Guid,
    /// About the server.
    pub enrollee: EnrolleeServerInformation,
}

/// The SLC chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollResponse<'a> {
    /// SLC, enrollment service, enrollment CA, CA.
    pub licensor_certificate_chain: CertificateChain<'a>,
}

/// Who may revoke an SLC (3.6.4.1.4.3). `NonRevocable` exists in the schema but is not
/// supported and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// Its issuer.
    Standard,
    /// The holders of these PKCS#1 public keys. At least one.
    Custom(Vec<Vec<u8>>),
}

/// What a server says about itself. Only the version is looked at, and must not be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnrolleeServerInformation {
    /// Edition.
    pub sku: Option<String>,
    /// Version.
    pub version: String,
    /// Name.
    pub name: Option<String>,
    /// Base URL.
    pub url: Option<String>,
}

/// A GUID, read with or without braces, kept in lower case without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guid(String);

impl Guid {
    /// The GUID in braces: `{96c4ca87-b3ff-4ded-9c15-53272e26396f}`.
    pub fn braced(&self) -> String {
        format!("{{{}}}", self.0)
    }

    /// The GUID without braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Guid {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let inner = text
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(text);
        let groups = [8, 4, 4, 4, 12];
        let right = inner.split('-').count() == groups.len()
            && inner.split('-').zip(groups).all(|(group, length)| {
                group.len() == length && group.bytes().all(|b| b.is_ascii_hexdigit())
            });
        if right {
            Ok(Self(inner.to_ascii_lowercase()))
        } else {
            Err(ProtocolError::BadValue {
                element: "Guid",
                value: excerpt(text),
                expected: "a GUID",
            })
        }
    }
}

impl<'a> Message<'a> for Enroll {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        Self::decode_parameters(element.required("oInput")?, limits)
    }

    fn encode(&self, out: &mut Writer) {
        out.element("oInput", |out| {
            out.element("AuthorizationInformation", |out| {
                out.optional_leaf("SignedDataBase64Encoded", self.authorization.as_deref());
            });
            out.element("RevocationInformation", |out| self.revocation.encode(out));
            out.element("CertificatePublicKey", |out| {
                out.leaf("aPublicKeyBytes", &STANDARD.encode(&self.public_key));
                out.leaf("Guid", self.guid.as_str());
            });
            out.element("EnrolleeInformation", |out| self.enrollee.encode(out));
        });
    }
}

impl Enroll {
    /// Reads `EnrollParameters`, on line and off line alike.
    pub(crate) fn decode_parameters(
        input: &Element<'_>,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let authorization = match input.child("AuthorizationInformation")? {
            Some(information) => information.text_of("SignedDataBase64Encoded", limits)?,
            None => None,
        };
        let key = input.required("CertificatePublicKey")?;
        let bytes = key.required("aPublicKeyBytes")?.short_text(limits)?;
        Ok(Self {
            authorization,
            revocation: Revocation::decode(input.required("RevocationInformation")?, limits)?,
            public_key: base64_of("aPublicKeyBytes", bytes)?,
            guid: key.required("Guid")?.short_text(limits)?.trim().parse()?,
            enrollee: EnrolleeServerInformation::decode(
                input.required("EnrolleeInformation")?,
                limits,
            )?,
        })
    }
}

impl Revocation {
    pub(crate) fn encode(&self, out: &mut Writer) {
        match self {
            Self::Standard => out.leaf("RevocationType", STANDARD_REVOCATION),
            Self::Custom(keys) => {
                out.leaf("RevocationType", CUSTOM_REVOCATION);
                out.element("aRevocationAuthorities", |out| {
                    for key in keys {
                        out.element("RevocationAuthorityInformation", |out| {
                            out.leaf("aRevocationAuthorityPublicKey", &STANDARD.encode(key));
                        });
                    }
                });
            }
        }
    }

    fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let mut keys = Vec::new();
        if let Some(array) = element.child("aRevocationAuthorities")? {
            for entry in array.any_items("RevocationAuthorityInformation", limits)? {
                let name = "aRevocationAuthorityPublicKey";
                keys.push(base64_of(name, entry.required(name)?.short_text(limits)?)?);
            }
        }
        let kind = element
            .required("RevocationType")?
            .short_text(limits)?
            .trim();
        let wrong = |expected| ProtocolError::BadValue {
            element: "RevocationType",
            value: excerpt(kind),
            expected,
        };
        match (kind, keys.is_empty()) {
            (STANDARD_REVOCATION, true) => Ok(Self::Standard),
            (STANDARD_REVOCATION, false) => Err(wrong("custom, though authorities are named")),
            (CUSTOM_REVOCATION, false) => Ok(Self::Custom(keys)),
            (CUSTOM_REVOCATION, true) => Err(ProtocolError::Missing {
                element: "RevocationAuthorityInformation",
                parent: "aRevocationAuthorities".to_owned(),
            }),
            _ => Err(wrong("StandardRevocation or CustomRevocation")),
        }
    }
}

impl EnrolleeServerInformation {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.optional_leaf("SKU", self.sku.as_deref());
        out.leaf("Version", &self.version);
        out.optional_leaf("Name", self.name.as_deref());
        out.optional_leaf("URL", self.url.as_deref());
    }

    pub(crate) fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let version = element
            .text_of("Version", limits)?
            .filter(|version| !version.is_empty());
        Ok(Self {
            sku: element.text_of("SKU", limits)?,
            version: version.ok_or_else(|| ProtocolError::Missing {
                element: "Version",
                parent: element.name.to_owned(),
            })?,
            name: element.text_of("Name", limits)?,
            url: element.text_of("URL", limits)?,
        })
    }
}

impl<'a> Message<'a> for EnrollResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("EnrollResult")?;
        let chain = result.required("LicensorCertificateChain")?;
        let mut all = CertificateChain::default();
        for entry in chain.items("string", limits)? {
            all.0.extend(certificates_in(entry)?);
        }
        four(all).map(|licensor_certificate_chain| Self {
            licensor_certificate_chain,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("EnrollResult", |out| {
            out.element("LicensorCertificateChain", |out| {
                for certificate in &self.licensor_certificate_chain {
                    out.leaf("string", certificate.as_str());
                }
            });
        });
    }
}

/// The chain, when it has the four nodes it must have (3.6.4.1.4.7).
pub(crate) fn four(chain: CertificateChain<'_>) -> Result<CertificateChain<'_>, ProtocolError> {
    if chain.len() == CHAIN_NODES {
        Ok(chain)
    } else {
        Err(ProtocolError::BadValue {
            element: "LicensorCertificateChain",
            value: format!("{} certificates", chain.len()),
            expected: "SLC, enrollment service, enrollment CA and CA",
        })
    }
}

const CHAIN_NODES: usize = 4;
const STANDARD_REVOCATION: &str = "StandardRevocation";
const CUSTOM_REVOCATION: &str = "CustomRevocation";
