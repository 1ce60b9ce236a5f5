//! Clients of version 1.0 are activated over HTTP: by a cluster with an authority of its own, and
//! through a cluster that has none (MS-RMPR 3.2).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use openrms_crypto::{Digest, Mode, PrivateKey as _, SoftwareKey, package};
use openrms_protocol::activation::{Activate, ActivateResponse, HardwareId, parse_message};
use openrms_protocol::certification::{Certify, CertifyResponse};
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse, GetServerInfo,
    GetServerInfoResponse, ServerInfoRequest, ServerInfoType, ServerInfoValue, ServiceType,
};
use openrms_protocol::{
    CertificateChain, FaultCode, Limits, OperationName, Service, SoapVersion, parse_response,
};
use openrms_server::activation::ActivationConfig;
use openrms_server::provision::{Authority, RootOptions, provision_root};
use openrms_server::{Config, Server, client_bundle};
use openrms_xrml::spc::SecurityProcessorCertificate;
use support::{Client, HttpAnswer, PASSWORD, Person, TestServer, get, people, post};

fn machine(mode: Mode, number: u8) -> HardwareId {
    let hash = Digest::of(mode.hash(), &[number]);
    HardwareId::try_from(hash.as_bytes()).unwrap()
}

/// A cluster that another one's authority has certified.
fn certified_by(authority: &TestServer, edit: impl FnOnce(&mut Config, &str)) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    provision_root(&RootOptions {
        mode: authority.mode,
        people: Some(people()),
        authority: Authority::Enroll(Service::Enrollment.url(authority.running.url())),
        ..RootOptions::new(&data, &url)
    })
    .unwrap();
    let mut config = Config::for_data_dir(&data).unwrap();
    config.limits.spare_keys = 0;
    config.audit = Some(config.data.audit());
    edit(&mut config, &url);
    let running = Server::start_with_listener(config, listener).unwrap();
    TestServer {
        running,
        bundle: client_bundle(&data).unwrap(),
        mode: authority.mode,
        folder,
    }
}

/// Passes on to that URL.
fn to(url: String) -> impl FnOnce(&mut Config, &str) {
    move |config, _| {
        config.activation = Some(ActivationConfig {
            service: url,
            authorities: None,
        });
    }
}

/// What came back, read as a client does: the key that is in the package, and the chain.
fn taken(answer: &HttpAnswer, machine: HardwareId) -> (SoftwareKey, CertificateChain<'static>) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/dime");
    let (envelope, packages) = parse_message(&answer.body, 1).unwrap();
    let read = parse_response(OperationName::Activate, &envelope, &Limits::client()).unwrap();
    let response = ActivateResponse::try_from(read.outcome.unwrap()).unwrap();
    let [item] = response.items.as_slice() else {
        panic!("one machine, one security processor")
    };
    let key = package::open(&packages[0], machine.as_bytes()).unwrap();
    (key, item.machine_certificate_chain.clone().into_owned())
}

/// Certifies a person with a machine, and opens what they get.
fn join(client: &Client<'_>, machine: (SoftwareKey, CertificateChain<'static>)) -> Person {
    let certify = Certify {
        machine_certificate_chain: machine.1,
        persistent: true,
    };
    let answer: CertifyResponse<'static> = client
        .signed_in("alice", PASSWORD)
        .ask(Service::Certification, certify)
        .unwrap();
    Person::of(
        client,
        (machine.0, answer.certificate_chain),
        Service::Publish,
    )
}

