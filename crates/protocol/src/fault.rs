//! Faults: the exceptions of the protocol by their exact names, and the SOAP fault that carries
//! one ([MS-RMPR] 3.1.4.5 and the tables of each operation; [MS-RMPRS] 2.2.9.1, whose table leaves
//! out the namespaces: such short names are read as well).

use std::fmt;

/// Declares the exceptions once: variant, name on the wire, further names read, meaning.
macro_rules! fault_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $alias:literal)*;)*) => {
        /// An exception the specification names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FaultCode { $($(#[$doc])* $variant,)* }

        impl FaultCode {
            /// Every exception.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as it stands in a `faultstring`.
            pub const fn wire_name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The exception of this name; a few are spelled two ways in the specification and
            /// both are read.
            pub fn from_wire_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fault_codes! {
    /// The data version asked for is not supported (2.2.4.2, 3.1.4.6).
    UnsupportedDataVersion = "Microsoft.DigitalRightsManagement.Core.UnsupportedDataVersionException"
        | "UnsupportedDataVersionException";
    /// A data version is not a version (3.1.4.6).
    MalformedDataVersion = "Microsoft.DigitalRightsManagement.Core.MalformedDataVersionException"
        | "MalformedDataVersionException";
    /// A required argument is null (3.1.4.6).
    ArgumentNull = "System.ArgumentNullException"
        | "ArgumentNullException";
    /// A `ServiceType` that is none (3.7.4.2), or a message that cannot be read.
    InvalidOperation = "System.InvalidOperationException";
    /// The caller may not do this (3.3.4.1).
    UnauthorizedAccess = "System.UnauthorizedAccessException"
        | "UnauthorizedAccessException";
    /// The mail address is malformed (3.3.4.1).
    VerifyEmailAddressFailed = "Microsoft.DigitalRightsManagement.Core.VerifyEmailAddressFailedException";
    /// The directory has no such entry (3.3.4.1).
    ADEntrySearchFailed = "Microsoft.DigitalRightsManagement.Utilities.ADEntrySearchFailedException"
        | "ADEntrySearchFailedException";
    /// The chain of the machine certificate does not hold (3.3.4.1).
    VerifyMachineCertificateChainFailed = "Microsoft.DigitalRightsManagement.Core.VerifyMachineCertificateChainFailedException";
    /// The security processor is too old or revoked (3.3.4.1, 3.4.4.1, 3.5.4.2).
    BlackBoxIsInvalid = "Microsoft.DigitalRightsManagement.Licensing.BlackBoxIsInvalidException";
    /// The cluster is decommissioned.
    ClusterDecommissioned = "Microsoft.RightsManagementServices.ClusterDecommissionedException";
    /// Key length or hash algorithm do not go with the cryptographic mode (3.1.4.7).
    UnsupportedCryptographicSet = "Microsoft.DigitalRightsManagement.Cryptography.UnsupportedCryptographicSetException";
    /// The signature of the RAC does not hold.
    InvalidPersonaCertSignature = "Microsoft.DigitalRightsManagement.Licensing.InvalidPersonaCertSignatureException";
    /// The RAC is expired or not yet valid.
    InvalidPersonaCertTime = "Microsoft.DigitalRightsManagement.Licensing.InvalidPersonaCertTimeException";
    /// Something else is wrong with the RAC.
    UnexpectedPersonaCert = "Microsoft.DigitalRightsManagement.Licensing.UnexpectedPersonaCertException";
    /// The issuer of the RAC is not trusted.
    UntrustedPersonaCert = "Microsoft.DigitalRightsManagement.Licensing.UntrustedPersonaCertException";
    /// The PL grants this principal nothing (3.4.4.1).
    NoRightsForRequestedPrincipal = "Microsoft.DigitalRightsManagement.Licensing.NoRightsForRequestedPrincipalException";
    /// The RAC is excluded.
    DrmacIsExcluded = "Microsoft.DigitalRightsManagement.Licensing.DrmacIsExcludedException";
    /// The signature of the PL does not hold (3.4.4.1).
    InvalidRightsLabelSignature = "Microsoft.DigitalRightsManagement.Licensing.InvalidRightsLabelSignatureException";
    /// The PL is expired or not yet valid (3.4.4.1).
    IssuanceLicenseIsNotWithinValidTimeRange = "Microsoft.DigitalRightsManagement.Licensing.IssuanceLicenseIsNotWithinValidTimeRangeException";
    /// The PL is not for this server (3.4.4.1).
    RightsLabelNoMatchingIssuedPrincipal = "Microsoft.DigitalRightsManagement.Licensing.RightsLabelNoMatchingIssuedPrincipalException";
    /// The credential was made too long after the PL (3.4.4.1).
    CredentialCreationTime = "Microsoft.DigitalRightsManagement.Licensing.CredentialCreationTimeException";
    /// On-line publishing is switched off (3.5.4.1).
    OnlinePublishingDisabled = "Microsoft.DigitalRightsManagement.Licensing.OnlinePublishingDisabledException";
    /// The unsigned PL is not for this server (3.5.4.1).
    UnsignedIssuanceLicenseNoMatchingIssuedPrincipal = "Microsoft.DigitalRightsManagement.Licensing.UnsignedIssuanceLicenseNoMatchingIssuedPrincipalException";
    /// The official template in the PL is not valid (3.5.4.1).
    InvalidOfficialRightsTemplate = "Microsoft.DigitalRightsManagement.Licensing.InvalidOfficialRightsTemplateException";
    /// The content key is of an unsupported kind (3.5.4.1).
    CryptoUnsupportedSymKey = "Microsoft.DigitalRightsManagement.Cryptography.CryptoUnsupportedSymKeyException";
    /// The hash inside the enabling bits does not hold (3.5.4.1). The table has the name written
    /// here, the prose below it another namespace, which is read as well.
    EnablingBitsHashDoesNotMatch = "Microsoft.RightsManagementServices.EnablingBitsHashDoesNotMatchException"
        | "Microsoft.DigitalRightsManagement.EnablingBitsHashDoesNotMatchException";
    /// An argument another server gave does not do ([MS-RMPRS] 2.2.9.1).
    Argument = "System.ArgumentException" | "ArgumentException";
    /// A number another server gave is out of its bounds ([MS-RMPRS] 2.2.9.1): the count of
    /// calls across forests, for one.
    ArgumentOutOfRange = "System.ArgumentOutOfRangeException" | "ArgumentOutOfRangeException";
    /// A text another server gave has not the form it should ([MS-RMPRS] 2.2.9.1).
    Format = "System.FormatException" | "FormatException";
    /// An argument does not do, for a reason inside ([MS-RMPRS] 2.2.9.1; the full name is in
    /// [MS-RMSI] 3.3.4.1).
    DrmsArgument = "Microsoft.DigitalRightsManagement.Core.DRMSArgumentException"
        | "DRMSArgumentException";
    /// A recipient whose public key cannot be found (MS-RMSI 3.5.4.1, which names it without a
    /// namespace; here it has that of its fellows, and the bare name is read as well).
    AcquirePreLicenseInvalidLicensee = "Microsoft.DigitalRightsManagement.Licensing.AcquirePreLicenseInvalidLicenseeException"
        | "AcquirePreLicenseInvalidLicenseeException";
    /// The PL may not be republished (MS-RMSI 3.4.4.1).
    ServerRepublishIllegal = "Microsoft.DigitalRightsManagement.ServerRepublishIllegalException";
    /// The PL to be republished is not valid here (MS-RMSI 3.4.4.1). The table has the name
    /// written here, the prose above it another namespace, which is read as well.
    InvalidSignedIssuanceLicense = "Microsoft.DigitalRightsManagement.InvalidSignedIssuanceLicenseException"
        | "Microsoft.DigitalRightsManagement.Licensing.InvalidSignedIssuanceLicenseException";
    /// The cluster is in service, and gives no content key in clear (MS-RMSI 3.2.4.1).
    ClusterNotDecommissioned = "Microsoft.DigitalRightsManagement.Utilities.ClusterNotDecommissionedException"
        | "ClusterNotDecommissionedException";
    /// The PL whose content key is asked for is not for this server (MS-RMSI 3.2.4.1: the words
    /// of [`Self::UnsignedIssuanceLicenseNoMatchingIssuedPrincipal`], in another namespace).
    ContentKeyNoMatchingIssuedPrincipal = "Microsoft.DigitalRightsManagement.UnsignedIssuanceLicenseNoMatchingIssuedPrincipalException"
        | "UnsignedIssuanceLicenseNoMatchingIssuedPrincipalException";
    /// Anything else the server cannot do.
    UnspecifiedError = "Microsoft.DigitalRightsManagement.Utilities.UnspecifiedErrorException";
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire_name())
    }
}

