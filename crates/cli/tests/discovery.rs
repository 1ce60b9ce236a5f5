//! Where the program looks for the service: DNS and nothing else, the machine's settings,
//! overrides; and what it makes of answers that somebody forged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "../../directory/tests/fake_dns/mod.rs"]
mod fake_dns;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::cluster::Cluster;
use common::corp::{Corp, CorpServer};
use common::{Run, ended};
use fake_dns::FakeDns;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use openrms_directory::scp::{CertificationUrl, OtherCluster, ScpPlace};
use openrms_directory::{LdapSecrets, LdapSettings, LdapSignIn};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NAME: &str = "_rmsdisco._tcp.corp.example";

/// A person on a machine that an administrator has set up.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(settings: &str) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(machine.config().join("client.d")).unwrap();
        fs::write(machine.config().join("client.toml"), settings).unwrap();
        machine
    }

    /// One whose name server is ours.
    fn with(dns: &FakeDns) -> Self {
        Self::new(&format!("name_servers = ['{}']", dns.address))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.folder.path().join("home/settings.toml")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = common::command(arguments);
        command
            .env("RMS_HOME", self.folder.path().join("home"))
            .env("RMS_CONFIG_DIR", self.config());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        ended(self.command(arguments).output().unwrap())
    }

    fn run_as_alice(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command
            .env("RMS_USER", "alice@corp.example")
            .env("RMS_PASSWORD", "correct horse alice");
        ended(command.output().unwrap())
    }
}

fn init(machine: &Machine) -> Run {
    machine.run(&["init", "--json", "--yes", "--user", "alice@corp.example"])
}

#[test]
fn what_dns_names_is_said_and_asked() {
    for name in [NAME, "_rmsdisco._http._tcp.corp.example"] {
        let dns = FakeDns::start();
        // Nobody listens there.
        dns.services(name, &[(0, 0, 1, "rms.corp.example.")]);
        let run = init(&Machine::with(&dns));
        assert_eq!(run.code, 5, "{}", run.out);
        assert!(run.err.contains(name), "{}", run.err);
        assert!(
            run.err.contains("https://rms.corp.example:1 "),
            "{}",
            run.err
        );
    }
}

#[test]
fn where_nothing_is_found_the_program_says_where_it_looked() {
    let dns = FakeDns::start();
    let machine = Machine::with(&dns);
    let not_found = |what: &str| {
        let run = init(&machine);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (5, "server-not-configured")
        );
        let error = &run.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(what), "{error}");
        assert!(
            error["hint"].as_str().unwrap().contains("--server"),
            "{error}"
        );
    };
    not_found("DNS knows no _rmsdisco._http._tcp.corp.example");
    dns.services(NAME, &[(0, 0, 0, ".")]);
    not_found("corp.example does not offer the service");
    dns.silence(true);
    not_found("in time");
    assert_eq!(machine.settings(), "");
}

#[test]
fn other_commands_do_not_look_by_themselves() {
    let dns = FakeDns::start();
    dns.services(NAME, &[(0, 0, 443, "rms.corp.example.")]);
    let machine = Machine::with(&dns);
    for command in [&["check", "--json"][..], &["sign-in", "--json"]] {
        let run = machine.run_as_alice(command);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (5, "server-not-configured")
        );
    }
    assert_eq!(dns.questions(), 0);
}

#[test]
fn a_host_outside_the_domain_is_not_believed_because_nobody_is_to_be_asked() {
    let dns = FakeDns::start();
    dns.services(NAME, &[(0, 0, 443, "rms.evil.example.")]);
    let machine = Machine::with(&dns);
    let run = init(&machine);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "server-not-proven")
    );
    assert_eq!(machine.settings(), "");
}

