//! This server as it asks for an SLC, and as the SLC must name it.

use openrms_crypto::{KeyHandle, Mode, PublicKey};
use openrms_engine::cluster::{ROOT_URL, mode_of, server_sku, server_version};
use openrms_protocol::enrollment::{Enroll, EnrolleeServerInformation, Guid, Revocation};
use openrms_protocol::sub_enrollment::SubEnroll;
use openrms_protocol::{Feature, offline_enrollment};
use openrms_store::{ConfigurationSnapshot, LicensorKey, RevocationType};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::chain::{self, ChainReadError};
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::{Interval, Time};

use super::{Applicant, EnrollError, malformed};

/// The server of this cluster.
#[derive(Debug)]
pub(crate) struct OwnServer {
    /// Under which its key is stored.
    pub(crate) id: String,
    /// Its mode.
    pub(crate) mode: Mode,
    /// Base URL of its root cluster, where it is a licensing cluster.
    pub(crate) root: Option<String>,
    /// Whether it was certified before.
    pub(crate) is_enrolled: bool,
    key: PublicKey,
    guid: Guid,
    info: EnrolleeServerInformation,
    revocation: Revocation,
}

impl OwnServer {
    /// From what was provisioned.
    pub(crate) fn of(
        stored: &ConfigurationSnapshot,
        by: Applicant<'_>,
    ) -> Result<Self, EnrollError> {
        let current = stored
            .current_licensor_key()
            .ok_or(EnrollError::NotProvisioned)?;
        Self::with_key(stored, current, by)
    }

    /// With a key pair that need not be the one in use.
    pub(crate) fn with_key(
        stored: &ConfigurationSnapshot,
        pair: &LicensorKey,
        by: Applicant<'_>,
    ) -> Result<Self, EnrollError> {
        let handle = KeyHandle::new(pair.sealed_private_key.as_slice().to_vec());
        let key = by
            .provider
            .load(&handle)
            .map_err(|error| EnrollError::Key(error.to_string()))?;
        let (policies, level) = (&stored.policies, by.level);
        let authorities = stored.revocation_authorities.iter();
        Ok(Self {
            id: pair.id.clone(),
            mode: mode_of(pair.mode),
            root: stored.settings.get(ROOT_URL).cloned(),
            is_enrolled: !pair.slc_chain.is_empty(),
            key: key.public().clone(),
            guid: pair.guid.to_string().parse()?,
            info: EnrolleeServerInformation {
                sku: Some(server_sku(level, policies).to_owned()),
                version: server_version(level, policies).to_owned(),
                name: level
                    .has(Feature::ServerNames)
                    .then(|| policies.name.clone()),
                url: policies.base_url.clone(),
            },
            revocation: match policies.revocation_type {
                RevocationType::Standard => Revocation::Standard,
                RevocationType::Custom => {
                    Revocation::Custom(authorities.map(|a| a.public_key.clone()).collect())
                }
            },
        })
    }

    /// What it asks by hand: an authority, or the root cluster of a licensing cluster.
    pub(crate) fn request_document(&self) -> String {
        if self.root.is_some() {
            offline_enrollment::encode_sub_request(&self.sub_enroll())
        } else {
            offline_enrollment::encode_request(&self.enroll())
        }
    }

    /// What it asks an enrollment service for.
    pub(crate) fn enroll(&self) -> Enroll {
        Enroll {
            authorization: None,
            revocation: self.revocation.clone(),
            public_key: self.key.to_pkcs1_der(),
            guid: self.guid.clone(),
            enrollee: self.info.clone(),
        }
    }

    /// What it asks its root cluster for.
    pub(crate) fn sub_enroll(&self) -> SubEnroll {
        SubEnroll {
            public_key: self.key.to_pkcs1_der(),
            guid: self.guid.clone(),
            enrollee: self.info.clone(),
        }
    }

    /// Judges an SLC chain: for this server and no other, of its kind and mode, valid now, and up
    /// to the anchors. Answers with the time in which it may issue.
    pub(crate) fn judge(
        &self,
        text: &str,
        anchors: &Anchors,
        now: Time,
    ) -> Result<Interval, EnrollError> {
        let nodes = chain::parse_verified(text).map_err(|error| match error {
            ChainReadError::Malformed(error) => malformed("certificate chain")(error),
            ChainReadError::Signature(error) => EnrollError::Forged(error.to_string()),
        })?;
        let leaf = nodes
            .first()
            .ok_or_else(|| malformed("certificate chain")("it is empty"))?;
        let slc = ServerLicensorCertificate::new(leaf.clone())
            .map_err(malformed("server licensor certificate"))?;
        self.check_names(&slc)?;
        let path = chain::verify_path(&nodes, Some(now), |key| anchors.contains(key))
            .map_err(|error| EnrollError::Untrusted(error.to_string()))?;
        let servers = path
            .iter()
            .filter(|node| ServerLicensorCertificate::new((**node).clone()).is_ok());
        match (servers.count() > SERVERS_OF_A_ROOT, &self.root) {
            (true, None) => return Err(EnrollError::OtherKind("licensing")),
            (false, Some(_)) => return Err(EnrollError::OtherKind("root")),
            _ => {}
        }
        let signature = leaf.signature().map(|s| s.digest.algorithm());
        if signature != Some(self.mode.hash()) {
            return Err(EnrollError::OtherMode("certificate"));
        }
        let range = slc.range().ok_or_else(|| {
            malformed("server licensor certificate")("it grants no right to issue")
        })?;
        if now < range.from {
            return Err(EnrollError::NotYetValid(range.from));
        }
        if now >= range.until {
            return Err(EnrollError::Expired(range.until));
        }
        Ok(range)
    }

    /// A request that was changed on its way comes back as a certificate for somebody else. An
    /// enrollment service may leave name and URL out (MS-RMPR 3.6.4.1.4.6).
    fn check_names(&self, slc: &ServerLicensorCertificate) -> Result<(), EnrollError> {
        if *slc.key() != self.key {
            return Err(EnrollError::OtherServer("key"));
        }
        let object = slc.identity().object();
        let guid = object.as_guid().map(|guid| guid.to_string());
        if guid.is_none_or(|guid| !guid.eq_ignore_ascii_case(&self.guid.braced())) {
            return Err(EnrollError::OtherServer("GUID"));
        }
        if object.name.is_some() && object.name != self.info.name {
            return Err(EnrollError::OtherServer("name"));
        }
        if object.url().is_some() && object.url() != self.info.url.as_deref() {
            return Err(EnrollError::OtherServer("URL"));
        }
        let principal = slc.node().content().principal.as_ref();
        let levels = principal.map(|principal| principal.security_levels.as_slice());
        for level in levels.unwrap_or_default() {
            let (what, own) = match level.name.as_str() {
                "Server-Version" => ("version", Some(self.info.version.as_str())),
                "Server-SKU" => ("SKU", self.info.sku.as_deref()),
                _ => continue,
            };
            if own != Some(level.value.as_str()) {
                return Err(EnrollError::OtherServer(what));
            }
        }
        Ok(())
    }
}

/// The server and the enrollment service.
const SERVERS_OF_A_ROOT: usize = 2;
