//! Clients of versions 1.0 and 1.0 SP1 against real servers: how they are activated, what they do
//! then, and what they refuse to be given (MS-RMPR 3.2, 3.8.4.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use common::cluster::Cluster;
use common::{Run, command, ended};
use openrms_crypto::{Digest, Mode, PrivateKey as _, SoftwareKey, package};
use openrms_protocol::activation::{
    Activate, ActivateResponse, Activated, HardwareId, encode_message, parse_message,
};
use openrms_protocol::{
    CertificateChain, Contract, HttpHead, Limits, Operation, OperationName, ResponseHead, Service,
    ServiceLevel, SoapVersion, VersionData, encode_request, encode_response, parse_request,
    parse_response,
};
use openrms_server::provision::{Authority, RootOptions};
use openrms_server::{Config, policies};
use openrms_xrml::spc::{ActivationLocation, SpcRequest};
use openrms_xrml::{Guid, Identity, Time, chain};
use serde_json::Value;

/// Clients of these levels know cryptographic mode 1 alone.
fn old_mode(options: &mut RootOptions) {
    options.mode = Mode::One;
}

fn authority() -> Cluster {
    Cluster::start_as("", old_mode, |_| {})
}

/// A root cluster that another one's authority certifies, and that passes activations on to it.
fn proxy_of(authority: &Cluster) -> Cluster {
    let more = format!(
        "[activation]\nservice = '{}'\n",
        Service::Activation.url(authority.running.url())
    );
    let certified = |options: &mut RootOptions| {
        old_mode(options);
        let url = Service::Enrollment.url(authority.running.url());
        options.authority = Authority::Enroll(url);
    };
    Cluster::start_as(&more, certified, |_| {})
}

/// The program as one of the people, once it was told at `rms init` that it is of that level.
fn member(cluster: &Cluster, name: &str, level: &str) {
    let run = cluster.run_as(name, ["init", "--client-level", level]);
    assert_eq!(run.code, 0, "{}", run.err);
}

fn ok(run: Run) -> Run {
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    run
}

fn refused(run: &Run) -> (i32, String) {
    (run.code, run.error_code())
}

fn answered(cluster: &Cluster, operation: &str) -> usize {
    let audit = fs::read_to_string(cluster.at("server/audit.jsonl")).unwrap();
    let events = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["operation"] == operation && event["outcome"] == "ok")
        .count()
}

/// A file of alice's for bob; whether it was protected, and how that ended.
fn protect(cluster: &Cluster, more: &[&str]) -> (std::path::PathBuf, Run) {
    let source = cluster.file("letter.txt", "for bob alone");
    let target = cluster.at("letter.protected");
    let mut arguments = vec![
        "protect",
        "--json",
        "--force",
        source.to_str().unwrap(),
        "--grant",
        "bob@corp.example:VIEW,EXPORT",
        "-o",
        target.to_str().unwrap(),
    ];
    arguments.extend(more);
    let run = cluster.run_as("alice", arguments);
    (target, run)
}

#[test]
fn s43_only_clients_of_service_pack_1_activate_themselves_and_those_of_version_1_need_the_network()
{
    let folder = tempfile::tempdir().unwrap();
    let run = |level: &str| {
        let mut command = command(["activate", "--json", "--client-level", level]);
        command.env("RMS_HOME", folder.path().join(level));
        ended(command.output().unwrap())
    };
    let old = run("1.0");
    assert_eq!(refused(&old), (5, "activation-needs-network".to_owned()));
    assert!(!folder.path().join("1.0/lockbox").exists());
    for level in ["sp1", "2.0"] {
        ok(run(level));
        assert!(folder.path().join(level).join("lockbox").exists());
    }
    let wrong = run("3.0");
    assert_eq!(refused(&wrong), (2, "usage".to_owned()));
}

#[test]
fn s43_clients_of_version_1_are_activated_through_their_root_cluster_and_take_part() {
    let authority = authority();
    let cluster = proxy_of(&authority);
    member(&cluster, "alice", "1.0");
    ok(cluster.run_as("alice", ["activate"]));
    assert_eq!(answered(&cluster, "Activate"), 1);
    assert_eq!(answered(&authority, "Activate"), 1);
    let status = ok(cluster.run_as("alice", ["status", "--json"])).json();
    assert_eq!(status["client_level"], "1.0");
    assert_eq!(status["activated"], true);
    // Once is enough.
    ok(cluster.run_as("alice", ["activate"]));
    ok(cluster.run_as("alice", ["sign-in"]));
    assert_eq!(answered(&authority, "Activate"), 1);

    let (protected, run) = protect(&cluster, &[]);
    ok(run);
    for (name, level) in [("bob", "sp1"), ("alice", "1.0")] {
        if name == "bob" {
            member(&cluster, name, level);
        }
        let arguments: [&OsStr; 3] = ["open".as_ref(), protected.as_ref(), "--stdout".as_ref()];
        let run = ok(cluster.run_as(name, arguments));
        assert!(run.out.contains("for bob alone"), "{level}");
    }
    // Nobody but version 1.0 asked.
    assert_eq!(answered(&authority, "Activate"), 1);
    let settings = fs::read_to_string(cluster.at("home-bob/settings.toml")).unwrap();
    assert!(settings.contains("client_level = \"sp1\""), "{settings}");
}

