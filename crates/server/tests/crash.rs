//! Crash safety of the whole: `rmsd` as a real process, killed without warning again and again
//! while clients join, protect and open. What a client was given must be there afterwards.
//!
//! `OPENRMS_CRASH_CYCLES` asks for more cycles than 200, `OPENRMS_CRASH_SEED` for other instants.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use openrms_client::{
    Class, Client, Credentials, Error, Home, HttpOptions, HttpTransport, JoinPolicy,
    MachineIdentity, Overwrite, OwnPolicy, Persistence, Policy, Purge, Secret, Signer, Source,
};
use openrms_crypto::sha256;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_store::{CertificateBody, CertificateKind, Sqlite, Store as _};
use openrms_xrml::{Guid, SharedNode};
use socket2::{Domain, Socket, Type};

#[test]
fn killing_the_server_at_any_point_loses_no_issued_certificate_and_corrupts_nothing() {
    let cycles = number("OPENRMS_CRASH_CYCLES", 200);
    let seed = number("OPENRMS_CRASH_SEED", 0x5eed);
    let cluster = Cluster::provision();
    let mut ledger = Ledger::default();

    let began = Instant::now();
    let deaths = cluster.with_server(Some(seed), |server| {
        work(&cluster, server, cycles, &mut ledger);
    });
    println!(
        "{cycles} cycles in {:.1} s; killed {} times, {} of them before it served; \
         {} certificates; {} questions asked again (seed {seed})",
        began.elapsed().as_secs_f32(),
        deaths.kills,
        deaths.before_ready,
        ledger.certificates.len(),
        ledger.asked_again,
    );
    assert!(deaths.kills >= 30, "killed {} times only", deaths.kills);
    assert!(ledger.asked_again > 0, "no request was under way");

    cluster.check_store(&ledger);
    cluster.check_audit(&ledger);
    for (person, keys) in &ledger.keys {
        assert_eq!(keys.len(), 1, "{person} has had {} RAC keys", keys.len());
    }
    cluster.with_server(None, |server| {
        check_files(&cluster, server, cycles, &mut ledger);
    });
    println!("checked after {:.1} s", began.elapsed().as_secs_f32());
}

#[test]
fn an_audit_line_that_was_cut_short_does_not_spoil_the_next() {
    let cluster = Cluster::provision();
    let mut ledger = Ledger::default();
    let audit = cluster.data().join("audit.jsonl");
    for torn in [
        "{\"time\":\"2026-01-01T",
        "{}\n{\"time\":\"2026-01-01T",
        "{}\n",
    ] {
        fs::write(&audit, torn).unwrap();
        ledger.certificates.clear();
        let home = format!("alice-{}", torn.len());
        cluster.with_server(None, |server| {
            cluster.join(server, "alice", &home, &mut ledger);
        });
        cluster.check_audit(&ledger);
        let text = fs::read_to_string(&audit).unwrap();
        assert_eq!(text.starts_with("{}\n"), torn.starts_with("{}"), "{text}");
    }
}

/// Joins, protects and opens, whatever becomes of the server.
fn work(cluster: &Cluster, server: &Server<'_>, cycles: u64, ledger: &mut Ledger) {
    let mut people = None;
    for cycle in 0..cycles {
        if cycle % 5 == 0 {
            people = None;
        }
        let (alice, bob) = people.get_or_insert_with(|| {
            let mut join = |name| cluster.join(server, name, &format!("{name}-{cycle}"), ledger);
            (join("alice"), join("bob"))
        });
        let signer = if cycle % 2 == 0 {
            Signer::Author
        } else {
            Signer::Server
        };
        let text = content(cycle);
        let plain = cluster.at("plain.txt");
        let target = cluster.protected(cycle);
        fs::write(&plain, &text).unwrap();
        let policy = Policy::Own(OwnPolicy::of(["bob@example.test:VIEW,EXPORT"
            .parse()
            .unwrap()]));
        server.ask(ledger, || {
            let done = alice.protect_file(&plain, &target, Overwrite::Never, &policy, signer);
            assert_eq!(target.exists(), done.is_ok(), "half a file was left");
            done
        });
        bob.purge_licenses(&Purge::All).unwrap();
        assert_eq!(open(server, bob, &target, ledger), text);
    }
}

/// Every file that was protected is bob's to open and not carol's.
fn check_files(cluster: &Cluster, server: &Server<'_>, cycles: u64, ledger: &mut Ledger) {
    let known = ledger.keys["bob"].clone();
    let bob = cluster.join(server, "bob", "bob-later", ledger);
    assert_eq!(ledger.keys["bob"], known);
    let carol = cluster.join(server, "carol", "carol", ledger);
    for cycle in 0..cycles {
        let path = cluster.protected(cycle);
        assert_eq!(open(server, &bob, &path, ledger), content(cycle));
        let refused = carol.open_file(&path).unwrap_err();
        assert_eq!(
            (refused.code(), refused.class()),
            ("no-rights", Class::Denied)
        );
    }
}

