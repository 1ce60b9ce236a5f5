//! `rms quickstart`: the whole tour, twice in the same folder, and with files of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use common::{command, ended, rms};

#[test]
fn the_tour_ends_well_and_can_be_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tour");
    for _ in 0..2 {
        let run = rms(["quickstart", "--json", "--dir", dir.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}\n{}", run.out, run.err);
        let document = run.json();
        assert_eq!(document["opened_matches"], true);
        assert_eq!(document["denied"], true);
        assert!(
            document["admin_url"]
                .as_str()
                .unwrap()
                .starts_with("http://127.0.0.1:")
        );
        for step in document["steps"].as_array().unwrap() {
            assert!(step["ok"] == true && step["ms"].is_u64() && step["name"].is_string());
        }
        let protected = document["protected"].as_str().unwrap();
        let rights = rms(["inspect", "--json", protected]).json();
        assert_eq!(rights["license"]["owner"], "alice@quickstart.example");
    }
}

#[test]
fn files_of_ones_own_are_protected_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.md");
    std::fs::write(&file, "# plan\n").unwrap();
    let mut command = command(["quickstart", "--json", file.to_str().unwrap()]);
    let run = ended(
        command
            .env("XDG_STATE_HOME", folder.path())
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, 0, "{}\n{}", run.out, run.err);
    let protected = run.json()["protected"].as_str().unwrap().to_owned();
    assert!(protected.ends_with("plan.md.pfile"));
    assert!(protected.starts_with(folder.path().canonicalize().unwrap().to_str().unwrap()));
    assert_eq!(std::fs::read(&file).unwrap(), b"# plan\n");
}

#[test]
fn a_step_that_fails_is_exit_1_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tour");
    let tour = |file| rms(["quickstart", "--json", "--dir", dir.to_str().unwrap(), file]);
    let run = tour("/no/such/file");
    assert_eq!((run.code, run.error_code().as_str()), (1, "not-found"));
    assert!(!dir.exists());
    // A folder is found, but not protected.
    let run = tour(folder.path().to_str().unwrap());
    assert_eq!(run.code, 1, "{}", run.out);
    let document = run.json();
    assert!(document["error"]["code"].is_string());
    assert_eq!(
        document["steps"].as_array().unwrap().last().unwrap()["ok"],
        false
    );
}

#[test]
fn a_server_that_stays_answers_until_it_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tour");
    let mut command = command(["quickstart", "--stay", "--dir", dir.to_str().unwrap()]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut exported = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 && !line.starts_with("rms protect") {
        if let Some(pair) = line.trim().strip_prefix("export ") {
            let (name, value) = pair.split_once('=').unwrap();
            exported.push((name.to_owned(), value.trim_matches('\'').to_owned()));
        }
        line.clear();
    }
    let mut rights = common::command(["rights", "--json"]);
    rights.arg(dir.join("protected/letter.ptxt"));
    for (name, value) in exported.iter().filter(|(name, _)| name != "RMS_PASSWORD") {
        rights.env(name, value);
    }
    let run = ended(rights.output().unwrap());
    // The server does what is asked of it; then it is told to end, and ends.
    let told = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    let ended_well = child.wait().unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["rights"][0]["right"], "OWNER");
    assert!(told.success() && ended_well.success());
}
