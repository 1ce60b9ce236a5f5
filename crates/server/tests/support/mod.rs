//! A provisioned server on a free port of this machine, and a client made of bare builders that
//! talks to it over HTTP.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{Cipher, ContentKey, Digest, Mode, PrivateKey, SoftwareKey, erd};
use openrms_directory::{Member, NewPerson, People};
use openrms_protocol::certification::{Certify, CertifyResponse};
use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseParams, AcquireLicenseResponse, LicenseOutcome,
};
use openrms_protocol::publishing::{
    AcquireIssuanceLicense, AcquireIssuanceLicenseResponse, GetClientLicensorCert,
    GetClientLicensorCertResponse,
};
use openrms_protocol::{
    CertificateChain, CertificateText, Fault, Limits, Operation, Response, Service, ServiceLevel,
    SoapVersion, VersionData, encode_request, parse_response,
};
use openrms_server::provision::{Authority, RootOptions, provision_root};
use openrms_server::{ClientBundle, Config, Running, Server, client_bundle};
use openrms_xrml::author_proof::{AUTHOR_PROOF_NAME, author_proof};
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::pl::{Descriptor, PlContent};
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest};
use openrms_xrml::spc::{ActivationLocation, SpcRequest};
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{EnablingBits, Guid, Identity, Object, SharedNode, Time, chain};

pub const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
pub const PASSWORD: &str = "correct horse";

/// A server that is gone, with all it kept, when this is dropped.
pub struct TestServer {
    pub running: Running,
    pub bundle: ClientBundle,
    pub mode: Mode,
    pub folder: tempfile::TempDir,
}

impl TestServer {
    pub fn start() -> Self {
        Self::start_with(Mode::Two, |_| {})
    }

    /// One that behaves as that version of RMS. Of mode 1, which all of them serve.
    pub fn at_level(level: ServiceLevel) -> Self {
        Self::start_with(Mode::One, |config| config.service_level = level)
    }

    /// One that was set up as that version of RMS, and certified by another one's authority.
    pub fn enrolled_at(level: ServiceLevel, authority: &Self) -> Self {
        let service = Service::Enrollment.url(authority.running.url());
        let set_up = |options: &mut RootOptions| {
            options.mode = authority.mode;
            options.service_level = level;
            options.authority = Authority::Enroll(service);
        };
        Self::set_up(set_up, |_| {})
    }

    pub fn start_with(mode: Mode, edit: impl FnOnce(&mut Config)) -> Self {
        Self::set_up(|options| options.mode = mode, edit)
    }

    fn set_up(options: impl FnOnce(&mut RootOptions), edit: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut chosen = RootOptions {
            people: Some(people()),
            contact: Some("rms-admin@example.test".into()),
            ..RootOptions::new(&data, &url)
        };
        options(&mut chosen);
        provision_root(&chosen).unwrap();
        let mut config = Config::for_data_dir(&data).unwrap();
        config.limits.spare_keys = 0;
        config.audit = Some(config.data.audit());
        edit(&mut config);
        let running = Server::start_with_listener(config, listener).unwrap();
        let bundle = client_bundle(&data).unwrap();
        Self {
            running,
            bundle,
            mode: chosen.mode,
            folder,
        }
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url())
    }

    pub fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.data().join("audit.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn admin_token(&self) -> String {
        std::fs::read_to_string(self.data().join("admin.token")).unwrap()
    }
}

/// A client at a server, with a version of SOAP and perhaps credentials.
#[derive(Clone)]
pub struct Client<'s> {
    pub server: &'s TestServer,
    pub soap: SoapVersion,
    pub version: VersionData,
    /// What goes into the header.
    pub authorization: Option<String>,
}

/// An answer of HTTP.
pub struct HttpAnswer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}

pub fn get(url: &str, headers: &[(&str, &str)]) -> HttpAnswer {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.call().unwrap())
}

pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send(body).unwrap())
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> HttpAnswer {
    let body = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec()
        .unwrap();
    HttpAnswer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body,
    }
}

pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

impl<'s> Client<'s> {
    pub fn new(server: &'s TestServer, soap: SoapVersion) -> Self {
        Self {
            server,
            soap,
            version: VersionData::CLIENT,
            authorization: None,
        }
    }

