//! No SOAP body, however damaged, makes the parser hold more memory than its length allows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use openrms_protocol::{
    Contract, HttpHead, Limits, OperationName, SoapVersion, VersionData, encode_request,
    parse_request, parse_response,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn ten_thousand_damaged_bodies_are_read_in_bounded_memory() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/hostile");
    let mut samples: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .filter(|bytes| !bytes.is_empty())
        .collect();
    samples.sort();
    let batch = common::batch().into();
    let versions = Some(VersionData::CLIENT_BATCH);
    let whole = encode_request(SoapVersion::V11, Contract::Licensing, versions, &batch);
    samples.push(whole.into_bytes());
    let mut random = Random(0x0050_A9ED);
    for round in 0..10_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().max(1)).min(bytes.len());
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = b"<>/\"'&; a:"[random.below(10)],
                1 => bytes.truncate(at),
                2 => {
                    let end = (at + random.below(300)).min(bytes.len());
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
    let envelope = |inside: &[u8]| {
        [
            &b"<E xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>"[..],
            inside,
            b"</Body></E>",
        ]
        .concat()
    };
    read_within_bound(&envelope(&b"<a/>".repeat(500_000)));
    read_within_bound(&envelope(&b"<a b='c'/>".repeat(200_000)));
    read_within_bound(&b"<a xmlns:b='c'>".repeat(100_000));
    read_within_bound(&vec![b'<'; 20 << 20]);
}

fn read_within_bound(bytes: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let _ = parse_request(HttpHead::default(), bytes, &Limits::server());
    let _ = parse_response(OperationName::AcquireLicense, bytes, &Limits::client());
    let held = MEMORY.peak_usage().saturating_sub(before);
    let bound = 48 * bytes.len() + (1 << 20);
    assert!(
        held <= bound,
        "{} bytes made the parser hold {held}",
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
