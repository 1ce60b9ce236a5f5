//! Several servers of one cluster as real processes, with a real PostgreSQL, and keys in a real
//! security module. Skipped with a line where there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Balancer, Node, Port, TestDatabase, add_person, client, eventually, secret, sign_in};
use openrms_client::{Client, Overwrite, OwnPolicy, Policy, Purge, Signer};
use serde_json::Value;
use support::{rmsd, text};

#[test]
fn a_second_server_needs_the_database_the_password_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(database) = TestDatabase::new(folder.path()) else {
        return;
    };
    let (balancer, one, two) = (Balancer::start(), Port::reserve(), Port::reserve());
    let keys = secret(&at("keys.password"), "correct Horse battery 9");
    let mut provision = vec!["provision", "root", "--name", "Example", "--json"];
    let (url, data, listen) = (balancer.url(), text(&at("one")), one.address.to_string());
    provision.extend(["--url", &url, "--data", &data, "--listen", &listen]);
    provision.extend(["--password-file", &keys, "--server-name", "one"]);
    ok(&provision, &database.arguments());
    assert!(!at("one").join("openrms.db").exists());
    assert!(!at("one").join("master.key").exists());

    // Whoever has the database and not the password gets nowhere, and nothing is made.
    let mut join = vec!["provision", "join", "--json"];
    let (data_two, listen_two) = (text(&at("two")), two.address.to_string());
    join.extend(["--data", &data_two, "--listen", &listen_two]);
    join.extend(["--server-name", "two"]);
    let wrong = secret(&at("wrong.password"), "another Horse battery 9");
    let refused = run(
        &[&join[..], &["--password-file", &wrong]].concat(),
        &database.arguments(),
    );
    assert_eq!(refused, (3, "wrong-password".into()));
    assert!(!at("two").exists());
    join.extend(["--password-file", &keys]);
    assert_eq!(ok(&join, &database.arguments())["already"], false);
    assert_eq!(ok(&join, &database.arguments())["already"], true);

    let mut nodes = [Node::new(at("one")), Node::new(at("two"))];
    for node in &mut nodes {
        node.start();
    }
    // People who are added at one are known at the other.
    let (alice, bob) = (client(at("alice"), "alice"), client(at("bob"), "bob"));
    for name in ["alice", "bob"] {
        add_person(&data_two, &at("person.password"), name);
    }
    eventually("alice is known at both", || {
        [one.address, two.address].iter().all(|address| {
            balancer.direct_to(&[*address]);
            signs_in(&balancer.url(), "alice")
        })
    });
    balancer.direct_to(&[one.address]);

    // Certified and published at one, licensed at the other.
    sign_in(&alice, &balancer.url());
    sign_in(&bob, &balancer.url());
    let file = protect(&alice, folder.path(), "first");
    balancer.direct_to(&[two.address]);
    assert_eq!(open(&bob, &file), "first");
    // One is gone, and nobody notices.
    nodes[0].kill();
    balancer.direct_to(&[one.address, two.address]);
    bob.purge_licenses(&Purge::All).unwrap();
    for _ in 0..4 {
        assert_eq!(open(&bob, &file), "first");
        bob.purge_licenses(&Purge::All).unwrap();
    }

    // A server that runs is not taken away; one that does not is, and the cluster goes on.
    nodes[0].start();
    let refused = run(&["unprovision", "--data", &data_two, "--json"], &[]);
    assert_eq!(refused, (1, "server-running".into()));
    assert!(nodes[1].stop());
    let removed = ok(&["unprovision", "--data", &data_two, "--json"], &[]);
    assert_eq!(removed["servers_left"], 1);
    // What is told of the past is in the cluster's database, and its spool was empty.
    assert_eq!(removed["kept"], serde_json::json!([]));
    let spool = serde_json::json!(text(&at("two").join("spool")));
    assert!(removed["removed"].as_array().unwrap().contains(&spool));
    assert_eq!(open(&bob, &file), "first");
}

