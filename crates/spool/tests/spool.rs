//! Spools as requests and listeners use them, and as killed processes leave them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

use std::collections::{HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use openrms_spool::{AppendError, Durability, LONGEST_RECORD, Settings, Spool, SpoolError};
use proptest::prelude::*;
use tempfile::TempDir;

#[test]
fn records_come_in_order_and_until_they_are_done() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    for number in 0..100_u8 {
        spool.append(&[number; 10]).unwrap();
    }
    let first = spool.read(30, usize::MAX).unwrap();
    assert_eq!(first.records.len(), 30);
    assert_eq!(spool.read(30, usize::MAX).unwrap(), first);
    spool.done(&first).unwrap();
    drop(spool);

    let spool = open(&folder, SMALL);
    let rest = spool.read(usize::MAX, usize::MAX).unwrap();
    assert_eq!(rest.damaged_bytes, 0);
    let expected: Vec<_> = (30..100_u8).map(|number| vec![number; 10]).collect();
    assert_eq!(rest.records, expected);
    spool.done(&rest).unwrap();
    assert!(spool.read(1, 1).unwrap().records.is_empty());
    spool.append(b"later").unwrap();
    assert_eq!(spool.read(9, 9).unwrap().records, [b"later"]);
}

#[test]
fn a_batch_is_bounded_by_bytes_and_has_one_record_at_least() {
    let folder = folder();
    let spool = open(&folder, Settings::default());
    for _ in 0..5 {
        spool.append(&[7; 1000]).unwrap();
    }
    assert_eq!(spool.read(usize::MAX, 2_500).unwrap().records.len(), 3);
    assert_eq!(spool.read(usize::MAX, 1).unwrap().records.len(), 1);
    assert!(spool.read(0, usize::MAX).unwrap().records.is_empty());
}

#[test]
fn records_that_belong_together_stay_together() {
    let folder = folder();
    let spool = open(&folder, Settings::default());
    spool.append_all(&[b"one", b"two", b"three"]).unwrap();
    assert_eq!(spool.read(9, 99).unwrap().records.len(), 3);
    let long = vec![0; LONGEST_RECORD + 1];
    let refused = spool.append_all(&[b"four", &long]).unwrap_err();
    assert!(matches!(refused, AppendError::TooLong(_)), "{refused}");
    assert_eq!(spool.read(9, 99).unwrap().records.len(), 3);
    spool.append(&long[1..]).unwrap();
    assert_eq!(spool.read(9, 99).unwrap().records.len(), 4);
}

#[test]
fn a_full_spool_refuses_and_takes_again_when_space_was_given_back() {
    let folder = folder();
    let settings = Settings {
        most_bytes: 4_000,
        segment_bytes: 500,
        ..Settings::default()
    };
    let spool = open(&folder, settings);
    let mut taken = 0;
    let refused = loop {
        match spool.append(&[1; 92]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(_)), "{refused}");
    assert!((34..40).contains(&taken), "{taken}");
    assert!(spool.waiting_bytes() <= 4_000);
    let on_disk: u64 = files(&folder)
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert_eq!(spool.waiting_bytes(), on_disk);

    let half = spool.read(taken / 2, usize::MAX).unwrap();
    spool.done(&half).unwrap();
    spool.append(&[2; 92]).unwrap();
    let rest = spool.read(usize::MAX, usize::MAX).unwrap();
    assert_eq!(rest.records.len(), taken - taken / 2 + 1);
    spool.done(&rest).unwrap();
    assert_eq!(files(&folder).len(), 1);
    assert_eq!(
        spool.waiting_bytes(),
        files(&folder)[0].metadata().unwrap().len()
    );
}

#[test]
fn what_a_killed_process_left_half_written_is_passed_over() {
    let whole = {
        let folder = folder();
        let spool = open(&folder, Settings::default());
        spool.append(b"before").unwrap();
        spool.append(b"the last one").unwrap();
        fs::read(&files(&folder)[0]).unwrap()
    };
    for length in 0..whole.len() {
        let folder = folder();
        let file = folder.path().join("00000000000000000001.spool");
        fs::write(&file, &whole[..length]).unwrap();
        let spool = open(&folder, Settings::default());
        spool.append(b"after").unwrap();
        let batch = spool.read(9, 999).unwrap();
        let first = HEADER + 8 + 6;
        let expected: &[&[u8]] = if length < first {
            &[b"after"]
        } else {
            &[b"before", b"after"]
        };
        assert_eq!(batch.records, expected, "{length}");
        let kept = match length {
            0..HEADER => 0,
            _ if length < first => HEADER,
            _ => first,
        };
        assert_eq!(batch.damaged_bytes, (length - kept) as u64, "{length}");
        assert_eq!(batch.lost_records, 0, "{length}");
        spool.done(&batch).unwrap();
        assert_eq!(files(&folder).len(), 1);
    }
}

