//! A hierarchy, a server that answers by the same types as a real one, and people.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{
    ContentKey, Digest, Mode, PrivateKey as _, PublicKey, SoftwareKey, erd, random,
};
use openrms_protocol::certification::CertifyResponse;
use openrms_protocol::licensing::{AcquireLicenseResponse, LicenseOutcome};
use openrms_protocol::publishing::{AcquireIssuanceLicenseResponse, GetClientLicensorCertResponse};
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    GetLicensorCertificateResponse, ServiceLocation, ServiceType,
};
use openrms_protocol::templates::{
    AcquireTemplateInformationResponse, AcquireTemplatesResponse, GuidHash, GuidTemplate,
};
use openrms_protocol::{
    CertificateChain, CertificateText, Fault, FaultCode, HttpHead, Limits, Operation, Request,
    Response as Answer, Service, ServiceLevel, encode_fault, encode_response, parse_request,
};
use openrms_xrml::anchors::{Anchor, Anchors};
use openrms_xrml::author_proof::{AUTHOR_PROOF_NAME, proven_time};
use openrms_xrml::chain;
use openrms_xrml::clc::ClcRequest;
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole};
use openrms_xrml::names::LocalizedName;
use openrms_xrml::node::Node;
use openrms_xrml::pl::{PlContent, PublishingLicense, ServerPart};
use openrms_xrml::rac::{AccountCertificate, AccountIdentity, AccountType, RacRequest, SealedTo};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsData, TemplateRequest};
use openrms_xrml::spc::SecurityProcessorCertificate;
use openrms_xrml::ul::UlRequest;
use openrms_xrml::values::{decode_base64, encode_base64};
use openrms_xrml::{EnablingBits, Guid, Hand, Identity, Interval, Time};

use crate::*;

pub(super) const SERVER: &str = "https://rms.example.com";
/// 2027-01-15T08:00.
pub(super) const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// Keys are slow to make; two hierarchies do for all tests.
pub(super) static OURS: LazyLock<Keys> = LazyLock::new(|| Keys::new("Ours", Mode::Two));
pub(super) static FOREIGN: LazyLock<Keys> = LazyLock::new(|| Keys::new("Foreign", Mode::Two));
pub(super) static OLD: LazyLock<Keys> = LazyLock::new(|| Keys::new("Old", Mode::One));

/// What a hierarchy is made of.
pub(super) struct Keys {
    mode: Mode,
    pub anchors: Anchors,
    pub spc_key: SoftwareKey,
    pub spc_chain: String,
    server: Identity,
    server_key: SoftwareKey,
    server_chain: Vec<String>,
    accounts: Mutex<HashMap<String, Arc<SoftwareKey>>>,
}

/// A server and the network to it.
pub(super) struct World {
    pub keys: &'static Keys,
    now: AtomicI64,
    offline: AtomicBool,
    /// Requests: operation or path, URL, and the Authorization sent.
    log: Mutex<Vec<(String, String, Option<String>)>>,
    /// Days a RAC is good for.
    pub rac_days: AtomicI64,
    /// Takes tokens, whose text is the person's name, at the paths of federated people.
    pub federation: AtomicBool,
    /// Refuses whoever does not say who they are, whatever they ask.
    pub closed: AtomicBool,
    /// Says that it is of the other cryptographic mode, whatever is asked.
    pub other_mode: AtomicBool,
    /// Signs other licenses than it is asked to.
    pub dishonest: AtomicBool,
    /// Where it says that services are; faults when it says nothing.
    pub locations: Mutex<Vec<ServiceLocation>>,
    /// Origin that cannot be reached.
    pub broken: Mutex<Option<&'static str>>,
    templates: Mutex<Vec<(Guid, String)>>,
}

/// A person with a home.
pub(super) struct Person {
    pub client: Client,
    pub folder: Arc<tempfile::TempDir>,
}

