//! Backups: made while the cluster serves, restored where there is nothing, tried by a drill, and
//! refused when they are not what was written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use openrms_crypto::Mode;
use openrms_protocol::{CertificateChain, FaultCode, SoapVersion};
use openrms_server::backup::{BackupOptions, RestoreOptions, backup, restore};
use openrms_server::logging::{Field, Fields};
use openrms_server::{Config, Server};
use openrms_store::{
    Change, Location, RowSink, SealedBytes, Sqlite, Store, StoreError, StoredKey, Table, Value,
};
use openrms_xrml::Time;
use proptest::prelude::*;
use serde_json::Value as Json;
use support::*;
use zeroize::Zeroizing;

const SECRET: &str = "Tr1cky-horse-b";

/// A server with a backup of it, and the file with the backup's password.
struct Case {
    server: TestServer,
    archive: PathBuf,
    password: String,
}

impl Case {
    fn new() -> Self {
        Self::of(TestServer::start())
    }

    fn of(server: TestServer) -> Self {
        let password = server.folder.path().join("backup.password");
        fs::write(&password, format!("{SECRET}\n")).unwrap();
        let archive = server.folder.path().join("cluster.backup");
        Self {
            server,
            archive,
            password: text(&password),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.server.folder.path().join(name)
    }

    /// With a log that names certificates.
    fn with_log() -> Self {
        let case = Self::of(TestServer::start_with(Mode::Two, |config| {
            let fields = [
                Field::User,
                Field::Account,
                Field::ReceivedXrml,
                Field::IssuedXrml,
            ];
            config.logging.fields = Fields::of(&fields);
        }));
        let client = Client::new(&case.server, SoapVersion::V11);
        let alice = client.join("alice");
        let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
        let bob = client.join("bob");
        client.license(&bob, &license).unwrap();
        client.license(&client.join("carol"), &license).unwrap_err();
        case
    }

    /// A backup made when nothing waits for the logging database any more.
    fn whole_log(&self) -> Json {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (exit, made) = self.backup(&["--with-logs", "--force"]);
            assert_eq!(exit, 0, "{made}");
            if made["log"]["waiting"] == 0 && made["log"]["events"].as_u64() > Some(0) {
                return made;
            }
            assert!(Instant::now() < deadline, "{made}");
        }
    }

    fn backup(&self, more: &[&str]) -> (i32, Json) {
        let (data, archive) = (text(&self.server.data()), text(&self.archive));
        let head = ["backup", "--data", &data, "-o", &archive];
        self.run(&[&head, more].concat())
    }

    fn restore(&self, archive: &Path, more: &[&str]) -> (i32, Json) {
        let archive = text(archive);
        let head = ["restore", &archive];
        self.run(&[&head, more].concat())
    }

    fn run(&self, arguments: &[&str]) -> (i32, Json) {
        let tail = ["--json", "--password-file", &self.password];
        let (code, out, err) = rmsd(&[arguments, &tail].concat(), "");
        let answer = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        (code, answer)
    }