#[test]
fn forged_records_lead_nowhere_and_do_not_reach_the_terminal() {
    let dns = FakeDns::start();
    let name = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied()).unwrap();
    let records: Vec<RData> = [
        (443, name(&[b"127", b"0", b"0", b"1"])),
        (443, name(&[b"localhost"])),
        (443, name(&[b"rms", b"localhost"])),
        (443, name(&[b"rms\x1b[2J", b"corp", b"example"])),
        (443, name(&[b"rms\r\nX", b"corp", b"example"])),
        (443, name(&[b"user:pw@rms", b"corp", b"example"])),
        (443, name(&[b"rms/x", b"corp", b"example"])),
        (0, name(&[b"rms", b"corp", b"example"])),
    ]
    .into_iter()
    .map(|(port, target)| RData::SRV(SRV::new(0, 0, port, target)))
    .collect();
    dns.set(NAME, RecordType::SRV, records);
    let machine = Machine::with(&dns);
    let run = init(&machine);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "server-not-configured")
    );
    let is_plain = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n');
    assert!(is_plain(&run.out) && is_plain(&run.err), "{:?}", run.err);
    // Thousands of them are no more than a few.
    let many = (0..1_100).map(|number| {
        let target = Name::from_ascii(format!("h{number}.x.")).unwrap();
        RData::SRV(SRV::new(number, 0, 443, target))
    });
    dns.set(NAME, RecordType::SRV, many.collect());
    let run = init(&machine);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "server-not-proven")
    );
}

