//! Tools of others, run so that neither the language nor the time zone of the machine shows in what
//! they make.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::Failure;

/// Runs a tool. What it prints is shown when it fails.
pub(crate) fn run(
    tool: &str,
    with: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(), Failure> {
    output(tool, with).map(drop)
}

/// Runs a tool and gives what it printed.
pub(crate) fn output(
    tool: &str,
    with: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<String, Failure> {
    let mut command = Command::new(tool);
    command
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    with(&mut command);
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(tool),
        _ => format!("{tool}: {error}"),
    })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        return Err(format!("{command:?}: {}\n{said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn missing(tool: &str) -> String {
    let from = FROM.iter().find(|(names, _)| names.contains(&tool));
    let from = from.map_or("", |(_, from)| from);
    format!("{tool} is not installed {from}")
}

/// Where tools come from.
const FROM: &[(&[&str], &str)] = &[
    (&["dpkg-buildpackage"], "(Debian: dpkg-dev, debhelper)"),
    (&["apt-ftparchive"], "(Debian: apt-utils)"),
    (&["rpmbuild", "rpmsign"], "(Debian: rpm)"),
    (&["createrepo_c", "modifyrepo_c"], "(Debian: createrepo-c)"),
    (&["appstreamcli"], "(Debian: appstream, appstream-compose)"),
    (&["gpg", "gpgconf"], "(Debian: gnupg)"),
    (&["strip", "objdump"], "(Debian: binutils)"),
    (&["openssl"], "(Debian: openssl)"),
    (&["faketime"], "(Debian: faketime, wixl, msitools)"),
    (&["msibuild"], "(Debian: msitools)"),
    (&["osslsigncode"], "(Debian: osslsigncode)"),
];
