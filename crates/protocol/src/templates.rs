//! Rights policy templates: which there are, and their text ([MS-RMPR] 3.4.4.2, 3.4.4.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certification::integer;
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks which templates there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AcquireTemplateInformation;

/// Which templates there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireTemplateInformationResponse {
    /// The PKCS#1 public key of the SLC, by which a client tells servers apart; not for
    /// cryptography.
    pub server_public_key: Vec<u8>,
    /// One entry for each template. `GuidHashCount` on the wire is its length.
    pub templates: Vec<GuidHash>,
}

/// A template's identifier and hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GuidHash {
    /// Its GUID in braces.
    pub guid: String,
    /// Base64 of the digest in its SIGNATURE.
    pub hash: String,
}

/// Asks for templates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcquireTemplates {
    /// GUIDs of the templates, as they came in [`GuidHash::guid`]. May be empty.
    pub guids: Vec<String>,
}

/// Templates, one for each GUID asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcquireTemplatesResponse {
    /// The templates. The specification has at most 25 in one answer.
    pub templates: Vec<GuidTemplate>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GuidTemplate {
    /// Its GUID in braces.
    pub guid: String,
    /// Base64 of the digest in its SIGNATURE; absent when there is no such template.
    pub hash: Option<String>,
    /// Its raw XrML text; absent when there is no such template.
    pub template: Option<String>,
}

/// Templates in one answer (3.4.4.3.3.1).
pub const TEMPLATES_PER_ANSWER: usize = 25;

impl<'a> Message<'a> for AcquireTemplateInformation {
    fn decode(_: &Element<'a>, _: &Limits) -> Result<Self, ProtocolError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Writer) {}
}

impl<'a> Message<'a> for AcquireTemplateInformationResponse {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("AcquireTemplateInformationResult")?;
        let key = result.required("ServerPublicKey")?.short_text(limits)?;
        let mut templates = Vec::new();
        for entry in result.any_items("GuidHash", limits)? {
            templates.push(GuidHash {
                guid: entry.required("Guid")?.short_text(limits)?.to_owned(),
                hash: entry.required("Hash")?.short_text(limits)?.to_owned(),
            });
        }
        let count = integer(result, "GuidHashCount", limits)?;
        if usize::try_from(count) != Ok(templates.len()) {
            return Err(ProtocolError::BadValue {
                element: "GuidHashCount",
                value: count.to_string(),
                expected: "the number of GuidHash elements",
            });
        }
        Ok(Self {
            server_public_key: base64_of("ServerPublicKey", key)?,
            templates,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("AcquireTemplateInformationResult", |out| {
            out.leaf("ServerPublicKey", &STANDARD.encode(&self.server_public_key));
            out.leaf("GuidHashCount", &self.templates.len().to_string());
            for template in &self.templates {
                out.element("GuidHash", |out| {
                    out.leaf("Guid", &template.guid);
                    out.leaf("Hash", &template.hash);
                });
            }
        });
    }
}

impl<'a> Message<'a> for AcquireTemplates {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let guids = element.required("guids")?;
        let mut all = Vec::new();
        for guid in guids.any_items("string", limits)? {
            if guid.nil {
                return Err(ProtocolError::Missing {
                    element: "string",
                    parent: "guids".to_owned(),
                });
            }
            all.push(guid.short_text(limits)?.trim().to_owned());
        }
        Ok(Self { guids: all })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("guids", |out| {
            for guid in &self.guids {
                out.leaf("string", guid);
            }
        });
    }
}

impl<'a> Message<'a> for AcquireTemplatesResponse {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let mut templates = Vec::new();
        if let Some(result) = element.child("AcquireTemplatesResult")? {
            for entry in result.any_items("GuidTemplate", limits)? {
                if entry.nil {
                    continue;
                }
                templates.push(GuidTemplate {
                    guid: entry.required("Guid")?.short_text(limits)?.to_owned(),
                    hash: entry.text_of("Hash", limits)?,
                    template: entry.text_of("Template", limits)?,
                });
            }
        }
        Ok(Self { templates })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("AcquireTemplatesResult", |out| {
            for template in &self.templates {
                out.element("GuidTemplate", |out| {
                    out.leaf("Guid", &template.guid);
                    out.optional_leaf("Hash", template.hash.as_deref());
                    out.optional_leaf("Template", template.template.as_deref());
                });
            }
        });
    }
}

/// Bytes of a base64 value; white space in it is passed over, as `xs:base64Binary` has it.
pub(crate) fn base64_of(element: &'static str, text: &str) -> Result<Vec<u8>, ProtocolError> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(packed)
        .map_err(|_| ProtocolError::BadValue {
            element,
            value: excerpt(text),
            expected: "base64",
        })
}