    pub fn signed_in(&self, name: &str, password: &str) -> Self {
        Self {
            authorization: Some(basic(name, password)),
            ..self.clone()
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            authorization: Some(format!("Bearer {token}")),
            ..self.clone()
        }
    }

    pub fn with_version(&self, version: VersionData) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }

    /// Posts an operation.
    pub fn send(&self, service: Service, operation: &Operation<'_>) -> HttpAnswer {
        let contract = service.contract();
        let body = encode_request(self.soap, contract, Some(self.version), operation);
        let action = contract.soap_action(operation.name());
        let url = service.url(self.server.running.url());
        let kind = self.soap.request_content_type(&action);
        let mut headers = vec![("content-type", kind.as_str())];
        let quoted = format!("\"{action}\"");
        if self.soap == SoapVersion::V11 {
            headers.push(("soapaction", &quoted));
        }
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization));
        }
        post(&url, &headers, &body)
    }

    /// Posts an operation and reads the answer.
    pub fn ask<T>(
        &self,
        service: Service,
        operation: impl Into<Operation<'static>>,
    ) -> Result<T, Fault>
    where
        T: TryFrom<Response<'static>, Error: std::fmt::Debug>,
    {
        let operation = operation.into();
        let answer = self.send(service, &operation);
        // Answers borrow from the body; a test can afford to keep it.
        let body: &'static [u8] = answer.body.leak();
        let read = parse_response(operation.name(), body, &Limits::client())
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)));
        assert_eq!(read.soap, self.soap);
        assert_eq!(answer.status, if read.outcome.is_ok() { 200 } else { 500 });
        read.outcome.map(|response| T::try_from(response).unwrap())
    }

    /// Activates a machine, certifies a person, gets a CLC.
    pub fn join(&self, name: &str) -> Person {
        let (machine_key, spc_chain) = self.activate();
        let certify = Certify {
            machine_certificate_chain: spc_chain,
            persistent: true,
        };
        let answer: CertifyResponse<'static> = self
            .signed_in(name, PASSWORD)
            .ask(Service::Certification, certify)
            .unwrap();
        let rac = (machine_key, answer.certificate_chain);
        Person::of(self, rac, Service::Publish)
    }

    /// A security processor certificate, made by the client itself.
    pub fn activate(&self) -> (SoftwareKey, CertificateChain<'static>) {
        let trust = &self.server.bundle.trust;
        let issuer_key = SoftwareKey::from_pem(&trust.spc_issuer_key_pem).unwrap();
        let above = chain::parse(&trust.spc_issuer_chain).unwrap();
        let key = SoftwareKey::generate(self.server.mode).unwrap();
        let hash = self.server.mode.hash();
        let spc = SpcRequest {
            id: guid(),
            issued: now(),
            issuer: Identity::of_principal(&above[0]).unwrap(),
            location: ActivationLocation::Machine("file:///rms".into()),
            machine: guid(),
            key: key.public().clone(),
            hardware: Digest::of(hash, b"machine"),
            platform: "2.6.1.0".into(),
            manufacturer: "OpenRMS".into(),
            repository: "OpenRMS test 6.1.0.0".into(),
        }
        .sign(&issuer_key, hash)
        .unwrap();
        let text = spc + &trust.spc_issuer_chain;
        (key, CertificateChain::split(&text).unwrap().into_owned())
    }

    /// On-line publishing.
    pub fn publish(&self, draft: &Draft) -> Result<CertificateChain<'static>, Fault> {
        let text = CertificateText::new(draft.content.unsigned()).unwrap();
        let request = AcquireIssuanceLicense {
            unsigned_issuance_licenses: vec![text],
        };
        let answer: AcquireIssuanceLicenseResponse<'static> =
            self.ask(Service::Publish, request)?;
        Ok(answer.certificate_chains.into_iter().next().unwrap())
    }

    /// A use license for one content.
    pub fn license(
        &self,
        who: &Person,
        license: &CertificateChain<'static>,
    ) -> Result<UseLicense, Fault> {
        let request = AcquireLicense::single(who.params(Some(license)));
        let answer: AcquireLicenseResponse<'static> = self.ask(Service::License, request)?;
        Ok(use_license(&answer.items[0]))
    }
}

