//! The services over real sockets: what clients of MS-RMPR do, from activation to opening.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use openrms_crypto::Mode;
use openrms_protocol::certification::{Certify, CertifyResponse};
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseResponse, LicenseOutcome};
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse, GetLicensorCertificate,
    GetLicensorCertificateResponse, GetServerInfo, GetServerInfoResponse, ServerInfoRequest,
    ServerInfoType, ServerInfoValue, ServiceType,
};
use openrms_protocol::{
    DataVersion, FaultCode, Operation, Service, SoapVersion, VersionData, encode_request,
};
use openrms_xrml::Interval;
use openrms_xrml::rights::Right;
use openrms_xrml::rights_data::{Grantee, RightGrant};
use support::*;

#[test]
fn a_person_joins_publishes_and_another_opens_in_both_versions_of_soap() {
    let server = TestServer::start();
    for soap in [SoapVersion::V11, SoapVersion::V12] {
        let client = Client::new(&server, soap);
        let (alice, bob) = (client.join("alice"), client.join("bob"));
        assert_eq!(alice.email(), "alice@example.test");
        let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
        for license in [draft.sign(&alice), client.publish(&draft).unwrap()] {
            let granted = client.license(&bob, &license).unwrap();
            assert_eq!(names(&granted), ["VIEW"]);
            assert_eq!(bob.open(&granted).expose(), draft.key.expose());
            let owned = client.license(&alice, &license).unwrap();
            assert_eq!(names(&owned), ["OWNER"]);
            assert_eq!(alice.open(&owned).expose(), draft.key.expose());
        }
    }
}

#[test]
fn mode_1_works_from_end_to_end() {
    let server = TestServer::start_with(Mode::One, |_| {});
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let granted = client.license(&bob, &draft.sign(&alice)).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
}

#[test]
fn who_is_not_named_is_refused_and_the_audit_file_says_why() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, carol) = (client.join("alice"), client.join("carol"));
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let fault = client.license(&carol, &draft.sign(&alice)).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::NoRightsForRequestedPrincipal));
    // What the caller is told holds nothing but the exception's name.
    assert_eq!(fault.message, "");

    let lines = server.audit();
    let of = |operation: &str| -> Vec<_> {
        lines
            .iter()
            .filter(|line| line["operation"] == operation)
            .collect()
    };
    assert_eq!(of("Certify").len(), 2);
    assert_eq!(of("Certify")[0]["user"], "alice");
    assert_eq!(of("Certify")[0]["outcome"], "ok");
    assert!(of("Certify")[0]["issued"].is_string());
    assert_eq!(
        of("GetClientLicensorCert")[1]["account"],
        "carol@example.test"
    );
    let refused = of("AcquireLicense")[0];
    assert_eq!(
        refused["outcome"],
        FaultCode::NoRightsForRequestedPrincipal.wire_name()
    );
    assert_eq!(refused["account"], "carol@example.test");
    assert!(refused["reason"].as_str().unwrap().contains("grant"));
    assert!(refused["content"].is_string() && refused["micros"].is_number());
    let whole = std::fs::read_to_string(server.data().join("audit.jsonl")).unwrap();
    assert!(!whole.contains("XrML") && !whole.contains(PASSWORD));
}

#[test]
fn a_wrong_password_and_no_password_are_401_and_leave_a_line() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (_, chain) = client.activate();
    let certify = Operation::from(Certify {
        machine_certificate_chain: chain,
        persistent: true,
    });
    for client in [
        client.clone(),
        client.signed_in("alice", "wrong"),
        client.signed_in("x", "y"),
    ] {
        let answer = client.send(Service::Certification, &certify);
        assert_eq!(answer.status, 401);
        assert!(
            answer
                .header("www-authenticate")
                .starts_with("Basic realm=")
        );
    }
    let lines = server.audit();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["outcome"] == "not-signed-in"));
}

#[test]
fn too_many_wrong_passwords_are_turned_away_and_the_right_one_of_others_is_not() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let locate = Operation::from(FindServiceLocationsForUser {
        services: Vec::new(),
    });
    let locator = Service::CertificationServiceLocator;
    for _ in 0..8 {
        assert_eq!(
            client
                .signed_in("alice", "wrong")
                .send(locator, &locate)
                .status,
            401
        );
    }
    assert_eq!(
        client
            .signed_in("alice", "wrong")
            .send(locator, &locate)
            .status,
        429
    );
    assert_ne!(
        client
            .signed_in("bob", PASSWORD)
            .send(locator, &locate)
            .status,
        429
    );
}

