//! A whole cluster in memory: hierarchy, enrollment, people, and a client made of bare builders.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::sync::Arc;

use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{
    Cipher, ContentKey, Digest, KeyHandle, KeyProvider, Mode, PrivateKey, SoftwareKey,
    SoftwareProvider, erd,
};
use openrms_directory::{AccountRef, BuiltIn, Directory, Member, NewPerson, People};
use openrms_engine::authority::{self, EnrollmentService};
use openrms_engine::cluster::{ROOT_SLC, ROOT_URL};
use openrms_engine::keys::{FreshKeys, KeyVault};
use openrms_engine::license::acquire_license;
use openrms_engine::republish::edit_issuance_license;
use openrms_engine::sub_enroll::sub_enroll;
use openrms_engine::{Caches, Caller, Cluster, Context, FederatedAccount, Refusal};
use openrms_protocol::certification::Certify;
use openrms_protocol::enrollment::{Enroll, EnrolleeServerInformation, Revocation};
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams, LicenseOutcome};
use openrms_protocol::publishing::{AcquireIssuanceLicense, GetClientLicensorCert};
use openrms_protocol::republishing::EditIssuanceLicense;
use openrms_protocol::sub_enrollment::SubEnroll;
use openrms_protocol::{CertificateChain, CertificateText};
use openrms_store::{
    AuthorityRole, Change, CryptographicMode, LicensorKey, Policies, SealedBytes, Sqlite, Store,
    Template, TemplateState, TrustedSpcCaKey,
};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::names::LocalizedName;
use openrms_xrml::pl::{Descriptor, PlContent};
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest, TemplateRequest};
use openrms_xrml::spc::{ActivationLocation, SpcRequest};
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{EnablingBits, Guid, Identity, Object, Time, chain};

pub const NOW: Time = Time::from_unix(1_800_000_000);

pub struct World {
    pub mode: Mode,
    pub provider: SoftwareProvider,
    pub store: Sqlite,
    pub directory: BuiltIn,
    pub forests: Box<dyn openrms_directory::ForeignForests>,
    pub cluster: Cluster,
    pub caches: Caches,
    pub now: Time,
    pub anchors: Anchors,
    spc_issuer_key: Arc<SoftwareKey>,
    spc_issuer_chain: String,
    /// What is stored of the hierarchy.
    pub roles: Vec<AuthorityRole>,
}

/// A person on an activated machine, certified.
pub struct Member_ {
    pub email: String,
    pub rac: AccountCertificate,
    pub rac_key: SoftwareKey,
    pub rac_chain: CertificateChain<'static>,
    pub clc: ClientLicensorCertificate,
    pub clc_key: SoftwareKey,
    pub clc_chain: CertificateChain<'static>,
}

pub const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];

impl World {
    pub async fn new() -> Self {
        Self::with_mode(Mode::Two).await
    }