#[test]
fn a_cluster_with_an_authority_activates_without_asking_who_is_there() {
    for soap in [SoapVersion::V11, SoapVersion::V12] {
        let server = TestServer::start_with(Mode::One, |_| {});
        let client = Client::new(&server, soap);
        let machine = machine(Mode::One, 1);
        let request = Activate {
            machines: vec![machine],
        };
        let answer = client.send(Service::Activation, &request.into());
        let (key, chain) = taken(&answer, machine);
        let spc = support::verified(&chain);
        let spc = SecurityProcessorCertificate::new(spc).unwrap();
        assert_eq!(spc.key(), key.public());
        let point = spc.node().content().distribution_point("Activation");
        let url = server.url("/_wmcs/certification/Activation.asmx");
        assert_eq!(point.unwrap().object.url(), Some(url.as_str()));
        join(&client, (key, chain));
        let audit = server.audit();
        let event = &audit[0];
        assert_eq!(event["operation"], "Activate");
        assert_eq!(event["outcome"], "ok");
        assert!(event["issued"].is_string(), "{event}");
    }
}

#[test]
fn a_batch_is_answered_in_order_with_an_attachment_each() {
    let server = TestServer::start_with(Mode::One, |_| {});
    let client = Client::new(&server, SoapVersion::V11);
    let machines: Vec<_> = (0..4).map(|number| machine(Mode::One, number)).collect();
    let request = Activate {
        machines: machines.clone(),
    };
    let answer = client.send(Service::Activation, &request.into());
    let (_, packages) = parse_message(&answer.body, 100).unwrap();
    assert_eq!(packages.len(), 4);
    for (package, machine) in packages.iter().zip(&machines) {
        assert!(package::open(package, machine.as_bytes()).is_ok());
    }
    assert_eq!(server.audit().len(), 4);
}

