//! The audit file: one JSON line for each request, and for each item of a batch, written before
//! the answer leaves. It tells who asked for what and what came of it; never a certificate, a key
//! or a password.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use arc_swap::ArcSwapOption;
use serde::Serialize;

/// Where audit lines go.
pub(crate) struct Audit {
    path: Option<PathBuf>,
    file: ArcSwapOption<File>,
}

/// One line.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Event<'e> {
    /// When the request came, RFC 3339.
    pub(crate) time: &'e str,
    /// Which request, the same for all items of a batch.
    pub(crate) request: &'e str,
    /// Whence.
    pub(crate) peer: Option<SocketAddr>,
    /// The account that signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'e str>,
    /// The path that was asked.
    pub(crate) endpoint: &'e str,
    /// What was asked; absent when it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<&'e str>,
    /// Position in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<usize>,
    /// `ok`, or the name of the fault.
    pub(crate) outcome: &'e str,
    /// Why not, in words; never sent to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'e str>,
    /// Mail address in the RAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<&'e str>,
    /// Identifier of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'e str>,
    /// Identifier of what was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued: Option<&'e str>,
    /// Why it was granted: by its rights data, to its author, to a super user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ground: Option<&'e str>,
    /// How long the request took, in microseconds.
    pub(crate) micros: u64,
}

impl Audit {
    /// Opens the file for appending, or makes it. Without a path nothing is written.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let audit = Self {
            path: path.map(Path::to_owned),
            file: ArcSwapOption::empty(),
        };
        audit.reopen()?;
        Ok(audit)
    }

    /// Opens the file anew, after a log rotation.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        if let Some(path) = &self.path {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)?;
            self.file.store(Some(file.into()));
        }
        Ok(())
    }

    /// Whether anything is written.
    pub(crate) fn is_on(&self) -> bool {
        self.path.is_some()
    }

    /// Writes the lines of one request with one system call.
    pub(crate) fn write(&self, events: &[Event<'_>]) -> io::Result<()> {
        let file = self.file.load();
        let Some(file) = file.as_deref() else {
            return Ok(());
        };
        let mut lines = Vec::with_capacity(512 * events.len());
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        (&*file).write_all(&lines)
    }
}
