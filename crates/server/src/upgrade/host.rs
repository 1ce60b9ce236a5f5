//! The machine under the server: whether it has its security updates, and room on its disks.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is asked of the machine. Nothing of it needs privileges.
pub trait Host {
    /// The security updates that are not installed; an error says why nobody can tell.
    fn updates(&self) -> Result<Updates, String>;

    /// How many bytes the file system that a folder is in has left for this user.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// Security updates that wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Updates {
    /// Packages.
    pub packages: Vec<String>,
    /// Whether some are installed that the machine must be started anew for.
    pub restart: bool,
}

/// This machine: Debian, Ubuntu and what is like them.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Host for System {
    fn updates(&self) -> Result<Updates, String> {
        let failed = |reason: &dyn std::fmt::Display| format!("apt-get: {reason}");
        // What is installed is not locked by looking at it.
        let asked = Command::new("apt-get")
            .args([
                "--simulate",
                "--option",
                "Debug::NoLocking=1",
                "dist-upgrade",
            ])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| failed(&error))?;
        if !asked.status.success() {
            return Err(failed(&asked.status));
        }
        Ok(Updates {
            packages: security_updates(&String::from_utf8_lossy(&asked.stdout)),
            restart: Path::new(RESTART).exists(),
        })
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// The packages that `apt-get --simulate` would install from an archive of security updates:
/// `Inst libssl3 [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])`.
fn security_updates(simulated: &str) -> Vec<String> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter(|line| line.to_ascii_lowercase().contains("security"))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Packages leave it there for whoever starts machines.
const RESTART: &str = "/var/run/reboot-required";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_only_updates_of_the_archive_of_security_count() {
        let simulated = "Reading package lists...\n\
            Inst base-files [12.4] (12.5 Debian:12.5/stable [amd64])\n\
            Inst libssl3 [3.0.11] (3.0.13 Debian-Security:12/stable-security [amd64])\n\
            Inst openssl [3.0.2] (3.0.4 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])\n\
            Conf libssl3 (3.0.13 Debian-Security:12/stable-security [amd64])\n";
        assert_eq!(security_updates(simulated), ["libssl3", "openssl"]);
        assert_eq!(security_updates(""), Vec::<String>::new());
    }

    #[test]
    fn this_machine_has_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(System.free_bytes(folder.path()).unwrap() > 0);
        assert!(System.free_bytes(&folder.path().join("none")).is_err());
    }
}
