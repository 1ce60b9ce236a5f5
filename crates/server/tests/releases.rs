//! The previous release and this one side by side: clusters are upgraded server by server while people
//! work, one server goes back, and the old program serves what the new one has written.
//!
//! `OPENRMS_SOAK_SECONDS` asks for other lengths of the time before and after than 10.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/clusters.rs"]
mod clusters;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/network.rs"]
mod network;
mod support;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clusters::Clusters;
use fleet::{Node, Port, StopOnDrop, TestDatabase, client, secret, sign_in};
use openrms_client::{Client, Error, OwnPolicy, Persistence, Policy, Purge, Signer};
use support::{PASSWORD, text};

#[test]
fn s20_s27_s28_s31_clusters_are_upgraded_server_by_server_and_nobody_notices() {
    let Some(previous) = Node::previous_release() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(clusters) = Clusters::provision(folder.path(), &previous) else {
        return;
    };
    let mut nodes = clusters.nodes();
    for node in &mut nodes {
        node.start();
    }
    let alice = clusters.join("alice", "alice");
    let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
    let policy = Policy::Own(OwnPolicy::of([grant]));
    let license = alice.publish(&policy, Signer::Author).unwrap();
    let license = license.license_bytes();
    let readers: Vec<_> = (0..READERS)
        .map(|n| clusters.join(&format!("bob-{n}"), "bob"))
        .collect();
    let carol = clusters.join("carol", "carol");
    let certified_before = READERS + 2;

    let load = Load::default();
    let changes = std::thread::scope(|scope| {
        let _over = StopOnDrop(&load.over);
        for reader in &readers {
            scope.spawn(|| {
                load.run("license", || {
                    reader.purge_licenses(&Purge::All).unwrap();
                    reader.content_key(&license).map(drop)
                });
            });
        }
        scope.spawn(|| {
            load.run("certify", || {
                carol.certify(Persistence::Temporary).map(drop)
            });
        });
        scope.spawn(|| {
            load.run("publish", || {
                alice.publish(&policy, Signer::Server).map(drop)
            });
        });
        load.go_on_for(steady());
        let began = Instant::now();
        // Root cluster first.
        for node in &mut nodes {
            load.change(node, Node::this_release());
        }
        let upgraded = Instant::now();
        load.go_on_for(steady());
        let went_back = Instant::now();
        load.change(&mut nodes[3], &previous);
        [(began, upgraded), (went_back, Instant::now())]
    });
    for node in &mut nodes {
        assert!(node.stop());
    }
    let done = load.done.into_inner().unwrap();
    let failures: Vec<_> = done.iter().filter_map(|one| one.error.as_ref()).collect();
    let during = |one: &&Done| {
        let at = one.began;
        changes.iter().any(|(from, to)| *from <= at && at <= *to)
    };
    for what in ["license", "certify", "publish"] {
        let of = |is_change: bool| {
            let chosen = done.iter().filter(|one| one.what == what);
            percentile(chosen.filter(|one| during(one) == is_change))
        };
        println!(
            "{what}: p99 {:?} at rest, {:?} during changes",
            of(false),
            of(true)
        );
    }
    let at_rest = percentile(done.iter().filter(|one| !during(one)));
    let in_change = percentile(done.iter().filter(during));
    let ratio = in_change.as_secs_f64() / at_rest.as_secs_f64();
    println!(
        "{} requests, {} failed; p99 {at_rest:?} at rest, {in_change:?} during changes: {ratio:.2}",
        done.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(ratio <= 2.0, "p99 is {ratio:.2} times that at rest");

    // The newest release reads what both have written.
    let answered = |what: &str| done.iter().filter(|one| one.what == what).count();
    for (node, operation, answers) in [
        (&nodes[0], "Certify", answered("certify") + certified_before),
        (&nodes[2], "AcquireLicense", answered("license")),
        (&nodes[2], "AcquireIssuanceLicense", answered("publish")),
    ] {
        let (rows, issued) = clusters.answers(node, operation);
        println!("{operation}: {answers} answers, {rows} events");
        assert_eq!(rows, answers, "{operation}");
        assert_eq!(issued.len(), rows, "{operation}: an event is there twice");
    }
}

#[test]
fn s25_s26_s46_s48_s49_the_old_release_serves_the_database_of_the_new_one() {
    let Some(previous) = Node::previous_release() else {
        return;
    };
    for database in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut case) = Case::new(folder.path(), &previous, *database) else {
            continue;
        };
        let before = case.export();
        let protected = case.protect();
        case.go_to(Node::this_release());
        case.opens(&protected);
        let newer = case.protect();
        case.node.stop();
        let schema = case.schema();
        // As it was: only columns were added, which the old release does not see.
        case.node.set_release(&previous);
        assert_eq!(case.export(), before, "{database:?}");
        case.node.start();
        case.opens(&protected);
        case.opens(&newer);
        case.opens(&case.protect());
        case.join("carol", "carol");
        assert!(case.node.stop());
        assert_eq!(
            case.schema(),
            schema,
            "{database:?}: nothing was taken away"
        );
        // And back again.
        case.go_to(Node::this_release());
        case.opens(&newer);
        assert!(case.node.stop());
    }
}

