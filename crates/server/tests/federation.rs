//! People of other organizations over real sockets: at which paths they sign in, and what they get
//! there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openrms_crypto::{Mode, SoftwareKey};
use openrms_protocol::certification::{Certify, CertifyResponse};
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseResponse};
use openrms_protocol::publishing::{GetClientLicensorCert, GetClientLicensorCertResponse};
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse, GetLicensorCertificate,
    GetLicensorCertificateResponse, ServiceType,
};
use openrms_protocol::{CertificateChain, FaultCode, Service, SoapVersion};
use openrms_server::Config;
use openrms_xrml::rac::{AccountCertificate, AccountType};
use serde_json::{Value, json};
use support::*;

#[test]
fn a_federated_person_has_paths_of_their_own_and_nobody_else_has() {
    let issuer = Issuer::start();
    let server = federation(&issuer);
    let bare = Client::new(&server, SoapVersion::V11);
    let alice = bare.join("alice");
    let draft = Draft::new(&alice, &[("VIEW", PAT)]);
    let license = draft.sign(&alice);
    let pat = bare.with_token(&issuer.token(&json!({ "email": PAT })));

    // In any case, as the ordinary paths.
    let (key, certify) = certify(&bare);
    let answer: CertifyResponse<'static> = pat
        .ask(Service::CertificationExternal, certify.clone())
        .unwrap();
    let chain = answer.certificate_chain;
    let rac = AccountCertificate::new(verified(&chain)).unwrap();
    assert_eq!(rac.account().account_type, AccountType::Federation);
    assert_eq!(rac.account().email, PAT);
    let person = Person::of(&bare, (key, chain), Service::PublishExternal);

    // Nobody needs the token for what the certificate says.
    let request = AcquireLicense::single(person.params(Some(&license)));
    let answer: AcquireLicenseResponse<'static> =
        bare.ask(Service::LicenseExternal, request).unwrap();
    let opened = person.open(&use_license(&answer.items[0]));
    assert_eq!(opened.expose(), draft.key.expose());
    for service in [
        Service::CertificationExternalServer,
        Service::LicensingExternalServer,
    ] {
        let slc: GetLicensorCertificateResponse<'static> =
            bare.ask(service, GetLicensorCertificate).unwrap();
        assert_eq!(slc.certificate_chain.len(), 4);
    }
    for service in [
        Service::CertificationExternalServiceLocator,
        Service::LicensingExternalServiceLocator,
    ] {
        let services = vec![ServiceType::LicensingInternalService];
        let ask = FindServiceLocationsForUser { services };
        let found: FindServiceLocationsForUserResponse = pat.ask(service, ask).unwrap();
        assert!(found.locations[0].url.is_some());
    }

    // Passwords at the external paths, the token at the others, her certificate at his paths.
    let status = |client: &Client<'_>, service| {
        let answer = client.send(service, &certify.clone().into());
        let offers = answer.headers.get_all("www-authenticate");
        let offers: Vec<_> = offers.iter().map(|o| o.to_str().unwrap()).collect();
        (answer.status, offers.join(","))
    };
    let by_password = bare.signed_in("alice", PASSWORD);
    let (refused, offers) = status(&by_password, Service::CertificationExternal);
    assert_eq!(
        (refused, offers.as_str()),
        (401, "Bearer realm=\"OpenRMS\"")
    );
    let (refused, offers) = status(&pat, Service::Certification);
    assert_eq!(refused, 401);
    assert!(!offers.contains("Bearer"), "{offers}");
    let request = GetClientLicensorCert {
        persona_certs: vec![alice.rac_chain],
    };
    let fault = bare
        .ask::<GetClientLicensorCertResponse<'static>>(Service::PublishExternal, request)
        .unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::UnauthorizedAccess));

    let audit = server.audit();
    let written = |line: &&Value| line["user"] == PAT && line["operation"] == "Certify";
    let line = audit.iter().find(written).unwrap();
    assert_eq!(
        (&line["outcome"], &line["account"]),
        (&json!("ok"), &json!(PAT))
    );
}

#[test]
fn whom_the_issuer_may_not_speak_for_is_refused() {
    let issuer = Issuer::start();
    let server = federation(&issuer);
    let bare = Client::new(&server, SoapVersion::V11);
    let (_, certify) = certify(&bare);
    let answer = |claims: &Value| {
        let client = bare.with_token(&issuer.token(claims));
        client.send(Service::CertificationExternal, &certify.clone().into())
    };
    for other in ["pat@elsewhere.test", "alice@example.test", "pat@test"] {
        assert_eq!(answer(&json!({ "email": other })).status, 401, "{other}");
    }
    for none in [json!({ "email": "pat" }), json!({})] {
        let refused = answer(&none);
        assert_eq!(refused.status, 500);
        let fault = "Microsoft.DigitalRightsManagement.Core.VerifyEmailAddressFailedException";
        assert!(refused.text().contains(fault), "{}", refused.text());
    }
    let forged = Issuer::start().token(&json!({ "email": PAT }));
    let forged = bare.with_token(&forged);
    let refused = forged.send(Service::CertificationExternal, &certify.into());
    assert_eq!(refused.status, 401);
}

