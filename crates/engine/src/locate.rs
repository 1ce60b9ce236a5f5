//! The server about itself and about where services are (MS-RMPR 3.7).

use openrms_directory::AccountRef;
use openrms_protocol::FaultCode;
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    GetLicensorCertificateResponse, GetServerInfo, GetServerInfoResponse, ServerFeature,
    ServerInfo, ServerInfoType, ServerInfoValue, ServiceLocation, ServiceType,
};

use crate::cluster::Cluster;
use crate::context::{Caller, Context, check_in_service};
use crate::refusal::Refusal;

/// The SLC chain, for on-line publishing (MS-RMPR 3.7.4.1).
pub fn get_licensor_certificate(
    context: &Context<'_>,
) -> Result<GetLicensorCertificateResponse<'static>, Refusal> {
    check_in_service(context)?;
    Ok(GetLicensorCertificateResponse {
        certificate_chain: context.cluster.server().chain.clone(),
    })
}

/// Where services are for the caller (MS-RMPR 3.7.4.2).
pub async fn find_service_locations(
    context: &Context<'_>,
    caller: &Caller,
    request: &FindServiceLocationsForUser,
) -> Result<FindServiceLocationsForUserResponse, Refusal> {
    let unspecified = |reason: &str| Refusal::new(FaultCode::UnspecifiedError, reason);
    let account = caller
        .account
        .as_ref()
        .ok_or_else(|| unspecified("the caller is not authenticated"))?;
    let forest = context
        .directory
        .forest_of(&AccountRef::Sid(account.sid.clone()))
        .await
        .map_err(|error| unspecified(&format!("directory: {error}")))?
        .ok_or_else(|| unspecified("no directory knows the account"))?;
    let home = forest == *context.directory.home_forest();
    let locations = request.services.iter().map(|&service| ServiceLocation {
        service,
        // Whoever belongs to another forest is served there; where that is, is found by its
        // service connection point once forests are known.
        url: home.then(|| location(context.cluster, service)).flatten(),
    });
    Ok(FindServiceLocationsForUserResponse {
        locations: locations.collect(),
    })
}

/// Version, features, SLC and locations (MS-RMPR 3.7.4.3). Anyone may ask.
pub fn get_server_info(
    context: &Context<'_>,
    request: &GetServerInfo,
) -> Result<GetServerInfoResponse<'static>, Refusal> {
    let cluster = context.cluster;
    let mut entries = Vec::new();
    for asked in &request.requests {
        let value = match asked.kind {
            ServerInfoType::VersionInfo => {
                ServerInfoValue::VersionInfo(cluster.policies.server_version.clone())
            }
            ServerInfoType::ServerFeatureInfo => {
                ServerInfoValue::ServerFeatureInfo(features(cluster))
            }
            ServerInfoType::ServerLicensorCertificate => {
                ServerInfoValue::ServerLicensorCertificate(cluster.server().chain.clone())
            }
            ServerInfoType::ServiceLocations => {
                let all = ServiceType::ALL.iter();
                ServerInfoValue::ServiceLocations(
                    all.filter_map(|&service| {
                        let url = location(cluster, service);
                        url.is_some().then_some(ServiceLocation { service, url })
                    })
                    .collect(),
                )
            }
        };
        let additional_info = asked.additional_info.clone().unwrap_or_default();
        entries.push(ServerInfo {
            additional_info,
            value,
        });
    }
    Ok(GetServerInfoResponse { entries })
}

fn location(cluster: &Cluster, service: ServiceType) -> Option<String> {
    let policies = &cluster.policies;
    match service {
        ServiceType::CertificationService => policies.external_certification_url.clone(),
        ServiceType::LicensingService => policies.external_licensing_url.clone(),
        ServiceType::LicensingInternalService | ServiceType::PublishingService => {
            Some(cluster.licensing_url())
        }
        ServiceType::CertificationInternalService | ServiceType::ServerService => {
            Some(cluster.certification_url())
        }
        // Asked by clients of version 1.0 only, which this cluster does not serve yet.
        _ => None,
    }
}

fn features(cluster: &Cluster) -> Vec<ServerFeature> {
    let feature = |name: &str, value: &str| ServerFeature {
        name: name.into(),
        value: value.into(),
    };
    vec![
        feature("GroupExpansionWebService", "false"),
        feature("ActiveDirectoryServicesRemoting", "false"),
        feature(
            "FederatedServicesEnabled",
            if cluster.policies.federation_enabled {
                "1"
            } else {
                "0"
            },
        ),
    ]
}
