//! Making a hierarchy: first whole, and later what one needs besides: of mode 1, in order to certify
//! in mode 2 (MS-RMPR 2.2.9.2, 3.1.4.7); of the first release, in order to activate clients of
//! version 1.0 (3.2).

use std::sync::Arc;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{KeyHandle, KeyProvider, Mode, PrivateKey, PublicKey, SoftwareKey};
use openrms_store::{AuthorityRole, SealedBytes};
use openrms_xrml::anchors::{Anchor, Anchors};
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole};
use openrms_xrml::{Guid, Identity, Interval, SecurityLevel, Time, chain};

use super::{
    ADDED, AuthorityError, CA, ENROLLMENT_CA, ENROLLMENT_SERVICE, MACHINE_ACTIVATION, MACHINE_CA,
    PROCESSOR_CA, ROOT, SPC_ISSUER, certified, find, find_in, is_role,
};
use crate::context::new_guid;
use crate::keys::KeyVault;

/// What a new hierarchy is made of, ready to be stored.
#[derive(Debug)]
pub struct NewHierarchy {
    /// Keys and certificates by role.
    pub roles: Vec<AuthorityRole>,
    /// What every participant must trust.
    pub anchors: Anchors,
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
    let builder = Builder::new(provider, name, mode, "", now);
    // CAs have keys of 2048 bits in both modes (MS-RMPR 2.2.9.3.2); only what servers and
    // clients use every day is shorter in mode 1.
    let root = builder.root()?;
    let ca = builder.tagged(CA, IssuingRole::Ca, CA_TITLE, Mode::Two, &root)?;
    let branch = builder.branch(vault, &ca)?;
    let anchors = Anchors::new([Anchor {
        name: root.identity.object().name.clone().unwrap_or_default(),
        key: root.identity.key().clone(),
    }]);
    let mut roles = vec![root.stored, ca.stored];
    roles.extend(branch);
    Ok(NewHierarchy { roles, anchors })
}

/// What a hierarchy of mode 1 needs besides in order to certify in mode 2; nothing where it does
/// already. Root and CA keep their keys, which are long enough; the CA's is certified once more, as
/// nothing in a chain of mode 2 may be signed over SHA-1.
pub fn added_for_mode_two(
    roles: &[AuthorityRole],
    provider: &dyn KeyProvider,
    vault: &KeyVault,
    now: Time,
) -> Result<Vec<AuthorityRole>, AuthorityError> {
    match find_in(roles, PROCESSOR_CA, Mode::Two) {
        Ok(_) => return Ok(Vec::new()),
        Err(AuthorityError::OtherMode(_)) => {}
        Err(error) => return Err(error),
    }
    let stored = find(roles, CA)?;
    let (node, _) = certified(stored, CA)?;
    let unnamed = || AuthorityError::Certificate(CA, "it names nobody".into());
    let identity = Identity::of_principal(&node).ok_or_else(unnamed)?;
    let titled = identity.object().name.clone().unwrap_or_default();
    let name = titled.strip_suffix(CA_TITLE).unwrap_or(&titled).trim_end();
    let builder = Builder::new(provider, name, Mode::Two, ADDED, now);
    let root = Link {
        identity: Identity::of_issuer(&node).ok_or_else(unnamed)?,
        key: builder.load(ROOT, find(roles, ROOT)?)?,
        stored: find(roles, ROOT)?.clone(),
    };
    let chain = builder.certify(IssuingRole::Ca, &identity, &root)?;
    let ca = Link {
        key: builder.load(CA, stored)?,
        stored: builder.stored(CA, stored.sealed_private_key.as_slice(), chain),
        identity,
    };
    let branch = builder.branch(vault, &ca)?;
    Ok(std::iter::once(ca.stored).chain(branch).collect())
}

/// What a hierarchy needs besides in order to activate clients of version 1.0, in each mode that it
/// has; nothing where it does already.
pub fn added_for_activation(
    roles: &[AuthorityRole],
    provider: &dyn KeyProvider,
    now: Time,
) -> Result<Vec<AuthorityRole>, AuthorityError> {
    find(roles, PROCESSOR_CA)?;
    let mut added = Vec::new();
    for stored in roles.iter().filter(|role| is_role(role, PROCESSOR_CA)) {
        let suffix = match stored.role.as_str() {
            PROCESSOR_CA => "",
            _ => ADDED,
        };
        let is_there = |role: &AuthorityRole| role.role == format!("{MACHINE_ACTIVATION}{suffix}");
        if roles.iter().any(is_there) {
            continue;
        }
        let (node, key) = certified(stored, PROCESSOR_CA)?;
        let mut modes = [Mode::One, Mode::Two].into_iter();
        let mode = modes.find(|mode| mode.rsa_bits() == key.bits());
        let bad = |reason: &str| AuthorityError::Certificate(PROCESSOR_CA, reason.into());
        let mode = mode.ok_or_else(|| bad("its key belongs to no mode"))?;
        // The new one is not named after the hierarchy.
        let builder = Builder::new(provider, "", mode, suffix, now);
        let above = Link {
            identity: Identity::of_principal(&node).ok_or_else(|| bad("it names nobody"))?,
            key: builder.load(PROCESSOR_CA, stored)?,
            stored: stored.clone(),
        };
        added.push(builder.machine_activation(&above)?.stored);
    }
    Ok(added)
}

