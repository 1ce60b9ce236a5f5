//! Activate: security processors for machines that do not make their own ([MS-RMPR] 3.2.4.1).
//!
//! What stands in `HidXml` and `BinarySignature` is the implementation's. Here it is the hash as
//! base64, and the SIGNATURE of a certificate (2.2.9.1.12) over the bytes of an attachment. The
//! attachments stand beside the message, in the order of its results ([`crate::dime`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::CertificateChain;
use crate::dime::{self, DimeError, Layout, Payload, PayloadKind};
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::soap::SoapVersion;
use crate::templates::base64_of;
use crate::xml::{Element, Writer};

/// Asks for one security processor for each machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activate {
    /// The machines; at least one.
    pub machines: Vec<HardwareId>,
}

/// A machine as activation knows it: a hash over what is particular to it, SHA-1 in cryptographic
/// mode 1 and SHA-256 in mode 2 (3.2.4.1.2.3, product note 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HardwareId {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// A hash of another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hardware identifier is a hash of 20 or 32 bytes, not of {0}")]
pub struct NotAHardwareId(pub usize);

/// What the machines get, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivateResponse<'a> {
    /// One for each machine.
    pub items: Vec<Activated<'a>>,
}

/// What one machine gets, beside its attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated<'a> {
    /// The SPC and what is above it.
    pub machine_certificate_chain: CertificateChain<'a>,
    /// Signed over the attachment.
    pub signature: BinarySignature,
}

/// A signature over the bytes of an attachment; not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinarySignature {
    /// Name of the hash algorithm, `SHA1` or `SHA256`.
    pub hash: String,
    /// Hash of the attachment.
    pub digest: Vec<u8>,
    /// RSA over the hash.
    pub value: Vec<u8>,
}

/// Puts an envelope and its attachments into one body, of content type [`dime::CONTENT_TYPE`], as
/// the example of 4.3 does it. The first attachment is called as it is there; further ones, of which
/// the example has none, are numbered.
pub fn encode_message(
    soap: SoapVersion,
    envelope: String,
    attachments: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Vec<u8>, DimeError> {
    let mut payloads = vec![Payload {
        id: String::new(),
        kind: PayloadKind::Uri(soap.namespace().to_owned()),
        data: envelope.into_bytes(),
    }];
    payloads.extend((1..).zip(attachments).map(|(number, data)| Payload {
        id: match number {
            1 => ATTACHMENT.to_owned(),
            number => format!("{ATTACHMENT}{number}"),
        },
        kind: PayloadKind::Media("application/octet-stream".to_owned()),
        data,
    }));
    dime::encode(&payloads, Layout::default(), CHUNK)
}

/// Takes a body apart into the envelope and at most so many attachments. A body that is the envelope
/// itself, as faults are, has none: it begins as XML does, and as no DIME message.
pub fn parse_message(body: &[u8], most: usize) -> Result<(Vec<u8>, Vec<Vec<u8>>), DimeError> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if text.trim_ascii_start().starts_with(b"<") {
        return Ok((body.to_vec(), Vec::new()));
    }
    let payloads = dime::parse(body, most.saturating_add(1))?;
    let mut parts = payloads.into_iter().map(|payload| payload.data);
    let envelope = parts.next().ok_or(DimeError::Empty)?;
    Ok((envelope, parts.collect()))
}

impl HardwareId {
    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha1(hash) => hash,
            Self::Sha256(hash) => hash,
        }
    }
}

impl TryFrom<&[u8]> for HardwareId {
    type Error = NotAHardwareId;

    fn try_from(hash: &[u8]) -> Result<Self, NotAHardwareId> {
        match (hash.try_into(), hash.try_into()) {
            (Ok(hash), _) => Ok(Self::Sha1(hash)),
            (_, Ok(hash)) => Ok(Self::Sha256(hash)),
            _ => Err(NotAHardwareId(hash.len())),
        }
    }
}