impl Deref for Person {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Person {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Protects a text for that policy; the name of the file.
    pub(super) fn protected(&self, name: &str, text: &[u8], policy: &Policy) -> PathBuf {
        std::fs::write(self.path("plain.txt"), text).unwrap();
        let target = self.path(name);
        self.protect_file(
            &self.path("plain.txt"),
            &target,
            Overwrite::Force,
            policy,
            Signer::Author,
        )
        .unwrap();
        target
    }
}

pub(super) fn machine() -> MachineIdentity {
    MachineIdentity::new("4c1f2b7d0000000000000000deadbeef", 1000)
}

pub(super) fn policy(grants: &[&str]) -> Policy {
    Policy::Own(OwnPolicy::of(
        grants.iter().map(|grant| grant.parse().unwrap()),
    ))
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, u8) {
    let error = result.unwrap_err();
    (error.code(), error.class().exit_code())
}

impl Keys {
    #[allow(clippy::too_many_lines)] // One line for each certificate.
    fn new(name: &str, mode: Mode) -> Self {
        let key = || SoftwareKey::generate(mode).unwrap();
        // CAs at the top have long keys in both modes.
        let long = || SoftwareKey::generate(Mode::Two).unwrap();
        let tag = |text: &str, key: &SoftwareKey| {
            IssuingCertificate::tagged_authority(&format!("{name} {text}"), key.public().clone())
        };
        let certify =
            |role, principal: &Identity, issuer: &Identity, key: &SoftwareKey, above: &str| {
                let from = Time::from_unix(START - DAY);
                IssuingCertificate {
                    role,
                    id: guid(),
                    issued: Time::from_unix(START - DAY),
                    validity: None,
                    issuer: issuer.clone(),
                    principal: principal.clone(),
                    range: Interval {
                        from,
                        until: from.plus_days(36_525),
                    },
                    revocation_authorities: Vec::new(),
                }
                .sign(key, mode.hash())
                .unwrap()
                    + above
            };
        let named = |role, key: &SoftwareKey| {
            IssuingCertificate::principal_of(
                role,
                guid(),
                Some(name),
                None,
                key.public().clone(),
                &[],
            )
        };
        let root = long();
        let root_identity = tag("root", &root);
        let (ca_key, enroll_key, middle_key, service_key) = (long(), key(), key(), key());
        let ca = tag("CA", &ca_key);
        let ca_chain = certify(IssuingRole::Ca, &ca, &root_identity, &root, "");
        let enroll = tag("enrollment CA", &enroll_key);
        let enroll_chain = certify(IssuingRole::EnrollmentCa, &enroll, &ca, &ca_key, &ca_chain);
        let service = named(IssuingRole::EnrollmentService, &service_key);
        let service_chain = certify(
            IssuingRole::EnrollmentService,
            &service,
            &enroll,
            &enroll_key,
            &enroll_chain,
        );
        let server_key = key();
        let server = named(IssuingRole::ServerLicensor, &server_key);
        let slc = certify(
            IssuingRole::ServerLicensor,
            &server,
            &service,
            &service_key,
            &service_chain,
        );
        let middle = tag("activation CA", &middle_key);
        let middle_chain = certify(
            IssuingRole::IntermediateSecurityProcessorCa,
            &middle,
            &ca,
            &ca_key,
            &ca_chain,
        );
        let processor_key = key();
        let processor = named(IssuingRole::SecurityProcessorCa, &processor_key);
        let processor_chain = certify(
            IssuingRole::SecurityProcessorCa,
            &processor,
            &middle,
            &middle_key,
            &middle_chain,
        );
        let spc_key = key();
        let issuer = named(IssuingRole::SpcIssuer, &spc_key);
        let spc_chain = certify(
            IssuingRole::SpcIssuer,
            &issuer,
            &processor,
            &processor_key,
            &processor_chain,
        );
        Self {
            mode,
            anchors: Anchors::new([Anchor {
                name: name.into(),
                key: root.public().clone(),
            }]),
            spc_key,
            spc_chain,
            server,
            server_key,
            server_chain: chain::split(&slc)
                .unwrap()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            accounts: Mutex::default(),
        }
    }

