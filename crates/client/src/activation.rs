//! Self-activation: the machine certifies its own security processor, with the network unplugged
//! (MS-RMPR 3.8.4.1).

use openrms_crypto::{Digest, PrivateKey as _, random};
use openrms_xrml::spc::{SecurityProcessorCertificate, SpcRequest};
use openrms_xrml::{Guid, SharedNode, Time};

use crate::hierarchy::Hierarchy;
use crate::lockbox::{Lockbox, LockboxError};
use crate::machine::MachineIdentity;
use crate::storage::{Home, Lock};
use crate::trust::{self, TrustError};

/// A machine's SPC and the chain above it.
#[derive(Debug, Clone)]
pub struct MachineCertificate {
    /// SPC, SPC issuer and what is above, leaf first.
    pub chain: Vec<SharedNode>,
    /// The SPC.
    pub certificate: SecurityProcessorCertificate,
}

impl MachineCertificate {
    /// The stored one; `None` when there is none, or when it is for another key or hierarchy.
    pub(crate) fn load(
        home: &Home,
        lockbox: &Lockbox,
        hierarchy: &Hierarchy,
    ) -> Result<Option<Self>, crate::Error> {
        let Some(text) = home.read_text(FILE)? else {
            return Ok(None);
        };
        match Self::read(&text, lockbox, hierarchy) {
            Ok(certificate) => Ok(Some(certificate)),
            // It can be signed anew at any time, so there is nothing to be saved.
            Err(_) => Ok(None),
        }
    }

    /// Signs and stores one.
    pub(crate) fn create(
        lock: &Lock<'_>,
        lockbox: &Lockbox,
        hierarchy: &Hierarchy,
        machine: &MachineIdentity,
        now: Time,
    ) -> Result<Self, crate::Error> {
        let mode = hierarchy.mode();
        let failed = |error: String| LockboxError::Generate(error);
        let id = random::guid_bytes().map_err(|e| failed(e.to_string()))?;
        let spc = SpcRequest {
            id: Guid::from_random(id),
            issued: now.floor_minute(),
            issuer: hierarchy.issuer().clone(),
            location: LOCATION.into(),
            machine: lockbox.machine(),
            key: lockbox.key().public().clone(),
            hardware: Digest::of(mode.hash(), &machine.digest()),
            platform: PLATFORM.into(),
            manufacturer: "OpenRMS".into(),
            repository: REPOSITORY.into(),
        }
        .sign(hierarchy.issuer_key(), mode.hash())
        .map_err(|e| failed(e.to_string()))?;
        let text = spc + &trust::concatenated(hierarchy.issuer_chain());
        let certificate = Self::read(&text, lockbox, hierarchy)?;
        lock.write(FILE, text.as_bytes())?;
        Ok(certificate)
    }

    fn read(text: &str, lockbox: &Lockbox, hierarchy: &Hierarchy) -> Result<Self, TrustError> {
        let chain = trust::read_trusted(WHAT, text, None, hierarchy.anchors())?;
        let certificate = SecurityProcessorCertificate::new(trust::leaf(WHAT, &chain)?)
            .map_err(trust::malformed(WHAT))?;
        if certificate.key() != lockbox.key().public() {
            return Err(TrustError::KeyMismatch { what: WHAT });
        }
        if certificate.node().issuer_key() != Some(hierarchy.issuer().key()) {
            return Err(TrustError::Mismatch {
                what: WHAT,
                field: "issuer",
            });
        }
        Ok(Self { chain, certificate })
    }
}

pub(crate) const FILE: &str = "machine.xml";
const WHAT: &str = "machine certificate";
const LOCATION: &str = "file:///openrms";
const PLATFORM: &str = "Linux";
/// Servers demand a minimum of the four numbers at its end (lockbox exclusion); they say that this
/// security processor does what that of Windows 7 does.
const REPOSITORY: &str = "OpenRMS Linux secure repository 6.1.7600.0";
