//! A backup with a log of any size takes memory for a piece of it.

#![allow(clippy::unwrap_used, reason = "tests end where they fail")]

use std::fs::File;
use std::io::{BufWriter, Write as _};

use openrms_server::Config;
use openrms_server::backup::{BackupOptions, RestoreOptions, backup, restore};
use openrms_server::provision::{RootOptions, provision_root};
use openrms_store::Uuid;
use openrms_store::logging::{LogEvent, LoggingDatabase as _, SqliteLogging};
use openrms_xrml::Time;
use peak_alloc::PeakAlloc;
use zeroize::Zeroizing;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// As many events as there are lines in the audit file, of two days.
async fn fill_log(path: &std::path::Path) {
    let database = SqliteLogging::open_or_create(path).await.unwrap();
    for batch in 0..75 {
        let event = |number: u32| LogEvent {
            id: Uuid::from_u128(u128::from(batch * 2000 + number) + 1),
            time: 1_790_000_000_000 + i64::from(batch) * 1_000_000,
            host: "rms1".into(),
            request: format!("abc-{number:x}").into(),
            item: None,
            path: "/_wmcs/licensing/license.asmx".into(),
            operation: Some("AcquireLicense".into()),
            peer: Some("10.1.2.3:4567".into()),
            user_agent: Some("o".repeat(128).into()),
            authenticated: true,
            secure: true,
            user: Some("CORP\\bob".into()),
            metadata: None,
            outcome: "NoRights".into(),
            reason: Some("o".repeat(512).into()),
            account: Some("bob@example.test".into()),
            content: Some("content".into()),
            issued: None,
            ground: None,
            micros: 1,
            received_xrml: vec![[1; 32]; 8],
            issued_xrml: Vec::new(),
        };
        let events: Vec<_> = (0..2000).map(event).collect();
        database.store(&events, &[]).await.unwrap();
    }
    database.close().await;
}

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(fill_log(&data.join("logging.db")));
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
    let restored = restore(
        &RestoreOptions {
            archive: options.output.clone(),
            password: options.password.clone(),
            data: folder.path().join("restored"),
            database: None,
            key_file: false,
            without_log: false,
        },
        now,
    )
    .unwrap();
    assert_eq!(restored.log.unwrap().events, 150_000);
    let restoring = PEAK.peak_usage_as_mb();
    let restored = folder.path().join("restored/audit.jsonl");
    let length = |path: &std::path::Path| path.metadata().unwrap().len();
    assert_eq!(length(&restored), length(&data.join("audit.jsonl")));
    // 64 MiB of it are what deriving a key from a password takes.
    println!("{making} MB to make, {restoring} MB to restore");
    assert!(making < 90.0 && restoring < 90.0);
}
