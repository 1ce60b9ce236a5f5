//! A domain of Active Directory (Samba) on the network, of which a machine becomes a member.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use tempfile::TempDir;

use crate::machine::{Booted, Machine};
use crate::network::Network;
use crate::process::Ran;

/// corp.example, by the project's own test bed; gone when dropped.
#[derive(Debug)]
pub struct Domain {
    network: Rc<Network>,
    state: TempDir,
}

impl Domain {
    /// None where the test bed cannot run, which is said.
    pub fn start(network: &Rc<Network>) -> Option<Self> {
        let domain = Self {
            network: Rc::clone(network),
            state: tempfile::tempdir().unwrap(),
        };
        let up = Ran::of(domain.testbed("up").args(["--net", NET]));
        if up.code == CANNOT_RUN_HERE {
            println!("skipped: {}", up.err.trim());
            return None;
        }
        up.done();
        Some(domain)
    }

    /// Tells a machine that is off where the domain is.
    pub fn show(&self, machine: &Machine) {
        machine.write("/etc/samba/smb.conf", MEMBER);
        machine.write("/etc/krb5.conf", KERBEROS);
        machine.write("/etc/hosts", format!("{CONTROLLER} dc1.corp.example corp.example\n127.0.0.1 localhost member.corp.example member\n"));
        machine.write("/etc/resolv.conf", format!("nameserver {CONTROLLER}\n"));
    }

    /// Makes a machine that runs a member.
    #[track_caller]
    pub fn join(&self, machine: &Booted<'_>) {
        let join = format!("net ads join --no-dns-updates -U '{}'", Self::ADMINISTRATOR);
        machine.run(&join).done();
        machine.run("systemctl start winbind").done();
        machine.until("wbinfo --check-secret");
    }

    /// Name and password, as Samba's tools take them.
    pub const ADMINISTRATOR: &'static str = "Administrator%Adm1n-Passw0rd";

    fn testbed(&self, verb: &str) -> Command {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../testbed/active-directory");
        let mut command = self.network.command(PathBuf::from(program));
        command.arg(verb).arg("--state").arg(self.state.path());
        command
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        Ran::of(&mut self.testbed("destroy"));
    }
}

const CANNOT_RUN_HERE: i32 = 77;
const NET: &str = "127.0.90";
const CONTROLLER: &str = "127.0.90.10";
const MEMBER: &str = "\
[global]
    workgroup = CORP
    realm = CORP.EXAMPLE
    security = ADS
    netbios name = MEMBER
    idmap config * : backend = autorid
    idmap config * : range = 10000-999999
    interfaces = lo
    bind interfaces only = yes
    disable netbios = yes
";
const KERBEROS: &str = "\
[libdefaults]
    default_realm = CORP.EXAMPLE
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    CORP.EXAMPLE = {
        kdc = 127.0.90.10
    }
[domain_realm]
    corp.example = CORP.EXAMPLE
    .corp.example = CORP.EXAMPLE
";