    /// What is in the folder besides the backup itself.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.server.folder.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(name)
            .map(|n| n.into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn code(answer: &Json) -> &str {
    answer["error"]["code"].as_str().unwrap()
}

/// A protected file's license, as a file of its own.
fn sample(case: &Case, license: &CertificateChain<'_>) -> String {
    let path = case.at("sample.xml");
    fs::write(&path, license.concatenated()).unwrap();
    text(&path)
}

#[test]
fn a_cluster_restored_where_there_is_nothing_opens_what_was_protected_before() {
    let case = Case::new();
    let client = Client::new(&case.server, SoapVersion::V11);
    let alice = client.join("alice");
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let license = draft.sign(&alice);
    // While it serves.
    let (exit, made) = case.backup(&[]);
    assert_eq!(exit, 0, "{made}");
    assert_eq!(made["digest"].as_str().unwrap().len(), 64);
    assert_eq!(
        made["files"],
        serde_json::json!(["rmsd.toml", "people.toml"])
    );
    let mode = fs::metadata(&case.archive).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let Case {
        server, archive, ..
    } = case;
    let TestServer {
        running,
        folder,
        bundle,
        mode,
    } = server;
    let address = running.url().trim_start_matches("http://").to_owned();
    running.stop();
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let data = folder.path().join("new/data");
    let (archive, to) = (text(&archive), text(&data));
    let password = text(&folder.path().join("backup.password"));
    let arguments = [
        "restore",
        &archive,
        "--data",
        &to,
        "--password-file",
        &password,
    ];
    let (exit, _, err) = rmsd(&arguments, "");
    assert_eq!(exit, 0, "{err}");
    let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode_of(&data), 0o700);
    for name in [
        "openrms.db",
        "master.key",
        "people.toml",
        "rmsd.toml",
        "admin.token",
    ] {
        assert_eq!(mode_of(&data.join(name)), 0o600, "{name}");
    }

    let mut config = Config::for_data_dir(&data).unwrap();
    config.listen = vec![address.parse().unwrap()];
    config.limits.spare_keys = 0;
    let server = TestServer {
        running: Server::start(config).unwrap(),
        folder,
        bundle,
        mode,
    };
    let client = Client::new(&server, SoapVersion::V11);
    let bob = client.join("bob");
    let granted = client.license(&bob, &license).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
    let carol = client.join("carol");
    let refused = client.license(&carol, &license).unwrap_err();
    assert_eq!(refused.code, Some(FaultCode::NoRightsForRequestedPrincipal));
    // Alice's certificate of before still counts.
    assert!(client.license(&alice, &license).is_ok());
}

#[test]
fn a_drill_shows_that_a_backup_is_good_and_the_cluster_remembers_it() {
    let case = Case::new();
    let client = Client::new(&case.server, SoapVersion::V11);
    let alice = client.join("alice");
    let license = sample(&case, &Draft::new(&alice, &[]).sign(&alice));
    assert_eq!(case.backup(&[]).0, 0);
    let before = case.names();
    let data = text(&case.server.data());
    let drill = ["--drill", "--sample", &license, "--data", &data];
    let (exit, found) = case.restore(&case.archive, &drill);
    assert_eq!(exit, 0, "{found}");
    assert_eq!(
        (&found["good"], &found["remembered"]),
        (&Json::from(true), &Json::from(true))
    );
    let checks = found["checks"].as_array().unwrap();
    let names: Vec<_> = checks
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let all = ["keys", "templates", "certificate", "new content", "sample"];
    assert_eq!(names, all);
    assert!(checks.iter().all(|check| check["ok"] == true), "{found}");
    let record = fs::read_to_string(case.at("cluster.backup.verified")).unwrap();
    let record: Json = serde_json::from_str(&record).unwrap();
    assert_eq!(record["digest"], found["digest"]);
    let mut after = case.names();
    after.retain(|name| name != "cluster.backup.verified");
    assert_eq!(after, before);

    // Another cluster's file does not open with this one's keys.
    let other = TestServer::start();
    let dave = Client::new(&other, SoapVersion::V11).join("dave");
    let license = sample(&case, &Draft::new(&dave, &[]).sign(&dave));
    let (exit, found) = case.restore(&case.archive, &["--drill", "--sample", &license]);
    assert_eq!((exit, code(&found)), (1, "backup-not-good"));
    assert_eq!(found["good"], false);

    // Whoever has a good backup may end the cluster.
    let token = format!("Bearer {}", case.server.admin_token());
    let url = case.server.url("/admin/api/status");
    let status = get(&url, &[("authorization", &token)]).text();
    let status: Json = serde_json::from_str(&status).unwrap();
    let name = status["name"].as_str().unwrap();
    let yes = "--yes-i-know-there-is-no-way-back";
    let (exit, _, err) = rmsd(&["decommission", "--data", &data, yes, name], "");
    assert_eq!(exit, 0, "{err}");
}

#[test]
fn what_is_not_the_backup_that_was_made_is_refused_and_nothing_is_changed() {
    let case = Case::new();
    let (exit, _) = case.backup(&[]);
    assert_eq!(exit, 0);
    let (exit, answer) = case.backup(&[]);
    assert_eq!((exit, code(&answer)), (1, "file-exists"));
    assert_eq!(case.backup(&["--force"]).0, 0);

    let whole = fs::read(&case.archive).unwrap();
    let wrong = case.at("wrong.backup");
    fs::write(&wrong, &whole).unwrap();
    let before = case.names();
    let to = text(&case.at("restored"));
    let refused = |bytes: &[u8]| {
        fs::write(&wrong, bytes).unwrap();
        let (exit, answer) = case.restore(&wrong, &["--data", &to]);
        assert_eq!(case.names(), before, "{answer}");
        (exit, code(&answer).to_owned())
    };
    let damaged = (6, "backup-damaged".to_owned());
    let end = whole.len();
    for length in [20, 71, 80, 1000, 65_600, end - 1] {
        let found = refused(&whole[..length.min(end - 1)]);
        assert_eq!(found, damaged, "cut after {length}");
    }
    assert_eq!(refused(&[&whole[..], b"more"].concat()), damaged);
    for at in [100, end / 2, end - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(refused(&bytes), damaged, "byte {at}");
    }
    let mut bytes = whole.clone();
    bytes[50] ^= 1;
    assert_eq!(refused(&bytes), (3, "wrong-password".to_owned()));
    let mut bytes = whole.clone();
    bytes[8] = 2;
    assert_eq!(refused(&bytes), (6, "other-release".to_owned()));
    assert_eq!(refused(b"PK\x03\x04"), (6, "not-a-backup".to_owned()));
    assert_eq!(refused(b""), (6, "not-a-backup".to_owned()));

    fs::write(&case.password, "Tr1cky-horse-c").unwrap();
    assert_eq!(refused(&whole), (3, "wrong-password".to_owned()));
    fs::write(&case.password, "short").unwrap();
    let (exit, answer) = case.backup(&["--force"]);
    assert_eq!((exit, code(&answer)), (1, "weak-password"));
    fs::write(&case.password, SECRET).unwrap();
    let there = text(&case.server.data());
    let (exit, answer) = case.restore(&case.archive, &["--data", &there]);
    assert_eq!((exit, code(&answer)), (1, "not-empty"));
}

#[test]
fn without_the_key_a_backup_says_so_and_serves_with_the_key_file_beside_it() {
    let case = Case::new();
    assert_eq!(case.backup(&["--without-key"]).0, 0);
    let (exit, found) = case.restore(&case.archive, &["--drill"]);
    assert_eq!((exit, code(&found)), (1, "backup-not-good"));
    let to = case.at("restored");
    let (exit, answer) = case.restore(&case.archive, &["--data", &text(&to), "--key-file"]);
    assert_eq!((exit, code(&answer)), (1, "no-key"));
    let (exit, restored) = case.restore(&case.archive, &["--data", &text(&to)]);
    assert_eq!(exit, 0, "{restored}");
    assert!(!to.join("master.key").exists());
    let check = ["--json", "key", "check", "--data", &text(&to)];
    assert_ne!(rmsd(&check, "").0, 0);
    fs::copy(case.server.data().join("master.key"), to.join("master.key")).unwrap();
    assert_eq!(rmsd(&check, "").0, 0);
}

#[test]
fn keys_under_a_password_stay_under_it_or_go_into_a_key_file() {
    let case = Case::new();
    let old = case.at("old.password");
    fs::write(&old, "correct horse battery staple").unwrap();
    let (data, old) = (text(&case.server.data()), text(&old));
    let change = [
        "key",
        "password",
        "--data",
        &data,
        "--new-password-file",
        &old,
    ];
    let (exit, _, err) = rmsd(&change, "");
    assert_eq!(exit, 0, "{err}");
    let config = case.server.data().join("rmsd.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{before}\n[credential]\npassword_file = \"{old}\"\n"),
    )
    .unwrap();
    assert_eq!(case.backup(&[]).0, 0);
    let kept = case.at("kept");
    assert_eq!(case.restore(&case.archive, &["--data", &text(&kept)]).0, 0);
    assert!(!kept.join("master.key").exists());
    let check = |data: &Path| rmsd(&["key", "check", "--data", &text(data)], "").0;
    assert_eq!(check(&kept), 0);
    // Who has lost the password has the backup's.
    fs::remove_file(&old).unwrap();
    assert_ne!(check(&kept), 0);
    let anew = case.at("anew");
    let (exit, answer) = case.restore(&case.archive, &["--data", &text(&anew), "--key-file"]);
    assert_eq!(exit, 0, "{answer}");
    assert_eq!(check(&anew), 0);
    assert_eq!(case.restore(&case.archive, &["--drill"]).0, 0);
}