/// Whether a hierarchy lacks what [`added_for_activation`] adds.
#[must_use]
pub fn lacks_activation(roles: &[AuthorityRole]) -> bool {
    let count = |name| roles.iter().filter(|role| is_role(role, name)).count();
    count(MACHINE_ACTIVATION) < count(PROCESSOR_CA)
}

/// Whether it is what [`added_for_activation`] adds.
#[must_use]
pub fn is_for_activation(role: &AuthorityRole) -> bool {
    is_role(role, MACHINE_ACTIVATION)
}

/// Makes the hierarchy link by link.
struct Builder<'p> {
    provider: &'p dyn KeyProvider,
    name: &'p str,
    mode: Mode,
    /// Ends the names under which roles are stored.
    suffix: &'static str,
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
    fn new(
        provider: &'p dyn KeyProvider,
        name: &'p str,
        mode: Mode,
        suffix: &'static str,
        now: Time,
    ) -> Self {
        let start = now.floor_minute();
        let range = Interval {
            from: start.plus(-86_400),
            until: start.plus_days(36_525),
        };
        Self {
            provider,
            name,
            mode,
            suffix,
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

    /// Everything below the CA, which is of one mode.
    fn branch(&self, vault: &KeyVault, ca: &Link) -> Result<Vec<AuthorityRole>, AuthorityError> {
        let enrollment_ca = self.tagged(
            ENROLLMENT_CA,
            IssuingRole::EnrollmentCa,
            "DRM Server Enrollment CA",
            self.mode,
            ca,
        )?;
        let service = self.named(
            ENROLLMENT_SERVICE,
            IssuingRole::EnrollmentService,
            "DRM Server Enrollment Service",
            &enrollment_ca,
        )?;
        let machine_ca = self.tagged(
            MACHINE_CA,
            IssuingRole::IntermediateSecurityProcessorCa,
            "DRM Machine Activation Server CA",
            self.mode,
            ca,
        )?;
        let processor_ca = self.named(
            PROCESSOR_CA,
            IssuingRole::SecurityProcessorCa,
            "DRM Machine Activation Desktop Security Processor CA",
            &machine_ca,
        )?;
        let spc_issuer = self.spc_issuer(vault, &processor_ca)?;
        let activation = self.machine_activation(&processor_ca)?;
        let links = [enrollment_ca, service, machine_ca, processor_ca, activation];
        let stored = links.into_iter().map(|link| link.stored);
        Ok(stored.chain([spc_issuer]).collect())
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

    /// The activation service, named as the product's.
    fn machine_activation(&self, above: &Link) -> Result<Link, AuthorityError> {
        let (handle, key) = self.key(MACHINE_ACTIVATION, self.mode)?;
        let role = IssuingRole::MachineActivation;
        let identity = IssuingCertificate::principal_of(
            role,
            guid(MACHINE_ACTIVATION)?,
            Some(chain::MACHINE_ACTIVATION),
            None,
            key.public().clone(),
            &[SecurityLevel::new(PRACTICE_STATEMENT, NO_STATEMENT)],
        );
        let chain = self.certify(role, &identity, above)?;
        Ok(Link {
            identity,
            key,
            stored: self.stored(MACHINE_ACTIVATION, handle.as_bytes(), chain),
        })
    }

    /// The SPC issuer: its key must be handed out, so the provider does not hold it.
    fn spc_issuer(&self, vault: &KeyVault, above: &Link) -> Result<AuthorityRole, AuthorityError> {
        let bad = |error: KeyError| AuthorityError::Key(SPC_ISSUER, error.to_string());
        let key = SoftwareKey::generate(self.mode).map_err(bad)?;
        let title = "DRM Desktop Security Processor Activation Certificate";
        let identity = self.identity(SPC_ISSUER, IssuingRole::SpcIssuer, title, key.public())?;
        let chain = self.certify(IssuingRole::SpcIssuer, &identity, above)?;
        let name = format!("{SPC_ISSUER}{}", self.suffix);
        let sealed = vault.seal(&name, &key, self.now).map_err(bad)?.sealed;
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

    fn load(
        &self,
        role: &'static str,
        stored: &AuthorityRole,
    ) -> Result<Arc<dyn PrivateKey>, AuthorityError> {
        let handle = KeyHandle::new(stored.sealed_private_key.as_slice().to_vec());
        self.provider
            .load(&handle)
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
            role: format!("{role}{}", self.suffix),
            sealed_private_key: SealedBytes::new(sealed.to_vec()),
            certificate,
            created: self.now.unix(),
        }
    }
}

fn guid(role: &'static str) -> Result<Guid, AuthorityError> {
    new_guid().map_err(|error| AuthorityError::Key(role, error.to_string()))
}

/// SPCs of version 1 have it of their issuer (MS-RMPR product note 11). It must be a URL; a hierarchy
/// of one's own has made no statement.
const PRACTICE_STATEMENT: &str = "Certificate Practice Statement";
const NO_STATEMENT: &str = "about:blank";
const CA_TITLE: &str = "DRM CA";
