//! What identifies a person on a machine: handed in, because nothing below reads the system.

use crate::system;

use crate::account::hex;

/// A person on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineIdentity {
    /// Stable identifier of the installation: the content of `/etc/machine-id`; on Windows the
    /// value `MachineGuid` of `HKLM\SOFTWARE\Microsoft\Cryptography`.
    pub machine_id: String,
    /// The person's numeric identifier; 0 on Windows, where the Data Protection API binds the secret
    /// of the lockbox to the account.
    pub uid: u32,
}

impl MachineIdentity {
    /// An identity from its parts; white space round the identifier does not count.
    pub fn new(machine_id: &str, uid: u32) -> Self {
        Self {
            machine_id: machine_id.trim().to_owned(),
            uid,
        }
    }

    /// This machine and the person this process runs as.
    pub fn of_this_process() -> std::io::Result<Self> {
        Self::of_this_person(&system::machine_id()?)
    }

    /// The person this process runs as, on a machine with that identifier.
    pub fn of_this_person(machine_id: &str) -> std::io::Result<Self> {
        Ok(Self::new(machine_id, system::uid()?))
    }

    /// A name for the computer that does not tell its identifier, the same for all people.
    pub fn computer_name(&self) -> String {
        let text = format!("openrms computer 1\n{}", self.machine_id);
        hex(&openrms_crypto::sha256(text.as_bytes()), 8)
    }

    /// The digest that stands for both wherever they must not be told.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let text = format!("openrms machine 1\n{}\n{}", self.machine_id, self.uid);
        openrms_crypto::sha256(text.as_bytes())
    }
}
