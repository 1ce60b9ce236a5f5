//! Numbers and texts of the data space streams, read in order with every length checked.

use std::fmt;

use super::Versions;

/// What is wrong with a data space stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: {field} {problem}")]
pub struct Error {
    /// The stream.
    pub structure: Structure,
    /// The field in it.
    pub field: &'static str,
    /// What is wrong with the field.
    pub problem: Problem,
}

/// The streams of \[MS-OFFCRYPTO\] 2.1 and 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// `\6DataSpaces/Version`.
    Version,
    /// `\6DataSpaces/DataSpaceMap`.
    Map,
    /// `\6DataSpaces/DataSpaceInfo/<name>`.
    Definition,
    /// `\6DataSpaces/TransformInfo/<name>/\6Primary`.
    Transform,
    /// `EncryptedPackage` or `\tDRMContent`.
    Content,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::Version => "data space version",
            Structure::Map => "data space map",
            Structure::Definition => "data space definition",
            Structure::Transform => "transform",
            Structure::Content => "protected content",
        })
    }
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The stream, or the entry it is in, ends first.
    #[error("needs {needed} bytes where {left} are left")]
    Cut {
        /// Bytes the field needs.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A number above what is possible or allowed.
    #[error("is {value}, more than {limit}")]
    TooLarge {
        /// The number.
        value: u64,
        /// The largest acceptable.
        limit: u64,
    },
    /// A length that does not even cover itself, or an empty license.
    #[error("is {0}, which is too small")]
    TooSmall(u64),
    /// A text that is not UTF-16LE.
    #[error("is not UTF-16LE")]
    NotText,
    /// A value this program does not know.
    #[error("has the unknown value {0:?}")]
    Unknown(String),
    /// Bytes left over behind the last field.
    #[error("is followed by {0} surplus bytes")]
    Surplus(u64),
    /// Ciphertext whose length is not a multiple of 16.
    #[error("is {0} bytes long, not a whole number of cipher blocks")]
    NotWholeBlocks(u64),
}

/// What is left of a stream.
pub(super) struct Fields<'a> {
    structure: Structure,
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(structure: Structure, all: &'a [u8]) -> Self {
        Fields {
            structure,
            all,
            rest: all,
        }
    }

    pub(super) fn error(&self, field: &'static str, problem: Problem) -> Error {
        Error {
            structure: self.structure,
            field,
            problem,
        }
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Error> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, Error> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// Three versions, 12 bytes.
    pub(super) fn versions(&mut self) -> Result<Versions, Error> {
        let mut version = |field| -> Result<(u16, u16), Error> {
            let major = self.array(field).map(u16::from_le_bytes)?;
            Ok((major, self.array(field).map(u16::from_le_bytes)?))
        };
        Ok(Versions {
            reader: version("reader version")?,
            updater: version("updater version")?,
            writer: version("writer version")?,
        })
    }

    /// UNICODE-LP-P4: length in bytes, UTF-16LE, zero bytes up to a multiple of four.
    pub(super) fn text(&mut self, field: &'static str) -> Result<String, Error> {
        let length = self.u32(field)?;
        let bytes = self.bytes(length, field)?;
        self.bytes(length.wrapping_neg() % 4, field)?;
        let (pairs, odd) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|&pair| u16::from_le_bytes(pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        match text {
            Ok(text) if odd.is_empty() => Ok(text),
            _ => Err(self.error(field, Problem::NotText)),
        }
    }

    pub(super) fn bytes(&mut self, length: u32, field: &'static str) -> Result<&'a [u8], Error> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|at| self.rest.split_at_checked(at));
        let Some((taken, rest)) = split else {
            let problem = Problem::Cut {
                needed: length.into(),
                left: self.rest.len() as u64,
            };
            return Err(self.error(field, problem));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A number of items, if that many of the smallest kind could follow at all.
    pub(super) fn count(
        &self,
        count: u32,
        smallest: u32,
        field: &'static str,
    ) -> Result<usize, Error> {
        let limit = self.rest.len() as u64 / u64::from(smallest);
        match usize::try_from(count) {
            Ok(number) if u64::from(count) <= limit => Ok(number),
            _ => Err(self.error(
                field,
                Problem::TooLarge {
                    value: count.into(),
                    limit,
                },
            )),
        }
    }

    /// A part of `length` bytes of which `read` were read already.
    pub(super) fn part(
        &mut self,
        length: u32,
        read: u32,
        field: &'static str,
    ) -> Result<Fields<'a>, Error> {
        let Some(left) = length.checked_sub(read) else {
            return Err(self.error(field, Problem::TooSmall(length.into())));
        };
        Ok(Fields::new(self.structure, self.bytes(left, field)?))
    }

    pub(super) fn skip_rest_of(
        &mut self,
        length: u32,
        read: u32,
        field: &'static str,
    ) -> Result<(), Error> {
        self.part(length, read, field).map(|_| ())
    }

    /// Goes forward to an offset from the start of the stream.
    pub(super) fn skip_to(&mut self, offset: u32, field: &'static str) -> Result<(), Error> {
        let here = u32::try_from(self.all.len().saturating_sub(self.rest.len()));
        self.skip_rest_of(offset, here.unwrap_or(u32::MAX), field)
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            surplus => Err(self.error("end", Problem::Surplus(surplus as u64))),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            let problem = Problem::Cut {
                needed: N as u64,
                left: self.rest.len() as u64,
            };
            return Err(self.error(field, problem));
        };
        self.rest = rest;
        Ok(*taken)
    }
}

/// Appends a length or count. What is written here is built by this program and far below 4 GiB;
/// licenses are bounded by the publishing side.
pub(super) fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// Appends a UNICODE-LP-P4 text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put_u32(out, units.len());
    out.extend(&units);
    out.resize(out.len() + units.len().wrapping_neg() % 4, 0);
}