#[test]
fn s21_s47_restoring_the_backup_undoes_the_upgrade_altogether() {
    let Some(previous) = Node::previous_release() else {
        return;
    };
    for database in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut case) = Case::new(folder.path(), &previous, *database) else {
            continue;
        };
        let protected = case.protect();
        let archive = case.backup();
        let before = case.export();
        case.go_to(Node::this_release());
        // What is changed since is to be undone.
        let template = case.add_template();
        assert!(case.node.stop());
        case.node.set_release(Node::this_release());
        let after = case.export();
        assert!(after.contains(&template) && after != before);
        for program in [&previous, Node::this_release()] {
            let mut restored = case.restore(&archive, program);
            assert_eq!(restored.export(), before, "{database:?}");
            restored.node.start();
            restored.opens(&protected);
            assert!(restored.node.stop());
        }
    }
}

#[test]
fn s38_s40_a_license_costs_no_more_than_with_the_release_before_and_all_cores_work() {
    let Some(previous) = Node::previous_release() else {
        return;
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let programs = [&*previous, Node::this_release()];
    let cases = [0, 1].map(|n| Case::new(folders[n].path(), programs[n], Kind::Sqlite).unwrap());
    let licenses = [0, 1].map(|n| cases[n].protect());
    let readers = cases.each_ref().map(|case| {
        let join = |reader| case.join(&format!("reader-{reader}"), "bob");
        (0..READERS).map(join).collect::<Vec<_>>()
    });
    let mut least = [Duration::MAX; 2];
    // In turn, so that both meet the same machine.
    for _ in 0..ROUNDS {
        for n in [0, 1] {
            let before = cpu(&cases[n].node);
            std::thread::scope(|scope| {
                for reader in &readers[n] {
                    let license = &licenses[n][0];
                    scope.spawn(move || {
                        for _ in 0..LICENSES {
                            reader.purge_licenses(&Purge::All).unwrap();
                            reader.content_key(license).unwrap();
                        }
                    });
                }
            });
            let spent = cpu(&cases[n].node).saturating_sub(before);
            least[n] = least[n].min(spent);
        }
    }
    let count = u32::try_from(READERS * LICENSES).unwrap();
    let [old, new] = least.map(|time| time / count);
    let ratio = new.as_secs_f64() / old.as_secs_f64();
    println!("{old:?} of a core for a license before, {new:?} now: {ratio:.2}");
    assert!(
        ratio <= 1.15,
        "a license costs {ratio:.2} times what it did"
    );
    let busy = busy_threads(&cases[1].node);
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(
        busy >= cores.min(READERS),
        "{busy} threads served, of {cores} cores"
    );
}

/// Where a cluster of one server keeps what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    const ALL: &[Self] = &[Self::Sqlite, Self::Postgres];
}

/// A cluster of one server, with alice and bob.
struct Case {
    folder: std::path::PathBuf,
    kind: Kind,
    node: Node,
    url: String,
    alice: Client,
    bob: Client,
}

