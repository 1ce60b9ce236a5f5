//! The rules that are looked at before anything is done.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use openrms_engine::cluster::ROOT_URL;
use openrms_protocol::server::{GetServerInfoResponse, ServerFeature, ServerInfo, ServerInfoValue};
use openrms_protocol::{ResponseHead, SoapVersion, encode_response};
use openrms_server::Config;
use openrms_server::upgrade::{
    Host, Preflight, PreflightOptions, Updates, UpgradeError, Verdict, preflight, upgrade,
};
use openrms_store::{Change, Sqlite, Store as _};
use serde_json::Value as Json;

use crate::case::{
    Case, RELEASE, SECRET, Stopped, block_on, check, make_older, rmsd, run_at, schema,
};
use crate::fleet::{Node, Port, secret};
use crate::support::{self, Client, TestServer, text};

#[test]
fn s21_without_a_backup_of_the_cluster_as_it_is_nothing_is_done() {
    let case = Case::new().stopped().left_by_the_release_before();
    let good = case.backup("good.backup");
    let other = Case::new().stopped();
    let others = other.backup("others.backup");
    let bytes = fs::read(&good).unwrap();
    let cut = case.at("cut.backup");
    fs::write(&cut, &bytes[..bytes.len() - 20]).unwrap();
    let changed = case.at("changed.backup");
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    fs::write(&changed, altered).unwrap();
    case.make_older();
    let before = case.state();
    let refused = |archive: Option<&PathBuf>, words: &str| {
        for how in ["--check", "--yes"] {
            let (exit, answer) = case.rmsd(&["upgrade", how], archive);
            assert_eq!(exit, 1, "{answer}");
            assert_eq!(answer["error"]["code"], "upgrade-refused");
            let check = check(&answer, "backup");
            assert_eq!(check["verdict"], "refused", "{check}");
            let found = check["found"].as_str().unwrap();
            assert!(found.contains(words), "{found}");
            assert_eq!(case.state(), before);
        }
    };
    refused(None, "no backup is named");
    refused(Some(&case.at("none.backup")), "No such file");
    refused(Some(&cut), "damaged");
    refused(Some(&changed), "damaged");
    refused(Some(&others), "the backup is one of");
    secret(&case.password, "another Horse 9");
    refused(Some(&good), "password");
    secret(&case.password, SECRET);

    // Something was changed after it, though not what is remembered of backups.
    let (exit, _) = case.rmsd(&["upgrade", "--check"], Some(&good));
    assert_eq!(exit, 0);
    let drill = [
        "restore",
        "--drill",
        &text(&good),
        "--data",
        &text(&case.data()),
    ];
    let (exit, _, err) = rmsd(&[&drill[..], &["--password-file", &text(&case.password)]].concat());
    assert_eq!(exit, 0, "{err}");
    case.make_older();
    let (exit, answer) = case.rmsd(&["upgrade", "--check"], Some(&good));
    assert_eq!(exit, 0, "{answer}");
    case.change("later");
    case.make_older();
    let (exit, answer) = case.rmsd(&["upgrade", "--check"], Some(&good));
    assert_eq!(exit, 1);
    let found = check(&answer, "backup")["found"].to_string();
    assert!(
        found.contains("since then was changed: settings"),
        "{found}"
    );
    // A new one will do, and so does the word of who wants none.
    let newer = case.backup("newer.backup");
    case.make_older();
    let (exit, answer) = case.rmsd(&["upgrade", "--check"], Some(&newer));
    assert_eq!(exit, 0, "{answer}");
    let (exit, answer) = case.rmsd(&["upgrade", "--check", "--without-backup"], None);
    assert_eq!(exit, 0, "{answer}");
    assert_eq!(check(&answer, "backup")["verdict"], "warning");
}