#[test]
fn guesses_that_come_all_at_once_are_no_more_than_those_that_come_in_turn() {
    let server = TestServer::start();
    let locate = Operation::from(FindServiceLocationsForUser {
        services: Vec::new(),
    });
    let guess = || {
        Client::new(&server, SoapVersion::V11)
            .signed_in("alice", "wrong")
            .send(Service::CertificationServiceLocator, &locate)
            .status
    };
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..24).map(|_| scope.spawn(guess)).collect();
        guesses.into_iter().map(|g| g.join().unwrap()).collect()
    });
    let checked = answers.iter().filter(|status| **status == 401).count();
    // Four are checked at a time, so that three may be under way when the eighth fails.
    assert!((8..=11).contains(&checked), "{answers:?}");
}

#[test]
fn nobody_certifies_for_others_and_external_services_answer_faults() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V12);
    let (_, chain) = client.activate();
    let certify = Certify {
        machine_certificate_chain: chain,
        persistent: true,
    };
    for service in [
        Service::MobileCertification,
        Service::ServerCertification,
        Service::CertificationExternal,
    ] {
        let fault = client
            .ask::<CertifyResponse<'static>>(service, certify.clone())
            .unwrap_err();
        assert_eq!(
            fault.code,
            Some(FaultCode::UnauthorizedAccess),
            "{service:?}"
        );
    }
    // An operation at another service's address.
    let body = encode_request(
        SoapVersion::V11,
        Service::Certification.contract(),
        Some(VersionData::CLIENT),
        &certify.into(),
    );
    let url = Service::License.url(server.running.url());
    let answer = post(&url, &[("content-type", "text/xml")], &body);
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("System.InvalidOperationException"));
    let url = Service::Activation.url(server.running.url());
    assert_eq!(
        post(&url, &[("content-type", "text/xml")], &body).status,
        500
    );
}

#[test]
fn servers_tell_about_themselves() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let base = format!("{}/_wmcs", server.running.url());
    for service in [Service::CertificationServer, Service::LicensingServer] {
        let answer: GetLicensorCertificateResponse<'static> =
            client.ask(service, GetLicensorCertificate).unwrap();
        assert_eq!(answer.certificate_chain.len(), 4);
    }
    let kinds = [
        ServerInfoType::VersionInfo,
        ServerInfoType::ServiceLocations,
        ServerInfoType::ServerFeatureInfo,
    ];
    let request = |kind| ServerInfoRequest {
        kind,
        additional_info: None,
    };
    let info: GetServerInfoResponse<'static> = client
        .ask(
            Service::LicensingServer,
            GetServerInfo {
                requests: kinds.into_iter().map(request).collect(),
            },
        )
        .unwrap();
    assert_eq!(
        info.entries[0].value,
        ServerInfoValue::VersionInfo("6.3.0.0".into())
    );
    let ServerInfoValue::ServerFeatureInfo(features) = &info.entries[2].value else {
        panic!("another answer");
    };
    let release = features.iter().find(|feature| feature.name == "Release");
    assert_eq!(release.unwrap().value, env!("CARGO_PKG_VERSION"));

    let services = vec![ServiceType::LicensingInternalService];
    let found: FindServiceLocationsForUserResponse = client
        .signed_in("alice", PASSWORD)
        .ask(
            Service::LicensingServiceLocator,
            FindServiceLocationsForUser { services },
        )
        .unwrap();
    assert_eq!(
        found.locations[0].url.as_deref(),
        Some(format!("{base}/licensing").as_str())
    );
}

#[test]
fn every_service_has_a_wsdl_with_its_own_address() {
    let server = TestServer::start();
    for &service in Service::ALL {
        let url = service.url(server.running.url());
        for query in ["?wsdl", "?WSDL"] {
            let answer = get(&format!("{url}{query}"), &[]);
            assert_eq!(answer.status, 200);
            assert!(answer.header("content-type").starts_with("text/xml"));
            assert!(
                answer.text().contains(&format!("location=\"{url}\"")),
                "{service:?}"
            );
        }
        let page = get(&url, &[]);
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/plain"));
    }
    let other = get(
        &format!("{}?wsdl", Service::License.url(server.running.url())),
        &[("host", "rms.example:8443")],
    );
    assert!(
        other
            .text()
            .contains("\"http://rms.example:8443/_wmcs/licensing/license.asmx\"")
    );
}

#[test]
fn paths_are_found_in_any_case_and_answers_are_compressed_when_asked() {
    let server = TestServer::start();
    let operation = Operation::from(GetLicensorCertificate);
    let body = encode_request(
        SoapVersion::V11,
        Service::LicensingServer.contract(),
        Some(VersionData::CLIENT),
        &operation,
    );
    let url = server.url("/_WMCS/LICENSING/SERVER.ASMX");
    let kind = ("content-type", "text/xml; charset=utf-8");
    let plain = post(&url, &[kind, ("accept-encoding", "identity")], &body);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, ""));

    let raw = raw_post(
        &server,
        "/_wmcs/licensing/server.asmx",
        "Accept-Encoding: gzip\r\n",
        &body,
    );
    let head = String::from_utf8_lossy(&raw).to_lowercase();
    assert!(head.contains("content-encoding: gzip"));
    let start = raw
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&raw[start..]), &mut text)
        .unwrap();
    assert_eq!(text, plain.text());
    assert!(raw.len() < plain.body.len() / 2);
}

