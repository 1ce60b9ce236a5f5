//! Where each service lives ([MS-RMPR] 3.1.4.2, [MS-RMPRS] 2.1) and which interface it speaks.

use crate::operation::OperationName;

/// A family of operations that share one XML namespace: one WSDL of appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Contract {
    /// Activation of version 1.0 clients (3.2).
    Activation,
    /// RACs (3.3).
    Certification,
    /// ULs (3.4).
    Licensing,
    /// Rights policy templates (3.4).
    TemplateDistribution,
    /// PLs on line, and CLCs (3.5).
    Publishing,
    /// SLCs of servers (3.6).
    Enrollment,
    /// SLCs of licensing clusters, asked of their root cluster ([MS-RMPRS] 3.3).
    SubEnrollment,
    /// The SLC, service locations, information about the server (3.7).
    Server,
    /// Service locations again, in the namespace Windows clients use towards
    /// `ServiceLocator.asmx`. The specification gives the operation the namespace of
    /// [`Contract::Server`] only.
    ServiceLocator,
    /// Membership across forests, asked by other servers ([MS-RMPRS] 3.5).
    GroupExpansion,
    /// RACs on somebody's behalf (MS-RMSI 3.3), in the namespace of [`Contract::Certification`].
    Precertification,
    /// PLs with other rights (MS-RMSI 3.4).
    Republishing,
    /// Content keys in clear, from a cluster that has ended (MS-RMSI 3.2).
    Decommissioning,
}

impl Contract {
    /// Every interface.
    pub const ALL: &'static [Self] = &[
        Self::Activation,
        Self::Certification,
        Self::Licensing,
        Self::TemplateDistribution,
        Self::Publishing,
        Self::Enrollment,
        Self::SubEnrollment,
        Self::Server,
        Self::ServiceLocator,
        Self::GroupExpansion,
        Self::Precertification,
        Self::Republishing,
        Self::Decommissioning,
    ];

    /// The XML namespace of its elements, also of its `VersionData`.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Activation => "http://microsoft.com/DRM/ActivationService",
            Self::Certification | Self::Precertification => {
                "http://microsoft.com/DRM/CertificationService"
            }
            Self::Licensing => "http://microsoft.com/DRM/LicensingService",
            Self::TemplateDistribution => "http://microsoft.com/DRM/TemplateDistributionService",
            Self::Publishing => "http://microsoft.com/DRM/PublishingService",
            Self::Enrollment => "http://microsoft.com/DRM/EnrollmentService",
            Self::SubEnrollment => "http://microsoft.com/DRM/SubEnrollmentService",
            Self::Server => "http://microsoft.com/DRM/ServerService",
            Self::ServiceLocator => "http://microsoft.com/DRM/ServiceLocatorService",
            Self::GroupExpansion => "http://microsoft.com/DRM/GroupExpansionWebService",
            Self::Republishing => "http://microsoft.com/DRM/EditIssuanceLicenseService",
            Self::Decommissioning => "http://microsoft.com/DRM/DecommissionService",
        }
    }

    /// The interface of this namespace; of two that share it, the older one.
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|contract| contract.namespace() == namespace)
    }

    /// The interface of this namespace that has an operation with this element for a request, and
    /// the operation.
    pub(crate) fn operation_of(namespace: &str, element: &str) -> Option<(Self, OperationName)> {
        let sharing = Self::ALL
            .iter()
            .filter(|contract| contract.namespace() == namespace);
        sharing
            .flat_map(|&contract| {
                contract
                    .operations()
                    .iter()
                    .map(move |&name| (contract, name))
            })
            .find(|(_, name)| name.as_str() == element)
    }

    /// Its operations, in the order of the WSDL.
    pub const fn operations(self) -> &'static [OperationName] {
        use OperationName as Op;
        match self {
            Self::Activation => &[Op::Activate],
            Self::Certification => &[Op::Certify],
            Self::Licensing => &[Op::AcquireLicense, Op::AcquirePreLicense],
            Self::TemplateDistribution => &[Op::AcquireTemplateInformation, Op::AcquireTemplates],
            Self::Publishing => &[Op::AcquireIssuanceLicense, Op::GetClientLicensorCert],
            Self::Enrollment => &[Op::Enroll],
            Self::SubEnrollment => &[Op::SubEnroll],
            Self::Server => &[
                Op::GetLicensorCertificate,
                Op::FindServiceLocationsForUser,
                Op::GetServerInfo,
                Op::FindServiceLocations,
            ],
            Self::ServiceLocator => &[Op::FindServiceLocationsForUser],
            Self::GroupExpansion => &[Op::IsPrincipalMemberOf],
            Self::Precertification => &[Op::Precertify],
            Self::Republishing => &[Op::EditIssuanceLicense],
            Self::Decommissioning => &[Op::AcquireContentKey],
        }
    }

    /// The SOAP action of one of its operations.
    pub fn soap_action(self, operation: OperationName) -> String {
        format!("{}/{}", self.namespace(), operation.as_str())
    }
}