#[test]
fn a_client_of_version_1_activates_by_itself_when_it_first_needs_to() {
    let cluster = authority();
    member(&cluster, "alice", "1.0");
    let (_, run) = protect(&cluster, &[]);
    ok(run);
    assert_eq!(answered(&cluster, "Activate"), 1);
}

#[test]
fn version_1_publishes_on_line_with_servers_of_its_own_version_alone() {
    let new = authority();
    let old = Cluster::at_level(ServiceLevel::V1);
    for cluster in [&new, &old] {
        member(cluster, "alice", "1.0");
    }
    let (_, run) = protect(&new, &["--online"]);
    assert_eq!(refused(&run), (3, "server-too-new".to_owned()));
    assert_eq!(answered(&new, "AcquireIssuanceLicense"), 0);
    let (_, run) = protect(&old, &["--online"]);
    ok(run);
    assert_eq!(answered(&old, "AcquireIssuanceLicense"), 1);
    // Service Pack 1 publishes on line with both.
    let run = new.run_as("bob", ["init", "--client-level", "sp1"]);
    ok(run);
    let source = new.file("bobs.txt", "text");
    let arguments = [
        "protect",
        source.to_str().unwrap(),
        "--online",
        "--grant",
        "alice@corp.example:VIEW",
    ];
    ok(new.run_as("bob", arguments));
    // Templates are fetched by neither.
    for name in ["alice", "bob"] {
        let run = new.run_as(name, ["templates", "sync", "--json"]);
        assert_eq!(
            refused(&run),
            (3, "client-level-lacks".to_owned()),
            "{name}"
        );
    }
}

#[test]
fn a_minimum_lockbox_of_5_0_0_0_demands_service_pack_1() {
    let cluster = Cluster::start_as("", old_mode, |data| {
        let config = Config::for_data_dir(data).unwrap();
        let minimum = "5.0.0.0".parse().ok();
        policies::change(&config, |policies| policies.spc_minimum_version = minimum).unwrap();
    });
    member(&cluster, "alice", "1.0");
    let run = cluster.run_as("alice", ["sign-in", "--json"]);
    assert_eq!(refused(&run), (3, "lockbox-excluded".to_owned()));
    let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("newer"), "{hint}");
    member(&cluster, "bob", "sp1");
    ok(cluster.run_as("bob", ["sign-in"]));
}

#[test]
fn old_clients_do_not_follow_into_mode_2() {
    let cluster = Cluster::start();
    for (name, level) in [("alice", "1.0"), ("bob", "sp1")] {
        member(&cluster, name, level);
        let run = cluster.run_as(name, ["activate", "--json"]);
        assert_eq!(
            refused(&run),
            (3, "client-level-mode".to_owned()),
            "{level}"
        );
    }
    assert_eq!(answered(&cluster, "Activate"), 0);
}

#[test]
fn a_lockbox_stays_of_the_kind_it_is() {
    let cluster = authority();
    member(&cluster, "alice", "1.0");
    ok(cluster.run_as("alice", ["sign-in"]));
    let lockbox = fs::read(cluster.at("home-alice/lockbox")).unwrap();
    for arguments in [
        &["activate", "--json", "--client-level", "sp1"][..],
        &["init", "--json", "--client-level", "2.0"],
        &["sign-in", "--json", "--client-level", "2.0"],
    ] {
        let run = cluster.run_as("alice", arguments);
        assert_eq!(refused(&run), (2, "lockbox-of-other-level".to_owned()));
        let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("RMS_HOME"), "{hint}");
    }
    assert_eq!(fs::read(cluster.at("home-alice/lockbox")).unwrap(), lockbox);
    let mut command = cluster.command_as("alice", ["sign-in", "--json"]);
    let run = ended(command.env("RMS_CLIENT_LEVEL", "sp1").output().unwrap());
    assert_eq!(refused(&run), (2, "lockbox-of-other-level".to_owned()));
    ok(cluster.run_as("alice", ["sign-in"]));

    // From Service Pack 1 to 2.0 the key stays, and the certificate is signed anew.
    member(&cluster, "bob", "sp1");
    ok(cluster.run_as("bob", ["sign-in"]));
    let certificate = || fs::read_to_string(cluster.at("home-bob/machine.xml")).unwrap();
    assert!(certificate().contains("repository 5.1.0.0\""));
    let lockbox = fs::read(cluster.at("home-bob/lockbox")).unwrap();
    ok(cluster.run_as("bob", ["activate", "--client-level", "2.0"]));
    assert!(certificate().contains("repository 6.1.7600.0\""));
    assert_eq!(fs::read(cluster.at("home-bob/lockbox")).unwrap(), lockbox);
    let run = cluster.run_as("bob", ["activate", "--json", "--client-level", "1.0"]);
    assert_eq!(refused(&run), (2, "lockbox-of-other-level".to_owned()));
}

