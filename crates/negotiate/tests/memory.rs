//! No description of an account, however damaged, makes the reader hold more memory than a few
//! times its length. One test, so that nothing else is measured.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LogonInfo, Sid};
use openrms_negotiate::Logon;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn ten_thousand_damaged_descriptions_are_read_in_bounded_memory() {
    let mut large = LogonInfo::sample();
    large.groups = (1..=1_024).map(|id| (u32::MAX - id, 7)).collect();
    large.resource = large.groups.clone();
    large.extra = (0..700)
        .map(|id| (Sid::nt(&[u32::MAX, id, 3, 4, 5]), 7))
        .collect();
    let samples = [
        LogonInfo::sample().encode().bytes,
        large.encode().bytes,
        include_bytes!("vectors/samba-alice.bin").to_vec(),
    ];
    assert!(samples[1].len() < 65_536);
    for sample in &samples {
        assert!(read_within_bound(sample));
    }
    let mut random = Random(0x00AC_5EED);
    for round in 0..10_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..=random.below(4) {
            // Most counts and pointers stand in the first part.
            let at = random.below(bytes.len().min(600) / 4) * 4;
            let number = match random.below(4) {
                0 => u32::MAX,
                1 => 1_024,
                2 => 0,
                _ => u32::try_from(random.below(70_000)).unwrap(),
            };
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        read_within_bound(&bytes);
    }
}

/// Whether the bytes could be read. Each SID is held as text twice, of at most 184 characters.
fn read_within_bound(bytes: &[u8]) -> bool {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let outcome = Logon::read(bytes);
    let held = MEMORY.peak_usage() - before;
    assert!(
        held <= 16_384 + 24 * bytes.len(),
        "{held} for {}",
        bytes.len()
    );
    outcome.is_ok()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}
