//! A backup with a log of any size takes memory for a piece of it.

#![allow(clippy::unwrap_used, reason = "tests end where they fail")]

use std::fs::File;
use std::io::{BufWriter, Write as _};

use openrms_server::Config;
use openrms_server::backup::{BackupOptions, RestoreOptions, backup, restore};
use openrms_server::provision::{RootOptions, provision_root};
use openrms_xrml::Time;
use peak_alloc::PeakAlloc;
use zeroize::Zeroizing;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

#[test]
fn a_large_log_goes_through_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    provision_root(&RootOptions::new(&data, "http://127.0.0.1:8080")).unwrap();
    let mut log = BufWriter::new(File::create(data.join("audit.jsonl")).unwrap());
    let line = format!("{{\"outcome\":\"{}\"}}\n", "o".repeat(1000));
    for _ in 0..150_000 {
        log.write_all(line.as_bytes()).unwrap();
    }
    log.into_inner().unwrap().sync_all().unwrap();
    let mut config = Config::for_data_dir(&data).unwrap();
    config.audit = Some(data.join("audit.jsonl"));
    let options = BackupOptions {
        output: folder.path().join("cluster.backup"),
        password: Zeroizing::new(b"Tr1cky-horse-b".to_vec()),
        configuration: None,
        with_logs: true,
        without_key: false,
        force: false,
    };
    let now = Time::from_unix(1_900_000_000);
    PEAK.reset_peak_usage();
    let made = backup(&config, &options, now).unwrap();
    let making = PEAK.peak_usage_as_mb();
    assert!(made.bytes > 150_000_000);
    PEAK.reset_peak_usage();
    restore(
        &RestoreOptions {
            archive: options.output.clone(),
            password: options.password.clone(),
            data: folder.path().join("restored"),
            database: None,
            key_file: false,
        },
        now,
    )
    .unwrap();
    let restoring = PEAK.peak_usage_as_mb();
    let restored = folder.path().join("restored/audit.jsonl");
    let length = |path: &std::path::Path| path.metadata().unwrap().len();
    assert_eq!(length(&restored), length(&data.join("audit.jsonl")));
    // 64 MiB of it are what deriving a key from a password takes.
    println!("{making} MB to make, {restoring} MB to restore");
    assert!(making < 90.0 && restoring < 90.0);
}
