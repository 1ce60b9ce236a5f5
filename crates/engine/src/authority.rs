//! The trust anchor of a hierarchy of our own, with the shape of the original (MS-RMPR 2.2.9.2):
//! root -> CA -> enrollment CA -> enrollment service -> SLC, and
//! CA -> intermediate CA -> security processor CA -> SPC issuer. Beside the SPC issuer stands the
//! activation service, so that servers that trust the one honor the SPCs of the other; in the
//! original it is below the intermediate CA.
//!
//! What stands below the CA is made for one cryptographic mode (MS-RMPR 3.1.4.7). A hierarchy of
//! mode 1 may get the same again for mode 2, below the same root and CA, so that everybody who trusts
//! its anchors trusts both. The enrollment service answers Enroll (MS-RMPR 3.6) and, as servers since
//! 2.0 do for themselves, self-enrollment.

mod hierarchy;
mod signers;

use openrms_crypto::{KeyProvider, Mode, PublicKey, SoftwareKey};
use openrms_protocol::FaultCode;
use openrms_protocol::enrollment::{Enroll, EnrollResponse, Revocation};
use openrms_store::{AuthorityRole, Store, StoredKey};
use openrms_xrml::anchors::{Anchor, Anchors};
use openrms_xrml::{Identity, SharedNode, Time, chain};

use crate::certify::issued_chain;
use crate::enrollee::{Certifier, Enrollee, EnrolleeError};
use crate::keys::KeyVault;
use crate::refusal::Refusal;
pub use hierarchy::{
    NewHierarchy, added_for_activation, added_for_mode_two, create, is_for_activation,
    lacks_activation,
};
pub(crate) use signers::{Signer, Signers};

/// The service that makes SLCs.
#[derive(Debug)]
pub struct EnrollmentService {
    signers: Signers,
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
    /// The authority certifies in the other mode only.
    #[error("the authority does not certify in cryptographic mode {}", .0.number())]
    OtherMode(Mode),
    /// A key of the authority is unusable.
    #[error("the key of the authority's {0}: {1}")]
    Key(&'static str, String),
    /// A certificate of the authority is unusable.
    #[error("the certificate of the authority's {0}: {1}")]
    Certificate(&'static str, String),
}

/// The anchors of a stored hierarchy: the key that signed the CA's certificate.
pub fn anchors(roles: &[AuthorityRole]) -> Result<Anchors, AuthorityError> {
    let (ca, _) = certified(find(roles, CA)?, CA)?;
    let issuer = Identity::of_issuer(&ca);
    let issuer = issuer.ok_or_else(|| AuthorityError::Certificate(CA, "names no issuer".into()))?;
    let name = issuer.object().name.clone().unwrap_or_default();
    Ok(Anchors::new([Anchor {
        name,
        key: issuer.key().clone(),
    }]))
}

/// The key that a server must trust to honor this hierarchy's SPCs of a mode: that of the security
/// processor CA, which stands second in every SPC issuer's chain.
pub fn spc_authority_key(roles: &[AuthorityRole], mode: Mode) -> Result<PublicKey, AuthorityError> {
    Ok(find_in(roles, PROCESSOR_CA, mode)?.1)
}

/// The newest mode in which the hierarchy certifies.
pub fn newest_mode(roles: &[AuthorityRole]) -> Result<Mode, AuthorityError> {
    match spc_authority_key(roles, Mode::Two) {
        Ok(_) => Ok(Mode::Two),
        Err(AuthorityError::OtherMode(_)) => Ok(Mode::One),
        Err(error) => Err(error),
    }
}

/// The SPC issuer of a mode, for client packages.
pub fn spc_issuer(
    roles: &[AuthorityRole],
    vault: &KeyVault,
    mode: Mode,
) -> Result<SpcIssuer, AuthorityError> {
    let (role, _) = find_in(roles, SPC_ISSUER, mode)?;
    let stored = StoredKey {
        sealed: role.sealed_private_key.clone(),
        public_modulus: Vec::new(),
        sealed_by: String::new(),
        created: role.created,
    };
    let bad = |error: String| AuthorityError::Key(SPC_ISSUER, error);
    let (_, blob) = vault
        .open(&role.role, &stored)
        .map_err(|e| bad(e.to_string()))?;
    let key = SoftwareKey::from_private_key_blob(blob.expose()).map_err(|e| bad(e.to_string()))?;
    Ok(SpcIssuer {
        key,
        chain: role.certificate.clone(),
    })
}

impl EnrollmentService {
    /// The enrollment service of a stored hierarchy, in each mode that it has.
    pub fn load(
        roles: &[AuthorityRole],
        provider: &dyn KeyProvider,
    ) -> Result<Self, AuthorityError> {
        let signers = Signers::load(roles, ENROLLMENT_SERVICE, provider)?;
        let signers = signers.ok_or(AuthorityError::Missing(ENROLLMENT_SERVICE))?;
        Ok(Self { signers })
    }

    /// Decides on an Enroll request (MS-RMPR 3.6.4.1): makes and signs the SLC. The service is
    /// open to all callers and requires nothing of them; whom to let through to it is the
    /// business of the network in front. A server that was enrolled before must come with the
    /// same key. The length of its key says which mode it is of.
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
        let signer = self.signer(enrollee.key().bits())?;
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
            identity: &signer.identity,
            key: signer.key.as_ref(),
            range: signer.range,
            revocation_authorities,
            store,
        };
        let slc = enrollee
            .certify(&certifier, valid_days, now)
            .await
            .map_err(refused)?;
        Ok(EnrollResponse {
            licensor_certificate_chain: issued_chain(slc, &signer.chain)?,
        })
    }