    pub async fn with_mode(mode: Mode) -> Self {
        let kek = [7; 32];
        let provider = SoftwareProvider::new(&kek);
        let vault = KeyVault::new(&kek).unwrap();
        let hierarchy = authority::create(&provider, &vault, "Test", mode, NOW).unwrap();
        let issuer = authority::spc_issuer(&hierarchy.roles, &vault, mode).unwrap();
        let service = EnrollmentService::load(&hierarchy.roles, &provider).unwrap();

        let (handle, key) = provider.generate(mode).unwrap();
        let guid = Guid::from_random(openrms_crypto::random::guid_bytes().unwrap());
        let store = Sqlite::in_memory().await.unwrap();
        let answer = service
            .enroll(&store, &enroll_request(key.public(), guid), 365, NOW)
            .await
            .unwrap();
        let slc_chain = answer.licensor_certificate_chain.concatenated();

        let spc_ca = authority::spc_authority_key(&hierarchy.roles, mode).unwrap();
        let policies = Policies {
            base_url: Some("http://rms.example/_wmcs".into()),
            server_version: "6.3.0.0".into(),
            name: "TEST".into(),
            sku: "RMS 2.0".into(),
            cryptographic_mode: stored(mode),
            ..Policies::default()
        };
        store
            .apply(
                &[
                    Change::SetPolicies(Box::new(policies)),
                    Change::AddLicensorKey(LicensorKey {
                        id: key.public().fingerprint_hex(),
                        guid: guid.0,
                        mode: stored(mode),
                        sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
                        slc_chain,
                        created: NOW.unix(),
                        retired: false,
                    }),
                    Change::PutTrustedSpcCaKey(TrustedSpcCaKey {
                        modulus: spc_ca.modulus_le().to_vec(),
                        exponent: spc_ca.exponent(),
                        name: "Test".into(),
                    }),
                ],
                None,
            )
            .await
            .unwrap();
        let cluster = Cluster::new(&store.snapshot().await.unwrap(), &provider, vault).unwrap();
        Self {
            mode,
            provider,
            store,
            directory: BuiltIn::new(people()).unwrap(),
            forests: Box::new(openrms_directory::NoForeignForests),
            cluster,
            caches: Caches::new(16 << 20),
            now: NOW,
            anchors: hierarchy.anchors,
            spc_issuer_key: Arc::new(issuer.key),
            spc_issuer_chain: issuer.chain,
            roles: hierarchy.roles,
        }
    }

