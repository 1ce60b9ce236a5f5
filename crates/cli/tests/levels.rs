//! The program at servers of every version of RMS: people work at all of them, and what a server has
//! not is said by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use common::cluster::Cluster;
use openrms_protocol::{Feature, ServiceLevel};

fn opened(cluster: &Cluster, name: &str, file: &Path) -> String {
    let out = cluster.at(&format!("opened-by-{name}"));
    let arguments = [
        "open".as_ref(),
        file.as_os_str(),
        "-o".as_ref(),
        out.as_os_str(),
    ];
    let run = cluster.run_as(name, [&arguments[..], &["--force".as_ref()]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    fs::read_to_string(out).unwrap()
}

#[test]
fn people_join_protect_and_open_at_every_level() {
    for &level in ServiceLevel::ALL {
        let cluster = Cluster::at_level(level);
        for name in ["alice", "bob"] {
            let run = cluster.run_as(name, ["init", "--yes"]);
            assert_eq!(run.code, 0, "{level}: {}", run.err);
        }
        let source = cluster.file("letter.txt", "Dear Bob");
        let off_line = cluster.protect(&source, "bob@corp.example:view,export");
        assert_eq!(opened(&cluster, "bob", &off_line), "Dear Bob", "{level}");

        let on_line = cluster.at("on-line.protected");
        let run = cluster.run_as(
            "alice",
            [
                "protect".as_ref(),
                source.as_os_str(),
                "--online".as_ref(),
                "--grant".as_ref(),
                "bob@corp.example:view,export".as_ref(),
                "-o".as_ref(),
                on_line.as_os_str(),
            ],
        );
        assert_eq!(run.code, 0, "{level}: {}", run.err);
        assert_eq!(opened(&cluster, "bob", &on_line), "Dear Bob", "{level}");

        let has_templates = level.has(Feature::TemplateDistribution);
        let run = cluster.run_as("alice", ["templates", "sync", "--json"]);
        if has_templates {
            assert_eq!(run.code, 0, "{level}: {}", run.err);
        } else {
            assert_eq!(
                (run.code, run.error_code().as_str()),
                (1, "service-missing")
            );
        }
        // An older server has no service for templates, which is no failure of it.
        let run = cluster.run_as("alice", ["check", "--json"]);
        assert_eq!(run.code, 0, "{level}: {}", run.err);
        let services = run.json()["services"].clone();
        let missing: Vec<_> = services
            .as_array()
            .unwrap()
            .iter()
            .filter(|service| service["outcome"] == "missing")
            .map(|service| service["service"].as_str().unwrap())
            .collect();
        let expected: &[&str] = if has_templates { &[] } else { &["templates"] };
        assert_eq!(missing, expected, "{level}");
    }
}
