//! The channel that a cluster hands out: how it is brought in and carried on, what of it is served, and
//! what is refused by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests end where they fail"
)]

mod hostile;
mod publisher;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::rsa::KeySize;
use openrms_server::events::Event;
use openrms_server::repo::manifest::ReleaseKey;
use openrms_server::repo::{RepoError, Repository};
use openrms_xrml::Time;
use publisher::{FIRST, Heading, PUBLISHER, Publisher, files, tree};
use serde_json::{Value, json};
use support::{TestServer, get, rmsd, text};

/// A folder with a channel, the key that it is known by, and where channels are brought to.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("release.pem"), PUBLISHER.pem()).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn publish(&self, name: &str, heading: Heading) -> PathBuf {
        PUBLISHER.publish(self.at(name), heading, &files())
    }

    fn repository(&self) -> Repository {
        Repository::new(self.at("repo"))
    }

    fn import(&self, from: &Path) -> Result<bool, RepoError> {
        let imported = self.repository().import(from, &key(), NOW)?;
        Ok(imported.already)
    }
}

fn key() -> ReleaseKey {
    ReleaseKey::from_pem(&PUBLISHER.pem()).unwrap()
}

/// What `rmsd repo` says: its exit code and its document.
fn repo(arguments: &[&str], data: &Path) -> (i32, Value) {
    let data = text(data);
    let mut all = vec!["repo"];
    all.extend(arguments);
    all.extend(["--data", &data, "--json"]);
    let (exit, said, _) = rmsd(&all, "");
    (exit, serde_json::from_str(&said).unwrap())
}

