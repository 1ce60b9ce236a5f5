//! The cluster itself: the server's key, policies, and who is to certify it. It is enrolled
//! afterwards ([`crate::enrollment`]).

use openrms_crypto::Mode;
use openrms_engine::cluster::ROOT_URL;
use openrms_store::{
    Change, ConfigurationSnapshot, CryptographicMode, LicensorKey, Policies, RevocationAuthority,
    RevocationType, SealedBytes,
};
use openrms_xrml::Guid;

use super::url::BaseUrl;
use super::{Authority, ProvisionError, RootOptions};
use crate::clock;
use crate::enrollment::{CONTACT, SERVICE};
use crate::open::Opened;
use crate::slc;

/// Makes the server's key and stores everything in one transaction; of a server that an earlier
/// attempt made, it stores only who certifies it. Nobody has certified it yet.
pub(super) async fn make(
    opened: &Opened,
    options: &RootOptions,
    url: &BaseUrl,
    people: Option<Change>,
    there: &ConfigurationSnapshot,
) -> Result<String, ProvisionError> {
    let (id, mut changes) = match there.current_licensor_key() {
        Some(key) => (key.id.clone(), Vec::new()),
        None => server(opened, options, url)?,
    };
    let certifier = match &options.authority {
        Authority::Own | Authority::Files => None,
        Authority::Enroll(service) => Some((SERVICE, service.clone())),
        Authority::Root(root) | Authority::RootByFiles(root) => {
            Some((ROOT_URL, BaseUrl::parse(root)?.base))
        }
    };
    if there.current_licensor_key().is_none() {
        changes.extend(people);
    }
    let days = options.slc_days.map(|days| (slc::DAYS, days.to_string()));
    let contact = options.contact.clone().map(|contact| (CONTACT, contact));
    // An earlier attempt may have named another one.
    let chosen = certifier.as_ref().map(|(name, _)| *name);
    let others = [SERVICE, ROOT_URL]
        .into_iter()
        .filter(|name| there.settings.contains_key(*name) && chosen != Some(*name));
    changes.extend(others.map(|name| Change::RemoveSetting(name.to_owned())));
    let settings = [certifier, contact, days].into_iter().flatten();
    changes.extend(settings.map(|(name, value)| Change::PutSetting {
        name: name.to_owned(),
        value,
    }));
    opened.store.apply(&changes, Some(there.version)).await?;
    Ok(id)
}

/// The server's key, its policies, and who may revoke its certificate.
fn server(
    opened: &Opened,
    options: &RootOptions,
    url: &BaseUrl,
) -> Result<(String, Vec<Change>), ProvisionError> {
    let bytes = openrms_crypto::random::guid_bytes()
        .map_err(|error| ProvisionError::Key(error.to_string()))?;
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
        revocation_type: if options.revocation_keys.is_empty() {
            RevocationType::Standard
        } else {
            RevocationType::Custom
        },
        ..Policies::default()
    };
    let id = key.public().fingerprint_hex();
    let mut changes = vec![
        Change::AddLicensorKey(LicensorKey {
            id: id.clone(),
            guid: Guid::from_random(bytes).0,
            mode: stored_mode(options.mode),
            sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
            slc_chain: String::new(),
            created: clock::now().unix(),
            retired: false,
        }),
        Change::SetPolicies(Box::new(policies)),
    ];
    let authorities = options.revocation_keys.iter();
    changes.extend(authorities.map(|key| {
        Change::PutRevocationAuthority(RevocationAuthority {
            public_key: key.to_pkcs1_der(),
            name: key.fingerprint_hex(),
        })
    }));
    Ok((id, changes))
}

fn stored_mode(mode: Mode) -> CryptographicMode {
    match mode {
        Mode::One => CryptographicMode::One,
        Mode::Two => CryptographicMode::Two,
    }
}

/// Consumers compare this with Windows' own numbers: 6.3 is Windows Server 2012 R2.
const SERVER_VERSION: &str = "6.3.0.0";
const SERVER_SKU: &str = "RMS 2.0";