#[test]
fn damage_costs_the_rest_of_its_file_and_no_other() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    for number in 0..40_u8 {
        spool.append(&[number; 20]).unwrap();
    }
    drop(spool);
    let damaged = files(&folder)[1].clone();
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[HEADER + 28 + 15] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let spool = open(&folder, SMALL);
    let batch = spool.read(usize::MAX, usize::MAX).unwrap();
    let per_file = 40 - batch.records.len() + 1;
    assert_eq!(batch.damaged_bytes, 28 * (per_file as u64 - 1));
    assert_eq!(batch.lost_records, per_file as u64 - 1);
    assert_eq!(batch.records.first().unwrap(), &[0; 20]);
    assert_eq!(batch.records.last().unwrap(), &[39; 20]);
}

#[test]
fn damage_in_the_file_that_grows_does_not_hold_up_what_comes_after() {
    let folder = folder();
    let spool = open(&folder, Settings::default());
    spool.append(b"damaged").unwrap();
    let file = files(&folder).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let batch = spool.read(9, 99).unwrap();
    assert_eq!((batch.records.len(), batch.damaged_bytes), (0, 8 + 7));
    assert_eq!(batch.lost_records, 1);
    spool.done(&batch).unwrap();
    assert_eq!(spool.read(9, 99).unwrap().lost_records, 0);
    spool.append(b"after").unwrap();
    assert_eq!(spool.read(9, 99).unwrap().records, [b"after"]);
}

#[test]
fn space_that_a_killed_process_did_not_give_back_is_given_back_by_the_next() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    for number in 0..40_u8 {
        spool.append(&[number; 20]).unwrap();
    }
    let first = files(&folder)[0].clone();
    let kept = fs::read(&first).unwrap();
    let batch = spool.read(usize::MAX, usize::MAX).unwrap();
    spool.done(&batch).unwrap();
    drop(spool);
    // It was killed between moving on and removing what is done.
    fs::write(&first, kept).unwrap();
    let spool = open(&folder, SMALL);
    assert!(!first.exists());
    assert!(spool.read(9, 99).unwrap().records.is_empty());
}

#[test]
fn a_spool_is_opened_once_and_holds_nothing_of_others() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    let second = Spool::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(second, SpoolError::InUse(_)), "{second}");
    drop(spool);
    let foreign = folder.path().join("00000000000000000009.spool");
    fs::write(&foreign, "something else altogether").unwrap();
    let error = Spool::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(error, SpoolError::Foreign(_)), "{error}");
    fs::remove_file(foreign).unwrap();
    fs::write(folder.path().join("cursor"), "1").unwrap();
    let error = Spool::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(error, SpoolError::Foreign(_)), "{error}");
}

#[test]
fn only_its_owner_can_read_a_spool() {
    use std::os::unix::fs::PermissionsExt as _;
    let above = folder();
    let path = above.path().join("spool");
    let spool = Spool::open(&path, SMALL).unwrap();
    spool.append(b"who opened what").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("00000000000000000001.spool")), 0o600);
}

#[test]
fn many_threads_append_while_one_drains() {
    for durability in [Durability::Process, Durability::Power] {
        let folder = folder();
        let settings = Settings {
            segment_bytes: 2_000,
            durability,
            ..Settings::default()
        };
        let spool = open(&folder, settings);
        let each = 200_u32;
        let mut drained = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let spool = &spool;
                scope.spawn(move || {
                    for number in 0..each {
                        let record = [thread.to_le_bytes(), number.to_le_bytes()].concat();
                        spool.append(&record).unwrap();
                    }
                });
            }
            while drained.len() < 4 * each as usize {
                let batch = spool.read(50, usize::MAX).unwrap();
                assert_eq!((batch.damaged_bytes, batch.lost_records), (0, 0));
                spool.done(&batch).unwrap();
                drained.extend(batch.records);
            }
        });
        assert_eq!(drained.iter().collect::<HashSet<_>>().len(), drained.len());
        // Each thread's own records are in their order.
        for thread in 0..4_u32 {
            let own = drained.iter().filter(|r| r[..4] == thread.to_le_bytes());
            assert!(own.is_sorted_by_key(|r| u32::from_le_bytes(r[4..].try_into().unwrap())));
        }
    }
}

