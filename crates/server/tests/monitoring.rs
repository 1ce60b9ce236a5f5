//! What a monitoring system is told, and that the alert rules and the dashboard we ship name nothing
//! else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "tests end where they fail; counts are small"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use openrms_protocol::SoapVersion;
use openrms_server::events::Event;
use openrms_store::{Change, Sqlite, Store as _};
use serde_json::Value;
use support::{Client, Draft, TestServer, get, post};

/// A scrape: kinds of metrics, and their samples.
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: Vec<String>,
}

impl Scrape {
    fn of(server: &TestServer) -> Self {
        let text = get(&server.url("/metrics"), &[]).text();
        let mut kinds = BTreeMap::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(
                    kinds.insert(name.to_owned(), kind.to_owned()),
                    None,
                    "{name}"
                );
            } else if !line.starts_with("# HELP ") {
                samples.push(line.to_owned());
            }
        }
        Self { kinds, samples }
    }

    fn value(&self, series: &str) -> f64 {
        let found = self.samples.iter().find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (found == series).then_some(value)
        });
        let value = found.unwrap_or_else(|| panic!("{series} is not in {:#?}", self.samples));
        value.parse().unwrap()
    }

    /// The metric that a series belongs to.
    fn knows(&self, series: &str) -> bool {
        self.kinds.contains_key(series)
            || ["_bucket", "_sum", "_count"].iter().any(|part| {
                let name = series.strip_suffix(part);
                let kind = name.and_then(|name| self.kinds.get(name));
                kind.is_some_and(|kind| {
                    kind == "histogram" || (kind == "summary" && *part != "_bucket")
                })
            })
    }

    /// Fails when a text names a metric that there is not, or a label that its samples do not have
    /// with that value. Labels that Prometheus adds are anybody's, and so are variables.
    fn check(&self, whence: &str, text: &str) -> usize {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut checked = 0;
        for (start, _) in text.match_indices(['r', 'p']) {
            let rest = &text[start..];
            let inside = text[..start].chars().next_back().is_some_and(is_name);
            if inside || !(rest.starts_with("rmsd_") || rest.starts_with("process_")) {
                continue;
            }
            let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            assert!(
                self.knows(name),
                "{whence} names {name}, which there is not"
            );
            checked += 1;
            let Some((selector, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            else {
                continue;
            };
            let own: Vec<_> = self
                .samples
                .iter()
                .filter(|line| {
                    let line = line.split(['{', ' ']).next();
                    line == Some(name)
                })
                .collect();
            for term in selector.split(", ").filter(|_| !own.is_empty()) {
                let (label, values) = term.split_once('=').unwrap();
                if ["job", "instance"].contains(&label) {
                    continue;
                }
                let values = values.trim_start_matches('~').trim_matches('"');
                for value in values.split('|') {
                    let pair = format!("{label}=\"{value}\"");
                    let is_there = own.iter().any(|line| line.contains(&pair));
                    assert!(is_there, "{whence}: {name} never has {pair}");
                }
            }
        }
        checked
    }
}

fn shipped(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/monitoring");
    PathBuf::from(folder).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap()
}

#[test]
fn what_happens_is_counted_under_the_names_of_the_original() {
    let server = TestServer::start();
    let before = Scrape::of(&server);
    let client = Client::new(&server, SoapVersion::V12);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    client.license(&bob, &license).unwrap();
    client.license(&client.join("carol"), &license).unwrap_err();
    post(&server.url("/_wmcs/licensing/license.asmx"), &[], "nothing");

    let after = Scrape::of(&server);
    assert_eq!(before.kinds, after.kinds);
    let certify = "{operation=\"Certify\"}";
    let acquire = "{operation=\"AcquireLicense\"}";
    for (series, expected) in [
        (format!("rmsd_certification_requests_total{certify}"), 3.0),
        (format!("rmsd_certification_failures_total{certify}"), 0.0),
        (
            format!("rmsd_certification_duration_seconds_count{certify}"),
            3.0,
        ),
        (format!("rmsd_licensing_requests_total{acquire}"), 2.0),
        (format!("rmsd_licensing_failures_total{acquire}"), 1.0),
        (
            format!("rmsd_licensing_duration_seconds_count{acquire}"),
            2.0,
        ),
        (
            format!("rmsd_licensing_failure_duration_seconds_count{acquire}"),
            1.0,
        ),
        (
            "rmsd_nonspecific_failure_duration_seconds_count".into(),
            1.0,
        ),
        ("rmsd_key_failures_total{operation=\"sign\"}".into(), 0.0),
        ("rmsd_component_up{component=\"database\"}".into(), 1.0),
    ] {
        assert_eq!(after.value(&series), expected, "{series}");
    }
    for step in [
        "GetUser",
        "AddNewUser",
        "AssociateUserAndMachine",
        "GenerateUserCertificate",
        "AddEnablingBits",
    ] {
        let series = format!("rmsd_certification_step_duration_seconds_count{{step=\"{step}\"}}");
        assert_eq!(after.value(&series), 3.0, "{series}");
    }
    assert!(after.value(&format!("rmsd_licensing_duration_seconds_sum{acquire}")) > 0.0);
    assert!(after.value("rmsd_key_operations_duration_seconds_count{operation=\"sign\"}") >= 3.0);
    assert!(after.value("rmsd_logging_duration_seconds_count") >= 6.0);
    let days = (after.value("rmsd_slc_expiry_timestamp_seconds") - support::now().unix() as f64)
        / 86_400.0;
    assert!(days > 300.0, "{days}");
}

#[test]
fn alert_rules_and_dashboard_name_only_what_there_is() {
    let server = TestServer::start();
    let scrape = Scrape::of(&server);
    let rules = read("openrms.rules.yml");
    assert!(scrape.check("openrms.rules.yml", &rules) > 40);

    let dashboard: Value = serde_json::from_str(&read("openrms-dashboard.json")).unwrap();
    let mut places = BTreeSet::new();
    let mut checked = String::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(places.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            scrape.check(panel["title"].as_str().unwrap(), expression);
            checked += expression;
        }
    }
    // What is measured is shown, or watched.
    for name in scrape.kinds.keys() {
        let is_used = checked.contains(name.as_str()) || rules.contains(name.as_str());
        let is_plain = [
            "rmsd_connections_total",
            "rmsd_channel_downloads_total",
            "process_threads",
            "process_start_time_seconds",
            "rmsd_group_expansion_failures_total",
            "rmsd_group_expansion_duration_seconds",
            "rmsd_enrollment_duration_seconds",
            "rmsd_activation_duration_seconds",
            "rmsd_activation_failure_duration_seconds",
        ]
        .contains(&name.as_str());
        assert!(
            is_used || is_plain,
            "{name} is neither on the dashboard nor in a rule"
        );
    }
}

