//! `AcquireLicense`: ULs for PLs, one or many in a request ([MS-RMPR] 3.4.4.1).

use std::borrow::Cow;

use crate::certificate::{CertificateChain, certificates_in};
use crate::certification::integer;
use crate::error::ProtocolError;
use crate::fault::{Fault, FaultClass};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for ULs. There is at least one item, and the first has a PL: that is checked on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireLicense<'a> {
    /// What is asked for; more than one only from data version 1.1.0.0 on.
    pub items: Vec<AcquireLicenseParams<'a>>,
}

/// One UL asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireLicenseParams<'a> {
    /// The RAC chain.
    pub licensee_certs: CertificateChain<'a>,
    /// The PL chain; absent means that of the last item before which has one.
    pub issuance_license: Option<CertificateChain<'a>>,
    /// Raw XML or text from the application, not interpreted; prefixes in it may be declared
    /// outside of it. Absent and empty both mean null.
    pub application_data: Option<Cow<'a, str>>,
}

/// One answer for every item asked for, in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireLicenseResponse<'a> {
    /// The answers.
    pub items: Vec<LicenseOutcome<'a>>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LicenseOutcome<'a> {
    /// A UL.
    License {
        /// UL, SLC and what is above.
        certificate_chain: CertificateChain<'a>,
        /// Other certificates: empty with every known server (note <44>).
        reference_certificates: CertificateChain<'a>,
    },
    /// The reason why not, given in place of the UL.
    Exception(AcquireLicenseException),
}

/// Why one item of a batch failed (3.4.4.1.3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireLicenseException {
    /// The exception, in the form of a fault.
    pub fault: Fault,
    /// Index of the item in the request, from 0.
    pub batch_index: u32,
}

impl<'a> AcquireLicense<'a> {
    /// A request for one UL.
    pub fn single(params: AcquireLicenseParams<'a>) -> Self {
        Self {
            items: vec![params],
        }
    }

    /// The items, each with the PL that holds for it.
    pub fn resolved(
        &self,
    ) -> impl Iterator<Item = (&AcquireLicenseParams<'a>, Option<&CertificateChain<'a>>)> {
        self.items.iter().scan(None, |current, item| {
            *current = item.issuance_license.as_ref().or(*current);
            Some((item, *current))
        })
    }
}

impl<'a> LicenseOutcome<'a> {
    /// A UL without reference certificates.
    pub fn license(certificate_chain: CertificateChain<'a>) -> Self {
        Self::License {
            certificate_chain,
            reference_certificates: CertificateChain::default(),
        }
    }
}

impl<'a> Message<'a> for AcquireLicense<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("RequestParams")?;
        let mut items = Vec::new();
        for params in array.items("AcquireLicenseParams", limits)? {
            let licensee_certs = CertificateChain::decode(
                params.required("LicenseeCerts")?,
                "a licensee certificate",
                (limits.licensee_cert_bytes, limits.body_bytes),
                limits,
            )?;
            let pl = match params.child("IssuanceLicense")? {
                Some(pl) if pl.children_named("Certificate").next().is_some() => Some(pl),
                _ => None,
            };
            let bounds = (limits.issuance_license_bytes, limits.issuance_license_bytes);
            let issuance_license = match pl {
                Some(pl) => Some(CertificateChain::decode(
                    pl,
                    "an issuance license",
                    bounds,
                    limits,
                )?),
                None if items.is_empty() => {
                    return Err(ProtocolError::Missing {
                        element: "IssuanceLicense",
                        parent: "AcquireLicenseParams".to_owned(),
                    });
                }
                None => None,
            };
            let application_data = params.child("ApplicationData")?.map(|data| data.raw.trim());
            if let Some(data) = application_data {
                let (length, limit) = (data.len(), limits.application_data_bytes);
                if length > limit {
                    let what = "the application data";
                    return Err(ProtocolError::TooLarge {
                        what,
                        length,
                        limit,
                    });
                }
            }
            items.push(AcquireLicenseParams {
                licensee_certs,
                issuance_license,
                application_data: application_data
                    .filter(|data| !data.is_empty())
                    .map(Cow::Borrowed),
            });
        }
        Ok(Self { items })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("RequestParams", |out| {
            for item in &self.items {
                out.element("AcquireLicenseParams", |out| {
                    item.licensee_certs.encode("LicenseeCerts", out);
                    if let Some(pl) = &item.issuance_license {
                        pl.encode("IssuanceLicense", out);
                    }
                    let data = item.application_data.as_deref().unwrap_or_default();
                    out.element("ApplicationData", |out| write_application_data(data, out));
                });
            }
        });
    }
}

