//! One event, and the certificates that events name.

use std::borrow::Cow;

use serde::Serialize;
use uuid::Uuid;

use crate::logging::Day;

/// SHA-256 of a certificate's text.
pub type Digest = [u8; 32];

/// What became of one request, or of one item of a batch. No certificate is in it, no key, no
/// password and no token.
///
/// Texts are the caller's to bound: see the book's page on logging for the longest of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEvent<'a> {
    /// Names the event. Of version 7: later ones are greater.
    pub id: Uuid,
    /// When the request came, in milliseconds since 1970 UTC.
    pub time: i64,
    /// The server that answered.
    pub host: Cow<'a, str>,
    /// The request's name at that server, the same for all items of a batch.
    pub request: Cow<'a, str>,
    /// Position in a batch.
    pub item: Option<u32>,
    /// The path that was asked.
    pub path: Cow<'a, str>,
    /// What was asked; `None` when it could not be read.
    pub operation: Option<Cow<'a, str>>,
    /// Address and port of the caller.
    pub peer: Option<Cow<'a, str>>,
    /// What the caller calls its program.
    pub user_agent: Option<Cow<'a, str>>,
    /// Whether the caller signed in.
    pub authenticated: bool,
    /// Whether the connection was encrypted.
    pub secure: bool,
    /// The account that signed in.
    pub user: Option<Cow<'a, str>>,
    /// In which form was asked.
    pub metadata: Option<Cow<'a, str>>,
    /// `ok`, or the name of the fault.
    pub outcome: Cow<'a, str>,
    /// Why not, in words.
    pub reason: Option<Cow<'a, str>>,
    /// Mail address in the RAC.
    pub account: Option<Cow<'a, str>>,
    /// Identifier of the content.
    pub content: Option<Cow<'a, str>>,
    /// Identifier of what was issued.
    pub issued: Option<Cow<'a, str>>,
    /// Why it was granted.
    pub ground: Option<Cow<'a, str>>,
    /// How long the request took, in microseconds.
    pub micros: u64,
    /// Certificates that came with the request, each chain from its leaf upwards.
    #[serde(serialize_with = "hexadecimal")]
    pub received_xrml: Vec<Digest>,
    /// Certificates that were handed out, each chain from its leaf upwards.
    #[serde(serialize_with = "hexadecimal")]
    pub issued_xrml: Vec<Digest>,
}

/// A certificate that events name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate<'a> {
    /// SHA-256 of the text.
    #[serde(serialize_with = "one_hexadecimal")]
    pub digest: Digest,
    /// What kind it is: `rac`, `pl`, `ul` and so on, `issuer` above a leaf.
    pub kind: Cow<'a, str>,
    /// The day of the event that names it.
    #[serde(skip)]
    pub day: Day,
    /// The XrML.
    pub text: Cow<'a, str>,
}

impl LogEvent<'_> {
    /// Whether what was asked for was done.
    pub fn succeeded(&self) -> bool {
        self.outcome == OK
    }
}

/// The outcome of what was done.
pub(super) const OK: &str = "ok";

fn hexadecimal<S: serde::Serializer>(digests: &[Digest], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(digests.iter().map(hex))
}

fn one_hexadecimal<S: serde::Serializer>(
    digest: &Digest,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(digest))
}

pub(super) fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
