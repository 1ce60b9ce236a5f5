//! The way back: prepared for the release before, or by restoring the backup.

use std::fs;

use openrms_protocol::SoapVersion;
use serde_json::json;

use crate::case::{Case, block_on, check, run_at};
use crate::support::{Client, Draft, text};

#[test]
fn s46_s48_s49_what_the_release_before_may_serve_is_said_and_its_return_prepared() {
    let case = Case::new().stopped().left_by_the_release_before();
    let before = case.state();
    let (exit, _) = case.rmsd(&["upgrade", "--yes", "--without-backup"], None);
    assert_eq!(exit, 0);
    let upgraded = case.state();
    let files = case.files();
    let (exit, checked) = case.rmsd(&["downgrade", "--check"], None);
    assert_eq!(exit, 0, "{checked}");
    assert_eq!(
        (&checked["to"], &checked["may_serve"]),
        (&json!("0.1.0"), &json!(["0.1.0"]))
    );
    let found = check(&checked, "database")["found"].to_string();
    assert!(
        found.contains("0.1.0 ignores what schema 4 added"),
        "{found}"
    );
    assert_eq!(case.state(), upgraded);
    // The older release does not start at what it does not know, so it is named.
    let config = case.data().join("rmsd.toml");
    let plain = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("service_level = \"2.0\"\n{plain}")).unwrap();
    for how in ["--check", "--yes"] {
        let (exit, answer) = case.rmsd(&["downgrade", how], None);
        assert_eq!(
            (exit, &answer["error"]["code"]),
            (1, &json!("downgrade-refused"))
        );
        let found = check(&answer, "configuration file")["found"].to_string();
        assert!(found.contains("service_level"), "{found}");
        assert_eq!(case.state(), upgraded);
    }
    fs::write(&config, plain).unwrap();
    let (exit, done) = case.rmsd(&["downgrade", "--yes"], None);
    assert_eq!(exit, 0, "{done}");
    // Configuration and files are as they were; of this server nothing is remembered.
    let after = case.state();
    assert!(case.files() == files);
    assert_eq!(after.configuration(), before.configuration());
    assert_eq!(
        (&after.keys, &after.servers),
        (&before.keys, &before.servers)
    );
    for (to, words) in [
        ("0.0.9", "does not know what"),
        ("9.9.9", "no release before"),
    ] {
        let (exit, answer) = case.rmsd(&["downgrade", "--check", "--to", to], None);
        assert_eq!(exit, 1);
        let found = check(&answer, "release")["found"].to_string();
        assert!(found.contains(words), "{found}");
    }
    // A step that is not for it stands in the way, and the only way back is said.
    let step = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time)
        VALUES (5, 'more for schema 4', 1, x'00', 0)";
    block_on(run_at(&case.database(), step));
    let (exit, answer) = case.rmsd(&["downgrade", "--yes"], None);
    assert_eq!((exit, &answer["may_serve"]), (1, &json!([])), "{answer}");
    let check = check(&answer, "database");
    assert!(
        check["advice"].to_string().contains("rmsd restore"),
        "{check}"
    );
}

#[test]
fn s47_restoring_the_backup_undoes_everything() {
    let case = Case::new();
    let client = Client::new(&case.server, SoapVersion::V11);
    let alice = client.join("alice");
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let license = draft.sign(&alice);
    let case = case.stopped().left_by_the_release_before();
    let archive = case.backup("before.backup");
    case.make_older();
    let before = case.state();
    let (exit, _) = case.rmsd(&["upgrade", "--yes"], Some(&archive));
    assert_eq!(exit, 0);
    case.change("after the upgrade");
    assert_ne!(case.state().configuration(), before.configuration());
    // To where there is nothing, as the manual has it.
    let kept = case.at("upgraded");
    fs::rename(case.data(), &kept).unwrap();
    let (exit, restored) = case.rmsd(&["restore", &text(&archive)], None);
    assert_eq!(exit, 0, "{restored}");
    let after = case.state();
    assert_eq!(after.configuration(), before.configuration());
    assert_eq!((&after.roles, &after.keys), (&before.roles, &before.keys));
    assert_eq!(after.servers, before.servers);
    let server = case.started();
    let client = Client::new(&server, SoapVersion::V11);
    let bob = client.join("bob");
    let granted = client.license(&bob, &license).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
}
