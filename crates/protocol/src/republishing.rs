//! `EditIssuanceLicense`: a PL signed anew with other rights for the same content ([MS-RMSI]
//! 3.4.4.1).

use crate::certificate::{CertificateChain, CertificateText, certificate_in, certificates_in};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for a PL to be republished; exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditIssuanceLicense<'a> {
    /// The PL that holds until now. The specification wants the leaf alone; a PL that was signed
    /// off line cannot be verified without the CLC, which may therefore stand behind it.
    pub signed_issuance_license: CertificateChain<'a>,
    /// A PL with the new rights.
    pub unsigned_issuance_license: CertificateText<'a>,
}

/// The PL signed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditIssuanceLicenseResponse<'a> {
    /// The leaf alone.
    pub certificate_chain: CertificateChain<'a>,
}

impl<'a> Message<'a> for EditIssuanceLicense<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("RequestParams")?;
        let params = array.only_item("EditIssuanceLicenseParams", limits)?;
        let signed = CertificateChain(certificates_in(params.required(SIGNED)?)?);
        if signed.is_empty() {
            return Err(ProtocolError::Missing {
                element: "XrML",
                parent: SIGNED.to_owned(),
            });
        }
        let limit = limits.certificates_per_chain;
        if signed.len() > limit {
            let what = "certificates in a chain";
            return Err(ProtocolError::TooMany { what, limit });
        }
        let unsigned = certificate_in(params.required(UNSIGNED)?)?;
        let limit = limits.issuance_license_bytes;
        for length in [signed.total_bytes(), unsigned.as_str().len()] {
            if length > limit {
                let what = "an issuance license";
                return Err(ProtocolError::TooLarge {
                    what,
                    length,
                    limit,
                });
            }
        }
        Ok(Self {
            signed_issuance_license: signed,
            unsigned_issuance_license: unsigned,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("RequestParams", |out| {
            out.element("EditIssuanceLicenseParams", |out| {
                out.element(SIGNED, |out| {
                    for certificate in &self.signed_issuance_license {
                        out.raw(certificate.as_str());
                    }
                });
                let unsigned = &self.unsigned_issuance_license;
                out.element(UNSIGNED, |out| out.raw(unsigned.as_str()));
            });
        });
    }
}

impl<'a> Message<'a> for EditIssuanceLicenseResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("EditIssuanceLicenseResult")?;
        let entry = result.only_item("EditIssuanceLicenseResponse", limits)?;
        let bounds = (limits.issuance_license_bytes, limits.body_bytes);
        let chain = entry.required("CertificateChain")?;
        let what = "a certificate of the chain";
        CertificateChain::decode(chain, what, bounds, limits)
            .map(|certificate_chain| Self { certificate_chain })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("EditIssuanceLicenseResult", |out| {
            out.element("EditIssuanceLicenseResponse", |out| {
                self.certificate_chain.encode("CertificateChain", out);
            });
        });
    }
}

const SIGNED: &str = "SignedIssuanceLicense";
const UNSIGNED: &str = "UnsignedIssuanceLicense";
