//! The first use of the client by each person of each computer, on machines that an administrator
//! has prepared: without network, without rights, and whatever their home folder is like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::cluster::Cluster;
use common::site::Programs;
use common::unplugged::Unplugged;
use common::{Run, assert_private, command, ended};
use tempfile::TempDir;

/// A computer whose `/etc/openrms` holds what an administrator carried to it.
struct Computer {
    folder: TempDir,
}

impl Computer {
    /// One that belongs to a cluster.
    fn of(cluster: &Cluster) -> Self {
        let computer = Self::new();
        let bundle = openrms_server::client_bundle(cluster.at("server")).unwrap();
        let bundle = serde_json::to_string(&bundle).unwrap();
        let url = cluster.running.url();
        computer.put(
            "client.d/10-organisation.toml",
            &format!("server = '{url}'\nhierarchy = 'hierarchy.json'\n"),
        );
        computer.put("client.d/hierarchy.json", &bundle);
        computer
    }

    /// One that nobody told anything.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(folder.path().join("etc/client.d")).unwrap();
        Self { folder }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.at("etc").join(name), text).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where somebody's store is, unless settings say otherwise.
    fn store(&self, who: &str) -> PathBuf {
        self.at(who).join(".local/share/openrms")
    }

    /// The program as somebody with a home folder would run it.
    fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command
            .env("HOME", self.at(who))
            .env_remove("XDG_DATA_HOME")
            .env("RMS_CONFIG_DIR", self.at("etc"));
        command
    }

    fn run(&self, who: &str, arguments: &[&str]) -> Run {
        ended(self.command(who, arguments).output().unwrap())
    }

    /// A shell script as root in a mount namespace of its own, in which `"$@"` is the program; `None`,
    /// with a line on the terminal, where that is not permitted.
    fn mounted(&self, who: &str, script: &str, arguments: &[&str]) -> Option<Run> {
        let tried = Command::new("unshare")
            .args(["-m", "mount", "-t", "tmpfs", "x", "/mnt"])
            .output();
        if !tried.is_ok_and(|done| done.status.success()) {
            println!("skipped: mount namespaces take root");
            return None;
        }
        let home = self.at(who);
        fs::create_dir_all(&home).unwrap();
        let inner = self.command(who, arguments);
        let mut outer = Command::new("unshare");
        outer.args(["-m", "sh", "-euc", script, "sh"]);
        outer.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        Some(ended(outer.stdin(Stdio::null()).output().unwrap()))
    }
}

fn activated(run: &Run) -> String {
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["activated"], true, "{}", run.out);
    run.json()["fingerprint"].as_str().unwrap().to_owned()
}

fn refused(run: &Run) -> (i32, String) {
    assert_ne!(run.code, 0, "{}{}", run.out, run.err);
    let error = &run.json()["error"];
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
    (run.code, run.error_code())
}

#[test]
fn s2_s4_two_files_make_a_machine_that_activates_itself_without_network() {
    let (Some(programs), Some(unplugged)) = (Programs::built(), Unplugged::find()) else {
        return;
    };
    let computer = Computer::new();
    // What the server's administrator does, and carries over.
    let rmsd = |arguments: &[&str]| {
        let mut command = Command::new(&programs.rmsd);
        command.args(arguments).args(["--data", "server"]);
        command
            .env_remove("RMSD_CONFIG")
            .current_dir(computer.folder.path());
        let run = ended(command.output().unwrap());
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    };
    let url = ["--url", "https://rms.corp.example"];
    let unresolved = ["--ignore-check", "name-resolves"];
    rmsd(&[&["provision", "root"][..], &url, &unresolved].concat());
    rmsd(&["client-settings", "export", "etc/client.d", "--final"]);
    fs::remove_dir_all(computer.at("server")).unwrap();
    let carried = fs::read_dir(computer.at("etc/client.d")).unwrap();
    let carried = carried.map(|entry| entry.unwrap().metadata().unwrap().permissions().mode());
    assert_eq!(
        carried.map(|mode| mode & 0o777).collect::<Vec<_>>(),
        [0o644; 2]
    );

    let installed = programs.installed(&computer.at("bin")).rms;
    let mut activate = common::of_program(&installed, ["activate", "--json"]);
    let home = computer.at("alice");
    activate.env("HOME", &home).env_remove("XDG_DATA_HOME");
    activate.env("RMS_CONFIG_DIR", computer.at("etc"));
    let run = unplugged.run(&activate);
    activated(&run);
    assert_eq!(run.err, "", "nobody is asked or told anything");
    assert_private(&computer.store("alice"));
    // The administrator's word is final.
    let run = computer.run(
        "alice",
        &["init", "--json", "--server", "https://evil.example"],
    );
    assert_eq!(refused(&run), (3, "setting-is-final".into()));
    let run = computer.run("alice", &["config", "show", "--origin"]);
    let server = run.out.lines().find(|line| line.starts_with("server "));
    let server = server.unwrap();
    assert!(server.contains("https://rms.corp.example"), "{server}");
    assert!(
        server.contains("10-organisation.toml:3, final]"),
        "{server}"
    );
}