#[test]
fn s22_whoever_has_not_the_password_of_the_keys_upgrades_nothing() {
    let case = Case::new().stopped();
    let password = case.at("keys.password");
    secret(&password, "correct horse battery staple");
    let change = ["key", "password", "--data", &text(&case.data())];
    let (exit, _, err) = rmsd(&[&change[..], &["--new-password-file", &text(&password)]].concat());
    assert_eq!(exit, 0, "{err}");
    let config = case.data().join("rmsd.toml");
    let line = format!("\n[credential]\npassword_file = {:?}\n", text(&password));
    let said = fs::read_to_string(&config).unwrap() + &line;
    fs::write(&config, said).unwrap();
    let case = case.left_by_the_release_before();
    let archive = case.backup("before.backup");
    case.make_older();
    let before = case.state();
    secret(&password, "guessed Horse 9 times");
    for how in ["--check", "--yes"] {
        let (exit, answer) = case.rmsd(&["upgrade", how], Some(&archive));
        assert_eq!(exit, 1);
        assert_eq!(check(&answer, "keys")["verdict"], "refused", "{answer}");
        assert_eq!(check(&answer, "backup")["verdict"], "ok");
        assert_eq!(case.state(), before);
    }
    secret(&password, "correct horse battery staple");
    let (exit, answer) = case.rmsd(&["upgrade", "--check"], Some(&archive));
    assert_eq!(exit, 0, "{answer}");
    let found = check(&answer, "keys")["found"].to_string();
    assert!(found.contains("opened with a password"), "{found}");
}

#[test]
fn s23_statistics_that_are_to_be_kept_must_be_in_the_backup() {
    let case = Case::new();
    Client::new(&case.server, SoapVersion::V11).join("alice");
    // When the server has stopped, its events are in the logging database.
    let case = case.stopped().left_by_the_release_before();
    let without = case.backup("without.backup");
    let with = case.backup_with("with.backup", &["--with-logs"]);
    case.make_older();
    let verdict = |archive: &PathBuf, more: &[&str]| {
        let arguments = [&["upgrade", "--check"][..], more].concat();
        let (exit, answer) = case.rmsd(&arguments, Some(archive));
        (exit, check(&answer, "statistics")["verdict"].clone())
    };
    assert_eq!(verdict(&with, &["--keep-statistics"]), (0, "ok".into()));
    assert_eq!(verdict(&with, &[]), (0, "ok".into()));
    assert_eq!(
        verdict(&without, &["--keep-statistics"]),
        (1, "refused".into())
    );
    assert_eq!(verdict(&without, &[]), (0, "warning".into()));
}

/// A machine that is as the test has it.
struct Machine {
    updates: Result<Updates, String>,
    free: u64,
}

impl Host for Machine {
    fn updates(&self) -> Result<Updates, String> {
        self.updates.clone()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free)
    }
}

#[test]
fn s24_security_updates_that_wait_are_told_and_a_full_disk_is_refused() {
    let case = Case::new().stopped().left_by_the_release_before();
    let config = Config::for_data_dir(case.data()).unwrap();
    let options = PreflightOptions {
        without_backup: true,
        ..PreflightOptions::default()
    };
    let look = |updates: Result<Updates, String>, free| {
        let machine = Machine { updates, free };
        preflight(&config, &options, &machine, support::now()).unwrap()
    };
    let verdict = |found: &Preflight, name: &str| {
        let check = found
            .checks
            .iter()
            .find(|check| check.name == name)
            .unwrap();
        (check.verdict, check.found.clone())
    };
    let current = look(Ok(Updates::default()), u64::MAX);
    assert_eq!(verdict(&current, "security updates").0, Verdict::Ok);
    assert!(current.allowed);
    let packages = vec!["openssl".to_owned()];
    for (updates, words) in [
        (
            Ok(Updates {
                packages,
                restart: false,
            }),
            "openssl",
        ),
        (
            Ok(Updates {
                packages: Vec::new(),
                restart: true,
            }),
            "started anew",
        ),
        (Err("no apt-get".to_owned()), "cannot be told: no apt-get"),
    ] {
        let found = look(updates, u64::MAX);
        let (warned, told) = verdict(&found, "security updates");
        assert_eq!(warned, Verdict::Warning);
        assert!(told.contains(words), "{told}");
        assert!(found.allowed);
    }
    let full = look(Ok(Updates::default()), 1 << 20);
    assert_eq!(verdict(&full, "disk space").0, Verdict::Refused);
    assert!(!full.allowed);
    let machine = Machine {
        updates: Ok(Updates::default()),
        free: 1 << 20,
    };
    let before = case.state();
    let refused = upgrade(&config, &options, &machine, support::now(), &|_| {});
    assert!(matches!(refused, Err(UpgradeError::Refused(_))));
    assert_eq!(case.state(), before);
}

