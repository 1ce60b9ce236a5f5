//! Small values the tests share.
// Each test file uses its part; a value that is not well formed is a mistake of the test.
#![allow(dead_code, clippy::unwrap_used)]

use openrms_protocol::activation::{
    Activate, ActivateResponse, Activated, BinarySignature, HardwareId,
};
use openrms_protocol::certification::{Certify, CertifyResponse, QuotaResponse};
use openrms_protocol::decommissioning::{
    AcquireContentKey, AcquireContentKeyResponse, ClearKey, KeyType,
};
use openrms_protocol::enrollment::{Enroll, EnrollResponse, EnrolleeServerInformation, Revocation};
use openrms_protocol::group_expansion::{IsPrincipalMemberOf, IsPrincipalMemberOfResponse};
use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseException, AcquireLicenseParams, AcquireLicenseResponse,
    LicenseOutcome,
};
use openrms_protocol::precertification::{
    AuthenticationMode, Identification, Precertify, PrecertifyParams, PrecertifyResponse,
};
use openrms_protocol::prelicensing::{
    AcquirePreLicense, AcquirePreLicenseException, AcquirePreLicenseParams,
    AcquirePreLicenseResponse, PreLicenseOutcome, PreLicenses,
};
use openrms_protocol::publishing::{
    AcquireIssuanceLicense, AcquireIssuanceLicenseResponse, GetClientLicensorCert,
    GetClientLicensorCertResponse,
};
use openrms_protocol::republishing::{EditIssuanceLicense, EditIssuanceLicenseResponse};
use openrms_protocol::server::{
    FindServiceLocations, FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    FindServiceLocationsResponse, GetLicensorCertificate, GetLicensorCertificateResponse,
    GetServerInfo, GetServerInfoResponse, ServerFeature, ServerInfo, ServerInfoRequest,
    ServerInfoType, ServerInfoValue, ServiceLocation, ServiceType,
};
use openrms_protocol::sub_enrollment::{SubEnroll, SubEnrollResponse};
use openrms_protocol::templates::{
    AcquireTemplateInformation, AcquireTemplateInformationResponse, AcquireTemplates,
    AcquireTemplatesResponse, GuidHash, GuidTemplate,
};
use openrms_protocol::{CertificateChain, CertificateText, Fault, FaultCode, Operation, Response};

pub(crate) fn chain(names: &[&str]) -> CertificateChain<'static> {
    names.iter().map(|name| certificate(name)).collect()
}

pub(crate) fn certificate(name: &str) -> CertificateText<'static> {
    let text = format!("<XrML xmlns=\"\" version=\"1.2\"><BODY>{name};\n</BODY></XrML>");
    CertificateText::new(text).unwrap()
}

pub(crate) fn batch() -> AcquireLicense<'static> {
    AcquireLicense {
        items: vec![
            AcquireLicenseParams {
                licensee_certs: chain(&["RAC", "SLC"]),
                issuance_license: Some(chain(&["PL", "CLC"])),
                application_data: Some("<App xmlns=\"urn:a\">1 &amp; 2</App>".into()),
            },
            AcquireLicenseParams {
                licensee_certs: chain(&["RAC2"]),
                issuance_license: None,
                application_data: None,
            },
        ],
    }
}

/// The question of example 4.3 of [MS-RMPRS].
pub(crate) fn question() -> IsPrincipalMemberOf {
    let groups = ["mail=group1_1@contoso.com", "mail=group2@contoso.com"];
    IsPrincipalMemberOf::new("mail=user1@contoso.com", groups.map(str::to_owned).to_vec())
}

