//! Enrollment and renewal with `rmsd` as its administrators run it: machines that share nothing but
//! files, a server that waits for its certificate, a root cluster and one below it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openrms_crypto::{Mode, PrivateKey as _, SoftwareKey};
use openrms_protocol::enrollment::EnrolleeServerInformation;
use openrms_protocol::server::GetLicensorCertificate;
use openrms_protocol::sub_enrollment::{SubEnroll, SubEnrollResponse};
use openrms_protocol::{Fault, FaultCode, Operation, Service, SoapVersion};
use openrms_server::access::{AccessRules, GroupRef, Part, PartRule};
use serde_json::Value;
use support::{Client, PASSWORD, TestServer, get};

/// A machine with a data directory of its own.
struct Machine {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rmsd"));
        command
            .args(arguments)
            .arg("--json")
            .arg("--data")
            .arg(self.at("data"))
            .current_dir(self.folder.path())
            .env_remove("RMSD_CONFIG")
            .envs(self.environment.iter().cloned());
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let document = serde_json::from_str(&text).unwrap_or_else(|error| {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            panic!("{arguments:?}: {error}: {text}{complaint}")
        });
        (output.status.code().unwrap(), document)
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let (code, document) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {document}");
        document
    }

    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let (code, document) = self.run(arguments);
        let name = document["error"]["code"].as_str().unwrap_or_default();
        (code, name.to_owned())
    }

    /// Carries a file to another machine.
    fn carry(&self, name: &str, to: &Self) {
        std::fs::copy(self.at(name), to.at(name)).unwrap();
    }

    /// Puts what is in one file into another.
    fn carry_over(&self, from: &str, to: &str) {
        std::fs::copy(self.at(from), self.at(to)).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.at("log")).unwrap()
    }

    fn provision(&self, more: &[&str]) -> Value {
        let fixed = [
            "provision",
            "root",
            "--url",
            "http://rms.example",
            "--listen",
            "127.0.0.1:0",
            "--ignore-check",
            "all",
        ];
        self.done(&[&fixed, more].concat())
    }
}