#[test]
fn s29_a_licensing_cluster_waits_for_its_root_cluster() {
    let root = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut set_up = vec!["provision", "licensing", "--root", root.running.url()];
    set_up.extend([
        "--url",
        "http://licensing.example",
        "--listen",
        "127.0.0.1:0",
    ]);
    let data_text = text(&data);
    set_up.extend(["--ignore-check", "all", "--data", &data_text]);
    let (exit, _, err) = rmsd(&set_up);
    assert_eq!(exit, 0, "{err}");
    let mut node = Node::new(data.clone());
    node.start();
    assert!(node.stop());
    let database = data.join("openrms.db");
    make_older(&database);
    let look = |more: &[&str]| {
        let fixed = [
            "upgrade",
            "--without-backup",
            "--json",
            "--data",
            &data_text,
        ];
        let (exit, out, err) = rmsd(&[&fixed[..], more].concat());
        let answer: Json = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        (
            exit,
            check(&answer, "root cluster")["verdict"].clone(),
            answer,
        )
    };
    let root_is = |url: &str| {
        block_on(async {
            let store = Sqlite::open(&database).await.unwrap();
            let set = Change::PutSetting {
                name: ROOT_URL.to_owned(),
                value: url.to_owned(),
            };
            let stored = store.snapshot().await.unwrap();
            let names: Vec<_> = stored.settings.keys().collect();
            assert!(stored.settings.contains_key(ROOT_URL), "{names:?}");
            store.apply(&[set], None).await.unwrap();
            store.close().await;
        });
        make_older(&database);
    };
    let (exit, verdict, answer) = look(&["--check"]);
    assert_eq!((exit, verdict), (0, "ok".into()), "{answer}");
    // A root cluster that is still what this one was, one that names no release, and none at all.
    let nobody = Port::reserve();
    let roots = [
        answering(Some("0.1.0")),
        answering(None),
        format!("http://{}", nobody.address),
    ];
    for url in roots {
        root_is(&url);
        for how in ["--check", "--yes"] {
            let (exit, verdict, answer) = look(&[how]);
            assert_eq!((exit, verdict), (1, "refused".into()), "{answer}");
            assert_eq!(schema(&database), 3);
        }
    }
    let (exit, verdict, _) = look(&["--check", "--without-root"]);
    assert_eq!((exit, verdict), (0, "warning".into()));
    root_is(&answering(Some(RELEASE)));
    let (exit, verdict, answer) = look(&["--yes"]);
    assert_eq!(exit, 0, "{answer}{verdict}");
    assert_eq!(schema(&database), 4);
}

#[test]
fn s31_service_pack_1_comes_before_service_pack_2_and_there_is_no_way_back() {
    let case = Case::new().stopped();
    let config = case.data().join("rmsd.toml");
    let plain = fs::read_to_string(&config).unwrap();
    let look = |recorded: &str, level: &str| {
        let sql = format!("UPDATE cluster_server SET service_level = '{recorded}'");
        block_on(run_at(&case.database(), &sql));
        fs::write(&config, format!("service_level = \"{level}\"\n{plain}")).unwrap();
        let (exit, answer) = case.rmsd(&["upgrade", "--check", "--without-backup"], None);
        let check = check(&answer, "service level");
        let verdict = check["verdict"].as_str().unwrap();
        assert_eq!(exit, i32::from(verdict == "refused"), "{answer}");
        (
            verdict.to_owned(),
            check["found"].as_str().unwrap().to_owned(),
        )
    };
    for (recorded, level) in [
        ("1.0", "1.0"),
        ("1.0", "sp1"),
        ("sp1", "sp2"),
        ("sp2", "2.0"),
    ] {
        assert_eq!(look(recorded, level).0, "ok", "{recorded} {level}");
    }
    let (verdict, found) = look("1.0", "sp2");
    assert_eq!(verdict, "refused");
    assert!(found.contains("sp1 before"), "{found}");
    assert_eq!(look("1.0", "2.0").0, "refused");
    let (verdict, found) = look("2.0", "sp1");
    assert_eq!(verdict, "refused");
    assert!(found.contains("restoring the backup"), "{found}");
    assert_eq!(look("3.0", "2.0").0, "refused");
}