    pub(super) fn bundle(&self) -> String {
        serde_json::json!({
            "server": SERVER,
            "name": "Example",
            "anchors_xml": self.anchors.to_xml(),
            "spc_issuer_key_pem": std::str::from_utf8(self.spc_key.to_pem().expose()).unwrap(),
            "spc_issuer_chain": self.spc_chain,
            "something_new": 1,
        })
        .to_string()
    }

    pub(super) fn hierarchy(&self) -> Hierarchy {
        let pem = self.spc_key.to_pem();
        let pem = std::str::from_utf8(pem.expose()).unwrap();
        Hierarchy::from_parts(&self.anchors.to_xml(), pem, &self.spc_chain).unwrap()
    }

    fn account_key(&self, mail: &str) -> Arc<SoftwareKey> {
        let mut keys = self.accounts.lock().unwrap();
        let make = || Arc::new(SoftwareKey::generate(self.mode).unwrap());
        keys.entry(mail.to_owned()).or_insert_with(make).clone()
    }

    fn with_chain(&self, leaf: String) -> CertificateChain<'static> {
        std::iter::once(leaf)
            .chain(self.server_chain.iter().cloned())
            .map(|text| CertificateText::new(text).unwrap())
            .collect()
    }
}

impl World {
    pub(super) fn new(keys: &'static Keys) -> Arc<Self> {
        Arc::new(Self {
            keys,
            now: AtomicI64::new(START),
            offline: AtomicBool::new(false),
            log: Mutex::default(),
            rac_days: AtomicI64::new(365),
            federation: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            other_mode: AtomicBool::new(false),
            dishonest: AtomicBool::new(false),
            locations: Mutex::default(),
            broken: Mutex::default(),
            templates: Mutex::default(),
        })
    }