/// Opens a file with a license that the server gives now.
fn open(server: &Server<'_>, client: &Client, path: &Path, ledger: &mut Ledger) -> String {
    let opened = server.ask(ledger, || client.open_file(path));
    assert_eq!(opened.held().source, Source::Server);
    let mut text = Vec::new();
    opened.export().unwrap().copy_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Content of a cycle's file; of differing lengths.
fn content(cycle: u64) -> String {
    format!("Cycle {cycle}.\n").repeat(1 + usize::try_from(cycle % 700).unwrap())
}

/// What clients were given.
#[derive(Default)]
struct Ledger {
    certificates: BTreeMap<Guid, (CertificateKind, SharedNode)>,
    keys: BTreeMap<&'static str, BTreeSet<String>>,
    asked_again: usize,
}

impl Ledger {
    fn note(&mut self, kind: CertificateKind, node: &SharedNode) {
        let id = &node.content().descriptor.as_ref().unwrap().id;
        let new = self
            .certificates
            .insert(id.parse().unwrap(), (kind, node.clone()));
        assert!(new.is_none(), "{id} was issued twice");
    }
}

/// A folder with a provisioned server, clients and files.
struct Cluster {
    folder: tempfile::TempDir,
    url: String,
    // Bound and never listened on: keeps the port from others while the server is dead.
    _port: Socket,
}

impl Cluster {
    fn provision() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        port.set_reuse_address(true).unwrap();
        port.set_reuse_port(true).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        port.bind(&any.into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let url = format!("http://{address}");
        provision_root(&RootOptions {
            people: Some(support::people()),
            listen: vec![address],
            ..RootOptions::new(folder.path().join("data"), &url)
        })
        .unwrap();
        let config = folder.path().join("data/rmsd.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("audit = \"audit.jsonl\"\n{text}")).unwrap();
        Self {
            folder,
            url,
            _port: port,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.at("data")
    }

    fn protected(&self, cycle: u64) -> PathBuf {
        self.at(&format!("{cycle}.ptxt"))
    }

    /// A client with nothing but a new folder, brought to RAC and CLC.
    fn join(
        &self,
        server: &Server<'_>,
        name: &'static str,
        home: &str,
        ledger: &mut Ledger,
    ) -> Client {
        let options = HttpOptions {
            system_roots: false,
            ..HttpOptions::default()
        };
        let client = Client::builder(
            Home::open(self.at(home)).unwrap(),
            MachineIdentity::new("0123456789abcdef", 1000),
            HttpTransport::new(&options).unwrap(),
        )
        .credentials(Credentials::Basic {
            user: name.to_owned(),
            password: Secret::from(support::PASSWORD.as_bytes()),
        })
        .build();
        let url = self.url.parse().unwrap();
        server.ask(ledger, || client.init(&url, &JoinPolicy::TrustOnFirstUse));
        client.activate().unwrap();
        let account = server.ask(ledger, || client.certify(Persistence::Persistent));
        let licensor = server.ask(ledger, || client.client_licensor());
        ledger.note(CertificateKind::Rac, account.certificate().node());
        ledger.note(CertificateKind::Clc, licensor.certificate().node());
        let keys = ledger.keys.entry(name).or_default();
        keys.insert(account.fingerprint());
        client
    }

    /// Everything that clients were given is in the database, as it was given.
    fn check_store(&self, ledger: &Ledger) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let store = Sqlite::open(&self.data().join("openrms.db")).await.unwrap();
            store.check().await.unwrap();
            for (id, (kind, node)) in &ledger.certificates {
                let kept = store.issued(id.0).await.unwrap();
                let kept = kept.unwrap_or_else(|| panic!("{kind:?} {id} is lost"));
                let digest = CertificateBody::Digest(sha256(node.text().as_bytes()));
                assert_eq!((kept.kind, kept.body), (*kind, digest), "{id}");
            }
            assert_eq!(store.certified_users().await.unwrap(), 2);
            store.close().await;
        });
    }

    /// The audit file is whole lines, and tells of everything that clients were given.
    fn check_audit(&self, ledger: &Ledger) {
        let text = fs::read_to_string(self.data().join("audit.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "the last audit line is cut short");
        let mut told = BTreeSet::new();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("no audit line, {error}: {line}"));
            let issued = line["issued"].as_str().map(str::parse::<Guid>);
            told.extend(issued.map(Result::unwrap));
        }
        for (id, (kind, _)) in &ledger.certificates {
            assert!(told.contains(id), "no audit line tells of {kind:?} {id}");
        }
    }

    /// Does something while a process serves; with a seed, a process that is killed at random
    /// instants and started again.
    fn with_server(&self, seed: Option<u64>, work: impl FnOnce(&Server<'_>)) -> Deaths {
        let (events, received) = channel();
        let server = Server {
            cluster: self,
            state: Mutex::new(State::Down),
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            let stop = StopOnDrop(events.clone());
            let supervisor = scope.spawn({
                let server = &server;
                move || server.supervise(seed, &events, &received)
            });
            work(&server);
            drop(stop);
            supervisor.join().unwrap()
        })
    }
}

