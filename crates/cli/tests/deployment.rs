//! Deployments of Service Pack 1 and later, from the copying of programs to opened documents: where no
//! packet leaves the machine, and by people who administer nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use common::ended;
use common::site::{Place, Programs, Site};
use openrms_protocol::ServiceLevel;

#[test]
fn s33_s35_a_deployment_lives_where_there_is_no_way_out() {
    let Some(programs) = Programs::built() else {
        return;
    };
    let Some(place) = Place::alone() else {
        return;
    };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]);
        ended(place.at(command).output().unwrap())
    };
    assert_eq!(run(&["ip", "route", "show", "table", "main"]).out, "");
    let outside = run(&["curl", "--silent", "--show-error", "http://192.0.2.1/"]);
    assert_ne!(outside.code, 0, "a way out is left");

    let prefix = tempfile::tempdir().unwrap();
    let installed = programs.installed(&prefix.path().join("bin"));
    for level in [ServiceLevel::Sp1, ServiceLevel::Sp2, ServiceLevel::V2] {
        let site = Site::new(level, installed.clone(), place.clone());
        let bob = site.run_as("bob-1", "bob", ["init", "--json"]);
        assert_eq!(bob.code, 0, "{level}: {}{}", bob.out, bob.err);
        let activated = site.run_as("bob-1", "bob", ["activate", "--json"]);
        assert_eq!(activated.code, 0, "{level}: {}", activated.out);
        assert_eq!(site.answered("Activate"), 0, "the lockbox came from here");

        let letter = site.at("letter.txt");
        fs::write(&letter, LETTER).unwrap();
        for (name, how) in [("by-author", None), ("by-server", Some("--online"))] {
            let protected = site.at(name);
            let mut protect = ["protect", "--grant", "bob@corp.example:VIEW,EXPORT", "-o"]
                .map(OsStr::new)
                .to_vec();
            protect.extend([protected.as_os_str(), letter.as_os_str()]);
            protect.extend(how.map(OsStr::new));
            let run = site.run_as("alice-1", "alice", protect);
            assert_eq!(run.code, 0, "{level}, {name}: {}", run.err);
            let open = ["open", "--stdout"].map(OsStr::new);
            let open = [&open[..], &[protected.as_os_str()]].concat();
            let run = site.run_as("bob-1", "bob", &open);
            assert_eq!(
                (run.code, run.out.as_str()),
                (0, LETTER),
                "{level}: {}",
                run.err
            );
            let run = site.run_as("carol-1", "carol", &open);
            assert_eq!(run.code, 3, "{level}: carol has no right: {}", run.out);
        }
    }
}

#[test]
fn s36_people_need_no_rights_on_their_machine_but_to_their_own_folder() {
    let Some(programs) = Programs::built() else {
        return;
    };
    let prefix = tempfile::tempdir().unwrap();
    let theirs = prefix.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    if chown(&theirs, Some(NOBODY), Some(NOBODY)).is_err() {
        println!("skipped: only root can be somebody else");
        return;
    }
    fs::set_permissions(prefix.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let installed = programs.installed(&prefix.path().join("bin"));
    let site = Site::new(ServiceLevel::Sp1, installed, Place::Here);
    fs::set_permissions(site.at("."), fs::Permissions::from_mode(0o711)).unwrap();
    let home = site.at("bob-1");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = |arguments: &[&OsStr]| {
        let mut command = site.command_as("bob-1", "bob", arguments);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        ended(command.output().unwrap())
    };
    let letter = site.at("letter.txt");
    fs::write(&letter, LETTER).unwrap();
    let protected = site.at("letter");
    let protect = ["protect", "--grant", "bob@corp.example:VIEW,EXPORT", "-o"].map(OsStr::new);
    let protect = [&protect[..], &[protected.as_os_str(), letter.as_os_str()]].concat();
    assert_eq!(site.run_as("alice-1", "alice", protect).code, 0);
    let run = as_nobody(&["activate", "--json"].map(OsStr::new));
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let run = as_nobody(&[
        OsStr::new("open"),
        OsStr::new("--stdout"),
        protected.as_os_str(),
    ]);
    assert_eq!((run.code, run.out.as_str()), (0, LETTER), "{}", run.err);
    // Whatever was made is theirs and in their folder, and the programs are as they were.
    let owner = fs::metadata(home.join("lockbox")).unwrap().uid();
    assert_eq!(owner, NOBODY);
    let changed = as_nobody(&[
        OsStr::new("protect"),
        OsStr::new("--in-place"),
        letter.as_os_str(),
    ]);
    assert_ne!(changed.code, 0, "what is not theirs they cannot change");
}

#[test]
fn s37_a_service_of_a_server_opens_content_and_protects_it_again() {
    let Some(programs) = Programs::built() else {
        return;
    };
    let site = Site::new(ServiceLevel::Sp1, programs, Place::Here);
    let letter = site.at("letter.txt");
    fs::write(&letter, LETTER).unwrap();
    let rms = |machine: &str, who: &str, arguments: &[&str]| {
        let run = site.run_as(machine, who, arguments);
        (run.code, run.out + &run.err)
    };
    let path = |name: &str| site.at(name).to_str().unwrap().to_owned();
    // carol is the account of a mail gateway, which nobody sits before.
    let (code, said) = rms("gateway", "carol", &["init"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = rms("gateway", "carol", &["sign-in", "--service"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        site.last_endpoint("Certify"),
        "/_wmcs/certification/ServerCertification.asmx"
    );
    let [letter, sent, opened, passed_on] =
        ["letter.txt", "sent", "opened.txt", "passed-on"].map(path);
    let grant = ["--grant", "carol@corp.example:VIEW,EXPORT"];
    let (code, said) = rms(
        "alice-1",
        "alice",
        &["protect", grant[0], grant[1], "-o", &sent, &letter],
    );
    assert_eq!(code, 0, "{said}");
    // It reads what was sent to it, and sends it on to whom it is for.
    let (code, said) = rms("gateway", "carol", &["open", "-o", &opened, &sent]);
    assert_eq!(code, 0, "{said}");
    let grant = ["--grant", "bob@corp.example:VIEW,EXPORT"];
    for more in [&[][..], &["--online", "--force"]] {
        let protect = ["protect", grant[0], grant[1], "-o", &passed_on, &opened];
        let (code, said) = rms("gateway", "carol", &[&protect[..], more].concat());
        assert_eq!(code, 0, "{said}");
        let (code, said) = rms("bob-1", "bob", &["open", "--stdout", &passed_on]);
        assert_eq!(code, 0, "{said}");
        assert!(said.starts_with(LETTER), "{said}");
    }
    // Before Service Pack 1 there was no such service, and a client of that time knows of none.
    let old = rms(
        "gateway-2",
        "carol",
        &["--client-level", "1.0", "sign-in", "--service", "--json"],
    );
    assert!(old.1.contains("client-level-lacks"), "{}", old.1);
    let before = Site::new(ServiceLevel::V1, site.programs(), Place::Here);
    let run = before.run_as("gateway", "carol", ["init"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = before.run_as("gateway", "carol", ["sign-in", "--service", "--json"]);
    assert_eq!(run.error_code(), "service-missing", "{}", run.out);
}

/// Somebody without any rights.
const NOBODY: u32 = 65534;
const LETTER: &str = "Dear Bob,\n\nnothing leaves this house. Grüße\n";