#[test]
fn a_channel_is_brought_in_handed_out_and_carried_on() {
    let place = Place::new();
    let server = TestServer::start();
    let url = |path: &str| server.url(&format!("/openrms/repo/{path}"));
    assert_eq!(get(&url("install.sh"), &[]).status, 404);
    let (source, pem) = (
        place.publish("channel", FIRST),
        text(&place.at("release.pem")),
    );
    let import = ["import", &text(&source), "--key", &pem];
    let (exit, said) = repo(&import, &server.data());
    assert_eq!(
        (exit, &said["already"], &said["files"]),
        (0, &json!(false), &json!(7)),
        "{said}"
    );
    let (exit, said) = repo(&import, &server.data());
    assert_eq!((exit, &said["already"]), (0, &json!(true)));
    let (exit, status) = repo(&["status"], &server.data());
    assert_eq!(
        (exit, &status["version"], &status["expired"]),
        (0, &json!("0.2.0"), &json!(false))
    );

    // The server that runs hands it out at once, whole.
    for (path, bytes) in files() {
        let answer = get(&url(path), &[]);
        assert_eq!((answer.status, answer.body == bytes), (200, true), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let page = get(&url(""), &[]);
    let page = page.text();
    for words in [
        "apt-get install openrms-client",
        "OpenRMS-0.2.0-x64.exe",
        server.running.url(),
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains('@'), "{page}");
    let status = get(
        &server.url("/admin/api/status"),
        &[("authorization", &format!("Bearer {}", server.admin_token()))],
    );
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(status["channel"]["serial"], json!(FIRST.serial));

    // The same bytes, whoever packs them.
    let (one, two) = (place.at("one.tar"), place.at("two.tar"));
    for file in [&one, &two] {
        let (exit, said) = repo(&["export", &text(file), "--key", &pem], &server.data());
        assert_eq!(exit, 0, "{said}");
    }
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let (exit, said) = repo(&["export", &text(&one), "--key", &pem], &server.data());
    assert_eq!((exit, &said["error"]["code"]), (1, &json!("file-exists")));
    let carried = Place::new();
    assert!(!carried.import(&one).unwrap());
    let there = carried.repository().current().unwrap().unwrap().folder;
    for (path, bytes) in files() {
        assert!(fs::read(there.join(path)).unwrap() == bytes, "{path}");
    }
    let (exit, _) = repo(&["remove"], &server.data());
    assert_eq!((exit, get(&url("install.sh"), &[]).status), (0, 404));
    let (exit, said) = repo(&["status"], &server.data());
    assert_eq!((exit, &said["error"]["code"]), (1, &json!("no-channel")));
}

#[test]
fn files_are_sent_once_in_parts_and_only_those_of_the_manifest() {
    let place = Place::new();
    let server = TestServer::start();
    let repository = Repository::new(server.data().join("repo"));
    let source = place.publish("channel", FIRST);
    fs::write(
        source.join("openrms.manifest.asc"),
        "-----BEGIN PGP SIGNATURE-----\n",
    )
    .unwrap();
    repository.import(&source, &key(), NOW).unwrap();
    let url = |path: &str| server.url(&format!("/openrms/repo/{path}"));
    let deb = "apt/pool/openrms-client_0.2.0_amd64.deb";
    let bytes = &files()[deb];
    let whole = get(&url(deb), &[]);
    let tag = whole.header("etag").to_owned();
    assert_eq!(
        whole.header("content-type"),
        "application/vnd.debian.binary-package"
    );
    assert_eq!(whole.header("content-length"), bytes.len().to_string());
    let known = get(&url(deb), &[("if-none-match", &tag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    let part = get(&url(deb), &[("range", "bytes=100000-"), ("if-range", &tag)]);
    assert_eq!((part.status, part.body == bytes[100_000..]), (206, true));
    assert_eq!(
        part.header("content-range"),
        format!("bytes 100000-{}/{}", bytes.len() - 1, bytes.len())
    );
    assert_eq!(get(&url(deb), &[("range", "bytes=9999999-")]).status, 416);
    let head = ureq::head(url(deb)).call().unwrap();
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    for own in [
        "openrms.manifest",
        "openrms.manifest.sig",
        "openrms.manifest.asc",
    ] {
        assert_eq!(get(&url(own), &[]).status, 200, "{own}");
    }
    // Folders, other files, and ways out: the token of the administration site is two floors above.
    for path in [
        "apt",
        "apt/",
        "apt/pool",
        "Install.sh",
        "../../../admin.token",
        "..%2f..%2f..%2fadmin.token",
        "%2e%2e/%2e%2e/%2e%2e/admin.token",
        "apt/../install.sh",
        "//install.sh",
        "%2finstall.sh",
        "install.sh%00",
        "seen.json",
        "current",
    ] {
        assert_eq!(
            raw_status(&server, &format!("/openrms/repo/{path}")),
            404,
            "{path}"
        );
    }
    let posted = ureq::post(url("install.sh"))
        .config()
        .http_status_as_error(false)
        .build()
        .send("x");
    assert_eq!(posted.unwrap().status(), 405);
}

#[test]
fn an_expired_channel_is_handed_out_and_the_server_says_that_nobody_takes_it() {
    let place = Place::new();
    let server = TestServer::start();
    let heading = Heading {
        serial: 1_700_000_000,
        expires: 1_700_000_002,
        ..FIRST
    };
    let source = place.publish("channel", heading);
    let repository = Repository::new(server.data().join("repo"));
    let then = Time::from_unix(1_700_000_001);
    repository.import(&source, &key(), then).unwrap();
    let before = Event::ChannelExpired.count();
    // It is looked at after everything was read anew, which is when the second answer comes.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..2 {
        assert!(runtime.block_on(server.running.reload()));
    }
    assert_eq!(Event::ChannelExpired.count(), before + 1);
    let ready = get(&server.url("/readyz"), &[]);
    assert_eq!(ready.status, 200);
    assert!(
        ready.text().starts_with("degraded: channel: "),
        "{}",
        ready.text()
    );
    assert_eq!(
        get(&server.url("/openrms/repo/install.sh"), &[]).status,
        200
    );
    assert!(
        get(&server.url("/openrms/repo/"), &[])
            .text()
            .contains("has expired")
    );
    let metrics = get(&server.url("/metrics"), &[]).text();
    let line = format!(
        "rmsd_channel_expiry_timestamp_seconds {}\n",
        heading.expires
    );
    assert!(metrics.contains(&line), "{metrics}");
}

#[test]
fn a_byte_changed_anywhere_is_refused_and_what_is_handed_out_stays_as_it_was() {
    let place = Place::new();
    place.import(&place.publish("old", FIRST)).unwrap();
    let before = tree(&place.at("repo"));
    let newer = Heading {
        version: "0.3.0",
        serial: FIRST.serial + 1,
        ..FIRST
    };
    let source = place.publish("new", newer);
    let mut refused = 0;
    for (path, bytes) in tree(&source) {
        let last = bytes.len() - 1;
        for at in [0, last / 2, last] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let error = place.import(&source).unwrap_err();
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
            match error {
                RepoError::Manifest(_) => assert!(name.starts_with("openrms.manifest"), "{name}"),
                RepoError::FileAltered(ref file) => assert_eq!(file, name),
                // Line ends round a signature mean nothing.
                error => panic!("{name}, byte {at}: {error}"),
            }
            assert!(tree(&place.at("repo")) == before, "{name}, byte {at}");
            refused += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(refused, 3 * (files().len() + 2));
    assert!(!place.import(&source).unwrap());
    // Also where it is here already, and nothing of it is needed.
    fs::write(source.join("install.sh"), "#!/bin/bash\n").unwrap();
    let error = place.import(&source).unwrap_err();
    assert!(matches!(error, RepoError::FileAltered(_)), "{error}");
}

#[test]
fn what_is_replayed_older_or_expired_is_refused_by_name() {
    let place = Place::new();
    let server = TestServer::start();
    let pem = text(&place.at("release.pem"));
    let code = |source: &Path, pem: &str| {
        let (exit, said) = repo(&["import", &text(source), "--key", pem], &server.data());
        (
            exit,
            said["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let named = |exit, code: &str| (exit, code.to_owned());
    let later = |version, more| Heading {
        version,
        serial: FIRST.serial + more,
        ..FIRST
    };
    let first = place.publish("first", FIRST);
    let second = place.publish("second", later("0.3.0", 2));
    assert_eq!(code(&first, &pem), named(0, ""));
    assert_eq!(code(&second, &pem), named(0, ""));
    let kept = tree(&server.data().join("repo"));
    assert_eq!(code(&first, &pem), named(4, "manifest-replayed"));
    let older = place.publish("older", later("0.2.9", 3));
    assert_eq!(code(&older, &pem), named(4, "older-version"));
    let ended = Heading {
        expires: 1_700_000_000,
        ..later("0.4.0", 4)
    };
    let ended = place.publish("ended", ended);
    assert_eq!(code(&ended, &pem), named(4, "manifest-expired"));
    let forged = Publisher::new(KeySize::Rsa3072);
    let theirs = forged.publish(place.at("forged"), later("0.4.0", 5), &files());
    assert_eq!(code(&theirs, &pem), named(4, "manifest-forged"));
    let malformed = place.publish("malformed", later("0.4.0", 6));
    PUBLISHER.sign_anew(&malformed, "openrms-manifest 2\n");
    assert_eq!(code(&malformed, &pem), named(6, "manifest-malformed"));
    let weak = place.at("weak.pem");
    fs::write(&weak, Publisher::new(KeySize::Rsa2048).pem()).unwrap();
    assert_eq!(code(&second, &text(&weak)), named(6, "bad-release-key"));
    assert!(tree(&server.data().join("repo")) == kept);
    // Nor is it forgotten what was here.
    let (exit, _) = repo(&["remove"], &server.data());
    assert_eq!(
        (exit, code(&first, &pem)),
        (0, named(4, "manifest-replayed"))
    );
    assert_eq!(code(&second, &pem), named(0, ""));
}

#[test]
fn an_import_that_is_killed_at_any_instant_leaves_the_old_channel_or_the_new() {
    let place = Place::new();
    let server = TestServer::start();
    let repository = Repository::new(server.data().join("repo"));
    repository
        .import(&place.publish("c0", FIRST), &key(), NOW)
        .unwrap();
    let (mut old, mut new) = (0, 0);
    for round in 1..=40_u64 {
        let heading = Heading {
            serial: FIRST.serial + round,
            ..FIRST
        };
        let before = repository.current().unwrap().unwrap().manifest.serial();
        let source = place.publish("c1", heading);
        let mut child = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(["repo", "import", &text(&source), "--key"])
            .args([
                &text(&place.at("release.pem")),
                "--data",
                &text(&server.data()),
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Another instant each time, up to its end.
        let target = round % (BEHIND + 1);
        while child.try_wait().unwrap().is_none() {
            if progress(&server.data().join("repo"), heading.serial) > target {
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
        let there = repository.current().unwrap().unwrap();
        let serial = there.manifest.serial();
        assert!(serial == before || serial == heading.serial, "{serial}");
        if serial == before {
            old += 1;
        } else {
            new += 1;
        }
        let deb = "apt/pool/openrms-client_0.2.0_amd64.deb";
        for (path, bytes) in files() {
            assert!(
                fs::read(there.folder.join(path)).unwrap() == bytes,
                "{path}"
            );
        }
        assert!(get(&server.url(&format!("/openrms/repo/{deb}")), &[]).body == files()[deb]);
    }
    println!("{old} times the old one, {new} times the new");
    assert!(old > 5 && new > 1, "{old}, {new}");
    let source = place.publish(
        "c2",
        Heading {
            serial: FIRST.serial + 99,
            ..FIRST
        },
    );
    repository.import(&source, &key(), NOW).unwrap();
    let left = fs::read_dir(server.data().join("repo")).unwrap().count();
    assert!(left <= 4, "{:?}", tree(&server.data().join("repo")).keys());
}

#[test]
fn a_channel_of_a_real_release_is_taken() {
    let Some(channel) = std::env::var_os("OPENRMS_DIST") else {
        println!("skipped: no release (OPENRMS_DIST names the channel of `cargo xtask dist`)");
        return;
    };
    let channel = Path::new(&channel);
    let place = Place::new();
    let pem = fs::read_to_string(channel.join("openrms-release.pem")).unwrap();
    let key = ReleaseKey::from_pem(&pem).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let now = Time::from_unix(now);
    let repository = place.repository();
    assert!(!repository.import(channel, &key, now).unwrap().already);
    let tar = place.at("real.tar");
    repository.export(&tar, &key, false, now).unwrap();
    let carried = Repository::new(place.at("carried"));
    carried.import(&tar, &key, now).unwrap();
    let [one, two] = [&repository, &carried].map(|repository| {
        let folder = repository.current().unwrap().unwrap().folder;
        let below =
            |(path, bytes): (PathBuf, _)| (path.strip_prefix(&folder).unwrap().to_owned(), bytes);
        tree(&folder)
            .into_iter()
            .map(below)
            .collect::<BTreeMap<_, Vec<u8>>>()
    });
    assert!(one == two);
}

/// How far an import has come: one for each file that it has begun, then one for each step that shows.
fn progress(repo: &Path, serial: u64) -> u64 {
    let count = |folder: &Path| u64::try_from(tree(folder).len()).unwrap();
    let mut begun = 0;
    for entry in fs::read_dir(repo).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".openrms-new-") && entry.path().is_dir() {
            begun = count(&entry.path()).min(BEHIND - 3);
        }
        if name.starts_with(&format!("channel-{serial}-")) {
            return BEHIND - 2 + remembered(repo, serial);
        }
    }
    begun
}

/// Whether it is remembered, and then whether it is handed out.
fn remembered(repo: &Path, serial: u64) -> u64 {
    let seen = fs::read_to_string(repo.join("seen.json")).unwrap();
    let current = fs::read_link(repo.join("current")).unwrap();
    let is_current = current.to_string_lossy().contains(&serial.to_string());
    u64::from(seen.contains(&serial.to_string())) + u64::from(is_current)
}

/// The status of a path that is sent as it is written.
fn raw_status(server: &TestServer, path: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let address = server.running.url().strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Files of a channel, with its manifest and signature, and three steps after them.
const BEHIND: u64 = 12;
/// 2027-01-15.
const NOW: Time = Time::from_unix(1_800_000_000);