/// The process that serves, as those see it who ask.
struct Server<'c> {
    cluster: &'c Cluster,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    /// Dead, or not listening yet.
    Down,
    /// Says that it serves.
    Up,
    /// Ended by itself.
    Failed(String),
}

/// What the supervisor waits for.
enum Event {
    /// The process of that number said that it serves, or closed its output without a word.
    Output(usize, bool),
    /// There is no more work.
    Stop,
}

/// Tells the supervisor to end, also when a test fails.
struct StopOnDrop(Sender<Event>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // Fails when the supervisor is gone, which is what is wanted.
        let _ = self.0.send(Event::Stop);
    }
}

#[derive(Default)]
struct Deaths {
    kills: usize,
    before_ready: usize,
}

impl Server<'_> {
    /// Asks until there is an answer; only a server that is not there is asked again.
    fn ask<T>(&self, ledger: &mut Ledger, mut question: impl FnMut() -> Result<T, Error>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.wait_until_up(deadline);
            match question() {
                Ok(answer) => return answer,
                Err(error) if error.class() == Class::Unreachable && Instant::now() < deadline => {
                    ledger.asked_again += 1;
                }
                Err(error) => panic!("{}: {}", error.code(), error.full_message()),
            }
        }
    }

    fn wait_until_up(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let state = self.state.lock().unwrap();
        let is_down = |state: &mut State| matches!(state, State::Down);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, left, is_down)
            .unwrap();
        match &*state {
            State::Up => {}
            State::Down => panic!("no server in {PATIENCE:?}: {}", self.log()),
            State::Failed(why) => panic!("{why}: {}", self.log()),
        }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.cluster.at("rmsd.log")).unwrap_or_default()
    }

    fn supervise(
        &self,
        seed: Option<u64>,
        out: &Sender<Event>,
        events: &Receiver<Event>,
    ) -> Deaths {
        let mut dice = Dice(seed.unwrap_or_default());
        let mut deaths = Deaths::default();
        for number in 0.. {
            let mut child = self.spawn(number, out);
            // One in four has no time to begin.
            let early = seed.is_some() && dice.below(4) == 0;
            let life = if early { dice.millis(0..150) } else { PATIENCE };
            let mut end = Instant::now() + life;
            let mut is_up = false;
            let stopped = loop {
                match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(Event::Output(who, up)) if who == number => {
                        if !up {
                            let status = child.wait().unwrap();
                            self.set(State::Failed(format!("rmsd ended with {status}")));
                            return deaths;
                        }
                        is_up = true;
                        self.set(State::Up);
                        if !early {
                            let life = seed.map_or(FOREVER, |_| dice.millis(20..250));
                            end = Instant::now() + life;
                        }
                    }
                    Ok(Event::Output(..)) => {}
                    Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break true,
                    Err(RecvTimeoutError::Timeout) => break false,
                }
            };
            self.set(State::Down);
            child.kill().unwrap();
            let status = child.wait().unwrap();
            if status.signal() != Some(SIGKILL) || !(is_up || early || stopped) {
                self.set(State::Failed(format!("rmsd ended with {status}")));
                break;
            }
            if stopped {
                break;
            }
            deaths.kills += 1;
            deaths.before_ready += usize::from(!is_up);
        }
        deaths
    }

    /// Starts `rmsd serve`, which says on its output when it serves.
    fn spawn(&self, number: usize, out: &Sender<Event>) -> Child {
        let log = self.cluster.at("rmsd.log");
        let log = File::options().append(true).create(true).open(log);
        let mut child = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(["serve", "--data"])
            .arg(self.cluster.data())
            .env_remove("RMSD_CONFIG")
            .env("RMSD_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let out = out.clone();
        std::thread::spawn(move || {
            let said = output.lines().next().is_some_and(|line| line.is_ok());
            // Nobody listens any more after the last one.
            let _ = out.send(Event::Output(number, said));
        });
        child
    }
}

/// Random numbers that are the same each time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn millis(&mut self, span: std::ops::Range<u64>) -> Duration {
        // Microseconds hit more places than milliseconds.
        let micros = self.below((span.end - span.start) * 1000);
        Duration::from_micros(span.start * 1000 + micros)
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Longest wait for an answer, or for a process that begins.
const PATIENCE: Duration = Duration::from_secs(30);
const FOREVER: Duration = Duration::from_hours(24);
const SIGKILL: i32 = 9;
