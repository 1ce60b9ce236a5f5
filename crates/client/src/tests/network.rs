//! Credentials, probes, and HTTP itself against a socket of this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{OURS, SERVER, World, code, policy};
use crate::*;

#[test]
fn credentials_go_to_the_configured_server_when_it_asks_and_nowhere_else() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    world.person("bob").open_file(&path).unwrap();
    for (operation, url, auth) in world.requests() {
        assert!(url.starts_with(&format!("{SERVER}/")), "{url}");
        let signs_in = ["Certify", "FindServiceLocationsForUser"].contains(&&*operation);
        assert_eq!(auth.is_some(), signs_in, "{operation}");
    }
    world.closed.store(true, Ordering::SeqCst);
    world.person("carol").client_licensor().unwrap();
    let asked: Vec<_> = world
        .requests()
        .into_iter()
        .map(|(operation, _, auth)| (operation, auth.is_some()))
        .collect();
    let asked: Vec<_> = asked
        .iter()
        .map(|(operation, auth)| (operation.as_str(), *auth))
        .collect();
    assert_eq!(
        asked,
        [
            ("GET", false),
            ("Certify", true),
            ("FindServiceLocationsForUser", true),
            ("GetClientLicensorCert", false),
            ("GetClientLicensorCert", true)
        ]
    );
}

#[test]
fn credentials_are_not_sent_in_the_open() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let client = world
        .builder(Home::open(folder.path()).unwrap(), "alice")
        .discovery(Discovery {
            explicit: Spoken::naming("http://rms.example.com".parse().unwrap()),
            ..Discovery::default()
        })
        .build();
    client.join(OURS.hierarchy()).unwrap();
    assert_eq!(code(client.account()), ("credentials-withheld", 4));
    assert!(world.requests().is_empty());
}

#[test]
fn without_credentials_the_hint_says_how_to_sign_in() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let client = world
        .builder(Home::open(folder.path()).unwrap(), "alice")
        .credentials(NoCredentials)
        .build();
    let error = client.account().unwrap_err();
    assert_eq!(
        (error.code(), error.class().exit_code()),
        ("credentials-needed", 3)
    );
    assert!(error.hint().unwrap().contains("sign-in"));
}

#[test]
fn a_check_asks_every_service_and_sends_nothing_secret() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let report = alice.check().unwrap();
    assert!(report.is_ok() && report.is_private() && report.probes.len() >= 7);
    assert!(world.requests().iter().all(|(_, _, auth)| auth.is_none()));
    world.unplug(true);
    let report = alice.check().unwrap();
    assert_eq!(report.class(), Some(Class::Unreachable));
    assert!(
        report
            .probes
            .iter()
            .all(|probe| matches!(probe.outcome, ProbeOutcome::Fails(_)))
    );
}

/// Answers one connection after another with fixed bytes, and hands back what it was sent.
fn serve(answers: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            seen.push(String::from_utf8(head).unwrap().to_ascii_lowercase());
            // The other side may have heard enough.
            let _ = stream.write_all(&answer);
        }
        seen
    });
    (url, thread)
}

fn transport() -> HttpTransport {
    let options = HttpOptions {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        system_roots: false,
        ..HttpOptions::default()
    };
    HttpTransport::new(&options).unwrap()
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn http_sends_what_soap_needs_and_takes_any_status() {
    let (url, server) = serve(vec![
        answer("500 Internal Server Error", b"fault"),
        answer("302 Found\r\nLocation: https://evil.example/", b""),
    ]);
    let http = transport();
    let auth = Credentials::Basic {
        user: "a".into(),
        password: Secret::from(b"b".as_slice()),
    };
    let got = http
        .post(
            &url,
            "urn:x/Do",
            "text/xml; charset=utf-8",
            b"<x/>",
            Some(&auth),
        )
        .unwrap();
    assert_eq!(
        (got.status, got.body.as_slice()),
        (500, b"fault".as_slice())
    );
    let got = http.get(&url, None).unwrap();
    assert_eq!(
        (got.status, got.location.as_deref()),
        (302, Some("https://evil.example/"))
    );
    let seen = server.join().unwrap();
    assert!(seen[0].contains("soapaction: \"urn:x/do\""), "{}", seen[0]);
    assert!(seen[0].contains("authorization: basic ytpi"), "{}", seen[0]);
    assert!(seen[0].contains("content-type: text/xml"), "{}", seen[0]);
    assert!(seen[0].contains("accept-encoding: gzip"), "{}", seen[0]);
    assert!(!seen[1].contains("authorization"), "{}", seen[1]);
}

#[test]
fn nobody_listening_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = transport().get(&url, None).unwrap_err();
    assert!(matches!(error, TransportError::Connect { .. }), "{error:?}");
    let error = transport()
        .get("http://no-such-host.invalid/", None)
        .unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::HostNotFound { .. } | TransportError::Timeout { .. }
        ),
        "{error:?}"
    );
}

#[test]
fn tls_without_a_trusted_root_fails_as_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink);
    });
    let error = transport().get(&url, None).unwrap_err();
    assert!(matches!(error, TransportError::Tls { .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn a_client_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let world = World::new(&OURS);
    let alice = Arc::new(world.person("alice"));
    shared(&alice.client);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let alice = alice.clone();
            scope.spawn(move || {
                let policy = policy(&["bob@example.com:VIEW"]);
                let mut out = Vec::new();
                let text = format!("text {number}");
                alice
                    .protect(
                        text.as_bytes(),
                        None,
                        ".txt",
                        &mut out,
                        &policy,
                        Signer::Author,
                    )
                    .unwrap();
                let mut back = String::new();
                alice
                    .open(std::io::Cursor::new(out))
                    .unwrap()
                    .read_to_string(&mut back)
                    .unwrap();
                assert_eq!(back, text);
            });
        }
    });
    let asked = world.asked();
    assert_eq!(
        asked
            .iter()
            .filter(|operation| *operation == "Certify")
            .count(),
        1
    );
}
