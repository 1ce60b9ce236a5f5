//! Certify: a RAC for a machine and an authenticated account ([MS-RMPR] 3.3.4.1).

use crate::certificate::CertificateChain;
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for a RAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certify<'a> {
    /// The SPC chain.
    pub machine_certificate_chain: CertificateChain<'a>,
    /// `true` for a persistent RAC, `false` for a temporary one. Section 3.3.4.1.3.1 says the
    /// contrary; the name, section 3.3.4.1 and Windows clients agree on this meaning.
    pub persistent: bool,
}

/// The RAC chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifyResponse<'a> {
    /// RAC, SLC and what is above.
    pub certificate_chain: CertificateChain<'a>,
    /// Kept on the wire for old clients; means nothing.
    pub quota: Option<QuotaResponse>,
}

/// A quota nobody uses any more (3.3.4.1.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaResponse {
    /// Always true.
    pub verified: bool,
    /// Any number below `maximum`.
    pub current_consumption: i32,
    /// Any number.
    pub maximum: i32,
}

impl QuotaResponse {
    /// What a production server of the product answers (note <40>).
    pub const PRODUCTION: Self = Self {
        verified: true,
        current_consumption: 5,
        maximum: 10,
    };
}

impl<'a> Message<'a> for Certify<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let params = element.required("requestParams")?;
        let bounds = (limits.licensee_cert_bytes, limits.body_bytes);
        let chain = params.required("MachineCertificateChain")?;
        Ok(Self {
            machine_certificate_chain: CertificateChain::decode(
                chain,
                "a machine certificate",
                bounds,
                limits,
            )?,
            persistent: boolean(params, "Persistent", limits)?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("requestParams", |out| {
            self.machine_certificate_chain
                .encode("MachineCertificateChain", out);
            out.leaf("Persistent", if self.persistent { "true" } else { "false" });
        });
    }
}

impl<'a> Message<'a> for CertifyResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("CertifyResult")?;
        let quota = match result.child("Quota")? {
            None => None,
            Some(quota) => Some(QuotaResponse {
                verified: boolean(quota, "Verified", limits)?,
                current_consumption: integer(quota, "CurrentConsumption", limits)?,
                maximum: integer(quota, "Maximum", limits)?,
            }),
        };
        Ok(Self {
            certificate_chain: CertificateChain::decode(
                result.required("CertificateChain")?,
                "a certificate of the RAC chain",
                (limits.licensee_cert_bytes, limits.body_bytes),
                limits,
            )?,
            quota,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("CertifyResult", |out| {
            self.certificate_chain.encode("CertificateChain", out);
            if let Some(quota) = self.quota {
                out.element("Quota", |out| {
                    out.leaf("Verified", if quota.verified { "true" } else { "false" });
                    out.leaf("CurrentConsumption", &quota.current_consumption.to_string());
                    out.leaf("Maximum", &quota.maximum.to_string());
                });
            }
        });
    }
}

/// A required `xs:boolean`.
pub(crate) fn boolean(
    parent: &Element<'_>,
    name: &'static str,
    limits: &Limits,
) -> Result<bool, ProtocolError> {
    let text = parent.required(name)?.short_text(limits)?;
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(ProtocolError::BadValue {
            element: name,
            value: excerpt(other),
            expected: "a boolean",
        }),
    }
}

/// A required `xs:int`.
pub(crate) fn integer(
    parent: &Element<'_>,
    name: &'static str,
    limits: &Limits,
) -> Result<i32, ProtocolError> {
    let text = parent.required(name)?.short_text(limits)?.trim();
    text.parse().map_err(|_| ProtocolError::BadValue {
        element: name,
        value: excerpt(text),
        expected: "a whole number of 32 bits",
    })
}
