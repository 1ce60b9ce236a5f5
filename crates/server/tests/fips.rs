//! `[crypto] fips = true`: only the validated module, or nothing. Tests with that module need a program
//! built with the feature `fips`, and then run real processes: what one is held to lasts until it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::Path;

use fleet::{Node, Port};
use openrms_crypto::fips::{NotValidated, is_validated_module};
use openrms_server::fips::FipsError;
use openrms_server::provision::{ProvisionError, RootOptions, provision_root};
use openrms_server::{Config, Server, StartError};
use serde_json::Value;
use support::*;

#[test]
fn s39_only_the_validated_module_is_used_where_fips_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    if is_validated_module() {
        with_the_validated_module(&data);
    } else {
        without_it(&data);
    }
}

/// Whoever asks is told what is missing, and nothing is made or served.
fn without_it(data: &Path) {
    let url = "http://127.0.0.1:8080";
    let refused = provision_root(&RootOptions {
        fips: true,
        ..RootOptions::new(data, url)
    });
    assert!(matches!(
        refused,
        Err(ProvisionError::Fips(FipsError::NotValidated(NotValidated)))
    ));
    let place = text(data);
    let root = ["provision", "root", "--url", url, "--data", &place];
    assert_eq!(
        refusal(&[&root[..], &["--fips"]].concat()),
        "fips-no-module"
    );
    assert!(!data.exists(), "a cluster was begun");

    // A cluster that is there, on a machine where FIPS is asked for later.
    provision_root(&RootOptions::new(data, url)).unwrap();
    append(data, "[crypto]\nfips = true\n");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut config = Config::for_data_dir(data).unwrap();
    assert!(config.fips);
    config.listen = vec![address];
    let refused = Server::start(config).unwrap_err();
    assert!(
        matches!(refused, StartError::Fips(FipsError::NotValidated(_))),
        "{refused}"
    );
    assert!(refused.to_string().contains("validated module of AWS-LC"));
    assert!(TcpStream::connect(address).is_err(), "something is served");
    for command in [
        ["serve"].as_slice(),
        &["person", "list"],
        &["key", "check"],
        &["key", "upgrade-mode", "--yes"],
    ] {
        let command = [command, &["--data", &place]].concat();
        assert_eq!(refusal(&command), "fips-no-module", "{command:?}");
    }
}

/// A cluster in mode 2 is set up and served; what is not approved is refused.
fn with_the_validated_module(data: &Path) {
    let port = Port::reserve();
    let url = format!("http://{}", port.address);
    let place = text(data);
    let root = [
        "provision",
        "root",
        "--url",
        &url,
        "--data",
        &place,
        "--fips",
    ];
    assert_eq!(
        refusal(&[&root[..], &["--mode", "1"]].concat()),
        "fips-mode-1"
    );
    let (code, _, complaint) = rmsd(&root, "");
    assert_eq!(code, 0, "{complaint}");
    assert!(Config::for_data_dir(data).unwrap().fips);
    let mut node = Node::new(data.to_owned());
    node.start();
    assert_eq!(get(&format!("{url}/readyz"), &[]).status, 200);
    assert!(node.stop());

    append(data, "[sign_in.ntlm]\n");
    assert_eq!(refusal(&["serve", "--data", &place]), "fips-ntlm");

    // A cluster of mode 1, on a machine where FIPS is asked for later.
    let old = data.with_file_name("old");
    let place = text(&old);
    let root = ["provision", "root", "--url", &url, "--data", &place];
    let (code, _, complaint) = rmsd(&[&root[..], &["--mode", "1"]].concat(), "");
    assert_eq!(code, 0, "{complaint}");
    append(&old, "[crypto]\nfips = true\n");
    for command in [["serve"].as_slice(), &["key", "upgrade-mode", "--yes"]] {
        let command = [command, &["--data", &place]].concat();
        assert_eq!(refusal(&command), "fips-mode-1", "{command:?}");
    }
}

/// The code of the error that a command ends with.
fn refusal(command: &[&str]) -> String {
    let (code, out, complaint) = rmsd(&[command, &["--json"]].concat(), "");
    assert_eq!(code, 1, "{command:?}: {complaint}");
    let document: Value = serde_json::from_str(&out).unwrap();
    document["error"]["code"].as_str().unwrap().to_owned()
}

fn append(data: &Path, more: &str) {
    let file = data.join("rmsd.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{written}\n{more}")).unwrap();
}
