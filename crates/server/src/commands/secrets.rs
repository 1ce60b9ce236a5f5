//! Passwords for a command: from a file, or from standard input; never from the command line,
//! which every user of the machine can read.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use openrms_crypto::Secret;
use zeroize::Zeroizing;

use super::{Failure, Output};
use crate::credential::{self, Credential};
use crate::files;
use crate::key_protection::KeyProtectionError;

/// The first line of the file, or of standard input.
pub(super) fn password(
    file: Option<&Path>,
    prompt: &str,
    output: &Output,
) -> Result<Zeroizing<String>, Failure> {
    let text = if let Some(path) = file {
        let bytes = files::read_limited(path, LONGEST)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::failed(format!("{}: not UTF-8", path.display())))?;
        Zeroizing::new(text.to_owned())
    } else {
        let stdin = std::io::stdin();
        if stdin.is_terminal() && !output.quiet {
            let typed = credential::ask(prompt).map_err(Failure::failed)?;
            let typed = std::str::from_utf8(&typed).map_err(Failure::failed)?;
            return not_empty(typed);
        }
        let mut line = Zeroizing::new(String::new());
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut line)
            .map_err(Failure::failed)?;
        line
    };
    not_empty(text.lines().next().unwrap_or_default())
}

/// A new password for the keys of a cluster: from the file, or asked for twice. Weak ones are
/// refused.
pub(super) fn new_password(file: Option<&Path>) -> Result<Credential, Failure> {
    new_password_of(file, "New password of the cluster's keys")
}

/// As [`new_password`], of something else.
pub(super) fn new_password_of(file: Option<&Path>, prompt: &str) -> Result<Credential, Failure> {
    let chosen = if let Some(file) = file {
        Credential::File(file.to_owned())
    } else {
        let first = asked(prompt)?;
        if asked("The same once more")? != first {
            return Err(Failure::failed("the two passwords differ"));
        }
        first
    };
    let password = chosen.read("").map_err(KeyProtectionError::from)?;
    match credential::weakness(&password) {
        Some(why) => Err(
            Failure::new(1, "weak-password", format!("the password is weak: {why}")).with_hint(
                "Whoever copies the database can try passwords for as long as they like.",
            ),
        ),
        None => Ok(chosen),
    }
}

/// What somebody at the terminal types.
pub(super) fn asked(what: &str) -> Result<Credential, Failure> {
    let typed = credential::ask(what).map_err(Failure::failed)?;
    Ok(Credential::Given(Secret::from(typed.as_slice())))
}

fn not_empty(line: &str) -> Result<Zeroizing<String>, Failure> {
    if line.is_empty() {
        return Err(Failure::failed("an empty password is none"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

const LONGEST: u64 = 4096;
