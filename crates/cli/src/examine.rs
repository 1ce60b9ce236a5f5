//! Reads a file as far as anybody can without keys: its container, its license, its nodes. What
//! `inspect` and `verify` share.

use std::fs;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use openrms_client::ServerUrl;
use openrms_formats::inspect::{Details, InspectError};
use openrms_formats::{Inspection, Kind, Limits, compound};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::node::Node;
use openrms_xrml::text::{self, Encoding};
use openrms_xrml::{Verified, XrmlError, chain};

use crate::failure::{Exit, Failure};
use crate::shell::plain;

/// A file and what could be read of it.
pub(crate) struct Examined {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its container, or a property set that lay beside protected content.
    pub(crate) found: Found,
    /// Its license, where it has one.
    pub(crate) license: Option<License>,
}

/// What a file is.
pub(crate) enum Found {
    /// A container of protected content, a stream of one, or a bare license.
    Container(Box<Inspection>),
    /// A property set of a document, which protected documents keep in clear.
    PropertySet {
        /// Version, 0 or 1 (MS-OLEPS 2.21).
        version: u16,
        /// Number of sections.
        sections: u32,
        /// Length of the stream.
        bytes: u64,
    },
}

/// A license as it was stored.
pub(crate) struct License {
    /// How it was stored.
    pub(crate) encoding: Encoding,
    /// Length as stored, padding that counts as part of it included.
    pub(crate) bytes: u64,
    /// Zero bytes behind it that do not count.
    pub(crate) padding: u64,
    /// Characters of its text.
    pub(crate) characters: usize,
    /// Its nodes in order; at least one.
    pub(crate) nodes: Vec<Node>,
}

impl Examined {
    /// For a client that belongs to no server yet: says which one the license names. It is not
    /// joined unasked, as a password would go there.
    pub(crate) fn name_server(&self, failure: Failure) -> Failure {
        let server = self
            .server()
            .filter(|_| failure.code == "server-not-configured");
        match server {
            Some(server) => Failure {
                hint: format!(
                    "the file names {server}: if that is your organization's, rms init --server \
                     {server}"
                ),
                ..failure
            },
            None => failure,
        }
    }

    fn server(&self) -> Option<ServerUrl> {
        let license = self.license.as_ref()?.nodes.first()?;
        let point = license.content().distribution_point(LICENSING)?;
        point.object.url()?.parse().ok()
    }
}

/// Reads a file.
pub(crate) fn examine(path: &Path) -> Result<Examined, Failure> {
    let io = |error| Failure::io("read", path, &error);
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        let message = format!("{} is a folder", plain(&path.to_string_lossy()));
        return Err(Failure::new(
            Exit::Failed,
            "is-a-folder",
            message,
            "name the files in it",
        ));
    }
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let inspection = match openrms_formats::inspect(&mut file, &Limits::default()) {
        Ok(inspection) => inspection,
        Err(InspectError::NotAContainer(Kind::PropertySet)) => {
            let mut head = [0; 28];
            file.rewind()
                .and_then(|()| file.read_exact(&mut head))
                .map_err(io)?;
            let found = property_set(&head, metadata.len());
            return Ok(Examined {
                path: path.to_owned(),
                found,
                license: None,
            });
        }
        Err(error) => return Err(refused(path, metadata.len(), &error)),
    };
    let license = match &inspection.license {
        None => None,
        Some(raw) => {
            let (bytes, padding) =
                stored_length(path, raw, metadata.len(), &inspection).map_err(io)?;
            Some(read_license(raw, bytes, padding).map_err(|error| malformed(path, &error))?)
        }
    };
    Ok(Examined {
        path: path.to_owned(),
        found: Found::Container(Box::new(inspection)),
        license,
    })
}

/// Reads the anchors that a command line names: a file of them, or Microsoft's.
pub(crate) fn read_anchors(source: &str) -> Result<Anchors, Failure> {
    if source == "microsoft" {
        return Ok(Anchors::microsoft());
    }
    let path = Path::new(source);
    let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    Anchors::from_xml(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let message = format!("{} holds no trust anchors: {error}", plain(source));
        let hint = "a file of `rmsd authority anchors export`, or `microsoft`";
        Failure::new(Exit::Malformed, "malformed-anchors", message, hint)
    })
}

