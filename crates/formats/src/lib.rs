//! Containers of protected content: where in a file the publishing license and the ciphertext are.
//!
//! This room knows nothing of networks and nothing of XrML: container bytes go in; license bytes,
//! the place and length of the ciphertext and the declared length come out, and back. Content
//! ciphers are [`openrms_crypto`]'s. Every reader here takes files of strangers: all lengths are
//! checked against the file and against [`Limits`] before anything is allocated.
//!
//! | module | container |
//! |---|---|
//! | [`pfile`] | `.pfile`, `.ptxt` and kin |
//! | [`compound`] | Office documents and the inside of mail, as whole OLE compound files |
//! | [`dataspaces`] | the OLE streams of such a file, one by one (\[MS-OFFCRYPTO\] 2.1, 2.2) |
//! | [`detect`](mod@detect) | which of these a file is, by content |
//! | [`inspect`](mod@inspect) | all of it behind one call, for `rms inspect` |
//! | [`names`] | the names protected files carry |
//! | [`fuzzing`] | entries for fuzz targets |
//! | [`license`] | the few things said about license bytes without reading them |

pub mod compound;
pub mod dataspaces;
pub mod detect;
pub mod fuzzing;
pub mod inspect;
pub mod license;
pub mod names;
pub mod pfile;

pub use detect::{Kind, detect};
pub use inspect::{Inspection, inspect, open_container};

/// How much a reader is willing to take from a file it does not trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest publishing license with its chain, in bytes. Genuine ones are 8 to 50 kB.
    pub license: u64,
    /// Longest extension field of a pfile, in bytes.
    pub extension: u64,
    /// Longest `Version`, `DataSpaceMap` or data space definition stream, in bytes.
    pub data_space_stream: u64,
    /// Longest directory, and longest mini FAT, of a compound file, in bytes.
    pub directory: u64,
}

impl Default for Limits {
    /// 8 MiB of license, 255 bytes of extension, 64 KiB per data space stream, 8 MiB of directory.
    fn default() -> Self {
        Limits {
            license: 8 << 20,
            extension: 255,
            data_space_stream: 64 << 10,
            directory: 8 << 20,
        }
    }
}

#[cfg(test)]
fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
