//! A root cluster and a licensing cluster of two servers each, every one on a machine of its own (a
//! network namespace), with PostgreSQL and plain TCP balancers before them. People are certified
//! at the one and licensed at the other while servers are killed without warning, again and again.
//!
//! `OPENRMS_SOAK_ROUNDS` asks for other rounds than 50.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/network.rs"]
mod network;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fleet::{Balancer, Node, StopOnDrop, TestDatabase, client_of};
use network::Network;
use openrms_client::{
    Client, JoinPolicy, MachineSettings, OwnPolicy, Persistence, Policy, Purge, Signer,
};
use serde_json::Value;
use support::text;

#[test]
fn servers_that_are_killed_cost_nothing_but_what_they_were_answering() {
    let folder = tempfile::tempdir().unwrap();
    let Some(fleet) = Fleet::provision(folder.path()) else {
        return;
    };
    let rounds = number("OPENRMS_SOAK_ROUNDS", 50);
    let mut nodes = fleet.nodes();
    for node in &mut nodes {
        node.start();
    }
    let root = fleet.root.url();
    let join = |home: &str, name: &str| {
        let client = fleet.client(home, name);
        client
            .init(&root.parse().unwrap(), &JoinPolicy::TrustOnFirstUse)
            .unwrap();
        client.activate().unwrap();
        client.certify(Persistence::Persistent).unwrap();
        client.client_licensor().unwrap();
        client
    };
    let alice = join("alice", "alice");
    let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
    let policy = Policy::Own(OwnPolicy::of([grant]));
    let license = alice.publish(&policy, Signer::Author).unwrap();
    let license = license.license_bytes();
    let readers: Vec<_> = (0..READERS)
        .map(|n| join(&format!("bob-{n}"), "bob"))
        .collect();
    let certified = join("carol", "carol");
    let before = READERS + 2;

    let load = Load::default();
    std::thread::scope(|scope| {
        let _over = StopOnDrop(&load.over);
        for reader in &readers {
            scope.spawn(|| {
                load.run(&load.licensing, || {
                    reader.purge_licenses(&Purge::All).unwrap();
                    reader.content_key(&license).map(drop)
                });
            });
        }
        scope.spawn(|| {
            load.run(&load.root, || {
                certified.certify(Persistence::Temporary).map(drop)
            });
        });
        for round in 0..rounds {
            load.wait_for_more();
            // Each of the four in turn.
            let victim = usize::try_from(round % 4).unwrap();
            let (side, others) = if victim < 2 {
                (&load.root, &load.licensing)
            } else {
                (&load.licensing, &load.root)
            };
            let (failed, other) = (side.failed(), others.failed());
            nodes[victim].kill();
            // Whatever is asked from now on is answered by the other server.
            load.wait_for_more();
            // Clients ask once more when they are cut off; hardly ever that reaches the same server,
            // which takes connections until the system has taken it apart.
            let settled = side.failed();
            let under_way = if victim < 2 { 1 } else { READERS };
            let errors = (side.errors(), others.errors());
            assert!(settled - failed <= under_way, "round {round}: {errors:?}");
            load.wait_for_more();
            assert_eq!(side.failed(), settled, "round {round}: {errors:?}");
            assert_eq!(others.failed(), other, "round {round}: {errors:?}");
            nodes[victim].start();
        }
    });
    // What waits in the spools goes to the databases before servers end.
    for node in &mut nodes {
        assert!(node.stop());
    }
    let told = |node: &Node, operation: &str| fleet.answers(node, operation);
    let kills = usize::try_from(rounds).unwrap().div_ceil(2);
    for (name, side, node, operation, earlier, under_way) in [
        ("root", &load.root, &nodes[0], "Certify", before, 1),
        (
            "licensing",
            &load.licensing,
            &nodes[2],
            "AcquireLicense",
            0,
            READERS,
        ),
    ] {
        let (rows, issued) = told(node, operation);
        let answered = side.answered() + earlier;
        let failed = side.failed();
        println!("{name}: {kills} kills, {answered} answers, {failed} failures, {rows} events");
        assert_eq!(issued.len(), rows, "{name}: an event is there twice");
        assert!(
            rows >= answered,
            "{name}: {answered} answers, {rows} events"
        );
        // What a killed server had decided and could not tell any more was asked once more.
        let told_twice = rows - answered;
        assert!(
            told_twice <= kills * under_way,
            "{name}: {told_twice} answers too many"
        );
    }
}

/// What clients do all the time, and what came of it.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    root: Side,
    licensing: Side,
}

/// One of the two clusters, as its clients see it.
#[derive(Default)]
struct Side {
    answered: AtomicUsize,
    errors: Mutex<Vec<String>>,
}

