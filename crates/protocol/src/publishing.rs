//! Publishing: PLs signed on line, and CLCs for publishing off line ([MS-RMPR] 3.5).

use crate::certificate::{CertificateChain, CertificateText, certificate_in};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks the server to sign PLs (3.5.4.1). At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireIssuanceLicense<'a> {
    /// The unsigned PLs.
    pub unsigned_issuance_licenses: Vec<CertificateText<'a>>,
}

/// Signed PL chains, one for each PL sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireIssuanceLicenseResponse<'a> {
    /// PL and SLC.
    pub certificate_chains: Vec<CertificateChain<'a>>,
}

/// Asks for CLCs (3.5.4.2). At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetClientLicensorCert<'a> {
    /// RAC chains.
    pub persona_certs: Vec<CertificateChain<'a>>,
}

/// CLC chains, one for each RAC chain sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetClientLicensorCertResponse<'a> {
    /// CLC, SLC and what is above.
    pub certificate_chains: Vec<CertificateChain<'a>>,
}

impl<'a> Message<'a> for AcquireIssuanceLicense<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("RequestParams")?;
        let mut unsigned_issuance_licenses = Vec::new();
        for params in array.items("AcquireIssuanceLicenseParams", limits)? {
            let license = certificate_in(params.required("UnsignedIssuanceLicense")?)?;
            let (length, limit) = (license.as_str().len(), limits.issuance_license_bytes);
            if length > limit {
                let what = "an unsigned issuance license";
                return Err(ProtocolError::TooLarge {
                    what,
                    length,
                    limit,
                });
            }
            unsigned_issuance_licenses.push(license);
        }
        Ok(Self {
            unsigned_issuance_licenses,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("RequestParams", |out| {
            for license in &self.unsigned_issuance_licenses {
                out.element("AcquireIssuanceLicenseParams", |out| {
                    out.element("UnsignedIssuanceLicense", |out| out.raw(license.as_str()));
                });
            }
        });
    }
}

impl<'a> Message<'a> for GetClientLicensorCert<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("RequestParams")?;
        let mut persona_certs = Vec::new();
        for params in array.items("GetClientLicensorCertParams", limits)? {
            persona_certs.push(CertificateChain::decode(
                params.required("PersonaCerts")?,
                "a persona certificate",
                (limits.licensee_cert_bytes, limits.body_bytes),
                limits,
            )?);
        }
        Ok(Self { persona_certs })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("RequestParams", |out| {
            for chain in &self.persona_certs {
                out.element("GetClientLicensorCertParams", |out| {
                    chain.encode("PersonaCerts", out);
                });
            }
        });
    }
}

impl<'a> Message<'a> for AcquireIssuanceLicenseResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("AcquireIssuanceLicenseResult")?;
        let certificate_chains = chains(result, "AcquireIssuanceLicenseResponse", limits)?;
        Ok(Self { certificate_chains })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("AcquireIssuanceLicenseResult", |out| {
            for chain in &self.certificate_chains {
                out.element("AcquireIssuanceLicenseResponse", |out| {
                    chain.encode("CertificateChain", out);
                });
            }
        });
    }
}

impl<'a> Message<'a> for GetClientLicensorCertResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("GetClientLicensorCertResult")?;
        let certificate_chains = chains(result, "GetClientLicensorCertResponse", limits)?;
        Ok(Self { certificate_chains })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("GetClientLicensorCertResult", |out| {
            for chain in &self.certificate_chains {
                out.element("GetClientLicensorCertResponse", |out| {
                    chain.encode("CertificateChain", out);
                });
            }
        });
    }
}

fn chains<'a>(
    result: &Element<'a>,
    entry: &'static str,
    limits: &Limits,
) -> Result<Vec<CertificateChain<'a>>, ProtocolError> {
    let bounds = (limits.issuance_license_bytes, limits.body_bytes);
    let entries = result.items(entry, limits)?;
    entries
        .into_iter()
        .map(|entry| {
            let chain = entry.required("CertificateChain")?;
            CertificateChain::decode(chain, "a certificate of the chain", bounds, limits)
        })
        .collect()
}
