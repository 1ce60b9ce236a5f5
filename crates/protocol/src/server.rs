//! The server about itself: its SLC chain, where services are, version and features
//! ([MS-RMPR] 3.7, example 4.6; for other servers [MS-RMPRS] 3.2, 3.4).

use std::fmt;
use std::str::FromStr;

use crate::certificate::{CertificateChain, CertificateText};
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks for the SLC chain (3.7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetLicensorCertificate;

/// The SLC chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetLicensorCertificateResponse<'a> {
    /// SLC and what is above.
    pub certificate_chain: CertificateChain<'a>,
}

/// Asks where services are for the authenticated account (3.7.4.2). At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindServiceLocationsForUser {
    /// The services.
    pub services: Vec<ServiceType>,
}

/// Where services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindServiceLocationsForUserResponse {
    /// One entry for each service asked for, in the same order.
    pub locations: Vec<ServiceLocation>,
}

/// Asks where services are, for another server and without regard to an account ([MS-RMPRS]
/// 3.2.4.1). At least one; see [`ServiceType::is_for_servers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindServiceLocations {
    /// The services.
    pub services: Vec<ServiceType>,
}

/// Where services are, for another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindServiceLocationsResponse {
    /// One entry for each service asked for, in the same order.
    pub locations: Vec<ServiceLocation>,
}

/// Where one service is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceLocation {
    /// The service.
    pub service: ServiceType,
    /// Its URL; absent when there is no such service.
    pub url: Option<String>,
}

/// Asks about the server (3.7.4.3). At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetServerInfo {
    /// What is asked.
    pub requests: Vec<ServerInfoRequest>,
}

/// One question about the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerInfoRequest {
    /// What is asked.
    pub kind: ServerInfoType,
    /// Context given with the question and repeated in the answer.
    pub additional_info: Option<String>,
}

/// About the server: one entry for each question, in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetServerInfoResponse<'a> {
    /// The answers.
    pub entries: Vec<ServerInfo<'a>>,
}

/// One answer about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo<'a> {
    /// The context given with the question; empty for none.
    pub additional_info: String,
    /// The answer itself.
    pub value: ServerInfoValue<'a>,
}

/// What is known about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerInfoValue<'a> {
    /// Version of the software, such as `6.0.0.0`.
    VersionInfo(String),
    /// Features by name, with the server's word for on and off.
    ServerFeatureInfo(Vec<ServerFeature>),
    /// The SLC chain.
    ServerLicensorCertificate(CertificateChain<'a>),
    /// Where services are.
    ServiceLocations(Vec<ServiceLocation>),
}

/// A feature of the server, such as `GroupExpansionWebService`: `true`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerFeature {
    /// Its name.
    pub name: String,
    /// `true`, `false`, `0`, `1`.
    pub value: String,
}

/// Declares an enumeration of the schema once: variant and value are the same word.
macro_rules! schema_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ProtocolError;

            fn from_str(text: &str) -> Result<Self, ProtocolError> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    ProtocolError::BadValue {
                        element: "Type",
                        value: excerpt(text),
                        expected: concat!("a ", stringify!($name)),
                    }
                })
            }
        }
    };
}

schema_enum! {
    /// A kind of service (3.7.4.2.4.1).
    ServiceType {
        /// SLCs for servers.
        EnrollmentService,
        /// ULs, from outside the organization.
        LicensingService,
        /// PLs and CLCs.
        PublishingService,
        /// RACs, from outside the organization.
        CertificationService,
        /// Activation of version 1.0 clients.
        ActivationService,
        /// Not used in this protocol.
        PrecertificationService,
        /// The server about itself.
        ServerService,
        /// Membership across forests in the binary form, between servers ([MS-RMPRS] 2.3).
        DrmRemoteDirectoryServices,
        /// Membership across forests in SOAP, between servers ([MS-RMPRS] 3.5).
        GroupExpansionService,
        /// ULs, from inside the organization.
        LicensingInternalService,
        /// RACs, from inside the organization.
        CertificationInternalService,
    }
}

schema_enum! {
    /// A kind of question about the server (3.7.4.3.4.1).
    ServerInfoType {
        /// Version of the software.
        VersionInfo,
        /// Features.
        ServerFeatureInfo,
        /// The SLC chain.
        ServerLicensorCertificate,
        /// Where services are.
        ServiceLocations,
    }
}

impl ServiceType {
    /// Whether another server may ask where it is ([MS-RMPRS] 3.2.4.1): the others exist for
    /// clients only.
    pub const fn is_for_servers(self) -> bool {
        matches!(
            self,
            Self::LicensingService
                | Self::CertificationService
                | Self::DrmRemoteDirectoryServices
                | Self::GroupExpansionService
                | Self::LicensingInternalService
                | Self::CertificationInternalService
        )
    }
}