impl<'a> Message<'a> for AcquireLicenseResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("AcquireLicenseResult")?;
        let items = result.items("AcquireLicenseResponse", limits)?;
        items
            .into_iter()
            .map(|item| outcome(item, limits))
            .collect::<Result<_, _>>()
            .map(|items| Self { items })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("AcquireLicenseResult", |out| {
            for item in &self.items {
                out.element("AcquireLicenseResponse", |out| match item {
                    LicenseOutcome::License {
                        certificate_chain,
                        reference_certificates,
                    } => {
                        certificate_chain.encode("CertificateChain", out);
                        reference_certificates.encode("ReferenceCertificates", out);
                    }
                    LicenseOutcome::Exception(exception) => {
                        out.element("CertificateChain", |out| {
                            out.element("Certificate", |out| {
                                let AcquireLicenseException { fault, batch_index } = exception;
                                write_exception(EXCEPTION, fault, *batch_index, out);
                            });
                        });
                        out.element("ReferenceCertificates", |_| {});
                    }
                });
            }
        });
    }
}

/// The exception that stands in place of a certificate, if one does.
pub(crate) fn find_exception<'e, 'a>(
    name: &str,
    children: impl IntoIterator<Item = &'e Element<'a>>,
) -> Option<&'e Element<'a>>
where
    'a: 'e,
{
    children.into_iter().find(|child| child.name == name)
}

/// Writes the exception of one item of a batch.
pub(crate) fn write_exception(name: &str, fault: &Fault, batch_index: u32, out: &mut Writer) {
    out.start_in(name, "");
    out.leaf("ExceptionString", &fault.fault_string());
    out.leaf("batchindex", &batch_index.to_string());
    out.end(name);
}

/// Reads the exception of one item of a batch: the fault and the item's index.
pub(crate) fn read_exception(
    element: &Element<'_>,
    limits: &Limits,
) -> Result<(Fault, u32), ProtocolError> {
    let text = element
        .text_of("ExceptionString", limits)?
        .unwrap_or_default();
    let index = integer(element, "batchindex", limits)?;
    let batch_index = u32::try_from(index).map_err(|_| ProtocolError::BadValue {
        element: "batchindex",
        value: index.to_string(),
        expected: "an index from 0",
    })?;
    Ok((
        Fault::from_fault_string(FaultClass::Server, &text),
        batch_index,
    ))
}

fn outcome<'a>(item: &Element<'a>, limits: &Limits) -> Result<LicenseOutcome<'a>, ProtocolError> {
    let chain = item.required("CertificateChain")?;
    // The exception stands for the certificate: inside `Certificate`, as the type of the chain
    // wants it, or bare, as the prose reads.
    let places = std::iter::once(chain).chain(chain.children_named("Certificate"));
    let children = places.flat_map(|place| &place.children);
    if let Some(exception) = find_exception(EXCEPTION, children) {
        let (fault, batch_index) = read_exception(exception, limits)?;
        return Ok(LicenseOutcome::Exception(AcquireLicenseException {
            fault,
            batch_index,
        }));
    }
    let bounds = (limits.issuance_license_bytes, limits.body_bytes);
    let mut reference_certificates = CertificateChain::default();
    if let Some(array) = item.child("ReferenceCertificates")? {
        for entry in array.children_named("Certificate") {
            reference_certificates.0.extend(certificates_in(entry)?);
        }
    }
    Ok(LicenseOutcome::License {
        certificate_chain: CertificateChain::decode(
            chain,
            "a certificate of the UL chain",
            bounds,
            limits,
        )?,
        reference_certificates,
    })
}

/// Raw XML when it is a well-formed fragment, else the same characters as text.
fn write_application_data(data: &str, out: &mut Writer) {
    let wrapped = format!("<ApplicationData>{data}</ApplicationData>");
    let limits = Limits::client();
    let fragment = crate::xml::parse(&wrapped, crate::xml::Source::Message, &[], &limits).is_ok();
    if fragment {
        out.raw(data);
    } else {
        out.text(data);
    }
}

const EXCEPTION: &str = "AcquireLicenseException";
