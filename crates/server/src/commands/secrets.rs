//! Passwords for a command: from a file, or from standard input; never from the command line,
//! which every user of the machine can read.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{Failure, Output};
use crate::files;

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
            let _ = write!(std::io::stderr(), "{prompt} (it will be shown): ");
        }
        let mut line = Zeroizing::new(String::new());
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut line)
            .map_err(Failure::failed)?;
        line
    };
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::failed("an empty password is none"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

const LONGEST: u64 = 4096;