impl ServerInfoValue<'_> {
    /// Which question this answers.
    pub const fn kind(&self) -> ServerInfoType {
        match self {
            Self::VersionInfo(_) => ServerInfoType::VersionInfo,
            Self::ServerFeatureInfo(_) => ServerInfoType::ServerFeatureInfo,
            Self::ServerLicensorCertificate(_) => ServerInfoType::ServerLicensorCertificate,
            Self::ServiceLocations(_) => ServerInfoType::ServiceLocations,
        }
    }
}

impl<'a> Message<'a> for GetLicensorCertificate {
    fn decode(_: &Element<'a>, _: &Limits) -> Result<Self, ProtocolError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Writer) {}
}

impl<'a> Message<'a> for GetLicensorCertificateResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("GetLicensorCertificateResult")?;
        Ok(Self {
            certificate_chain: CertificateChain::decode(
                result.required("CertificateChain")?,
                "a certificate of the SLC chain",
                (limits.licensee_cert_bytes, limits.body_bytes),
                limits,
            )?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("GetLicensorCertificateResult", |out| {
            self.certificate_chain.encode("CertificateChain", out);
        });
    }
}

impl<'a> Message<'a> for FindServiceLocationsForUser {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let services = decode_services(element, limits)?;
        Ok(Self { services })
    }

    fn encode(&self, out: &mut Writer) {
        encode_services(&self.services, out);
    }
}

impl<'a> Message<'a> for FindServiceLocationsForUserResponse {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("FindServiceLocationsForUserResult")?;
        let locations = decode_locations(result, limits)?;
        Ok(Self { locations })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("FindServiceLocationsForUserResult", |out| {
            for location in &self.locations {
                out.element("ServiceLocationResponse", |out| {
                    out.optional_leaf("URL", location.url.as_deref());
                    out.leaf("Type", location.service.as_str());
                });
            }
        });
    }
}

impl<'a> Message<'a> for FindServiceLocations {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let services = decode_services(element, limits)?;
        Ok(Self { services })
    }

    fn encode(&self, out: &mut Writer) {
        encode_services(&self.services, out);
    }
}

impl<'a> Message<'a> for FindServiceLocationsResponse {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("FindServiceLocationsResult")?;
        let locations = decode_locations(result, limits)?;
        Ok(Self { locations })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("FindServiceLocationsResult", |out| {
            for location in &self.locations {
                out.element("ServiceLocationResponse", |out| {
                    // Towards servers, no URL is an empty one.
                    out.leaf("URL", location.url.as_deref().unwrap_or_default());
                    out.leaf("Type", location.service.as_str());
                });
            }
        });
    }
}

impl<'a> Message<'a> for GetServerInfo {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let array = element.required("requests")?;
        let mut requests = Vec::new();
        for entry in array.items("ServerInfoRequest", limits)? {
            requests.push(ServerInfoRequest {
                kind: entry.required("Type")?.short_text(limits)?.trim().parse()?,
                additional_info: entry.text_of("AdditionalInfo", limits)?,
            });
        }
        Ok(Self { requests })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("requests", |out| {
            for request in &self.requests {
                out.element("ServerInfoRequest", |out| {
                    out.leaf("Type", request.kind.as_str());
                    out.optional_leaf("AdditionalInfo", request.additional_info.as_deref());
                });
            }
        });
    }
}

impl<'a> Message<'a> for GetServerInfoResponse<'a> {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let result = element.required("GetServerInfoResult")?;
        let missing = || ProtocolError::Missing {
            element: "Results",
            parent: "GetServerInfoResult".to_owned(),
        };
        let results = result
            .children
            .iter()
            .find(|c| c.name == "Results")
            .ok_or_else(missing)?;
        let mut entries = Vec::new();
        for entry in results.items("ServerInfoRequest", limits)? {
            entries.push(ServerInfo {
                additional_info: entry
                    .attribute("AdditionalInfo")
                    .unwrap_or_default()
                    .to_owned(),
                value: ServerInfoValue::decode(entry, limits)?,
            });
        }
        Ok(Self { entries })
    }

    fn encode(&self, out: &mut Writer) {
        out.element("GetServerInfoResult", |out| {
            out.start_in("Results", "");
            for entry in &self.entries {
                let kind = entry.value.kind().as_str();
                let info = entry.additional_info.as_str();
                let attributes = [("Type", kind), ("AdditionalInfo", info)];
                out.start_with("ServerInfoRequest", &attributes);
                entry.value.encode(out);
                out.end("ServerInfoRequest");
            }
            out.end("Results");
        });
    }
}

