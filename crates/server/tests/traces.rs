//! Traces as a collector gets them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use openrms_crypto::Mode;
use openrms_protocol::server::{GetLicensorCertificate, GetLicensorCertificateResponse};
use openrms_protocol::{Service, SoapVersion};
use openrms_server::Config;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message as _;
use support::*;

/// A collector that takes everything.
struct Collector {
    endpoint: String,
    posts: Receiver<Post>,
}

struct Post {
    path: String,
    headers: Vec<String>,
    spans: Vec<Span>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, posts) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(post) = take(&mut stream) {
                        let _ = sender.send(post);
                    }
                });
            }
        });
        Self { endpoint, posts }
    }

    /// Everything that comes until the server has stopped.
    fn spans(&self, server: TestServer) -> Vec<Post> {
        server.running.stop();
        self.posts.try_iter().collect()
    }
}

fn take(stream: &mut BufReader<TcpStream>) -> Option<Post> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = std::iter::from_fn(line)
        .map(|line| line.to_lowercase())
        .collect();
    let length = headers
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    let post = Post {
        path,
        headers,
        spans: scopes.flat_map(|scope| scope.spans).collect(),
    };
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    stream.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(post)
}

fn start(configuration: &str, edit: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(Mode::Two, |config| {
        config.traces = Some(toml::from_str(configuration).unwrap());
        edit(config);
    })
}

fn attribute<'s>(span: &'s Span, name: &str) -> Option<&'s Value> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name)?;
    found.value.as_ref()?.value.as_ref()
}

fn text<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    match attribute(span, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// One licence that is granted, one that is refused.
fn license_and_refuse(server: &TestServer) {
    let client = Client::new(server, SoapVersion::V12);
    let (alice, bob, carol) = (
        client.join("alice"),
        client.join("bob"),
        client.join("carol"),
    );
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    client.license(&bob, &license).unwrap();
    client.license(&carol, &license).unwrap_err();
}

#[test]
fn a_license_is_told_with_its_steps_and_without_names() {
    let collector = Collector::start();
    let headers = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(headers.path(), "X-Scope: rms\n").unwrap();
    let settings = format!(
        "endpoint = {:?}\nsample = 1.0\nheaders_file = {:?}\n",
        collector.endpoint,
        headers.path()
    );
    let server = start(&settings, |_| {});
    license_and_refuse(&server);
    let posts = collector.spans(server);
    assert!(posts.iter().all(|post| post.path == "/v1/traces"));
    for header in ["x-scope: rms", "content-type: application/x-protobuf"] {
        let has = |post: &Post| post.headers.iter().any(|line| line == header);
        assert!(posts.iter().all(has), "{header}");
    }
    let spans: Vec<Span> = posts.into_iter().flat_map(|post| post.spans).collect();
    let licenses: Vec<_> = spans
        .iter()
        .filter(|span| text(span, "rms.operation") == Some("AcquireLicense"))
        .collect();
    let [granted, refused] = *licenses else {
        panic!("{licenses:?}");
    };
    assert_eq!(granted.kind, SpanKind::Server as i32);
    assert_eq!(granted.name, "POST /_wmcs/licensing/license.asmx");
    assert_eq!(text(granted, "rms.outcome"), Some("ok"));
    assert_eq!(text(granted, "http.request.method"), Some("POST"));
    assert_eq!(
        attribute(granted, "http.response.status_code"),
        Some(&Value::IntValue(200))
    );
    assert!(granted.parent_span_id.is_empty());
    assert_ne!(text(refused, "rms.outcome"), Some("ok"));
    assert_ne!(granted.trace_id, refused.trace_id);

    let steps: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_span_id == granted.span_id)
        .collect();
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    for name in [
        "VerifyCertificates",
        "OpenLicense",
        "AskDirectory",
        "WriteLicense",
        "Log",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for step in steps {
        assert_eq!(step.trace_id, granted.trace_id);
        assert!(granted.start_time_unix_nano <= step.start_time_unix_nano);
        assert!(step.start_time_unix_nano <= step.end_time_unix_nano);
        assert!(step.end_time_unix_nano <= granted.end_time_unix_nano);
    }
    let everything = format!("{spans:?}");
    for name in ["example.test", "alice", "bob", "carol"] {
        assert!(!everything.contains(name), "{name}");
    }
    assert!(
        spans
            .iter()
            .all(|span| attribute(span, "rms.content").is_none())
    );
}

#[test]
fn names_are_told_where_that_is_asked_for() {
    let collector = Collector::start();
    let settings = format!(
        "endpoint = {:?}\nsample = 1\nidentifiers = true",
        collector.endpoint
    );
    let server = start(&settings.replace("= 1\n", "= 1.0\n"), |_| {});
    license_and_refuse(&server);
    let posts = collector.spans(server);
    let spans = posts.iter().flat_map(|post| &post.spans);
    let accounts: Vec<_> = spans.filter_map(|span| text(span, "rms.account")).collect();
    assert!(accounts.contains(&"bob@example.test"), "{accounts:?}");
}

#[test]
fn callers_decide_on_traces_only_behind_a_proxy_that_is_listed() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (proxies, expected) in [("[]", 0), ("['127.0.0.1']", 1)] {
        let collector = Collector::start();
        let settings = format!("endpoint = {:?}\nsample = 0.0", collector.endpoint);
        let server = start(&settings, |config| {
            let table = format!("proxies = {proxies}");
            let mut table: toml::Table = toml::from_str(&table).unwrap();
            config.proxies = table.remove("proxies").unwrap().try_into().unwrap();
        });
        let client = Client::new(&server, SoapVersion::V12);
        let _: GetLicensorCertificateResponse<'static> = client
            .ask(Service::LicensingServer, GetLicensorCertificate)
            .unwrap();
        let answer = post(
            &server.url(Service::License.path()),
            &[("traceparent", parent), ("content-type", "text/xml")],
            "nothing",
        );
        assert_eq!(answer.status, 500);
        let posts = collector.spans(server);
        let spans: Vec<_> = posts.iter().flat_map(|post| &post.spans).collect();
        let roots: Vec<_> = spans
            .iter()
            .filter(|span| span.kind == SpanKind::Server as i32)
            .collect();
        assert_eq!(roots.len(), expected, "{roots:?}");
        for root in roots {
            assert_eq!(
                root.trace_id,
                0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()
            );
            assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        }
    }
}

#[test]
fn a_collector_that_is_not_there_holds_nobody_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!(
        "endpoint = 'http://{}'\nsample = 1.0",
        nobody.local_addr().unwrap()
    );
    drop(nobody);
    let server = start(&settings, |_| {});
    license_and_refuse(&server);
    server.running.stop();
}
