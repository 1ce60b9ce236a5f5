//! Protected files on a desktop: their types, who opens them, and what people learn on machines
//! without the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::cluster::Cluster;
use common::{Run, ended};
use tempfile::TempDir;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

/// A person's desktop, with what a package installs; `None`, with a line on the terminal, where its
/// tools are missing.
struct Desktop(TempDir);

impl Desktop {
    fn with(handler: &str) -> Option<Self> {
        let desktop = Self(tempfile::tempdir().unwrap());
        let [mime, applications] = ["data/mime/packages", "data/applications"].map(|name| {
            let folder = desktop.at(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        });
        fs::copy(packaging("desktop/openrms.xml"), mime.join("openrms.xml")).unwrap();
        // Its Exec is not there yet, so nothing is demanded of it here.
        let entry = fs::read_to_string(packaging(handler)).unwrap();
        let entry = entry.replace("TryExec=/usr/bin/rms\n", "");
        fs::write(
            applications.join(Path::new(handler).file_name().unwrap()),
            entry,
        )
        .unwrap();
        for (tool, folder) in [
            ("update-mime-database", "data/mime"),
            ("update-desktop-database", "data/applications"),
        ] {
            let done = Command::new(tool).arg(desktop.at(folder)).output();
            if !done.is_ok_and(|done| done.status.success()) {
                println!("skipped: no {tool}");
                return None;
            }
        }
        Some(desktop)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What `xdg-mime query` says; empty where it knows nothing.
    fn query(&self, what: &str, about: &Path) -> String {
        let mut command = Command::new("xdg-mime");
        command
            .args(["query", what])
            .arg(about)
            .env("XDG_DATA_HOME", self.at("data"))
            .env("HOME", self.0.path())
            // Asks GIO, which reads the database; without a desktop it is guessed by content alone.
            .env("XDG_CURRENT_DESKTOP", "GNOME")
            .stdin(Stdio::null());
        match command.output() {
            Ok(output) => ended(output).out.trim().to_owned(),
            Err(_) => String::new(),
        }
    }
}

/// A file that the client protects for bob.
fn protected(cluster: &Cluster) -> PathBuf {
    let letter = cluster.file("letter.txt", "Dear Bob");
    let target = cluster.at("letter.ptxt");
    let mut command = cluster.command_as("alice", ["protect", "--grant", GRANT, "-o"]);
    command
        .arg(&target)
        .arg(&letter)
        .env("RMS_CONFIG_DIR", cluster.at("etc"));
    let run = ended(command.output().unwrap());
    assert_eq!(run.code, 0, "{}", run.err);
    target
}

#[test]
fn s11_a_protected_file_is_known_by_its_type_and_opened_by_the_client() {
    let Some(desktop) = Desktop::with("desktop/rms-open.desktop") else {
        return;
    };
    if Command::new("xdg-mime").arg("--version").output().is_err() {
        println!("skipped: no xdg-mime");
        return;
    }
    let cluster = Cluster::start();
    let letter = protected(&cluster);
    let unnamed = desktop.at("letter");
    fs::copy(&letter, &unnamed).unwrap();
    let mail = desktop.at("message.rpmsg");
    fs::write(&mail, b"\x76\xe8\x04\x60\xc4\x11\xe3\x86").unwrap();
    if desktop.query("filetype", &letter).is_empty() {
        println!("skipped: xdg-mime has nobody to ask");
        return;
    }
    for file in [&letter, &unnamed] {
        assert_eq!(desktop.query("filetype", file), PFILE, "{}", file.display());
    }
    let rpmsg = "application/x-microsoft-rpmsg-message";
    assert_eq!(desktop.query("filetype", &mail), rpmsg);
    for kind in [PFILE, rpmsg] {
        assert_eq!(
            desktop.query("default", Path::new(kind)),
            "rms-open.desktop"
        );
    }
    // On a machine without the client, the one that says what to install.
    let without = Desktop::with("without-client/openrms-missing.desktop").unwrap();
    assert_eq!(
        without.query("default", Path::new(PFILE)),
        "openrms-missing.desktop"
    );
}

#[test]
fn the_opener_hands_the_original_to_whatever_opens_its_kind() {
    let cluster = Cluster::start();
    let letter = protected(&cluster);
    let bin = cluster.at("bin");
    fs::create_dir(&bin).unwrap();
    let opener = bin.join("xdg-open");
    fs::write(&opener, "#!/bin/sh\nstat -c %a \"$1\"\ncat \"$1\"\n").unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let session = cluster.at("session");
    fs::create_dir(&session).unwrap();
    let open = |who: &str, folder: &Path| {
        let known = cluster.command_as(who, ["open"]);
        let mut command = Command::new(packaging("desktop/rms-open"));
        for (name, value) in known.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        command
            .arg(&letter)
            .env("PATH", path)
            .env("RMS_PROGRAM", env!("CARGO_BIN_EXE_rms"))
            .env("XDG_RUNTIME_DIR", folder)
            .stdin(Stdio::null());
        ended(command.output().unwrap())
    };
    let run = open("bob", &session);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.ends_with("\nDear Bob"), "{}", run.out);
    assert!(fs::read_dir(&session).unwrap().count() == 1);
    // Who has no right gets nothing, and nothing is left of the attempt.
    let run = open("carol", &session);
    assert_eq!((run.code, run.out.as_str()), (3, ""), "{}", run.err);
    assert!(fs::read_dir(&session).unwrap().count() == 1);
    // Without a folder of the session, nothing is written to any disk.
    let run = open("bob", &cluster.at("none"));
    assert_eq!((run.code, run.out.as_str()), (0, "Dear Bob"), "{}", run.err);
}

#[test]
fn s11_without_the_client_people_are_told_what_to_install_by_their_own_administrator() {
    let cluster = Cluster::start();
    fs::create_dir_all(cluster.at("etc/client.d")).unwrap();
    let config = |link: &str| format!("notice_url = \"{link}\"\n");
    fs::write(
        cluster.at("etc/client.toml"),
        config("https://evil.example/of-strangers"),
    )
    .unwrap();
    let letter = protected(&cluster);
    let bytes = fs::read(&letter).unwrap();
    let clear = String::from_utf8_lossy(&bytes);
    assert!(
        clear.contains("This file is protected."),
        "the notice stands in clear"
    );
    assert!(
        clear.contains("https://evil.example/of-strangers"),
        "{clear}"
    );
    // Readers pass over it.
    let mut open = cluster.command_as("bob", ["open", "--stdout"]);
    let run = ended(open.arg(&letter).output().unwrap());
    assert_eq!((run.code, run.out.as_str()), (0, "Dear Bob"), "{}", run.err);

    // Somewhere else, the handler does not believe what a file says of itself.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("client.d")).unwrap();
    let tell = || -> Run {
        let mut command = Command::new(packaging("without-client/openrms-missing"));
        command
            .arg(&letter)
            .env("PATH", "/usr/bin:/bin")
            .env("RMS_CONFIG_DIR", elsewhere.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        ended(command.output().unwrap())
    };
    let run = tell();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("openrms-client"), "{}", run.out);
    assert!(run.out.contains("Ask your administrator"), "{}", run.out);
    assert!(!run.out.contains("evil"), "{}", run.out);
    let link = "https://help.corp.example/rms?os=linux";
    let files = [
        ("client.toml", "https://old.example"),
        ("client.d/20-x.toml", link),
    ];
    for (name, link) in files {
        fs::write(elsewhere.path().join(name), config(link)).unwrap();
    }
    let run = tell();
    assert!(run.out.trim_end().ends_with(link), "{}", run.out);
    // And no command hides in a link.
    let hostile = config("https://x.example/$(touch pwned)`id`\\\\\"; rm");
    fs::write(elsewhere.path().join("client.d/30-y.toml"), hostile).unwrap();
    assert!(tell().out.trim_end().ends_with(link));
}

const GRANT: &str = "bob@corp.example:VIEW,EXPORT";
const PFILE: &str = "application/x-pfile";
