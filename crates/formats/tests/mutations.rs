//! Broken samples, in bulk: cut at every length, every number at its extremes, and at random.
//! Nothing may panic, and nothing may take memory out of proportion to the file.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Numbers, compound, corpus, pfile};
use openrms_formats::compound::Family;
use openrms_formats::dataspaces::{DataSpaceDefinition, DataSpaceMap, Transform, VersionInfo};
use openrms_formats::fuzzing;
use openrms_formats::pfile::WriterVersion;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

type Parser = fn(&[u8]);

/// Small samples of our own writers, each with its parser.
fn samples() -> Vec<(&'static str, Vec<u8>, Parser)> {
    let map = DataSpaceMap::single("EncryptedPackage", "DRMEncryptedDataSpace");
    let content = [&20_u64.to_le_bytes()[..], &[7; 32]].concat();
    vec![
        ("pfile 2.0", pfile(WriterVersion::V2_0), fuzzing::pfile),
        ("pfile 2.1", pfile(WriterVersion::V2_1), fuzzing::pfile),
        ("pfile 3.0", pfile(WriterVersion::V3_0), fuzzing::pfile),
        (
            "version",
            VersionInfo::default().to_bytes(),
            fuzzing::version,
        ),
        ("map", map.to_bytes(), fuzzing::map),
        (
            "definition",
            DataSpaceDefinition::single("\tDRMTransform").to_bytes(),
            fuzzing::definition,
        ),
        (
            "transform",
            Transform::drm(common::LICENSE).to_bytes(),
            fuzzing::transform,
        ),
        ("content", content, fuzzing::content),
        (
            "compound",
            compound(Family::OfficeBinary),
            fuzzing::compound,
        ),
    ]
}

/// The tests of this file share one measure of memory, so they take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a parser, and detection, and asserts how much memory they held at most.
fn run(what: &str, parser: Parser, bytes: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    parser(bytes);
    fuzzing::any(bytes);
    let held = MEMORY.peak_usage().saturating_sub(before);
    let bound = 8 * bytes.len() + (1 << 20);
    assert!(
        held <= bound,
        "{what} of {} bytes held {held} bytes",
        bytes.len()
    );
}

#[test]
fn a_sample_cut_at_any_length_is_survived() {
    let _turn = turn();
    for (what, sample, parser) in samples() {
        for end in 0..=sample.len() {
            run(what, parser, &sample[..end]);
        }
    }
}

#[test]
fn any_number_at_its_extremes_is_survived() {
    let _turn = turn();
    for (what, sample, parser) in samples() {
        let length = u32::try_from(sample.len()).unwrap();
        for at in 0..sample.len().saturating_sub(3) {
            for value in [0, 1, length - 1, length, 1 << 31, u32::MAX] {
                let mut broken = sample.clone();
                broken[at..at + 4].copy_from_slice(&value.to_le_bytes());
                run(what, parser, &broken);
            }
        }
    }
}

/// Changes bytes, numbers and lengths of a sample, a few at a time.
fn mutate(sample: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let small = u32::try_from(numbers.below(bytes.len() + 8)).unwrap_or(u32::MAX);
                for (to, from) in bytes.iter_mut().skip(at).zip(small.to_le_bytes()) {
                    *to = from;
                }
            }
            2 => {
                let count = numbers.below(32);
                let inserted: Vec<u8> = (0..count)
                    .map(|_| numbers.next().to_le_bytes()[0])
                    .collect();
                bytes.splice(at..at, inserted);
            }
            3 => {
                let end = (at + numbers.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = numbers.next().to_le_bytes()[0];
                }
            }
        }
    }
    bytes
}

#[test]
fn ten_thousand_random_mutations_of_each_sample_are_survived() {
    let _turn = turn();
    let mut numbers = Numbers(1);
    for (what, sample, parser) in samples() {
        for _ in 0..10_000 {
            run(what, parser, &mutate(&sample, &mut numbers));
        }
    }
}

#[test]
fn random_mutations_of_microsofts_files_are_survived() {
    let _turn = turn();
    let Some(corpus) = corpus() else { return };
    let mut numbers = Numbers(2);
    let files: [(&str, Parser); 6] = [
        ("pfile/CleanAlice.txt.pfile", fuzzing::pfile),
        ("pfile/android_template_01.ptxt", fuzzing::pfile),
        (
            "ole-ooxml-parts/DRMEncryptedTransform.Primary.bin",
            fuzzing::transform,
        ),
        ("ole-ooxml-parts/DataSpaceMap.bin", fuzzing::map),
        (
            "ole-ooxml-parts/DRMEncryptedDataSpace.bin",
            fuzzing::definition,
        ),
        ("ole-ooxml-parts/Version.bin", fuzzing::version),
    ];
    for (name, parser) in files {
        let sample = std::fs::read(corpus.join(name)).unwrap();
        // Most of a large file is license and ciphertext; what is parsed stands in front.
        let front = sample.len().min(700);
        for _ in 0..10_000 {
            let mut broken = mutate(&sample[..front], &mut numbers);
            broken.extend_from_slice(&sample[front..]);
            run(name, parser, &broken);
        }
    }
}

const END_OF_CHAIN: u32 = 0xFFFF_FFFE;

/// 2 MB of DIFAT whose every entry names the same FAT sector would make a 250 MB table.
#[test]
fn a_fat_listed_over_and_over_takes_no_memory() {
    let _turn = turn();
    let mut file = compound(Family::OfficeXml);
    let fat: [u8; 4] = file[0x4C..0x50].try_into().unwrap();
    let first = u32::try_from(file.len() / 512 - 1).unwrap();
    for number in 1..=4000 {
        file.extend(fat.repeat(127));
        let next = if number == 4000 {
            END_OF_CHAIN
        } else {
            first + number
        };
        file.extend(next.to_le_bytes());
    }
    file[0x44..0x48].copy_from_slice(&first.to_le_bytes());
    // The header's own list must be full, or the library stops at its first gap.
    // It takes zeros for fill, too, unless there are no more entries than the header states.
    file[0x2C..0x30].copy_from_slice(&u32::MAX.to_le_bytes());
    file[0x4C..0x200].copy_from_slice(&fat.repeat(109));
    run("DIFAT", fuzzing::compound, &file);
}
