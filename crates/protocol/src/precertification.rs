//! Precertify: the public half of somebody else's RAC ([MS-RMSI] 3.3.4.1).

use crate::certificate::{CertificateText, certificate_in};
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for a public key certificate. Any other number of items than one is refused with an
/// exception of its own (3.3.4.1.2.1), so it is read as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precertify {
    /// What is asked for.
    pub items: Vec<PrecertifyParams>,
}

/// Whose certificate is asked for. At least one of the two must be given; both must then mean the
/// same person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrecertifyParams {
    /// The person's mail address.
    pub user_name: Option<String>,
    /// The person's account.
    pub identification: Option<Identification>,
}

/// An account (3.3.4.1.3.3). Its further elements, mail address and proxy addresses, should be
/// null and are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identification {
    /// How the account signs in.
    pub authentication_mode: AuthenticationMode,
    /// Its SID, as text.
    pub id: String,
}

/// How an account signs in (3.3.4.1.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticationMode {
    /// Integrated authentication: Kerberos or NTLM.
    Windows,
}

/// The public key certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrecertifyResponse<'a> {
    /// A RAC without its FEDERATIONPRINCIPALS; no chain.
    pub certificate: CertificateText<'a>,
}

impl Precertify {
    /// A request for one certificate.
    pub fn single(params: PrecertifyParams) -> Self {
        Self {
            items: vec![params],
        }
    }
}

impl AuthenticationMode {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
        }
    }
}

impl Message<'_> for Precertify {
    fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("requestParams")?;
        let items = array.any_items("PrecertifyParams", limits)?;
        let read = |params: &&Element<'_>| {
            let name = params.text_of("UserName", limits)?;
            Ok(PrecertifyParams {
                user_name: name.filter(|name| !name.is_empty()),
                identification: params
                    .child("Identification")?
                    .map(|found| Identification::decode(found, limits))
                    .transpose()?,
            })
        };
        items
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(|items| Self { items })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("requestParams", |out| {
            for item in &self.items {
                out.element("PrecertifyParams", |out| {
                    out.optional_leaf("UserName", item.user_name.as_deref());
                    if let Some(identification) = &item.identification {
                        out.element("Identification", |out| {
                            let mode = identification.authentication_mode;
                            out.leaf("AuthenticationMode", mode.as_str());
                            out.leaf("Id", &identification.id);
                        });
                    }
                });
            }
        });
    }
}

impl Identification {
    fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let mode = element.required("AuthenticationMode")?.short_text(limits)?;
        let authentication_mode = match mode.trim() {
            "Windows" => AuthenticationMode::Windows,
            other => {
                return Err(ProtocolError::BadValue {
                    element: "AuthenticationMode",
                    value: excerpt(other),
                    expected: "a known way to sign in",
                });
            }
        };
        let id = element.required("Id")?.short_text(limits)?.to_owned();
        Ok(Self {
            authentication_mode,
            id,
        })
    }
}

impl<'a> Message<'a> for PrecertifyResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("PrecertifyResult")?;
        let entry = result.only_item("PrecertifyResponse", limits)?;
        let certificate = certificate_in(entry.required("Certificate")?)?;
        let (length, limit) = (certificate.as_str().len(), limits.licensee_cert_bytes);
        if length > limit {
            return Err(ProtocolError::TooLarge {
                what: "a public key certificate",
                length,
                limit,
            });
        }
        Ok(Self { certificate })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("PrecertifyResult", |out| {
            out.element("PrecertifyResponse", |out| {
                out.element("Certificate", |out| out.raw(self.certificate.as_str()));
            });
        });
    }
}
