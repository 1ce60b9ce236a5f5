//! What the tests of containers share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use openrms_formats::compound::{self, Family};
use openrms_formats::pfile::{Writer, WriterVersion};

/// The samples of Microsoft's software, or `None` with a line on the terminal.
pub fn corpus() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let path = match std::env::var_os("OPENRMS_CORPUS") {
        Some(path) => Path::new(root).join(path),
        None => Path::new(root).join("../shared/corpus"),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no corpus");
    None
}

pub const LICENSE: &[u8] = b"\xEF\xBB\xBF<XrML version=\"1.2\" xmlns=\"\"></XrML>";

/// A small pfile of each version, made by our own writer. The content is no real ciphertext.
pub fn pfile(version: WriterVersion) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(LICENSE, ".txt")
        .version(version)
        .notice(b"protected")
        .metadata(b"meta")
        .write_header(&mut out)
        .unwrap();
    out.extend([0xCC; 32]);
    out
}

/// A small protected compound file, made by our own writer.
pub fn compound(family: Family) -> Vec<u8> {
    let out = Cursor::new(Vec::new());
    compound::write(out, family, LICENSE, 20, &[0xCC; 32][..])
        .unwrap()
        .into_inner()
}

/// Repeatable numbers (`SplitMix64`); tests must not depend on the day.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap()
    }
}
