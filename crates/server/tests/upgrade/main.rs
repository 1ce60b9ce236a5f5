//! `rmsd upgrade` and `rmsd downgrade`: clusters as the release before left them are brought to this
//! one in place, and taken back. The names begin with the requirements that they show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod back;
mod case;
#[path = "../support/fleet.rs"]
mod fleet;
mod rules;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use case::{Case, RELEASE, SECRET, block_on, check, make_older_at, program, rmsd, schema};
use fleet::{Node, Port, StopOnDrop, TestDatabase, add_person, eventually, secret};
use openrms_protocol::SoapVersion;
use serde_json::{Value as Json, json};
use support::{Client, Draft, PASSWORD, text};

#[test]
fn s17_s32_a_fresh_installation_has_nothing_to_upgrade_and_needs_no_older_release() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let place = ["--json", "--data", &text(&data)];
    for how in ["--check", "--yes"] {
        let (exit, out, err) = rmsd(&[&["upgrade", how][..], &place].concat());
        assert_eq!(exit, 0, "{err}");
        let answer: Json = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["installation"], "none");
        assert!(!data.exists());
    }
    let (exit, _, err) = rmsd(&["downgrade", "--check", "--data", &text(&data)]);
    assert_eq!(exit, 1, "{err}");
    assert!(!data.exists());
    // The same program sets a cluster up where none was.
    let mut set_up = vec!["provision", "root", "--url", "http://rms.example"];
    set_up.extend(["--listen", "127.0.0.1:0", "--ignore-check", "all"]);
    set_up.extend(place);
    let (exit, _, err) = rmsd(&set_up);
    assert_eq!(exit, 0, "{err}");
    let (exit, out, err) = rmsd(&[&["upgrade", "--yes"][..], &place].concat());
    assert_eq!(exit, 0, "{err}");
    let answer: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["added"], json!([]));
    assert_eq!(answer["found"]["installation"], "cluster");
}

#[test]
fn s18_s19_s25_s26_what_is_missing_is_added_in_place_and_nothing_else_is_touched() {
    let case = Case::new();
    let client = Client::new(&case.server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let license = draft.sign(&alice);
    let case = case.stopped().left_by_the_release_before();
    let archive = case.backup("before.backup");
    case.make_older();
    let (files, before) = (case.files(), case.state());

    let (exit, checked) = case.rmsd(&["upgrade", "--check"], Some(&archive));
    assert_eq!(exit, 0, "{checked}");
    let missing = json!([
        {"adds": "schema", "number": 4},
        {"adds": "activation"},
        {"adds": "server", "name": "one", "from": "0.1.0", "to": RELEASE},
    ]);
    assert_eq!(checked["missing"], missing);
    assert!(case.files() == files, "a check changed something");
    assert_eq!(case.state(), before);

    let (exit, done) = case.rmsd(&["upgrade", "--yes"], Some(&archive));
    assert_eq!(exit, 0, "{done}");
    assert_eq!(done["added"], missing);
    // What was there is there, byte for byte, but for the database; and nothing came beside it.
    assert!(case.files() == files, "a file changed");
    let after = case.state();
    assert_eq!(after.configuration(), before.configuration());
    assert_eq!(after.keys, before.keys);
    assert!(before.roles.iter().all(|role| after.roles.contains(role)));
    let added: Vec<_> = after.roles.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(after.roles.len(), before.roles.len() + 1, "{added:?}");
    let server = &after.servers[0];
    let upgrade = server.upgrade.as_ref().unwrap();
    assert_eq!(
        (upgrade.from.as_str(), upgrade.to.as_str()),
        ("0.1.0", RELEASE)
    );
    assert_eq!(server.service_level.as_deref(), Some("2.0"));

    // Again, with nothing to do; also without a backup, as nothing is at stake.
    for archive in [Some(&archive), None] {
        let (exit, again) = case.rmsd(&["upgrade", "--yes"], archive);
        assert_eq!((exit, &again["added"]), (0, &json!([])), "{again}");
        assert_eq!(case.state(), after);
    }
    // Nobody provisions or configures anything: who was certified is licensed.
    let server = case.started();
    let client = Client::new(&server, SoapVersion::V11);
    let granted = client.license(&bob, &license).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
    client.join("carol");
}

#[test]
fn s20_requests_are_answered_while_a_cluster_of_one_server_is_upgraded() {
    let case = Case::new();
    case.make_older();
    let archive = case.backup("before.backup");
    case.make_older();
    let client = Client::new(&case.server, SoapVersion::V11);
    let alice = client.join("alice");
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    let bob = client.join("bob");
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _over = StopOnDrop(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    client.license(&bob, &license).unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let some_more = |what: &str| {
            let before = answered.load(Ordering::Relaxed);
            eventually(what, || answered.load(Ordering::Relaxed) > before + 10);
        };
        some_more("answers before");
        let before = answered.load(Ordering::Relaxed);
        let (exit, done) = case.rmsd(&["upgrade", "--yes"], Some(&archive));
        assert_eq!(exit, 0, "{done}");
        assert_eq!(done["added"].as_array().unwrap().len(), 3);
        assert!(
            answered.load(Ordering::Relaxed) > before,
            "nobody was answered"
        );
        some_more("answers after");
    });
    // People are certified as before, by the server that was never stopped.
    client.join("carol");
}