impl Case {
    /// A cluster that was made by a release and serves; none where there is no database server.
    fn new(folder: &Path, program: &Path, kind: Kind) -> Option<Self> {
        let database = match kind {
            Kind::Sqlite => Vec::new(),
            Kind::Postgres => TestDatabase::new(folder)?.arguments(),
        };
        let port = Port::reserve();
        let url = format!("http://{}", port.address);
        let mut node = Node::new(folder.join("data")).of_release(program);
        let (data, listen) = (text(&node.data), port.address.to_string());
        let mut provision = vec!["provision", "root", "--url", &url, "--data", &data];
        provision.extend(["--listen", &listen]);
        provision.extend(database.iter().map(String::as_str));
        node.succeed(&provision);
        // Keys that are made ahead of time would count as work for requests.
        let config = node.data.join("rmsd.toml");
        let settings = std::fs::read_to_string(&config).unwrap() + "\n[limits]\nspare_keys = 0\n";
        std::fs::write(&config, settings).unwrap();
        let password = secret(&folder.join("person.password"), PASSWORD);
        for name in ["alice", "bob", "carol"] {
            let mail = format!("{name}@example.test");
            let mut add = vec!["person", "add", name, "--mail", &mail, "--data", &data];
            add.extend(["--password-file", &password]);
            node.succeed(&add);
        }
        node.start();
        let join = |name: &str| {
            let client = client(folder.join(name), name);
            sign_in(&client, &url);
            client
        };
        Some(Self {
            alice: join("alice"),
            bob: join("bob"),
            folder: folder.to_owned(),
            kind,
            node,
            url,
        })
    }

    /// Stops the server, upgrades it and starts it again.
    fn go_to(&mut self, program: &Path) {
        assert!(self.node.stop());
        self.node.set_release(program);
        self.node.start();
    }

    /// A license for bob: by the author, and by the server.
    fn protect(&self) -> Vec<Vec<u8>> {
        let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
        let policy = Policy::Own(OwnPolicy::of([grant]));
        [Signer::Author, Signer::Server]
            .map(|signer| {
                let license = self.alice.publish(&policy, signer).unwrap();
                license.license_bytes()
            })
            .to_vec()
    }

    fn opens(&self, licenses: &[Vec<u8>]) {
        self.bob.purge_licenses(&Purge::All).unwrap();
        for license in licenses {
            self.bob.content_key(license).unwrap();
        }
    }

    /// Somebody with RAC and CLC on a machine of their own.
    fn join(&self, home: &str, name: &str) -> Client {
        let client = client(self.folder.join(home), name);
        sign_in(&client, &self.url);
        client
    }

