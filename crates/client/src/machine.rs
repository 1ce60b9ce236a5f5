//! What identifies a person on a machine: handed in, because nothing below reads the system.

use std::os::unix::fs::MetadataExt as _;

use crate::account::hex;

/// A person on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineIdentity {
    /// Stable identifier of the installation: the content of `/etc/machine-id`.
    pub machine_id: String,
    /// The person's numeric identifier.
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
        let machine_id = std::fs::read_to_string("/etc/machine-id")
            .or_else(|_| std::fs::read_to_string("/var/lib/dbus/machine-id"))?;
        // The owner of a process's own entry is its effective user.
        let uid = std::fs::metadata("/proc/self")?.uid();
        Ok(Self::new(&machine_id, uid))
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