    /// A licensing cluster below this one, for the same people.
    pub async fn licensing_cluster(&self) -> Self {
        let kek = [8; 32];
        let provider = SoftwareProvider::new(&kek);
        let (handle, key) = provider.generate(self.mode).unwrap();
        let guid = guid();
        let request = sub_enroll_request(key.public(), guid);
        let answer = sub_enroll(&self.cluster, &self.store, &request, 365, self.now)
            .await
            .unwrap();
        let store = Sqlite::in_memory().await.unwrap();
        let root = self.cluster.server().unwrap();
        let mut policies = self.cluster.policies.clone();
        policies.base_url = Some("http://licensing.example/_wmcs".into());
        let spc_ca = chain::parse(&self.spc_issuer_chain).unwrap();
        let spc_ca = spc_ca[1].principal_key().unwrap().clone();
        let setting = |name: &str, value: String| Change::PutSetting {
            name: name.into(),
            value,
        };
        let changes = [
            Change::SetPolicies(Box::new(policies)),
            Change::AddLicensorKey(LicensorKey {
                id: key.public().fingerprint_hex(),
                guid: guid.0,
                mode: stored(self.mode),
                sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
                slc_chain: answer.licensor_certificate_chain.concatenated(),
                created: NOW.unix(),
                retired: false,
            }),
            Change::PutTrustedSpcCaKey(TrustedSpcCaKey {
                modulus: spc_ca.modulus_le().to_vec(),
                exponent: spc_ca.exponent(),
                name: "Test".into(),
            }),
            setting(ROOT_URL, self.cluster.base_url().to_owned()),
            setting(ROOT_SLC, root.chain.concatenated()),
        ];
        store.apply(&changes, None).await.unwrap();
        let vault = KeyVault::new(&kek).unwrap();
        let cluster = Cluster::new(&store.snapshot().await.unwrap(), &provider, vault).unwrap();
        Self {
            mode: self.mode,
            provider,
            store,
            directory: BuiltIn::new(people()).unwrap(),
            forests: Box::new(openrms_directory::NoForeignForests),
            cluster,
            caches: Caches::new(16 << 20),
            now: self.now,
            anchors: self.anchors.clone(),
            spc_issuer_key: self.spc_issuer_key.clone(),
            spc_issuer_chain: self.spc_issuer_chain.clone(),
            roles: self.roles.clone(),
        }
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            cluster: &self.cluster,
            directory: &self.directory,
            forests: self.forests.as_ref(),
            store: &self.store,
            key_source: &FreshKeys,
            caches: &self.caches,
            observer: &openrms_engine::NoObserver,
            now: self.now,
            external: false,
            newer_processors: false,
            level: openrms_protocol::ServiceLevel::default(),
            release: "9.8.7",
        }
    }

    /// Changes the configuration and takes it over.
    pub async fn change(&mut self, changes: &[Change]) {
        self.store.apply(changes, None).await.unwrap();
        let vault = self.cluster.user_keys().clone();
        let snapshot = self.store.snapshot().await.unwrap();
        self.cluster = Cluster::new(&snapshot, &self.provider, vault).unwrap();
    }

    pub async fn policies(&mut self, edit: impl FnOnce(&mut Policies)) {
        let mut policies = self.cluster.policies.clone();
        edit(&mut policies);
        self.change(&[Change::SetPolicies(Box::new(policies))])
            .await;
    }

    pub async fn caller(&self, name: &str) -> Caller {
        let who = AccountRef::parse(name).unwrap();
        let account = self.directory.account(&who).await.unwrap();
        account.map(Caller::from).unwrap_or_default()
    }

    /// Somebody whom the directory has no account for.
    pub async fn federated(&self, mail: &str, aliases: &[&str]) -> Caller {
        let aliases = aliases.iter().map(|alias| alias.parse().unwrap());
        let mail = mail.parse().unwrap();
        let account = FederatedAccount::find(&self.directory, mail, aliases).await;
        Caller::Federated(account.unwrap().unwrap())
    }

    /// A new machine: its security processor's key and SPC chain.
    pub fn activate(&self) -> (SoftwareKey, String) {
        self.activate_with("OpenRMS test 6.1.0.0")
    }

    pub fn activate_with(&self, repository: &str) -> (SoftwareKey, String) {
        let key = SoftwareKey::generate(self.mode).unwrap();
        let above = chain::parse(&self.spc_issuer_chain).unwrap();
        let spc = SpcRequest {
            id: guid(),
            issued: self.now,
            issuer: Identity::of_principal(&above[0]).unwrap(),
            location: ActivationLocation::Machine("file:///rms".into()),
            machine: guid(),
            key: key.public().clone(),
            hardware: Digest::of(self.mode.hash(), b"machine"),
            platform: "2.6.1.0".into(),
            manufacturer: "OpenRMS".into(),
            repository: repository.into(),
        }
        .sign(self.spc_issuer_key.as_ref(), self.mode.hash())
        .unwrap();
        (key, spc + &self.spc_issuer_chain)
    }

    pub async fn try_certify(
        &self,
        caller: &Caller,
        spc_chain: &str,
    ) -> Result<CertificateChain<'static>, Refusal> {
        let request = Certify {
            machine_certificate_chain: CertificateChain::split(spc_chain).unwrap(),
            persistent: true,
        };
        let certified = openrms_engine::certify::certify(&self.context(), caller, &request).await?;
        Ok(certified.response.certificate_chain.into_owned())
    }

    /// Activates, certifies and licenses a person.
    pub async fn member(&self, name: &str) -> Member_ {
        self.join(&self.caller(name).await).await
    }

    /// As [`World::member`], for whoever calls.
    pub async fn join(&self, caller: &Caller) -> Member_ {
        let (machine_key, spc_chain) = self.activate();
        let rac_chain = self.try_certify(caller, &spc_chain).await.unwrap();
        self.licensed(&machine_key, rac_chain).await
    }

    /// Gives whoever was certified, here or at the root cluster, a CLC.
    pub async fn licensed(
        &self,
        machine_key: &SoftwareKey,
        rac_chain: CertificateChain<'static>,
    ) -> Member_ {
        let rac = AccountCertificate::new(verified(&rac_chain, 0)).unwrap();
        let rac_key = open_private(machine_key, rac.sealed_key().unwrap());
        let request = GetClientLicensorCert {
            persona_certs: vec![rac_chain.clone()],
        };
        let clc_chain =
            openrms_engine::client_licensor::get_client_licensor_cert(&self.context(), &request)
                .await
                .unwrap()
                .response
                .certificate_chains
                .remove(0);
        let clc = ClientLicensorCertificate::new(verified(&clc_chain, 0)).unwrap();
        let clc_key = open_private(&rac_key, clc.sealed_key().unwrap());
        let email = rac.account().email.clone();
        Member_ {
            email,
            rac,
            rac_key,
            rac_chain,
            clc,
            clc_key,
            clc_chain: clc_chain.into_owned(),
        }
    }

    pub fn template(&self, request: &TemplateRequest) -> Change {
        let server = self.cluster.server().unwrap();
        let xrml = request
            .sign(server.identity(), server.key.as_ref(), self.mode.hash())
            .unwrap();
        Change::PutTemplate(Template {
            guid: request.id.0,
            xrml,
            state: TemplateState::Published,
            updated: self.now.unix(),
        })
    }

    pub async fn license(
        &self,
        who: &Member_,
        license: &CertificateChain<'static>,
    ) -> Result<UseLicense, Refusal> {
        self.license_with(&who.rac_chain, license).await
    }

    pub async fn license_with(
        &self,
        rac: &CertificateChain<'static>,
        license: &CertificateChain<'static>,
    ) -> Result<UseLicense, Refusal> {
        let request = AcquireLicense::single(AcquireLicenseParams {
            licensee_certs: rac.clone(),
            issuance_license: Some(license.clone()),
            application_data: None,
        });
        let mut answered = acquire_license(&self.context(), &request)
            .await
            .map_err(|e| e.0)?;
        let LicenseOutcome::License {
            certificate_chain, ..
        } = answered.response.items.remove(0)
        else {
            panic!("a single item never answers with an exception in place");
        };
        Ok(UseLicense::new(verified(&certificate_chain, 0)).unwrap())
    }

    pub async fn edit(
        &self,
        who: &str,
        signed: &CertificateChain<'static>,
        unsigned: String,
    ) -> Result<CertificateChain<'static>, Refusal> {
        self.edit_as(&self.caller(who).await, signed, unsigned)
            .await
    }

    pub async fn edit_as(
        &self,
        caller: &Caller,
        signed: &CertificateChain<'static>,
        unsigned: String,
    ) -> Result<CertificateChain<'static>, Refusal> {
        let request = EditIssuanceLicense {
            signed_issuance_license: signed.clone(),
            unsigned_issuance_license: CertificateText::new(unsigned).unwrap(),
        };
        let done = edit_issuance_license(&self.context(), caller, &request).await?;
        Ok(done.response.certificate_chain)
    }

    pub fn sign_online(&self, unsigned: String) -> Result<CertificateChain<'static>, Refusal> {
        let request = AcquireIssuanceLicense {
            unsigned_issuance_licenses: vec![CertificateText::new(unsigned).unwrap()],
        };
        let published =
            openrms_engine::publish::acquire_issuance_license(&self.context(), &request)?;
        Ok(published
            .response
            .certificate_chains
            .into_iter()
            .next()
            .unwrap())
    }
}

