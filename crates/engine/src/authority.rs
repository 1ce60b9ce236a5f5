//! The trust anchor of a hierarchy of our own, with the shape of the original (MS-RMPR 2.2.9.2):
//! root -> CA -> enrollment CA -> enrollment service -> SLC, and
//! CA -> intermediate CA -> security processor CA -> SPC issuer.
//!
//! The enrollment service answers Enroll (MS-RMPR 3.6) and, as servers since 2.0 do for
//! themselves, self-enrollment.

use std::sync::Arc;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{KeyHandle, KeyProvider, Mode, PrivateKey, PublicKey, SoftwareKey};
use openrms_protocol::enrollment::{Enroll, EnrollResponse, Revocation};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_store::{AuthorityRole, SealedBytes, Store, StoredKey};
use openrms_xrml::anchors::{Anchor, Anchors};
use openrms_xrml::chain;
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole, ServerLicensorCertificate};
use openrms_xrml::{Guid, Identity, Interval, Time};

use crate::certify::issued_chain;
use crate::context::new_guid;
use crate::enrollee::{Certifier, Enrollee, EnrolleeError};
use crate::keys::KeyVault;
use crate::refusal::Refusal;

/// What a new hierarchy is made of, ready to be stored.
#[derive(Debug)]
pub struct NewHierarchy {
    /// Keys and certificates by role.
    pub roles: Vec<AuthorityRole>,
    /// What every participant must trust.
    pub anchors: Anchors,
}

/// The service that makes SLCs.
#[derive(Debug)]
pub struct EnrollmentService {
    identity: Identity,
    chain: CertificateChain<'static>,
    key: Arc<dyn PrivateKey>,
    range: Interval,
}

/// What clients carry to activate themselves: the SPC issuer's key and chain (MS-RMPR 3.8.3.1).
#[derive(Debug)]
pub struct SpcIssuer {
    /// Its private key, which is no secret between clients.
    pub key: SoftwareKey,
    /// Its chain, leaf first, concatenated.
    pub chain: String,
}

