//! `AcquirePreLicense`: ULs on behalf of recipients, by their mail addresses ([MS-RMSI] 3.5.4.1).

use crate::certificate::{CertificateChain, CertificateText, certificate_in};
use crate::error::ProtocolError;
use crate::fault::Fault;
use crate::licensing::{find_exception, read_exception, write_exception};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for ULs. At least one item; [`Limits::batch_items`] bounds the recipients of all items
/// together, since each is a UL to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquirePreLicense<'a> {
    /// What is asked for.
    pub items: Vec<AcquirePreLicenseParams<'a>>,
}

/// ULs asked for one PL. Application data is unused (3.5.4.1) and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquirePreLicenseParams<'a> {
    /// The recipients' mail addresses, at least one.
    pub licensee_identities: Vec<String>,
    /// The PL. The specification wants the leaf alone; a PL that was signed off line cannot be
    /// verified without the CLC, which may therefore stand behind it.
    pub issuance_license: CertificateChain<'a>,
}

/// One answer for every item asked for, in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquirePreLicenseResponse<'a> {
    /// The answers.
    pub items: Vec<PreLicenses<'a>>,
}

/// The answer about one PL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreLicenses<'a> {
    /// One for each recipient, in the same order.
    pub licenses: Vec<PreLicenseOutcome<'a>>,
    /// SLC and what is above: with it each UL is a chain.
    pub certificate_chain: CertificateChain<'a>,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreLicenseOutcome<'a> {
    /// A UL.
    License(CertificateText<'a>),
    /// The reason why not, given in place of the UL.
    Exception(AcquirePreLicenseException),
}

/// Why one recipient got no UL (3.5.4.1.3.5). Callers look for
/// [`NoRightsForRequestedPrincipal`](crate::FaultCode::NoRightsForRequestedPrincipal) alone; the
/// rest is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquirePreLicenseException {
    /// The exception, in the form of a fault.
    pub fault: Fault,
    /// Index of the recipient in the item, from 0.
    pub batch_index: u32,
}

impl<'a> AcquirePreLicense<'a> {
    /// A request about one PL.
    pub fn single(params: AcquirePreLicenseParams<'a>) -> Self {
        Self {
            items: vec![params],
        }
    }
}

impl<'a> Message<'a> for AcquirePreLicense<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("RequestParams")?;
        let mut items = Vec::new();
        let mut recipients: usize = 0;
        for params in array.items("AcquirePreLicenseParams", limits)? {
            let identities = params.required("LicenseeIdentities")?;
            let licensee_identities = identities
                .items("string", limits)?
                .into_iter()
                .map(|identity| identity.short_text(limits).map(str::to_owned))
                .collect::<Result<Vec<_>, _>>()?;
            recipients = recipients.saturating_add(licensee_identities.len());
            if recipients > limits.batch_items {
                return Err(ProtocolError::TooMany {
                    what: "LicenseeIdentities",
                    limit: limits.batch_items,
                });
            }
            let bounds = (limits.issuance_license_bytes, limits.issuance_license_bytes);
            let license = params.required("IssuanceLicense")?;
            items.push(AcquirePreLicenseParams {
                licensee_identities,
                issuance_license: CertificateChain::decode(
                    license,
                    "an issuance license",
                    bounds,
                    limits,
                )?,
            });
        }
        Ok(Self { items })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("RequestParams", |out| {
            for item in &self.items {
                out.element("AcquirePreLicenseParams", |out| {
                    out.element("LicenseeIdentities", |out| {
                        for identity in &item.licensee_identities {
                            out.leaf("string", identity);
                        }
                    });
                    item.issuance_license.encode("IssuanceLicense", out);
                });
            }
        });
    }
}

impl<'a> Message<'a> for AcquirePreLicenseResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("AcquirePreLicenseResult")?;
        let items = result.items("AcquirePreLicenseResponse", limits)?;
        items
            .into_iter()
            .map(|item| PreLicenses::decode(item, limits))
            .collect::<Result<_, _>>()
            .map(|items| Self { items })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("AcquirePreLicenseResult", |out| {
            for item in &self.items {
                out.element("AcquirePreLicenseResponse", |out| item.encode(out));
            }
        });
    }
}

impl<'a> PreLicenses<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let licenses = element.required("Licenses")?;
        let bounds = (limits.issuance_license_bytes, limits.body_bytes);
        let chain = element.required("CertificateChain")?;
        Ok(Self {
            licenses: licenses
                .items("Certificate", limits)?
                .into_iter()
                .map(|entry| PreLicenseOutcome::decode(entry, limits))
                .collect::<Result<_, _>>()?,
            certificate_chain: CertificateChain::decode(
                chain,
                "a certificate of the UL chain",
                bounds,
                limits,
            )?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("Licenses", |out| {
            for outcome in &self.licenses {
                out.element("Certificate", |out| match outcome {
                    PreLicenseOutcome::License(license) => out.raw(license.as_str()),
                    PreLicenseOutcome::Exception(exception) => {
                        write_exception(EXCEPTION, &exception.fault, exception.batch_index, out);
                    }
                });
            }
        });
        self.certificate_chain.encode("CertificateChain", out);
        out.element("ReferenceCertificates", |_| {});
    }
}

impl<'a> PreLicenseOutcome<'a> {
    fn decode(entry: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        if let Some(exception) = find_exception(EXCEPTION, &entry.children) {
            let (fault, batch_index) = read_exception(exception, limits)?;
            return Ok(Self::Exception(AcquirePreLicenseException {
                fault,
                batch_index,
            }));
        }
        let license = certificate_in(entry)?;
        let (length, limit) = (license.as_str().len(), limits.issuance_license_bytes);
        if length > limit {
            return Err(ProtocolError::TooLarge {
                what: "a use license",
                length,
                limit,
            });
        }
        Ok(Self::License(license))
    }
}

const EXCEPTION: &str = "AcquirePreLicenseException";