/// Content published by someone, before it is signed.
pub struct Draft {
    pub key: ContentKey,
    pub content: PlContent,
}

impl Draft {
    /// A draft with these rights. The author's proof is put in unless the test takes it out.
    pub fn new(world: &World, author: &str, grants: Vec<RightGrant>) -> Self {
        Self::build(world, author, |request| request.grants = grants)
    }

    pub fn build(world: &World, author: &str, edit: impl FnOnce(&mut RightsDataRequest)) -> Self {
        Self::build_text(world, author, |request| {
            edit(request);
            request.text()
        })
    }

    /// A draft whose rights data are any text at all.
    pub fn build_text(
        world: &World,
        author: &str,
        write: impl FnOnce(&mut RightsDataRequest) -> String,
    ) -> Self {
        Self::with_id(world, author, guid(), write)
    }

    /// Other rights for the same content, under a content key of their own.
    pub fn rewrite(
        world: &World,
        of: &Self,
        author: &str,
        edit: impl FnOnce(&mut RightsDataRequest),
    ) -> Self {
        Self::with_id(world, author, of.content.content_id, |request| {
            edit(request);
            request.text()
        })
    }

    fn with_id(
        world: &World,
        author: &str,
        content_id: Guid,
        write: impl FnOnce(&mut RightsDataRequest) -> String,
    ) -> Self {
        let owner = Grantee::Address(author.into()).object();
        let mut request = RightsDataRequest {
            issued: world.now,
            descriptor: None,
            referral: None,
            content_id,
            owner: owner.clone(),
            precondition: TimeCondition::default(),
            grants: Vec::new(),
            app_data: Vec::new(),
            policy_lists: Vec::new(),
        };
        let text = write(&mut request);
        Self::of_rights(world, content_id, owner, &text, None)
    }

