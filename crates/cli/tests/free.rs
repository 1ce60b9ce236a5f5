//! `rms free`: files of a cluster that has ended, for whoever it lets in and for nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};

use common::cluster::Cluster;
use common::ended;
use openrms_client::{Client, Home, HttpOptions, HttpTransport, MachineIdentity};
use openrms_crypto::Cipher;
use openrms_formats::pfile;
use openrms_server::decommission::{candidate, decommission};
use openrms_server::{Config, Server};

/// A cluster that has ended, with a file that alice protected for herself, and its text.
fn ended_cluster(access: &str) -> (Cluster, std::path::PathBuf, Vec<u8>) {
    let cluster = Cluster::start_with(access);
    let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    let source = cluster.file("numbers.bin", &text);
    let protected = cluster.protect(&source, "alice@corp.example:OWNER");
    let run = cluster.run_as("bob", ["free", "--json", protected.to_str().unwrap()]);
    let in_service = (run.code, run.error_code());
    assert_eq!(in_service, (3, "server-in-service".to_owned()));

    let config = Config::for_data_dir(cluster.at("server")).unwrap();
    let now = openrms_xrml::Time::from_unix(1_800_000_000);
    let name = candidate(&config, now).unwrap().name;
    decommission(&config, &name, true, now).unwrap();
    cluster.running.reload_now().unwrap();
    (cluster, protected, text)
}

#[test]
fn whoever_is_let_in_frees_a_file_bit_for_bit_without_any_right_in_it() {
    let (cluster, protected, text) =
        ended_cluster("[services.decommission]\ngroups = [\"staff@corp.example\"]");
    let file = protected.to_str().unwrap();
    // What was licensed before stays good; nothing new is licensed, and the client says what there
    // is instead.
    let run = cluster.run_as(
        "alice",
        ["open", "-o", cluster.at("old").to_str().unwrap(), file],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(
        cluster.run_as("alice", ["licenses", "purge", "--all"]).code,
        0
    );
    let mut run = cluster.command_as("alice", ["open", "--json", file]);
    let run = ended(run.output().unwrap());
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (1, "server-decommissioned")
    );
    let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("rms free"), "{hint}");

    let run = cluster.run_as("carol", ["free", "--json", file]);
    assert_eq!((run.code, run.error_code().as_str()), (3, "unauthorized"));
    assert!(!cluster.at("numbers.bin.1").exists());

    let out = cluster.at("freed.bin");
    let run = cluster.run_as("bob", ["free", "--json", file, "-o", out.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let files = &run.json()["files"];
    assert_eq!(files[0]["length"], text.len());
    assert!(files[0]["content_id"].is_string());
    assert_eq!(fs::read(&out).unwrap(), text);

    // Nothing of it is left in the store of licenses.
    let held = cluster.run_as("bob", ["licenses", "--json"]).json();
    assert_eq!(held["licenses"].as_array().map_or(0, Vec::len), 0, "{held}");
    let run = cluster.run_as("bob", ["free", "--in-place", "--force", file]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(!protected.exists());
    assert_eq!(fs::read(cluster.at("numbers.bin")).unwrap(), text);
}

#[test]
fn content_in_another_cipher_is_freed_too_and_one_that_cannot_be_told_is_named() {
    let Ok(machine) = MachineIdentity::of_this_process() else {
        println!("skipped: this machine has no identity");
        return;
    };
    let (cluster, protected, text) =
        ended_cluster("[services.decommission]\naccess = \"signed-in\"");
    let mut file = File::open(&protected).unwrap();
    let header = pfile::read_header(&mut file).unwrap();
    let license = header.read_license(&mut file).unwrap();
    let alice = Home::open(cluster.at("home-alice")).unwrap();
    let transport = HttpTransport::new(&HttpOptions::default()).unwrap();
    let alice = Client::builder(alice, machine, transport).build();
    let (key, _) = alice.content_key(&license).unwrap();
    let out = cluster.at("freed.bin");
    let free = |cipher: Cipher, text: &[u8]| {
        let mut other = Vec::new();
        let (key, length) = (key.with_cipher(cipher), Some(text.len() as u64));
        pfile::protect(text, &mut other, &key, &license, ".bin", length).unwrap();
        let other = cluster.file("other.pfile", other);
        let arguments = [
            "free",
            "--json",
            other.to_str().unwrap(),
            "-f",
            "-o",
            out.to_str().unwrap(),
        ];
        cluster.run_as("bob", arguments)
    };
    for (cipher, length) in [
        (Cipher::Ecb, text.len() - 5),
        (Cipher::Cbc4k, text.len() - 5),
        (Cipher::Cbc4k, text.len()),
        (Cipher::Ecb, 0),
    ] {
        let run = free(cipher, &text[..length]);
        assert_eq!(run.code, 0, "{cipher:?}: {}{}", run.out, run.err);
        assert_eq!(fs::read(&out).unwrap(), &text[..length], "{cipher:?}");
    }
    let run = free(Cipher::Cbc512NoPadding, &text);
    assert_eq!(run.error_code(), "content-cipher-unknown");
}

#[test]
fn a_cluster_elsewhere_frees_what_the_settings_say_is_its_to_free() {
    let access = "[services.decommission]\naccess = \"signed-in\"";
    let (cluster, protected, text) = ended_cluster(access);
    let file = protected.to_str().unwrap();
    let out = cluster.at("freed.bin");
    let free = |folder: &str| {
        let arguments = ["free", "--json", file, "-f", "-o", out.to_str().unwrap()];
        let mut command = cluster.command_as("bob", arguments);
        // Bob belongs to another server by now, which is not even there.
        command.env("RMS_SERVER", "https://rms.invalid");
        command.env("RMS_CONFIG_DIR", cluster.at(folder));
        ended(command.output().unwrap())
    };
    let run = free("nothing");
    let error = (run.code, run.error_code());
    assert_eq!(error, (4, "license-server-unknown".to_owned()));
    let place = cluster.running.url();
    let settings =
        format!("[decommission]\n\"{place}/_wmcs/licensing\" = \"{place}/_wmcs/decommission\"\n");
    cluster.file("machine/client.toml", settings);
    let run = free("machine");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(fs::read(&out).unwrap(), text);
}

#[test]
fn a_server_that_starts_after_its_end_frees_too() {
    let access = "[services.decommission]\naccess = \"signed-in\"";
    let (cluster, protected, text) = ended_cluster(access);
    let Cluster { running, folder } = cluster;
    let listen = running.url().trim_start_matches("http://").to_owned();
    running.stop();
    let mut config = Config::for_data_dir(folder.path().join("server")).unwrap();
    config.listen = vec![listen.parse().unwrap()];
    let running = Server::start(config).unwrap();
    let cluster = Cluster { running, folder };
    let out = cluster.at("freed.bin");
    let arguments = [
        "free",
        protected.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ];
    let run = cluster.run_as("bob", arguments);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(fs::read(&out).unwrap(), text);
}