    /// Somebody with a new home, signed in nowhere yet.
    pub(super) fn person(self: &Arc<Self>, user: &str) -> Person {
        self.person_at(user, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Somebody with a home that may be in use already: another process, say.
    pub(super) fn person_at(
        self: &Arc<Self>,
        user: &str,
        folder: Arc<tempfile::TempDir>,
    ) -> Person {
        let home = Home::open(folder.path().join("home")).unwrap();
        let builder = self.builder(home, user);
        Person {
            client: builder.build(),
            folder,
        }
    }

    pub(super) fn builder(self: &Arc<Self>, home: Home, user: &str) -> ClientBuilder {
        let password = Secret::from(b"secret".as_slice());
        let clock = self.clone();
        Client::builder(home, machine(), self.clone())
            .credentials(Credentials::Basic {
                user: user.into(),
                password,
            })
            .clock(move || clock.now())
            .join_when_missing(JoinPolicy::TrustOnFirstUse)
            .discovery(Discovery {
                explicit: Spoken::naming(SERVER.parse().unwrap()),
                ..Discovery::default()
            })
    }

    pub(super) fn now(&self) -> Time {
        Time::from_unix(self.now.load(Ordering::SeqCst))
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) fn unplug(&self, offline: bool) {
        self.offline.store(offline, Ordering::SeqCst);
    }

    /// Operations asked for since the last look.
    pub(super) fn asked(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|(operation, _, _)| operation)
            .collect()
    }

    pub(super) fn requests(&self) -> Vec<(String, String, Option<String>)> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    pub(super) fn publish_template(
        &self,
        name: &str,
        grants: &[(&str, &str)],
        signer: &Keys,
    ) -> Guid {
        let id = guid();
        self.publish_template_as(id, name, grants, signer);
        id
    }

    pub(super) fn publish_template_as(
        &self,
        id: Guid,
        name: &str,
        grants: &[(&str, &str)],
        signer: &Keys,
    ) {
        let grant = |(who, right): &(&str, &str)| {
            RightGrant::new(Right::new(right), Grantee::Address((*who).to_owned()))
        };
        let description = String::new();
        let text = TemplateRequest {
            id,
            issued: self.now(),
            names: vec![LocalizedName {
                lcid: 1033,
                name: name.into(),
                description,
            }],
            publishing_url: format!("{SERVER}/_wmcs/licensing"),
            referral: None,
            precondition: TimeCondition::default(),
            grants: grants.iter().map(grant).collect(),
            app_data: Vec::new(),
        }
        .sign(&signer.server, &signer.server_key, signer.mode.hash())
        .unwrap();
        let mut templates = self.templates.lock().unwrap();
        templates.retain(|(have, _)| *have != id);
        templates.push((id, text));
    }

    pub(super) fn retract_templates(&self) {
        self.templates.lock().unwrap().clear();
    }

    fn answer(&self, url: &str, request: &Request<'_>, auth: Option<&Credentials>) -> Response {
        let closed = self.closed.load(Ordering::SeqCst);
        let certify = matches!(request.operation, Operation::Certify(_));
        let external = Service::from_path(url.strip_prefix(SERVER).unwrap_or_default())
            .is_some_and(Service::is_external);
        let federated = matches!(auth, Some(Credentials::Bearer(_)));
        if auth.is_none() && (certify || closed) || federated && !external {
            return Response {
                status: 401,
                location: None,
                offered: Vec::new(),
                date: None,
                body: Vec::new(),
            };
        }
        let head = request.answer_head(ServiceLevel::V2.data_versions());
        let decision = if external && !self.federation.load(Ordering::SeqCst) {
            Err(FaultCode::UnauthorizedAccess)
        } else if self.other_mode.load(Ordering::SeqCst) {
            Err(FaultCode::UnsupportedCryptographicSet)
        } else {
            self.decide(&request.operation, auth)
        };
        match decision {
            Ok(answer) => {
                let body = encode_response(&head, &answer).into_bytes();
                Response {
                    status: 200,
                    location: None,
                    offered: Vec::new(),
                    date: None,
                    body,
                }
            }
            Err(code) => {
                let body = encode_fault(&head, &Fault::from(code)).into_bytes();
                Response {
                    status: 500,
                    location: None,
                    offered: Vec::new(),
                    date: None,
                    body,
                }
            }
        }
    }

    fn decide(
        &self,
        operation: &Operation<'_>,
        auth: Option<&Credentials>,
    ) -> Result<Answer<'static>, FaultCode> {
        let keys = self.keys;
        Ok(match operation {
            Operation::Certify(request) => {
                let (user, kind) = match auth {
                    Some(Credentials::Basic { user, .. }) => (user.clone(), AccountType::Windows),
                    Some(Credentials::Bearer(token)) => {
                        let user = String::from_utf8_lossy(token.expose());
                        (user.into_owned(), AccountType::Federation)
                    }
                    _ => return Err(FaultCode::UnauthorizedAccess),
                };
                let text = request.machine_certificate_chain.concatenated();
                let nodes = chain::parse_verified(&text).unwrap();
                let trusted = |key: &PublicKey| keys.anchors.contains(key);
                chain::verify_path(&nodes, None, trusted)
                    .map_err(|_| FaultCode::VerifyMachineCertificateChainFailed)?;
                let machine = SecurityProcessorCertificate::new(nodes[0].clone()).unwrap();
                CertifyResponse {
                    certificate_chain: keys.with_chain(self.rac(&user, kind, &machine)),
                    quota: None,
                }
                .into()
            }
            Operation::FindServiceLocationsForUser(request) => {
                if auth.is_none() {
                    return Err(FaultCode::UnspecifiedError);
                }
                self.locate(request)?.into()
            }
            Operation::GetClientLicensorCert(request) => {
                let rac = read_rac(&request.persona_certs[0]);
                GetClientLicensorCertResponse {
                    certificate_chains: vec![keys.with_chain(self.clc(&rac))],
                }
                .into()
            }
            Operation::GetLicensorCertificate(_) => {
                let texts = keys.server_chain.iter().cloned();
                GetLicensorCertificateResponse {
                    certificate_chain: texts.map(|t| CertificateText::new(t).unwrap()).collect(),
                }
                .into()
            }
            Operation::AcquireIssuanceLicense(request) => {
                let text = request.unsigned_issuance_licenses[0].as_str();
                let mut text = text.to_owned();
                if self.dishonest.load(Ordering::SeqCst) {
                    text = text.replace("@example.com", "@example.net");
                }
                AcquireIssuanceLicenseResponse {
                    certificate_chains: vec![self.sign_pl(&text)],
                }
                .into()
            }
            Operation::AcquireLicense(request) => {
                let item = &request.items[0];
                let rac = read_rac(&item.licensee_certs);
                let ul = self.license(&rac, item.issuance_license.as_ref().unwrap())?;
                AcquireLicenseResponse {
                    items: vec![LicenseOutcome::license(keys.with_chain(ul))],
                }
                .into()
            }
            Operation::AcquireTemplateInformation(_) => AcquireTemplateInformationResponse {
                server_public_key: keys.server_key.public().to_pkcs1_der(),
                templates: self
                    .templates
                    .lock()
                    .unwrap()
                    .iter()
                    .map(|(id, text)| GuidHash {
                        guid: id.to_string(),
                        hash: hash_of(text),
                    })
                    .collect(),
            }
            .into(),
            Operation::AcquireTemplates(request) => {
                assert!(request.guids.len() <= 25);
                let templates = self.templates.lock().unwrap();
                let find = |guid: &String| {
                    let (_, text) = templates.iter().find(|(id, _)| id.to_string() == *guid)?;
                    let (hash, template) = (Some(hash_of(text)), Some(text.clone()));
                    Some(GuidTemplate {
                        guid: guid.clone(),
                        hash,
                        template,
                    })
                };
                AcquireTemplatesResponse {
                    templates: request.guids.iter().filter_map(find).collect(),
                }
                .into()
            }
            _ => return Err(FaultCode::UnspecifiedError),
        })
    }