/// `rmsd serve`, ended when this is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(machine: &Machine) -> Self {
        Self::start_with(machine, machine.command(&["serve"]))
    }

    /// What it has to say goes into the machine's `log`.
    fn start_with(machine: &Machine, mut serve: Command) -> Self {
        let log = std::fs::File::create(machine.at("log")).unwrap();
        let mut child = serve.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            url: told["url"].as_str().unwrap().to_owned(),
        }
    }

    /// What the administration site tells of the certificate.
    fn certificate(&self, machine: &Machine) -> Value {
        let token = std::fs::read_to_string(machine.at("data/admin.token")).unwrap();
        let page = get(
            &format!("{}/admin/api/status", self.url),
            &[("authorization", &format!("Bearer {token}"))],
        );
        let page: Value = serde_json::from_str(&page.text()).unwrap();
        page["slc"].clone()
    }

    fn ready(&self) -> (u16, String) {
        let answer = get(&format!("{}/readyz", self.url), &[]);
        (answer.status, answer.text())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_machines_that_share_nothing_but_files_enroll_one_and_it_takes_up_service() {
    let (authority, server) = (Machine::new(), Machine::new());
    authority.done(&["authority", "create", "--name", "Far away"]);
    let set_up = server.provision(&["--offline"]);
    assert_eq!(set_up["enrolled"], false);
    let serving = Serving::start(&server);
    let (status, why) = serving.ready();
    assert_eq!(status, 503);
    assert!(why.contains("not enrolled"), "{why}");
    assert_eq!(serving.certificate(&server)["enrolled"], false);

    let written = server.done(&["enroll", "request"]);
    assert_eq!(written["file"], "rms.exampleEnrollRequest.xml");
    let request = "rms.exampleEnrollRequest.xml";
    server.carry(request, &authority);
    authority.done(&["authority", "sign", request, "-o", "response.xml"]);
    authority.done(&["authority", "anchors", "export", "anchors.xml"]);
    authority.done(&["client-bundle", "bundle.json"]);
    for name in ["response.xml", "anchors.xml", "bundle.json"] {
        authority.carry(name, &server);
    }
    let complete = ["enroll", "complete", "response.xml"];
    assert_eq!(server.refused(&complete), (1, "no-client-bundle".into()));
    let trusting = [&complete[..], &["--bundle", "bundle.json"]].concat();
    let strict = [&trusting[..], &["--anchors", "anchors.xml"]].concat();

    // Others' files change nothing.
    let response = std::fs::read_to_string(server.at("response.xml")).unwrap();
    let spoil = |what: &str| std::fs::write(server.at("response.xml"), what).unwrap();
    spoil(&response.replacen("rms.example", "rms.examplf", 1));
    assert_eq!(server.refused(&strict), (4, "certificate-forged".into()));
    spoil("<EnrollResponse/>");
    assert_eq!(server.refused(&strict), (6, "malformed".into()));
    let (stranger, strangers) = (Machine::new(), Machine::new());
    stranger.provision(&["--offline"]);
    stranger.done(&["enroll", "request", "other.xml"]);
    stranger.carry("other.xml", &authority);
    authority.done(&["authority", "sign", "other.xml", "-o", "other-response.xml"]);
    spoil(&std::fs::read_to_string(authority.at("other-response.xml")).unwrap());
    assert_eq!(server.refused(&strict), (4, "other-server".into()));
    strangers.done(&["authority", "create"]);
    server.carry(request, &strangers);
    strangers.done(&["authority", "sign", request, "-o", "response.xml"]);
    strangers.carry("response.xml", &server);
    assert_eq!(server.refused(&strict), (4, "authority-not-trusted".into()));
    assert_eq!(serving.ready().0, 503);

    spoil(&response);
    let done = server.done(&strict);
    assert!(done["valid_until"].is_string());
    eventually("in service", || serving.ready().0 == 200);
    // By files again, with the same key.
    let renewal = server.done(&["renew", "--request"]);
    assert_eq!(renewal["file"], "./rms.exampleRenewRequest.xml");
    server.carry("rms.exampleRenewRequest.xml", &authority);
    let sign = ["authority", "sign", "rms.exampleRenewRequest.xml", "-o"];
    authority.done(&[&sign[..], &["renewed.xml", "--days", "730"]].concat());
    authority.carry("renewed.xml", &server);
    let renewed = server.done(&["renew", "--complete", "renewed.xml"]);
    assert_eq!(renewed["server_key"], done["server_key"]);
    assert_ne!(renewed["valid_until"], done["valid_until"]);
    assert_eq!(server.refused(&["renew"]), (1, "enrolled-by-files".into()));
}

#[test]
fn a_cluster_that_is_its_own_authority_is_certified_for_a_year_and_renewed_on_demand() {
    let (machine, stranger) = (Machine::new(), Machine::new());
    assert_eq!(machine.provision(&[])["enrolled"], true);
    stranger.done(&["authority", "create"]);
    stranger.done(&["authority", "anchors", "export", "anchors.xml"]);
    stranger.carry("anchors.xml", &machine);
    let pinned = ["renew", "--anchors", "anchors.xml"];
    assert_eq!(machine.refused(&pinned), (4, "other-hierarchy".into()));
    let renewed = machine.done(&["renew", "--online"]);
    let year: i32 = renewed["valid_until"].as_str().unwrap()[..4]
        .parse()
        .unwrap();
    let now: i32 = jiff::Timestamp::now().to_string()[..4].parse().unwrap();
    assert_eq!(year, now + 1);
    let long = Machine::new();
    long.provision(&["--slc-days", "3650"]);
    let renewed = long.done(&["renew"]);
    let year: i32 = renewed["valid_until"].as_str().unwrap()[..4]
        .parse()
        .unwrap();
    assert!(year >= now + 9, "{year}");
}

#[test]
fn a_licensing_cluster_is_set_up_on_line_and_by_files_and_renewed_at_its_root() {
    let root = TestServer::start();
    let licensing = Machine::new();
    let set_up = |machine: &Machine, more: &[&str]| {
        let fixed = [
            "provision",
            "licensing",
            "--root",
            root.running.url(),
            "--url",
            "http://licensing.example",
            "--listen",
            "127.0.0.1:0",
            "--ignore-check",
            "all",
        ];
        machine.run(&[&fixed, more].concat())
    };
    let (code, done) = set_up(&licensing, &[]);
    assert_eq!((code, &done["enrolled"]), (0, &true.into()), "{done}");
    licensing.done(&["renew"]);
    let serving = Serving::start(&licensing);
    assert_eq!(serving.ready().0, 200);
    for (service, status) in [
        (Service::Certification, 404),
        (Service::SubEnrollment, 404),
        (Service::License, 200),
        (Service::LicensingServer, 200),
    ] {
        let answer = get(&service.url(&serving.url), &[]);
        assert_eq!(answer.status, status, "{service:?}");
    }

    let by_files = Machine::new();
    let (code, done) = set_up(&by_files, &["--offline"]);
    assert_eq!((code, &done["enrolled"]), (0, &false.into()), "{done}");
    by_files.done(&["enroll", "request", "request.xml"]);
    let at_root = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(arguments)
            .arg("--data")
            .arg(root.data())
            .current_dir(by_files.folder.path())
            .output()
            .unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(
        at_root(&["authority", "sign", "request.xml", "-o", "x.xml"]),
        6
    );
    assert_eq!(
        at_root(&["enroll", "sign-sub", "request.xml", "-o", "x.xml"]),
        0
    );
    assert_eq!(at_root(&["client-bundle", "bundle.json"]), 0);
    by_files.done(&["enroll", "complete", "x.xml", "--bundle", "bundle.json"]);
    assert!(by_files.at("data").is_dir());
}

/// Waits until something holds, and fails when it does not in good time.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A root cluster that lets its staff enroll licensing clusters, and a licensing cluster that it has
/// certified for twenty days, by files.
fn root_and_licensing(more: &[&str]) -> (TestServer, Machine) {
    let staff = GroupRef::try_from("staff@example.test".to_owned()).unwrap();
    let rule = PartRule {
        groups: vec![staff],
        ..PartRule::default()
    };
    let rules = AccessRules::new([(Part::SubEnrollment, rule)].into()).unwrap();
    let root = TestServer::start_with(Mode::Two, |config| config.access = rules);
    let licensing = Machine::new();
    std::fs::write(licensing.at("right"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(licensing.at("wrong"), "guessed\n").unwrap();
    let url = root.running.url().to_owned();
    let fixed = ["provision", "licensing", "--root", &url, "--offline"];
    let place = ["--url", "http://licensing.example"];
    let listen = ["--listen", "127.0.0.1:0", "--ignore-check", "all"];
    licensing.done(&[&fixed[..], &place, &listen, more].concat());
    licensing.done(&["enroll", "request", "request.xml"]);
    let at_root = |arguments: &[&str]| {
        let status = Command::new(env!("CARGO_BIN_EXE_rmsd"))
            .args(arguments)
            .arg("--data")
            .arg(root.data())
            .current_dir(licensing.folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    let sign = ["enroll", "sign-sub", "request.xml", "-o", "response.xml"];
    at_root(&[&sign[..], &["--days", "20"]].concat());
    at_root(&["client-bundle", "bundle.json"]);
    licensing.done(&[
        "enroll",
        "complete",
        "response.xml",
        "--bundle",
        "bundle.json",
    ]);
    (root, licensing)
}

#[test]
fn a_licensing_cluster_with_a_password_in_a_file_renews_by_itself() {
    let kept = ["--user", "bob", "--user-password-file", "password"];
    let (root, licensing) = root_and_licensing(&[&kept[..], &["--keep-sign-in"]].concat());
    let password = |name: &str| licensing.carry_over(name, "password");
    password("wrong");
    let serving = Serving::start(&licensing);
    eventually("event 16", || licensing.log().contains("event=16"));
    let log = licensing.log();
    assert!(log.contains("event=1009"), "{log}");
    assert!(log.contains("refuses the sign-in of bob"), "{log}");
    assert!(!log.contains("guessed"), "{log}");
    assert_eq!(serving.ready().0, 200);
    assert_eq!(serving.certificate(&licensing)["days_left"], 19);
    assert_eq!(licensing.refused(&["renew"]), (3, "sign-in-refused".into()));
    drop(serving);

    password("right");
    let serving = Serving::start(&licensing);
    eventually("another certificate", || {
        serving.certificate(&licensing)["days_left"].as_i64() > Some(360)
    });
    // People need not say it again, and may say something else.
    licensing.done(&["renew"]);
    let other = ["renew", "--user", "alice", "--user-password-file", "right"];
    let (code, said) = licensing.run(&other);
    assert_eq!(
        (code, &said["error"]["code"]),
        (3, &"enrollment-refused".into())
    );
    drop(root);
}

#[test]
fn a_licensing_cluster_that_cannot_sign_in_tells_how_it_could() {
    let (_root, licensing) = root_and_licensing(&[]);
    let serving = Serving::start(&licensing);
    eventually("event 16", || licensing.log().contains("event=16"));
    let log = licensing.log();
    assert!(log.contains("[root_cluster]"), "{log}");
    assert!(!log.contains("event=1009"), "{log}");
    assert_eq!(serving.certificate(&licensing)["days_left"], 19);
}

/// A root cluster for the accounts of a real Active Directory, at `https://rms.corp.example`. Carol may
/// enroll licensing clusters there.
struct CorpRoot {
    machine: Machine,
    url: String,
    _serving: Serving,
}

impl CorpRoot {
    /// `None`, with a line on the terminal, where there is no directory.
    fn start() -> Option<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .inspect_err(|_| println!("skipped: {name} is not set, there is no test bed"))
                .ok()
        };
        let (ldaps, authority) = (variable("CORP_LDAPS_URL")?, variable("AD_CA")?);
        let (password, keytab) = (
            variable("CORP_SVC_PASSWORD")?,
            variable("CORP_HTTP_KEYTAB")?,
        );
        if (HOST, 443).to_socket_addrs().is_err() {
            println!("skipped: {HOST} does not resolve; run under `active-directory exec`");
            return None;
        }
        let machine = Machine::new();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={HOST}"), "-addext"])
            .arg(format!("subjectAltName=DNS:{HOST}"))
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-out", "server.pem", "-keyout", "server.key"])
            .current_dir(machine.folder.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let url = format!("https://{HOST}:{}", address.port());
        machine.done(&[
            "provision",
            "root",
            "--url",
            &url,
            "--listen",
            &address.to_string(),
            "--tls-certificate",
            "server.pem",
            "--tls-key",
            "server.key",
            "--ignore-check",
            "all",
        ]);
        std::fs::write(machine.at("svc.password"), password).unwrap();
        let mut config = std::fs::File::options()
            .append(true)
            .open(machine.at("data/rmsd.toml"))
            .unwrap();
        writeln!(
            config,
            "[directory]\nservers = ['{ldaps}']\nforest = 'corp.example'\n\
             bind_name = 'svc-rms@corp.example'\npassword_file = '../svc.password'\n\
             authorities = '{authority}'\n[sign_in.negotiate]\nkeytab = '{keytab}'\n\
             [services.sub-enrollment]\ngroups = ['rms-superusers@corp.example']",
        )
        .unwrap();
        let serving = Serving::start(&machine);
        Some(Self {
            machine,
            url,
            _serving: serving,
        })
    }

    /// A machine that trusts the root cluster's certificate, has nobody's ticket, and the keys of
    /// two accounts.
    fn machine(&self) -> Machine {
        let mut machine = Machine::new();
        let tickets = machine.at("tickets");
        machine.environment = vec![
            ("SSL_CERT_FILE", self.machine.at("server.pem")),
            ("KRB5CCNAME", tickets),
        ];
        for (account, password) in [CAROL, ("bob", "Bob-Passw0rd")] {
            let mut ktutil = Command::new("ktutil")
                .current_dir(machine.folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let who = format!("{account}@CORP.EXAMPLE -k 1 -e aes256-cts-hmac-sha1-96");
            let lines = format!("addent -password -p {who}\n{password}\nwkt {account}.keytab\nq\n");
            let mut input = ktutil.stdin.take().unwrap();
            input.write_all(lines.as_bytes()).unwrap();
            drop(input);
            assert!(ktutil.wait().unwrap().success());
        }
        machine
    }

    /// Sets a licensing cluster up that signs in with Carol's key.
    fn provision(&self, machine: &Machine, more: &[&str]) {
        let fixed = ["provision", "licensing", "--root", &self.url];
        let place = ["--url", "http://licensing.example", "--listen"];
        let rest = ["127.0.0.1:0", "--ignore-check", "all", "--keep-sign-in"];
        let key = ["--keytab", "c.cook.keytab", "--principal", "c.cook"];
        machine.done(&[&fixed[..], &place, &rest, &key, more].concat());
    }
}

const HOST: &str = "rms.corp.example";
const CAROL: (&str, &str) = ("c.cook", "Carol-Passw0rd");

#[test]
fn a_licensing_cluster_enrolls_and_renews_with_the_key_of_an_account_of_a_real_domain() {
    let Some(root) = CorpRoot::start() else {
        return;
    };
    let machine = root.machine();
    root.provision(&machine, &[]);
    machine.done(&["renew"]);
    // Others of the domain are known, and may not.
    let bob = ["--keytab", "bob.keytab", "--principal", "bob"];
    let renewed = |more: &[&str]| machine.refused(&[&["renew"], more].concat());
    assert_eq!(renewed(&bob), (3, "enrollment-refused".into()));
    let stolen = ["--keytab", "bob.keytab", "--principal", "c.cook"];
    assert_eq!(renewed(&stolen), (3, "kerberos-failed".into()));
    // By the ticket of whoever runs the command.
    assert_eq!(renewed(&["--kerberos"]), (3, "kerberos-failed".into()));
    let mut kinit = Command::new("kinit")
        .arg(CAROL.0)
        .envs(machine.environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(kinit.stdin.take().unwrap(), "{}", CAROL.1).unwrap();
    assert!(kinit.wait().unwrap().success());
    machine.done(&["renew", "--kerberos"]);
}

#[test]
fn a_server_of_a_real_domain_renews_by_itself_with_a_key() {
    let Some(root) = CorpRoot::start() else {
        return;
    };
    let machine = root.machine();
    root.provision(&machine, &["--offline"]);
    machine.done(&["enroll", "request", "request.xml"]);
    machine.carry("request.xml", &root.machine);
    let sign = ["enroll", "sign-sub", "request.xml", "-o", "response.xml"];
    root.machine.done(&[&sign[..], &["--days", "20"]].concat());
    root.machine.done(&["client-bundle", "bundle.json"]);
    for name in ["response.xml", "bundle.json"] {
        root.machine.carry(name, &machine);
    }
    let complete = ["enroll", "complete", "response.xml", "--bundle"];
    machine.done(&[&complete[..], &["bundle.json"]].concat());
    let serving = Serving::start(&machine);
    eventually("another certificate", || {
        let log = machine.log();
        assert!(!log.contains("event=1009"), "{log}");
        serving.certificate(&machine)["days_left"].as_i64() > Some(360)
    });
}

#[test]
fn what_no_file_holds_is_not_kept_in_the_configuration() {
    let machine = Machine::new();
    for sign_in in [&["--user", "bob"][..], &["--kerberos"], &[]] {
        let fixed = ["provision", "licensing", "--root", "http://root.example"];
        let url = ["--url", "http://licensing.example", "--keep-sign-in"];
        let output = machine
            .command(&[&fixed, &url[..], sign_in].concat())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("--user-password-file"), "{complaint}");
        assert!(!machine.at("data").exists());
    }
}

/// What a licensing cluster asks.
fn question() -> SubEnroll {
    let key = SoftwareKey::generate(Mode::Two).unwrap();
    SubEnroll {
        public_key: key.public().to_pkcs1_der(),
        guid: support::guid().to_string().parse().unwrap(),
        enrollee: EnrolleeServerInformation {
            sku: Some("RMS 2.0".into()),
            version: "6.3.0.0".into(),
            name: Some("LICENSING".into()),
            url: Some("http://licensing.example/_wmcs".into()),
        },
    }
}

#[test]
fn licensing_clusters_are_enrolled_by_those_who_were_named_and_others_are_told_whom_to_ask() {
    let staff = GroupRef::try_from("staff@example.test".to_owned()).unwrap();
    let rule = PartRule {
        groups: vec![staff],
        ..PartRule::default()
    };
    let rules = AccessRules::new([(Part::SubEnrollment, rule)].into()).unwrap();
    let server = TestServer::start_with(Mode::Two, |config| config.access = rules);
    let client = Client::new(&server, SoapVersion::V11);
    let answer: Result<SubEnrollResponse<'static>, Fault> = client
        .signed_in("bob", PASSWORD)
        .ask(Service::SubEnrollment, question());
    assert_eq!(answer.unwrap().licensor_certificate_chain.len(), 5);
    let answer: Result<SubEnrollResponse<'static>, Fault> = client
        .signed_in("alice", PASSWORD)
        .ask(Service::SubEnrollment, question());
    let fault = answer.unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::UnauthorizedAccess));
    assert_eq!(fault.message, "rms-admin@example.test");
    let operation: Operation<'static> = question().into();
    assert_eq!(client.send(Service::SubEnrollment, &operation).status, 401);
    // The root cluster's own SLC is anybody's to read.
    let operation: Operation<'static> = GetLicensorCertificate.into();
    let answer = client.send(Service::CertificationServer, &operation);
    assert_eq!(answer.status, 200);
}

#[test]
fn who_is_not_on_the_machine_enrolls_no_licensing_cluster_unless_somebody_is_named() {
    // The cluster's URL is not this machine's: there is a proxy, and everybody seems to be here.
    let machine = Machine::new();
    machine.provision(&["--administrator-contact", "rms-admin@example.test"]);
    let serving = Serving::start(&machine);
    let operation: Operation<'static> = question().into();
    let contract = Service::SubEnrollment.contract();
    let body = openrms_protocol::encode_request(
        SoapVersion::V11,
        contract,
        Some(openrms_protocol::VersionData::CLIENT),
        &operation,
    );
    let action = contract.soap_action(operation.name());
    let answer = support::post(
        &Service::SubEnrollment.url(&serving.url),
        &[
            ("content-type", "text/xml"),
            ("soapaction", &format!("\"{action}\"")),
        ],
        &body,
    );
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(
        text.contains("System.UnauthorizedAccessException"),
        "{text}"
    );
    assert!(text.contains("rms-admin@example.test"), "{text}");
}

#[test]
fn a_public_key_of_a_third_party_is_taken_from_a_file() {
    let machine = Machine::new();
    let mut file = std::fs::File::create(machine.at("auditor.pem")).unwrap();
    file.write_all(b"no key").unwrap();
    let fixed = ["provision", "root", "--url", "http://rms.example"];
    let asked = [&fixed[..], &["--revocation-key", "auditor.pem"]].concat();
    assert_eq!(machine.refused(&asked), (6, "bad-key".into()));
    assert!(!Path::new(&machine.at("data")).exists());
}