pub(crate) fn requests() -> Vec<Operation<'static>> {
    let guid = "96c4ca87-b3ff-4ded-9c15-53272e26396f".parse().unwrap();
    vec![
        Certify {
            machine_certificate_chain: chain(&["SPC", "CA"]),
            persistent: true,
        }
        .into(),
        batch().into(),
        AcquireTemplateInformation.into(),
        AcquireTemplates {
            guids: vec!["{1}".to_owned(), "<&>".to_owned()],
        }
        .into(),
        AcquireIssuanceLicense {
            unsigned_issuance_licenses: vec![certificate("PL")],
        }
        .into(),
        GetClientLicensorCert {
            persona_certs: vec![chain(&["RAC", "SLC"])],
        }
        .into(),
        Enroll {
            authorization: None,
            revocation: Revocation::Custom(vec![vec![1, 2, 3], vec![4]]),
            public_key: vec![0x30, 0x82],
            guid,
            enrollee: EnrolleeServerInformation {
                sku: None,
                version: "6.1.0.0".to_owned(),
                name: Some("Contoso & Söhne".to_owned()),
                url: Some("https://rms.example.com/_wmcs".to_owned()),
            },
        }
        .into(),
        GetLicensorCertificate.into(),
        FindServiceLocationsForUser {
            services: vec![
                ServiceType::LicensingInternalService,
                ServiceType::CertificationService,
            ],
        }
        .into(),
        GetServerInfo {
            requests: vec![
                ServerInfoRequest {
                    kind: ServerInfoType::VersionInfo,
                    additional_info: None,
                },
                ServerInfoRequest {
                    kind: ServerInfoType::ServiceLocations,
                    additional_info: Some("x".to_owned()),
                },
            ],
        }
        .into(),
        FindServiceLocations {
            services: vec![
                ServiceType::GroupExpansionService,
                ServiceType::DrmRemoteDirectoryServices,
            ],
        }
        .into(),
        question().into(),
    ]
    .into_iter()
    .chain(requests_of_servers())
    .collect()
}

fn requests_of_servers() -> Vec<Operation<'static>> {
    vec![
        Activate {
            machines: vec![HardwareId::Sha1([1; 20]), HardwareId::Sha256([2; 32])],
        }
        .into(),
        Precertify::single(PrecertifyParams {
            user_name: Some("o'brien@example.com".to_owned()),
            identification: Some(Identification {
                authentication_mode: AuthenticationMode::Windows,
                id: "S-1-5-21-1-2-3-1118".to_owned(),
            }),
        })
        .into(),
        AcquirePreLicense {
            items: vec![
                AcquirePreLicenseParams {
                    licensee_identities: vec![
                        "bob@example.com".to_owned(),
                        "<&>@example.com".to_owned(),
                    ],
                    issuance_license: chain(&["PL"]),
                },
                AcquirePreLicenseParams {
                    licensee_identities: vec!["carol@example.com".to_owned()],
                    issuance_license: chain(&["PL2", "CLC"]),
                },
            ],
        }
        .into(),
        EditIssuanceLicense {
            signed_issuance_license: chain(&["PL"]),
            unsigned_issuance_license: certificate("new PL"),
        }
        .into(),
        AcquireContentKey {
            issuance_license: chain(&["PL", "CLC"]),
        }
        .into(),
        sub_enroll().into(),
    ]
}

pub(crate) fn responses() -> Vec<Response<'static>> {
    let denied = Fault::new(FaultCode::NoRightsForRequestedPrincipal, "no rights");
    let location = |service, url: Option<&str>| ServiceLocation {
        service,
        url: url.map(str::to_owned),
    };
    let entry = |value| ServerInfo {
        additional_info: String::new(),
        value,
    };
    let feature = |name: &str, value: &str| ServerFeature {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    vec![
        CertifyResponse {
            certificate_chain: chain(&["RAC", "SLC"]),
            quota: Some(QuotaResponse::PRODUCTION),
        }
        .into(),
        AcquireLicenseResponse {
            items: vec![
                LicenseOutcome::license(chain(&["UL", "SLC"])),
                LicenseOutcome::Exception(AcquireLicenseException {
                    fault: denied,
                    batch_index: 1,
                }),
            ],
        }
        .into(),
        AcquireTemplateInformationResponse {
            server_public_key: vec![0x30, 0x82],
            templates: vec![GuidHash {
                guid: "{1}".to_owned(),
                hash: "aGFzaA==".to_owned(),
            }],
        }
        .into(),
        AcquireTemplatesResponse {
            templates: vec![
                GuidTemplate {
                    guid: "{1}".to_owned(),
                    hash: Some("aGFzaA==".to_owned()),
                    template: Some(certificate("Template").as_str().to_owned()),
                },
                GuidTemplate {
                    guid: "{2}".to_owned(),
                    hash: None,
                    template: None,
                },
            ],
        }
        .into(),
        AcquireIssuanceLicenseResponse {
            certificate_chains: vec![chain(&["PL", "SLC"])],
        }
        .into(),
        GetClientLicensorCertResponse {
            certificate_chains: vec![chain(&["CLC", "SLC"])],
        }
        .into(),
        EnrollResponse {
            licensor_certificate_chain: chain(&["SLC", "ES", "ECA", "CA"]),
        }
        .into(),
        GetLicensorCertificateResponse {
            certificate_chain: chain(&["SLC", "CA"]),
        }
        .into(),
        FindServiceLocationsForUserResponse {
            locations: vec![
                location(
                    ServiceType::LicensingService,
                    Some("https://rms/_wmcs/licensing?a&b"),
                ),
                location(ServiceType::CertificationService, None),
            ],
        }
        .into(),
        GetServerInfoResponse {
            entries: vec![
                entry(ServerInfoValue::VersionInfo("6.1.0.0".to_owned())),
                entry(ServerInfoValue::ServerFeatureInfo(vec![
                    feature("GroupExpansionWebService", "true"),
                    feature("FederatedServicesEnabled", "0"),
                ])),
                entry(ServerInfoValue::ServerLicensorCertificate(chain(&[
                    "SLC", "CA",
                ]))),
                entry(ServerInfoValue::ServiceLocations(vec![
                    location(ServiceType::LicensingService, Some("https://rms/\"<&>")),
                    location(ServiceType::ServerService, None),
                ])),
            ],
        }
        .into(),
    ]
    .into_iter()
    .chain(responses_to_servers())
    .collect()
}

