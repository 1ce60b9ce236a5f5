//! The pfile container: a clear notice, a header block, extension, publishing license, metadata,
//! then ciphertext to the end of the file. There is no checksum and no MAC. All integers are
//! little-endian and unaligned; offsets count from the start of the file.
//!
//! [`read_header`] finds the sections, [`Writer`] lays them out.
//! [`protect`] and [`unprotect`] stream the content through the ciphers.

mod content;
mod header;
mod writer;

pub use content::{
    CipherUnknown, ContentError, effective_cipher, protect, protect_saying, recognised_cipher,
    unprotect,
};
pub use header::{Error, Field, Header, Section, Version, read_header, read_header_within};
pub use writer::{NOTICE, NOTICE_2_0, WriteError, Writer, WriterVersion};

/// The first six bytes of every pfile.
pub const MAGIC: &[u8; 6] = b".pfile";
