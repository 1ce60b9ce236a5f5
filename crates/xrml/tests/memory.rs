//! No license text, however damaged, makes the parser hold more memory than its length allows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use openrms_xrml::rights_data::RightsData;
use openrms_xrml::{chain, text};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn ten_thousand_damaged_texts_are_read_in_bounded_memory() {
    let samples = samples();
    assert!(samples.len() > 50, "{} samples", samples.len());
    let mut random = Random(0x00A1_10C8);
    for round in 0..10_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().max(1)).min(bytes.len());
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = b"<>/\"'&; A"[random.below(9)],
                1 => bytes.truncate(at),
                2 => {
                    let end = (at + random.below(400)).min(bytes.len());
                    let piece = bytes[at..end].repeat(1 + random.below(20));
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let end = (at + random.below(60)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        read_within_bound(&bytes);
    }
    // The most elements and attributes a text of that length can have.
    read_within_bound(
        &[
            &b"<XrML><BODY>"[..],
            &b"<A/>".repeat(90_000),
            b"</BODY></XrML>",
        ]
        .concat(),
    );
    read_within_bound(&b"<XrML a=\"\" b=\"\" c=\"\">".repeat(5_000));
    read_within_bound(&[&b"<XrML>"[..], &vec![b'x'; 9 << 20], b"</XrML>"].concat());
}

fn read_within_bound(bytes: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    if let Ok((license, _)) = text::decode(bytes) {
        let _ = chain::parse(&license);
        let _ = RightsData::parse(&license);
    }
    let _ = RightsData::from_decrypted(bytes);
    let held = MEMORY.peak_usage().saturating_sub(before);
    let bound = 48 * bytes.len() + (1 << 20);
    assert!(
        held <= bound,
        "{} bytes made the parser hold {held}",
        bytes.len()
    );
}

/// Our own hostile files, and the corpus of real ones where there is one.
fn samples() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("OPENRMS_CORPUS")
        .map_or_else(|| root.join("../../../shared/corpus"), PathBuf::from);
    if !corpus.is_dir() {
        eprintln!("skipped: no corpus");
    }
    let folders = [
        root.join("testdata/hostile"),
        corpus.join("spec"),
        corpus.join("licence"),
    ];
    let mut samples = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        samples.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    }
    samples.retain(|bytes| !bytes.is_empty() && bytes.len() < 200_000);
    samples
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