    /// The name of a template that was not there before.
    fn add_template(&self) -> String {
        let description = self.folder.join("template.toml");
        std::fs::write(&description, TEMPLATE).unwrap();
        let (data, description) = (text(&self.node.data), text(&description));
        let said = self
            .node
            .succeed(&["template", "add", &description, "--data", &data, "--json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["id"].as_str().unwrap().to_owned()
    }

    fn export(&self) -> String {
        let data = text(&self.node.data);
        self.node.succeed(&["db", "export", "--data", &data])
    }

    fn schema(&self) -> serde_json::Value {
        let data = text(&self.node.data);
        let status = self
            .node
            .succeed(&["db", "status", "--data", &data, "--json"]);
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["schema"].clone()
    }

    fn backup(&self) -> std::path::PathBuf {
        let archive = self.folder.join("backup");
        let data = text(&self.node.data);
        let password = secret(
            &self.folder.join("backup.password"),
            "correct Horse battery 9",
        );
        let mut backup = vec!["backup", "--data", &data, "--password-file", &password];
        let output = text(&archive);
        backup.extend(["--output", &output]);
        self.node.succeed(&backup);
        archive
    }

    /// The cluster as it was, on another host, by the program of a release.
    fn restore(&self, archive: &Path, program: &Path) -> Self {
        let folder = tempfile::tempdir_in(&self.folder).unwrap().keep();
        let database = match self.kind {
            Kind::Sqlite => Vec::new(),
            Kind::Postgres => {
                let database = TestDatabase::new(&folder).unwrap();
                let password = text(&database.password_file);
                let arguments = ["--database", &database.url, "--database-password-file"];
                [arguments.map(str::to_owned).to_vec(), vec![password]].concat()
            }
        };
        let node = Node::new(folder.join("data")).of_release(program);
        let data = text(&node.data);
        let password = text(&self.folder.join("backup.password"));
        let archive = text(archive);
        let mut restore = vec!["restore", &archive, "--data", &data];
        restore.extend(["--password-file", &password]);
        restore.extend(database.iter().map(String::as_str));
        node.succeed(&restore);
        let open = |name: &str| client(self.folder.join(name), name);
        Self {
            alice: open("alice"),
            bob: open("bob"),
            folder,
            kind: self.kind,
            node,
            url: self.url.clone(),
        }
    }
}

/// What people do all the time, at a rate of their own, and how long each request took.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    done: Mutex<Vec<Done>>,
}

/// One request.
struct Done {
    what: &'static str,
    began: Instant,
    took: Duration,
    error: Option<String>,
}

impl Load {
    fn run(&self, what: &'static str, question: impl Fn() -> Result<(), Error>) {
        let mut next = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let error = question().err().map(|error| error.full_message());
            let took = began.elapsed();
            self.done.lock().unwrap().push(Done {
                what,
                began,
                took,
                error,
            });
            next = (next + PACE).max(Instant::now());
            // The rate is the load, whatever the servers do.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Ends a server as its service manager does, and starts the program of another release in its
    /// place; returns when some more was answered.
    fn change(&self, node: &mut Node, program: &Path) {
        assert!(node.stop(), "a server ended badly");
        self.go_on_for(Duration::from_millis(500));
        node.set_release(program);
        node.start();
        self.go_on_for(Duration::from_secs(1));
    }

    /// Until some time is over and everything was answered at least ten times more.
    fn go_on_for(&self, time: Duration) {
        let end = Instant::now() + time;
        let counts = || ["license", "certify", "publish"].map(|what| self.count(what));
        let before = counts();
        let deadline = end + Duration::from_secs(30);
        while Instant::now() < end
            || counts()
                .iter()
                .zip(&before)
                .any(|(now, then)| *now < then + 10)
        {
            assert!(Instant::now() < deadline, "no answers");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn count(&self, what: &str) -> usize {
        let done = self.done.lock().unwrap();
        done.iter().filter(|one| one.what == what).count()
    }
}

/// What a server has computed since it was started.
fn cpu(node: &Node) -> Duration {
    threads(node).into_iter().map(|(_, time)| time).sum()
}

/// How many threads of a server have served.
fn busy_threads(node: &Node) -> usize {
    let threads = threads(node);
    let most = threads.iter().map(|(_, time)| *time).max().unwrap();
    let served = threads
        .iter()
        .filter(|(name, time)| name.starts_with("rmsd") && *time > most / 20);
    served.count()
}

/// The threads of a server, and what each has computed.
fn threads(node: &Node) -> Vec<(String, Duration)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.id())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.unwrap().path();
        // One that has just ended is not there any more.
        let read = |name: &str| std::fs::read_to_string(task.join(name)).ok();
        let (name, spent) = (read("comm")?, read("schedstat")?);
        let nanoseconds = spent.split(' ').next()?.parse().ok()?;
        Some((name, Duration::from_nanos(nanoseconds)))
    };
    tasks.filter_map(of_task).collect()
}

/// The time within which 99 of 100 are answered.
fn percentile<'d>(done: impl Iterator<Item = &'d Done>) -> Duration {
    let mut times: Vec<_> = done.map(|one| one.took).collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}

fn steady() -> Duration {
    let seconds = std::env::var("OPENRMS_SOAK_SECONDS").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// How often both releases are measured in turn, and how many licenses each client asks for.
const ROUNDS: usize = 6;
const LICENSES: usize = 60;
/// Clients that are licensed.
const READERS: usize = 3;
/// Each client asks this often.
const PACE: Duration = Duration::from_millis(40);
const TEMPLATE: &str = r#"
[[names]]
lcid = 1033
name = "Added since"

[[grant]]
who = "everyone"
rights = ["VIEW"]
"#;
