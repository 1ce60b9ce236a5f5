//! Who is let in where, over real sockets: behind proxies, with client certificates, at closed
//! services, and where services are for other servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use openrms_protocol::binary_group_expansion::{self as binary, ProductVersion};
use openrms_protocol::group_expansion::IsPrincipalMemberOf;
use openrms_protocol::server::{
    FindServiceLocations, FindServiceLocationsForUser, FindServiceLocationsResponse, ServiceType,
};
use openrms_protocol::{
    FaultCode, Limits, Operation, Service, SoapVersion, VersionData, encode_request,
};
use openrms_server::access::{AccessRules, GroupRef, Part, PartRule};
use openrms_server::config::{Certificates, Tls};
use openrms_server::forests::ForestsConfig;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Server};
use support::*;

#[test]
fn a_listed_proxy_says_who_is_behind_it_and_how_they_came() {
    let proxies = toml::from_str::<toml::Table>("it = [\"127.0.0.1\"]").unwrap();
    let proxies = proxies["it"].clone().try_into().unwrap();
    let behind = TestServer::start_with(openrms_crypto::Mode::Two, |config| {
        config.proxies = proxies;
    });
    let bare = TestServer::start();
    let ask = |server: &TestServer, scheme: &str| {
        let url = Service::LicensingServiceLocator.url(server.running.url());
        let login = basic("alice", PASSWORD);
        let headers = [
            ("content-type", "text/xml"),
            ("authorization", login.as_str()),
            ("x-forwarded-for", "127.0.0.1, 198.51.100.7"),
            ("x-forwarded-proto", scheme),
        ];
        post(&url, &headers, &where_are(SoapVersion::V11)).status
    };
    // Over the network in the clear, no password is looked at.
    assert_eq!(ask(&behind, "http"), 403);
    assert_eq!(ask(&behind, "https"), 200);
    let audit = behind.audit();
    let peer = audit.last().unwrap()["peer"].as_str().unwrap();
    assert!(peer.starts_with("198.51.100.7"), "{peer}");
    // Whoever is not listed as a proxy is a program on this machine, whatever it says.
    assert_eq!(ask(&bare, "http"), 200);
}

#[test]
fn a_certificate_lets_in_whom_it_names_and_a_strangers_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for authority in ["ours", "theirs"] {
        make_authority(folder.path(), authority);
    }
    let alice = people();
    let sid = alice.people()[0].sid.to_string();
    let by_sid = security_extension(&sid);
    let mail = "subjectAltName=email:alice@example.test";
    make_certificate(folder.path(), "ours", "by-mail", mail);
    make_certificate(folder.path(), "theirs", "stranger", mail);
    make_certificate(folder.path(), "ours", "by-sid", &by_sid);
    let gone = security_extension("S-1-5-21-9-9-9-1101");
    // A SID that nobody has is not looked for by another name.
    make_certificate(folder.path(), "ours", "gone", &format!("{gone}\n{mail}"));
    make_certificate(
        folder.path(),
        "ours",
        "server",
        "subjectAltName=DNS:localhost",
    );
    for by_mail in [false, true] {
        let address: SocketAddr = {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap()
        };
        let data = at(&format!("data-{by_mail}"));
        let url = format!("https://localhost:{}", address.port());
        provision_root(&RootOptions {
            people: Some(alice.clone()),
            ..RootOptions::new(&data, &url)
        })
        .unwrap();
        let mut config = Config::for_data_dir(&data).unwrap();
        config.listen = Vec::new();
        config.audit = Some(config.data.audit());
        config.tls = Some(Tls {
            listen: vec![address],
            certificate: at("server.pem"),
            key: at("server.key"),
        });
        config.certificates = Some(Certificates {
            authorities: at("ours.pem"),
            by_mail,
        });
        let _running = Server::start(config).unwrap();
        let ask = |name: Option<&str>| curl(folder.path(), &url, name);
        assert_eq!(ask(None), Some(401));
        assert_eq!(ask(Some("by-sid")), Some(200), "by_mail {by_mail}");
        assert_eq!(ask(Some("gone")), Some(401));
        let expected = if by_mail { 200 } else { 401 };
        assert_eq!(ask(Some("by-mail")), Some(expected));
        // The connection ends before a request is read.
        assert_eq!(ask(Some("stranger")), None);
        let audit = std::fs::read_to_string(data.join("audit.jsonl")).unwrap();
        assert!(audit.contains("\"user\":\"alice\""), "{audit}");
    }
}