pub(crate) fn activated(spc: &str) -> Activated<'static> {
    Activated {
        machine_certificate_chain: chain(&[spc, "CA"]),
        signature: BinarySignature {
            hash: "SHA256".to_owned(),
            digest: vec![7; 32],
            value: vec![8; 256],
        },
    }
}

fn responses_to_servers() -> Vec<Response<'static>> {
    let unknown = Fault::from(FaultCode::AcquirePreLicenseInvalidLicensee);
    vec![
        service_locations().into(),
        IsPrincipalMemberOfResponse { is_member: true }.into(),
        PrecertifyResponse {
            certificate: certificate("RAC"),
        }
        .into(),
        AcquirePreLicenseResponse {
            items: vec![
                PreLicenses {
                    licenses: vec![
                        PreLicenseOutcome::License(certificate("UL")),
                        PreLicenseOutcome::Exception(AcquirePreLicenseException {
                            fault: unknown,
                            batch_index: 1,
                        }),
                    ],
                    certificate_chain: chain(&["SLC", "CA"]),
                },
                PreLicenses {
                    licenses: vec![PreLicenseOutcome::License(certificate("UL2"))],
                    certificate_chain: chain(&["SLC", "CA"]),
                },
            ],
        }
        .into(),
        EditIssuanceLicenseResponse {
            certificate_chain: chain(&["PL"]),
        }
        .into(),
        AcquireContentKeyResponse {
            content_key: ClearKey::new((0..16).collect()),
            key_type: KeyType::Aes,
        }
        .into(),
        sub_enroll_response().into(),
        ActivateResponse {
            items: vec![activated("SPC"), activated("SPC2")],
        }
        .into(),
    ]
}

/// What a licensing cluster asks its root cluster.
pub(crate) fn sub_enroll() -> SubEnroll {
    SubEnroll {
        public_key: vec![0x30, 0x82],
        guid: "96c4ca87-b3ff-4ded-9c15-53272e26396f".parse().unwrap(),
        enrollee: EnrolleeServerInformation {
            sku: Some("RMS 2.0".to_owned()),
            version: "6.1.0.0".to_owned(),
            name: Some("Contoso & Söhne".to_owned()),
            url: Some("https://rms.example.com/_wmcs".to_owned()),
        },
    }
}

/// What it gets.
pub(crate) fn sub_enroll_response() -> SubEnrollResponse<'static> {
    SubEnrollResponse {
        licensor_certificate_chain: chain(&["SLC", "root é", "ES", "ECA", "CA"]),
    }
}

/// What another server is told: with no URL, the type stays.
fn service_locations() -> FindServiceLocationsResponse {
    let group_expansion = "https://rms/_wmcs/groupexpansion/GroupExpansion.asmx";
    FindServiceLocationsResponse {
        locations: vec![
            ServiceLocation {
                service: ServiceType::GroupExpansionService,
                url: Some(group_expansion.to_owned()),
            },
            ServiceLocation {
                service: ServiceType::DrmRemoteDirectoryServices,
                url: None,
            },
        ],
    }
}