#[test]
fn the_machines_settings_name_the_server_for_everybody() {
    let cluster = Cluster::start();
    let machine = Machine::new("server = 'https://old.corp.example'");
    let drop_in = machine.config().join("client.d/50-server.toml");
    fs::write(&drop_in, format!("server = '{}'", cluster.running.url())).unwrap();
    let run = machine.run_as_alice(&["init", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["server_source"], "machine");
    assert_eq!(run.json()["server"], cluster.running.url());
    let run = machine.run_as_alice(&["sign-in", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    for command in ["status", "check"] {
        let run = machine.run_as_alice(&[command, "--json"]);
        assert_eq!(run.json()["server_source"], "machine", "{command}");
    }
    assert!(
        machine.settings().starts_with("user ="),
        "{}",
        machine.settings()
    );
    // What a person says wins.
    let run = ended(
        machine
            .command(&["status", "--json"])
            .env("RMS_SERVER", "https://other.example")
            .output()
            .unwrap(),
    );
    assert_eq!(run.json()["server_source"], "environment");
    fs::write(&drop_in, "sever = 'https://rms.corp.example'").unwrap();
    let run = machine.run_as_alice(&["status", "--json"]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (6, "machine-settings-malformed")
    );
    assert!(run.out.contains("50-server.toml"), "{}", run.out);
}

#[test]
fn overrides_move_single_services() {
    let cluster = Cluster::start();
    let url = cluster.running.url();
    let other = Cluster::start();
    let machine = Machine::new(&format!(
        "[service_location]\nactivation = 'https://old.example/_wmcs/certification'\n\
         certification = '{url}/_wmcs/certification'\n\
         enterprise_publishing = '{}/_wmcs/licensing'\n",
        other.running.url()
    ));
    let run = machine.run_as_alice(&["init", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(run.json()["server"], url);
    let run = machine.run_as_alice(&["status"]);
    assert!(run.out.contains(other.running.url()), "{}", run.out);
    assert!(
        run.out.contains("service_location.activation"),
        "{}",
        run.out
    );
    // The other cluster is of another organization and does not know the certificate; that it was
    // asked is what matters here.
    let run = machine.run_as_alice(&["sign-in", "--json"]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "account-untrusted")
    );
    let services = machine.run_as_alice(&["check", "--json"]).json()["services"].clone();
    let publishing = services.as_array().unwrap().iter();
    let mut publishing = publishing.filter(|service| service["service"] == "publishing");
    let asked = publishing.next().unwrap()["url"].as_str().unwrap();
    assert!(asked.starts_with(other.running.url()), "{asked}");
    // With the override away, the same person goes on.
    fs::write(
        machine.config().join("client.toml"),
        format!("server = '{url}'"),
    )
    .unwrap();
    let run = machine.run_as_alice(&["sign-in", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
}

/// A record in the directory's own DNS until this is dropped.
struct DnsRecord {
    data: String,
}

impl DnsRecord {
    fn add(server: &CorpServer) -> Self {
        let port = server.url.rsplit(':').next().unwrap();
        let data = format!("rms.corp.example {port} 0 100");
        Self::change("add", &data);
        Self { data }
    }

    fn change(verb: &str, data: &str) {
        let variable = |name| std::env::var(name).unwrap();
        let administrator = format!("Administrator%{}", variable("CORP_ADMIN_PASSWORD"));
        let done = Command::new("samba-tool")
            .args(["dns", verb, &variable("CORP_DC"), "corp.example"])
            .args(["_rmsdisco._tcp", "SRV", data, "--user", &administrator])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for DnsRecord {
    fn drop(&mut self) {
        Self::change("delete", &self.data);
    }
}

/// The service connection point of the directory's forest until this is dropped.
struct Registered {
    place: ScpPlace,
    url: CertificationUrl,
    runtime: Runtime,
}

impl Registered {
    fn new(server: &CorpServer) -> Self {
        let variable = |name| std::env::var(name).unwrap();
        let settings = LdapSettings {
            forest: Some("corp.example".parse().unwrap()),
            servers: vec![variable("CORP_LDAPS_URL").parse().unwrap()],
            ..LdapSettings::default()
        };
        let secrets = LdapSecrets {
            sign_in: LdapSignIn::Password {
                name: "administrator@corp.example".to_owned(),
                password: variable("CORP_ADMIN_PASSWORD").into(),
            },
            roots: vec![CertificateDer::from_pem_file(variable("AD_CA")).unwrap()],
        };
        let runtime = Runtime::new().unwrap();
        let url: CertificationUrl = format!("{}/_wmcs/certification", server.url)
            .parse()
            .unwrap();
        let place = runtime.block_on(async {
            let place = ScpPlace::open(&settings, secrets).await.unwrap();
            place.register(&url, OtherCluster::Override).await.unwrap();
            place
        });
        Self {
            place,
            url,
            runtime,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let removing = self.place.remove(&self.url, OtherCluster::Override);
        self.runtime.block_on(removing).unwrap();
    }
}

#[test]
fn whoever_has_a_ticket_of_a_real_forest_finds_its_service_connection_point() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    server.log_on("alice", "Alice-Passw0rd");
    let init = |who: &str| {
        let mut command = common::command(["init", "--json", "--yes"]);
        // Its own name servers, as on any machine of the forest.
        command
            .env("RMS_CONFIG_DIR", server.at("no-machine-settings"))
            .env("RMS_HOME", server.home(who))
            .env("RMS_CA_FILE", server.at("server.pem"))
            .env("KRB5CCNAME", server.tickets(who));
        ended(command.output().unwrap())
    };
    let run = init("alice");
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "server-not-configured")
    );
    assert!(
        run.out
            .contains("corp.example has no service connection point"),
        "{}",
        run.out
    );

    let _registered = Registered::new(&server);
    let run = init("nobody");
    assert_eq!(run.code, 5, "{}", run.out);
    let run = init("alice");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["server"], server.url);
    assert_eq!(run.json()["server_source"], "service-connection-point");
    assert_eq!(run.json()["server_found_at"], "corp.example");
    let run = server.run_as("alice", ["sign-in", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
}

#[test]
fn with_nothing_but_the_dns_of_a_real_directory_a_person_gets_to_work() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    let record = DnsRecord::add(&server);
    server.log_on("alice", "Alice-Passw0rd");
    let run = |arguments: &[&str]| {
        let mut command = common::command(arguments);
        command
            .env("RMS_CONFIG_DIR", server.at("no-machine-settings"))
            .env("RMS_HOME", server.home("alice"))
            .env("RMS_CA_FILE", server.at("server.pem"))
            .env("KRB5CCNAME", server.tickets("alice"));
        ended(command.output().unwrap())
    };
    let found = run(&["init", "--json", "--yes", "--user", "alice@corp.example"]);
    assert_eq!(found.code, 0, "{}{}", found.out, found.err);
    assert_eq!(found.json()["server"], server.url);
    assert_eq!(found.json()["server_source"], "dns");
    assert_eq!(found.json()["server_found_at"], NAME);
    assert!(found.err.contains(NAME), "{}", found.err);
    // From here on DNS is not needed.
    drop(record);
    let signed_in = run(&["sign-in", "--json"]);
    assert_eq!(signed_in.code, 0, "{}{}", signed_in.out, signed_in.err);
    assert_eq!(run(&["status", "--json"]).json()["server_source"], "dns");
    let again = run(&["init", "--json"]).json();
    assert_eq!(
        (&again["server_source"], &again["changed"]),
        (&"dns".into(), &false.into())
    );
}