    fn signer(&self, bits: usize) -> Result<&Signer, Refusal> {
        self.signers.of_bits(bits).ok_or_else(|| {
            let reason = format!("no server with a key of {bits} bits is certified here");
            Refusal::new(FaultCode::UnsupportedCryptographicSet, reason)
        })
    }
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

/// What is stored for a role in a mode, and the key that it certifies.
fn find_in<'r>(
    roles: &'r [AuthorityRole],
    name: &'static str,
    mode: Mode,
) -> Result<(&'r AuthorityRole, PublicKey), AuthorityError> {
    find(roles, name)?;
    for role in roles.iter().filter(|role| is_role(role, name)) {
        let (_, key) = certified(role, name)?;
        if key.bits() == mode.rsa_bits() {
            return Ok((role, key));
        }
    }
    Err(AuthorityError::OtherMode(mode))
}

/// The certificate of a role, and the key that it certifies.
pub(crate) fn certified(
    role: &AuthorityRole,
    name: &'static str,
) -> Result<(SharedNode, PublicKey), AuthorityError> {
    let bad = |error: String| AuthorityError::Certificate(name, error);
    let nodes = chain::parse_verified(&role.certificate).map_err(|e| bad(e.to_string()))?;
    let leaf = nodes.into_iter().next();
    let leaf = leaf.ok_or_else(|| bad("empty chain".into()))?;
    let key = leaf.principal_key().cloned();
    let key = key.ok_or_else(|| bad("certifies no key".into()))?;
    Ok((leaf, key))
}

/// Whether something is stored for that role, in whichever mode.
pub(crate) fn is_role(role: &AuthorityRole, name: &str) -> bool {
    role.role == name || role.role.strip_suffix(ADDED) == Some(name)
}

const ROOT: &str = "root";
const CA: &str = "ca";
const ENROLLMENT_CA: &str = "enrollment-ca";
const ENROLLMENT_SERVICE: &str = "enrollment-service";
const MACHINE_CA: &str = "machine-activation-ca";
const PROCESSOR_CA: &str = "security-processor-ca";
const SPC_ISSUER: &str = "spc-issuer";
pub(crate) const MACHINE_ACTIVATION: &str = "machine-activation";
/// Ends the names of what a hierarchy of mode 1 got for mode 2.
const ADDED: &str = "-mode2";