/// Whose fault it is, in the words of SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FaultClass {
    /// `Server` (1.1), `Receiver` (1.2): what an RMS server always says (3.1.4.5).
    #[default]
    Server,
    /// `Client` (1.1), `Sender` (1.2): read, never written by us.
    Client,
    /// The envelope is of no known version of SOAP.
    VersionMismatch,
    /// A header that must be understood is not.
    MustUnderstand,
}

impl FaultClass {
    /// Local name in SOAP 1.1.
    pub const fn soap11(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Client => "Client",
            Self::VersionMismatch => "VersionMismatch",
            Self::MustUnderstand => "MustUnderstand",
        }
    }

    /// Local name in SOAP 1.2.
    pub const fn soap12(self) -> &'static str {
        match self {
            Self::Server => "Receiver",
            Self::Client => "Sender",
            Self::VersionMismatch => "VersionMismatch",
            Self::MustUnderstand => "MustUnderstand",
        }
    }

    /// The class of a fault code of either version, with or without prefix and subcode; anything
    /// unknown counts as `Server`.
    pub(crate) fn from_wire(text: &str) -> Self {
        let local = text.trim().rsplit(':').next().unwrap_or_default();
        match local.split('.').next().unwrap_or_default() {
            "Client" | "Sender" => Self::Client,
            "VersionMismatch" => Self::VersionMismatch,
            "MustUnderstand" => Self::MustUnderstand,
            _ => Self::Server,
        }
    }
}

