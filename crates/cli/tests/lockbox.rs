//! The passphrase of the lockbox at the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use common::{Run, command, ended};
use openrms_client::{KernelKeyring, SecretCache as _};

fn run(home: &Path, arguments: &[&str], passphrase: Option<&str>) -> Run {
    let mut command = command(arguments);
    command.env("RMS_HOME", home);
    if let Some(passphrase) = passphrase {
        command.env("RMS_LOCKBOX_PASSPHRASE", passphrase);
    }
    ended(command.output().unwrap())
}

/// What a restart of the machine does.
fn forget(run: &Run) {
    let fingerprint = run.json()["fingerprint"].as_str().unwrap().to_owned();
    KernelKeyring.forget(&format!("openrms:lockbox:{fingerprint}"));
}

#[test]
fn a_passphrase_is_set_asked_for_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let plain = run(home, &["activate", "--json"], None);
    assert_eq!(plain.json()["protection"], "file-only", "{}", plain.out);
    let status = run(home, &["status"], None);
    assert!(
        status.out.contains("file permissions only"),
        "{}",
        status.out
    );

    let nobody = run(home, &["activate", "--json", "--passphrase"], None);
    assert_eq!((nobody.code, nobody.error_code().as_str()), (2, "usage"));
    let set = run(home, &["activate", "--json", "--passphrase"], Some("one"));
    assert_eq!(set.code, 0, "{}", set.out);
    assert_eq!(set.json()["fingerprint"], plain.json()["fingerprint"]);
    let status = run(home, &["status"], None);
    assert!(status.out.contains("protected by"), "{}", status.out);
    assert!(status.out.contains("passphrase, no TPM"), "{}", status.out);

    forget(&set);
    let status = run(home, &["status", "--json"], None);
    assert_eq!(status.code, 0, "{}", status.out);
    assert_eq!(status.json()["lockbox"]["protection"], "passphrase");
    let locked = run(home, &["activate", "--json"], None);
    assert_eq!(
        (locked.code, locked.error_code().as_str()),
        (3, "lockbox-locked")
    );
    let wrong = run(home, &["activate", "--json"], Some("two"));
    assert_eq!(
        (wrong.code, wrong.error_code().as_str()),
        (3, "lockbox-passphrase-wrong")
    );
    let gone = run(
        home,
        &["activate", "--json", "--no-passphrase"],
        Some("one"),
    );
    assert_eq!(gone.code, 0, "{}", gone.out);
    assert_eq!(gone.json()["protection"], "file-only");
    assert_eq!(run(home, &["activate"], None).code, 0);
}

#[test]
fn a_passphrase_in_the_environment_or_from_systemd_protects_a_new_lockbox() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let made = run(&home, &["activate", "--json"], Some("one"));
    let protection = made.json()["protection"].clone();
    assert!(
        ["passphrase", "passphrase-in-keyring"].contains(&protection.as_str().unwrap()),
        "{}",
        made.out
    );
    forget(&made);
    std::fs::write(folder.path().join("openrms.lockbox"), "one\n").unwrap();
    let mut command = command(["activate", "--json"]);
    command
        .env("RMS_HOME", &home)
        .env("CREDENTIALS_DIRECTORY", folder.path());
    let opened = ended(command.output().unwrap());
    assert_eq!(opened.code, 0, "{}", opened.out);
    assert_eq!(opened.json()["fingerprint"], made.json()["fingerprint"]);
    forget(&made);
}