#[test]
fn alert_rules_fire_when_they_should() {
    let test = Command::new("promtool")
        .args(["test", "rules"])
        .arg(shipped("openrms.rules.test.yml"))
        .output();
    match test {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(error) => println!("skipped: promtool (Debian package prometheus): {error}"),
    }
}

#[test]
fn events_of_the_management_pack_are_watched() {
    let rules = read("openrms.rules.yml");
    for event in [
        Event::SpoolFull,
        Event::SlcRequestFailed,
        Event::ConfigurationCorrupt,
        Event::KeyPasswordChanged,
        Event::LoggingFailed,
        Event::LogMessageInvalid,
        Event::InternalError,
        Event::PartFailed,
    ] {
        let selector = format!("event=\"{}\"", event.number());
        assert!(rules.contains(&selector), "{event:?}");
    }
}

#[test]
fn readiness_tells_of_each_component() {
    let server = TestServer::start();
    let answer = get(&server.url("/readyz"), &[("accept", "application/json")]);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    let report: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(report["status"], "ready");
    let components = report["components"].as_array().unwrap();
    let names: Vec<_> = components
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "database",
            "directory",
            "key",
            "spool",
            "enrollment",
            "channel",
            "draining"
        ]
    );
    assert!(
        components
            .iter()
            .all(|component| component["state"] == "ok"),
        "{report}"
    );
}

#[test]
fn a_server_that_lost_its_database_is_ready_and_says_degraded() {
    let server = TestServer::start();
    let database = server.data().join("openrms.db");
    let url = server.url("/readyz");
    assert_eq!(get(&url, &[]).text(), "ready\n");
    corrupt(&database);
    let answer = get(&url, &[]);
    let told = "degraded: database: it does not answer; the server goes on with what it knows\n";
    assert_eq!((answer.status, answer.text().as_str()), (200, told));
    let scrape = Scrape::of(&server);
    assert_eq!(
        scrape.value("rmsd_component_up{component=\"database\"}"),
        0.0
    );
    assert!(Event::DatabaseLost.count() >= 1);
}

/// Overwrites a database in place, with the server that has it open.
fn corrupt(path: &std::path::Path) {
    for suffix in ["", "-wal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let length = std::fs::metadata(&name).map_or(0, |metadata| metadata.len());
        std::fs::write(&name, vec![0xA5; usize::try_from(length).unwrap()]).unwrap();
    }
}

#[test]
fn a_license_for_a_super_user_does_not_go_unnoticed() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V12);
    let (alice, dave) = (client.join("alice"), client.join("dave"));
    let license = Draft::new(&alice, &[]).sign(&alice);
    client.license(&dave, &license).unwrap_err();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(&server.data().join("openrms.db"))
            .await
            .unwrap();
        let mut policies = store.snapshot().await.unwrap().policies;
        policies.super_user_enabled = true;
        policies.super_user_group = Some("staff@example.test".into());
        let change = Change::SetPolicies(Box::new(policies));
        store.apply(&[change], None).await.unwrap();
        store.close().await;
    });
    server.running.reload_now().unwrap();
    let before = Event::SuperUserUsed.count();
    client.license(&dave, &license).unwrap();
    assert_eq!(
        Scrape::of(&server).value("rmsd_super_user_licenses_total"),
        1.0
    );
    assert_eq!(Event::SuperUserUsed.count(), before + 1);
}

#[test]
fn a_server_that_does_not_start_says_so_with_the_number_of_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let data = support::text(folder.path());
    let arguments = ["serve", "--data", &data, "--log-format", "json"];
    let (code, _, log) = support::rmsd(&arguments, "");
    assert_ne!(code, 0);
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["event"], 1003);
    assert_eq!(line["event_name"], "start-failed");
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"].as_str().unwrap().contains("provision"),
        "{line}"
    );
}
