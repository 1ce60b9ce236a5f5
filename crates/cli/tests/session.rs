//! The program against a server: joining, signing in, protecting, opening, and who may not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use common::cluster::Cluster;
use common::{ended, rms};

#[test]
fn a_person_joins_signs_in_and_looks_at_what_is_held() {
    let cluster = Cluster::start();
    let run = cluster.run_as("alice", ["init", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["changed"], true);
    assert_eq!(
        run.json()["anchors"][0]["fingerprint"]
            .as_str()
            .unwrap()
            .len(),
        32
    );
    assert_eq!(
        cluster.run_as("alice", ["init", "--json"]).json()["changed"],
        false
    );

    let run = cluster.run_as("alice", ["check", "--json"]);
    assert_eq!(
        (run.code, run.json()["ok"].as_bool()),
        (0, Some(true)),
        "{}",
        run.out
    );
    let run = cluster.run_as("alice", ["activate", "--json"]);
    assert_eq!(
        (run.code, run.json()["activated"].as_bool()),
        (0, Some(true)),
        "{}",
        run.out
    );
    let run = cluster.run_as("alice", ["sign-in", "--json"]);
    assert_eq!(
        (run.code, run.json()["account"].as_str()),
        (0, Some("alice@corp.example"))
    );
    let status = cluster.run_as("alice", ["status", "--json"]).json();
    assert_eq!(status["accounts"][0]["current"], true);
    assert!(status["accounts"][0]["licensor"]["until"].is_string());
    for human in [
        ["check"],
        ["status"],
        ["activate"],
        ["sign-in"],
        ["licenses"],
        ["templates"],
    ] {
        assert_eq!(cluster.run_as("alice", human).code, 0, "{human:?}");
    }
}

#[test]
fn a_hierarchy_is_joined_from_a_file() {
    let cluster = Cluster::start();
    let bundle = openrms_server::client_bundle(cluster.at("server")).unwrap();
    let file = cluster.file("bundle.json", serde_json::to_string(&bundle).unwrap());
    let home = cluster.at("home-from-file");
    let init = |more: &[&str]| {
        let head = ["init", "--json", "--hierarchy", file.to_str().unwrap()];
        let mut command = common::command(head.iter().chain(more));
        ended(command.env("RMS_HOME", &home).output().unwrap())
    };
    let run = init(&["--fingerprint", "00112233445566778899aabbccddeeff"]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "hierarchy-not-pinned")
    );
    let run = init(&[]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["server"], cluster.running.url());
    fs::write(&file, "{}").unwrap();
    assert_eq!(init(&[]).code, 6);
}

#[test]
fn activation_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = common::command(["activate", "--json"]);
    let run = ended(command.env("RMS_HOME", folder.path()).output().unwrap());
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["activated"], false);
}

#[test]
fn a_wrong_fingerprint_password_or_server_has_its_exit_code() {
    let cluster = Cluster::start();
    let wrong = "00112233445566778899aabbccddeeff";
    let run = cluster.run_as("alice", ["init", "--json", "--fingerprint", wrong]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "hierarchy-not-pinned")
    );
    let mut command = cluster.command_as("alice", ["sign-in", "--json"]);
    let run = ended(command.env("RMS_PASSWORD", "wrong").output().unwrap());
    assert_eq!(run.code, 3, "{}", run.out);
    let mut command = cluster.command_as("carol", ["check", "--json"]);
    let run = ended(
        command
            .env("RMS_SERVER", "http://127.0.0.1:1")
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, 5, "{}", run.out);
    let mut command = cluster.command_as("carol", ["sign-in", "--json"]);
    let run = ended(
        command
            .env("RMS_SERVER", "http://127.0.0.1:1")
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, 5, "{}", run.out);
    let mut command = cluster.command_as("carol", ["sign-in", "--json"]);
    let run = ended(command.env_remove("RMS_SERVER").output().unwrap());
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "server-not-configured")
    );
}

