//! `rms check`, as a support desk uses it: both clusters, the one port, proxy, TLS, clock, and what is
//! held on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use common::cluster::Cluster;
use common::{Run, certificate_for, command, ended};
use openrms_xrml::Time;
use serde_json::Value;
use tempfile::TempDir;

/// A machine that an administrator has set up.
struct Machine(TempDir);

impl Machine {
    fn new(settings: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::write(machine.0.path().join("client.toml"), settings).unwrap();
        machine
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = command(arguments);
        command
            .env("RMS_HOME", self.0.path().join("home"))
            .env("RMS_CONFIG_DIR", self.0.path());
        ended(command.output().unwrap())
    }

    fn check(&self) -> Value {
        self.run(&["check", "--json"]).json()
    }
}

fn warnings(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().unwrap().iter();
    warnings.map(|w| w["code"].as_str().unwrap()).collect()
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn s7_s8_both_clusters_are_asked_and_the_one_port_is_said_on_one_screen() {
    let cluster = Cluster::start();
    let url = cluster.running.url();
    let machine = Machine::new(&format!("server = '{url}'"));
    let run = machine.run(&["check", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let report = run.json();
    let clusters = report["clusters"].as_array().unwrap();
    let names: Vec<_> = clusters
        .iter()
        .map(|c| c["cluster"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["certification", "licensing"]);
    assert_eq!(report["ports"], serde_json::json!([port(url)]));
    for service in report["services"].as_array().unwrap() {
        assert!(
            service["url"].as_str().unwrap().starts_with(url),
            "{service}"
        );
    }
    assert_eq!(warnings(&report), [] as [&str; 0]);
    assert!(report["clock_ahead_seconds"].as_i64().unwrap().abs() < 60);
    assert_eq!(report["activated"], false);

    let run = machine.run(&["check"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.lines().count() <= 24, "{}", run.out);
    for told in [
        "client.toml:1",
        "none: plain HTTP",
        "machine certificate  none",
        "proxy",
    ] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
}

#[test]
fn s8_a_licensing_cluster_elsewhere_is_asked_too_and_a_second_port_is_warned_of() {
    let root = Cluster::start();
    let licensing = Cluster::start();
    let url = licensing.running.url().to_owned();
    let machine = Machine::new(&format!(
        "server = '{}'\n[service_location]\nenterprise_publishing = '{url}'",
        root.running.url()
    ));
    let report = machine.check();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["clusters"][0]["server"], root.running.url());
    assert_eq!(report["clusters"][1]["server"], url.as_str());
    assert_eq!(warnings(&report), ["several-ports"]);
    // When it is down, that is what is said, and which services fail.
    drop(licensing);
    let run = machine.run(&["check", "--json"]);
    assert_eq!((run.code, run.error_code().as_str()), (5, "service-fails"));
    let services = run.json()["services"].clone();
    let failed = services
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["ok"] == false);
    let failed: Vec<_> = failed.map(|s| s["service"].as_str().unwrap()).collect();
    assert_eq!(
        failed,
        ["licensing", "publishing", "templates", "server information"]
    );
}

#[test]
fn without_a_server_what_the_machine_holds_is_shown_all_the_same() {
    let machine = Machine::new("proxy = 'http://alice:geheim@127.0.0.1:1'");
    assert_eq!(machine.run(&["activate"]).code, 0);
    let run = machine.run(&["check"]);
    assert_eq!(run.code, 5, "{}", run.err);
    assert!(run.out.contains("lockbox "), "{}", run.out);
    assert!(run.out.contains("http://127.0.0.1:1  ["), "{}", run.out);
    assert!(!run.out.contains("geheim"), "{}", run.out);
    let run = machine.run(&["check", "--json"]);
    assert_eq!(run.error_code(), "server-not-configured");
    assert!(run.json()["lockbox"].is_string(), "{}", run.out);
}

#[test]
fn clocks_that_differ_by_more_than_five_minutes_are_warned_of() {
    for (behind, expected) in [(0, None), (240, None), (3600, Some(60)), (-3600, Some(-60))] {
        let url = answering(behind);
        let report = Machine::new(&format!("server = '{url}'")).check();
        let ahead = report["clock_ahead_seconds"].as_i64().unwrap();
        assert!((ahead - behind).abs() <= 30, "{ahead}");
        match expected {
            None => assert_eq!(warnings(&report), [] as [&str; 0], "{report}"),
            Some(_) => assert_eq!(warnings(&report), ["clock-differs"], "{report}"),
        }
    }
}

#[test]
fn s7_all_goes_by_the_proxy_to_port_80_or_443_and_nowhere_else() {
    let cluster = Cluster::start();
    let proxy = Proxy::to(cluster.running.url().trim_start_matches("http://"));
    let settings = |no_proxy: &str| {
        format!(
            "server = 'http://rms.corp.example'\nproxy = 'http://alice:geheim@{}'\n\
             no_proxy = [{no_proxy}]",
            proxy.address
        )
    };
    // Nothing resolves that name here: the proxy is the only way.
    let machine = Machine::new(&settings(""));
    let run = machine.run(&["check", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let report = run.json();
    assert_eq!(report["ports"], serde_json::json!([80]));
    assert_eq!(report["clusters"][0]["by_proxy"], true);
    assert_eq!(report["proxy"], format!("http://{}", proxy.address));
    assert_eq!(warnings(&report), ["not-private"]);
    assert!(!run.out.contains("heim"), "{}", run.out);
    let pinned = openrms_server::client_bundle(cluster.at("server")).unwrap();
    let anchors = openrms_xrml::anchors::Anchors::from_xml(&pinned.trust.anchors_xml).unwrap();
    let fingerprint = anchors.iter().next().unwrap().key.fingerprint_hex();
    let run = machine.run(&["init", "--json", "--fingerprint", &fingerprint]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    for head in &asked {
        assert!(head.starts_with("CONNECT rms.corp.example:80 "), "{head}");
        // alice:geheim
        assert!(head.contains("Basic YWxpY2U6Z2VoZWlt"), "{head}");
    }
    // Whom no_proxy names is reached directly, here in vain.
    let machine = Machine::new(&settings("'.corp.example'"));
    let run = machine.run(&["check", "--json"]);
    assert_eq!(run.code, 5, "{}", run.out);
    assert_eq!(run.json()["clusters"][0]["by_proxy"], false);
    assert_eq!(proxy.asked().len(), 0);
}

#[test]
fn whoever_tls_shows_is_told_with_issuer_and_end_trusted_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = TlsServer::start(folder.path()) else {
        println!("skipped: no openssl");
        return;
    };
    let proxy = Proxy::to(&server.address.to_string());
    let settings = format!(
        "server = 'https://rms.corp.example'\nproxy = 'http://{}'\n",
        proxy.address
    );
    let machine = Machine::new(&settings);
    let run = machine.run(&["check", "--json"]);
    assert_eq!((run.code, run.error_code().as_str()), (4, "service-fails"));
    let report = run.json();
    let certificate = &report["clusters"][0]["certificate"];
    assert_eq!(certificate["trusted"], false, "{report}");
    assert_eq!(certificate["subject"], "CN=rms.corp.example");
    let run = machine.run(&["check"]);
    assert!(run.out.contains("NOT TRUSTED"), "{}", run.out);

    let trusting = format!("{settings}ca_file = '{}'", server.certificate.display());
    let machine = Machine::new(&trusting);
    let report = machine.check();
    assert_eq!(report["ports"], serde_json::json!([443]));
    let certificate = &report["clusters"][0]["certificate"];
    assert_eq!(certificate["trusted"], true, "{report}");
    assert_eq!(certificate["issuer"], "CN=rms.corp.example");
    let until: Time = certificate["until"].as_str().unwrap().parse().unwrap();
    assert!(until.unix() > now());
    // It is good for two days.
    assert_eq!(warnings(&report), ["tls-certificate-ends"], "{report}");
    for head in proxy.asked() {
        assert!(head.starts_with("CONNECT rms.corp.example:443 "), "{head}");
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// A server that answers everything, and whose clock is so many seconds behind.
fn answering(behind: i64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{}", now() - behind)])
        .arg("+%a, %d %b %Y %H:%M:%S GMT")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            head(&mut stream);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                date.trim()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// The head of a request.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            break;
        }
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// An HTTP proxy that leads everybody to one address.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (target, log) = (target.to_owned(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                log.lock().unwrap().push(head(&mut stream));
                let mut server = TcpStream::connect(&target).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                thread::spawn(move || {
                    let _ = std::io::copy(&mut server, &mut stream);
                    let _ = stream.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address, asked }
    }

    /// What it was asked since it was looked at last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A TLS server with a certificate of its own, killed when dropped.
struct TlsServer {
    address: SocketAddr,
    certificate: PathBuf,
    child: Child,
}

impl TlsServer {
    fn start(folder: &Path) -> Option<Self> {
        let (certificate, key) = certificate_for(folder, "rms.corp.example")?;
        let mut child = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0"])
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let address = out
            .lines()
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT ")?.parse().ok())
            .unwrap();
        Some(Self {
            address,
            certificate,
            child,
        })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
