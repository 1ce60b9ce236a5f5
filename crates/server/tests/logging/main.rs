//! The log from a request to the logging database: what is written of whom, exactly once whatever
//! is killed when, with databases that go away and disks that fill up.
//!
//! `OPENRMS_SOAK_ROUNDS` asks for more kills than 5, `OPENRMS_SOAK_SECONDS` for a longer outage than
//! 3 seconds. PostgreSQL is used where `OPENRMS_TEST_POSTGRES` names a server on which databases
//! can be made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod load;
mod place;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use openrms_crypto::Mode;
use openrms_protocol::{Operation, Service, SoapVersion};
use openrms_server::logging::{Field, Fields, WhenFull};
use openrms_spool::{LONGEST_RECORD, Settings, Spool};
use openrms_store::logging::{
    Chosen, EventFilter, LogEvent, LoggingDatabase as _, Reports, SqliteLogging,
};
use sqlx::Connection as _;

use load::{Cluster, Load, Server};
use place::{LogPlace, Outage};
use support::{Client, Draft, PASSWORD, TestServer, rmsd, text};

#[test]
fn every_request_is_in_the_log_with_what_came_of_it() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V12);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let carol = client.join("carol");
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    client.license(&bob, &license).unwrap();
    client.license(&carol, &license).unwrap_err();
    let wrong = client.signed_in("bob", "wrong");
    assert_eq!(wrong.send(Service::Certification, &question()).status, 401);

    let events = server_events(&server, 3 * 2 + 3);
    let last = |operation| {
        let mut of = events.iter().rev();
        of.find(|event| event.operation.as_deref() == Some(operation))
            .unwrap()
    };
    let refused = last("AcquireLicense");
    assert_eq!(refused.account.as_deref(), Some("carol@example.test"));
    assert!(
        !refused.succeeded() && refused.reason.is_some(),
        "{refused:?}"
    );
    let granted = events
        .iter()
        .rev()
        .find(|event| event.ground.is_some())
        .unwrap();
    assert_eq!(granted.account.as_deref(), Some("bob@example.test"));
    assert_eq!(granted.content, refused.content);
    assert!(granted.issued.is_some() && granted.succeeded());
    assert_eq!(granted.metadata.as_deref(), Some("SOAP 1.2"));
    assert_eq!(granted.path, "/_wmcs/licensing/license.asmx");
    assert!(granted.user_agent.is_some() && !granted.secure && granted.micros > 0);
    let certified = last("Certify");
    assert_eq!(
        (certified.user.as_deref(), certified.authenticated),
        (Some("carol"), true)
    );
    let not_signed_in = events.last().unwrap();
    assert_eq!(not_signed_in.outcome, "not-signed-in");
    assert!(!not_signed_in.authenticated && not_signed_in.operation.is_none());
    // As shipped, no certificate is stored or named.
    assert!(events.iter().all(|event| event.received_xrml.is_empty()));
    let whole = fs::read(server.data().join("logging.db")).unwrap();
    assert!(
        !whole
            .windows(PASSWORD.len())
            .any(|part| part == PASSWORD.as_bytes())
    );
}

