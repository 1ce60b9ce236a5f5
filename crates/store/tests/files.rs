//! The SQLite file: made whole, refused when it is not ours, kept through a crash.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrms_store::{
    Change, ClusterServer, Location, SealedBytes, Sqlite, Store, StoreError, StoredKey, Upgrade,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

fn folder_and_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.db");
    (folder, file)
}

fn key(sealed: &str) -> StoredKey {
    StoredKey {
        sealed: SealedBytes::new(sealed.as_bytes().to_vec()),
        public_modulus: vec![7; 256],
        sealed_by: String::new(),
        created: 0,
    }
}

/// Changes the file as another program would.
async fn tamper(path: &Path, statement: &'static str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn opening_again_and_again_changes_nothing() {
    let (_folder, path) = folder_and_file();
    let store = Sqlite::open_or_create(&path).await.unwrap();
    store.insert_user_key("alice", key("a")).await.unwrap();
    let version = store.configuration_version().await.unwrap();
    store.close().await;
    for _ in 0..2 {
        let store = Sqlite::open_or_create(&path).await.unwrap();
        assert_eq!(store.user_key("alice").await.unwrap(), Some(key("a")));
        assert_eq!(store.configuration_version().await.unwrap(), version);
        store.check().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn two_stores_on_one_file_see_each_other() {
    let (_folder, path) = folder_and_file();
    let one = Sqlite::create(&path).await.unwrap();
    let two = Sqlite::open(&path).await.unwrap();
    let policies = openrms_store::Policies {
        name: "x".to_owned(),
        ..Default::default()
    };
    let version = one
        .apply(&[Change::SetPolicies(Box::new(policies))], None)
        .await
        .unwrap();
    assert_eq!(two.configuration_version().await.unwrap(), version);
    assert_eq!(two.snapshot().await.unwrap().policies.name, "x");
}

#[tokio::test]
async fn a_missing_database_is_not_made_by_opening_it() {
    let (_folder, path) = folder_and_file();
    assert!(matches!(
        Sqlite::open(&path).await,
        Err(StoreError::Missing { .. })
    ));
    assert!(!path.exists());
}

#[tokio::test]
async fn an_existing_database_is_not_made_again() {
    let (folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    store.insert_user_key("alice", key("a")).await.unwrap();
    assert!(matches!(
        Sqlite::create(&path).await,
        Err(StoreError::AlreadyExists { .. })
    ));
    assert_eq!(store.user_key("alice").await.unwrap(), Some(key("a")));
    store.close().await;
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    store.insert_user_key("alice", key("a")).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.path().display());
    }
}

#[tokio::test]
async fn what_is_not_our_database_is_refused_and_left_as_it_is() {
    let (folder, path) = folder_and_file();
    let foreign = folder.path().join("foreign.db");
    std::fs::write(&foreign, b"").unwrap();
    tamper(&foreign, "CREATE TABLE t (a INTEGER)").await;
    let foreign = std::fs::read(foreign).unwrap();
    let garbage = vec![0x5A_u8; 8192];
    let mut cut = foreign.clone();
    cut.truncate(50);
    for contents in [Vec::new(), garbage, cut, foreign] {
        std::fs::write(&path, &contents).unwrap();
        for opened in [
            Sqlite::open(&path).await,
            Sqlite::open_or_create(&path).await,
        ] {
            assert!(matches!(opened, Err(StoreError::Corrupt { .. })));
        }
        assert_eq!(std::fs::read(&path).unwrap(), contents);
    }
}

#[tokio::test]
async fn damage_inside_the_file_is_named_and_not_repaired() {
    let (_folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    for number in 0..200 {
        store
            .insert_user_key(&format!("user-{number}"), key("sealed"))
            .await
            .unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Every page but the first, which holds the schema's list.
    bytes[4096..].fill(0xFF);
    std::fs::write(&path, &bytes).unwrap();
    let damaged = match Sqlite::open(&path).await {
        Err(error) => error,
        Ok(store) => store.user_key("user-7").await.unwrap_err(),
    };
    assert!(matches!(damaged, StoreError::Corrupt { .. }), "{damaged:?}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_log_without_its_database_is_not_played_into_a_new_one() {
    let (folder, path) = folder_and_file();
    std::fs::write(folder.path().join("cluster.db-wal"), b"old").unwrap();
    let refused = Sqlite::open_or_create(&path).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_by_name() {
    let (_folder, path) = folder_and_file();
    Sqlite::create(&path).await.unwrap().close().await;
    let statement = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (99, 'future', 1, x'00', 0)";
    tamper(&path, statement).await;
    let refused = Sqlite::open(&path).await;
    assert!(matches!(
        refused,
        Err(StoreError::SchemaTooNew {
            found: 99,
            supported: openrms_store::SCHEMA
        })
    ));
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_served_when_it_says_that_it_may_be() {
    let (_folder, path) = folder_and_file();
    Sqlite::create(&path).await.unwrap().close().await;
    tamper(
        &path,
        "ALTER TABLE cluster_server ADD COLUMN added TEXT;
         CREATE TABLE added (name TEXT NOT NULL PRIMARY KEY) STRICT;
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'future for schema 3', 1, x'00', 0)",
    )
    .await;
    let store = Sqlite::open(&path).await.unwrap();
    let server = ClusterServer {
        name: "one".into(),
        joined: 1,
        last_seen: 1,
        version: "0.1.0".into(),
        address: String::new(),
        service_level: None,
        upgrade: None,
    };
    store.register_server(&server).await.unwrap();
    assert_eq!(store.servers().await.unwrap(), [server]);
    store.insert_user_key("alice", key("a")).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_database_that_is_only_looked_at_stays_as_it_is() {
    let (folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    store.register_server(&server_of_schema_3()).await.unwrap();
    store.close().await;
    for older in [false, true] {
        if older {
            back_to_schema_3(&path).await;
        }
        let before = contents(folder.path());
        let location = Location::Sqlite(path.clone());
        let read = location.open_to_read().await.unwrap();
        let missing: Vec<_> = read.schema.missing.iter().map(|s| s.number).collect();
        assert_eq!(missing, if older { vec![4] } else { vec![] });
        let servers = read.store.servers().await.unwrap();
        assert_eq!(servers, [server_of_schema_3()]);
        read.store.snapshot().await.unwrap();
        let written = read.store.register_server(&server_of_schema_3()).await;
        assert!(written.is_err());
        read.store.close().await;
        assert!(contents(folder.path()) == before, "older: {older}");
    }
    // While somebody writes.
    let store = Sqlite::open(&path).await.unwrap();
    store.insert_user_key("alice", key("a")).await.unwrap();
    let read = Location::Sqlite(path.clone()).open_to_read().await.unwrap();
    assert!(read.store.user_key("alice").await.unwrap().is_some());
    store.insert_user_key("bob", key("b")).await.unwrap();
    assert!(read.store.user_key("bob").await.unwrap().is_some());
    read.store.close().await;
    store.insert_user_key("carol", key("c")).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn s49_an_older_release_ignores_the_added_fields() {
    let (_folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    let server = server_of_schema_3();
    store.register_server(&server).await.unwrap();
    let upgrade = Upgrade {
        from: "0.1.0".into(),
        to: "0.2.0".into(),
        at: 2,
    };
    let recorded = store.record_upgrade("one", Some("2.0"), Some(&upgrade));
    assert!(recorded.await.unwrap());
    // What release 0.1.0 says when a server of it is there.
    tamper(
        &path,
        "INSERT INTO cluster_server (name, joined, last_seen, version, address)
         VALUES ('one', 9, 9, '0.1.0', 'there'), ('two', 9, 9, '0.1.0', '')
         ON CONFLICT (name) DO UPDATE SET last_seen = excluded.last_seen,
           version = excluded.version, address = excluded.address",
    )
    .await;
    let one = ClusterServer {
        last_seen: 9,
        address: "there".into(),
        service_level: Some("2.0".into()),
        upgrade: Some(upgrade),
        ..server.clone()
    };
    let two = ClusterServer {
        name: "two".into(),
        joined: 9,
        last_seen: 9,
        ..server
    };
    assert_eq!(store.servers().await.unwrap(), [one, two]);
    store.close().await;
}

fn server_of_schema_3() -> ClusterServer {
    ClusterServer {
        name: "one".into(),
        joined: 1,
        last_seen: 1,
        version: "0.1.0".into(),
        address: String::new(),
        service_level: None,
        upgrade: None,
    }
}

/// As a release left it that knew three steps.
async fn back_to_schema_3(path: &Path) {
    tamper(
        path,
        "ALTER TABLE cluster_server DROP COLUMN service_level;
         ALTER TABLE cluster_server DROP COLUMN upgraded_from;
         ALTER TABLE cluster_server DROP COLUMN upgraded_to;
         ALTER TABLE cluster_server DROP COLUMN upgraded_at;
         DELETE FROM _sqlx_migrations WHERE version = 4",
    )
    .await;
}

/// What is in a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn values_nobody_wrote_are_named_as_damage() {
    for (statement, named) in [
        (
            "INSERT INTO policy VALUES ('rac_validity', '\"long\"')",
            "policy rac_validity",
        ),
        (
            "INSERT INTO policy VALUES ('rac_validity', '{')",
            "policy rac_validity",
        ),
        (
            "INSERT INTO template VALUES ('x', '', 'published', 0)",
            "guid x",
        ),
        ("DELETE FROM configuration", "configuration: no row"),
        (
            "INSERT INTO trusted_spc_ca_key VALUES (x'00', -1, '')",
            "trusted_spc_ca_key, exponent",
        ),
    ] {
        let (_folder, path) = folder_and_file();
        Sqlite::create(&path).await.unwrap().close().await;
        tamper(&path, statement).await;
        let read = Sqlite::open(&path).await.unwrap().snapshot().await;
        assert!(
            matches!(read, Err(StoreError::Corrupt { ref what }) if what == named),
            "{read:?}"
        );
    }
}

#[tokio::test]
async fn a_policy_of_a_newer_release_is_passed_over_and_kept() {
    let (_folder, path) = folder_and_file();
    Sqlite::create(&path).await.unwrap().close().await;
    tamper(&path, "INSERT INTO policy VALUES ('from_the_future', '1')").await;
    let store = Sqlite::open(&path).await.unwrap();
    let policies = store.snapshot().await.unwrap().policies;
    store
        .apply(&[Change::SetPolicies(Box::new(policies))], None)
        .await
        .unwrap();
    store.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .unwrap();
    let kept = sqlx::query("SELECT value FROM policy WHERE name = 'from_the_future'")
        .fetch_optional(&mut connection)
        .await
        .unwrap();
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_named_busy() {
    let (_folder, path) = folder_and_file();
    let store = Sqlite::create(&path).await.unwrap();
    let mut other = SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = store.insert_user_key("alice", key("a")).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    // Readers are not held up.
    assert_eq!(store.user_key("alice").await.unwrap(), None);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    store.insert_user_key("alice", key("a")).await.unwrap();
}

/// Several times: a child writes and says what is acknowledged, is killed without warning, and
/// everything it said must be there.
#[tokio::test]
async fn every_acknowledged_key_survives_a_kill() {
    let (_folder, path) = folder_and_file();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_child_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FILE, &path)
            .env(CHILD_ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = 0;
        while said < 25 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(account) = line.strip_prefix("stored ") {
                acknowledged.push(account.to_owned());
                said += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said between the last line read and its end; the very last may be cut.
        for line in lines.map_while(Result::ok) {
            let account = line
                .strip_prefix("stored ")
                .and_then(|rest| rest.strip_suffix(" ."));
            acknowledged.extend(account.map(|account| format!("{account} .")));
        }
        let store = Sqlite::open(&path).await.unwrap();
        store.check().await.unwrap();
        for account in &acknowledged {
            let account = account.trim_end_matches(" .");
            assert_eq!(
                store.user_key(account).await.unwrap(),
                Some(key(account)),
                "{account}"
            );
        }
        store.close().await;
    }
    assert!(acknowledged.len() >= 125);
}

/// Not a test: the other half of the one above.
#[tokio::test]
#[ignore = "run by every_acknowledged_key_survives_a_kill"]
async fn the_child_that_is_killed() {
    let (Some(path), Ok(round)) = (std::env::var_os(CHILD_FILE), std::env::var(CHILD_ROUND)) else {
        return;
    };
    let store = Sqlite::open_or_create(Path::new(&path)).await.unwrap();
    for number in 0..1_000_000 {
        let account = format!("user-{round}-{number}");
        store
            .insert_user_key(&account, key(&account))
            .await
            .unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "stored {account} .").unwrap();
        out.flush().unwrap();
    }
}

const CHILD_FILE: &str = "OPENRMS_STORE_TEST_FILE";
const CHILD_ROUND: &str = "OPENRMS_STORE_TEST_ROUND";
