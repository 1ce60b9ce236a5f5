//! No private key, content key or password of a cluster is anywhere it should not be: not on disk,
//! not in a dump of the database, not in logs or on command lines, not in a core dump. Looked for
//! as raw bytes in both orders, as hexadecimal and as base64.
//!
//! What a server must hold in memory to work, the master key and (without a security module) its
//! private key, is there; passwords are not once they have been used, nor, without a cache, are
//! content keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fleet::{Node, Port, StopOnDrop, TestDatabase, add_person, client, secret, sign_in};
use memchr::memmem;
use openrms_client::{OwnPolicy, Policy, Purge, Signer};
use openrms_crypto::SoftwareKey;
use openrms_crypto::envelope::{self, PasswordKey};
use openrms_store::{Location, PostgresLocation};
use support::{PASSWORD, rmsd, text};
use zeroize::Zeroizing;

#[test]
fn no_key_is_found_on_disk_in_the_database_in_logs_on_command_lines_or_in_a_core_dump() {
    allow_cores();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(database) = TestDatabase::new(folder.path()) else {
        return;
    };
    let secrets = tempfile::tempdir().unwrap();
    let keys = secret(&secrets.path().join("keys"), KEY_PASSWORD);
    let port = Port::reserve();
    let (url, data) = (format!("http://{}", port.address), text(&at("data")));

    let over = AtomicBool::new(false);
    let mut needles = Needles::default();
    let command_lines = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch_command_lines(&over));
        let _over = StopOnDrop(&over);
        let mut provision = vec!["provision", "root", "--url", &url, "--data", &data];
        let more = database.arguments();
        provision.extend(["--password-file", &keys]);
        provision.extend(more.iter().map(String::as_str));
        let (code, _, complaint) = rmsd(&provision, "");
        assert_eq!(code, 0, "{complaint}");
        for name in ["alice", "bob"] {
            add_person(&data, &secrets.path().join("person"), name);
        }
        // With a cache, content keys of lately licensed documents stay in memory: so the manual says.
        let config = at("data").join("rmsd.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}\n[limits]\ncache_bytes = 0\n")).unwrap();
        let mut node = Node::new(at("data"));
        node.start();
        let (alice, bob) = (
            client(secrets.path().join("alice"), "alice"),
            client(secrets.path().join("bob"), "bob"),
        );
        sign_in(&alice, &url);
        sign_in(&bob, &url);
        let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
        let policy = Policy::Own(OwnPolicy::of([grant]));
        for signer in [Signer::Author, Signer::Server] {
            let made = alice.publish(&policy, signer).unwrap();
            needles.add("content key", made.content_key().expose());
            bob.purge_licenses(&Purge::All).unwrap();
            bob.content_key(&made.license_bytes()).unwrap();
        }
        needles.add("password", KEY_PASSWORD.as_bytes());
        // In memory there is one thing more that only servers without a module hold.
        let found = scan_memory(node.id(), &needles);
        assert_eq!(found, BTreeSet::new(), "in memory");
        needles.add("password of a person", PASSWORD.as_bytes());
        cores_of(&mut node, &at("cores"), &needles);
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });

    let dump = private_keys(&database, &mut needles);
    assert!(needles.0.len() > 60, "{}", needles.0.len());
    // The scan finds what is there.
    let planted = [b"x".as_slice(), &needles.0.last().unwrap().1, b"y"].concat();
    assert_eq!(needles.found_in(&planted).len(), 1);

    assert_eq!(needles.found_in(&dump), BTreeSet::new(), "in the dump");
    assert!(command_lines.len() > 1000);
    let on_lines = needles.found_in(&command_lines);
    assert_eq!(on_lines, BTreeSet::new(), "on command lines");
    let mut files = 0;
    scan_folder(folder.path(), &needles, &mut files);
    assert!(files >= 5, "{files} files only");
}

