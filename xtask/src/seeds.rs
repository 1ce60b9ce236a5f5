//! The requirements that the mission began with, and the tests that show them: a test says which it
//! shows at the start of its name, `s29_a_licensing_cluster_waits_for_its_root_cluster`. What became of
//! them is read from the report that cargo nextest leaves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::{Failure, page};

/// Prints the table, of the reports of tests that were run, or of a run of its own. With `write`, the
/// manual gets it; otherwise it must be the one that the manual has.
pub(crate) fn print(reports: &[PathBuf], write: bool) -> Result<(), Failure> {
    let own = [PathBuf::from(REPORT)];
    let reports = if reports.is_empty() {
        let status = Command::new("cargo")
            .args([
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ])
            .args(["--features", "openrms-crypto/pkcs11"])
            .args(["-E", r"test(/(^|::)s[0-9]+_/)"])
            .status()?;
        println!("cargo nextest: {status}");
        &own
    } else {
        reports
    };
    let mut tests = Tests::new();
    for report in reports {
        read(&std::fs::read_to_string(report)?, &mut tests)?;
    }
    let table = table(&tests);
    println!("{table}");
    let lacking = SEEDS
        .iter()
        .filter(|(number, _)| !tests.contains_key(number));
    let lacking: Vec<_> = lacking.map(|(number, _)| format!("S{number}")).collect();
    if !lacking.is_empty() {
        return Err(format!("no test shows {}", lacking.join(", ")).into());
    }
    let of = |outcome| {
        let all = tests.values().flatten();
        all.filter(move |(_, is)| **is == outcome)
    };
    let failed: Vec<_> = of(Outcome::Failed).map(|(name, _)| name.as_str()).collect();
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")).into());
    }
    if of(Outcome::Skipped).count() > 0 {
        println!("what a test needed is missing here: the manual's table is not compared");
        return Ok(());
    }
    page::keep(Path::new(PAGE), "seeds", &table, write)
}

/// A test that shows something.
#[derive(Debug, PartialEq, Eq)]
struct Test {
    name: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It passed, as it said that something for it was missing.
    Skipped,
    Failed,
}

/// The tests of a report, by what they show.
type Tests = BTreeMap<u8, BTreeMap<String, Outcome>>;

