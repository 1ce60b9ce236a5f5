//! Activate: security processors for machines whose clients do not make their own (MS-RMPR
//! 3.2.4.1). Anybody may ask: what they get proves nothing but that it was made here, as that of a
//! client that activates itself proves no more.

use std::sync::Arc;

use openrms_crypto::{Digest, HashAlgorithm, KeyHandle, KeyProvider, Mode, PrivateKey, package};
use openrms_protocol::activation::{
    Activate, ActivateResponse, Activated, BinarySignature, HardwareId,
};
use openrms_protocol::{CertificateChain, ClientLevel, FaultCode};
use openrms_store::AuthorityRole;
use openrms_xrml::issuing::issue_range;
use openrms_xrml::spc::{ActivationLocation, SpcRequest};
use openrms_xrml::{Guid, Identity, Interval, Time};

use crate::authority::{AuthorityError, MACHINE_ACTIVATION, certified, is_role};
use crate::certify::issued_chain;
use crate::context::new_guid;
use crate::keys::KeySource;
use crate::refusal::Refusal;

/// The service that makes security processors.
#[derive(Debug)]
pub struct ActivationService {
    /// One for each mode of the hierarchy.
    branches: Vec<Branch>,
}

/// Who signs the SPCs of one mode.
#[derive(Debug)]
struct Branch {
    identity: Identity,
    chain: CertificateChain<'static>,
    key: Arc<dyn PrivateKey>,
    range: Interval,
}

/// What goes out, and what is told of it.
pub struct Activation {
    /// The answer.
    pub response: ActivateResponse<'static>,
    /// What stands beside it, in the order of its items ([`package`]). It holds private keys.
    pub packages: Vec<Vec<u8>>,
    /// Identifiers of the SPCs.
    pub certificates: Vec<Guid>,
}

impl ActivationService {
    /// The activation service of a stored hierarchy, in each mode in which it has one; `None` where
    /// it has none at all, as hierarchies of the first release.
    pub fn load(
        roles: &[AuthorityRole],
        provider: &dyn KeyProvider,
    ) -> Result<Option<Self>, AuthorityError> {
        let branches = roles
            .iter()
            .filter(|role| is_role(role, MACHINE_ACTIVATION))
            .map(|role| Branch::load(role, provider))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((!branches.is_empty()).then_some(Self { branches }))
    }

    /// The mode that a machine asks for: that of its identifier's hash.
    #[must_use]
    pub fn mode_of(machine: &HardwareId) -> Mode {
        match machine {
            HardwareId::Sha1(_) => Mode::One,
            HardwareId::Sha256(_) => Mode::Two,
        }
    }

    /// Makes a security processor for each machine, or none where one is refused. `url` is where
    /// this service is.
    pub fn activate(
        &self,
        request: &Activate,
        keys: &dyn KeySource,
        url: &str,
        now: Time,
    ) -> Result<Activation, Refusal> {
        let branches = request.machines.iter().map(|machine| self.branch(machine));
        let branches = branches.collect::<Result<Vec<_>, _>>()?;
        let mut done = Activation {
            response: ActivateResponse { items: Vec::new() },
            packages: Vec::new(),
            certificates: Vec::new(),
        };
        for (machine, branch) in request.machines.iter().zip(branches) {
            let (id, item, package) = branch.activate(machine, keys, url, now)?;
            done.certificates.push(id);
            done.response.items.push(item);
            done.packages.push(package);
        }
        Ok(done)
    }

    fn branch(&self, machine: &HardwareId) -> Result<&Branch, Refusal> {
        let mode = Self::mode_of(machine);
        let mut branches = self.branches.iter();
        let branch = branches.find(|branch| branch.identity.key().bits() == mode.rsa_bits());
        branch.ok_or_else(|| {
            let reason = format!("no machine of mode {} is activated here", mode.number());
            Refusal::new(FaultCode::UnsupportedCryptographicSet, reason)
        })
    }
}

impl Branch {
    fn load(role: &AuthorityRole, provider: &dyn KeyProvider) -> Result<Self, AuthorityError> {
        let handle = KeyHandle::new(role.sealed_private_key.as_slice().to_vec());
        let key = provider
            .load(&handle)
            .map_err(|error| AuthorityError::Key(MACHINE_ACTIVATION, error.to_string()))?;
        let bad = |error: &str| AuthorityError::Certificate(MACHINE_ACTIVATION, error.into());
        let (leaf, _) = certified(role, MACHINE_ACTIVATION)?;
        Ok(Self {
            identity: Identity::of_principal(&leaf).ok_or_else(|| bad("it names nobody"))?,
            chain: CertificateChain::split(&role.certificate)
                .map_err(|error| bad(&error.to_string()))?
                .into_owned(),
            key,
            range: issue_range(&leaf).ok_or_else(|| bad("may not issue"))?,
        })
    }

    fn activate(
        &self,
        machine: &HardwareId,
        keys: &dyn KeySource,
        url: &str,
        now: Time,
    ) -> Result<(Guid, Activated<'static>, Vec<u8>), Refusal> {
        let failed =
            |error: &dyn ToString| Refusal::new(FaultCode::UnspecifiedError, error.to_string());
        if !self.range.contains(now) {
            return Err(failed(&"the activation service may not issue now"));
        }
        let mode = ActivationService::mode_of(machine);
        let key = keys.take(mode)?;
        let id = new_guid()?;
        let spc = SpcRequest {
            id,
            issued: now.floor_minute(),
            issuer: self.identity.clone(),
            location: ActivationLocation::Service(url.to_owned()),
            machine: new_guid()?,
            key: key.public().clone(),
            hardware: Digest::new(mode.hash(), machine.as_bytes()).map_err(|e| failed(&e))?,
            platform: PLATFORM.into(),
            manufacturer: "OpenRMS".into(),
            repository: repository(),
        }
        .sign(self.key.as_ref(), mode.hash())?;
        let package = package::seal(&key, machine.as_bytes()).map_err(|error| failed(&error))?;
        let item = Activated {
            machine_certificate_chain: issued_chain(spc, &self.chain)?.into_owned(),
            signature: signed(&package, self.key.as_ref(), mode.hash())?,
        };
        Ok((id, item, package))
    }
}

fn signed(
    package: &[u8],
    key: &dyn PrivateKey,
    hash: HashAlgorithm,
) -> Result<BinarySignature, Refusal> {
    let digest = Digest::of(hash, package);
    Ok(BinarySignature {
        hash: hash.wire_name().to_owned(),
        digest: digest.as_bytes().to_vec(),
        value: key.sign(&digest)?,
    })
}

/// The security processors of version 1.0, which servers may refuse (lockbox exclusion).
fn repository() -> String {
    let version = ClientLevel::V1.security_processor_version();
    format!("OpenRMS secure repository {version}")
}

/// What runs there is not told.
const PLATFORM: &str = "any";