/// A node whose own signature holds, as the chain functions want it.
pub(crate) fn verified(node: &Node) -> Option<Verified<Node>> {
    node.clone().verify().ok()
}

fn read_license(raw: &[u8], bytes: u64, padding: u64) -> Result<License, XrmlError> {
    let (text, encoding) = text::decode(raw)?;
    let nodes = chain::parse(&text)?;
    Ok(License {
        encoding,
        bytes,
        padding,
        characters: text.chars().count(),
        nodes,
    })
}

/// The license's length as the container has it, and the zero bytes behind that.
fn stored_length(
    path: &Path,
    raw: &[u8],
    file_length: u64,
    inspection: &Inspection,
) -> std::io::Result<(u64, u64)> {
    let plain_length = raw.len() as u64;
    Ok(match &inspection.details {
        Details::Pfile(header) => (header.license.end.saturating_sub(header.license.start), 0),
        Details::License => (file_length, 0),
        Details::Transform(_) => {
            // The stream was read within the limits a moment ago.
            let stream = fs::read(path)?;
            let field = stream
                .windows(raw.len().max(1))
                .position(|window| window == raw)
                .and_then(|at| Some((at, stream.get(at.checked_sub(4)?..at)?.first_chunk::<4>()?)));
            match field {
                Some((at, length)) => {
                    let length = u64::from(u32::from_le_bytes(*length));
                    (
                        length,
                        (stream.len() - at) as u64 - length.min((stream.len() - at) as u64),
                    )
                }
                None => (plain_length, 0),
            }
        }
        _ => (plain_length, 0),
    })
}

fn property_set(head: &[u8; 28], bytes: u64) -> Found {
    let [_, _, low, high, .., a, b, c, d] = *head;
    Found::PropertySet {
        version: u16::from_le_bytes([low, high]),
        sections: u32::from_le_bytes([a, b, c, d]),
        bytes,
    }
}

fn malformed(path: &Path, error: &XrmlError) -> Failure {
    let message = format!(
        "the license of {} cannot be read: {error}",
        plain(&path.to_string_lossy())
    );
    if let XrmlError::Invalid { field, .. } = error
        && ["SIGNATURE", "DIGEST"]
            .iter()
            .any(|part| field.starts_with(part))
    {
        // Readable but for its signature: that is a signature that does not hold.
        let hint = "do not trust the file; get it again from where it came";
        return Failure::new(Exit::Untrusted, "signature", message, hint);
    }
    let hint = "get the file again from where it came; it was cut, changed or re-indented";
    Failure::new(Exit::Malformed, "malformed-license", message, hint)
}

fn refused(path: &Path, length: u64, error: &InspectError) -> Failure {
    let name = plain(&path.to_string_lossy());
    match error {
        InspectError::Io(error) => Failure::io("read", path, error),
        InspectError::NotAContainer(kind @ (Kind::Rpmsg | Kind::Pdf)) => Failure::new(
            Exit::Failed,
            "unsupported-format",
            format!("{name}: {error}"),
            match kind {
                Kind::Pdf => "other formats work: pfile, Office documents, bare licenses",
                _ => "save the protected attachment itself and inspect that",
            },
        ),
        InspectError::NotAContainer(_)
        | InspectError::Compound(
            compound::Error::NotProtected
            | compound::Error::PasswordProtected
            | compound::Error::NotRightsManagement,
        ) => Failure::new(
            Exit::Malformed,
            "not-protected",
            format!("{name} ({length} bytes) is not protected: {error}"),
            "`rms protect` protects it",
        ),
        _ => Failure::new(
            Exit::Malformed,
            "malformed-container",
            format!("{name} ({length} bytes): {error}"),
            "get the file again from where it came; it was cut or changed",
        ),
    }
}

/// `type` of the DISTRIBUTIONPOINT that names the licensing server.
const LICENSING: &str = "License-Acquisition-URL";
