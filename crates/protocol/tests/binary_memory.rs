//! No message of the binary form, however damaged, makes the reader hold more memory than its
//! length allows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use openrms_protocol::Limits;
use openrms_protocol::binary_group_expansion::{parse_request, parse_response};
use peak_alloc::PeakAlloc;

/// Types of records, and lengths.
const NUMBERS: &[u8] = &[0, 1, 6, 9, 13, 14, 16, 127, 128, 255];

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn ten_thousand_damaged_messages_are_read_in_bounded_memory() {
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/binary-group-expansion"
    );
    let mut samples: Vec<Vec<u8>> = [root.to_owned(), format!("{root}/hostile")]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    samples.sort();
    let mut random = Random(0x0050_A9ED);
    for round in 0..10_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().max(1)).min(bytes.len());
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = NUMBERS[random.below(NUMBERS.len())],
                1 => bytes.truncate(at),
                2 => {
                    let end = (at + random.below(100)).min(bytes.len());
                    let piece = bytes[at..end].repeat(1 + random.below(30));
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
    // Many objects in few bytes: empty arrays, texts, and arrays that say they are huge.
    for tail in [
        numbered(|id| [&[0x10][..], &id, &0_i32.to_le_bytes()].concat()),
        numbered(|id| [&[0x06][..], &id, &[0]].concat()),
        numbered(|id| {
            let huge = i32::MAX.to_le_bytes();
            [&[0x10][..], &id, &huge, &[0x0e], &huge].concat()
        }),
    ] {
        let whole = std::fs::read(format!("{root}/request.bin")).unwrap();
        let open = whole.strip_suffix(&[0x0b]).unwrap();
        let bytes = [open, &tail, &[0x0b]].concat();
        assert!(parse_request(&bytes, &Limits::server()).is_ok());
        read_within_bound(&bytes);
    }
}

/// Fifteen thousand objects with identifiers of their own.
fn numbered(object: impl Fn([u8; 4]) -> Vec<u8>) -> Vec<u8> {
    (100_i32..15_100)
        .flat_map(|id| object(id.to_le_bytes()))
        .collect()
}

fn read_within_bound(bytes: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let _ = parse_request(bytes, &Limits::server());
    let _ = parse_response(bytes, &Limits::client());
    let held = MEMORY.peak_usage().saturating_sub(before);
    let bound = 48 * bytes.len() + (1 << 16);
    assert!(
        held <= bound,
        "{} bytes made the reader hold {held}",
        bytes.len()
    );
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
