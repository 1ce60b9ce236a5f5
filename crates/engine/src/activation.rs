//! Activate: security processors for machines whose clients do not make their own (MS-RMPR
//! 3.2.4.1). Anybody may ask: what they get proves nothing but that it was made here, as that of a
//! client that activates itself proves no more.

use openrms_crypto::{Digest, HashAlgorithm, KeyProvider, Mode, PrivateKey, package};
use openrms_protocol::activation::{
    Activate, ActivateResponse, Activated, BinarySignature, HardwareId,
};
use openrms_protocol::{ClientLevel, FaultCode};
use openrms_store::AuthorityRole;
use openrms_xrml::spc::{ActivationLocation, SpcRequest};
use openrms_xrml::{Guid, Time};

use crate::authority::{AuthorityError, MACHINE_ACTIVATION, Signer, Signers};
use crate::certify::issued_chain;
use crate::context::new_guid;
use crate::keys::KeySource;
use crate::refusal::Refusal;

/// The service that makes security processors.
#[derive(Debug)]
pub struct ActivationService {
    signers: Signers,
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
        let signers = Signers::load(roles, MACHINE_ACTIVATION, provider)?;
        Ok(signers.map(|signers| Self { signers }))
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
        let signers = request.machines.iter().map(|machine| self.signer(machine));
        let signers = signers.collect::<Result<Vec<_>, _>>()?;
        let mut done = Activation {
            response: ActivateResponse { items: Vec::new() },
            packages: Vec::new(),
            certificates: Vec::new(),
        };
        for (machine, signer) in request.machines.iter().zip(signers) {
            let (id, item, package) = activated(signer, machine, keys, url, now)?;
            done.certificates.push(id);
            done.response.items.push(item);
            done.packages.push(package);
        }
        Ok(done)
    }

    fn signer(&self, machine: &HardwareId) -> Result<&Signer, Refusal> {
        let mode = Self::mode_of(machine);
        self.signers.of_bits(mode.rsa_bits()).ok_or_else(|| {
            let reason = format!("no machine of mode {} is activated here", mode.number());
            Refusal::new(FaultCode::UnsupportedCryptographicSet, reason)
        })
    }
}

/// The SPC and the package of a machine, and the SPC's identifier.
fn activated(
    signer: &Signer,
    machine: &HardwareId,
    keys: &dyn KeySource,
    url: &str,
    now: Time,
) -> Result<(Guid, Activated<'static>, Vec<u8>), Refusal> {
    let failed =
        |error: &dyn ToString| Refusal::new(FaultCode::UnspecifiedError, error.to_string());
    if !signer.range.contains(now) {
        return Err(failed(&"the activation service may not issue now"));
    }
    let mode = ActivationService::mode_of(machine);
    let key = keys.take(mode)?;
    let id = new_guid()?;
    let spc = SpcRequest {
        id,
        issued: now.floor_minute(),
        issuer: signer.identity.clone(),
        location: ActivationLocation::Service(url.to_owned()),
        machine: new_guid()?,
        key: key.public().clone(),
        hardware: Digest::new(mode.hash(), machine.as_bytes()).map_err(|e| failed(&e))?,
        platform: PLATFORM.into(),
        manufacturer: "OpenRMS".into(),
        repository: repository(),
    }
    .sign(signer.key.as_ref(), mode.hash())?;
    let package = package::seal(&key, machine.as_bytes()).map_err(|error| failed(&error))?;
    let item = Activated {
        machine_certificate_chain: issued_chain(spc, &signer.chain)?.into_owned(),
        signature: signed(&package, signer.key.as_ref(), mode.hash())?,
    };
    Ok((id, item, package))
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