    /// A draft whose rights data are an official template's, verbatim.
    pub fn of_template(world: &World, author: &str, template: &str) -> Self {
        let node = openrms_xrml::Node::parse(template).unwrap();
        let descriptor = node
            .slice(node.content().descriptor_raw.as_ref().unwrap())
            .to_owned();
        let owner = Grantee::Address(author.into()).object();
        Self::of_rights(
            world,
            guid(),
            owner,
            template,
            Some(Descriptor::Verbatim(descriptor)),
        )
    }

    fn of_rights(
        world: &World,
        content_id: Guid,
        owner: Object,
        rights: &str,
        descriptor: Option<Descriptor>,
    ) -> Self {
        let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256).unwrap();
        let utf16: Vec<u8> = rights.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encrypted_rights = erd::encrypt(&key, &utf16);
        let server = world.cluster.server().unwrap().identity().clone();
        let sealed_key = seal_content(world, &key, &server);
        let content = PlContent {
            issued: world.now.floor_minute(),
            validity: None,
            descriptor,
            server,
            sealed_key,
            referral: None,
            content_id,
            owner,
            encrypted_rights,
            extra: Vec::new(),
        };
        Self { key, content }.with_proof()
    }

    pub fn with_proof(mut self) -> Self {
        let owner = self.content.owner.name.clone().unwrap_or_default();
        let proof = openrms_xrml::author_proof::author_proof(
            &self.key,
            &owner,
            self.content.issued,
            &self.content.encrypted_rights,
        )
        .unwrap();
        let value = openrms_xrml::values::encode_base64(&proof);
        let name = openrms_xrml::author_proof::AUTHOR_PROOF_NAME;
        self.content.extra = vec![("APPSPECIFIC".into(), name.into(), value)];
        self
    }

    pub fn without_proof(mut self) -> Self {
        self.content.extra.clear();
        self
    }

    /// Off-line publishing: signed with the author's CLC.
    pub fn sign(&self, world: &World, author: &Member_) -> CertificateChain<'static> {
        let identity = Identity::of_principal(author.clc.node()).unwrap();
        let urls: Vec<_> = author.clc.licensing_urls().collect();
        let text = self
            .content
            .sign(
                &identity,
                (urls[0], None),
                &author.clc_key,
                world.mode.hash(),
            )
            .unwrap();
        let mut nodes = vec![CertificateText::new(text).unwrap()];
        nodes.extend(author.clc_chain.0.iter().cloned());
        CertificateChain(nodes)
    }
}

pub fn seal_content(world: &World, key: &ContentKey, server: &Identity) -> EnablingBits {
    let version = world.mode.sealed_key_version();
    let bound = Digest::of_utf16le(version.hash(), &PlContent::binding_text(server));
    let bytes = sealed_key::seal(server.key(), version, Payload::ContentKey(key), &bound).unwrap();
    EnablingBits { version, bytes }
}

/// The content key of a UL, opened as a client would.
pub fn content_key(who: &Member_, ul: &UseLicense) -> ContentKey {
    let sealed = ul.sealed_key().unwrap();
    match sealed_key::open(&who.rac_key, sealed.version, &sealed.bytes)
        .unwrap()
        .payload
    {
        OpenedPayload::ContentKey(key) => key,
        OpenedPayload::PrivateKey(_) => panic!("a UL seals a content key"),
    }
}

pub fn grant(right: &str, holder: Grantee) -> RightGrant {
    RightGrant::new(Right::new(right), holder)
}

pub fn to(address: &str) -> Grantee {
    Grantee::Address(address.into())
}