pub fn use_license(outcome: &LicenseOutcome<'static>) -> UseLicense {
    match outcome {
        LicenseOutcome::License {
            certificate_chain, ..
        } => UseLicense::new(verified(certificate_chain)).unwrap(),
        LicenseOutcome::Exception(exception) => panic!("{exception:?}"),
    }
}

/// A person on an activated machine.
pub struct Person {
    pub rac: AccountCertificate,
    pub rac_key: SoftwareKey,
    pub rac_chain: CertificateChain<'static>,
    pub clc: ClientLicensorCertificate,
    pub clc_key: SoftwareKey,
    pub clc_chain: CertificateChain<'static>,
}

impl Person {
    /// Of a machine's key and the RAC that was issued for it; gets a CLC.
    pub fn of(
        client: &Client<'_>,
        (machine_key, rac_chain): (SoftwareKey, CertificateChain<'static>),
        publish: Service,
    ) -> Self {
        let rac = AccountCertificate::new(verified(&rac_chain)).unwrap();
        let rac_key = open_private(&machine_key, rac.sealed_key().unwrap());
        let request = GetClientLicensorCert {
            persona_certs: vec![rac_chain.clone()],
        };
        let answer: GetClientLicensorCertResponse<'static> = client.ask(publish, request).unwrap();
        let clc_chain = answer.certificate_chains.into_iter().next().unwrap();
        let clc = ClientLicensorCertificate::new(verified(&clc_chain)).unwrap();
        let clc_key = open_private(&rac_key, clc.sealed_key().unwrap());
        Self {
            rac,
            rac_key,
            rac_chain,
            clc,
            clc_key,
            clc_chain,
        }
    }

    pub fn email(&self) -> &str {
        &self.rac.account().email
    }

    pub fn params(
        &self,
        license: Option<&CertificateChain<'static>>,
    ) -> AcquireLicenseParams<'static> {
        AcquireLicenseParams {
            licensee_certs: self.rac_chain.clone(),
            issuance_license: license.cloned(),
            application_data: None,
        }
    }

    /// The content key of a use license.
    pub fn open(&self, license: &UseLicense) -> ContentKey {
        let sealed = license.sealed_key().unwrap();
        let opened = sealed_key::open(&self.rac_key, sealed.version, &sealed.bytes).unwrap();
        match opened.payload {
            OpenedPayload::ContentKey(key) => key,
            OpenedPayload::PrivateKey(_) => panic!("a use license seals a content key"),
        }
    }
}

/// Content of an author, before its license is signed.
pub struct Draft {
    pub key: ContentKey,
    pub content: PlContent,
}

impl Draft {
    /// Content with these rights.
    pub fn new(author: &Person, grants: &[(&str, &str)]) -> Self {
        Self::build(author, |request| {
            let grant = |(right, who): &(&str, &str)| {
                RightGrant::new(Right::new(right), Grantee::Address((*who).into()))
            };
            request.grants = grants.iter().map(grant).collect();
        })
    }

    pub fn build(author: &Person, edit: impl FnOnce(&mut RightsDataRequest)) -> Self {
        let owner = author.rac.account().object();
        let mut request = RightsDataRequest {
            issued: now(),
            descriptor: None,
            referral: None,
            content_id: guid(),
            owner: owner.clone(),
            precondition: TimeCondition::default(),
            grants: Vec::new(),
            app_data: Vec::new(),
            policy_lists: Vec::new(),
        };
        edit(&mut request);
        Self::of_rights(author, request.content_id, owner, &request.text(), None)
    }

    /// Content under an official template.
    pub fn of_template(author: &Person, template: &str) -> Self {
        let node = openrms_xrml::Node::parse(template).unwrap();
        let descriptor = node
            .slice(node.content().descriptor_raw.as_ref().unwrap())
            .to_owned();
        let owner = author.rac.account().object();
        let descriptor = Some(Descriptor::Verbatim(descriptor));
        Self::of_rights(author, guid(), owner, template, descriptor)
    }