#[test]
fn s27_s31_the_servers_of_a_cluster_are_upgraded_one_by_one_on_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = TestDatabase::new(folder.path()) else {
        return;
    };
    let keys = secret(
        &folder.path().join("keys.password"),
        "correct Horse battery 9",
    );
    let (first, second) = (Port::reserve(), Port::reserve());
    let url = format!("http://{}", first.address);
    let nodes = ["first", "second"].map(|name| folder.path().join(name));
    for (data, kind, port) in [(&nodes[0], "root", &first), (&nodes[1], "join", &second)] {
        let (data_text, listen) = (text(data), port.address.to_string());
        let mut set_up = vec!["provision", kind, "--data", &data_text, "--listen", &listen];
        set_up.extend(["--password-file", &keys]);
        let arguments = database.arguments();
        set_up.extend(arguments.iter().map(String::as_str));
        let name = data.file_name().unwrap().to_str().unwrap();
        set_up.extend(["--server-name", name]);
        if kind == "root" {
            set_up.extend(["--url", &url, "--ignore-check", "all"]);
        }
        let (exit, _, err) = rmsd(&set_up);
        assert_eq!(exit, 0, "{err}");
    }
    add_person(
        &text(&nodes[0]),
        &folder.path().join("alice.password"),
        "alice",
    );
    let mut servers = nodes.clone().map(Node::new);
    for server in &mut servers {
        server.start();
    }
    for server in &mut servers {
        assert!(server.stop());
    }
    let on = |data: &PathBuf, arguments: &[&str]| {
        let data = text(data);
        let more = ["--json", "--data", &data];
        let (exit, out, err) = rmsd(&[arguments, &more].concat());
        let answer: Json = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        (exit, answer)
    };
    let older = || block_on(make_older_at(&database));
    older();
    let (archive, password) = (folder.path().join("b"), folder.path().join("b.password"));
    let (archive, password) = (text(&archive), secret(&password, SECRET));
    let named = ["--backup", &archive, "--password-file", &password];
    let (exit, made) = on(
        &nodes[0],
        &["backup", "-o", &archive, "--password-file", &password],
    );
    assert_eq!(exit, 0, "{made}");
    older();
    let missing = |answer: &Json| {
        let missing = answer["missing"].as_array().unwrap().iter();
        missing.map(|step| step["adds"].clone()).collect::<Vec<_>>()
    };
    for (data, adds) in [
        (&nodes[0], &["schema", "activation", "server"][..]),
        // What all share is there; the backup of before is still that of the cluster.
        (&nodes[1], &["server"]),
    ] {
        let (exit, checked) = on(data, &[&["upgrade", "--check"][..], &named].concat());
        assert_eq!(exit, 0, "{checked}");
        assert_eq!(missing(&checked), adds);
        let (exit, done) = on(data, &[&["upgrade", "--yes"][..], &named].concat());
        assert_eq!(exit, 0, "{done}");
        let (_, checked) = on(data, &["upgrade", "--check"]);
        assert_eq!(missing(&checked), Vec::<Json>::new());
    }
    let (_, checked) = on(&nodes[0], &["upgrade", "--check"]);
    let upgraded: Vec<_> = checked["servers"].as_array().unwrap().iter().collect();
    assert_eq!(upgraded.len(), 2);
    assert!(
        upgraded
            .iter()
            .all(|one| one["version"] == "0.1.0" && one["upgrade"]["to"] == RELEASE)
    );
    // One is started as this release, and the list tells them apart.
    servers[0].start();
    let (_, checked) = on(&nodes[1], &["upgrade", "--check"]);
    let found = check(&checked, "servers")["found"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        found.contains(&format!("first (release {RELEASE}, level 2.0)")),
        "{found}"
    );
    assert!(
        found.contains("second (release 0.1.0, level 2.0)"),
        "{found}"
    );
    servers[1].start();
    for server in &mut servers {
        assert!(server.stop());
    }
}