/// Of a test in several reports, a failure counts before anything, and that it was skipped only where
/// it was skipped every time.
fn read(report: &str, tests: &mut Tests) -> Result<(), Failure> {
    let mut reader = Reader::from_str(report);
    let mut current: Option<Test> = None;
    loop {
        match reader.read_event()? {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "testcase" => {
                keep(tests, current.take());
                current = Some(Test {
                    name: name(&tag)?,
                    outcome: Outcome::Passed,
                });
            }
            Event::Start(tag) | Event::Empty(tag)
                if matches!(tag.name().as_ref(), "failure" | "error") =>
            {
                if let Some(test) = &mut current {
                    test.outcome = Outcome::Failed;
                }
            }
            Event::Text(text) => {
                let said: &str = &text;
                let is_skip = said
                    .lines()
                    .any(|line| line.trim_start().starts_with("skipped: "));
                if let Some(test) = current.as_mut().filter(|_| is_skip)
                    && test.outcome == Outcome::Passed
                {
                    test.outcome = Outcome::Skipped;
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    keep(tests, current);
    Ok(())
}

fn name(tag: &BytesStart<'_>) -> Result<String, Failure> {
    let name = tag
        .try_get_attribute("name")?
        .ok_or("a test without a name")?;
    // Names of functions have nothing in them to be read otherwise.
    let name: &str = &name.value;
    let (_, name) = name.rsplit_once("::").unwrap_or(("", name));
    Ok(name.to_owned())
}

fn keep(tests: &mut Tests, test: Option<Test>) {
    let Some(test) = test else { return };
    for number in shows(&test.name) {
        let known = tests.entry(number).or_default();
        let outcome = known.entry(test.name.clone()).or_insert(test.outcome);
        *outcome = match (*outcome, test.outcome) {
            (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
            (Outcome::Passed, _) | (_, Outcome::Passed) => Outcome::Passed,
            (Outcome::Skipped, Outcome::Skipped) => Outcome::Skipped,
        };
    }
}

/// What a test shows, by its name.
fn shows(name: &str) -> impl Iterator<Item = u8> {
    let number = |part: &str| part.strip_prefix('s')?.parse().ok();
    name.split('_').map_while(number)
}

fn table(tests: &Tests) -> String {
    let mut table = String::from("| id | what holds | shown by | result |\n|---|---|---|---|\n");
    for (number, what) in SEEDS {
        let none = BTreeMap::new();
        let tests = tests.get(number).unwrap_or(&none);
        let names: Vec<_> = tests.keys().map(|name| format!("`{name}`")).collect();
        let any = |outcome| tests.values().any(|is| *is == outcome);
        let result = match () {
            () if tests.is_empty() => "no test",
            () if any(Outcome::Failed) => "FAIL",
            () if any(Outcome::Skipped) => "skipped",
            () => "pass",
        };
        let names = names.join(", ");
        let _ = writeln!(table, "| S{number} | {what} | {names} | {result} |");
    }
    table
}

/// Where cargo nextest leaves its report (`.config/nextest.toml`).
const REPORT: &str = "target/nextest/default/junit.xml";
const PAGE: &str = "book/src/requirements.md";
/// What must hold of how the client comes to people, of versions side by side, and of upgrades.
const SEEDS: &[(u8, &str)] = &[
    (
        1,
        "Where the client is part of the system's image, nothing more is installed",
    ),
    (2, "Elsewhere the client is installed, then activated"),
    (
        3,
        "Activation makes a lockbox and a machine certificate for whoever is logged on",
    ),
    (4, "Activation is local and needs no network"),
    (
        5,
        "The first request for a license brings the person's RAC by itself",
    ),
    (
        6,
        "It is put on every machine by policy, by the updates of the system, or by a script",
    ),
    (
        7,
        "Whatever the way, the client uses one port of the server, 80 or 443",
    ),
    (
        8,
        "That root and licensing clusters are reached over it can be checked",
    ),
    (
        9,
        "Policy installs with rights of its own; the person needs none",
    ),
    (10, "A person may install it from the list of software"),
    (
        11,
        "Who opens protected content without the client is told what to install",
    ),
    (
        12,
        "The updates of the system bring it, and want an administrator",
    ),
    (
        13,
        "A script fetches it and checks its integrity at every step",
    ),
    (
        14,
        "The script may be one that runs at the start of a machine",
    ),
    (
        15,
        "Then nobody needs rights, and it is installed at the next start",
    ),
    (
        16,
        "The script is silent, restarts nothing, and installs the client first, the package for \
         older applications second and only if the first succeeded",
    ),
    (
        17,
        "An upgrade is for what exists; where nothing is, the new release is installed straight away",
    ),
    (18, "The old release need not be removed first"),
    (
        19,
        "What is there is found, and only what is missing is added",
    ),
    (20, "The service goes on while it is upgraded"),
    (
        21,
        "Configuration database and private key are backed up first",
    ),
    (22, "The password of the private key is at hand"),
    (
        23,
        "Who wants to keep the statistics backs up the log as well",
    ),
    (24, "Servers and clients have their security updates"),
    (
        25,
        "Only what is new is added or replaced; state is left alone",
    ),
    (26, "Nothing is provisioned or configured again afterwards"),
    (27, "A cluster is upgraded a part at a time"),
    (
        28,
        "That can be foreseen, and nobody is served worse meanwhile",
    ),
    (29, "Root clusters come before their licensing clusters"),
    (
        30,
        "Forests are upgraded independently, and groups of other forests go on being expanded",
    ),
    (31, "Old and new servers work side by side"),
    (32, "The same package installs where nothing was"),
    (33, "The new client is there without the old one"),
    (34, "What needs the client of version 1 goes on"),
    (35, "No lockbox comes from the maker over the Internet"),
    (36, "People need no administrator's rights for their client"),
    (
        37,
        "Services of servers use protected content, and protect it again, with a lockbox of their own",
    ),
    (38, "They do so as fast as the machine allows"),
    (39, "Algorithms of FIPS 140 alone, where that is asked for"),
    (40, "The new release is not slower than the one before"),
    (
        41,
        "Servers and clients of all versions work with each other",
    ),
    (
        42,
        "Only servers of Service Pack 1 and later enroll off line",
    ),
    (
        43,
        "Only clients of Service Pack 1 and later activate themselves",
    ),
    (
        44,
        "A server of version 1 serves old clients, new ones, and both",
    ),
    (
        45,
        "A server of Service Pack 1 and later serves old clients, new ones, and both",
    ),
    (46, "Taking the new release away gives back what was before"),
    (
        47,
        "Restoring the backup of the configuration database undoes everything",
    ),
    (
        48,
        "Without it, the old release may use the upgraded database",
    ),
    (49, "The old release passes over what was added"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_shows_what_its_name_begins_with() {
        let shown = |name| shows(name).collect::<Vec<_>>();
        assert_eq!(shown("s20_s27_clusters_are_upgraded"), [20, 27]);
        assert_eq!(shown("s29_a_cluster_of_s30"), [29]);
        assert!(shown("servers_of_s20").is_empty());
        assert!(shown("s_20").is_empty());
    }

    #[test]
    fn a_report_is_read_with_what_failed_and_what_was_skipped() {
        let report = r#"<?xml version="1.0"?><testsuites><testsuite name="a">
            <testcase name="mod::s17_s18_one" classname="a"/>
            <testcase name="s18_two" classname="a"><failure type="x">no</failure></testcase>
            <testcase name="s19_three" classname="a"><system-out>skipped: no server</system-out></testcase>
            <testcase name="other" classname="a"/></testsuite></testsuites>"#;
        let mut tests = Tests::new();
        read(report, &mut tests).unwrap();
        assert_eq!(tests.len(), 3);
        let table = table(&tests);
        assert!(table.contains("`s17_s18_one` | pass |"), "{table}");
        assert!(
            table.contains("`s17_s18_one`, `s18_two` | FAIL |"),
            "{table}"
        );
        assert!(table.contains("`s19_three` | skipped |"), "{table}");
        let again =
            r#"<testsuites><testcase name="s18_two"/><testcase name="s19_three"/></testsuites>"#;
        read(again, &mut tests).unwrap();
        let table = super::table(&tests);
        assert!(
            table.contains("`s17_s18_one`, `s18_two` | FAIL |"),
            "{table}"
        );
        assert!(table.contains("`s19_three` | pass |"), "{table}");
        assert!(table.contains("| S20 | The service goes on while it is upgraded |  | no test |"));
    }
}