impl<'a> ServerInfoValue<'a> {
    fn decode(entry: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let attribute = |element: &Element<'_>, name: &'static str| {
            element
                .attribute(name)
                .map(str::to_owned)
                .ok_or_else(|| ProtocolError::Missing {
                    element: name,
                    parent: element.name.to_owned(),
                })
        };
        let kind: ServerInfoType = attribute(entry, "Type")?.parse()?;
        Ok(match kind {
            ServerInfoType::VersionInfo => {
                Self::VersionInfo(attribute(entry.required("VersionInfo")?, "Version")?)
            }
            ServerInfoType::ServerFeatureInfo => {
                let mut features = Vec::new();
                for feature in entry
                    .required("ServerFeatureInfo")?
                    .any_items("Feature", limits)?
                {
                    features.push(ServerFeature {
                        name: attribute(feature, "Name")?,
                        value: attribute(feature, "Value")?,
                    });
                }
                Self::ServerFeatureInfo(features)
            }
            ServerInfoType::ServerLicensorCertificate => {
                let chain = entry.required("ServerLicensorCertificateChain")?;
                let raw: Result<CertificateChain<'a>, _> = chain
                    .certificates
                    .iter()
                    .map(|&raw| CertificateText::new(raw))
                    .collect();
                Self::ServerLicensorCertificate(raw.map_err(|source| {
                    ProtocolError::Certificate {
                        element: chain.name.to_owned(),
                        source,
                    }
                })?)
            }
            ServerInfoType::ServiceLocations => {
                let mut locations = Vec::new();
                let places = entry.required("ServiceLocations")?;
                for place in places.any_items("ServiceLocation", limits)? {
                    // Kinds of service this version of the schema does not have are passed over.
                    let Ok(service) = attribute(place, "Type")?.parse() else {
                        continue;
                    };
                    let url = place.attribute("Url").filter(|url| !url.is_empty());
                    locations.push(ServiceLocation {
                        service,
                        url: url.map(str::to_owned),
                    });
                }
                Self::ServiceLocations(locations)
            }
        })
    }

    fn encode(&self, out: &mut Writer) {
        match self {
            Self::VersionInfo(version) => out.empty("VersionInfo", &[("Version", version)]),
            Self::ServerFeatureInfo(features) => out.element("ServerFeatureInfo", |out| {
                for feature in features {
                    let attributes = [("Name", &*feature.name), ("Value", &*feature.value)];
                    out.empty("Feature", &attributes);
                }
            }),
            Self::ServerLicensorCertificate(chain) => {
                out.element("ServerLicensorCertificateChain", |out| {
                    for certificate in chain {
                        out.raw(certificate.as_str());
                    }
                });
            }
            Self::ServiceLocations(locations) => out.element("ServiceLocations", |out| {
                for location in locations {
                    let url = location.url.as_deref().unwrap_or_default();
                    let attributes = [("Type", location.service.as_str()), ("Url", url)];
                    out.empty("ServiceLocation", &attributes);
                }
            }),
        }
    }
}

fn decode_services(
    element: &Element<'_>,
    limits: &Limits,
) -> Result<Vec<ServiceType>, ProtocolError> {
    let names = element.required("ServiceNames")?;
    let mut services = Vec::new();
    for entry in names.items("ServiceLocationRequest", limits)? {
        services.push(entry.required("Type")?.short_text(limits)?.trim().parse()?);
    }
    Ok(services)
}

fn encode_services(services: &[ServiceType], out: &mut Writer) {
    out.element("ServiceNames", |out| {
        for service in services {
            out.element("ServiceLocationRequest", |out| {
                out.leaf("Type", service.as_str());
            });
        }
    });
}

fn decode_locations(
    result: &Element<'_>,
    limits: &Limits,
) -> Result<Vec<ServiceLocation>, ProtocolError> {
    let mut locations = Vec::new();
    for entry in result.any_items("ServiceLocationResponse", limits)? {
        if entry.nil {
            continue;
        }
        locations.push(ServiceLocation {
            service: entry.required("Type")?.short_text(limits)?.trim().parse()?,
            url: entry.text_of("URL", limits)?.filter(|url| !url.is_empty()),
        });
    }
    Ok(locations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_may_ask_for_six_of_the_services() {
        let asked: Vec<_> = ServiceType::ALL
            .iter()
            .filter(|service| service.is_for_servers())
            .map(|service| service.as_str())
            .collect();
        let wanted = [
            "LicensingService",
            "CertificationService",
            "DrmRemoteDirectoryServices",
            "GroupExpansionService",
            "LicensingInternalService",
            "CertificationInternalService",
        ];
        assert_eq!(asked, wanted);
    }
}