pub fn names(ul: &UseLicense) -> Vec<String> {
    ul.rights()
        .iter()
        .map(|entry| entry.right.name().to_owned())
        .collect()
}

pub fn template(id: Guid, grants: Vec<RightGrant>) -> TemplateRequest {
    TemplateRequest {
        id,
        issued: NOW,
        names: vec![LocalizedName {
            lcid: 1033,
            name: "Confidential".into(),
            description: "for staff".into(),
        }],
        publishing_url: "http://rms.example/_wmcs/licensing".into(),
        referral: None,
        precondition: TimeCondition::default(),
        grants,
        app_data: vec![("NOLICCACHE".into(), "1".into())],
    }
}

pub fn guid() -> Guid {
    Guid::from_random(openrms_crypto::random::guid_bytes().unwrap())
}

pub fn verified(chain: &CertificateChain<'_>, index: usize) -> openrms_xrml::SharedNode {
    let node = openrms_xrml::Node::parse(chain.0[index].as_str()).unwrap();
    Arc::new(node.verify().unwrap())
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

pub fn sub_enroll_request(key: &openrms_crypto::PublicKey, guid: Guid) -> SubEnroll {
    let request = enroll_request(key, guid);
    SubEnroll {
        public_key: request.public_key,
        guid: request.guid,
        enrollee: EnrolleeServerInformation {
            name: Some("LICENSING".into()),
            url: Some("http://licensing.example/_wmcs".into()),
            ..request.enrollee
        },
    }
}

pub fn enroll_request(key: &openrms_crypto::PublicKey, guid: Guid) -> Enroll {
    Enroll {
        authorization: None,
        revocation: Revocation::Standard,
        public_key: key.to_pkcs1_der(),
        guid: guid.to_string().parse().unwrap(),
        enrollee: EnrolleeServerInformation {
            sku: Some("RMS 2.0".into()),
            version: "6.3.0.0".into(),
            name: Some("TEST".into()),
            url: Some("http://rms.example/_wmcs".into()),
        },
    }
}

/// alice, bob, carol and dave; staff = {bob, nested}, nested = {dave}, super = {carol}.
pub fn people() -> People {
    let mut people = People::new("example.test".parse().unwrap(), None, [1, 2, 3]).unwrap();
    for name in PEOPLE {
        people
            .add_person(NewPerson {
                account: name.parse().unwrap(),
                display_name: name.into(),
                mail: Some(format!("{name}@example.test").parse().unwrap()),
                addresses: vec![format!("{name}.old@example.test").parse().unwrap()],
                created: None,
            })
            .unwrap();
    }
    for group in ["staff", "nested", "super"] {
        people
            .add_group(format!("{group}@example.test").parse().unwrap())
            .unwrap();
    }
    for (group, member) in [
        ("staff", "bob"),
        ("staff", "nested@example.test"),
        ("nested", "dave"),
        ("super", "carol"),
    ] {
        let group = format!("{group}@example.test").parse().unwrap();
        people
            .add_member(&group, Member::parse(member).unwrap())
            .unwrap();
    }
    people
}

fn stored(mode: Mode) -> CryptographicMode {
    match mode {
        Mode::One => CryptographicMode::One,
        Mode::Two => CryptographicMode::Two,
    }
}

/// A handle sealed by the world's provider.
pub fn import(world: &World, key: SoftwareKey) -> KeyHandle {
    world.provider.import(key).unwrap().0
}

/// Puts the right digest and signature into a text whose body was changed.
pub fn sign_again(text: &str, key: &dyn PrivateKey) -> String {
    let encode = openrms_xrml::values::encode_base64;
    let node = openrms_xrml::Node::parse(text).unwrap();
    let signature = node.signature().unwrap();
    let digest = Digest::of_utf16le(signature.digest.algorithm(), node.body());
    let signed = key.sign(&digest).unwrap();
    text.replace(
        &encode(signature.digest.as_bytes()),
        &encode(digest.as_bytes()),
    )
    .replace(&encode(&signature.value), &encode(&signed))
}
