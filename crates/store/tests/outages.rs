//! A PostgreSQL server that ends, hangs, and comes again.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use openrms_store::{
    Change, Location, PostgresLocation, RowSink, RowSource, StoreError, Table, Value,
};
use support::{TestDatabase, key, setting};

/// A server of databases of this test's own, which is treated badly.
struct Victim {
    state: tempfile::TempDir,
    url: String,
}

impl Victim {
    fn start() -> Option<Self> {
        if std::env::var_os("OPENRMS_TEST_POSTGRES").is_none() {
            println!("skipped: no PostgreSQL (eval \"$(tests/testbed/postgres up)\" starts one)");
            return None;
        }
        let mut victim = Self {
            state: tempfile::Builder::new()
                .prefix("openrms-pg-")
                .tempdir()
                .unwrap(),
            url: String::new(),
        };
        // The server may be another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(victim.state.path(), open).unwrap();
        victim.command("up");
        let url = victim.command("newdb");
        victim.url.push_str(url.trim());
        Some(victim)
    }

    fn command(&self, verb: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testbed/postgres");
        let done = Command::new(script)
            .arg(verb)
            .arg("--state")
            .arg(self.state.path().join("state"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{verb}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn location(&self) -> Location {
        location_of(&self.url)
    }
}

fn location_of(url: &str) -> Location {
    let location: PostgresLocation = url.replace(":rms@", "@").parse().unwrap();
    Location::Postgres(Box::new(location.with_password("rms".to_owned().into())))
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.command("destroy");
    }
}

#[tokio::test]
async fn a_database_that_ends_and_comes_again_is_used_again() {
    let Some(victim) = Victim::start() else {
        return;
    };
    let store = victim.location().open_or_create().await.unwrap();
    store.insert_user_key("alice", key(1)).await.unwrap();
    victim.command("crash");
    let asked = Instant::now();
    let error = store.user_key("alice").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    let error = store.insert_user_key("bob", key(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(
        asked.elapsed() < Duration::from_secs(12),
        "{:?}",
        asked.elapsed()
    );
    victim.command("up");
    assert_eq!(store.user_key("alice").await.unwrap(), Some(key(1)));
    assert_eq!(store.insert_user_key("bob", key(2)).await.unwrap(), key(2));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_holds_nobody_for_long() {
    let Some(victim) = Victim::start() else {
        return;
    };
    let store = victim.location().open_or_create().await.unwrap();
    store.insert_user_key("alice", key(1)).await.unwrap();
    victim.command("freeze");
    // More than there are connections, twice.
    for _ in 0..2 {
        let asked = Instant::now();
        let asking: Vec<_> = (0..12)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.user_key("alice").await.unwrap_err() })
            })
            .collect();
        for one in asking {
            let error = one.await.unwrap();
            assert!(
                matches!(error, StoreError::Unreachable { .. } | StoreError::Busy),
                "{error:?}"
            );
        }
        assert!(
            asked.elapsed() < Duration::from_secs(8),
            "{:?}",
            asked.elapsed()
        );
    }
    let refused = victim.location().open().await;
    assert!(
        matches!(refused, Err(StoreError::Unreachable { .. })),
        "{refused:?}"
    );
    victim.command("thaw");
    let asked = Instant::now();
    while store.user_key("alice").await.is_err() {
        assert!(asked.elapsed() < Duration::from_secs(30));
    }
    store.close().await;
}

/// An export and an import that are both under way when the database stops.
#[derive(Default)]
struct Meeting {
    importing: AtomicBool,
    frozen: AtomicBool,
}

fn wait_for(flag: &AtomicBool) {
    let begun = Instant::now();
    while !flag.load(SeqCst) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Stops the database when the first row has come.
struct Freezing<'v>(&'v Victim, Arc<Meeting>);

impl RowSink for Freezing<'_> {
    fn row(&mut self, _: &'static Table, _: &[Value]) -> Result<(), StoreError> {
        if !self.1.frozen.load(SeqCst) {
            wait_for(&self.1.importing);
            self.0.command("freeze");
            self.1.frozen.store(true, SeqCst);
        }
        Ok(())
    }
}

/// Gives a row, and another one once the database is stopped.
struct Waiting(Arc<Meeting>);

impl RowSource for Waiting {
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError> {
        let is_second = self.0.importing.swap(true, SeqCst);
        if is_second {
            wait_for(&self.0.frozen);
        }
        let name = if is_second { "b" } else { "a" };
        let row = [name, "value"].map(|text| Value::Text(text.to_owned()));
        Ok(Some((Table::named("setting").unwrap(), row.into())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_hangs_ends_what_takes_its_time_as_well() {
    let Some(victim) = Victim::start() else {
        return;
    };
    let store = victim.location().open_or_create().await.unwrap();
    let further = location_of(victim.command("newdb").trim());
    let further = further.open_or_create().await.unwrap();
    let meeting = Arc::new(Meeting::default());
    let mut source = Waiting(meeting.clone());
    let importing = tokio::spawn(async move { further.import(&mut source).await });
    let mut sink = Freezing(&victim, meeting);
    let exported = store.export(&mut sink).await;
    for ended in [exported, importing.await.unwrap()] {
        let error = ended.unwrap_err();
        let told = "no answer within 30 seconds";
        assert!(
            matches!(&error, StoreError::Unreachable { reason, .. } if reason == told),
            "{error:?}"
        );
    }
}

/// Connections are cut while many changes are under way: each is made whole or not at all, and what
/// was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_in_the_middle_lose_nothing_that_was_acknowledged() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.location().open_or_create().await.unwrap();
    let writers: Vec<_> = (0..4_u8)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..60 {
                    let account = format!("{writer}-{round}");
                    if store.insert_user_key(&account, key(writer)).await.is_ok() {
                        acknowledged.push(account.clone());
                    }
                    let both = [
                        setting(&account),
                        Change::PutSetting {
                            name: "b".to_owned(),
                            value: account,
                        },
                    ];
                    let _ = store.apply(&both, None).await;
                }
                acknowledged
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        database
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'openrms'",
            )
            .await;
        let snapshot = loop {
            if let Ok(snapshot) = store.snapshot().await {
                break snapshot;
            }
        };
        assert_eq!(snapshot.settings.get("a"), snapshot.settings.get("b"));
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(acknowledged.len() > 60, "{}", acknowledged.len());
    for account in acknowledged {
        assert!(
            store.user_key(&account).await.unwrap().is_some(),
            "{account}"
        );
    }
    store.close().await;
    database.destroy().await;
}