#[test]
fn what_is_protected_is_opened_by_those_who_may_and_by_nobody_else() {
    let cluster = Cluster::start();
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let source = cluster.file("numbers.bin", &content);
    // Without `init`: everything that is missing is made or fetched.
    let protected = cluster.protect(&source, "bob@corp.example:VIEW,EXPORT");
    let path = protected.to_str().unwrap();

    let inspected = rms(["inspect", "--json", path]).json();
    assert_eq!(inspected["format"], "pfile");
    assert_eq!(inspected["original_extension"], ".bin");
    assert_eq!(inspected["license"]["owner"], "alice@corp.example");
    let nodes = inspected["license"]["nodes"].as_array().unwrap();
    assert_eq!(
        inspected["license"]["verified"].as_u64(),
        Some(nodes.len() as u64)
    );
    assert_eq!(rms(["verify", path]).code, 0);
    assert_eq!(rms(["verify", "--anchors", "microsoft", path]).code, 4);
    let bundle = openrms_server::client_bundle(cluster.at("server")).unwrap();
    let anchors = cluster.file("anchors.xml", &bundle.trust.anchors_xml);
    let run = rms([
        "verify",
        "--json",
        "--anchors",
        anchors.to_str().unwrap(),
        path,
    ]);
    assert_eq!(
        (run.code, run.json()["anchored"].as_bool()),
        (0, Some(true)),
        "{}",
        run.out
    );
    let inspected = rms([
        "inspect",
        "--json",
        "--anchors",
        anchors.to_str().unwrap(),
        path,
    ])
    .json();
    let last = inspected["license"]["nodes"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(last["signed_by"], "root", "{last}");

    let out = cluster.at("out.bin");
    let run = cluster.run_as("bob", ["open", "--json", path, "-o", out.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["files"][0]["length"], 400_000);
    assert_eq!(fs::read(&out).unwrap(), content);
    let run = cluster
        .command_as("bob", ["open", path, "--stdout"])
        .output()
        .unwrap();
    assert!(run.status.success() && run.stdout == content);

    let run = cluster.run_as("carol", ["open", "--json", path, "-o", "/dev/null"]);
    assert_eq!(run.code, 3, "{}", run.out);
    let run = cluster.run_as("carol", ["rights", "--json", path]);
    assert_eq!(run.code, 3, "{}", run.out);

    let rights = cluster.run_as("bob", ["rights", "--json", path]).json();
    let names: Vec<_> = rights["rights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["right"])
        .collect();
    assert_eq!(names, ["VIEW", "EXPORT"]);
    let rights = cluster.run_as("alice", ["rights", "--json", path]).json();
    assert_eq!(rights["rights"][0]["right"], "OWNER");
    assert!(
        cluster
            .run_as("bob", ["rights", path])
            .out
            .contains("EXPORT")
    );

    let licenses = cluster.run_as("bob", ["licenses", "--json"]).json();
    assert_eq!(licenses["licenses"][0]["account"], "bob@corp.example");
    assert_eq!(
        cluster
            .run_as("bob", ["licenses", "purge", "--json"])
            .json()["purged"],
        0
    );
    assert_eq!(
        cluster
            .run_as("bob", ["licenses", "purge", "--all", "--json"])
            .json()["purged"],
        1
    );
}

#[test]
fn view_alone_does_not_save_and_does_not_pipe() {
    let cluster = Cluster::start();
    let source = cluster.file("letter.txt", "for your eyes only\n");
    let protected = cluster.protect(&source, "bob@corp.example:VIEW");
    let path = protected.to_str().unwrap();
    let out = cluster.at("out.txt");
    let run = cluster.run_as("bob", ["open", "--json", path, "-o", out.to_str().unwrap()]);
    assert_eq!((run.code, run.error_code().as_str()), (3, "export-denied"));
    assert!(!out.exists());
    let run = cluster.run_as("bob", ["open", path, "--stdout"]);
    assert_eq!((run.code, run.out.as_str()), (3, ""));
    assert!(run.err.contains("terminal"));
    // The author may.
    assert_eq!(
        cluster.run_as("alice", ["open", path, "--stdout"]).out,
        "for your eyes only\n"
    );
}

#[test]
fn groups_and_everyone_are_granted_rights() {
    let cluster = Cluster::start();
    let source = cluster.file("a.txt", "a");
    let protected = cluster.protect(&source, "staff@corp.example:VIEW");
    let path = protected.to_str().unwrap();
    assert_eq!(cluster.run_as("bob", ["rights", path]).code, 0);
    assert_eq!(cluster.run_as("carol", ["rights", path]).code, 3);
    let source = cluster.file("b.txt", "b");
    let protected = cluster.protect(&source, "everyone:VIEW");
    assert_eq!(
        cluster
            .run_as("carol", [Path::new("rights"), &protected])
            .code,
        0
    );
}

#[test]
fn the_server_signs_when_asked_to() {
    let cluster = Cluster::start();
    let source = cluster.file("a.txt", "a");
    let name = source.to_str().unwrap();
    let grant = [
        "--online",
        "--grant",
        "bob@corp.example:VIEW,EXPORT",
        "--expires",
        "30d",
    ];
    let run = cluster.run_as("alice", ["protect", name].into_iter().chain(grant));
    assert_eq!(run.code, 0, "{}", run.err);
    let protected = cluster.at("a.ptxt");
    let nodes = rms(["inspect".as_ref(), "--json".as_ref(), protected.as_os_str()]).json();
    assert_eq!(nodes["license"]["nodes"].as_array().unwrap().len(), 1);
    let run = cluster.run_as(
        "bob",
        ["open".as_ref(), "--force".as_ref(), protected.as_os_str()],
    );
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn nothing_is_overwritten_without_force_and_time_and_permissions_carry_over() {
    let cluster = Cluster::start();
    let source = cluster.file("a.txt", "first");
    let modified = SystemTime::UNIX_EPOCH + Duration::from_mins(25_000_000);
    fs::File::options()
        .write(true)
        .open(&source)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
    let name = source.to_str().unwrap();
    let target = cluster.file("a.ptxt", "something else");
    let grant = ["--grant", "bob@corp.example:VIEW"];
    let run = cluster.run_as(
        "alice",
        ["protect", "--json", name].into_iter().chain(grant),
    );
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (1, "output-exists"),
        "{}",
        run.out
    );
    assert_eq!(fs::read(&target).unwrap(), b"something else");
    let run = cluster.run_as(
        "alice",
        ["protect", "--force", name].into_iter().chain(grant),
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.modified().unwrap(), modified);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);

    let opened = target.to_str().unwrap();
    let run = cluster.run_as("alice", ["open", "--json", opened]);
    assert_eq!((run.code, run.error_code().as_str()), (1, "output-exists"));
    fs::remove_file(&source).unwrap();
    assert_eq!(
        cluster.run_as("alice", ["open", "--in-place", opened]).code,
        0
    );
    assert!(!target.exists());
    let metadata = fs::metadata(&source).unwrap();
    assert_eq!(metadata.modified().unwrap(), modified);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read(&source).unwrap(), b"first");
    let grant = ["--in-place", "--grant", "bob@corp.example:VIEW"];
    assert_eq!(
        cluster
            .run_as("alice", ["protect", name].into_iter().chain(grant))
            .code,
        0
    );
    assert!(target.exists() && !source.exists());
}

#[test]
fn one_file_protected_twice_is_not_taken_for_done() {
    let cluster = Cluster::start();
    let source = cluster.file("a.txt", "a");
    let name = source.to_str().unwrap();
    let once = [
        "protect",
        "--json",
        name,
        "--grant",
        "bob@corp.example:VIEW",
    ];
    assert_eq!(cluster.run_as("alice", once).code, 0);
    let twice = [
        "protect",
        "--json",
        name,
        "--grant",
        "carol@corp.example:VIEW",
    ];
    let run = cluster.run_as("alice", twice);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (1, "output-exists"),
        "{}",
        run.out
    );
    let protected = cluster.at("a.ptxt");
    let path = protected.to_str().unwrap();
    let run = cluster.run_as(
        "alice",
        ["protect", "--json", path, "--grant", "everyone:VIEW"],
    );
    assert_eq!(run.error_code(), "already-protected");
}