fn raw_post(server: &TestServer, path: &str, headers: &str, body: &str) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let address = server.running.url().trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\n{headers}\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn versions_above_the_servers_are_refused_by_name() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let future = VersionData::range(DataVersion(2, 0, 0, 0), DataVersion(2, 0, 0, 0));
    let fault = client
        .with_version(future)
        .ask::<GetLicensorCertificateResponse<'static>>(
            Service::LicensingServer,
            GetLicensorCertificate,
        )
        .unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::UnsupportedDataVersion));

    let body = encode_request(
        SoapVersion::V11,
        Service::LicensingServer.contract(),
        Some(VersionData::CLIENT),
        &GetLicensorCertificate.into(),
    )
    .replace("1.0.0.0", "one");
    let url = Service::LicensingServer.url(server.running.url());
    let answer = post(&url, &[("content-type", "text/xml")], &body);
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("MalformedDataVersionException"));
    let nonsense = post(&url, &[("content-type", "text/xml")], "<nonsense/>");
    assert_eq!(nonsense.status, 500);
    assert!(nonsense.text().contains("soap:Fault"));
}

#[test]
fn items_of_a_batch_fail_alone_and_only_version_1_1_may_ask_for_several() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let (open, closed) = (
        Draft::new(&alice, &[("VIEW", "bob@example.test")]),
        Draft::new(&alice, &[("VIEW", "dave@example.test")]),
    );
    let items = vec![
        bob.params(Some(&open.sign(&alice))),
        bob.params(Some(&closed.sign(&alice))),
    ];
    let request = AcquireLicense { items };
    let answer: AcquireLicenseResponse<'static> = client
        .with_version(VersionData::CLIENT_BATCH)
        .ask(Service::License, request.clone())
        .unwrap();
    let granted = use_license(&answer.items[0]);
    assert_eq!(bob.open(&granted).expose(), open.key.expose());
    let LicenseOutcome::Exception(exception) = &answer.items[1] else {
        panic!("refused")
    };
    assert_eq!(exception.batch_index, 1);
    assert_eq!(
        exception.fault.code,
        Some(FaultCode::NoRightsForRequestedPrincipal)
    );

    let lines = server.audit();
    let items: Vec<_> = lines
        .iter()
        .filter(|line| line["item"].is_number())
        .collect();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["request"], items[1]["request"]);
    assert_eq!(
        (&items[0]["outcome"], &items[0]["ground"]),
        (&"ok".into(), &"rights".into())
    );

    let fault = client
        .ask::<AcquireLicenseResponse<'static>>(Service::License, request)
        .unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::UnspecifiedError));
}

#[test]
fn members_of_nested_groups_are_licensed_and_a_changed_list_counts_at_once() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, dave) = (client.join("alice"), client.join("dave"));
    let license = Draft::new(&alice, &[("VIEW", "staff@example.test")]).sign(&alice);
    assert_eq!(names(&client.license(&dave, &license).unwrap()), ["VIEW"]);

    let group = "nested@example.test".parse().unwrap();
    let dave_member = openrms_directory::Member::parse("dave").unwrap();
    openrms_server::people::edit(&server.data().join("people.toml"), |people| {
        people.remove_member(&group, &dave_member)
    })
    .unwrap();
    server.running.reload_now().unwrap();
    let fault = client.license(&dave, &license).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::NoRightsForRequestedPrincipal));
}

#[test]
fn a_license_whose_time_is_over_is_not_licensed() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let over = Interval {
        from: now().plus_days(0).plus(-7200),
        until: now().plus(-3600),
    };

    let mut draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    draft.content.validity = Some(over);
    let fault = client.license(&bob, &draft.sign(&alice)).unwrap_err();
    assert_eq!(
        fault.code,
        Some(FaultCode::IssuanceLicenseIsNotWithinValidTimeRange)
    );

    let ended = Draft::build(&alice, |request| {
        request.precondition.range = Some(over);
        let holder = Grantee::Address("bob@example.test".into());
        request.grants = vec![RightGrant::new(Right::new("VIEW"), holder)];
    });
    let fault = client.license(&bob, &ended.sign(&alice)).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::NoRightsForRequestedPrincipal));
}

#[test]
fn one_server_opens_nothing_of_another() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let (client, other) = (
        Client::new(&here, SoapVersion::V11),
        Client::new(&there, SoapVersion::V11),
    );
    let (alice, stranger) = (client.join("alice"), other.join("bob"));
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    let fault = client.license(&stranger, &license).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::UntrustedPersonaCert));
    let fault = other.license(&stranger, &license).unwrap_err();
    assert_eq!(
        fault.code,
        Some(FaultCode::RightsLabelNoMatchingIssuedPrincipal)
    );
}