#[test]
fn group_expansion_answers_those_it_is_open_to_in_both_forms_and_writes_it_down() {
    let staff = GroupRef::try_from("staff@example.test".to_owned()).unwrap();
    let rule = PartRule {
        groups: vec![staff],
        ..PartRule::default()
    };
    let open = TestServer::start_with(openrms_crypto::Mode::Two, |config| {
        config.access = AccessRules::new([(Part::GroupExpansion, rule)].into()).unwrap();
        config.forests = Some(ForestsConfig::default());
    });
    let closed = TestServer::start();
    let ask = |server: &TestServer, who: Option<&str>, member: &str| {
        let question = IsPrincipalMemberOf::new(
            format!("mail={member}@example.test"),
            vec!["mail=staff@example.test".to_owned()],
        );
        let body = binary::encode_request(&binary::Request {
            version: ProductVersion::V1_0Sp1,
            question,
        });
        let url = binary::http::url(server.running.url());
        let mut request = agent()
            .post(&url)
            .header("content-type", binary::http::CONTENT_TYPE);
        if let Some(who) = who {
            request = request.header("authorization", basic(who, PASSWORD));
        }
        let mut answer = request.send(&body[..]).unwrap();
        let body = answer.body_mut().read_to_vec().unwrap();
        (answer.status().as_u16(), body)
    };
    let is_member = |body: &[u8]| match binary::parse_response(body, &Limits::client()).unwrap() {
        binary::Response::Answer(answer) => {
            assert_eq!(answer.version, ProductVersion::V1_0Sp1);
            Ok(answer.is_member)
        }
        binary::Response::Exception(exception) => Err(exception.text()),
    };
    assert_eq!(is_member(&ask(&open, Some("bob"), "dave").1), Ok(true));
    assert_eq!(is_member(&ask(&open, Some("bob"), "alice").1), Ok(false));
    assert_eq!(ask(&open, None, "dave").0, 401);
    for (server, who) in [(&open, "alice"), (&closed, "bob")] {
        let (status, body) = ask(server, Some(who), "dave");
        let refusal = is_member(&body).unwrap_err();
        assert_eq!(status, 200);
        assert!(refusal.contains("UnauthorizedAccess"), "{refusal}");
    }
    let garbage = post(
        &binary::http::url(open.running.url()),
        &[("content-type", "text/xml")],
        "<?xml?>",
    );
    assert_eq!((garbage.status, garbage.body.len()), (400, 0));
    let audit = open.audit();
    let told: Vec<_> = audit
        .iter()
        .map(|line| (line["user"].as_str(), line["outcome"].as_str().unwrap()))
        .collect();
    assert!(told.contains(&(Some("bob"), "ok")), "{told:?}");
    assert_eq!(
        audit.iter().filter(|l| l["outcome"] == "ok").count(),
        2,
        "{told:?}"
    );
}

#[test]
fn other_servers_are_told_where_the_files_are_and_what_there_is_not() {
    let server = TestServer::start_with(openrms_crypto::Mode::Two, |config| {
        config.forests = Some(ForestsConfig::default());
    });
    let client = Client::new(&server, SoapVersion::V11);
    let services = vec![
        ServiceType::GroupExpansionService,
        ServiceType::DrmRemoteDirectoryServices,
        ServiceType::LicensingInternalService,
        ServiceType::LicensingService,
    ];
    let answer: FindServiceLocationsResponse = client
        .ask(
            Service::CertificationServer,
            FindServiceLocations { services },
        )
        .unwrap();
    let urls: Vec<_> = answer.locations.iter().map(|l| l.url.as_deref()).collect();
    let base = server.running.url();
    let expected = [
        Service::GroupExpansion.url(base),
        binary::http::url(base),
        Service::License.url(base),
    ];
    assert_eq!(urls[..3], expected.each_ref().map(|url| Some(url.as_str())));
    assert_eq!(urls[3].unwrap_or_default(), "");
    // A service that clients alone may ask about.
    let services = vec![ServiceType::EnrollmentService];
    let fault = client
        .ask::<FindServiceLocationsResponse>(
            Service::CertificationServer,
            FindServiceLocations { services },
        )
        .unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::Argument));
}

/// A request whose answer is about the caller.
fn where_are(soap: SoapVersion) -> String {
    let services = vec![ServiceType::LicensingInternalService];
    encode_request(
        soap,
        Service::LicensingServiceLocator.contract(),
        Some(VersionData::CLIENT),
        &Operation::FindServiceLocationsForUser(FindServiceLocationsForUser { services }),
    )
}

/// Asks with curl, perhaps with a client certificate; the status, when there is an answer.
fn curl(folder: &Path, url: &str, certificate: Option<&str>) -> Option<u16> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}"])
        .arg("--cacert")
        .arg(folder.join("ours.pem"))
        .args(["--header", "content-type: text/xml", "--data-binary"])
        .arg(where_are(SoapVersion::V11))
        .arg(Service::LicensingServiceLocator.url(url));
    if let Some(name) = certificate {
        curl.arg("--cert").arg(folder.join(format!("{name}.pem")));
        curl.arg("--key").arg(folder.join(format!("{name}.key")));
    }
    let output = curl.output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| status.parse().unwrap())
}

fn make_authority(folder: &Path, name: &str) {
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &format!("/CN={name}"),
        "-out",
        &path(folder, name, "pem"),
        "-keyout",
        &path(folder, name, "key"),
    ]);
}

fn make_certificate(folder: &Path, authority: &str, name: &str, extensions: &str) {
    let file = path(folder, name, "ext");
    std::fs::write(&file, extensions).unwrap();
    let request = path(folder, name, "csr");
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        &format!("/CN={name}"),
        "-out",
        &request,
        "-keyout",
        &path(folder, name, "key"),
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &path(folder, authority, "pem"),
        "-CAkey",
        &path(folder, authority, "key"),
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &file,
        "-out",
        &path(folder, name, "pem"),
    ]);
}

/// `szOID_NTDS_CA_SECURITY_EXT`, as the authority of a domain writes it.
fn security_extension(sid: &str) -> String {
    let tlv = |tag: u8, inside: &[u8]| {
        let mut out = vec![tag, u8::try_from(inside.len()).unwrap()];
        out.extend_from_slice(inside);
        out
    };
    let oid = [
        0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x19, 0x02, 0x01,
    ];
    let text = tlv(0xa0, &tlv(0x04, sid.as_bytes()));
    let value = tlv(0x30, &tlv(0xa0, &[&oid[..], &text].concat()));
    let hex: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("1.3.6.1.4.1.311.25.2=DER:{}", hex.join(":"))
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl")
        .args(arguments)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{arguments:?}");
}

fn path(folder: &Path, name: &str, kind: &str) -> String {
    folder.join(format!("{name}.{kind}")).display().to_string()
}
