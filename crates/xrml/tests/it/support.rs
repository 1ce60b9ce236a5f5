//! A whole hierarchy with keys of its own, and one certificate or license of each kind in it.

use std::sync::Arc;

use openrms_crypto::{Digest, HashAlgorithm, Mode, PrivateKey, PublicKey, SoftwareKey};
use openrms_xrml::chain::{self, MACHINE_ACTIVATION, SharedNode};
use openrms_xrml::clc::{ClcRequest, ClientLicensorCertificate};
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole, ServerLicensorCertificate};
use openrms_xrml::names::LocalizedName;
use openrms_xrml::node::{ApplicationPolicy, PolicyList};
use openrms_xrml::pl::{PlContent, PublishingLicense};
use openrms_xrml::rac::{AccountCertificate, AccountIdentity, AccountType, RacRequest, SealedTo};
use openrms_xrml::revocation_list::{RevocationListRequest, Revoked};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest, TemplateRequest};
use openrms_xrml::spc::{ActivationLocation, SecurityProcessorCertificate, SpcRequest};
use openrms_xrml::ul::UlRequest;
use openrms_xrml::{
    EnablingBits, Guid, Hand, Identity, Interval, Node, Object, SecurityLevel, Time,
};

/// Text that every writer must escape.
pub const NASTY: &str = "a<b>&amp; \"q\" 'é' 日本 \u{1F512} ]]> x\ny";

/// A key, how it is named, and the certificate that says so.
pub struct Certified {
    pub key: SoftwareKey,
    pub identity: Identity,
    pub text: String,
}

/// From the root key down to one SLC and one SPC issuer.
pub struct Hierarchy {
    pub mode: Mode,
    pub root: SoftwareKey,
    pub ca: Certified,
    pub enrollment_ca: Certified,
    pub enrollment_service: Certified,
    pub slc: Certified,
    pub intermediate: Certified,
    pub sp_ca: Certified,
    pub spc_issuer: Certified,
}

/// A person on a machine, with all that the server gave them.
pub struct Person {
    pub account: AccountIdentity,
    pub spc: Certified,
    pub rac: Certified,
    pub clc: Certified,
}

pub fn time(text: &str) -> Time {
    text.parse().unwrap()
}

pub fn issued() -> Time {
    time("2024-02-29T12:30")
}

pub fn span(from: &str, until: &str) -> Interval {
    Interval {
        from: time(from),
        until: time(until),
    }
}

pub fn range() -> Interval {
    span("2020-01-01T00:00", "2040-01-01T00:00")
}

pub fn guid(byte: u8) -> Guid {
    Guid::from_random([byte; 16])
}

pub fn key(mode: Mode) -> SoftwareKey {
    SoftwareKey::generate(mode).unwrap()
}

pub fn bits(mode: Mode, len: usize) -> EnablingBits {
    EnablingBits {
        version: mode.sealed_key_version(),
        bytes: vec![0x5a; len],
    }
}

pub fn node(text: &str) -> SharedNode {
    Arc::new(Node::parse(text).unwrap().verify().unwrap())
}

pub fn chain_of(texts: &[&str]) -> Vec<SharedNode> {
    chain::parse_verified(&texts.concat()).unwrap()
}

pub fn named(kind: &'static str, id: &str) -> Object {
    Object {
        kind: Some(kind.into()),
        id_type: "ascii-tag".into(),
        id: id.into(),
        ..Object::default()
    }
    .named(id)
}

pub fn account(name: &str) -> AccountIdentity {
    AccountIdentity {
        account_type: AccountType::Windows,
        id: "S-1-5-21-1-2-3-1000".into(),
        email: format!("{name}@example.org"),
        aliases: Vec::new(),
    }
}

/// A certificate for a fresh key in that role.
pub fn issue(
    mode: Mode,
    role: IssuingRole,
    byte: u8,
    issuer: (&Identity, &SoftwareKey),
    range: Interval,
) -> Certified {
    let key = key(mode);
    let (url, levels) = match role {
        IssuingRole::ServerLicensor => (
            Some("https://rms.example.org/_wmcs"),
            vec![
                SecurityLevel::new("Server-Version", "1.0.0.0"),
                SecurityLevel::new("Server-SKU", "OpenRMS <\"&\">"),
            ],
        ),
        _ => (None, Vec::new()),
    };
    let name = format!("{role:?} of Test & Co");
    let public = key.public().clone();
    let identity =
        IssuingCertificate::principal_of(role, guid(byte), Some(&name), url, public, &levels);
    let text = certify(role, byte, issuer, &identity, range);
    Certified {
        key,
        identity,
        text,
    }
}

