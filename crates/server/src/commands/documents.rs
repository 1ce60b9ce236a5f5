//! Documents that commands take and leave: read with a bound, readable by their owner alone, and
//! replaced only when that is asked for.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::Failure;
use crate::files;

/// What is in a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read_limited(path, LONGEST)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// The failure of a command whose document is not what it should be.
pub(super) fn malformed(path: &Path, error: &dyn Display) -> Failure {
    malformed_as("malformed", path, error)
}

/// As [`malformed`], by a name of its own.
pub(super) fn malformed_as(code: &'static str, path: &Path, error: &dyn Display) -> Failure {
    Failure::new(6, code, format!("{}: {error}", path.display()))
}

/// Makes a file; one that is there is replaced by `force` alone.
pub(super) fn write(path: &Path, contents: &[u8], force: bool) -> Result<(), Failure> {
    let written = if force {
        files::replace_private(path, contents)
    } else {
        files::create_private(path, contents)
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", path.display());
            Failure::new(1, "exists", message).with_hint("Replace it with --force.")
        }
        _ => Failure::failed(format!("{}: {error}", path.display())),
    })
}

const LONGEST: u64 = 4 << 20;