#[test]
fn a_new_password_is_needed_at_the_next_start_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = text(&at("data"));
    let port = Port::reserve();
    let url = format!("http://{}", port.address);
    // Begun with a key file, as trials are.
    ok(
        &[
            "provision",
            "root",
            "--url",
            &url,
            "--data",
            &data,
            "--json",
        ],
        &[],
    );
    assert!(at("data").join("master.key").exists());
    add_person(&data, &at("person.password"), "alice");
    let mut node = Node::new(at("data"));
    node.start();
    let alice = client(at("alice"), "alice");
    sign_in(&alice, &url);
    let file = protect_for(&alice, folder.path(), "kept", "alice@example.test");

    let first = secret(&at("first.password"), "correct Horse battery 9");
    let set = [
        "key",
        "password",
        "--data",
        &data,
        "--json",
        "--new-password-file",
        &first,
    ];
    assert_eq!(ok(&set, &[])["changed"], true);
    alice.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&alice, &file), "kept");
    assert!(node.stop());
    std::fs::remove_file(at("data").join("master.key")).unwrap();

    let check = ["key", "check", "--data", &data, "--json"];
    assert_eq!(run(&check, &[]), (1, "no-credential".into()));
    let config = at("data").join("rmsd.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let named = |password: &str| {
        let text = format!("{before}\n[credential]\npassword_file = '{password}'\n");
        std::fs::write(&config, text).unwrap();
    };
    let wrong = secret(&at("wrong.password"), "another Horse battery 9");
    named(&wrong);
    assert_eq!(run(&check, &[]), (3, "wrong-password".into()));
    named(&first);
    assert_eq!(ok(&check, &[])["protection"], "a password");
    let weak = secret(&at("weak.password"), "horse");
    let set = [
        "key",
        "password",
        "--data",
        &data,
        "--json",
        "--new-password-file",
        &weak,
    ];
    assert_eq!(run(&set, &[]), (1, "weak-password".into()));
    node.start();
    alice.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&alice, &file), "kept");
}

#[test]
fn keys_of_a_server_stay_in_its_security_module() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some((library, conf)) = token(folder.path()) else {
        return;
    };
    let data = text(&at("data"));
    let port = Port::reserve();
    let url = format!("http://{}", port.address);
    let pin = secret(&at("pin"), PIN);
    let module = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(arguments)
            .arg("--json")
            .env("SOFTHSM2_CONF", &conf)
            .env_remove("RMSD_CONFIG")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), answer)
    };
    let mut provision = vec!["provision", "root", "--url", &url, "--data", &data];
    provision.extend(["--pkcs11-library", &library, "--pkcs11-token", TOKEN]);
    provision.extend(["--mode", "1"]);
    let (code, answer) = module(&[&provision[..], &["--password-file", &pin]].concat());
    assert_eq!(code, 0, "{answer}");
    let (_, status) = module(&["key", "status", "--data", &data]);
    assert_eq!(status["provider"], "pkcs11");
    assert!(!at("data").join("master.key").exists());
    add_person(&data, &at("person.password"), "alice");
    let mut node = Node::new(at("data")).with_environment("SOFTHSM2_CONF", &conf);
    node.start();
    let alice = client(at("alice"), "alice");
    sign_in(&alice, &url);
    let file = protect_for(&alice, folder.path(), "in the module", "alice@example.test");
    alice.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&alice, &file), "in the module");
    assert!(node.stop());

    // The next mode's key is made in it, and the old one stays in it.
    let (code, answer) = module(&["key", "upgrade-mode", "--yes", "--data", &data]);
    assert_eq!(code, 0, "{answer}");
    node.start();
    alice.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&alice, &file), "in the module");
    assert!(node.stop());

    // No backup pretends to hold what never leaves the token.
    let words = secret(&at("backup.password"), "correct Horse battery 8");
    let (archive, restored) = (text(&at("cluster.backup")), text(&at("restored")));
    let make = [
        "backup",
        "--data",
        &data,
        "-o",
        &archive,
        "--password-file",
        &words,
    ];
    let (code, answer) = module(&make);
    assert_eq!(
        (code, &answer["error"]["code"]),
        (1, &"keys-in-module".into())
    );
    assert!(!at("cluster.backup").exists());
    let (code, answer) = module(&[&make[..], &["--without-key"]].concat());
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["of"]["keys"], "security-module");
    let put_back = ["restore", &archive, "--data", &restored];
    let (code, answer) = module(&[&put_back[..], &["--password-file", &words]].concat());
    assert_eq!(code, 0, "{answer}");
    let (code, answer) = module(&["key", "check", "--data", &restored]);
    assert_eq!(code, 0, "{answer}");

    // With another PIN, or another token, nothing opens; and the keys cannot be taken out.
    let config = at("data").join("rmsd.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let wrong = secret(&at("wrong.pin"), "99887766");
    std::fs::write(&config, before.replace(&pin, &wrong)).unwrap();
    let (code, answer) = module(&["key", "check", "--data", &data]);
    assert_eq!(
        (code, &answer["error"]["code"]),
        (1, &"security-module".into())
    );
    std::fs::write(&config, &before).unwrap();
    let new = secret(&at("new.password"), "correct Horse battery 9");
    let set = ["key", "password", "--data", &data];
    let (code, answer) = module(&[&set[..], &["--new-password-file", &new]].concat());
    assert_eq!(
        (code, &answer["error"]["code"]),
        (1, &"key-protection".into())
    );
    std::fs::remove_dir_all(at("tokens")).unwrap();
    std::fs::create_dir(at("tokens")).unwrap();
    let (code, answer) = module(&["key", "check", "--data", &data]);
    assert_eq!(
        (code, &answer["error"]["code"]),
        (1, &"security-module".into())
    );
}

