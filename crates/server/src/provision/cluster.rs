//! The cluster itself: the server's key, its certificate, policies and whom it trusts.

use openrms_crypto::Mode;
use openrms_engine::authority::{self, EnrollmentService};
use openrms_store::{
    Change, ConfigurationVersion, CryptographicMode, LicensorKey, Policies, SealedBytes,
    TrustedSpcCaKey,
};
use openrms_xrml::chain;

use super::enroll::{self, EnrollError};
use super::url::BaseUrl;
use super::{Authority, ProvisionError, RootOptions};
use crate::authority::{ClientTrust, FOREIGN, TrustError};
use crate::clock;
use crate::open::Opened;

/// Makes the server's key, has it certified, and stores everything in one transaction.
pub(super) async fn make(
    opened: &Opened,
    options: &RootOptions,
    url: &BaseUrl,
    version: ConfigurationVersion,
) -> Result<String, ProvisionError> {
    let (handle, key) = opened
        .provider
        .generate(options.mode)
        .map_err(|error| ProvisionError::Key(error.to_string()))?;
    let policies = Policies {
        name: options.name.clone(),
        server_version: SERVER_VERSION.into(),
        sku: SERVER_SKU.into(),
        cryptographic_mode: stored_mode(options.mode),
        base_url: Some(url.base.clone()),
        ..Policies::default()
    };
    let request = enroll::request(key.public(), &policies)?;
    let now = clock::now();
    let (slc_chain, spc_authority, foreign) = match &options.authority {
        Authority::Own => {
            let roles = opened.store.authority_roles().await?;
            let service = EnrollmentService::load(&roles, &*opened.provider)?;
            let answer = service
                .enroll(&request, SLC_DAYS, now)
                .map_err(|refusal| EnrollError::Refused(refusal.to_string()))?;
            let chain = answer.licensor_certificate_chain.concatenated();
            (chain, authority::spc_authority_key(&roles)?, None)
        }
        Authority::Enroll(service) => {
            let trust = enroll::fetch_trust(service, options.proxy.as_deref())?;
            let anchors = trust.anchors()?;
            let spc_authority = enroll::spc_authority(&trust, &anchors, now)?;
            let (proxy, request) = (options.proxy.as_deref(), request.clone());
            let chain = enroll::over_http(service, proxy, request, key.public(), &anchors, now)?;
            (chain, spc_authority, Some(trust))
        }
    };
    let guid = chain::parse_verified(&slc_chain)
        .ok()
        .and_then(|nodes| {
            nodes
                .first()?
                .content()
                .principal
                .as_ref()?
                .object
                .as_guid()
        })
        .ok_or_else(|| EnrollError::Unusable("the SLC names no GUID".into()))?;
    let id = key.public().fingerprint_hex();
    let mut changes = vec![
        Change::AddLicensorKey(LicensorKey {
            id: id.clone(),
            guid: guid.0,
            mode: stored_mode(options.mode),
            sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
            slc_chain,
            created: now.unix(),
            retired: false,
        }),
        Change::SetPolicies(Box::new(policies)),
        Change::PutTrustedSpcCaKey(TrustedSpcCaKey {
            modulus: spc_authority.modulus_le().to_vec(),
            exponent: spc_authority.exponent(),
            name: match &options.authority {
                Authority::Own => "this cluster's clients".into(),
                Authority::Enroll(service) => format!("clients of {service}"),
            },
        }),
    ];
    if let Some(contact) = &options.contact {
        changes.push(Change::PutSetting {
            name: CONTACT.into(),
            value: contact.clone(),
        });
    }
    if let Some(trust) = foreign {
        changes.push(foreign_setting(&trust)?);
    }
    opened.store.apply(&changes, Some(version)).await?;
    Ok(id)
}

fn foreign_setting(trust: &ClientTrust) -> Result<Change, ProvisionError> {
    let value = serde_json::to_string(trust)
        .map_err(|error| TrustError::Damaged("client trust", error.to_string()))?;
    Ok(Change::PutSetting {
        name: FOREIGN.into(),
        value,
    })
}

fn stored_mode(mode: Mode) -> CryptographicMode {
    match mode {
        Mode::One => CryptographicMode::One,
        Mode::Two => CryptographicMode::Two,
    }
}

/// The setting that holds the administrator's mail address.
pub(crate) const CONTACT: &str = "administrator-contact";
/// Consumers compare this with Windows' own numbers: 6.3 is Windows Server 2012 R2.
const SERVER_VERSION: &str = "6.3.0.0";
const SERVER_SKU: &str = "RMS 2.0";
/// A hundred years: trust ends by replacing anchors, not by a date that nobody watches.
pub(crate) const SLC_DAYS: u32 = 36_500;