/// A certificate in that role for a key that is there.
pub fn certify(
    role: IssuingRole,
    byte: u8,
    issuer: (&Identity, &SoftwareKey),
    principal: &Identity,
    range: Interval,
) -> String {
    let certificate = IssuingCertificate {
        role,
        id: guid(byte.wrapping_add(100)),
        issued: issued(),
        validity: None,
        issuer: issuer.0.clone(),
        principal: principal.clone(),
        range,
        revocation_authorities: Vec::new(),
    };
    certificate.sign(issuer.1, hash_of(issuer.1)).unwrap()
}

fn hash_of(key: &SoftwareKey) -> HashAlgorithm {
    if key.public().bits() > 1024 {
        HashAlgorithm::Sha256
    } else {
        HashAlgorithm::Sha1
    }
}

impl Hierarchy {
    pub fn new(mode: Mode) -> Self {
        use IssuingRole as R;
        let root = key(mode);
        let name = IssuingCertificate::tagged_authority("Test Root", root.public().clone());
        let at =
            |role, byte, by: &Certified| issue(mode, role, byte, (&by.identity, &by.key), range());
        let ca = issue(mode, R::Ca, 1, (&name, &root), range());
        let enrollment_ca = at(R::EnrollmentCa, 2, &ca);
        let enrollment_service = at(R::EnrollmentService, 3, &enrollment_ca);
        let slc = at(R::ServerLicensor, 4, &enrollment_service);
        let intermediate = at(R::IntermediateSecurityProcessorCa, 5, &ca);
        let sp_ca = at(R::SecurityProcessorCa, 6, &intermediate);
        let spc_issuer = at(R::SpcIssuer, 7, &sp_ca);
        Self {
            mode,
            root,
            ca,
            enrollment_ca,
            enrollment_service,
            slc,
            intermediate,
            sp_ca,
            spc_issuer,
        }
    }

    pub fn hash(&self) -> HashAlgorithm {
        self.mode.hash()
    }

    pub fn trusts(&self, key: &PublicKey) -> bool {
        key == self.root.public()
    }

    /// The certificates above a server's leaf, nearest first.
    pub fn server_chain(&self) -> [&str; 4] {
        [
            &self.slc.text,
            &self.enrollment_service.text,
            &self.enrollment_ca.text,
            &self.ca.text,
        ]
    }

    /// The certificates above an SPC, nearest first.
    pub fn processor_chain(&self) -> [&str; 4] {
        [
            &self.spc_issuer.text,
            &self.sp_ca.text,
            &self.intermediate.text,
            &self.ca.text,
        ]
    }

    pub fn server(&self) -> ServerLicensorCertificate {
        ServerLicensorCertificate::new(node(&self.slc.text)).unwrap()
    }

    pub fn person(&self, account: AccountIdentity) -> Person {
        let spc = self.spc((&self.spc_issuer.identity, &self.spc_issuer.key));
        let rac = self.rac(
            &account,
            &spc,
            (&self.slc.identity, &self.slc.key),
            issued(),
        );
        let clc = self.clc(&account, (&self.slc.identity, &self.slc.key), range());
        Person {
            account,
            spc,
            rac,
            clc,
        }
    }

    pub fn spc(&self, issuer: (&Identity, &SoftwareKey)) -> Certified {
        let location = ActivationLocation::Machine("file:///usr/lib/openrms".into());
        self.spc_of(issuer, location)
    }

    /// An activation service below the security processor CA.
    pub fn activation(&self) -> Certified {
        self.named_activation(MACHINE_ACTIVATION, (&self.sp_ca.identity, &self.sp_ca.key))
    }

    pub fn named_activation(&self, name: &str, by: (&Identity, &SoftwareKey)) -> Certified {
        let role = IssuingRole::MachineActivation;
        let key = key(self.mode);
        let levels = [SecurityLevel::new(
            "Certificate Practice Statement",
            "https://rms.example.org/cps",
        )];
        let public = key.public().clone();
        let identity =
            IssuingCertificate::principal_of(role, guid(8), Some(name), None, public, &levels);
        let text = certify(role, 8, by, &identity, range());
        Certified {
            key,
            identity,
            text,
        }
    }