#[test]
fn s3_each_person_has_a_lockbox_of_their_own_that_others_cannot_read() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let (alice, bob) = (computer.at("alice"), computer.at("bob"));
    for home in [&alice, &bob] {
        fs::create_dir(home).unwrap();
    }
    let first = activated(&computer.run("alice", &["activate", "--json"]));
    let mut command = computer.command("bob", &["activate", "--json"]);
    if chown(&bob, Some(NOBODY), Some(NOBODY)).is_ok() {
        // The program lies where nobody else may look.
        let program = computer.at("rms");
        fs::copy(env!("CARGO_BIN_EXE_rms"), &program).unwrap();
        let mut theirs = common::of_program(&program, ["activate", "--json"]);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                theirs.env(name, value);
            }
        }
        theirs.uid(NOBODY).gid(NOBODY).current_dir("/");
        command = theirs;
    } else {
        println!("skipped in part: only root can be somebody else");
    }
    let second = activated(&ended(command.output().unwrap()));
    assert_ne!(first, second);
    for who in ["alice", "bob"] {
        assert_private(&computer.store(who));
    }
    // A folder of another person is refused by name, whoever may read it.
    let mut copy = computer.command("bob", &["activate", "--json"]);
    if chown(&bob, Some(0), Some(0)).is_ok() {
        let run = ended(copy.output().unwrap());
        assert_eq!(refused(&run), (4, "lockbox-other-machine".into()));
    }
}

#[test]
fn s5_the_first_document_brings_the_account_certificate_by_itself() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let letter = cluster.file("letter.txt", "Dear Bob");
    let protected = cluster.protect(&letter, "bob@corp.example:VIEW,EXPORT");
    let mut open = computer.command("bob", &["open", "--stdout"]);
    open.arg(&protected)
        .env("RMS_USER", "bob@corp.example")
        .env("RMS_PASSWORD", "correct horse bob");
    let run = ended(open.output().unwrap());
    assert_eq!((run.code, run.out.as_str()), (0, "Dear Bob"), "{}", run.err);
    let run = computer.run("bob", &["status", "--json"]);
    assert_eq!(run.json()["accounts"][0]["account"], "bob@corp.example");
    assert_private(&computer.store("bob"));
}

#[test]
fn the_unit_of_whoever_logs_on_is_quiet_until_there_is_a_hierarchy() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd/user");
    let unit = fs::read_to_string(unit.join("rms-activate.service")).unwrap();
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let start = start.unwrap().strip_prefix("/usr/bin/rms ").unwrap();
    let start: Vec<&str> = start.split(' ').collect();
    let computer = Computer::new();
    let run = computer.run("alice", &start);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
    assert!(!computer.store("alice").join("lockbox").exists());

    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let condition = "ConditionPathExists=!%h/.local/share/openrms/machine.xml";
    assert!(unit.contains(condition), "{unit}");
    assert_eq!(computer.run("alice", &start).code, 0);
    assert!(computer.store("alice").join("machine.xml").is_file());
    let made = activated(&computer.run("alice", &["activate", "--json"]));
    assert_eq!(computer.run("alice", &start).code, 0);
    assert_eq!(
        activated(&computer.run("alice", &["activate", "--json"])),
        made
    );
    // One that is activated over the network is not at log-on.
    computer.put("client.d/20-old.toml", "client_level = '1.0'");
    let run = computer.run("bob", &start);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
}

