//! The server about itself and about where services are (MS-RMPR 3.7).

use openrms_directory::AccountRef;
use openrms_protocol::server::{
    FindServiceLocations, FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    FindServiceLocationsResponse, GetLicensorCertificateResponse, GetServerInfo,
    GetServerInfoResponse, ServerFeature, ServerInfo, ServerInfoType, ServerInfoValue,
    ServiceLocation, ServiceType,
};
use openrms_protocol::{FaultCode, Feature, Service, binary_group_expansion};

use crate::caller::Caller;
use crate::cluster::{Cluster, server_version};
use crate::context::{Context, check_in_service, check_not_decommissioned};
use crate::refusal::Refusal;

/// The SLC chain, for on-line publishing (MS-RMPR 3.7.4.1).
pub fn get_licensor_certificate(
    context: &Context<'_>,
) -> Result<GetLicensorCertificateResponse<'static>, Refusal> {
    check_in_service(context)?;
    Ok(GetLicensorCertificateResponse {
        certificate_chain: context.cluster.server()?.chain.clone(),
    })
}

/// Where services are for the caller (MS-RMPR 3.7.4.2).
pub async fn find_service_locations(
    context: &Context<'_>,
    caller: &Caller,
    request: &FindServiceLocationsForUser,
) -> Result<FindServiceLocationsForUserResponse, Refusal> {
    check_not_decommissioned(context.cluster)?;
    let unspecified = |reason: &str| Refusal::new(FaultCode::UnspecifiedError, reason);
    let home = match caller {
        Caller::Nobody => return Err(unspecified("the caller is not authenticated")),
        // Whoever comes from outside belongs to the directory of the server they come to.
        Caller::Federated(_) => true,
        Caller::Account(account) => {
            let forest = context
                .directory
                .forest_of(&AccountRef::Sid(account.sid.clone()))
                .await
                .map_err(|error| unspecified(&format!("directory: {error}")))?
                .ok_or_else(|| unspecified("no directory knows the account"))?;
            forest == *context.directory.home_forest()
        }
    };
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

/// Where services are, for another server (MS-RMPRS 3.2.4.1): the files themselves.
pub fn find_locations_for_server(
    context: &Context<'_>,
    request: &FindServiceLocations,
) -> Result<FindServiceLocationsResponse, Refusal> {
    check_not_decommissioned(context.cluster)?;
    if let Some(service) = request
        .services
        .iter()
        .find(|service| !service.is_for_servers())
    {
        let reason = format!("{service:?} is not for servers to ask about");
        return Err(Refusal::new(FaultCode::Argument, reason));
    }
    let cluster = context.cluster;
    let base = cluster.base_url();
    let policies = &cluster.policies;
    let expands = expands(context);
    let file = |cluster: Option<&str>, service: Service| {
        let name = service.path().rsplit('/').next().unwrap_or_default();
        cluster.map(|url| format!("{}/{name}", url.trim_end_matches('/')))
    };
    let locations = request.services.iter().map(|&service| ServiceLocation {
        service,
        url: match service {
            ServiceType::LicensingService => {
                file(policies.external_licensing_url.as_deref(), Service::License)
            }
            ServiceType::CertificationService => file(
                policies.external_certification_url.as_deref(),
                Service::Certification,
            ),
            ServiceType::LicensingInternalService => Some(Service::License.url(base)),
            ServiceType::CertificationInternalService => {
                let root = cluster.root.as_ref().map(|root| root.base_url.as_str());
                Some(Service::Certification.url(root.unwrap_or(base)))
            }
            ServiceType::GroupExpansionService => {
                expands_in_soap(context).then(|| Service::GroupExpansion.url(base))
            }
            ServiceType::DrmRemoteDirectoryServices => {
                expands.then(|| binary_group_expansion::http::url(base))
            }
            _ => None,
        },
    });
    Ok(FindServiceLocationsResponse {
        locations: locations.collect(),
    })
}

/// Version, features, SLC and locations (MS-RMPR 3.7.4.3). Anyone may ask.
pub fn get_server_info(
    context: &Context<'_>,
    request: &GetServerInfo,
) -> Result<GetServerInfoResponse<'static>, Refusal> {
    let cluster = context.cluster;
    check_not_decommissioned(cluster)?;
    let mut entries = Vec::new();
    for asked in &request.requests {
        let value = match asked.kind {
            ServerInfoType::VersionInfo => {
                let version = server_version(context.level, &cluster.policies);
                ServerInfoValue::VersionInfo(version.to_owned())
            }
            ServerInfoType::ServerFeatureInfo => {
                ServerInfoValue::ServerFeatureInfo(features(context))
            }
            ServerInfoType::ServerLicensorCertificate => {
                ServerInfoValue::ServerLicensorCertificate(cluster.server()?.chain.clone())
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
        ServiceType::ServerService if cluster.root.is_some() => Some(cluster.licensing_url()),
        ServiceType::CertificationInternalService | ServiceType::ServerService => {
            Some(cluster.certification_url())
        }
        // Asked by clients of version 1.0 only.
        ServiceType::ActivationService if cluster.activates => Some(cluster.certification_url()),
        _ => None,
    }
}

/// Whether groups are expanded for other forests, which ask the root cluster.
fn expands(context: &Context<'_>) -> bool {
    context.forests.max_calls() > 0 && context.cluster.root.is_none()
}

/// Whether they may ask in SOAP.
fn expands_in_soap(context: &Context<'_>) -> bool {
    expands(context) && context.level.offers(Service::GroupExpansion)
}

fn features(context: &Context<'_>) -> Vec<ServerFeature> {
    let federated =
        context.cluster.policies.federation_enabled && context.level.has(Feature::Federation);
    let feature = |name: &str, value: &str| ServerFeature {
        name: name.into(),
        value: value.into(),
    };
    vec![
        feature(
            "GroupExpansionWebService",
            &expands_in_soap(context).to_string(),
        ),
        feature(
            "ActiveDirectoryServicesRemoting",
            &expands(context).to_string(),
        ),
        feature(
            "FederatedServicesEnabled",
            if federated { "1" } else { "0" },
        ),
        feature(RELEASE, context.release),
    ]
}

/// The feature that tells the release of the software; beyond the specification.
pub const RELEASE: &str = "Release";