#[test]
fn a_cluster_moves_to_a_database_server_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (Some(database), Some(further)) = (
        TestDatabase::new(folder.path()),
        TestDatabase::new(folder.path()),
    ) else {
        return;
    };
    let (data, port) = (text(&at("data")), Port::reserve());
    let url = format!("http://{}", port.address);
    let provision = ["provision", "root", "--url", &url, "--data", &data];
    ok(&[&provision[..], &["--json"]].concat(), &[]);
    for name in ["alice", "bob"] {
        add_person(&data, &at("person.password"), name);
    }
    let mut node = Node::new(at("data"));
    node.start();
    let (alice, bob) = (client(at("alice"), "alice"), client(at("bob"), "bob"));
    sign_in(&alice, &url);
    sign_in(&bob, &url);
    let file = protect(&alice, folder.path(), "before");
    assert_eq!(open(&bob, &file), "before");

    let to = |url: &str, password: &str| {
        let options = ["--to", url, "--password-file", password];
        options.map(str::to_owned).to_vec()
    };
    let password = text(&database.password_file);
    let migrate = ["db", "migrate", "--data", &data, "--json"];
    let there = to(&database.url, &password);
    assert_eq!(run(&migrate, &there), (1, "database-in-use".into()));
    assert!(node.stop());
    let wrong = to(&database.url, &secret(&at("wrong"), "wr0ng"));
    assert_eq!(run(&migrate, &wrong), (3, "database-denied".into()));
    let shown = to(&database.url.replacen('@', ":rms@", 1), &password);
    assert_eq!(run(&migrate, &shown), (2, "usage".into()));

    // A rehearsal writes nothing, nor has any of the refused ones.
    let rehearsed = ok(&[&migrate[..], &["--dry-run"]].concat(), &there);
    assert_eq!(rehearsed["moved"], false);
    let status = || ok(&["db", "status", "--data", &data, "--json"], &[]);
    assert_eq!(status()["found"], "cluster");
    assert_eq!(status()["schema"], status()["newest_schema"]);
    let moved = ok(&migrate, &there);
    assert_eq!(moved["moved"], true);
    assert_eq!(moved["tables"], rehearsed["tables"]);
    let tables = moved["tables"].as_array().unwrap();
    assert!(
        tables
            .iter()
            .any(|table| table["name"] == "user_key" && table["rows"] == 2),
        "{moved}"
    );

    // The file is left: nobody starts from it by mistake.
    assert_eq!(status()["found"], "left");
    assert_eq!(status()["moved_to"], moved["to"]);
    let (code, _, complaint) = rmsd(&["serve", "--data", &data], "");
    assert_eq!(code, 1);
    assert!(complaint.contains("left behind"), "{complaint}");
    assert_eq!(run(&migrate, &there), (1, "database-not-empty".into()));

    let config = at("data").join("rmsd.toml");
    let mut lines = std::fs::read_to_string(&config).unwrap();
    lines.push('\n');
    lines.push_str(moved["configuration"].as_str().unwrap());
    std::fs::write(&config, lines).unwrap();
    assert_eq!(status()["found"], "cluster");
    assert_eq!(status()["database"], moved["to"]);
    node.start();
    bob.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&bob, &file), "before");
    assert_eq!(status()["servers"].as_array().unwrap().len(), 1);

    // From one database server to another likewise.
    let further = to(&further.url, &password);
    assert_eq!(run(&migrate, &further), (1, "database-in-use".into()));
    assert!(node.stop());
    assert_eq!(ok(&migrate, &further)["moved"], true);
    assert_eq!(status()["found"], "left");
}