#[test]
fn certificates_are_stored_once_where_they_are_wanted() {
    let server = TestServer::start_with(Mode::Two, |config| {
        config.logging.fields = Fields::of(&[Field::ReceivedXrml, Field::IssuedXrml]);
    });
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    for _ in 0..3 {
        client.license(&bob, &license).unwrap();
    }
    let events = server_events(&server, 7);
    let granted = events.last().unwrap();
    // What is not among the fields is not there.
    assert_eq!((&granted.user_agent, &granted.account), (&None, &None));
    let data = text(&server.data());
    let arguments = [
        "--json",
        "log",
        "query",
        "events",
        "--request",
        &granted.request,
    ];
    let (code, out, err) = rmsd(&[&arguments[..], &["--data", &data]].concat(), "");
    assert_eq!(code, 0, "{err}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let kinds = |field: &str| -> Vec<String> {
        let certificates = told[0][field].as_array().unwrap().iter();
        certificates
            .map(|one| one["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let received = kinds("received_certificates");
    assert_eq!(received.len(), bob.rac_chain.len() + license.len());
    assert_eq!(
        (received[0].as_str(), received[1].as_str()),
        ("rac", "issuer")
    );
    assert_eq!(received[bob.rac_chain.len()], "pl");
    assert_eq!(kinds("issued_certificates")[0], "ul");
    let rac = told[0]["received_certificates"][0]["text"]
        .as_str()
        .unwrap();
    assert_eq!(rac, bob.rac_chain.leaf().unwrap().as_str());
    let distinct: std::collections::BTreeSet<_> = events
        .iter()
        .flat_map(|event| event.received_xrml.iter().chain(&event.issued_xrml))
        .collect();
    let stored: i64 = block_on(async {
        let url = format!("sqlite://{data}/logging.db");
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM log_certificate");
        count.fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(stored, i64::try_from(distinct.len()).unwrap());
}

#[test]
fn a_caller_cannot_make_the_log_grow_by_the_length_of_what_it_says() {
    let server = TestServer::start();
    let agent = "A".repeat(50_000);
    let answer = support::post(
        &server.url("/_wmcs/licensing/license.asmx"),
        &[("user-agent", &agent), ("content-type", "text/xml")],
        "<nothing/>",
    );
    assert_eq!(answer.status, 500);
    let events = server_events(&server, 1);
    let told = events[0].user_agent.as_deref().unwrap();
    assert!(told.len() <= 128 && told.ends_with('…'), "{told}");
}

#[test]
fn what_others_put_into_the_spool_is_not_taken_for_an_event() {
    let server = TestServer::start();
    let data = server.data();
    let client = Client::new(&server, SoapVersion::V11);
    client.join("alice");
    let TestServer {
        running, folder, ..
    } = server;
    running.stop();
    let spool = data.join("spool");
    let genuine = {
        // An event as the server writes it, from a spool that was not drained.
        let log = data.join("logging.db");
        fs::rename(&log, data.join("logging.db.kept")).unwrap();
        fs::write(&log, "no database").unwrap();
        with_server(&data, |url| {
            assert_eq!(post(url, "<nothing/>"), 500);
        });
        fs::remove_file(&log).unwrap();
        fs::rename(data.join("logging.db.kept"), &log).unwrap();
        let spool = Spool::open(&spool, Settings::default()).unwrap();
        let batch = spool.read(9, 9999).unwrap();
        assert_eq!(batch.records.len(), 1);
        spool.done(&batch).unwrap();
        batch.records[0].clone()
    };
    let before = count_sqlite(&data);
    {
        let spool = Spool::open(&spool, Settings::default()).unwrap();
        spool.append(b"made up").unwrap();
        let mut changed = genuine.clone();
        changed[20] ^= 1;
        spool.append(&changed).unwrap();
        spool.append(&genuine).unwrap();
        // Once more: its identifier is known.
        spool.append(&genuine).unwrap();
    }
    with_server(&data, |_| {});
    assert_eq!(count_sqlite(&data), before + 1);
    let place = text(&data);
    let (_, out, _) = rmsd(
        &["--json", "log", "dead-letters", "list", "--data", &place],
        "",
    );
    let letters: serde_json::Value = serde_json::from_str(&out).unwrap();
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), 2, "{out}");
    for letter in letters {
        assert!(
            letter["reason"].as_str().unwrap().contains("signature"),
            "{out}"
        );
    }
    let (_, out, _) = rmsd(
        &["--json", "log", "dead-letters", "replay", "--data", &place],
        "",
    );
    assert_eq!(out.trim(), r#"{"left":2,"stored":0}"#);
    let (_, out, _) = rmsd(
        &["--json", "log", "dead-letters", "purge", "--data", &place],
        "",
    );
    assert_eq!(out.trim(), r#"{"purged":2}"#);
    let (_, out, _) = rmsd(
        &["--json", "log", "dead-letters", "list", "--data", &place],
        "",
    );
    assert_eq!(out.trim(), "[]");
    drop(folder);
}

#[test]
fn events_that_somebody_removes_from_the_spool_are_missed() {
    let cluster = Cluster::provision("");
    let folder = cluster.data().join("spool");
    let settings = Settings {
        segment_bytes: 100,
        ..Settings::default()
    };
    {
        let spool = Spool::open(&folder, settings).unwrap();
        for _ in 0..5 {
            spool.append(&[0; 90]).unwrap();
        }
    }
    // Two of the five, of which each has a file.
    for number in [1, 4] {
        fs::remove_file(folder.join(format!("{number:020}.spool"))).unwrap();
    }
    let lost = cluster.with_server(|server| {
        let series = "rmsd_logging_events_total{result=\"lost\"} ";
        let lost = || {
            let metrics = support::get(&format!("{}/metrics", server.url), &[]).text();
            let mut values = metrics.lines().filter_map(|line| line.strip_prefix(series));
            values.next().unwrap().to_owned()
        };
        wait_until(|| lost() != "0");
        let missing = server.log().matches("log-records-missing").count();
        assert_eq!(missing, 1, "{}", server.log());
        lost()
    });
    assert_eq!(lost, "2");
}

#[test]
fn a_spool_is_brought_in_whole_however_much_waits_in_it() {
    let cluster = Cluster::provision("");
    let folder = cluster.folder.path().join("survived");
    let spool = Spool::open(&folder, Settings::default()).unwrap();
    for _ in 0..6 {
        spool.append(&vec![0; 1 << 20]).unwrap();
    }
    // As long as a record may be; with the reason behind it, no letter is.
    spool.append(&vec![0; LONGEST_RECORD]).unwrap();
    drop(spool);
    let (spool, data) = (text(&folder), text(&cluster.data()));
    let arguments = ["--json", "log", "drain", "--spool", &spool, "--data", &data];
    let (code, out, err) = rmsd(&arguments, "");
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.trim(), r#"{"lost":0,"set_aside":7,"stored":0}"#);
}

#[test]
fn a_spool_that_a_lost_server_left_behind_is_brought_in() {
    let cluster = Cluster::provision("");
    let spool = cluster.data().join("spool");
    let kept = cluster.folder.path().join("survived");
    // The database is away while the server answers, and then the server is gone.
    let log = cluster.data().join("logging.db");
    fs::write(&log, "no database").unwrap();
    let answers = cluster.with_server(|server| {
        for _ in 0..20 {
            assert_eq!(post(&server.url, "<nothing/>"), 500);
        }
        20
    });
    fs::remove_file(&log).unwrap();
    fs::rename(&spool, &kept).unwrap();
    let data = text(&cluster.data());
    let folder = text(&kept);
    for expected in [answers, 0] {
        let arguments = [
            "--json", "log", "drain", "--spool", &folder, "--data", &data,
        ];
        let (code, out, err) = rmsd(&arguments, "");
        assert_eq!(code, 0, "{err}");
        assert_eq!(
            out.trim(),
            format!(r#"{{"lost":0,"set_aside":0,"stored":{expected}}}"#)
        );
    }
    assert_eq!(count_sqlite(&cluster.data()), answers);
    let (_, out, _) = rmsd(&["--json", "log", "status", "--data", &data], "");
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["events"], 20, "{out}");
    let (_, out, _) = rmsd(&["log", "export", "--data", &data], "");
    assert_eq!(out.lines().count(), 20);
    let (_, out, _) = rmsd(&["--json", "log", "query", "refusals", "--data", &data], "");
    let refusals: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(refusals[0]["refusals"], 20, "{out}");
    let (code, _, err) = rmsd(
        &["log", "drain", "--spool", "/nowhere", "--data", &data],
        "",
    );
    assert_eq!(code, 1, "{err}");
}

#[test]
fn killing_the_server_at_any_instant_neither_loses_nor_doubles_an_event() {
    for place in LogPlace::all() {
        let cluster = Cluster::provision(&place.table());
        let load = Load::new(&cluster);
        let rounds = number("OPENRMS_SOAK_ROUNDS", 5);
        let mut given = BTreeMap::new();
        for round in 0..rounds {
            cluster.with_server(|server| {
                let life = Duration::from_millis(150 + 97 * (round % 7));
                let answered = load.run(server, 4, || std::thread::sleep(life), true);
                given.extend(answered);
            });
        }
        // The last one ends in order, and takes with it what is left.
        cluster.with_server(Server::end_in_order);
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for event in place.events(&cluster) {
            *rows.entry(event.request.into_owned()).or_default() += 1;
        }
        println!(
            "{place:?}: {rounds} kills, {} answers, {} rows",
            given.len(),
            rows.len()
        );
        assert!(given.len() as u64 > rounds * 10, "{}", given.len());
        for (request, status) in &given {
            assert_eq!(*status, 200);
            assert_eq!(rows.get(request), Some(&1), "{request}");
        }
        assert!(rows.values().all(|count| *count == 1));
        // Beside the answers that were given there are those that were cut off on their way.
        assert!(rows.len() - given.len() <= 4 * usize::try_from(rounds).unwrap());
    }
}

#[test]
fn a_database_that_goes_away_costs_no_answer_and_no_event() {
    for place in LogPlace::all() {
        let outage = Duration::from_secs(number("OPENRMS_SOAK_SECONDS", 3));
        let gate = place.gate();
        let cluster = Cluster::provision(&place.table_through(gate.as_ref()));
        let load = Load::new(&cluster);
        let given = cluster.with_server(|server| {
            let mut grown = 0;
            let given = load.run(
                server,
                2,
                || {
                    wait_until(|| place.count(&cluster) > 0);
                    let outage_now = Outage::begin(&cluster, gate.as_ref());
                    let before = spool_bytes(&cluster);
                    std::thread::sleep(outage);
                    grown = spool_bytes(&cluster).saturating_sub(before);
                    drop(outage_now);
                },
                false,
            );
            assert!(grown > 0, "nothing waited");
            println!("{place:?}: {} answers, {grown} bytes waited", given.len());
            wait_until(|| place.count(&cluster) >= given.len() as u64);
            given
        });
        assert!(given.values().all(|status| *status == 200));
        let events = place.events(&cluster);
        assert_eq!(events.len(), given.len());
        assert!(
            events
                .iter()
                .all(|event| given.contains_key(&*event.request))
        );
    }
}

#[test]
fn a_full_disk_refuses_requests_or_drops_events_and_harms_nothing() {
    for when_full in [WhenFull::Refuse, WhenFull::Drop] {
        let name = if when_full == WhenFull::Drop {
            "drop"
        } else {
            "refuse"
        };
        let cluster = Cluster::provision(&format!("[logging]\nwhen_full = \"{name}\"\n"));
        // The database is away, so that the spool fills.
        let log = cluster.data().join("logging.db");
        fs::write(&log, "no database").unwrap();
        let load = Load::new(&cluster);
        let Some(server) = cluster.spawn_on_tiny_disk() else {
            println!("skipped: no disk can be made here (unshare, mount)");
            return;
        };
        let mut statuses = load.until(&server, |statuses| {
            let full = || server.log().contains("spool-full");
            statuses.len() > 50 && full() && statuses.values().filter(|s| **s != 0).count() > 200
        });
        let count = |statuses: &BTreeMap<String, u16>, wanted| {
            statuses
                .values()
                .filter(|status| **status == wanted)
                .count()
        };
        let refused = count(&statuses, 503);
        assert_eq!(refused > 0, when_full == WhenFull::Refuse, "{refused}");
        assert_eq!(count(&statuses, 200) + refused, statuses.len());
        let told = server.log().matches("spool-full").count();
        assert!((1..3).contains(&told), "{}", server.log());

        // There is a database again, and with it there is space.
        fs::remove_file(&log).unwrap();
        let before = count_or_none(&cluster);
        wait_until(|| count_or_none(&cluster) > before);
        wait_until(|| {
            load.once(&server);
            server.log().contains("there is space for the log again")
        });
        let later: BTreeMap<_, _> = (0..50).map(|_| load.once(&server)).collect();
        assert!(later.values().all(|status| *status == 200), "{later:?}");
        statuses.extend(later.clone());
        server.end_in_order();
        let events = LogPlace::Sqlite.events(&cluster);
        let rows: BTreeMap<_, _> = events
            .iter()
            .map(|event| (event.request.to_string(), event))
            .collect();
        assert_eq!(rows.len(), events.len(), "an event is there twice");
        for request in later.keys() {
            assert!(rows.contains_key(request), "{request}");
        }
        let unlogged = |status| {
            let of = statuses.iter().filter(move |(_, found)| **found == status);
            of.filter(|(request, _)| !rows.contains_key(*request))
                .count()
        };
        println!(
            "{name}: {} answers, {refused} refusals, {} rows, {} answers without one",
            statuses.len(),
            rows.len(),
            unlogged(200)
        );
        if when_full == WhenFull::Refuse {
            assert_eq!(unlogged(200), 0, "an answer left without its event");
        } else {
            assert!(unlogged(200) > 0, "nothing was dropped");
        }
    }
}

/// The events of a server, when there are so many.
fn server_events(server: &TestServer, count: usize) -> Vec<LogEvent<'static>> {
    let read = || {
        block_on(async {
            let path = server.data().join("logging.db");
            let Ok(database) = SqliteLogging::open(&path).await else {
                return Vec::new();
            };
            let reports = Reports::new(&database, Chosen::EVER);
            let any = EventFilter::default();
            let events = reports.events(&any, None, usize::MAX).await.unwrap();
            database.close().await;
            events
        })
    };
    wait_until(|| read().len() >= count);
    let events = read();
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

fn count_sqlite(data: &Path) -> u64 {
    block_on(async {
        let path = data.join("logging.db");
        let database = SqliteLogging::open_or_create(&path).await.unwrap();
        let count = Reports::new(&database, Chosen::EVER).count().await.unwrap();
        database.close().await;
        count
    })
}

fn count_or_none(cluster: &Cluster) -> u64 {
    let path = cluster.data().join("logging.db");
    if path.exists() {
        count_sqlite(&cluster.data())
    } else {
        0
    }
}

/// Does something while a server of this process serves a data directory.
fn with_server(data: &Path, work: impl FnOnce(&str)) {
    let mut config = openrms_server::Config::for_data_dir(data).unwrap();
    config.limits.spare_keys = 0;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = openrms_server::Server::start_with_listener(config, listener).unwrap();
    work(running.url());
    running.stop();
}

fn post(url: &str, body: &str) -> u16 {
    let url = format!("{url}/_wmcs/licensing/license.asmx");
    support::post(&url, &[("content-type", "text/xml")], body).status
}

fn question() -> Operation<'static> {
    openrms_protocol::server::GetLicensorCertificate.into()
}

fn spool_bytes(cluster: &Cluster) -> u64 {
    let files = fs::read_dir(cluster.data().join("spool")).unwrap();
    files
        .map(|file| file.unwrap().metadata().map_or(0, |file| file.len()))
        .sum()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "nothing came of it in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

const PATIENCE: Duration = Duration::from_mins(1);