#[test]
fn a_server_elsewhere_is_not_believed_without_encryption() {
    let folder = tempfile::tempdir().unwrap();
    let run = |server: &str| {
        let mut command = common::command(["init", "--json"]);
        ended(
            command
                .env("RMS_HOME", folder.path())
                .env("RMS_SERVER", server)
                .output()
                .unwrap(),
        )
    };
    let plain = run("http://rms.corp.invalid");
    assert_eq!(
        (plain.code, plain.error_code().as_str()),
        (4, "hierarchy-not-private")
    );
    assert_eq!(run("").error_code(), "server-not-configured");
    assert_eq!(run("ftp://rms.corp.invalid").code, 2);
}

#[test]
fn folders_are_protected_side_by_side_and_a_second_run_goes_on() {
    let cluster = Cluster::start();
    for number in 0..20 {
        cluster.file(
            &format!("tree/{}/{number}.txt", number % 3),
            format!("text {number}"),
        );
    }
    let tree = cluster.at("tree");
    let tree = tree.to_str().unwrap();
    let grant = ["--grant", "bob@corp.example:VIEW,EXPORT", "--json", tree];
    let run = cluster.run_as("alice", ["protect"].into_iter().chain(grant));
    assert_eq!((run.code, run.error_code().as_str()), (1, "is-a-folder"));
    let run = cluster.run_as("alice", ["protect", "--recursive"].into_iter().chain(grant));
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["files"].as_array().unwrap().len(), 20);
    fs::remove_file(cluster.at("tree/1/7.ptxt")).unwrap();
    let again = cluster.run_as("alice", ["protect", "--recursive"].into_iter().chain(grant));
    assert_eq!(again.code, 0, "{}", again.out);
    let written = again.json()["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["output"].is_string())
        .count();
    assert_eq!(written, 1);
    let out = cluster.at("out");
    let arguments = [
        "open",
        "--recursive",
        "--json",
        tree,
        "-o",
        out.to_str().unwrap(),
    ];
    let run = cluster.run_as("bob", arguments);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(fs::read(cluster.at("out/2/5.txt")).unwrap(), b"text 5");
    assert_eq!(run.json()["files"].as_array().unwrap().len(), 20);
}