#[test]
fn s19_an_upgrade_that_is_killed_at_any_instant_is_completed_by_the_same_command() {
    let case = Case::new().stopped().left_by_the_release_before();
    let archive = case.backup("before.backup");
    let (data, archive) = (text(&case.data()), text(&archive));
    let password = text(&case.password);
    let arguments = [
        "upgrade",
        "--yes",
        "--json",
        "--data",
        &data,
        "--backup",
        &archive,
        "--password-file",
        &password,
    ];
    case.make_older();
    let before = case.state();
    let mut whole_time = None;
    let (mut killed, mut in_between) = (0, 0);
    for number in 0..=INSTANTS {
        case.make_older();
        let began = Instant::now();
        let mut child = program(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let Some(time) = whole_time else {
            assert_eq!(told.by_ref().count(), 3);
            assert!(child.wait().unwrap().success());
            whole_time = Some(began.elapsed());
            continue;
        };
        if number % 2 == 0 {
            // In the step after one that it has told.
            let steps = 1 + (number / 2) as usize % 2;
            assert_eq!(told.by_ref().take(steps).count(), steps);
        } else {
            // The instants are spread over the second half, in which something is changed.
            let life: Duration = time / 2 + time / 2 * number / INSTANTS;
            while began.elapsed() < life && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
        }
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        let made = case.state();
        let is_recorded = made.servers[0].upgrade.is_some();
        in_between += u32::from(made.schema == 4 && !is_recorded);
        let (exit, _, err) = rmsd(&arguments);
        assert_eq!(exit, 0, "{number}: {err}");
        let after = case.state();
        assert_eq!(after.configuration(), before.configuration());
        assert_eq!(after.roles.len(), before.roles.len() + 1);
        assert_eq!(after.servers[0].upgrade.as_ref().unwrap().to, RELEASE);
        let (exit, out, _) = rmsd(&arguments);
        let again: Json = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, &again["added"]), (0, &json!([])));
    }
    println!(
        "killed {killed} of {INSTANTS} times, {in_between} in between, {whole_time:?} for each"
    );
    assert!(killed > INSTANTS / 3 && in_between > 0);
    drop(case.started());
}

#[test]
fn s18_s20_the_release_before_goes_on_serving_while_its_cluster_is_upgraded_under_it() {
    let Some(previous) = Node::previous_release() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = Port::reserve();
    let url = format!("http://{}", port.address);
    let (data_text, listen) = (text(&data), port.address.to_string());
    let mut node = Node::new(data.clone()).of_release(&previous);
    let provision = ["provision", "root", "--url", &url, "--data", &data_text];
    node.succeed(&[&provision[..], &["--listen", &listen]].concat());
    let password = secret(&folder.path().join("person.password"), PASSWORD);
    let add = [
        "person",
        "add",
        "alice",
        "--mail",
        "alice@example.test",
        "--data",
        &data_text,
    ];
    node.succeed(&[&add[..], &["--password-file", &password]].concat());
    node.start();
    let sealed = secret(&folder.path().join("backup.password"), SECRET);
    let archive = text(&folder.path().join("before.backup"));
    let backup = [
        "backup",
        "--data",
        &data_text,
        "-o",
        &archive,
        "--password-file",
        &sealed,
    ];
    node.succeed(&backup);
    // This program, beside that one, which serves.
    let mut arguments = vec![
        "upgrade", "--json", "--data", &data_text, "--backup", &archive,
    ];
    arguments.extend(["--password-file", &sealed]);
    let (exit, out, err) = rmsd(&[&arguments[..], &["--check"]].concat());
    assert_eq!(exit, 0, "{out}{err}");
    let join = |name: &str| {
        let client = fleet::client(folder.path().join(name), "alice");
        fleet::sign_in(&client, &url);
    };
    join("before");
    let (over, joined) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _over = StopOnDrop(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                join(&format!(
                    "during-{}",
                    joined.fetch_add(1, Ordering::Relaxed)
                ));
            }
        });
        let some_more = |what: &str| {
            let before = joined.load(Ordering::Relaxed);
            eventually(what, || joined.load(Ordering::Relaxed) > before + 3);
        };
        some_more("somebody joins before");
        let (exit, out, err) = rmsd(&[&arguments[..], &["--yes"]].concat());
        assert_eq!(exit, 0, "{out}{err}");
        some_more("somebody joins after");
    });
    assert_eq!(schema(&data.join("openrms.db")), 4);
    assert!(node.stop());
    node.set_release(Node::this_release());
    node.start();
    join("after");
    let (exit, out, _) = rmsd(&[&arguments[..], &["--yes"]].concat());
    let again: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &again["added"]), (0, &json!([])));
}

const INSTANTS: u32 = 10;
