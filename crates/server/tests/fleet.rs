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

#[path = "support/clusters.rs"]
mod clusters;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/network.rs"]
mod network;
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clusters::Clusters;
use fleet::{Node, StopOnDrop};
use openrms_client::{OwnPolicy, Persistence, Policy, Purge, Signer};

#[test]
fn servers_that_are_killed_cost_nothing_but_what_they_were_answering() {
    let folder = tempfile::tempdir().unwrap();
    let Some(fleet) = Clusters::provision(folder.path(), Node::this_release()) else {
        return;
    };
    let rounds = number("OPENRMS_SOAK_ROUNDS", 50);
    let mut nodes = fleet.nodes();
    for node in &mut nodes {
        node.start();
    }
    let alice = fleet.join("alice", "alice");
    let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
    let policy = Policy::Own(OwnPolicy::of([grant]));
    let license = alice.publish(&policy, Signer::Author).unwrap();
    let license = license.license_bytes();
    let readers: Vec<_> = (0..READERS)
        .map(|n| fleet.join(&format!("bob-{n}"), "bob"))
        .collect();
    let certified = fleet.join("carol", "carol");
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

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Clients that are licensed all the time.
const READERS: usize = 4;