/// As base64, as it travels.
impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.as_bytes()))
    }
}

impl<'a> Message<'a> for Activate {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let params = element.required("requestParams")?;
        let machines = params.items("ActivateParams", limits)?;
        let machines = machines.into_iter().map(|machine| {
            let text = text_inside(machine.required(HID)?).short_text(limits)?;
            let hash = base64_of(HID, text)?;
            HardwareId::try_from(hash.as_slice()).map_err(|_| ProtocolError::BadValue {
                element: HID,
                value: excerpt(text),
                expected: "a hash of 20 or 32 bytes",
            })
        });
        Ok(Self {
            machines: machines.collect::<Result<_, _>>()?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("requestParams", |out| {
            for machine in &self.machines {
                out.element("ActivateParams", |out| out.leaf(HID, &machine.to_string()));
            }
        });
    }
}

impl<'a> Message<'a> for ActivateResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("ActivateResult")?;
        let items = result.items("ActivateResponse", limits)?;
        let items = items.into_iter().map(|item| {
            Ok(Activated {
                machine_certificate_chain: CertificateChain::decode(
                    item.required("MachineCertificateChain")?,
                    "a certificate of the SPC chain",
                    (limits.licensee_cert_bytes, limits.body_bytes),
                    limits,
                )?,
                signature: BinarySignature::decode(item.required("BinarySignature")?, limits)?,
            })
        });
        Ok(Self {
            items: items.collect::<Result<_, ProtocolError>>()?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("ActivateResult", |out| {
            for item in &self.items {
                out.element("ActivateResponse", |out| {
                    item.machine_certificate_chain
                        .encode("MachineCertificateChain", out);
                    out.element("BinarySignature", |out| item.signature.encode(out));
                });
            }
        });
    }
}

impl BinarySignature {
    fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let signature = only(element, "SIGNATURE")?;
        let digest = only(signature, "DIGEST")?;
        let value = |element| base64_of("VALUE", only(element, "VALUE")?.short_text(limits)?);
        Ok(Self {
            hash: only(digest, "ALGORITHM")?.short_text(limits)?.to_owned(),
            digest: value(digest)?,
            value: value(signature)?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        let value = |out: &mut Writer, bytes: &[u8]| {
            let size = (bytes.len() * 8).to_string();
            out.start_with("VALUE", &[("encoding", "base64"), ("size", &size)]);
            out.text(&STANDARD.encode(bytes));
            out.end("VALUE");
        };
        out.start_in("SIGNATURE", "");
        out.element("DIGEST", |out| {
            out.leaf("ALGORITHM", &self.hash);
            value(out, &self.digest);
        });
        out.leaf("ALGORITHM", "RSA PKCS#1-V1.5");
        value(out, &self.value);
        out.end("SIGNATURE");
    }
}

/// The innermost of elements that hold nothing but one another: the example of 4.3 does not show
/// whether the hash stands in an element of its own.
fn text_inside<'e, 'a>(mut element: &'e Element<'a>) -> &'e Element<'a> {
    while let [inner] = element.children.as_slice()
        && element.text.trim().is_empty()
    {
        element = inner;
    }
    element
}

/// The one child of this name, in no namespace.
fn only<'e, 'a>(
    element: &'e Element<'a>,
    name: &'static str,
) -> Result<&'e Element<'a>, ProtocolError> {
    let mut found = element.children.iter().filter(|child| child.is("", name));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        (None, _) => Err(ProtocolError::Missing {
            element: name,
            parent: element.name.to_owned(),
        }),
        (Some(_), Some(_)) => Err(ProtocolError::Duplicate {
            element: name.to_owned(),
            parent: element.name.to_owned(),
        }),
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const HID: &str = "HidXml";
const ATTACHMENT: &str = "SecureRepository";
/// Bytes of a chunk of the example.
const CHUNK: usize = 0x1_ffff;