#[test]
fn a_machine_of_the_other_mode_and_a_thing_that_is_no_machine_are_refused() {
    let server = TestServer::start_with(Mode::One, |_| {});
    let client = Client::new(&server, SoapVersion::V11);
    let request = Activate {
        machines: vec![machine(Mode::Two, 1)],
    };
    let fault = client.ask::<ActivateResponse<'static>>(Service::Activation, request);
    let code = fault.unwrap_err().code;
    assert_eq!(code, Some(FaultCode::UnsupportedCryptographicSet));
    let url = Service::Activation.url(server.running.url());
    let kind = [("content-type", "text/xml")];
    let body = |inside: &str| {
        format!(
            "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><Activate \
             xmlns=\"http://microsoft.com/DRM/ActivationService\"><requestParams>{inside}\
             </requestParams></Activate></Body></Envelope>"
        )
    };
    let short = body("<ActivateParams><HidXml>AAAA</HidXml></ActivateParams>");
    for (body, fault) in [
        (short.as_str(), FaultCode::InvalidOperation),
        (&body(""), FaultCode::ArgumentNull),
        ("HID", FaultCode::InvalidOperation),
    ] {
        let answer = post(&url, &kind, body);
        assert_eq!(answer.status, 500);
        assert!(
            answer.text().contains(fault.wire_name()),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn a_cluster_without_an_authority_passes_on_and_is_found() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    let url = Service::Activation.url(authority.running.url());
    let proxy = certified_by(&authority, to(url));
    let client = Client::new(&proxy, SoapVersion::V11);
    let machine = machine(Mode::One, 1);
    let request = Activate {
        machines: vec![machine],
    };
    let answer = client.send(Service::Activation, &request.into());
    join(&client, taken(&answer, machine));

    let services = vec![ServiceType::ActivationService];
    let found: FindServiceLocationsForUserResponse = client
        .signed_in("alice", PASSWORD)
        .ask(
            Service::CertificationServiceLocator,
            FindServiceLocationsForUser { services },
        )
        .unwrap();
    let url = proxy.url("/_wmcs/certification");
    assert_eq!(found.locations[0].url.as_deref(), Some(url.as_str()));
    let info: GetServerInfoResponse<'static> = client
        .ask(
            Service::CertificationServer,
            GetServerInfo {
                requests: vec![ServerInfoRequest {
                    kind: ServerInfoType::ServiceLocations,
                    additional_info: None,
                }],
            },
        )
        .unwrap();
    let ServerInfoValue::ServiceLocations(all) = &info.entries[0].value else {
        panic!("locations were asked for")
    };
    let activates = |service| service == ServiceType::ActivationService;
    assert!(all.iter().any(|location| activates(location.service)));

    // Faults come back as they are.
    let other = Activate {
        machines: vec![self::machine(Mode::Two, 1)],
    };
    let fault = client.ask::<ActivateResponse<'static>>(Service::Activation, other);
    let code = fault.unwrap_err().code;
    assert_eq!(code, Some(FaultCode::UnsupportedCryptographicSet));
    let metrics = get(&proxy.url("/metrics"), &[]).text();
    for line in [
        "rmsd_activation_requests_total{operation=\"Activate\"} 2",
        "rmsd_activation_failures_total{operation=\"Activate\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[test]
fn what_is_passed_on_is_not_looked_into() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    let answer = "HTTP/1.1 418 Teapot\r\nContent-Type: x/y; z=1\r\nContent-Length: 5\r\n\
                  Connection: close\r\n\r\n\0\u{1}any";
    let (url, asked) = upstream(answer.as_bytes().to_vec());
    let proxy = certified_by(&authority, to(url));
    let headers = [
        ("content-type", "what/ever"),
        (
            "soapaction",
            "\"http://microsoft.com/DRM/ActivationService/Activate\"",
        ),
    ];
    let service = Service::Activation.url(proxy.running.url());
    let answer = post(&service, &headers, "<not> soap");
    assert_eq!(answer.status, 418);
    assert_eq!(answer.header("content-type"), "x/y; z=1");
    assert_eq!(answer.body, b"\0\x01any");
    let (head, body) = asked.join().unwrap();
    assert_eq!(body, b"<not> soap");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: what/ever"), "{head}");
    let action = "soapaction: \"http://microsoft.com/drm/activationservice/activate\"";
    assert!(head.contains(action), "{head}");
    let event = &proxy.audit()[0];
    assert_eq!(event["operation"], "Activate");
    assert_ne!(event["outcome"], "ok");
}

#[test]
fn without_a_service_that_answers_there_is_a_fault() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    for (proxy, told) in [
        (certified_by(&authority, to(url)), ""),
        (
            certified_by(&authority, |_, _| {}),
            "this cluster has no activation service",
        ),
    ] {
        let client = Client::new(&proxy, SoapVersion::V12);
        let request = Activate {
            machines: vec![machine(Mode::One, 1)],
        };
        let fault = client.ask::<ActivateResponse<'static>>(Service::Activation, request);
        let fault = fault.unwrap_err();
        assert_eq!(fault.code, Some(FaultCode::UnspecifiedError));
        assert_eq!(fault.message, told);
    }
}

#[test]
fn two_servers_that_name_one_another_do_not_ask_for_ever() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    // One that names itself comes to the same.
    let proxy = certified_by(&authority, |config, own| {
        config.activation = Some(ActivationConfig {
            service: Service::Activation.url(own),
            authorities: None,
        });
    });
    let client = Client::new(&proxy, SoapVersion::V11);
    let request = Activate {
        machines: vec![machine(Mode::One, 1)],
    };
    let fault = client.ask::<ActivateResponse<'static>>(Service::Activation, request);
    let code = fault.unwrap_err().code;
    assert_eq!(code, Some(FaultCode::UnspecifiedError));
}

#[test]
fn what_an_authority_has_is_not_added_again() {
    let server = TestServer::start_with(Mode::One, |_| {});
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rmsd"))
        .args(["authority", "activation", "add", "--json", "--data"])
        .arg(server.data())
        .env_remove("RMSD_CONFIG")
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["already"], true, "{told}");
}

/// A server that answers one request, whatever it is, and tells what it was.
fn upstream(answer: Vec<u8>) -> (String, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/anything", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(&answer).unwrap();
        (head, body)
    });
    (url, served)
}