/// Why a hierarchy cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority was not created, or only in part.
    #[error("the authority has no {0}: create it first")]
    Missing(&'static str),
    /// A key of the authority is unusable.
    #[error("the key of the authority's {0}: {1}")]
    Key(&'static str, String),
    /// A certificate of the authority is unusable.
    #[error("the certificate of the authority's {0}: {1}")]
    Certificate(&'static str, String),
}

/// Makes a hierarchy. Its certificates are valid from a day ago for a hundred years; trust ends by
/// replacing anchors, not by a date that nobody watches.
pub fn create(
    provider: &dyn KeyProvider,
    vault: &KeyVault,
    name: &str,
    mode: Mode,
    now: Time,
) -> Result<NewHierarchy, AuthorityError> {
    let builder = Builder::new(provider, name, mode, now);
    // CAs have keys of 2048 bits in both modes (MS-RMPR 2.2.9.3.2); only what servers and
    // clients use every day is shorter in mode 1.
    let root = builder.root()?;
    let ca = builder.tagged(CA, IssuingRole::Ca, "DRM CA", Mode::Two, &root)?;
    let enrollment_ca = builder.tagged(
        ENROLLMENT_CA,
        IssuingRole::EnrollmentCa,
        "DRM Server Enrollment CA",
        mode,
        &ca,
    )?;
    let service = builder.named(
        ENROLLMENT_SERVICE,
        IssuingRole::EnrollmentService,
        "DRM Server Enrollment Service",
        &enrollment_ca,
    )?;
    let machine_ca = builder.tagged(
        MACHINE_CA,
        IssuingRole::IntermediateSecurityProcessorCa,
        "DRM Machine Activation Server CA",
        mode,
        &ca,
    )?;
    let processor_ca = builder.named(
        PROCESSOR_CA,
        IssuingRole::SecurityProcessorCa,
        "DRM Machine Activation Desktop Security Processor CA",
        &machine_ca,
    )?;
    let spc_issuer = builder.spc_issuer(vault, &processor_ca)?;
    let anchors = Anchors::new([Anchor {
        name: root.identity.object().name.clone().unwrap_or_default(),
        key: root.identity.key().clone(),
    }]);
    let links = [root, ca, enrollment_ca, service, machine_ca, processor_ca];
    let roles = links
        .into_iter()
        .map(|link| link.stored)
        .chain([spc_issuer])
        .collect();
    Ok(NewHierarchy { roles, anchors })
}

/// The anchors of a stored hierarchy: the key that signed the CA's certificate.
pub fn anchors(roles: &[AuthorityRole]) -> Result<Anchors, AuthorityError> {
    let ca = find(roles, CA)?;
    let bad = |error: String| AuthorityError::Certificate(CA, error);
    let nodes = chain::parse_verified(&ca.certificate).map_err(|e| bad(e.to_string()))?;
    let issuer = nodes.first().and_then(|node| Identity::of_issuer(node));
    let issuer = issuer.ok_or_else(|| bad("names no issuer".into()))?;
    let name = issuer.object().name.clone().unwrap_or_default();
    Ok(Anchors::new([Anchor {
        name,
        key: issuer.key().clone(),
    }]))
}

/// The key that a server must trust to honor this hierarchy's SPCs: that of the security
/// processor CA, which stands second in every SPC issuer's chain.
pub fn spc_authority_key(roles: &[AuthorityRole]) -> Result<PublicKey, AuthorityError> {
    let processor = find(roles, PROCESSOR_CA)?;
    let bad = |error: String| AuthorityError::Certificate(PROCESSOR_CA, error);
    let nodes = chain::parse_verified(&processor.certificate).map_err(|e| bad(e.to_string()))?;
    let key = nodes.first().and_then(|node| node.principal_key().cloned());
    key.ok_or_else(|| bad("certifies no key".into()))
}

/// The SPC issuer, for client packages.
pub fn spc_issuer(roles: &[AuthorityRole], vault: &KeyVault) -> Result<SpcIssuer, AuthorityError> {
    let role = find(roles, SPC_ISSUER)?;
    let stored = StoredKey {
        sealed: role.sealed_private_key.clone(),
        public_modulus: Vec::new(),
        sealed_by: String::new(),
        created: role.created,
    };
    let bad = |error: String| AuthorityError::Key(SPC_ISSUER, error);
    let (_, blob) = vault
        .open(SPC_ISSUER, &stored)
        .map_err(|e| bad(e.to_string()))?;
    let key = SoftwareKey::from_private_key_blob(blob.expose()).map_err(|e| bad(e.to_string()))?;
    Ok(SpcIssuer {
        key,
        chain: role.certificate.clone(),
    })
}

impl EnrollmentService {
    /// The enrollment service of a stored hierarchy.
    pub fn load(
        roles: &[AuthorityRole],
        provider: &dyn KeyProvider,
    ) -> Result<Self, AuthorityError> {
        let role = find(roles, ENROLLMENT_SERVICE)?;
        let handle = KeyHandle::new(role.sealed_private_key.as_slice().to_vec());
        let key = provider
            .load(&handle)
            .map_err(|error| AuthorityError::Key(ENROLLMENT_SERVICE, error.to_string()))?;
        let bad = |error: String| AuthorityError::Certificate(ENROLLMENT_SERVICE, error);
        let nodes = chain::parse_verified(&role.certificate).map_err(|e| bad(e.to_string()))?;
        let leaf = nodes.first().ok_or_else(|| bad("empty chain".into()))?;
        let slc = ServerLicensorCertificate::new(leaf.clone()).map_err(|e| bad(e.to_string()))?;
        let range = slc.range().ok_or_else(|| bad("may not issue".into()))?;
        let chain = CertificateChain::split(&role.certificate)
            .map_err(|error| bad(error.to_string()))?
            .into_owned();
        Ok(Self {
            identity: slc.identity().clone(),
            chain,
            key,
            range,
        })
    }

    /// Decides on an Enroll request (MS-RMPR 3.6.4.1): makes and signs the SLC. The service is
    /// open to all callers and requires nothing of them; whom to let through to it is the
    /// business of the network in front. A server that was enrolled before must come with the
    /// same key.
    pub async fn enroll(
        &self,
        store: &dyn Store,
        request: &Enroll,
        valid_days: u32,
        now: Time,
    ) -> Result<EnrollResponse<'_>, Refusal> {
        let refused = |error: EnrolleeError| match error {
            EnrolleeError::KeyLength(_) => {
                Refusal::new(FaultCode::UnsupportedCryptographicSet, error)
            }
            error => Refusal::new(FaultCode::UnspecifiedError, error),
        };
        let enrollee = Enrollee::read(&request.public_key, &request.guid, &request.enrollee)
            .map_err(refused)?;
        let revocation_authorities = match &request.revocation {
            Revocation::Standard => Vec::new(),
            Revocation::Custom(keys) => keys
                .iter()
                .map(|der| PublicKey::from_pkcs1_der(der))
                .collect::<Result<_, _>>()
                .map_err(|error| {
                    let reason = format!("revocation authority: {error}");
                    Refusal::new(FaultCode::UnspecifiedError, reason)
                })?,
        };
        let certifier = Certifier {
            identity: &self.identity,
            key: self.key.as_ref(),
            range: self.range,
            revocation_authorities,
            store,
        };
        let slc = enrollee
            .certify(&certifier, valid_days, now)
            .await
            .map_err(refused)?;
        Ok(EnrollResponse {
            licensor_certificate_chain: issued_chain(slc, &self.chain)?,
        })
    }
}

/// Makes the hierarchy link by link.
struct Builder<'p> {
    provider: &'p dyn KeyProvider,
    name: &'p str,
    mode: Mode,
    now: Time,
    range: Interval,
}

/// One authority: who it is, what it signs with, and what is stored of it.
struct Link {
    identity: Identity,
    key: Arc<dyn PrivateKey>,
    stored: AuthorityRole,
}