/// All rows, in the order of an export.
#[derive(Default, PartialEq)]
struct Everything(Vec<(&'static str, Vec<Value>)>);

impl RowSink for Everything {
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError> {
        self.0.push((table.name, row.to_vec()));
        Ok(())
    }
}

async fn everything(store: &dyn Store) -> Everything {
    let mut all = Everything::default();
    store.export(&mut all).await.unwrap();
    all
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn options(case: &Case) -> BackupOptions {
    BackupOptions {
        output: case.archive.clone(),
        password: Zeroizing::new(SECRET.into()),
        configuration: Some(case.server.data().join("rmsd.toml")),
        with_logs: true,
        without_key: false,
        force: true,
    }
}

#[test]
fn whatever_is_in_the_database_comes_back() {
    let case = Case::new();
    let config = Config::for_data_dir(case.server.data()).unwrap();
    let now = Time::from_unix(1_900_000_000);
    let database = case.server.data().join("openrms.db");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(6));
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    let kept = proptest::collection::vec((".{1,30}", ".{0,3000}", bytes(), bytes()), 0..20);
    runner
        .run(&kept, |kept| {
            let before = block_on(async {
                let store = Sqlite::open(&database).await.unwrap();
                for (name, value, sealed, public_modulus) in kept {
                    let (name, value) = (name.replace('\0', "0"), value.replace('\0', "0"));
                    let set = Change::PutSetting {
                        name: name.clone(),
                        value,
                    };
                    store.apply(&[set], None).await.unwrap();
                    let key = StoredKey {
                        sealed: SealedBytes::new(sealed),
                        public_modulus,
                        sealed_by: "x".into(),
                        created: -1,
                    };
                    store.insert_user_key(&name, key).await.unwrap();
                }
                let all = everything(&store).await;
                store.close().await;
                all
            });
            let made = backup(&config, &options(&case), now).unwrap();
            prop_assert_eq!(made.rows, before.0.len() as u64);
            let data = tempfile::tempdir().unwrap();
            let restored = restore(
                &RestoreOptions {
                    archive: case.archive.clone(),
                    password: Zeroizing::new(SECRET.into()),
                    data: data.path().join("data"),
                    database: None,
                    key_file: false,
                    without_log: false,
                },
                now,
            );
            prop_assert!(restored.is_ok(), "{:?}", restored.err());
            let after = block_on(async {
                let path = data.path().join("data/openrms.db");
                let store = Sqlite::open(&path).await.unwrap();
                let all = everything(&store).await;
                store.close().await;
                all
            });
            prop_assert!(after == before);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_cluster_of_one_host_is_restored_to_a_database_server() {
    let case = Case::new();
    let Some(database) = fleet::TestDatabase::new(case.server.folder.path()) else {
        return;
    };
    let client = Client::new(&case.server, SoapVersion::V11);
    client.join("alice");
    assert_eq!(case.backup(&[]).0, 0);
    let to = case.at("restored");
    let to_text = text(&to);
    let arguments = database.arguments();
    let mut more = vec!["--data", &to_text];
    more.extend(arguments.iter().map(String::as_str));
    let (exit, restored) = case.restore(&case.archive, &more);
    assert_eq!(exit, 0, "{restored}");
    assert!(!to.join("openrms.db").exists());
    assert!(!restored.to_string().contains("password="));

    let server = openrms_server::database::DatabaseServer::new(
        &database.url,
        openrms_server::credential::Credential::File(database.password_file.clone()),
    )
    .unwrap();
    let config = Config::for_data_dir(&to).unwrap();
    assert_eq!(
        config.database,
        openrms_server::database::Database::Server(server)
    );
    let password = fs::read_to_string(&database.password_file).unwrap();
    let location: openrms_store::PostgresLocation = database.url.parse().unwrap();
    let location = Location::Postgres(Box::new(location.with_password(password.into())));
    block_on(async {
        let old = Sqlite::open(&case.server.data().join("openrms.db"))
            .await
            .unwrap();
        let new = location.open().await.unwrap();
        assert!(everything(&old).await == everything(&*new).await);
        new.close().await;
    });
    assert_eq!(rmsd(&["key", "check", "--data", &to_text], "").0, 0);
    // It is not empty any more.
    let again = text(&case.at("again"));
    *more.get_mut(1).unwrap() = &again;
    let (exit, answer) = case.restore(&case.archive, &more);
    assert_eq!((exit, code(&answer)), (1, "not-empty"));
    assert!(!case.at("again").exists());

    // And back, from the server to a host that has none.
    let (archive, to) = (text(&case.at("second.backup")), text(&to));
    let (exit, made) = case.run(&["backup", "--data", &to, "-o", &archive]);
    assert_eq!(exit, 0, "{made}");
    let back = case.at("back");
    let (exit, answer) = case.restore(&case.at("second.backup"), &["--data", &text(&back)]);
    assert_eq!(exit, 0, "{answer}");
    assert!(back.join("openrms.db").exists() && back.join("people.toml").exists());
    assert_eq!(Config::for_data_dir(&back).unwrap().people, {
        openrms_server::people::PeopleSource::File(back.join("people.toml"))
    });
}

/// Every event of a cluster's log, as `rmsd log export` tells it.
fn events_of(data: &Path) -> Vec<String> {
    let (exit, out, err) = rmsd(&["log", "export", "--data", &text(data)], "");
    assert_eq!(exit, 0, "{err}");
    out.lines().map(str::to_owned).collect()
}

/// The same, and each once more with the certificates that it names.
fn log_of(data: &Path) -> Vec<String> {
    let mut lines = events_of(data);
    for line in lines.clone() {
        let event: Json = serde_json::from_str(&line).unwrap();
        let request = event["request"].as_str().unwrap();
        let query = ["log", "query", "events", "--request", request, "--json"];
        let (exit, out, err) = rmsd(&[&query[..], &["--data", &text(data)]].concat(), "");
        assert_eq!(exit, 0, "{err}");
        lines.push(out);
    }
    lines
}

#[test]
fn the_log_comes_back_each_event_once_into_whatever_database() {
    let case = Case::with_log();
    let made = case.whole_log();
    assert!(made["log"]["certificates"].as_u64() > Some(0), "{made}");
    let before = log_of(&case.server.data());
    assert_eq!(made["log"]["events"], before.len() / 2);
    let (exit, found) = case.restore(&case.archive, &["--drill"]);
    assert_eq!(exit, 0, "{found}");
    assert_eq!(found["events"], made["log"]["events"]);
    let names = found["checks"].as_array().unwrap().iter();
    assert!(
        names
            .clone()
            .any(|check| check["name"] == "log" && check["ok"] == true)
    );

    let to = case.at("restored");
    let (exit, restored) = case.restore(&case.archive, &["--data", &text(&to)]);
    assert_eq!(exit, 0, "{restored}");
    assert_eq!(restored["log"]["events"], made["log"]["events"]);
    assert_eq!(restored["log"]["database"], text(&to.join("logging.db")));
    assert_eq!(log_of(&to), before);
    // Over what is there, where nothing is doubled.
    let only = ["--logs-only", "--data", &text(&to)];
    let (exit, restored) = case.restore(&case.archive, &only);
    assert_eq!(exit, 0, "{restored}");
    assert_eq!(restored["events"], made["log"]["events"]);
    assert_eq!(log_of(&to), before);

    // Left out, and brought in later.
    let later = case.at("later");
    let without = ["--data", &text(&later), "--without-logs"];
    let (exit, restored) = case.restore(&case.archive, &without);
    assert_eq!((exit, &restored["log"]), (0, &Json::Null));
    assert!(!later.join("logging.db").exists());
    let whole = fs::read(&case.archive).unwrap();
    let cut = case.at("cut.backup");
    fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    let only = ["--logs-only", "--data", &text(&later)];
    let (exit, answer) = case.restore(&cut, &only);
    assert_eq!((exit, code(&answer)), (6, "backup-damaged"));
    assert!(!later.join("logging.db").exists());
    let (exit, _) = case.restore(&case.archive, &only);
    assert_eq!(exit, 0);
    assert_eq!(log_of(&later), before);
    let other = TestServer::start();
    let only = ["--logs-only", "--data", &text(&other.data())];
    let (exit, answer) = case.restore(&case.archive, &only);
    assert_eq!((exit, code(&answer)), (1, "other-cluster"));

    let Some(database) = fleet::TestDatabase::new(case.server.folder.path()) else {
        return;
    };
    let to = case.at("at-a-server");
    let to_text = text(&to);
    let arguments = database.arguments();
    let mut more = vec!["--data", &to_text];
    more.extend(arguments.iter().map(String::as_str));
    let (exit, restored) = case.restore(&case.archive, &more);
    assert_eq!(exit, 0, "{restored}");
    assert_eq!(restored["log"]["events"], made["log"]["events"]);
    assert!(!to.join("logging.db").exists());
    assert_eq!(log_of(&to), before);
    // And back.
    let second = case.at("second.backup");
    let (exit, made) = case.run(&[
        "backup",
        "--data",
        &to_text,
        "--with-logs",
        "-o",
        &text(&second),
    ]);
    assert_eq!(exit, 0, "{made}");
    let back = case.at("back");
    let (exit, answer) = case.restore(&second, &["--data", &text(&back)]);
    assert_eq!(exit, 0, "{answer}");
    assert_eq!(log_of(&back), before);
}

#[test]
fn events_that_wait_are_told_by_number() {
    let server = TestServer::start_with(Mode::Two, |config| {
        // Nobody listens there.
        let port = fleet::Port::reserve();
        let url = format!("postgres://rms@{}/rms", port.address);
        config.logging.database = openrms_server::database::Database::Server(
            openrms_server::database::DatabaseServer::new(
                &url,
                openrms_server::credential::Credential::None,
            )
            .unwrap(),
        );
    });
    let case = Case::of(server);
    Client::new(&case.server, SoapVersion::V11).join("alice");
    let events = case.server.audit().len();
    let (exit, made) = case.backup(&["--with-logs"]);
    assert_eq!(exit, 0, "{made}");
    let log = serde_json::json!({"events": 0, "certificates": 0, "waiting": events});
    assert_eq!(made["log"], log);
    assert_eq!(case.backup(&["--force"]).1["log"], Json::Null);
}

#[test]
fn a_restore_that_is_killed_at_any_instant_is_completed_by_the_same_command() {
    let case = Case::with_log();
    case.whole_log();
    let before = events_of(&case.server.data());
    let instants = std::env::var("OPENRMS_CRASH_CYCLES");
    let instants = instants.map_or(INSTANTS, |text| text.parse().unwrap());
    let mut whole_time = None;
    let (mut killed, mut had_rows) = (0, 0);
    for number in 0..=instants {
        let Some(database) = fleet::TestDatabase::new(case.server.folder.path()) else {
            return;
        };
        let data = case.at(&format!("restored-{number}"));
        let mut arguments: Vec<String> = vec![
            "restore".into(),
            text(&case.archive),
            "--data".into(),
            text(&data),
        ];
        arguments.extend(database.arguments());
        let again: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(&arguments)
            .args(["--password-file", &case.password])
            .env_remove("RMSD_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let Some(time) = whole_time else {
            assert!(child.wait().unwrap().success());
            whole_time = Some(began.elapsed());
            continue;
        };
        // The instants are spread over the time that it takes.
        let life: Duration = time * number / instants;
        while began.elapsed() < life && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += u32::from(status.code().is_none());
        let (exit, answer) = case.run(&again);
        if exit == 0 {
            had_rows += u32::from(answer["log"]["events"].as_u64() > Some(0));
            assert_eq!(answer["log"]["events"], before.len());
        } else {
            // It had been completed.
            assert_eq!((exit, code(&answer)), (1, "not-empty"), "{answer}");
            assert!(data.exists());
        }
        let (exit, out, err) = rmsd(&["key", "check", "--data", &text(&data)], "");
        assert_eq!(exit, 0, "{number}: {out}{err}");
        assert_eq!(events_of(&data), before, "{number}");
        let left = case.names();
        let left = left.iter().find(|name| name.starts_with(".openrms"));
        assert_eq!(left, None);
        assert!(!data.join("openrms.db").exists());
    }
    println!("killed {killed} of {instants} times, {had_rows} completed, {whole_time:?} for each");
    assert!(killed > instants / 3 && had_rows > 0);
}

/// `OPENRMS_CRASH_CYCLES` asks for more instants than these.
const INSTANTS: u32 = 14;
