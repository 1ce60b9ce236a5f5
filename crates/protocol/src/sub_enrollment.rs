//! `SubEnroll`: an SLC for a licensing cluster, asked of its root cluster ([MS-RMPRS] 3.3.4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{CertificateChain, certificates_in};
use crate::enrollment::{EnrolleeServerInformation, Guid};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::operation::Message;
use crate::templates::base64_of;
use crate::xml::{Element, Writer};

/// Asks for an SLC: `oInput` of the request. Who may revoke it is the root cluster's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubEnroll {
    /// The server's PKCS#1 public key.
    pub public_key: Vec<u8>,
    /// Identifies the server, and keeps doing so when the SLC is renewed.
    pub guid: Guid,
    /// About the server. Its URL must be there.
    pub enrollee: EnrolleeServerInformation,
}

/// The SLC chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubEnrollResponse<'a> {
    /// The SLC, then the chain of the root cluster's own. Two nodes at least.
    pub licensor_certificate_chain: CertificateChain<'a>,
}

impl<'a> Message<'a> for SubEnroll {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        Self::decode_parameters(element.required("oInput")?, limits)
    }

    fn encode(&self, out: &mut Writer) {
        // The type of the element is `guid` of the schema, which has no braces (6.2).
        out.element("oInput", |out| {
            self.encode_parameters(out, self.guid.as_str());
        });
    }
}

impl SubEnroll {
    /// Reads `SubEnrollParameters`, on line and off line alike.
    pub(crate) fn decode_parameters(
        input: &Element<'_>,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let key = input.required("CertificatePublicKey")?;
        let bytes = key.required("aPublicKeyBytes")?.short_text(limits)?;
        let enrollee =
            EnrolleeServerInformation::decode(input.required("EnrolleeInformation")?, limits)?;
        if enrollee.url.as_deref().is_none_or(str::is_empty) {
            return Err(ProtocolError::Missing {
                element: "URL",
                parent: "EnrolleeInformation".to_owned(),
            });
        }
        Ok(Self {
            public_key: base64_of("aPublicKeyBytes", bytes)?,
            guid: key.required("Guid")?.short_text(limits)?.trim().parse()?,
            enrollee,
        })
    }

    pub(crate) fn encode_parameters(&self, out: &mut Writer, guid: &str) {
        out.element("CertificatePublicKey", |out| {
            out.leaf("aPublicKeyBytes", &STANDARD.encode(&self.public_key));
            out.leaf("Guid", guid);
        });
        out.element("EnrolleeInformation", |out| self.enrollee.encode(out));
    }
}

impl<'a> Message<'a> for SubEnrollResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        Self::decode_result(element.required("SubEnrollResult")?, limits)
    }

    fn encode(&self, out: &mut Writer) {
        out.element("SubEnrollResult", |out| self.encode_result(out));
    }
}

impl<'a> SubEnrollResponse<'a> {
    /// Reads what is below `SubEnrollResult`, on line and off line alike.
    pub(crate) fn decode_result(
        result: &Element<'a>,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let place = result.required("LicensorCertificateChain")?;
        let mut chain = CertificateChain::default();
        for entry in place.items("string", limits)? {
            chain.0.extend(certificates_in(entry)?);
        }
        if chain.len() < 2 {
            return Err(ProtocolError::BadValue {
                element: "LicensorCertificateChain",
                value: format!("{} certificates", chain.len()),
                expected: "an SLC and the chain of the root cluster's",
            });
        }
        Ok(Self {
            licensor_certificate_chain: chain,
        })
    }

    pub(crate) fn encode_result(&self, out: &mut Writer) {
        out.element("LicensorCertificateChain", |out| {
            for certificate in &self.licensor_certificate_chain {
                out.leaf("string", certificate.as_str());
            }
        });
    }
}