    fn of_rights(
        author: &Person,
        content_id: Guid,
        owner: Object,
        rights: &str,
        descriptor: Option<Descriptor>,
    ) -> Self {
        let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256).unwrap();
        let utf16: Vec<u8> = rights.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encrypted_rights = erd::encrypt(&key, &utf16);
        let server = author.clc.server().unwrap();
        let mode = if server.key().bits() == 1024 {
            Mode::One
        } else {
            Mode::Two
        };
        let version = mode.sealed_key_version();
        let bound = Digest::of_utf16le(version.hash(), &PlContent::binding_text(&server));
        let bytes =
            sealed_key::seal(server.key(), version, Payload::ContentKey(&key), &bound).unwrap();
        let issued = now().floor_minute();
        let address = owner.name.as_deref().unwrap();
        let proof = author_proof(&key, address, issued, &encrypted_rights).unwrap();
        let proof = openrms_xrml::values::encode_base64(&proof);
        let content = PlContent {
            issued,
            validity: None,
            descriptor,
            server,
            sealed_key: EnablingBits { version, bytes },
            referral: None,
            content_id,
            owner,
            encrypted_rights,
            extra: vec![("APPSPECIFIC".into(), AUTHOR_PROOF_NAME.into(), proof)],
        };
        Self { key, content }
    }

    /// Off-line publishing.
    pub fn sign(&self, author: &Person) -> CertificateChain<'static> {
        let identity = Identity::of_principal(author.clc.node()).unwrap();
        let urls: Vec<_> = author.clc.licensing_urls().collect();
        let hash = author.clc.node().signature().unwrap().digest.algorithm();
        let text = self
            .content
            .sign(&identity, (urls[0], None), &author.clc_key, hash)
            .unwrap();
        let mut nodes = vec![CertificateText::new(text).unwrap()];
        nodes.extend(author.clc_chain.0.iter().cloned());
        CertificateChain(nodes)
    }
}

pub fn names(license: &UseLicense) -> Vec<&str> {
    license
        .rights()
        .iter()
        .map(|entry| entry.right.name())
        .collect()
}

pub fn verified(chain: &CertificateChain<'_>) -> SharedNode {
    let node = openrms_xrml::Node::parse(chain.leaf().unwrap().as_str()).unwrap();
    Arc::new(node.verify().unwrap())
}

pub fn guid() -> Guid {
    Guid::from_random(openrms_crypto::random::guid_bytes().unwrap())
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap())
}

fn open_private(key: &dyn PrivateKey, sealed: &EnablingBits) -> SoftwareKey {
    match sealed_key::open(key, sealed.version, &sealed.bytes)
        .unwrap()
        .payload
    {
        OpenedPayload::PrivateKey(blob) => {
            SoftwareKey::from_private_key_blob(blob.expose()).unwrap()
        }
        OpenedPayload::ContentKey(_) => panic!("a certificate seals a private key"),
    }
}

/// alice, bob, carol and dave; staff = {bob, nested}, nested = {dave}.
pub fn people() -> People {
    let mut people = openrms_server::people::empty("example.test".parse().unwrap(), None).unwrap();
    for name in PEOPLE {
        people
            .add_person(NewPerson {
                account: name.parse().unwrap(),
                display_name: name.into(),
                mail: Some(format!("{name}@example.test").parse().unwrap()),
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
        people
            .set_password(&Member::parse(name).unwrap(), PASSWORD)
            .unwrap();
    }
    for (group, members) in [
        ("nested@example.test", ["dave"].as_slice()),
        ("staff@example.test", &["bob", "nested@example.test"]),
    ] {
        let address = group.parse().unwrap();
        people.add_group(address).unwrap();
        for member in members {
            let member = Member::parse(member).unwrap();
            people.add_member(&group.parse().unwrap(), member).unwrap();
        }
    }
    people
}

/// Runs the program and gives its exit code, what it printed and what it complained of.
pub fn rmsd(arguments: &[&str], input: &str) -> (i32, String, String) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_rmsd"))
        .args(arguments)
        .env_remove("RMSD_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        done.status.code().unwrap(),
        text(done.stdout),
        text(done.stderr),
    )
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