#[test]
fn s31_a_newer_release_is_not_replaced_by_this_one_nor_its_database_touched() {
    let case = Case::new().stopped();
    let found = |sql: &str, name: &str| {
        block_on(run_at(&case.database(), sql));
        let (exit, answer) = case.rmsd(&["upgrade", "--check", "--without-backup"], None);
        assert_eq!(exit, 1, "{answer}");
        let check = check(&answer, name);
        assert_eq!(check["verdict"], "refused");
        check["found"].as_str().unwrap().to_owned()
    };
    let newer = found("UPDATE cluster_server SET version = '99.1.0'", "release");
    assert!(newer.contains("99.1.0"), "{newer}");
    block_on(run_at(
        &case.database(),
        "UPDATE cluster_server SET version = '0.1.0'",
    ));
    let step = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES ";
    let too_new = found(&format!("{step} (5, 'later', 1, x'00', 0)"), "database");
    assert!(too_new.contains("schema 5"), "{too_new}");
    block_on(run_at(
        &case.database(),
        "DELETE FROM _sqlx_migrations WHERE version > 4",
    ));
    // What was begun and not completed is named.
    let moved = format!("{step} ({}, 'postgres://there', 1, x'00', 0)", i64::MAX);
    let moved = found(&moved, "restore and move");
    assert!(moved.contains("postgres://there"), "{moved}");
    block_on(run_at(
        &case.database(),
        "DELETE FROM _sqlx_migrations WHERE version > 4",
    ));
    let restoring = format!("{step} ({}, 'cafe', 1, x'00', 0)", i64::MAX - 1);
    let restoring = found(&restoring, "restore and move");
    assert!(restoring.contains("cafe"), "{restoring}");
    block_on(run_at(
        &case.database(),
        "DELETE FROM _sqlx_migrations WHERE version > 4",
    ));
    let gone = case.data().join("openrms.db.gone");
    fs::rename(case.database(), &gone).unwrap();
    let missing = found_without(&case);
    assert!(missing.contains("no database"), "{missing}");
    fs::rename(gone, case.database()).unwrap();
    let (exit, answer) = case.rmsd(&["upgrade", "--check", "--without-backup"], None);
    assert_eq!(exit, 0, "{answer}");
}

fn found_without(case: &Stopped) -> String {
    let (exit, answer) = case.rmsd(&["upgrade", "--check", "--without-backup"], None);
    assert_eq!(exit, 1, "{answer}");
    check(&answer, "database")["found"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn s19_a_decommissioned_cluster_is_removed_and_not_upgraded() {
    let case = Case::new().stopped().left_by_the_release_before();
    let name = case.state().stored.policies.name.trim().to_owned();
    let yes = "--yes-i-know-there-is-no-way-back";
    let data = text(&case.data());
    let end = [
        "decommission",
        "--data",
        &data,
        "--without-backup",
        yes,
        &name,
    ];
    let (exit, _, err) = rmsd(&end);
    assert_eq!(exit, 0, "{err}");
    case.make_older();
    let (exit, answer) = case.rmsd(&["upgrade", "--yes", "--without-backup"], None);
    assert_eq!(exit, 1, "{answer}");
    assert_eq!(check(&answer, "decommissioned")["verdict"], "refused");
    assert_eq!(schema(&case.database()), 3);
}

/// A root cluster of which nothing answers but what it says of its version.
fn answering(release: Option<&str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let features = release.map(|release| ServerFeature {
        name: "Release".to_owned(),
        value: release.to_owned(),
    });
    let entries = [
        ServerInfoValue::VersionInfo("6.3.0.0".to_owned()),
        ServerInfoValue::ServerFeatureInfo(features.into_iter().collect()),
    ];
    let entries = entries.map(|value| ServerInfo {
        additional_info: String::new(),
        value,
    });
    let answer = GetServerInfoResponse {
        entries: entries.into(),
    };
    let body = encode_response(&ResponseHead::fault(SoapVersion::V11), &answer.into());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            // Head and body come each in one piece or in two; whoever asks sends no more than this.
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("Envelope>") {
                let mut piece = [0; 4 << 10];
                let length = client.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..length]);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/xml; charset=utf-8\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            client.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    url
}