#[test]
fn a_killed_run_leaves_nothing_behind() {
    let cluster = Cluster::start();
    assert_eq!(cluster.run_as("alice", ["sign-in"]).code, 0);
    assert_eq!(cluster.run_as("bob", ["sign-in"]).code, 0);
    let source = cluster.at("big.bin");
    let grow = |length: u64| {
        let file = fs::File::create(&source).unwrap();
        file.set_len(length).unwrap();
    };
    let source_name = source.to_str().unwrap();
    let grant = ["--grant", "bob@corp.example:VIEW,EXPORT"];
    let protect = || ["protect", source_name].into_iter().chain(grant);
    grow(128 << 20);
    assert_eq!(cluster.run_as("alice", protect()).code, 0);
    let protected = cluster.at("opened.bin.pfile");
    fs::rename(cluster.at("big.bin.pfile"), &protected).unwrap();
    grow(3 << 30);
    let before = names(cluster.folder.path());
    killed_while_writing(&cluster, || cluster.command_as("alice", protect()), &before);
    let out = cluster.at("out.bin");
    let open = || {
        let paths = [protected.to_str().unwrap(), out.to_str().unwrap()];
        cluster.command_as("bob", ["open", paths[0], "--force", "-o", paths[1]])
    };
    killed_while_writing(&cluster, open, &before);
}

