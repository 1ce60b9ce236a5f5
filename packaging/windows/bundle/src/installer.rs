//! The Windows Installer, as far as it is needed.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// What runs packages.
pub(crate) trait Installer {
    /// Runs to the end, and gives the exit code.
    fn run(&mut self, arguments: &[OsString]) -> io::Result<i32>;
}

/// `msiexec.exe` of the system.
#[derive(Debug)]
pub(crate) struct Msiexec;

impl Installer for Msiexec {
    fn run(&mut self, arguments: &[OsString]) -> io::Result<i32> {
        let status = Command::new(program()).args(arguments).status()?;
        status
            .code()
            .ok_or_else(|| io::Error::other("it was ended by the system"))
    }
}

/// In full: a program of that name beside this one, or in the current folder, is not it.
fn program() -> PathBuf {
    let system = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
    PathBuf::from(system).join("System32").join("msiexec.exe")
}