    pub fn spc_of(
        &self,
        issuer: (&Identity, &SoftwareKey),
        location: ActivationLocation,
    ) -> Certified {
        let key = key(self.mode);
        let request = SpcRequest {
            id: guid(20),
            issued: issued(),
            issuer: issuer.0.clone(),
            location,
            machine: guid(21),
            key: key.public().clone(),
            hardware: Digest::of(self.hash(), b"hardware"),
            platform: "2.6.1.7600".into(),
            manufacturer: format!("OpenRMS {NASTY}"),
            repository: "OpenRMS secure repository 6.1.7600.16385".into(),
        };
        certified(key, request.sign(issuer.1, self.hash()).unwrap())
    }

    pub fn rac(
        &self,
        account: &AccountIdentity,
        spc: &Certified,
        issuer: (&Identity, &SoftwareKey),
        at: Time,
    ) -> Certified {
        let key = key(self.mode);
        let request = RacRequest {
            id: guid(30),
            issued: at,
            validity: span("2024-02-28T12:30", "2025-02-28T12:30"),
            issuer: issuer.0,
            certification_url: "https://rms/_wmcs/certification",
            external_certification_url: Some("https://rms.example.org/_wmcs/certification"),
            account,
            key: key.public(),
            temporary: false,
            sealed: Some(SealedTo {
                machine: &SecurityProcessorCertificate::new(node(&spc.text)).unwrap(),
                key: &bits(self.mode, 768),
            }),
        };
        let text = request.sign(issuer.1, self.hash()).unwrap();
        certified(key, text)
    }

    pub fn clc(
        &self,
        account: &AccountIdentity,
        issuer: (&Identity, &SoftwareKey),
        range: Interval,
    ) -> Certified {
        let key = key(self.mode);
        let request = ClcRequest {
            id: guid(40),
            issued: issued(),
            issuer: issuer.0,
            licensing_url: "https://rms/_wmcs/licensing",
            external_licensing_url: Some("https://rms.example.org/_wmcs/licensing"),
            account,
            key: key.public(),
            range,
            sealed_key: &bits(self.mode, 768),
        };
        let text = request.sign(issuer.1, self.hash()).unwrap();
        certified(key, text)
    }

    pub fn pl_content(&self) -> PlContent {
        PlContent {
            issued: issued(),
            validity: Some(span("2024-02-29T12:30", "2030-01-01T00:00")),
            descriptor: Some(openrms_xrml::pl::Descriptor::Own(
                Object::guid(None, guid(50)).named(openrms_xrml::names::format_names(&names())),
            )),
            server: self.slc.identity.clone(),
            sealed_key: bits(self.mode, 336),
            referral: Some((NASTY.into(), "mailto:author@example.org".into())),
            content_id: guid(51),
            owner: Object {
                id_type: "Unspecified".into(),
                ..Object::default()
            }
            .named("author@example.org"),
            encrypted_rights: (0..=255).cycle().take(1600).collect(),
            extra: vec![("LABEL".into(), "ID".into(), NASTY.into())],
        }
    }

    /// An off-line PL, signed with the person's CLC.
    pub fn pl(&self, author: &Person) -> String {
        let urls = (
            "https://rms/_wmcs/licensing",
            Some("https://rms.example.org/_wmcs/licensing"),
        );
        self.pl_content()
            .sign(&author.clc.identity, urls, &author.clc.key, self.hash())
            .unwrap()
    }

    pub fn ul(&self, pl: &str, for_whom: &Person, by: &Certified, hand: Hand) -> String {
        let rights = [
            (Right::new("VIEW"), TimeCondition::default()),
            (
                Right::new("OBJMODEL"),
                TimeCondition {
                    range: Some(range()),
                    days: Some(30),
                },
            ),
        ];
        self.ul_with(pl, for_whom, by, hand, &rights)
    }

    pub fn ul_with(
        &self,
        pl: &str,
        for_whom: &Person,
        by: &Certified,
        hand: Hand,
        rights: &[(Right, TimeCondition)],
    ) -> String {
        let pl = PublishingLicense::new(node(pl)).unwrap();
        let rac = AccountCertificate::new(node(&for_whom.rac.text)).unwrap();
        let (pl, work) = (pl.node(), pl.node().content().work.as_ref().unwrap());
        let request = UlRequest {
            id: guid(60),
            issued: issued(),
            validity: Some(span("2024-02-29T12:30", "2024-12-31T00:00")),
            issuer: &by.identity,
            principal_raw: rac.principal_raw(),
            referral_raw: pl
                .content()
                .referral_raw
                .as_ref()
                .map(|range| pl.slice(range)),
            work_raw: pl.slice(work.object_raw.as_ref().unwrap()),
            owner_raw: work.owner_raw.as_ref().map(|range| pl.slice(range)),
            revocation_raw: None,
            rights,
            sealed_key: &bits(self.mode, 336),
            app_data: &[
                ("NOLICCACHE".into(), "1".into()),
                ("X".into(), NASTY.into()),
            ],
            os_exclusion: Some("5.0.0.0-5.1.9999.0"),
            policy_lists: &policies(),
        };
        request.sign(hand, &by.key, self.hash()).unwrap()
    }

