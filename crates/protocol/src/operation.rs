//! All operations together: their names, and one value for any request or any answer.

use crate::activation::{Activate, ActivateResponse};
use crate::certification::{Certify, CertifyResponse};
use crate::decommissioning::{AcquireContentKey, AcquireContentKeyResponse};
use crate::endpoints::Contract;
use crate::enrollment::{Enroll, EnrollResponse};
use crate::error::ProtocolError;
use crate::group_expansion::{IsPrincipalMemberOf, IsPrincipalMemberOfResponse};
use crate::licensing::{AcquireLicense, AcquireLicenseResponse};
use crate::limits::Limits;
use crate::precertification::{Precertify, PrecertifyResponse};
use crate::prelicensing::{AcquirePreLicense, AcquirePreLicenseResponse};
use crate::publishing::{
    AcquireIssuanceLicense, AcquireIssuanceLicenseResponse, GetClientLicensorCert,
    GetClientLicensorCertResponse,
};
use crate::republishing::{EditIssuanceLicense, EditIssuanceLicenseResponse};
use crate::server::{
    FindServiceLocations, FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    FindServiceLocationsResponse, GetLicensorCertificate, GetLicensorCertificateResponse,
    GetServerInfo, GetServerInfoResponse,
};
use crate::sub_enrollment::{SubEnroll, SubEnrollResponse};
use crate::templates::{
    AcquireTemplateInformation, AcquireTemplateInformationResponse, AcquireTemplates,
    AcquireTemplatesResponse,
};
use crate::xml::{Element, Writer};

/// How one request or answer is read and written below its body element.
pub(crate) trait Message<'a>: Sized {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError>;
    fn encode(&self, out: &mut Writer);
}

/// Declares the operations once: name, interface, request, answer.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident, $response:literal, $contract:ident, $request:ty, $answer:ty;)*) => {
        /// The name of an operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum OperationName { $($(#[$doc])* $name,)* }

        /// Any request.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Operation<'a> { $($(#[$doc])* $name($request),)* }

        /// Any answer.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Response<'a> { $($(#[$doc])* $name($answer),)* }

        impl OperationName {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Local name of the request's element.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Local name of the answer's element.
            pub const fn response_element(self) -> &'static str {
                match self { $(Self::$name => $response,)* }
            }

            /// The interface the specification puts it in.
            pub const fn contract(self) -> Contract {
                match self { $(Self::$name => Contract::$contract,)* }
            }
        }

        impl<'a> Operation<'a> {
            /// Which operation this asks for.
            pub const fn name(&self) -> OperationName {
                match self { $(Self::$name(_) => OperationName::$name,)* }
            }

            pub(crate) fn decode(
                name: OperationName,
                element: &Element<'a>,
                limits: &Limits,
            ) -> Result<Self, ProtocolError> {
                match name {
                    $(OperationName::$name => Message::decode(element, limits).map(Self::$name),)*
                }
            }

            pub(crate) fn encode(&self, out: &mut Writer) {
                match self { $(Self::$name(request) => request.encode(out),)* }
            }
        }

        impl<'a> Response<'a> {
            /// Which operation this answers.
            pub const fn name(&self) -> OperationName {
                match self { $(Self::$name(_) => OperationName::$name,)* }
            }

            pub(crate) fn decode(
                name: OperationName,
                element: &Element<'a>,
                limits: &Limits,
            ) -> Result<Self, ProtocolError> {
                match name {
                    $(OperationName::$name => Message::decode(element, limits).map(Self::$name),)*
                }
            }

            pub(crate) fn encode(&self, out: &mut Writer) {
                match self { $(Self::$name(answer) => answer.encode(out),)* }
            }
        }

        $(
            impl<'a> From<$request> for Operation<'a> {
                fn from(request: $request) -> Self { Self::$name(request) }
            }

            impl<'a> From<$answer> for Response<'a> {
                fn from(answer: $answer) -> Self { Self::$name(answer) }
            }

            impl<'a> TryFrom<Response<'a>> for $answer {
                type Error = ProtocolError;

                fn try_from(response: Response<'a>) -> Result<Self, ProtocolError> {
                    match response {
                        Response::$name(answer) => Ok(answer),
                        other => Err(ProtocolError::UnexpectedResponse {
                            expected: OperationName::$name.response_element(),
                            found: other.name().response_element().to_owned(),
                        }),
                    }
                }
            }
        )*
    };
}