/// Kills a run as soon as it writes: its output is among its open files, with or without a name.
fn killed_while_writing(cluster: &Cluster, run: impl Fn() -> Command, before: &[String]) {
    let folder = cluster.folder.path();
    let is_output = |path: &Path| {
        let name = path.to_string_lossy();
        path.starts_with(folder) && (name.ends_with(" (deleted)") || name.ends_with(".part"))
    };
    let caught = |child: &mut Child| {
        let files = format!("/proc/{}/fd", child.id());
        while child.try_wait().unwrap().is_none() {
            let mut entries = fs::read_dir(&files).into_iter().flatten().flatten();
            if entries.any(|entry| {
                fs::read_link(entry.path()).is_ok_and(|path| is_output(&path))
                    && fs::metadata(entry.path()).is_ok_and(|data| data.len() > 1 << 20)
            }) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    };
    // One that was over before it could be killed is run again.
    for _ in 0..20 {
        let mut child = run().spawn().unwrap();
        let caught = caught(&mut child);
        _ = child.kill();
        if child.wait().unwrap().success() || !caught {
            _ = fs::remove_file(folder.join("out.bin"));
            continue;
        }
        let mut after = names(folder);
        let hidden = |name: &String| name.starts_with(".big.bin.") || name.starts_with(".out.bin.");
        if after.iter().any(hidden) {
            println!("skipped: no unnamed files on this file system");
            after.retain(|name| !hidden(name));
        }
        assert_eq!(after, before, "a half-written output has a name");
        return;
    }
    panic!("no run could be killed while it wrote");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_server_that_a_file_names_is_told_and_asked_only_when_allowed() {
    let (ours, theirs) = (Cluster::start(), Cluster::start());
    let protected = theirs.protect(&theirs.file("a.txt", "a"), "bob@corp.example:VIEW,EXPORT");
    let path = protected.to_str().unwrap();
    let open = |more: &'static str| ["open", "--json", path, "-o", "/dev/null", more];

    let mut command = ours.command_as("carol", open("--yes"));
    let run = ended(command.env_remove("RMS_SERVER").output().unwrap());
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "server-not-configured")
    );
    let named = format!("rms init --server {}", theirs.running.url());
    assert!(run.out.contains(&named), "{}", run.out);

    let run = ours.run_as("bob", open("--yes"));
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "license-server-unknown")
    );
    assert!(run.out.contains("--any-license-server"), "{}", run.out);
    // It is asked, and does not know who bob is.
    let run = ours.run_as("bob", open("--any-license-server"));
    assert_eq!(run.code, 4, "{}", run.out);
    assert!(run.out.contains("UntrustedPersonaCert"), "{}", run.out);
}

#[test]
fn tampered_and_plain_files_are_told_apart() {
    let cluster = Cluster::start();
    let source = cluster.file("a.txt", "a");
    let plain = cluster.run_as("bob", ["open", "--json", source.to_str().unwrap()]);
    assert_eq!(
        (plain.code, plain.error_code().as_str()),
        (6, "not-protected")
    );
    let protected = cluster.protect(&source, "bob@corp.example:VIEW,EXPORT");
    let mut bytes = fs::read(&protected).unwrap();
    let at = bytes
        .windows(18)
        .position(|w| w == b"alice@corp.example")
        .unwrap();
    bytes[at] = b'A';
    fs::write(&protected, &bytes).unwrap();
    let path = protected.to_str().unwrap();
    assert_eq!(rms(["verify", path]).code, 4);
    let run = cluster.run_as("bob", ["open", "--json", path, "-o", "/dev/null"]);
    assert_eq!(run.code, 4, "{}", run.out);
}