impl Load {
    fn run(&self, side: &Side, question: impl Fn() -> Result<(), openrms_client::Error>) {
        while !self.over.load(Ordering::Relaxed) {
            match question() {
                Ok(()) => {
                    side.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => side.errors.lock().unwrap().push(error.full_message()),
            }
        }
    }

    /// Until each side has answered some more.
    fn wait_for_more(&self) {
        let began = [self.root.answered(), self.licensing.answered()];
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.root.answered() < began[0] + 5
            || self.licensing.answered() < began[1] + 10 * READERS
        {
            let errors = (self.root.errors(), self.licensing.errors());
            assert!(Instant::now() < deadline, "no answers: {errors:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Side {
    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    fn failed(&self) -> usize {
        self.errors.lock().unwrap().len()
    }

    fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap().clone()
    }
}

/// Both clusters, set up.
struct Fleet {
    folder: PathBuf,
    network: Network,
    /// Namespace and address of each server.
    machines: Vec<(String, SocketAddr)>,
    root: Site,
    licensing: Site,
    certificate: PathBuf,
}

/// What clients reach of a cluster.
struct Site(Balancer);

impl Site {
    fn url(&self) -> String {
        format!("https://{}", self.0.address)
    }
}

impl Fleet {
    fn provision(folder: &Path) -> Option<Self> {
        let (first, second) = (TestDatabase::new(folder)?, TestDatabase::new(folder)?);
        let mut network = Network::new()?;
        let at = |name: &str| folder.join(name);
        let host = network.host();
        let certificate = at("tls.pem");
        make_certificate(&certificate, &at("tls.key"), &host.to_string());
        // The test's PostgreSQL listens on loopback, which is another one on each machine.
        let database = Balancer::at(host);
        database.direct_to(&[first.address()]);
        let fleet = Self {
            machines: (0..4)
                .map(|_| network.machine())
                .map(|(name, address)| (name, (address, 8443).into()))
                .collect(),
            folder: folder.to_owned(),
            network,
            root: Site(Balancer::at(host)),
            licensing: Site(Balancer::at(host)),
            certificate,
        };
        for (site, at) in [(&fleet.root, 0), (&fleet.licensing, 2)] {
            site.0
                .direct_to(&[fleet.machines[at].1, fleet.machines[at + 1].1]);
        }
        fs::write(at("keys.password"), "correct Horse battery 9").unwrap();
        fs::write(at("people.toml"), support::people().to_toml().unwrap()).unwrap();
        let nodes = fleet.nodes();
        fleet.set_up(
            &nodes[0],
            &["root", "--url", &fleet.root.url()],
            &first,
            &database,
        );
        fleet.set_up(&nodes[1], &["join"], &first, &database);
        // The root cluster certifies whoever signs in as one of its administrators.
        let mut root = fleet.nodes().swap_remove(0);
        let config = root.data.join("rmsd.toml");
        let text_of = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text_of}\n{SUB_ENROLLMENT}")).unwrap();
        root.start();
        let (url, above) = (fleet.licensing.url(), fleet.root.url());
        let password = at("person.password");
        fs::write(&password, support::PASSWORD).unwrap();
        let (user, password) = ("alice", text(&password));
        let mut licensing = vec!["licensing", "--url", &url, "--root", &above];
        licensing.extend(["--user", user, "--user-password-file", &password]);
        fleet.set_up(&nodes[2], &licensing, &second, &database);
        fleet.set_up(&nodes[3], &["join"], &second, &database);
        assert!(root.stop());
        Some(fleet)
    }

    fn nodes(&self) -> Vec<Node> {
        let names = ["root-1", "root-2", "licensing-1", "licensing-2"];
        let machines = names.iter().zip(&self.machines);
        machines
            .map(|(name, (namespace, _))| {
                Node::new(self.folder.join(name))
                    .in_namespace(namespace)
                    .with_environment("SSL_CERT_FILE", &self.certificate)
            })
            .collect()
    }

    fn set_up(&self, node: &Node, what: &[&str], database: &TestDatabase, by: &Balancer) {
        let at = |name: &str| text(&self.folder.join(name));
        let name = node
            .data
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let (data, certificate, key) = (text(&node.data), at("tls.pem"), at("tls.key"));
        let (keys, password) = (at("keys.password"), text(&database.password_file));
        let url = database.through(by.address);
        let mut arguments = vec!["provision"];
        arguments.extend(what);
        arguments.extend(["--data", &data, "--server-name", &name]);
        arguments.extend(["--listen", "0.0.0.0:8443"]);
        arguments.extend(["--tls-certificate", &certificate, "--tls-key", &key]);
        arguments.extend(["--database", &url, "--database-password-file", &password]);
        arguments.extend(["--password-file", &keys]);
        node.succeed(&arguments);
        // The same directory for both clusters.
        let config = node.data.join("rmsd.toml");
        let text = fs::read_to_string(&config).unwrap();
        let people = at("people.toml");
        fs::write(&config, format!("people = '{people}'\n{text}")).unwrap();
    }

    fn client(&self, home: &str, name: &str) -> Client {
        let machine = self.folder.join("machine");
        fs::create_dir_all(&machine).unwrap();
        let settings = format!(
            "server = '{}'\n[service_location]\nenterprise_publishing = '{}/_wmcs/licensing'\n",
            self.root.url(),
            self.licensing.url()
        );
        fs::write(machine.join("client.toml"), settings).unwrap();
        let roots = fs::read_to_string(&self.certificate).unwrap();
        let machine = MachineSettings::read(&machine).unwrap();
        client_of(self.folder.join(home), name, Some(roots), machine)
    }

    /// How many answers of an operation a cluster's log tells of, and what they issued.
    fn answers(&self, node: &Node, operation: &str) -> (usize, BTreeSet<String>) {
        let _ = &self.network;
        let events = node.succeed(&["log", "export", "--data", &text(&node.data)]);
        let events = events
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of: Vec<_> = events
            .filter(|event| event["operation"] == operation && event["outcome"] == "ok")
            .collect();
        let issued = of.iter().filter_map(|event| event["issued"].as_str());
        (of.len(), issued.map(str::to_owned).collect())
    }
}

fn make_certificate(certificate: &Path, key: &Path, address: &str) {
    let name = format!("subjectAltName=IP:{address}");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args([
            "-nodes",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-days",
            "2",
            "-subj",
            "/CN=rms",
            "-addext",
            &name,
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Clients that are licensed all the time.
const READERS: usize = 4;
const SUB_ENROLLMENT: &str = "[services.sub-enrollment]\naccess = 'signed-in'\n";
