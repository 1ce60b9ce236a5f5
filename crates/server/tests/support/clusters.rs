//! A root cluster and a licensing cluster of two servers each, every one on a machine of its own (a
//! network namespace), with PostgreSQL and plain TCP balancers before them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use openrms_client::{Client, MachineSettings};
use serde_json::Value;

use crate::fleet::{Balancer, Node, TestDatabase, client_of, sign_in};
use crate::network::Network;
use crate::support::{self, text};

/// Both clusters, set up.
pub struct Clusters {
    folder: PathBuf,
    /// The release that made them.
    program: PathBuf,
    network: Network,
    /// Namespace and address of each server.
    machines: Vec<(String, SocketAddr)>,
    pub root: Site,
    pub licensing: Site,
    certificate: PathBuf,
}

/// What clients reach of a cluster.
pub struct Site(Balancer);

impl Site {
    pub fn url(&self) -> String {
        format!("https://{}", self.0.address)
    }
}

impl Clusters {
    /// Makes them with a release; none where something is missing for it, which it says.
    pub fn provision(folder: &Path, program: &Path) -> Option<Self> {
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
            program: program.to_owned(),
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

    /// The servers, root cluster first; not started.
    pub fn nodes(&self) -> Vec<Node> {
        let names = ["root-1", "root-2", "licensing-1", "licensing-2"];
        let machines = names.iter().zip(&self.machines);
        machines
            .map(|(name, (namespace, _))| {
                Node::new(self.folder.join(name))
                    .of_release(&self.program)
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

    /// A client with RAC and CLC.
    pub fn join(&self, home: &str, name: &str) -> Client {
        let client = self.client(home, name);
        sign_in(&client, &self.root.url());
        client
    }

    /// A client that knows both clusters.
    pub fn client(&self, home: &str, name: &str) -> Client {
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
    pub fn answers(&self, node: &Node, operation: &str) -> (usize, BTreeSet<String>) {
        let _ = &self.network;
        let events = node.succeed(&["log", "export", "--data", &text(&node.data)]);
        let events = events
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of: Vec<_> = events
            .filter(|event| event["operation"] == operation && event["outcome"] == "ok")
            .collect();
        // What is published is told of by its content.
        let issued = of.iter().filter_map(|event| {
            let issued = event["issued"].as_str();
            issued.or_else(|| event["content"].as_str())
        });
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

const SUB_ENROLLMENT: &str = "[services.sub-enrollment]\naccess = 'signed-in'\n";
