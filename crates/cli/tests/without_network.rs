//! The program where there is no network at all, not even loopback: in an empty network namespace.
//! Activation, publishing off line and opening one's own files must work there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use common::cluster::Cluster;
use common::unplugged::Unplugged;
use common::{assert_private, command, ended};

#[test]
fn a_machine_that_joined_before_is_activated_without_network_and_certified_on_first_use() {
    let Some(unplugged) = Unplugged::find() else {
        return;
    };
    let cluster = Cluster::start();
    let run = cluster.run_as("bob", ["init", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    let home = cluster.at("home-bob");
    assert!(!home.join("lockbox").exists());

    let run = unplugged.run(&cluster.command_as("bob", ["activate", "--json"]));
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["activated"], true);
    let fingerprint = run.json()["fingerprint"].clone();
    assert!(home.join("lockbox").is_file() && home.join("machine.xml").is_file());
    assert_private(&home);
    let lockbox = fs::read(home.join("lockbox")).unwrap();
    // Once more, in words: nothing is made anew.
    let run = unplugged.run(&cluster.command_as("bob", ["activate"]));
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.out.contains(fingerprint.as_str().unwrap()),
        "{}",
        run.out
    );
    assert!(run.out.contains("machine certificate  held"), "{}", run.out);
    // Certification is what the network is needed for, and this is said.
    let run = unplugged.run(&cluster.command_as("bob", ["sign-in", "--json"]));
    assert_eq!(run.code, 5, "{}", run.out);

    let protected = letter(&cluster, "VIEW,EXPORT");
    assert!(!home.join("accounts").exists());
    assert_eq!(open(&cluster, "bob", &protected), LETTER);
    assert!(home.join("accounts").is_dir());
    assert_eq!(fs::read(home.join("lockbox")).unwrap(), lockbox);
    assert_private(&home);
}

#[test]
fn a_machine_joins_from_a_bundle_file_and_is_activated_without_network() {
    let Some(unplugged) = Unplugged::find() else {
        return;
    };
    let cluster = Cluster::start();
    let bundle = openrms_server::client_bundle(cluster.at("server")).unwrap();
    let bundle = cluster.file("bundle.json", serde_json::to_string(&bundle).unwrap());
    let home = cluster.at("home-bob");
    let here = |arguments: &[&OsStr]| {
        let mut command = command(arguments);
        command.env("RMS_HOME", &home);
        unplugged.run(&command)
    };
    let [init, server, hierarchy] = ["init", "--server", "--hierarchy"].map(OsStr::new);
    let url = OsStr::new(cluster.running.url());
    let run = here(&[init, server, url, hierarchy, bundle.as_os_str()]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("joined"), "{}", run.out);
    let run = here(&["activate", "--json"].map(OsStr::new));
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["activated"], true);
    assert_private(&home);

    // The server was never asked before; what is remembered of it is enough.
    let protected = letter(&cluster, "VIEW,EXPORT");
    let mut command = cluster.command_as("bob", ["open", "--stdout"]);
    command.arg(&protected).env_remove("RMS_SERVER");
    let run = ended(command.output().unwrap());
    assert_eq!((run.code, run.out.as_str()), (0, LETTER), "{}", run.err);
}

#[test]
fn a_machine_without_anything_gets_its_lockbox_and_is_told_what_is_missing() {
    let Some(unplugged) = Unplugged::find() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("new");
    let here = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("RMS_HOME", &home);
        unplugged.run(&command)
    };
    let run = here(&["activate"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("comes with `rms init`"), "{}", run.out);
    assert!(home.join("lockbox").is_file() && !home.join("machine.xml").exists());
    assert_private(&home);
    let run = here(&["activate", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["activated"], false);
}

#[test]
fn authors_publish_and_open_their_own_files_without_network() {
    let Some(unplugged) = Unplugged::find() else {
        return;
    };
    let cluster = Cluster::start();
    let run = cluster.run_as("alice", ["init", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    let run = cluster.run_as("alice", ["sign-in", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);

    // Neither server nor password are told: nobody is to be asked.
    let alice = |arguments: &[&str], file: &Path| {
        let mut command = command(arguments);
        command.arg(file).env("RMS_HOME", cluster.at("home-alice"));
        unplugged.run(&command)
    };
    let letter = cluster.file("letter.txt", LETTER);
    let grant = "bob@corp.example:VIEW,EXPORT";
    let run = alice(
        &["protect", "--json", "--online", "--grant", grant],
        &letter,
    );
    assert_eq!(run.code, 5, "{}{}", run.out, run.err);
    let protected = cluster.at("letter.ptxt");
    assert!(!protected.exists());
    let run = alice(&["protect", "--json", "--grant", grant], &letter);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(protected.is_file());

    let run = alice(&["open", "--stdout"], &protected);
    assert_eq!((run.code, run.out.as_str()), (0, LETTER), "{}", run.err);

    // Bob must ask once; from then on he has a license.
    let mut bob = cluster.command_as("bob", ["open", "--stdout"]);
    bob.arg(&protected);
    let run = unplugged.run(&bob);
    assert_eq!((run.code, run.out.as_str()), (5, ""), "{}", run.err);
    assert_eq!(open(&cluster, "bob", &protected), LETTER);
    let run = unplugged.run(&bob);
    assert_eq!((run.code, run.out.as_str()), (0, LETTER), "{}", run.err);

    let mut carol = cluster.command_as("carol", ["open", "--stdout"]);
    let run = ended(carol.arg(&protected).output().unwrap());
    assert_eq!((run.code, run.out.as_str()), (3, ""), "{}", run.err);
}

/// A letter of alice's, protected, with rights for bob.
fn letter(cluster: &Cluster, rights: &str) -> std::path::PathBuf {
    let source = cluster.file("letter.txt", LETTER);
    cluster.protect(&source, &format!("bob@corp.example:{rights}"))
}

fn open(cluster: &Cluster, name: &str, protected: &Path) -> String {
    let mut command = cluster.command_as(name, ["open", "--stdout"]);
    let run = ended(command.arg(protected).output().unwrap());
    assert_eq!(run.code, 0, "{}", run.err);
    run.out
}

const LETTER: &str = "Dear Bob,\n\nthe cable is cut. Grüße\n";