    pub fn template(&self) -> String {
        let request = TemplateRequest {
            id: guid(70),
            issued: issued(),
            names: names(),
            publishing_url: "https://rms/_wmcs/licensing".into(),
            referral: Some("mailto:help@example.org".into()),
            precondition: TimeCondition {
                range: None,
                days: Some(90),
            },
            grants: grants(),
            app_data: vec![("VIEWER".into(), "1".into()), ("X".into(), NASTY.into())],
        };
        request
            .sign(&self.slc.identity, &self.slc.key, self.hash())
            .unwrap()
    }

    pub fn revocation_list(&self, entries: Vec<Revoked>) -> String {
        let request = RevocationListRequest {
            id: guid(80),
            issued: issued(),
            issuer: self.slc.identity.clone(),
            entries,
        };
        request.sign(&self.slc.key, self.hash()).unwrap()
    }
}

impl Person {
    pub fn clc_view(&self) -> ClientLicensorCertificate {
        ClientLicensorCertificate::new(node(&self.clc.text)).unwrap()
    }
}

pub fn rights_data_request() -> RightsDataRequest {
    RightsDataRequest {
        issued: issued(),
        descriptor: Some(Object::guid(None, guid(50)).named("LCID 1033:NAME a:DESCRIPTION b;\n")),
        referral: Some((NASTY.into(), "mailto:author@example.org".into())),
        content_id: guid(51),
        owner: Object {
            id_type: "Unspecified".into(),
            ..Object::default()
        }
        .named("author@example.org"),
        precondition: TimeCondition {
            range: Some(range()),
            days: None,
        },
        grants: grants(),
        app_data: vec![
            ("NOLICCACHE".into(), "0".into()),
            ("X".into(), NASTY.into()),
        ],
        policy_lists: policies(),
    }
}

pub fn grants() -> Vec<RightGrant> {
    vec![
        RightGrant::new(Right::new("VIEW"), Grantee::Anyone),
        RightGrant::new(Right::new("EDIT"), Grantee::Sid("S-1-5-21-7".into())),
        RightGrant {
            time: TimeCondition {
                range: Some(range()),
                days: Some(7),
            },
            ..RightGrant::new(
                Right::new("My & \"Own\" <Right>"),
                Grantee::Address(EMAIL.into()),
            )
        },
    ]
}

pub fn names() -> Vec<LocalizedName> {
    vec![
        LocalizedName {
            lcid: 1033,
            name: "A & B <C>".into(),
            description: "says \"so\"".into(),
        },
        LocalizedName {
            lcid: 1041,
            name: "社外秘; 日本".into(),
            description: "x\ny".into(),
        },
    ]
}

pub fn policies() -> Vec<PolicyList> {
    let policy = ApplicationPolicy {
        filename: "a&b<c>.exe".into(),
        min: "1.0.0.0".into(),
        max: "2.0.0.0\"".into(),
    };
    vec![
        PolicyList {
            exclusion: true,
            policies: vec![policy],
        },
        PolicyList {
            exclusion: false,
            policies: Vec::new(),
        },
    ]
}

fn certified(key: SoftwareKey, text: String) -> Certified {
    let identity = Identity::of_principal(&Node::parse(text.as_str()).unwrap()).unwrap();
    Certified {
        key,
        identity,
        text,
    }
}

/// An address that needs escaping.
pub const EMAIL: &str = "o'neil&\"<é>\"@exämple.org";

/// Puts the right digest and signature into a text whose body was changed.
pub fn sign_again(text: &str, key: &SoftwareKey) -> String {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let node = Node::parse(text).unwrap();
    let signature = node.signature().unwrap();
    let digest = Digest::of_utf16le(signature.digest.algorithm(), node.body());
    text.replace(
        &encode(signature.digest.as_bytes()),
        &encode(digest.as_bytes()),
    )
    .replace(
        &encode(&signature.value),
        &encode(&key.sign(&digest).unwrap()),
    )
}