operations! {
    /// Security processors (3.2.4.1).
    Activate, "ActivateResponse", Activation, Activate, ActivateResponse<'a>;
    /// A RAC (3.3.4.1).
    Certify, "CertifyResponse", Certification, Certify<'a>, CertifyResponse<'a>;
    /// ULs (3.4.4.1).
    AcquireLicense, "AcquireLicenseResponse", Licensing,
        AcquireLicense<'a>, AcquireLicenseResponse<'a>;
    /// Which templates there are (3.4.4.2).
    AcquireTemplateInformation, "AcquireTemplateInformationResponse", TemplateDistribution,
        AcquireTemplateInformation, AcquireTemplateInformationResponse;
    /// Templates (3.4.4.3).
    AcquireTemplates, "AcquireTemplatesResponse", TemplateDistribution,
        AcquireTemplates, AcquireTemplatesResponse;
    /// Signed PLs (3.5.4.1).
    AcquireIssuanceLicense, "AcquireIssuanceLicenseResponse", Publishing,
        AcquireIssuanceLicense<'a>, AcquireIssuanceLicenseResponse<'a>;
    /// CLCs (3.5.4.2).
    GetClientLicensorCert, "GetClientLicensorCertResponse", Publishing,
        GetClientLicensorCert<'a>, GetClientLicensorCertResponse<'a>;
    /// An SLC (3.6.4.1).
    Enroll, "EnrollResponse", Enrollment, Enroll, EnrollResponse<'a>;
    /// The server's SLC chain (3.7.4.1).
    GetLicensorCertificate, "GetLicensorCertificateResponse", Server,
        GetLicensorCertificate, GetLicensorCertificateResponse<'a>;
    /// Where services are (3.7.4.2).
    FindServiceLocationsForUser, "FindServiceLocationsForUserResponse", Server,
        FindServiceLocationsForUser, FindServiceLocationsForUserResponse;
    /// About the server (3.7.4.3).
    GetServerInfo, "GetServerInfoResponse", Server, GetServerInfo, GetServerInfoResponse<'a>;
    /// Where services are, asked by another server ([MS-RMPRS] 3.2.4.1).
    FindServiceLocations, "FindServiceLocationsResponse", Server,
        FindServiceLocations, FindServiceLocationsResponse;
    /// An SLC for a licensing cluster ([MS-RMPRS] 3.3.4.1).
    SubEnroll, "SubEnrollResponse", SubEnrollment, SubEnroll, SubEnrollResponse<'a>;
    /// Whether somebody is in a group of this forest ([MS-RMPRS] 3.5.4.1).
    IsPrincipalMemberOf, "IsPrincipalMemberOfResponse", GroupExpansion,
        IsPrincipalMemberOf, IsPrincipalMemberOfResponse;
    /// A RAC on somebody's behalf (MS-RMSI 3.3.4.1).
    Precertify, "PrecertifyResponse", Precertification, Precertify, PrecertifyResponse<'a>;
    /// ULs on behalf of recipients (MS-RMSI 3.5.4.1).
    AcquirePreLicense, "AcquirePreLicenseResponse", Licensing,
        AcquirePreLicense<'a>, AcquirePreLicenseResponse<'a>;
    /// A PL with other rights (MS-RMSI 3.4.4.1).
    EditIssuanceLicense, "EditIssuanceLicenseResponse", Republishing,
        EditIssuanceLicense<'a>, EditIssuanceLicenseResponse<'a>;
    /// A content key in clear (MS-RMSI 3.2.4.1).
    AcquireContentKey, "AcquireContentKeyResponse", Decommissioning,
        AcquireContentKey<'a>, AcquireContentKeyResponse;
}
