//! What the server does at its bounds: answers, and never hangs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use openrms_crypto::Mode;
use openrms_protocol::server::{GetLicensorCertificate, GetLicensorCertificateResponse};
use openrms_protocol::{Service, SoapVersion, VersionData, encode_request};
use support::*;

/// A request whose headers were read and whose body is still to come: it is under way.
struct Held {
    stream: BufReader<TcpStream>,
    body: String,
}

impl Held {
    fn begin(server: &TestServer) -> Self {
        let body = encode_request(
            SoapVersion::V11,
            Service::LicensingServer.contract(),
            Some(VersionData::CLIENT),
            &GetLicensorCertificate.into(),
        );
        let address = server.running.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\n\
             Connection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            Service::LicensingServer.path(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        // The server asks for the body only once it has begun to answer.
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 100"), "{line}");
        stream.read_line(&mut line).unwrap();
        Self { stream, body }
    }

    fn finish(mut self) -> String {
        self.stream
            .get_mut()
            .write_all(self.body.as_bytes())
            .unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn ask(server: &TestServer) -> HttpAnswer {
    Client::new(server, SoapVersion::V11)
        .send(Service::LicensingServer, &GetLicensorCertificate.into())
}

#[test]
fn a_body_over_the_bound_is_a_fault_whether_its_length_is_told_or_not() {
    let server = TestServer::start_with(Mode::Two, |config| config.limits.body_bytes = 50_000);
    let url = Service::License.url(server.running.url());
    let body = format!("<x>{}</x>", "a".repeat(2_000_000));
    for kind in ["text/xml", "application/soap+xml"] {
        let answer = post(&url, &[("content-type", kind)], &body);
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains("UnspecifiedErrorException"));
        assert!(answer.header("content-type").starts_with(kind));
    }
    let mut request = agent().post(&url).header("content-type", "text/xml");
    request = request.header("transfer-encoding", "chunked");
    let mut answer = request
        .send(ureq::SendBody::from_reader(&mut body.as_bytes()))
        .unwrap();
    assert_eq!(answer.status(), 500);
    assert!(
        answer
            .body_mut()
            .read_to_string()
            .unwrap()
            .contains("UnspecifiedErrorException")
    );
    assert_eq!(ask(&server).status, 200);
    assert!(server.audit().iter().any(|line| {
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("more than 50000 bytes"))
    }));
}

#[test]
fn requests_over_the_bound_are_turned_away_at_once() {
    let server = TestServer::start_with(Mode::Two, |config| config.limits.requests = 1);
    let held = Held::begin(&server);
    let refused = ask(&server);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.text().contains("soap:Fault"));
    assert!(held.finish().starts_with("HTTP/1.1 200"));
    assert_eq!(ask(&server).status, 200);
    let metrics = get(&server.url("/metrics"), &[]).text();
    assert!(metrics.contains("rmsd_turned_away_total 1\n"), "{metrics}");
}

#[test]
fn connections_over_the_bound_are_told_so() {
    let server = TestServer::start_with(Mode::Two, |config| config.limits.connections = 1);
    let held = Held::begin(&server);
    let refused = ask(&server);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(held.finish().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_body_that_does_not_come_ends_in_a_timeout() {
    let server = TestServer::start_with(Mode::Two, |config| config.limits.body_seconds = 1);
    let mut held = Held::begin(&server);
    let mut answer = String::new();
    held.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn stopping_answers_what_is_under_way_and_takes_nothing_new() {
    let server = TestServer::start();
    let address = server
        .running
        .url()
        .trim_start_matches("http://")
        .to_owned();
    let held = Held::begin(&server);
    // A connection that is kept alive must not hold the end up.
    let mut idle = BufReader::new(TcpStream::connect(&address).unwrap());
    idle.get_mut()
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    while line != "ok\n" {
        line.clear();
        idle.read_line(&mut line).unwrap();
    }
    let TestServer {
        running, folder, ..
    } = server;
    let stopping = std::thread::spawn(move || running.stop());
    // It is closed once the server is stopping.
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    assert!(held.finish().starts_with("HTTP/1.1 200"));
    stopping.join().unwrap();
    assert!(TcpStream::connect(&address).is_err());
    drop(folder);
}

#[test]
fn several_threads_share_one_free_port() {
    let server = TestServer::start();
    let mut config = openrms_server::Config::for_data_dir(server.data()).unwrap();
    config.logging.spool = server.folder.path().join("spool");
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.threads = std::num::NonZeroUsize::new(4);
    let second = openrms_server::Server::start(config).unwrap();
    for _ in 0..16 {
        let answer = get(&format!("{}/healthz", second.url()), &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
    second.stop();
}

#[test]
fn a_second_server_does_not_share_an_address_without_a_word() {
    let server = TestServer::start();
    let mut config = openrms_server::Config::for_data_dir(server.data()).unwrap();
    config.logging.spool = server.folder.path().join("spool");
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let first = openrms_server::Server::start(config.clone()).unwrap();
    let address = first.url().trim_start_matches("http://").to_owned();
    config.listen = vec![address.parse().unwrap()];
    let error = openrms_server::Server::start(config.clone()).unwrap_err();
    let wanted = format!("{address} cannot be listened on: ");
    assert!(error.to_string().starts_with(&wanted), "{error}");
    first.stop();
    let again = openrms_server::Server::start(config).unwrap();
    let answer = get(&format!("{}/healthz", again.url()), &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    again.stop();
}

#[test]
fn many_at_a_time_are_all_answered() {
    let server = TestServer::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let client = Client::new(&server, SoapVersion::V12);
                for _ in 0..10 {
                    let answer: GetLicensorCertificateResponse<'static> = client
                        .ask(Service::LicensingServer, GetLicensorCertificate)
                        .unwrap();
                    assert_eq!(answer.certificate_chain.len(), 4);
                }
            });
        }
    });
    let metrics = get(&server.url("/metrics"), &[]).text();
    let line = "rmsd_licensing_requests_total{operation=\"GetLicensorCertificate\"} 80\n";
    assert!(metrics.contains(line), "{metrics}");
}