    fn locate(
        &self,
        request: &FindServiceLocationsForUser,
    ) -> Result<FindServiceLocationsForUserResponse, FaultCode> {
        let known = self.locations.lock().unwrap();
        if known.is_empty() {
            return Err(FaultCode::UnspecifiedError);
        }
        let find = |service: &ServiceType| {
            let found = known.iter().find(|known| known.service == *service);
            let url = found.and_then(|found| found.url.clone());
            ServiceLocation {
                service: *service,
                url,
            }
        };
        Ok(FindServiceLocationsForUserResponse {
            locations: request.services.iter().map(find).collect(),
        })
    }

    fn rac(&self, user: &str, kind: AccountType, machine: &SecurityProcessorCertificate) -> String {
        let keys = self.keys;
        let email = format!("{user}@example.com");
        let key = keys.account_key(&email);
        let account = AccountIdentity {
            account_type: kind,
            id: match kind {
                AccountType::Windows => format!("S-1-5-21-1-2-3-{}", 1000 + user.len()),
                _ => Guid::of_digest(&openrms_crypto::sha256(user.as_bytes())).to_string(),
            },
            email,
            aliases: Vec::new(),
        };
        let blob = key.to_private_key_blob();
        let binding = RacRequest::binding_text(&keys.server);
        let issued = self.now().floor_minute();
        let days = u32::try_from(self.rac_days.load(Ordering::SeqCst)).unwrap();
        RacRequest {
            id: guid(),
            issued,
            validity: Interval {
                from: issued.plus(-3600),
                until: issued.plus_days(days),
            },
            issuer: &keys.server,
            certification_url: &format!("{SERVER}/_wmcs/certification"),
            external_certification_url: None,
            account: &account,
            key: key.public(),
            temporary: false,
            sealed: Some(SealedTo {
                machine,
                key: &seal(machine.key(), Payload::PrivateKey(&blob), &binding),
            }),
        }
        .sign(&keys.server_key, keys.mode.hash())
        .unwrap()
    }