/// Declares the endpoints once: variant, path below the base URL, interface.
macro_rules! services {
    ($($(#[$doc:meta])* $variant:ident = $path:literal $(| $alias:literal)* : $contract:ident;)*) => {
        /// One endpoint of a server.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Service { $($(#[$doc])* $variant,)* }

        impl Service {
            /// Every endpoint.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its path as the specification writes it.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// The interface its WSDL describes.
            pub const fn contract(self) -> Contract {
                match self { $(Self::$variant => Contract::$contract,)* }
            }

            /// Further paths under which it is found.
            const fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($alias,)*],)* }
            }
        }
    };
}

services! {
    /// Activation of version 1.0 clients.
    Activation = "/_wmcs/certification/Activation.asmx" : Activation;
    /// RACs for people.
    Certification = "/_wmcs/certification/certification.asmx" : Certification;
    /// RACs for servers that act for people.
    ServerCertification = "/_wmcs/certification/ServerCertification.asmx" : Certification;
    /// RACs for mobile devices. The product's file has the longer name, which is found as well.
    MobileCertification = "/_wmcs/certification/MobileCertification.asmx"
        | "/_wmcs/certification/MobileDeviceCertification.asmx" : Certification;
    /// The SLC and information about the root cluster.
    CertificationServer = "/_wmcs/certification/server.asmx" : Server;
    /// Service locations, asked at the root cluster.
    CertificationServiceLocator = "/_wmcs/certification/ServiceLocator.asmx" : ServiceLocator;
    /// ULs.
    License = "/_wmcs/licensing/license.asmx" : Licensing;
    /// PLs on line, and CLCs.
    Publish = "/_wmcs/licensing/publish.asmx" : Publishing;
    /// Rights policy templates.
    TemplateDistribution = "/_wmcs/licensing/templateDistribution.asmx" : TemplateDistribution;
    /// The SLC and information about the licensing cluster.
    LicensingServer = "/_wmcs/licensing/server.asmx" : Server;
    /// Service locations, asked at the licensing cluster.
    LicensingServiceLocator = "/_wmcs/licensing/ServiceLocator.asmx" : ServiceLocator;
    /// RACs for federated people.
    CertificationExternal = "/_wmcs/certificationexternal/certification.asmx" : Certification;
    /// The SLC, for federated people.
    CertificationExternalServer = "/_wmcs/certificationexternal/server.asmx" : Server;
    /// Service locations, for federated people.
    CertificationExternalServiceLocator =
        "/_wmcs/certificationexternal/ServiceLocator.asmx" : ServiceLocator;
    /// ULs for federated people.
    LicenseExternal = "/_wmcs/licensingexternal/license.asmx" : Licensing;
    /// PLs on line and CLCs, for federated people.
    PublishExternal = "/_wmcs/licensingexternal/publish.asmx" : Publishing;
    /// The SLC, for federated people.
    LicensingExternalServer = "/_wmcs/licensingexternal/server.asmx" : Server;
    /// Service locations, for federated people.
    LicensingExternalServiceLocator =
        "/_wmcs/licensingexternal/ServiceLocator.asmx" : ServiceLocator;
    /// RACs without private keys, for those who act on people's behalf (MS-RMSI 2.1).
    Precertification = "/_wmcs/certification/Precertification.asmx" : Precertification;
    /// PLs with other rights (MS-RMSI 2.1).
    EditIssuanceLicense = "/_wmcs/licensing/editissuancelicense.asmx" : Republishing;
    /// Content keys in clear, from a cluster that has ended (MS-RMSI 2.1). The product's manual
    /// also writes the longer name, which is found as well.
    Decommission = "/_wmcs/decommission/decommission.asmx"
        | "/_wmcs/decommission/decommissioning.asmx" : Decommissioning;
    /// SLCs for servers: the trust anchor's service, outside `/_wmcs` (6.6).
    Enrollment = "/enrollment/enrollservice.asmx" : Enrollment;
    /// SLCs for licensing clusters, at their root cluster ([MS-RMPRS] 2.1).
    SubEnrollment = "/_wmcs/certification/SubEnrollService.asmx" : SubEnrollment;
    /// Membership across forests, for servers only ([MS-RMPRS] 2.1). The same question in the
    /// binary form has an endpoint of its own, [`crate::binary_group_expansion::http::PATH`].
    GroupExpansion = "/_wmcs/groupexpansion/GroupExpansion.asmx" : GroupExpansion;
}

