//! The audit file: one JSON line for each request, and for each item of a batch, written before
//! the answer leaves. It tells who asked for what and what came of it; never a certificate, a key
//! or a password.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
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
    /// Why it was granted: by its rights data, to its author, to a super user, or because the
    /// cluster is decommissioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ground: Option<&'e str>,
    /// How long the request took, in microseconds.
    pub(crate) micros: u64,
}

impl Audit {
    /// Opens the file for appending, or makes it. Without a path nothing is written.
    ///
    /// A last line that a killed process left unfinished is cut off, or the next one would be
    /// lost in it: an answer leaves after its line only, so nobody was ever given what it tells.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = path {
            cut_unfinished_line(path)?;
        }
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

/// Makes a file end where its last whole line ends.
fn cut_unfinished_line(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    // A pipe or terminal keeps nothing.
    if !metadata.is_file() {
        return Ok(());
    }
    let mut file = File::open(path)?;
    let length = metadata.len();
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = block.get_mut(..usize::try_from(end - start).unwrap_or(0));
        let part = part.unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(newline) = part.iter().rposition(|&byte| byte == b'\n') {
            end = start + newline as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        tracing::warn!(path = %path.display(), bytes = length - end, "unfinished audit line cut off");
        OpenOptions::new().write(true).open(path)?.set_len(end)?;
    }
    Ok(())
}