/// A SOAP fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.fault_string())]
pub struct Fault {
    /// Whose fault it is.
    pub class: FaultClass,
    /// The exception, when it is one the specification names.
    pub code: Option<FaultCode>,
    /// The text after the exception's name; all of the text when there is no known name.
    pub message: String,
}

impl Fault {
    /// A fault of the server with an exception and a text for people.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self {
            class: FaultClass::Server,
            code: Some(code),
            message: message.into(),
        }
    }

    /// The text of `faultstring`: `name`, or `name: text` (3.1.4.5).
    pub fn fault_string(&self) -> String {
        match self.code {
            None => self.message.clone(),
            Some(code) if self.message.is_empty() => code.wire_name().to_owned(),
            Some(code) => format!("{}: {}", code.wire_name(), self.message),
        }
    }

    /// Reads the text of `faultstring`. Exceptions may be chained with `--->`, the cause last
    /// (3.1.4.5); the innermost name that is known counts.
    pub fn from_fault_string(class: FaultClass, text: &str) -> Self {
        let text = text.trim();
        let known = text.rsplit("--->").find_map(|exception| {
            let exception = exception.trim();
            let end = exception
                .find(|c: char| matches!(c, '-' | ':') || c.is_whitespace())
                .unwrap_or(exception.len());
            let (name, rest) = exception.split_at_checked(end)?;
            let code = FaultCode::from_wire_name(name)?;
            let message = rest.strip_prefix(['-', ':', ' ']).unwrap_or(rest).trim();
            Some((code, message.to_owned()))
        });
        match known {
            Some((code, message)) => Self {
                class,
                code: Some(code),
                message,
            },
            None => Self {
                class,
                code: None,
                message: text.to_owned(),
            },
        }
    }
}

impl From<FaultCode> for Fault {
    fn from(code: FaultCode) -> Self {
        Self::new(code, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_exception() {
        for &code in FaultCode::ALL {
            assert_eq!(FaultCode::from_wire_name(code.wire_name()), Some(code));
            let fault = Fault::new(code, "why: not");
            assert_eq!(
                Fault::from_fault_string(fault.class, &fault.fault_string()),
                fault
            );
        }
    }

    #[test]
    fn the_cause_inside_a_chain_of_exceptions_counts() {
        let text = "System.Web.Services.Protocols.SoapException: Server was unable to process \
                    request. ---> Microsoft.DigitalRightsManagement.Licensing.\
                    DrmacIsExcludedException: excluded";
        let fault = Fault::from_fault_string(FaultClass::Server, text);
        assert_eq!(fault.code, Some(FaultCode::DrmacIsExcluded));
        assert_eq!(fault.message, "excluded");
    }

    #[test]
    fn a_bare_name_a_dash_and_an_unknown_name_are_read() {
        let read = |text| Fault::from_fault_string(FaultClass::Server, text);
        assert_eq!(
            read("System.ArgumentNullException").code,
            Some(FaultCode::ArgumentNull)
        );
        assert_eq!(read("System.ArgumentNullException-x").message, "x");
        let unknown = read("System.Exception: no");
        assert_eq!(
            (unknown.code, unknown.message.as_str()),
            (None, "System.Exception: no")
        );
    }
}