/// A token of `SoftHSM2` below a folder; its library, and the file that leads there.
fn token(folder: &Path) -> Option<(String, PathBuf)> {
    let library = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
    ];
    let Some(library) = library.iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: SoftHSM2 is not installed");
        return None;
    };
    let (tokens, conf) = (folder.join("tokens"), folder.join("softhsm2.conf"));
    std::fs::create_dir(&tokens).unwrap();
    let setting = format!("directories.tokendir = {}\n", tokens.display());
    std::fs::write(&conf, setting).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", TOKEN])
        .args(["--pin", PIN, "--so-pin", PIN])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    Some(((*library).to_owned(), conf))
}

fn signs_in(url: &str, name: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path().join("home"), name);
    let url = url.parse().unwrap();
    let policy = openrms_client::JoinPolicy::TrustOnFirstUse;
    client.init(&url, &policy).unwrap();
    client.activate().unwrap();
    client
        .certify(openrms_client::Persistence::Temporary)
        .is_ok()
}

fn protect(client: &Client, folder: &Path, words: &str) -> PathBuf {
    protect_for(client, folder, words, "bob@example.test")
}

fn protect_for(client: &Client, folder: &Path, words: &str, who: &str) -> PathBuf {
    let (plain, target) = (folder.join("plain.txt"), folder.join("protected.ptxt"));
    std::fs::write(&plain, words).unwrap();
    let grant = format!("{who}:VIEW,EXPORT").parse().unwrap();
    let policy = Policy::Own(OwnPolicy::of([grant]));
    client
        .protect_file(&plain, &target, Overwrite::Force, &policy, Signer::Author)
        .unwrap();
    target
}

fn open(client: &Client, file: &Path) -> String {
    let opened = client.open_file(file).unwrap();
    let mut text = Vec::new();
    opened.export().unwrap().copy_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// What the program answers when it succeeds.
fn ok(arguments: &[&str], more: &[String]) -> Value {
    let all: Vec<_> = arguments
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect();
    let (code, out, complaint) = rmsd(&all, "");
    assert_eq!(code, 0, "{all:?}: {complaint}");
    serde_json::from_str(&out).unwrap()
}

/// The exit code and the name of what the program failed with.
fn run(arguments: &[&str], more: &[String]) -> (i32, String) {
    let all: Vec<_> = arguments
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect();
    let (code, out, _) = rmsd(&all, "");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let name = answer["error"]["code"].as_str().unwrap_or_default();
    (code, name.to_owned())
}

const TOKEN: &str = "openrms";
const PIN: &str = "12345678";
