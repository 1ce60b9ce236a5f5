//! Whole machines for tests of packages: Debian's root file systems, of which each test gets a layer
//! of its own, beside a server on a network without a way out. The packages are those that
//! `cargo xtask dist` made (`OPENRMS_DIST`), the file systems those of `tests/testbed/debian`
//! (`OPENRMS_TEST_DEBIAN`); where one is missing, a test says in a line that it is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it is used by tests alone"
)]

mod channel;
mod domain;
mod machine;
mod network;
pub mod page;
pub mod person;
mod process;
mod service;
mod wine;

use std::path::PathBuf;
use std::rc::Rc;

pub use channel::{Channel, now};
pub use domain::Domain;
pub use machine::{Base, Booted, Digest, Machine};
pub use network::Network;
pub use page::By;
pub use process::Ran;
pub use service::{Service, package};
pub use wine::{Wine, exit_code};

/// A machine without the client, bob's, with a document for him, beside a service and a channel.
#[derive(Debug)]
pub struct Site {
    /// What reaches each other.
    pub network: Rc<Network>,
    /// Bob's.
    pub machine: Machine,
    /// What licenses him.
    pub service: Service,
    /// A copy of the channel, which a web server hands out.
    pub channel: Channel,
    /// Where it does.
    pub url: String,
}

impl Site {
    /// None where something for it is missing, which is said.
    pub fn new(base: Base) -> Option<Self> {
        let dist = dist()?;
        let network = Network::new()?;
        let machine = Machine::new(base, &network)?;
        let channel = Channel::of(&dist);
        let mut service = Service::start(&network, &channel.path());
        let url = service.hand_out(&channel.path(), 8080);
        for name in BROUGHT {
            machine.put(&channel.path().join(name), "/srv/");
        }
        person::prepare(&machine, &service);
        Some(Self {
            network,
            machine,
            service,
            channel,
            url,
        })
    }

    /// Runs what a page of the manual tells whoever looks after the machine, in the folder where
    /// they put what came with the channel.
    #[track_caller]
    pub fn follow(&self, page: &str, heading: Option<&str>) -> Ran {
        let commands = page::commands(self, page, heading, By::Root);
        self.machine.run(&in_order(&commands))
    }
}

/// Commands of which each wants the one before to succeed, in the folder of what was brought.
pub fn in_order(commands: &str) -> String {
    format!("set -e; cd /srv\n{commands}")
}

/// What `cargo xtask dist` made: `channel/` and what came before it. None where it was not run,
/// which is said.
pub fn dist() -> Option<PathBuf> {
    folder(
        "OPENRMS_DIST",
        "the packages are not made (cargo xtask dist)",
    )
}

/// The same programs in packages of a later version.
pub fn newer() -> Option<PathBuf> {
    let missing = "there are no packages of a later version (cargo xtask dist --as-version)";
    folder("OPENRMS_DIST_NEWER", missing)
}

/// The folder that a variable names; what is missing is said otherwise.
fn folder(variable: &str, missing: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: {missing}");
    }
    folder
}

/// What an administrator has from the channel.
const BROUGHT: [&str; 5] = [
    "openrms-archive-keyring.gpg",
    "openrms-archive-keyring.asc",
    "openrms.manifest",
    "openrms.manifest.asc",
    "install.sh",
];