/// What is looked for, with its name.
#[derive(Default)]
struct Needles(Vec<(&'static str, Vec<u8>)>);

impl Needles {
    fn add(&mut self, name: &'static str, secret: &[u8]) {
        // Enough to be no accident, and the same however the secret goes on.
        let part = secret.get(..24).unwrap_or(secret);
        let reversed: Vec<u8> = secret.iter().rev().copied().take(24).collect();
        for bytes in [part.to_vec(), reversed] {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            self.0.push((name, hex.to_uppercase().into_bytes()));
            self.0.push((name, hex.into_bytes()));
            for shift in 0..3 {
                // However it lies in the text around it, without what its neighbours change.
                let padded = [vec![0; shift], bytes.clone()].concat();
                let encoded = STANDARD_NO_PAD.encode(padded);
                let start = [0, 2, 3][shift];
                let end = encoded.len() - 2;
                self.0.push((name, encoded.as_bytes()[start..end].to_vec()));
            }
            self.0.push((name, bytes));
        }
    }

    fn found_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let found = self
            .0
            .iter()
            .filter(|(_, needle)| memmem::find(bytes, needle).is_some());
        found.map(|(name, _)| *name).collect()
    }
}

/// Opens what the database holds as only whoever knows the password can, and adds it. Answers a
/// dump of the database: PostgreSQL's own, or all rows where its program is missing.
fn private_keys(database: &TestDatabase, needles: &mut Needles) -> Vec<u8> {
    let password = fs::read_to_string(&database.password_file).unwrap();
    let location: PostgresLocation = database.url.parse().unwrap();
    let location = location.with_password(Zeroizing::new(password.clone()));
    let location = Location::Postgres(Box::new(location));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let (protection, stored) = runtime.enable_all().build().unwrap().block_on(async {
        let store = location.open().await.unwrap();
        let protection = store.key_protection().await.unwrap().unwrap();
        let stored = store.snapshot().await.unwrap();
        store.close().await;
        (protection.document, stored)
    });
    let document: serde_json::Value = serde_json::from_str(&protection).unwrap();
    let field = |name: &str| {
        let text = document[name].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    let parameters = PasswordKey::from_bytes(&field("argon2id")).unwrap();
    let key = parameters.derive(KEY_PASSWORD.as_bytes()).unwrap();
    let master = envelope::open(&key, b"openrms master key 2", &field("master")).unwrap();
    needles.add("master key", master.expose());
    let master = master.expose().try_into().unwrap();
    let sealed = stored
        .current_licensor_key()
        .unwrap()
        .sealed_private_key
        .clone();
    let handle = b"openrms software key handle 1";
    let blob = envelope::open(master, handle, sealed.as_slice()).unwrap();
    let private = SoftwareKey::from_private_key_blob(blob.expose()).unwrap();
    // PRIVATEKEYBLOB: 20 bytes of head, the modulus, p, q and what is made of them.
    let numbers = &blob.expose()[20 + 256..];
    for part in numbers.chunks(128) {
        needles.add("private key", part);
    }
    needles.add(
        "private key",
        private.to_pkcs8_der().expose().get(300..).unwrap(),
    );

    let program = fs::read_dir("/usr/lib/postgresql")
        .ok()
        .and_then(|versions| {
            let mut programs = versions.map(|version| version.unwrap().path().join("bin/pg_dump"));
            programs.find(|path| path.exists())
        });
    let Some(program) = program else {
        println!("no pg_dump here: the rows that were read are looked at in its place");
        return format!("{protection}{stored:?}").into_bytes();
    };
    let dump = Command::new(program)
        .arg(&database.url)
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let text = dump.stdout;
    assert!(memmem::find(&text, b"licensor_key").is_some());
    // Binary columns are hexadecimal in it.
    text
}

/// All command lines of all processes, again and again.
fn watch_command_lines(over: &AtomicBool) -> Vec<u8> {
    let mut seen = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            if let Ok(line) = fs::read(process.path().join("cmdline")) {
                seen.insert(line);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    seen.into_iter().flatten().collect()
}

/// What is found in the memory of a process, for whoever may read that.
fn scan_memory(pid: u32, needles: &Needles) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    let memory = File::open(format!("/proc/{pid}/mem"));
    let (Ok(maps), Ok(mut memory)) = (maps, memory) else {
        println!("the memory of rmsd cannot be read by this user, which is as it should be");
        return found;
    };
    let mut bytes_seen = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, rest) = line.split_once('-').unwrap();
        let (end, _) = rest.split_once(' ').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        if memory.seek(SeekFrom::Start(start)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            bytes_seen += bytes.len();
            let mut here = needles.found_in(&bytes);
            if !here.is_empty() {
                println!("{here:?} in {line}");
            }
            found.append(&mut here);
        }
    }
    assert!(bytes_seen > 1 << 20, "{bytes_seen} bytes only");
    found
}

/// What this test starts may leave cores, unless it says otherwise itself.
fn allow_cores() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    if maximum == Some(0) {
        println!("cores are forbidden to everybody here: that rmsd forbids them is not tested");
    }
    let current = maximum;
    setrlimit(Resource::Core, Rlimit { current, maximum }).unwrap();
}

/// Has the server crash where cores are allowed, and looks at what it leaves.
fn cores_of(node: &mut Node, folder: &Path, needles: &Needles) {
    use rustix::process::{Pid, Signal, kill_process};
    fs::create_dir(folder).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.id())).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = cores.unwrap().split_whitespace().collect();
    assert_eq!(words[4], "0", "cores are allowed: {limits}");
    let pid = Pid::from_raw(i32::try_from(node.id()).unwrap()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    node.wait();
    for place in [Path::new("."), Path::new("/tmp"), folder] {
        for file in fs::read_dir(place).unwrap().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with("core") && file.file_type().unwrap().is_file() {
                let bytes = fs::read(file.path()).unwrap();
                let found = needles.found_in(&bytes);
                assert_eq!(found, BTreeSet::new(), "{}", file.path().display());
            }
        }
    }
}

fn scan_folder(folder: &Path, needles: &Needles, files: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scan_folder(&path, needles, files);
        } else {
            *files += 1;
            let found = needles.found_in(&fs::read(&path).unwrap());
            assert_eq!(found, BTreeSet::new(), "{}", path.display());
        }
    }
}

const KEY_PASSWORD: &str = "correct Horse battery 9, and a stable";