    fn clc(&self, rac: &AccountCertificate) -> String {
        let keys = self.keys;
        let key = keys.account_key(&format!("licensor of {}", rac.account().email));
        let blob = key.to_private_key_blob();
        ClcRequest {
            id: guid(),
            issued: self.now().floor_minute(),
            issuer: &keys.server,
            licensing_url: &format!("{SERVER}/_wmcs/licensing"),
            external_licensing_url: None,
            account: rac.account(),
            key: key.public(),
            range: rac.validity().unwrap(),
            sealed_key: &seal(rac.key(), Payload::PrivateKey(&blob), &keys.server.issuer()),
        }
        .sign(&keys.server_key, keys.mode.hash())
        .unwrap()
    }

    fn sign_pl(&self, unsigned: &str) -> CertificateChain<'static> {
        let keys = self.keys;
        let node = Node::parse(unsigned).unwrap();
        let license = PublishingLicense::new(Box::new(node)).unwrap();
        let key = content_key(&keys.server_key, license.sealed_key().unwrap());
        let binding = PlContent::binding_text(&keys.server);
        let part = ServerPart {
            issued: self.now().floor_minute(),
            issuer: &keys.server,
            licensing_url: &format!("{SERVER}/_wmcs/licensing"),
            external_licensing_url: None,
            sealed_key: &seal(
                keys.server_key.public(),
                Payload::ContentKey(&key),
                &binding,
            ),
        };
        let text = license
            .sign_as_server(&part, &keys.server_key, keys.mode.hash())
            .unwrap();
        CertificateChain(vec![CertificateText::new(text).unwrap()])
    }

    /// What the engine decides, in short: addresses are compared, nothing is expanded.
    fn license(
        &self,
        rac: &AccountCertificate,
        license: &CertificateChain<'_>,
    ) -> Result<String, FaultCode> {
        let keys = self.keys;
        let nodes = chain::parse_verified(&license.concatenated()).unwrap();
        chain::verify_path(&nodes, None, |key| key == keys.server_key.public())
            .map_err(|_| FaultCode::RightsLabelNoMatchingIssuedPrincipal)?;
        let license = PublishingLicense::new(nodes[0].clone()).unwrap();
        let key = content_key(&keys.server_key, license.sealed_key().unwrap());
        let rights = erd::decrypt(&key, license.encrypted_rights()).unwrap();
        let rights = RightsData::from_decrypted(&rights).unwrap();
        let owner = license
            .owner()
            .and_then(|owner| owner.name.clone())
            .unwrap();
        let proof = license.authenticated("APPSPECIFIC", AUTHOR_PROOF_NAME);
        let proof = decode_base64(&proof.unwrap().value).unwrap();
        let encrypted = license.encrypted_rights();
        let published = proven_time(&proof, &key, &owner, encrypted).unwrap();
        let mail = &rac.account().email;
        let window = rights.precondition().window(published);
        if window.is_some_and(|window| !window.contains(self.now())) && owner != *mail {
            return Err(FaultCode::NoRightsForRequestedPrincipal);
        }
        let mut granted = Vec::new();
        for grant in rights.grants() {
            let hit = match &grant.holder {
                Grantee::Anyone => true,
                Grantee::Owner => owner == *mail,
                Grantee::Address(address) => address == mail,
                _ => false,
            };
            if hit {
                let time = TimeCondition {
                    range: window,
                    days: grant.time.days,
                };
                granted.push((grant.right.clone(), time));
            }
        }
        if granted.is_empty() {
            return Err(FaultCode::NoRightsForRequestedPrincipal);
        }
        let work = license.node().content().work.as_ref().unwrap();
        let app_data: Vec<_> = rights
            .app_data()
            .map(|data| (data.name.clone().unwrap_or_default(), data.value.clone()))
            .collect();
        let binding = UlRequest::binding_text(&keys.server);
        Ok(UlRequest {
            id: guid(),
            issued: self.now().floor_minute(),
            validity: None,
            issuer: &keys.server,
            principal_raw: rac.principal_raw(),
            referral_raw: None,
            work_raw: license.node().slice(work.object_raw.as_ref().unwrap()),
            owner_raw: work.owner_raw.as_ref().map(|raw| license.node().slice(raw)),
            revocation_raw: None,
            rights: &granted,
            sealed_key: &seal(rac.key(), Payload::ContentKey(&key), &binding),
            app_data: &app_data,
            os_exclusion: None,
            policy_lists: &[],
        }
        .sign(Hand::Server, &keys.server_key, keys.mode.hash())
        .unwrap())
    }

    fn note(&self, what: String, url: &str, auth: Option<&Credentials>) {
        let auth = auth.and_then(|auth| Some(auth.authorization()?.to_string()));
        self.log.lock().unwrap().push((what, url.to_owned(), auth));
    }

    fn reach(&self, url: &str) -> Result<(), TransportError> {
        let broken = self.broken.lock().unwrap();
        let broken = broken.is_some_and(|origin| url.starts_with(origin));
        if broken || self.offline.load(Ordering::SeqCst) {
            let reason = "unplugged".into();
            return Err(TransportError::Connect {
                url: url.into(),
                reason,
            });
        }
        Ok(())
    }
}