impl Service {
    /// The endpoint of a path, letters matched without regard to case. A query string is not
    /// part of the path; a trailing slash is passed over.
    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        Self::ALL.iter().copied().find(|service| {
            path.eq_ignore_ascii_case(service.path())
                || service
                    .aliases()
                    .iter()
                    .any(|alias| path.eq_ignore_ascii_case(alias))
        })
    }

    /// Its URL. `base` is scheme and authority, such as `https://rms.example.com`, with or
    /// without `/_wmcs` and trailing slash.
    pub fn url(self, base: &str) -> String {
        below(base, self.path())
    }

    /// Whether federated sign-on is the only authentication here (3.1.4.2).
    pub fn is_external(self) -> bool {
        self.path().contains("external/")
    }

    /// The endpoint that serves federated people as this one serves others; `None` where there is
    /// nothing for them.
    pub const fn external(self) -> Option<Self> {
        Some(match self {
            Self::Certification => Self::CertificationExternal,
            Self::CertificationServer => Self::CertificationExternalServer,
            Self::CertificationServiceLocator => Self::CertificationExternalServiceLocator,
            Self::License => Self::LicenseExternal,
            Self::Publish => Self::PublishExternal,
            Self::LicensingServer => Self::LicensingExternalServer,
            Self::LicensingServiceLocator => Self::LicensingExternalServiceLocator,
            _ => return None,
        })
    }

    /// Whether a request of this interface for this operation may be answered here. Service
    /// locators also take the namespace of the specification, [`Contract::Server`].
    pub fn serves(self, contract: Contract, operation: OperationName) -> bool {
        let own = self.contract();
        let same = contract == own
            || (own == Contract::ServiceLocator && contract == Contract::Server)
            || (own == Contract::Server && contract == Contract::ServiceLocator);
        same && own.operations().contains(&operation)
    }
}

/// A path of this crate below a base URL that may or may not end in `/_wmcs`.
pub(crate) fn below(base: &str, path: &str) -> String {
    let base = base.trim_end_matches('/');
    let root = base
        .len()
        .checked_sub(WMCS.len())
        .and_then(|at| base.split_at_checked(at));
    let base = match root {
        Some((root, end)) if end.eq_ignore_ascii_case(WMCS) => root,
        _ => base,
    };
    format!("{base}{path}")
}

const WMCS: &str = "/_wmcs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_found_in_any_case() {
        for &service in Service::ALL {
            assert_eq!(Service::from_path(service.path()), Some(service));
            assert_eq!(
                Service::from_path(&service.path().to_uppercase()),
                Some(service)
            );
            assert_eq!(
                Service::from_path(&service.path().to_lowercase()),
                Some(service)
            );
        }
        assert_eq!(Service::from_path("/_wmcs/licensing"), None);
        assert_eq!(Service::from_path("/_wmcs/licensing/license.asmx/x"), None);
    }

    #[test]
    fn every_external_path_is_that_of_an_ordinary_one() {
        let external: Vec<_> = Service::ALL.iter().filter(|s| s.is_external()).collect();
        let found: Vec<_> = Service::ALL.iter().filter_map(|s| s.external()).collect();
        assert_eq!(external.len(), 7);
        assert!(external.iter().all(|service| found.contains(service)));
        for service in Service::ALL {
            let Some(external) = service.external() else {
                continue;
            };
            assert_eq!(external.contract(), service.contract());
            let path = external.path().replacen("external/", "/", 1);
            assert_eq!(path, service.path());
        }
    }

    #[test]
    fn a_url_is_the_base_and_the_path() {
        let wanted = "http://rms/_wmcs/licensing/license.asmx";
        for base in [
            "http://rms",
            "http://rms/",
            "http://rms/_wmcs",
            "http://rms/_WMCS/",
        ] {
            assert_eq!(Service::License.url(base), wanted);
        }
    }

    #[test]
    fn service_locators_take_both_namespaces_and_only_their_operation() {
        let locator = Service::LicensingServiceLocator;
        let find = OperationName::FindServiceLocationsForUser;
        assert!(locator.serves(Contract::ServiceLocator, find));
        assert!(locator.serves(Contract::Server, find));
        assert!(!locator.serves(Contract::Server, OperationName::GetServerInfo));
        assert!(!Service::License.serves(Contract::Publishing, OperationName::AcquireLicense));
    }
}
