//! The list of everything in a channel, `openrms.manifest`: version, serial, end, and the checksum of each
//! file. What is written here is read by install.sh, Install.ps1 and `rmsd repo`.

use std::fs;
use std::path::Path;

use super::keys::Keys;
use super::run;
use super::version::Version;
use crate::Failure;

/// What is said of a publication as a whole.
pub(crate) struct Heading<'a> {
    /// Of the packages.
    pub(crate) version: &'a Version,
    /// Higher than that of any publication before; the seconds since 1970 at which it was signed.
    pub(crate) serial: u64,
    /// Seconds since 1970, from which on nothing is taken from it.
    pub(crate) expires: u64,
}

/// Writes and signs the manifest of a channel that is otherwise complete.
pub(crate) fn write(channel: &Path, heading: &Heading, keys: &Keys) -> Result<(), Failure> {
    let Heading {
        version,
        serial,
        expires,
    } = heading;
    let sums = sums(channel, &[])?;
    let text = format!(
        "openrms-manifest 1\nversion: {version}\nserial: {serial}\nexpires: {expires}\n\n{sums}"
    );
    let manifest = channel.join(MANIFEST);
    fs::write(&manifest, text)?;
    keys.detach(&manifest, &channel.join(format!("{MANIFEST}.asc")))?;
    keys.sign(&manifest, &channel.join(format!("{MANIFEST}.sig")))
}

/// A line for each file below a folder, as `sha256sum` prints them, in the order of their paths.
pub(crate) fn sums(folder: &Path, except: &[&str]) -> Result<String, Failure> {
    let mut paths = Vec::new();
    collect(folder, "", &mut paths)?;
    paths.retain(|path| !except.contains(&path.as_str()));
    paths.sort();
    run::output("sha256sum", |sum| {
        sum.current_dir(folder).arg("--").args(&paths)
    })
}

fn collect(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{prefix}{}", name.to_string_lossy());
        if !carried(&path) {
            return Err(format!("{path:?}: a manifest carries no such name").into());
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths)?;
        } else if kind.is_file() {
            paths.push(path);
        } else {
            return Err(format!("{path}: neither a file nor a folder").into());
        }
    }
    Ok(())
}

/// Whether readers of a manifest take a path: they refuse what could mean something to a shell or leave
/// the folder.
fn carried(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~/-".contains(&byte);
    path.bytes().all(plain) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

pub(crate) const MANIFEST: &str = "openrms.manifest";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_folder_or_means_something_to_a_shell_is_not_carried() {
        for path in [
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a b",
            "a\nb",
            "$x",
            "a\\b",
            "ä",
            "",
        ] {
            assert!(!carried(path), "{path:?}");
        }
        for path in [
            "install.sh",
            "apt/pool/openrms-client_0.3.0~rc.1_amd64.deb",
            "a/b+c-d",
        ] {
            assert!(carried(path), "{path:?}");
        }
    }
}