#[test]
fn space_of_the_file_that_grows_is_given_back_when_all_of_it_is_done() {
    let folder = folder();
    let spool = open(&folder, Settings::default());
    spool.turn_over().unwrap();
    spool.append(&[1; 5_000]).unwrap();
    spool.append(&[2; 5_000]).unwrap();
    let first = spool.read(1, usize::MAX).unwrap();
    spool.done(&first).unwrap();
    spool.turn_over().unwrap();
    assert!(spool.waiting_bytes() > 10_000, "one record is not done");
    let second = spool.read(9, usize::MAX).unwrap();
    assert_eq!(second.records, [[2; 5_000]]);
    spool.done(&second).unwrap();
    spool.turn_over().unwrap();
    assert_eq!((spool.waiting_bytes(), files(&folder).len()), (20, 1));
    spool.append(b"after").unwrap();
    drop(spool);
    let spool = open(&folder, Settings::default());
    assert_eq!(spool.read(9, 99).unwrap().records, [b"after"]);
}

#[test]
fn openings_without_a_record_leave_nothing_behind() {
    let folder = folder();
    for _ in 0..5 {
        drop(open(&folder, SMALL));
    }
    assert_eq!(files(&folder).len(), 1);
}

#[test]
fn a_batch_says_whether_something_waits_behind_it() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    assert!(spool.read(9, 999).unwrap().is_last);
    for number in 0..40_u8 {
        spool.append(&[number; 20]).unwrap();
    }
    assert!(!spool.read(9, usize::MAX).unwrap().is_last);
    assert!(!spool.read(usize::MAX, 100).unwrap().is_last);
    assert!(spool.read(usize::MAX, usize::MAX).unwrap().is_last);
}

#[test]
fn records_that_somebody_removes_are_missed_once() {
    // The first, one in between, and the one that grows.
    for removed in 0..3 {
        for is_stopped in [false, true] {
            let folder = folder();
            let mut spool = open(&folder, SMALL);
            for number in 0..25_u8 {
                spool.append(&[number; 20]).unwrap();
            }
            let before = files(&folder);
            assert_eq!(before.len(), 3);
            let kept = removed == 2 && is_stopped;
            fs::remove_file(&before[removed]).unwrap();
            if is_stopped {
                drop(spool);
                spool = open(&folder, SMALL);
            }
            spool.append(b"after").unwrap();
            let all = spool.read(usize::MAX, usize::MAX).unwrap();
            assert_eq!(all.records.last().unwrap(), b"after");
            let lost = 26 - all.records.len() as u64;
            assert!(lost >= 5, "{lost}");
            // Nothing tells of what was behind the last file of a spool that nobody had open.
            let told = if kept { 0 } else { lost };
            assert_eq!((all.lost_records, all.damaged_bytes), (told, 0));
            // However it is read.
            let mut missed = 0;
            loop {
                let batch = spool.read(3, usize::MAX).unwrap();
                missed += batch.lost_records;
                spool.done(&batch).unwrap();
                if batch.is_last {
                    break;
                }
            }
            assert_eq!(missed, told);
            assert_eq!(spool.read(9, 99).unwrap().lost_records, 0);
            let on_disk = files(&folder)[0].metadata().unwrap().len();
            assert_eq!((spool.waiting_bytes(), files(&folder).len()), (on_disk, 1));
            drop(spool);
            let spool = open(&folder, SMALL);
            assert_eq!(spool.read(9, 99).unwrap().lost_records, 0);
        }
    }
}

#[test]
fn what_follows_on_a_file_that_was_cut_or_removed_is_kept() {
    type Harm = fn(&Path);
    let cut: Harm = |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(30).unwrap();
    };
    for harm in [cut, |path| fs::remove_file(path).unwrap()] {
        let folder = folder();
        let spool = open(&folder, Settings::default());
        spool.append(&[1; 100]).unwrap();
        spool.append(&[2; 100]).unwrap();
        harm(files(&folder).last().unwrap());
        // Missed at once, also when nothing follows.
        assert_eq!(spool.read(9, 999).unwrap().lost_records, 2);
        spool.append(b"after").unwrap();
        let batch = spool.read(9, 999).unwrap();
        assert_eq!((batch.records.len(), batch.lost_records), (1, 2));
        assert_eq!(batch.records, [b"after"]);
    }
}

#[test]
fn a_spool_without_its_cursor_is_read_from_what_is_there() {
    let folder = folder();
    let spool = open(&folder, SMALL);
    for number in 0..40_u8 {
        spool.append(&[number; 20]).unwrap();
    }
    let batch = spool.read(20, usize::MAX).unwrap();
    spool.done(&batch).unwrap();
    drop(spool);
    fs::remove_file(folder.path().join("cursor")).unwrap();
    let spool = open(&folder, SMALL);
    let batch = spool.read(usize::MAX, usize::MAX).unwrap();
    assert_eq!(batch.records.last().unwrap(), &[39; 20]);
    assert!((20..31).contains(&batch.records.len()));
    assert_eq!((batch.lost_records, batch.damaged_bytes), (0, 0));
}

