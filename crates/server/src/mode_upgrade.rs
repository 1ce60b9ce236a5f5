//! The change of a cluster from cryptographic mode 1 to mode 2 (MS-RMPR 3.1.4.7): a new server key
//! and certificate, under the anchors that everybody trusts already. The old key is kept and opens
//! what was protected under it. There is no way back.

use openrms_crypto::{KeyHandle, KeyProvider, Mode};
use openrms_engine::authority::{self, AuthorityError};
use openrms_engine::cluster::mode_of;
use openrms_protocol::level::NotAtLevel;
use openrms_protocol::{Feature, ServiceLevel};
use openrms_store::{
    Change, ConfigurationSnapshot, CryptographicMode, LicensorKey, SealedBytes, Store, StoreError,
    Template,
};
use openrms_xrml::chain;
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::{Guid, Time};

use crate::authority::{ClientTrust, FOREIGN};
use crate::enrollment::own::OwnServer;
use crate::enrollment::{Applicant, Application, Certified, Certifier, EnrollError, OnLine, Trust};
use crate::open::Opened;

/// The change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upgraded {
    /// Fingerprint of the key that is in use now.
    pub(crate) key: String,
    /// Fingerprint of the key that opens old content.
    pub(crate) retired: String,
    /// How many templates were signed with the new key.
    pub(crate) templates: usize,
}

