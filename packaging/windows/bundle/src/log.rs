//! A line for each step, for whoever watches and, where one was named, in a file.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log(Option<File>);

impl Log {
    /// A log in that file too, behind what is there. One that cannot be written stops nothing.
    pub(crate) fn to(file: Option<&Path>) -> Self {
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        Self(file.and_then(|path| match open(path) {
            Ok(file) => Some(file),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                None
            }
        }))
    }

    /// Writes a line. Nobody is told when nobody can read it.
    pub(crate) fn line(&mut self, line: &dyn Display) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = format!("{} {line}", now.unwrap_or_default().as_secs());
        let _ = writeln!(std::io::stdout(), "{line}");
        if let Some(file) = &mut self.0 {
            let _ = writeln!(file, "{line}");
        }
    }
}