impl<'p> Builder<'p> {
    fn new(provider: &'p dyn KeyProvider, name: &'p str, mode: Mode, now: Time) -> Self {
        let start = now.floor_minute();
        let range = Interval {
            from: start.plus(-86_400),
            until: start.plus_days(36_525),
        };
        Self {
            provider,
            name,
            mode,
            now: start,
            range,
        }
    }

    /// The root key, which has no certificate.
    fn root(&self) -> Result<Link, AuthorityError> {
        let (handle, key) = self.key(ROOT, Mode::Two)?;
        let name = format!("{} DRM Root", self.name);
        let identity = IssuingCertificate::tagged_authority(&name, key.public().clone());
        let stored = self.stored(ROOT, handle.as_bytes(), String::new());
        Ok(Link {
            identity,
            key,
            stored,
        })
    }

    /// An authority that is named by a tag.
    fn tagged(
        &self,
        stored: &'static str,
        role: IssuingRole,
        title: &str,
        mode: Mode,
        above: &Link,
    ) -> Result<Link, AuthorityError> {
        let (handle, key) = self.key(stored, mode)?;
        let name = format!("{} {title}", self.name);
        let identity = IssuingCertificate::tagged_authority(&name, key.public().clone());
        let chain = self.certify(role, &identity, above)?;
        Ok(Link {
            identity,
            key,
            stored: self.stored(stored, handle.as_bytes(), chain),
        })
    }

    /// An authority that is named by a GUID.
    fn named(
        &self,
        stored: &'static str,
        role: IssuingRole,
        title: &str,
        above: &Link,
    ) -> Result<Link, AuthorityError> {
        let (handle, key) = self.key(stored, self.mode)?;
        let identity = self.identity(stored, role, title, key.public())?;
        let chain = self.certify(role, &identity, above)?;
        Ok(Link {
            identity,
            key,
            stored: self.stored(stored, handle.as_bytes(), chain),
        })
    }

    /// The SPC issuer: its key must be handed out, so the provider does not hold it.
    fn spc_issuer(&self, vault: &KeyVault, above: &Link) -> Result<AuthorityRole, AuthorityError> {
        let bad = |error: KeyError| AuthorityError::Key(SPC_ISSUER, error.to_string());
        let key = SoftwareKey::generate(self.mode).map_err(bad)?;
        let title = "DRM Desktop Security Processor Activation Certificate";
        let identity = self.identity(SPC_ISSUER, IssuingRole::SpcIssuer, title, key.public())?;
        let chain = self.certify(IssuingRole::SpcIssuer, &identity, above)?;
        let sealed = vault.seal(SPC_ISSUER, &key, self.now).map_err(bad)?.sealed;
        Ok(self.stored(SPC_ISSUER, sealed.as_slice(), chain))
    }

    fn key(
        &self,
        role: &'static str,
        mode: Mode,
    ) -> Result<(KeyHandle, Arc<dyn PrivateKey>), AuthorityError> {
        self.provider
            .generate(mode)
            .map_err(|error| AuthorityError::Key(role, error.to_string()))
    }

    fn identity(
        &self,
        stored: &'static str,
        role: IssuingRole,
        title: &str,
        key: &PublicKey,
    ) -> Result<Identity, AuthorityError> {
        let name = format!("{} {title}", self.name);
        let id = guid(stored)?;
        Ok(IssuingCertificate::principal_of(
            role,
            id,
            Some(&name),
            None,
            key.clone(),
            &[],
        ))
    }

    /// One certificate and the chain above it, concatenated.
    fn certify(
        &self,
        role: IssuingRole,
        principal: &Identity,
        above: &Link,
    ) -> Result<String, AuthorityError> {
        let certificate = IssuingCertificate {
            role,
            id: guid("hierarchy")?,
            issued: self.now,
            validity: None,
            issuer: above.identity.clone(),
            principal: principal.clone(),
            range: self.range,
            revocation_authorities: Vec::new(),
        }
        .sign(above.key.as_ref(), self.mode.hash())
        .map_err(|error| AuthorityError::Certificate("hierarchy", error.to_string()))?;
        Ok(certificate + &above.stored.certificate)
    }

    fn stored(&self, role: &str, sealed: &[u8], certificate: String) -> AuthorityRole {
        AuthorityRole {
            role: role.to_owned(),
            sealed_private_key: SealedBytes::new(sealed.to_vec()),
            certificate,
            created: self.now.unix(),
        }
    }
}

fn guid(role: &'static str) -> Result<Guid, AuthorityError> {
    new_guid().map_err(|error| AuthorityError::Key(role, error.to_string()))
}

fn find<'r>(
    roles: &'r [AuthorityRole],
    name: &'static str,
) -> Result<&'r AuthorityRole, AuthorityError> {
    roles
        .iter()
        .find(|role| role.role == name)
        .ok_or(AuthorityError::Missing(name))
}

const ROOT: &str = "root";
const CA: &str = "ca";
const ENROLLMENT_CA: &str = "enrollment-ca";
const ENROLLMENT_SERVICE: &str = "enrollment-service";
const MACHINE_CA: &str = "machine-activation-ca";
const PROCESSOR_CA: &str = "security-processor-ca";
const SPC_ISSUER: &str = "spc-issuer";
