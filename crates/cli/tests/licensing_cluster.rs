//! The program with a root cluster and a licensing cluster below it: people are certified at the one,
//! publish and are licensed at the other (MS-RMPRS 1.3.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;

use common::cluster::Cluster;
use common::{Run, ended};
use openrms_server::people::PeopleSource;
use openrms_server::provision::{Authority, RootOptions, provision_root};
use openrms_server::{Config, Running, Server};

/// A licensing cluster of the same people.
struct Licensing {
    root: Cluster,
    running: Running,
}

impl Licensing {
    fn start() -> Self {
        let root = Cluster::start();
        let data = root.at("licensing");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options = RootOptions {
            name: "Licensing".into(),
            authority: Authority::Root(root.running.url().to_owned()),
            ..RootOptions::new(&data, &url)
        };
        let done = provision_root(&options).unwrap();
        assert!(done.enrolled && !done.already);
        assert!(provision_root(&options).unwrap().already);
        // The same directory as that of the root cluster.
        let mut config = Config::for_data_dir(&data).unwrap();
        config.people = PeopleSource::File(root.at("server").join("people.toml"));
        config.audit = Some(config.data.audit());
        let running = Server::start_with_listener(config, listener).unwrap();
        // As an administrator sets machines up, where TLS does not prove it (see the book).
        root.file(
            "machine/client.toml",
            format!(
                "server = '{}'\n[service_location]\nenterprise_publishing = '{url}/_wmcs/licensing'\n",
                root.running.url()
            ),
        );
        Self { root, running }
    }

    fn run_as<A: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut command = self.root.command_as(name, arguments);
        command
            .env_remove("RMS_SERVER")
            .env("RMS_CONFIG_DIR", self.root.at("machine"));
        ended(command.output().unwrap())
    }

    /// Which operations a cluster answered, and with what.
    fn operations(&self, cluster: &str) -> Vec<(String, String)> {
        let audit = fs::read_to_string(self.root.at(cluster).join("audit.jsonl")).unwrap();
        let line = |line: &str| -> (String, String) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (text("operation"), text("outcome"))
        };
        audit.lines().map(line).collect()
    }

    fn answered(&self, cluster: &str, operation: &str) -> usize {
        let all = self.operations(cluster);
        let done = all
            .iter()
            .filter(|(name, outcome)| name == operation && outcome == "ok");
        done.count()
    }
}

#[test]
fn people_are_certified_at_the_root_and_licensed_at_the_licensing_cluster() {
    let clusters = Licensing::start();
    assert_eq!(clusters.answered("server", "SubEnroll"), 1);
    let source = clusters.root.file("letter.txt", "for bob alone");
    let protected = clusters.root.at("letter.txt.pfile");
    for (more, name) in [(&[][..], "off line"), (&["--online"][..], "on line")] {
        let _ = fs::remove_file(&protected);
        let mut arguments: Vec<&OsStr> = vec![
            "protect".as_ref(),
            source.as_os_str(),
            "--grant".as_ref(),
            "bob@corp.example:VIEW,EXPORT".as_ref(),
            "-o".as_ref(),
            protected.as_os_str(),
        ];
        arguments.extend(more.iter().map(OsStr::new));
        let run = clusters.run_as("alice", arguments);
        assert_eq!(run.code, 0, "{name}: {}", run.err);
        let open = |who: &str| {
            let arguments: [&OsStr; 3] =
                ["open".as_ref(), protected.as_os_str(), "--stdout".as_ref()];
            clusters.run_as(who, arguments)
        };
        let run = open("bob");
        assert_eq!(run.code, 0, "{name}: {}", run.err);
        assert!(run.out.contains("for bob alone"), "{name}: {}", run.out);
        assert_eq!(open("carol").code, 3, "{name}");
    }
    // Each did its part and nothing else.
    let (root, licensing) = ("server", "licensing");
    assert_eq!(clusters.answered(root, "Certify"), 3);
    assert_eq!(clusters.answered(licensing, "Certify"), 0);
    assert!(clusters.answered(licensing, "GetClientLicensorCert") >= 1);
    assert!(clusters.answered(licensing, "AcquireIssuanceLicense") >= 1);
    assert_eq!(clusters.answered(licensing, "AcquireLicense"), 2);
    for operation in [
        "GetClientLicensorCert",
        "AcquireIssuanceLicense",
        "AcquireLicense",
    ] {
        assert_eq!(clusters.answered(root, operation), 0, "{operation}");
    }
    let status = clusters.run_as("bob", ["status", "--json"]).json();
    assert_eq!(status["accounts"][0]["current"], true, "{status}");
}

#[test]
fn nobody_is_certified_at_a_licensing_cluster_nor_joins_there() {
    let clusters = Licensing::start();
    let mut command = clusters.root.command_as("alice", ["init", "--json"]);
    command.env("RMS_SERVER", clusters.running.url());
    let run = ended(command.output().unwrap());
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "client-bundle-missing"),
        "{}",
        run.out
    );
    assert_eq!(clusters.answered("licensing", "Certify"), 0);
}