/// Why the change is not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModeUpgradeError {
    /// Servers of this level have no such mode.
    #[error(transparent)]
    Level(#[from] NotAtLevel),
    /// It is made already.
    #[error("the cluster is in cryptographic mode 2 already")]
    Already,
    /// There is nothing to begin with.
    #[error("the cluster is not enrolled: enroll it first")]
    NotEnrolled,
    /// It has ended.
    #[error("the cluster is decommissioned")]
    Decommissioned,
    /// There was no request before the response.
    #[error("no request for a certificate of mode 2 was made")]
    NoRequest,
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(String),
    /// A template cannot be signed.
    #[error("the template {0} cannot be signed: {1}")]
    Template(Guid, String),
    /// The trust anchor of this cluster cannot certify in mode 2.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The new key was not certified.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The database failed, or somebody else changed the configuration meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has whoever certifies the cluster certify a new key, and takes it into use, in one step.
pub(crate) async fn on_line(
    opened: &Opened,
    level: ServiceLevel,
    mut trust: Trust,
    by: &OnLine,
    now: Time,
) -> Result<Upgraded, ModeUpgradeError> {
    level.require(Feature::ModeTwo)?;
    let (store, provider) = (&*opened.store, &*opened.provider);
    let stored = upgradable(store).await?;
    let mut roles = store.authority_roles().await?;
    let mut changes = Vec::new();
    if Certifier::of(&stored, &roles) == Certifier::Own {
        let added = authority::added_for_mode_two(&roles, provider, &opened.vault, now)?;
        changes.extend(added.iter().cloned().map(Change::AddAuthorityRole));
        roles.extend(added);
    }
    pin(&stored, &mut trust)?;
    let next = match stored.next_licensor_key() {
        Some(next) => next.clone(),
        None => new_key(provider, now)?,
    };
    let own = OwnServer::with_key(&stored, &next, Applicant::new(opened, level))?;
    let application = Application {
        stored: &stored,
        roles: &roles,
        own: &own,
    };
    let certified = application.certify(store, provider, trust, by, now).await?;
    switch(opened, &stored, next, certified, changes, now).await
}

/// The request document for the new key, which is made and waits for its certificate. The same
/// one each time.
pub(crate) async fn request(
    opened: &Opened,
    level: ServiceLevel,
    now: Time,
) -> Result<String, ModeUpgradeError> {
    level.require(Feature::ModeTwo)?;
    let (store, provider) = (&*opened.store, &*opened.provider);
    let stored = upgradable(store).await?;
    let next = if let Some(next) = stored.next_licensor_key() {
        next.clone()
    } else {
        let next = new_key(provider, now)?;
        let add = [Change::AddLicensorKey(next.clone())];
        store.apply(&add, Some(stored.version)).await?;
        next
    };
    Ok(OwnServer::with_key(&stored, &next, Applicant::new(opened, level))?.request_document())
}

/// Takes the new key into use with the certificate of a response document.
pub(crate) async fn by_file(
    opened: &Opened,
    level: ServiceLevel,
    document: &[u8],
    mut trust: Trust,
    now: Time,
) -> Result<Upgraded, ModeUpgradeError> {
    level.require(Feature::ModeTwo)?;
    let store = &*opened.store;
    let stored = upgradable(store).await?;
    let roles = store.authority_roles().await?;
    pin(&stored, &mut trust)?;
    let next = stored
        .next_licensor_key()
        .ok_or(ModeUpgradeError::NoRequest)?
        .clone();
    let own = OwnServer::with_key(&stored, &next, Applicant::new(opened, level))?;
    let application = Application {
        stored: &stored,
        roles: &roles,
        own: &own,
    };
    let certified = application.judge_document(document, &trust, now)?;
    switch(opened, &stored, next, certified, Vec::new(), now).await
}

/// Has a trust anchor alone certify in mode 2 besides. Says whether that is new.
pub(crate) async fn authority(
    opened: &Opened,
    level: ServiceLevel,
    now: Time,
) -> Result<bool, ModeUpgradeError> {
    level.require(Feature::ModeTwo)?;
    let (store, provider) = (&*opened.store, &*opened.provider);
    let roles = store.authority_roles().await?;
    let added = authority::added_for_mode_two(&roles, provider, &opened.vault, now)?;
    let changes: Vec<_> = added.into_iter().map(Change::AddAuthorityRole).collect();
    store.apply(&changes, None).await?;
    Ok(!changes.is_empty())
}

/// The configuration of a cluster that is served in mode 1.
async fn upgradable(store: &dyn Store) -> Result<ConfigurationSnapshot, ModeUpgradeError> {
    let stored = store.snapshot().await?;
    let current = stored
        .current_licensor_key()
        .ok_or(EnrollError::NotProvisioned)?;
    if mode_of(current.mode) == Mode::Two {
        return Err(ModeUpgradeError::Already);
    }
    if stored.policies.decommissioned {
        return Err(ModeUpgradeError::Decommissioned);
    }
    if current.slc_chain.is_empty() {
        return Err(ModeUpgradeError::NotEnrolled);
    }
    Ok(stored)
}

/// Another mode is no reason to trust another hierarchy.
fn pin(stored: &ConfigurationSnapshot, trust: &mut Trust) -> Result<(), EnrollError> {
    if let (None, Some(text)) = (&trust.pinned, stored.settings.get(FOREIGN)) {
        trust.pinned = Some(ClientTrust::parse(text)?.anchors()?);
    }
    Ok(())
}

/// A key of its own GUID: that of the old key stays with the old key's certificates.
fn new_key(provider: &dyn KeyProvider, now: Time) -> Result<LicensorKey, ModeUpgradeError> {
    let failed = |error: &dyn std::fmt::Display| ModeUpgradeError::Key(error.to_string());
    let guid = openrms_crypto::random::guid_bytes().map_err(|error| failed(&error))?;
    let (handle, key) = provider
        .generate(Mode::Two)
        .map_err(|error| failed(&error))?;
    Ok(LicensorKey {
        id: key.public().fingerprint_hex(),
        guid: Guid::from_random(guid).0,
        mode: CryptographicMode::Two,
        sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
        slc_chain: String::new(),
        created: now.unix(),
        retired: false,
    })
}

/// Everything that changes with the key, in one transaction.
async fn switch(
    opened: &Opened,
    stored: &ConfigurationSnapshot,
    next: LicensorKey,
    certified: Certified,
    mut changes: Vec<Change>,
    now: Time,
) -> Result<Upgraded, ModeUpgradeError> {
    let key = next.id.clone();
    let retired: Vec<_> = stored
        .licensor_keys
        .iter()
        .filter(|key| !key.retired && key.id != next.id)
        .map(|key| key.id.clone())
        .collect();
    let templates = signed_anew(&*opened.provider, stored, &next, &certified.chain, now)?;
    let count = templates.len();
    changes.extend(templates);
    changes.extend(certified.trusted);
    if stored.licensor_keys.iter().any(|key| key.id == next.id) {
        changes.push(Change::SetLicensorChain {
            id: next.id,
            slc_chain: certified.chain,
        });
    } else {
        changes.push(Change::AddLicensorKey(LicensorKey {
            slc_chain: certified.chain,
            ..next
        }));
    }
    changes.extend(retired.iter().cloned().map(Change::RetireLicensorKey));
    let mut policies = stored.policies.clone();
    policies.cryptographic_mode = CryptographicMode::Two;
    changes.push(Change::SetPolicies(Box::new(policies)));
    opened.store.apply(&changes, Some(stored.version)).await?;
    Ok(Upgraded {
        key,
        retired: retired.into_iter().next_back().unwrap_or_default(),
        templates: count,
    })
}

/// Clients believe a template that the server's key of today has signed.
fn signed_anew(
    provider: &dyn KeyProvider,
    stored: &ConfigurationSnapshot,
    next: &LicensorKey,
    slc_chain: &str,
    now: Time,
) -> Result<Vec<Change>, ModeUpgradeError> {
    let malformed = |reason: String| EnrollError::Malformed {
        what: "server licensor certificate",
        reason,
    };
    let nodes = chain::parse_verified(slc_chain).map_err(|error| malformed(error.to_string()))?;
    let leaf = nodes.first().ok_or_else(|| malformed("empty".into()))?;
    let slc = ServerLicensorCertificate::new(leaf.clone())
        .map_err(|error| malformed(error.to_string()))?;
    let handle = KeyHandle::new(next.sealed_private_key.as_slice().to_vec());
    let key = provider
        .load(&handle)
        .map_err(|error| ModeUpgradeError::Key(error.to_string()))?;
    let mut changes = Vec::with_capacity(stored.templates.len());
    for template in &stored.templates {
        let failed = |error: &dyn std::fmt::Display| {
            ModeUpgradeError::Template(Guid(template.guid), error.to_string())
        };
        let rights = RightsData::parse(&template.xrml).map_err(|error| failed(&error))?;
        let xrml = rights
            .signed_anew(slc.identity(), key.as_ref(), Mode::Two.hash())
            .map_err(|error| failed(&error))?;
        changes.push(Change::PutTemplate(Template {
            xrml,
            updated: now.unix(),
            ..template.clone()
        }));
    }
    Ok(changes)
}