#[test]
fn templates_are_made_synchronized_and_used() {
    let cluster = Cluster::start();
    let token = cluster.at("server/admin.token");
    let admin = |arguments: &[&str]| {
        let head = ["admin", "--json", "--token-file", token.to_str().unwrap()];
        cluster.run_as("alice", head.iter().chain(arguments))
    };
    let status = admin(&["status"]);
    assert_eq!(status.code, 0, "{}", status.out);
    let add = [
        "templates",
        "add",
        "--name",
        "Staff only",
        "--grant",
        "staff@corp.example:VIEW",
    ];
    let run = admin(&add);
    assert_eq!(run.code, 0, "{}", run.out);
    let id = run.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        admin(&["templates", "list"]).json()["templates"][0]["id"],
        id.as_str()
    );

    let source = cluster.file("a.txt", "a");
    let name = source.to_str().unwrap();
    let run = cluster.run_as(
        "alice",
        ["protect", "--json", name, "--template", "staff ONLY"],
    );
    assert_eq!(run.code, 0, "{}", run.out);
    let protected = cluster.at("a.ptxt");
    let path = protected.to_str().unwrap();
    let inspected = rms(["inspect", "--json", path]).json();
    assert_eq!(inspected["license"]["names"]["1033"], "Staff only");
    assert_eq!(cluster.run_as("bob", ["rights", path]).code, 0);
    assert_eq!(cluster.run_as("carol", ["rights", path]).code, 3);

    let run = cluster.run_as("bob", ["templates", "sync", "--json"]);
    assert_eq!(
        run.json()["fetched"].as_array().unwrap().len(),
        1,
        "{}",
        run.out
    );
    let run = cluster.run_as("bob", ["templates", "list", "--json"]);
    assert_eq!(run.json()["templates"][0]["names"]["1033"], "Staff only");
    assert_eq!(admin(&["templates", "archive", &id]).code, 0);
    assert_eq!(admin(&["templates", "publish", &id]).code, 0);
    assert_eq!(admin(&["templates", "remove", &id]).code, 0);
    let run = cluster.run_as("bob", ["templates", "sync", "--json"]);
    assert_eq!(
        run.json()["removed"].as_array().unwrap().len(),
        1,
        "{}",
        run.out
    );
    // Copies at clients stay until these synchronize.
    assert_eq!(cluster.run_as("alice", ["templates", "sync"]).code, 0);
    let arguments = [
        "protect",
        "--json",
        "--force",
        name,
        "--template",
        "staff only",
    ];
    let run = cluster.run_as("alice", arguments);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (1, "template-not-found"),
        "{}",
        run.out
    );

    let denied = cluster.run_as("alice", ["admin", "--json", "status"]);
    assert_eq!(
        (denied.code, denied.error_code().as_str()),
        (3, "no-admin-token")
    );
    let mut command = cluster.command_as("alice", ["admin", "--json", "status"]);
    let denied = ended(command.env("RMS_ADMIN_TOKEN", "wrong").output().unwrap());
    assert_eq!(
        (denied.code, denied.error_code().as_str()),
        (3, "admin-denied"),
        "{}",
        denied.out
    );
}

#[test]
fn a_grant_that_makes_no_sense_is_wrong_usage() {
    for grant in [
        "bob",
        "bob@corp.example:VEIW",
        "bob:VIEW",
        "bob@corp.example:",
    ] {
        let run = rms(["protect", "--json", "a.txt", "--grant", grant]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (2, "usage"),
            "{grant}"
        );
    }
    for arguments in [
        &["protect", "a.txt"][..],
        &["protect", "a.txt", "--template", "x", "--grant", "a@b:VIEW"],
        &[
            "protect",
            "a.txt",
            "--grant",
            "a@b:VIEW",
            "--expires",
            "soon",
        ],
        &[
            "protect",
            "a.txt",
            "--grant",
            "a@b:VIEW",
            "--in-place",
            "-o",
            "x",
        ],
        &["open", "a.txt", "--stdout", "--json"],
    ] {
        assert_eq!(rms(arguments).code, 2, "{arguments:?}");
    }
}