/// Runs itself once more, with a disk of its own.
#[test]
fn a_full_disk_loses_nothing_and_takes_again_when_there_is_space() {
    let name = "a_full_disk_loses_nothing_and_takes_again_when_there_is_space";
    if let Some(disk) = std::env::var_os("OPENRMS_TEST_TINY_DISK") {
        fill_a_disk(Path::new(&disk));
        return;
    }
    let folder = folder();
    let done = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k tmpfs \"$1\" || exit 77; shift; exec \"$@\"")
        .arg("sh")
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("OPENRMS_TEST_TINY_DISK", folder.path())
        .output();
    match done {
        Ok(done) if done.status.success() => {
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(said.contains("filled"), "{said}");
        }
        Ok(done) if done.status.code() != Some(77) && !done.stdout.is_empty() => {
            panic!("{}", String::from_utf8_lossy(&done.stderr))
        }
        _ => println!("skipped: no disk can be made here (unshare, mount)"),
    }
}

fn fill_a_disk(disk: &Path) {
    let path = disk.join("spool");
    // One file would take more than the disk has; several leave space that is given back one by
    // one.
    for segment_bytes in [1 << 20, 10_000] {
        let settings = Settings {
            segment_bytes,
            ..Settings::default()
        };
        let mut spool = Spool::open(&path, settings).unwrap();
        let mut next = 0_u32;
        let mut expected = VecDeque::new();
        for round in 0..6 {
            let ballast = disk.join("ballast");
            fs::write(&ballast, vec![0; 4096 * round]).unwrap();
            let mut refused = 0;
            while refused < 3 {
                let mut record = next.to_le_bytes().to_vec();
                record.resize(100 + next as usize % 300, 7);
                match spool.append(&record) {
                    Ok(()) => {
                        expected.push_back(record);
                        next += 1;
                    }
                    Err(AppendError::Spool(SpoolError::File { error, .. })) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                        refused += 1;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            if round == 4 {
                // The next process finds it full.
                drop(spool);
                assert!(Spool::open(&path, settings).is_err());
                fs::remove_file(&ballast).unwrap();
                spool = Spool::open(&path, settings).unwrap();
            }
            while !expected.is_empty() {
                let batch = spool.read(20, usize::MAX).unwrap();
                assert_eq!((batch.damaged_bytes, batch.lost_records), (0, 0));
                let first: Vec<_> = expected.drain(..batch.records.len()).collect();
                assert_eq!(batch.records, first);
                // There may be no space for the cursor.
                let _ = spool.done(&batch);
            }
            spool.turn_over().unwrap();
            assert!(spool.waiting_bytes() < 100, "{}", spool.waiting_bytes());
        }
        println!("filled with {next} records");
        drop(spool);
        let spool = Spool::open(&path, settings).unwrap();
        assert!(spool.read(9, 9).unwrap().records.is_empty());
    }
}

/// What may happen to a spool.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Drain(usize),
    /// Killed, with so many bytes of another record written.
    Killed(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = proptest::collection::vec(any::<u8>(), 0..200);
    let step = prop_oneof![
        4 => record.prop_map(Step::Append),
        2 => (1..6_usize).prop_map(Step::Drain),
        1 => (0..12_usize).prop_map(Step::Killed),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(steps in steps()) {
        let folder = folder();
        let mut spool = open(&folder, SMALL);
        let mut expected = VecDeque::new();
        for step in steps {
            match step {
                Step::Append(record) => {
                    spool.append(&record).unwrap();
                    expected.push_back(record);
                }
                Step::Drain(most) => {
                    let batch = spool.read(most, usize::MAX).unwrap();
                    let count = batch.records.len();
                    prop_assert_eq!(count, most.min(expected.len()));
                    let first: Vec<_> = expected.drain(..count).collect();
                    prop_assert_eq!(&batch.records, &first);
                    prop_assert_eq!(batch.lost_records, 0);
                    spool.done(&batch).unwrap();
                }
                Step::Killed(bytes) => {
                    drop(spool);
                    let last = files(&folder).pop().unwrap();
                    let mut file = OpenOptions::new().append(true).open(last).unwrap();
                    file.write_all(&vec![0x21; bytes]).unwrap();
                    spool = open(&folder, SMALL);
                }
            }
        }
        let rest = spool.read(usize::MAX, usize::MAX).unwrap();
        prop_assert_eq!(rest.records, Vec::from(expected));
        prop_assert_eq!(rest.lost_records, 0);
    }
}

fn open(folder: &TempDir, settings: Settings) -> Spool {
    Spool::open(folder.path(), settings).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "spool"))
        .collect();
    files.sort();
    files
}

const SMALL: Settings = Settings {
    most_bytes: 1 << 20,
    segment_bytes: 300,
    durability: Durability::Process,
};
/// Bytes of a file before its first record.
const HEADER: usize = 20;