#[test]
fn the_paths_are_there_with_federation_alone() {
    let issuer = Issuer::start();
    let server = federation(&issuer);
    let data = text(&server.data());
    let bare = Client::new(&server, SoapVersion::V11);
    let pat = bare.with_token(&issuer.token(&json!({ "email": PAT })));
    let (_, request) = certify(&bare);
    let ask = || {
        pat.ask::<CertifyResponse<'static>>(Service::CertificationExternal, request.clone())
            .map(|answer| answer.certificate_chain)
    };
    let license = |chain: &CertificateChain<'static>| {
        let request = GetClientLicensorCert {
            persona_certs: vec![chain.clone()],
        };
        bare.ask::<GetClientLicensorCertResponse<'static>>(Service::Publish, request)
    };
    // What asks nothing of the caller.
    let slc = || {
        let service = Service::LicensingExternalServer;
        bare.ask::<GetLicensorCertificateResponse<'static>>(service, GetLicensorCertificate)
    };
    let chain = ask().unwrap();
    assert!(license(&chain).is_ok() && slc().is_ok());

    let (code, out, _) = rmsd(&["federation", "disable", "--data", &data, "--json"], "");
    assert_eq!(code, 0);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["enabled"], false);
    assert_eq!(told["issuers"], json!([issuer.url]));
    server.running.reload_now().unwrap();
    assert_eq!(ask().unwrap_err().code, Some(FaultCode::UnauthorizedAccess));
    assert_eq!(slc().unwrap_err().code, Some(FaultCode::UnauthorizedAccess));
    assert_eq!(
        license(&chain).unwrap_err().code,
        Some(FaultCode::UnexpectedPersonaCert)
    );

    let enable = ["federation", "enable", "--rac-hours", "8", "--data", &data];
    assert_eq!(rmsd(&enable, "").0, 0);
    server.running.reload_now().unwrap();
    let rac = AccountCertificate::new(verified(&ask().unwrap())).unwrap();
    let validity = rac.validity().unwrap();
    let seconds = validity.until.unix() - now().unix();
    assert!(
        (8 * 3600 - 60..=8 * 3600 + 60).contains(&seconds),
        "{seconds}"
    );
    let (_, out, _) = rmsd(&["federation", "show", "--data", &data], "");
    assert!(
        out.contains("8 hours") && out.contains(&issuer.url),
        "{out}"
    );
    assert_ne!(rmsd(&["federation", "enable", "--rac-hours", "0"], "").0, 0);
}

#[test]
fn an_issuer_that_would_speak_for_the_servers_own_people_keeps_it_from_starting() {
    let server = TestServer::start();
    let data = server.data();
    add_issuer(&data, "https://login.example", "Example.test");
    let mut config = Config::for_data_dir(&data).unwrap();
    config.listen = vec![([127, 0, 0, 1], 0).into()];
    let error = openrms_server::Server::start(config).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("https://login.example"), "{error}");
    assert!(error.contains("example.test"), "{error}");
}

/// A server that takes the issuer's word for people of partner.test.
fn federation(issuer: &Issuer) -> TestServer {
    let server = TestServer::start_with(Mode::Two, |config| {
        let data = config.data.path().to_owned();
        add_issuer(&data, &issuer.url, "partner.test");
        let limits = config.limits.clone();
        *config = Config::for_data_dir(data).unwrap();
        config.limits = limits;
        config.audit = Some(config.data.audit());
    });
    let data = text(&server.data());
    assert_eq!(rmsd(&["federation", "enable", "--data", &data], "").0, 0);
    server.running.reload_now().unwrap();
    server
}

fn add_issuer(data: &std::path::Path, url: &str, domain: &str) {
    let file = data.join("rmsd.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let issuer = format!(
        "[[sign_in.tokens.issuers]]\nissuer = \"{url}\"\naudiences = [\"{AUDIENCE}\"]\n\
         mail_domains = [\"{domain}\"]\nfederated = true\n"
    );
    std::fs::write(&file, format!("{written}\n{issuer}")).unwrap();
}

fn certify(client: &Client<'_>) -> (SoftwareKey, Certify<'static>) {
    let (key, machine_certificate_chain) = client.activate();
    let request = Certify {
        machine_certificate_chain,
        persistent: true,
    };
    (key, request)
}

/// An issuer of tokens on this machine, with one key, for as long as the test runs.
struct Issuer {
    url: String,
    key: EncodingKey,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let keys = json!({ "keys": [jwk] }).to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &discovery, &keys);
            }
        });
        Self { url, key }
    }

    fn token(&self, claims: &Value) -> String {
        let mut all = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "1", "exp": now().unix() + 600,
        });
        let members = all.as_object_mut().unwrap();
        members.extend(claims.as_object().unwrap().clone());
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &all, &self.key).unwrap()
    }
}

fn answer(mut stream: TcpStream, discovery: &str, keys: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let body = if first.contains("/keys") {
        keys
    } else {
        discovery
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let length = body.len();
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
}

const AUDIENCE: &str = "https://rights.example.test/";
const PAT: &str = "pat@partner.test";