#[test]
fn two_who_log_on_at_once_get_one_lockbox_and_both_succeed() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let spawn = |_| {
        let mut command = computer.command("alice", &["activate", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<Child> = (0..6).map(spawn).collect();
    let end = |child: Child| activated(&ended(child.wait_with_output().unwrap()));
    let mut fingerprints: Vec<String> = all.into_iter().map(end).collect();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 1, "{fingerprints:?}");
    assert_eq!(
        activated(&computer.run("alice", &["activate", "--json"])),
        fingerprints[0]
    );
    assert_private(&computer.store("alice"));
}

#[test]
fn one_that_was_killed_at_any_step_leaves_nothing_that_the_next_one_trips_over() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    for (number, file) in ["lock", "tmp", "lockbox.secret", "lockbox", "machine.xml"]
        .into_iter()
        .enumerate()
    {
        let who = format!("person-{number}");
        let store = computer.store(&who);
        let mut command = computer.command(&who, &["activate", "--json"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !store.join(file).exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let made = activated(&computer.run(&who, &["activate", "--json"]));
        assert_eq!(
            activated(&computer.run(&who, &["activate", "--json"])),
            made
        );
        let left = fs::read_dir(store.join("tmp")).unwrap().count();
        assert_eq!(left, 0, "{file}");
        assert_private(&store);
    }
}

#[test]
fn a_home_that_cannot_be_written_to_is_named() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let script = "mount -t tmpfs -o ro x \"$HOME\"; exec \"$@\"";
    let Some(run) = computer.mounted("alice", script, &["activate", "--json"]) else {
        return;
    };
    assert_eq!(refused(&run), (1, "store-read-only".into()));
    // Whoever is activated already needs not write to be told so.
    activated(&computer.run("alice", &["activate", "--json"]));
    let script =
        "mount --bind \"$HOME\" \"$HOME\"; mount -o remount,bind,ro \"$HOME\"; exec \"$@\"";
    let run = computer.mounted("alice", script, &["activate", "--json"]);
    activated(&run.unwrap());
}

#[test]
fn a_full_disk_is_named_and_nothing_half_written_is_left() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    // Every size at which another file is the first that does not fit; the last one does.
    let mut outcomes = Vec::new();
    for pages in 1..=16 {
        let script = format!(
            "mount -t tmpfs -o size={}k x \"$HOME\"; \"$@\" || true; \
             mount -o remount,size=1m \"$HOME\"; \"$@\"",
            pages * 4
        );
        let Some(run) = computer.mounted("alice", &script, &["activate", "--json"]) else {
            return;
        };
        let documents = serde_json::Deserializer::from_str(&run.out).into_iter();
        let documents: Vec<serde_json::Value> = documents.map(Result::unwrap).collect();
        let [first, second] = &documents[..] else {
            panic!("{}", run.out);
        };
        assert_eq!(second["activated"], true, "{}", run.out);
        let code = first["error"]["code"].as_str().unwrap_or("done");
        assert!(["done", "store-full"].contains(&code), "{first}");
        outcomes.push(code.to_owned());
    }
    assert_eq!(outcomes.first().unwrap(), "store-full");
    assert_eq!(outcomes.last().unwrap(), "done");
}

#[test]
fn a_profile_that_was_copied_to_another_computer_is_refused_by_name_and_replaced_on_demand() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    let id = computer.at("machine-id");
    fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
    let elsewhere = format!("mount --bind {} /etc/machine-id; exec \"$@\"", id.display());
    let here = activated(&computer.run("alice", &["activate", "--json"]));
    let activate = ["activate", "--json"];
    let Some(run) = computer.mounted("alice", &elsewhere, &activate) else {
        return;
    };
    assert_eq!(refused(&run), (4, "lockbox-other-machine".into()));
    assert_eq!(
        activated(&computer.run("alice", &activate)),
        here,
        "nothing was destroyed"
    );
    let replace = ["activate", "--json", "--replace"];
    let run = computer.mounted("alice", &elsewhere, &replace).unwrap();
    assert_eq!(run.json()["outcome"], "replaced");
    let there = activated(&run);
    assert_ne!(there, here);
    let again = computer.mounted("alice", &elsewhere, &activate).unwrap();
    assert_eq!(activated(&again), there);
    assert_eq!(again.json()["outcome"], "kept");
    assert_eq!(
        refused(&computer.run("alice", &activate)),
        (4, "lockbox-other-machine".into())
    );
}

#[test]
fn s3_computers_that_share_home_folders_keep_a_lockbox_each() {
    let cluster = Cluster::start();
    let computer = Computer::of(&cluster);
    computer.put("client.d/50-nfs.toml", "store_per_computer = true");
    let id = computer.at("machine-id");
    fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
    let elsewhere = format!("mount --bind {} /etc/machine-id; exec \"$@\"", id.display());
    let activate = ["activate", "--json"];
    let here = activated(&computer.run("alice", &activate));
    let Some(run) = computer.mounted("alice", &elsewhere, &activate) else {
        return;
    };
    let there = activated(&run);
    assert_ne!(here, there);
    assert_eq!(activated(&computer.run("alice", &activate)), here);
    let again = computer.mounted("alice", &elsewhere, &activate).unwrap();
    assert_eq!(activated(&again), there);
    let stores = fs::read_dir(computer.store("alice").join("computers")).unwrap();
    assert_eq!(stores.count(), 2);
}

/// Somebody without any rights.
const NOBODY: u32 = 65534;