#[test]
fn what_an_activation_service_sends_is_judged_before_it_is_kept() {
    let cluster = authority();
    let foreign = authority();
    let ours = Service::Activation.url(cluster.running.url());
    let theirs = Service::Activation.url(foreign.running.url());
    let trust = trust_of(&cluster);
    let cases: [(&str, (i32, &str), Answer<'_>); 9] = [
        (
            "as it is",
            (0, ""),
            Box::new(|asked| activated(&ours, asked)),
        ),
        (
            "the package of another machine",
            (4, "activation-other-machine"),
            Box::new(|_| activated(&ours, HardwareId::Sha1([9; 20]))),
        ),
        (
            "a changed package",
            (4, "activation-signature-invalid"),
            Box::new(|asked| {
                let (item, mut package) = activated(&ours, asked);
                let last = package.len() - 1;
                package[last] ^= 1;
                (item, package)
            }),
        ),
        (
            "the signature of another package",
            (4, "activation-signature-invalid"),
            Box::new(|asked| {
                let (mut item, package) = activated(&ours, asked);
                item.signature = activated(&ours, asked).0.signature;
                (item, package)
            }),
        ),
        (
            "the certificate of another key",
            (4, "key-mismatch"),
            Box::new(|asked| {
                let (item, _) = activated(&ours, asked);
                let (other, package) = activated(&ours, asked);
                let signature = other.signature;
                (Activated { signature, ..item }, package)
            }),
        ),
        (
            "a changed certificate",
            (4, "signature-invalid"),
            Box::new(|asked| {
                let (item, package) = activated(&ours, asked);
                let text = item.machine_certificate_chain.concatenated();
                let text = text.replacen("1.0.3246.0", "6.0.3246.0", 1);
                (with_chain(item, &text), package)
            }),
        ),
        (
            "half a chain",
            (4, "chain-untrusted"),
            Box::new(|asked| {
                let (mut item, package) = activated(&ours, asked);
                item.machine_certificate_chain.0.truncate(2);
                (item, package)
            }),
        ),
        (
            "another hierarchy",
            (4, "chain-untrusted"),
            Box::new(|asked| activated(&theirs, asked)),
        ),
        (
            "what every client could make",
            (4, "certificate-mismatch"),
            Box::new(|asked| made_by_client(&trust, asked)),
        ),
    ];
    for (index, (name, wanted, answer)) in cases.into_iter().enumerate() {
        let home = cluster.at(&format!("home-{index}"));
        let rms = |arguments: &[&str]| {
            let mut command = cluster.command_as("alice", arguments);
            ended(command.env("RMS_HOME", &home).output().unwrap())
        };
        ok(rms(&["init", "--client-level", "1.0"]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        override_activation(&home, &format!("http://{}", listener.local_addr().unwrap()));
        let run = std::thread::scope(|scope| {
            scope.spawn(|| answer_one(&listener, &answer));
            rms(&["activate", "--json"])
        });
        let code = if run.code == 0 {
            String::new()
        } else {
            run.error_code()
        };
        assert_eq!((run.code, code.as_str()), wanted, "{name}: {}", run.out);
        assert_eq!(home.join("lockbox").exists(), wanted.0 == 0, "{name}");
    }
}

#[test]
fn a_private_key_comes_over_tls_or_from_this_machine_alone() {
    let cluster = authority();
    member(&cluster, "alice", "1.0");
    override_activation(&cluster.at("home-alice"), "http://rms.example");
    let run = cluster.run_as("alice", ["activate", "--json"]);
    assert_eq!(refused(&run), (4, "activation-not-private".to_owned()));
}

#[test]
fn a_cluster_without_an_activation_service_says_so() {
    let authority = authority();
    let certified = |options: &mut RootOptions| {
        old_mode(options);
        let url = Service::Enrollment.url(authority.running.url());
        options.authority = Authority::Enroll(url);
    };
    let cluster = Cluster::start_as("", certified, |_| {});
    member(&cluster, "alice", "1.0");
    let run = cluster.run_as("alice", ["activate", "--json"]);
    assert_eq!(refused(&run), (1, "server-fault".to_owned()));
    let error = run.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("no activation service"), "{error}");
}

/// What a service answers to a machine.
type Answer<'a> = Box<dyn Fn(HardwareId) -> (Activated<'static>, Vec<u8>) + Sync + 'a>;

/// What a real service answers.
fn activated(url: &str, machine: HardwareId) -> (Activated<'static>, Vec<u8>) {
    let request = Activate {
        machines: vec![machine],
    };
    let body = encode_request(
        SoapVersion::V11,
        Contract::Activation,
        Some(VersionData::CLIENT),
        &request.into(),
    );
    let (envelope, mut packages) = parse_message(&posted(url, &body), 1).unwrap();
    let answer = parse_response(OperationName::Activate, &envelope, &Limits::client()).unwrap();
    let mut response = ActivateResponse::try_from(answer.outcome.unwrap()).unwrap();
    let item = response.items.remove(0);
    let item = Activated {
        machine_certificate_chain: item.machine_certificate_chain.into_owned(),
        signature: item.signature,
    };
    (item, packages.remove(0))
}

fn with_chain(item: Activated<'static>, text: &str) -> Activated<'static> {
    Activated {
        machine_certificate_chain: CertificateChain::split(text).unwrap().into_owned(),
        ..item
    }
}

/// The SPC issuer that every client has.
fn trust_of(cluster: &Cluster) -> (SoftwareKey, String) {
    let bundle = openrms_server::client_bundle(cluster.at("server")).unwrap();
    let key = SoftwareKey::from_pem(&bundle.trust.spc_issuer_key_pem).unwrap();
    (key, bundle.trust.spc_issuer_chain)
}

/// A security processor that somebody between client and service makes with it.
fn made_by_client(
    (issuer, above): &(SoftwareKey, String),
    machine: HardwareId,
) -> (Activated<'static>, Vec<u8>) {
    let key = SoftwareKey::generate(Mode::One).unwrap();
    let nodes = chain::parse(above).unwrap();
    let hash = Mode::One.hash();
    let guid = || Guid::from_random(openrms_crypto::random::guid_bytes().unwrap());
    let spc = SpcRequest {
        id: guid(),
        issued: Time::from_unix(now()),
        issuer: Identity::of_principal(&nodes[0]).unwrap(),
        location: ActivationLocation::Service("https://rms.example".into()),
        machine: guid(),
        key: key.public().clone(),
        hardware: Digest::new(hash, machine.as_bytes()).unwrap(),
        platform: "any".into(),
        manufacturer: "Mallory".into(),
        repository: "repository 1.0.3246.0".into(),
    }
    .sign(issuer, hash)
    .unwrap();
    let package = package::seal(&key, machine.as_bytes()).unwrap();
    let digest = Digest::of(hash, &package);
    let text = spc + above;
    let item = Activated {
        machine_certificate_chain: CertificateChain::split(&text).unwrap().into_owned(),
        signature: openrms_protocol::activation::BinarySignature {
            hash: hash.wire_name().into(),
            digest: digest.as_bytes().to_vec(),
            value: issuer.sign(&digest).unwrap(),
        },
    };
    (item, package)
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// Says where machines are activated, as an administrator may.
fn override_activation(home: &Path, base: &str) {
    let path = home.join("settings.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let line =
        format!("{settings}\n[service_location]\nactivation = '{base}/_wmcs/certification'\n");
    fs::write(&path, line).unwrap();
}

/// Answers one request to activate.
fn answer_one(listener: &TcpListener, answer: &Answer<'_>) {
    let mut stream = listener.accept().unwrap().0;
    let (_, body) = message(&mut BufReader::new(&stream));
    let limits = Limits::server();
    let request = parse_request(HttpHead::default(), &body, &limits).unwrap();
    let Operation::Activate(asked) = request.operation else {
        panic!("another operation")
    };
    let (item, package) = answer(asked.machines[0]);
    let response = ActivateResponse { items: vec![item] };
    let head = ResponseHead::fault(SoapVersion::V11);
    let envelope = encode_response(&head, &response.into());
    let body = encode_message(SoapVersion::V11, envelope, [package]).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/dime\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

/// Posts to a server on this machine.
fn posted(url: &str, body: &str) -> Vec<u8> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (status, body) = message(&mut BufReader::new(&stream));
    assert!(status.contains("200"), "{status}");
    body
}

/// First line and body of a message of HTTP.
fn message(stream: &mut impl std::io::BufRead) -> (String, Vec<u8>) {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (first, body)
}