impl Transport for Arc<World> {
    fn post(
        &self,
        url: &str,
        soap_action: &str,
        content_type: &str,
        body: &[u8],
        auth: Option<&Credentials>,
    ) -> Result<Response, TransportError> {
        self.reach(url)?;
        let head = HttpHead {
            content_type: Some(content_type),
            soap_action: Some(soap_action),
        };
        let request = parse_request(head, body, &Limits::server()).unwrap();
        self.note(request.operation.name().as_str().to_owned(), url, auth);
        Ok(self.answer(url, &request, auth))
    }

    fn get(&self, url: &str, auth: Option<&Credentials>) -> Result<Response, TransportError> {
        self.reach(url)?;
        self.note("GET".into(), url, auth);
        let found = url.ends_with("/.well-known/openrms/client") || url.ends_with("?wsdl");
        let status = if found { 200 } else { 404 };
        Ok(Response {
            status,
            location: None,
            offered: Vec::new(),
            date: Some(self.now()),
            body: self.keys.bundle().into_bytes(),
        })
    }
}

pub(super) fn guid() -> Guid {
    Guid::from_random(random::guid_bytes().unwrap())
}

fn read_rac(chain: &CertificateChain<'_>) -> AccountCertificate {
    let nodes = chain::parse_verified(&chain.concatenated()).unwrap();
    AccountCertificate::new(nodes[0].clone()).unwrap()
}

fn content_key(key: &SoftwareKey, sealed: &EnablingBits) -> ContentKey {
    match sealed_key::open(key, sealed.version, &sealed.bytes)
        .unwrap()
        .payload
    {
        OpenedPayload::ContentKey(key) => key,
        OpenedPayload::PrivateKey(_) => panic!("not a content key"),
    }
}

fn seal(to: &PublicKey, payload: Payload<'_>, binding: &str) -> EnablingBits {
    let mode = if to.bits() == 1024 {
        Mode::One
    } else {
        Mode::Two
    };
    let version = mode.sealed_key_version();
    let bound = Digest::of_utf16le(version.hash(), binding);
    EnablingBits {
        version,
        bytes: sealed_key::seal(to, version, payload, &bound).unwrap(),
    }
}

fn hash_of(template: &str) -> String {
    let node = Node::parse(template).unwrap();
    encode_base64(node.signature().unwrap().digest.as_bytes())
}
