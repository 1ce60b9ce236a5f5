//! SRV look-ups against a name server that answers, lies, fails and says nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod fake_dns;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use fake_dns::FakeDns;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use openrms_directory::dns::{DnsError, Resolver, Services};

fn resolver(server: &FakeDns) -> Resolver {
    let server = server.address.to_string().parse().unwrap();
    Resolver::new(&[server], Duration::from_secs(2)).unwrap()
}

async fn ask(server: &FakeDns) -> Result<Services, DnsError> {
    resolver(server)
        .services("_rmsdisco._tcp", "corp.example")
        .await
}

const NAME: &str = "_rmsdisco._tcp.corp.example";

#[tokio::test]
async fn the_best_priority_comes_first_with_its_port() {
    let server = FakeDns::start();
    server.services(
        NAME,
        &[
            (20, 0, 443, "second.corp.example."),
            (10, 0, 8443, "First.Corp.Example."),
        ],
    );
    let Services::At(found) = ask(&server).await.unwrap() else {
        panic!("nothing found");
    };
    let found: Vec<_> = found
        .iter()
        .map(|target| (target.host.as_str(), target.port.get()))
        .collect();
    assert_eq!(
        found,
        [("first.corp.example", 8443), ("second.corp.example", 443)]
    );
}

#[tokio::test]
async fn nothing_and_not_offered_are_told_apart() {
    let server = FakeDns::start();
    assert_eq!(ask(&server).await, Ok(Services::Unknown));
    server.services(NAME, &[]);
    assert_eq!(ask(&server).await, Ok(Services::Unknown));
    server.services(NAME, &[(0, 0, 0, ".")]);
    assert_eq!(ask(&server).await, Ok(Services::NotOffered));
}

#[tokio::test]
async fn thousands_of_records_are_bounded() {
    let server = FakeDns::start();
    let record = |number| {
        let target = Name::from_ascii(format!("h{number}.x.")).unwrap();
        RData::SRV(SRV::new(number, 0, 443, target))
    };
    // About as many as one message can hold.
    server.set(NAME, RecordType::SRV, (0..1_100).map(record).collect());
    let Services::At(found) = ask(&server).await.unwrap() else {
        panic!("nothing found");
    };
    assert_eq!(found.len(), 1_000);
    assert_eq!(found[0].host.as_str(), "h0.x");
}

#[tokio::test]
async fn hosts_that_are_none_are_not_handed_on() {
    let server = FakeDns::start();
    let name = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied()).unwrap();
    let targets = [
        name(&[b"127", b"0", b"0", b"1"]),
        name(&[b"rms\x1b[2J", b"example"]),
        name(&[b"rms\n", b"example"]),
        name(&[b"a@b", b"example"]),
        name(&[b"a/b", b"example"]),
        name(&[b"a.b", b"example"]),
        name(&[b"\xff\xfe", b"example"]),
    ];
    let mut records: Vec<_> = targets
        .into_iter()
        .map(|target| RData::SRV(SRV::new(0, 0, 443, target)))
        .collect();
    let no_port = SRV::new(0, 0, 0, name(&[b"rms", b"corp", b"example"]));
    records.push(RData::SRV(no_port));
    server.set(NAME, RecordType::SRV, records);
    let error = ask(&server).await.unwrap_err();
    assert!(matches!(error, DnsError::Unusable { .. }), "{error}");
}

#[tokio::test]
async fn a_name_server_that_fails_is_not_taken_for_one_that_knows_nothing() {
    let server = FakeDns::start();
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        server.fail_with(Some(code));
        let error = ask(&server).await.unwrap_err();
        assert!(matches!(error, DnsError::Failed { .. }), "{code}: {error}");
    }
}

#[tokio::test]
async fn a_name_server_that_says_nothing_costs_its_time_and_no_more() {
    let server = FakeDns::start();
    server.silence(true);
    let begin = Instant::now();
    let error = ask(&server).await.unwrap_err();
    assert!(matches!(error, DnsError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn the_addresses_of_a_host_come_from_the_same_servers() {
    let server = FakeDns::start();
    server.host("dc1.corp.example", Ipv4Addr::new(127, 0, 0, 7));
    let resolver = resolver(&server);
    let addresses = |host: &'static str| {
        let resolver = &resolver;
        async move { resolver.addresses(&host.parse().unwrap()).await }
    };
    let known = addresses("dc1.corp.example").await.unwrap();
    assert_eq!(known, [Ipv4Addr::new(127, 0, 0, 7)]);
    assert_eq!(addresses("dc2.corp.example").await, Ok(Vec::new()));
}
