//! Servers that ask for SLCs, and what a licensing cluster may do with its own (MS-RMPR 3.6, MS-RMPRS
//! 3.3, 3.4).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use openrms_crypto::{KeyProvider as _, Mode, PrivateKey as _, SoftwareKey, SoftwareProvider};
use openrms_engine::authority::{self, EnrollmentService};
use openrms_engine::keys::KeyVault;
use openrms_engine::locate::{
    find_locations_for_server, get_licensor_certificate, get_server_info,
};
use openrms_engine::sub_enroll::sub_enroll;
use openrms_engine::{Cluster, ClusterError};
use openrms_protocol::enrollment::{Enroll, Revocation};
use openrms_protocol::server::{
    FindServiceLocations, GetServerInfo, ServerInfoRequest, ServerInfoType, ServerInfoValue,
    ServiceType,
};
use openrms_protocol::sub_enrollment::SubEnroll;
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_store::{
    Change, CryptographicMode, LicensorKey, RevocationAuthority, SealedBytes, Sqlite, Store as _,
};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::chain::{self, ChainError};
use openrms_xrml::issuing::{ServerLicensorCertificate, issue_range};
use openrms_xrml::{SharedNode, Time};
use support::*;

/// An authority with nobody enrolled.
struct Authority {
    service: EnrollmentService,
    store: Sqlite,
    anchors: Anchors,
}

impl Authority {
    async fn new() -> Self {
        let provider = SoftwareProvider::new(&[1; 32]);
        let vault = KeyVault::new(&[1; 32]).unwrap();
        let hierarchy = authority::create(&provider, &vault, "Test", Mode::Two, NOW).unwrap();
        let anchors = authority::anchors(&hierarchy.roles).unwrap();
        assert_eq!(anchors, hierarchy.anchors);
        Self {
            service: EnrollmentService::load(&hierarchy.roles, &provider).unwrap(),
            store: Sqlite::in_memory().await.unwrap(),
            anchors,
        }
    }

    async fn enroll(&self, request: &Enroll, now: Time) -> Result<Vec<SharedNode>, FaultCode> {
        match self.service.enroll(&self.store, request, 365, now).await {
            Ok(answer) => Ok(nodes(&answer.licensor_certificate_chain)),
            Err(refusal) => Err(refusal.code),
        }
    }
}

fn nodes(chain: &CertificateChain<'_>) -> Vec<SharedNode> {
    chain::parse_verified(&chain.concatenated()).unwrap()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(Mode::Two).unwrap()
}

#[tokio::test]
async fn an_enrolled_server_chains_to_the_anchor_and_nothing_else_does() {
    let authority = Authority::new().await;
    let request = enroll_request(key().public(), guid());
    let nodes = authority.enroll(&request, NOW).await.unwrap();
    assert_eq!(nodes.len(), 4);
    let anchors = &authority.anchors;
    let path = chain::verify_path(&nodes, Some(NOW), |key| anchors.contains(key)).unwrap();
    assert_eq!(path.len(), 4);
    let microsoft = Anchors::microsoft();
    assert!(chain::verify_path(&nodes, Some(NOW), |key| microsoft.contains(key)).is_err());
}

type Spoil = fn(&mut SubEnroll);

/// What must not get an SLC, of either kind.
const HOSTILE: [(&str, Spoil); 7] = [
    ("empty version", |r| r.enrollee.version = " ".into()),
    ("no key", |r| r.public_key.clear()),
    ("half a key", |r| r.public_key.truncate(20)),
    ("a key of no mode", |r| {
        let key = openrms_crypto::PublicKey::from_le(&[0xc1; 384], 65_537).unwrap();
        r.public_key = key.to_pkcs1_der();
    }),
    ("line break in the URL", |r| {
        r.enrollee.url = Some("https://rms.example/\nSet: x".into());
    }),
    ("control character in the name", |r| {
        r.enrollee.name = Some("RMS\u{85}".into());
    }),
    ("endless name", |r| {
        r.enrollee.name = Some("x".repeat(1025));
    }),
];

#[tokio::test]
async fn hostile_requests_get_no_slc_and_leave_nothing_behind() {
    let authority = Authority::new().await;
    let world = World::new().await;
    for (what, spoil) in HOSTILE {
        let guid = guid();
        let mut sub = sub_enroll_request(key().public(), guid);
        spoil(&mut sub);
        let refused = sub_enroll(&world.cluster, &world.store, &sub, 365, NOW).await;
        assert_eq!(refused.unwrap_err().code, FaultCode::Argument, "{what}");
        let request = Enroll {
            authorization: None,
            revocation: Revocation::Standard,
            public_key: sub.public_key,
            guid: sub.guid,
            enrollee: sub.enrollee,
        };
        assert!(authority.enroll(&request, NOW).await.is_err(), "{what}");
        for store in [&authority.store, &world.store] {
            assert_eq!(store.issued(guid.0).await.unwrap(), None, "{what}");
        }
    }
}

#[tokio::test]
async fn nobody_is_certified_as_the_root_cluster_itself_or_in_the_other_mode() {
    let world = World::new().await;
    let own = world.cluster.server().unwrap();
    let mut of_no_web = sub_enroll_request(key().public(), guid());
    of_no_web.enrollee.url = Some("file:///etc".into());
    let short = SoftwareKey::generate(Mode::One).unwrap();
    for request in [
        sub_enroll_request(own.slc.key(), guid()),
        sub_enroll_request(key().public(), own.identity().object().as_guid().unwrap()),
        sub_enroll_request(short.public(), guid()),
        of_no_web,
    ] {
        let refusal = sub_enroll(&world.cluster, &world.store, &request, 365, NOW)
            .await
            .unwrap_err();
        assert_eq!(refusal.code, FaultCode::Argument, "{refusal}");
    }
}

#[tokio::test]
async fn a_guid_is_its_first_owners_and_renewed_for_nobody_else() {
    let authority = Authority::new().await;
    let world = World::new().await;
    let (own, other, guid) = (key(), key(), guid());
    let request = enroll_request(own.public(), guid);
    authority.enroll(&request, NOW).await.unwrap();
    let request = enroll_request(other.public(), guid);
    let taken = authority.enroll(&request, NOW).await;
    assert_eq!(taken.unwrap_err(), FaultCode::UnspecifiedError);

    let (cluster, store) = (&world.cluster, &world.store);
    let request = sub_enroll_request(own.public(), guid);
    sub_enroll(cluster, store, &request, 365, NOW)
        .await
        .unwrap();
    let request = sub_enroll_request(other.public(), guid);
    let refusal = sub_enroll(cluster, store, &request, 365, NOW)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, FaultCode::Argument);
}

#[tokio::test]
async fn of_two_servers_that_claim_a_guid_at_once_one_gets_it() {
    let authority = Authority::new().await;
    for _ in 0..4 {
        let guid = guid();
        let one = enroll_request(key().public(), guid);
        let other = enroll_request(key().public(), guid);
        let (a, b) = tokio::join!(authority.enroll(&one, NOW), authority.enroll(&other, NOW));
        assert!(a.is_ok() != b.is_ok());
    }
    // The same server twice at once is no clash.
    let request = enroll_request(key().public(), guid());
    let (a, b) = tokio::join!(
        authority.enroll(&request, NOW),
        authority.enroll(&request, NOW)
    );
    assert!(a.is_ok() && b.is_ok());
}

#[tokio::test]
async fn a_renewed_slc_is_of_the_same_server_and_holds_for_what_the_old_one_issued() {
    let authority = Authority::new().await;
    let request = enroll_request(key().public(), guid());
    let first = authority.enroll(&request, NOW).await.unwrap();
    let later = NOW.plus_days(335);
    let second = authority.enroll(&request, later).await.unwrap();
    assert_ne!(first[0].text(), second[0].text());
    let read = |nodes: &[SharedNode]| ServerLicensorCertificate::new(nodes[0].clone()).unwrap();
    let (old, new) = (read(&first), read(&second));
    assert_eq!(old.identity().object(), new.identity().object());
    assert_eq!(old.key(), new.key());
    let (old, new) = (old.range().unwrap(), new.range().unwrap());
    assert_eq!(old.from, new.from);
    assert_eq!(new.until, later.floor_minute().plus_days(365));
}

#[tokio::test]
async fn a_licensing_cluster_licenses_and_publishes_for_people_of_its_root_cluster() {
    let root = World::new().await;
    let licensing = root.licensing_cluster().await;
    let slc = nodes(&licensing.cluster.server().unwrap().chain);
    assert_eq!(slc.len(), 5);
    chain::verify_path(&slc, Some(NOW), |key| root.anchors.contains(key)).unwrap();

    let mut members = Vec::new();
    for name in ["alice", "bob"] {
        let (machine_key, spc) = root.activate();
        let caller = root.caller(name).await;
        let rac = root.try_certify(&caller, &spc).await.unwrap();
        members.push(licensing.licensed(&machine_key, rac).await);
        // Nobody is certified here.
        let refusal = licensing.try_certify(&caller, &spc).await.unwrap_err();
        assert_eq!(refusal.code, FaultCode::UnspecifiedError);
    }
    let (alice, bob) = (&members[0], &members[1]);
    let grants = vec![grant("VIEW", to(&bob.email))];
    let draft = Draft::new(&licensing, &alice.email, grants);
    let license = draft.sign(&licensing, alice);
    let ul = licensing.license(bob, &license).await.unwrap();
    assert_eq!(content_key(bob, &ul).expose(), draft.key.expose());
    // What was published there is nothing to the root cluster.
    let refusal = root.license(bob, &license).await.unwrap_err();
    assert_eq!(
        refusal.code,
        FaultCode::RightsLabelNoMatchingIssuedPrincipal
    );
}

#[tokio::test]
async fn the_key_of_a_licensing_cluster_makes_no_people_and_no_servers() {
    let root = World::new().await;
    let licensing = root.licensing_cluster().await;
    let request = sub_enroll_request(key().public(), guid());
    let refusal = sub_enroll(&licensing.cluster, &licensing.store, &request, 365, NOW)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, FaultCode::UnspecifiedError);

    // As if its administrator had taken away what marks it as a licensing cluster.
    let mut rogue = root.licensing_cluster().await;
    let mark = openrms_engine::cluster::ROOT_URL.to_owned();
    rogue.change(&[Change::RemoveSetting(mark)]).await;
    let forged = rogue.member("alice").await;
    let leads = |nodes: &[SharedNode]| {
        chain::verify_path(nodes, Some(NOW), |key| root.anchors.contains(key)).map(|_| ())
    };
    let racs = leads(&nodes(&forged.rac_chain));
    assert!(matches!(racs, Err(ChainError::Subordinate(_))), "{racs:?}");
    for honest in [&root, &licensing] {
        let draft = Draft::new(honest, &forged.email, vec![]);
        let license = honest.sign_online(draft.content.unsigned()).unwrap();
        let refusal = honest.license(&forged, &license).await.unwrap_err();
        assert_eq!(refusal.code, FaultCode::UntrustedPersonaCert);
    }
    let third = sub_enroll(&rogue.cluster, &rogue.store, &request, 365, NOW)
        .await
        .unwrap();
    let slcs = leads(&nodes(&third.licensor_certificate_chain));
    assert!(matches!(slcs, Err(ChainError::Subordinate(_))), "{slcs:?}");
}

#[tokio::test]
async fn a_licensing_cluster_says_that_people_are_certified_at_its_root_cluster() {
    let root = World::new().await;
    let licensing = root.licensing_cluster().await;
    let asked = FindServiceLocations {
        services: vec![
            ServiceType::CertificationInternalService,
            ServiceType::LicensingInternalService,
        ],
    };
    let answer = find_locations_for_server(&licensing.context(), &asked).unwrap();
    let urls: Vec<_> = answer.locations.into_iter().filter_map(|l| l.url).collect();
    assert_eq!(
        urls,
        [
            "http://rms.example/_wmcs/certification/certification.asmx",
            "http://licensing.example/_wmcs/licensing/license.asmx"
        ]
    );
    let asked = GetServerInfo {
        requests: vec![ServerInfoRequest {
            kind: ServerInfoType::ServiceLocations,
            additional_info: None,
        }],
    };
    let context = licensing.context();
    let answer = get_server_info(&context, &asked).unwrap();
    let ServerInfoValue::ServiceLocations(locations) = &answer.entries[0].value else {
        panic!("another answer");
    };
    let certification = locations
        .iter()
        .find(|l| l.service == ServiceType::CertificationInternalService)
        .unwrap();
    assert_eq!(
        certification.url.as_deref(),
        Some("http://rms.example/_wmcs/certification")
    );
}

#[tokio::test]
async fn a_licensing_clusters_slc_ends_with_its_roots_and_may_be_revoked_by_the_same() {
    let mut root = World::new().await;
    let third_party = key();
    let authority = Change::PutRevocationAuthority(RevocationAuthority {
        public_key: third_party.public().to_pkcs1_der(),
        name: "auditor".into(),
    });
    root.change(&[authority]).await;
    let request = sub_enroll_request(key().public(), guid());
    let answer = sub_enroll(&root.cluster, &root.store, &request, 10_000, NOW)
        .await
        .unwrap();
    let nodes = nodes(&answer.licensor_certificate_chain);
    let own = root.cluster.server().unwrap().slc.range().unwrap();
    assert_eq!(issue_range(&nodes[0]).unwrap().until, own.until);
    let text = nodes[0].text();
    assert!(text.contains("External revocation authority"));
    let modulus = openrms_xrml::values::encode_base64(third_party.public().modulus_le());
    assert!(text.contains(&modulus));
}

#[tokio::test]
async fn a_cluster_that_is_not_enrolled_is_there_and_refuses_everything() {
    let mut world = World::new().await;
    let provider = SoftwareProvider::new(&[3; 32]);
    let (handle, key) = provider.generate(Mode::Two).unwrap();
    let store = Sqlite::in_memory().await.unwrap();
    let policies = Change::SetPolicies(Box::new(world.cluster.policies.clone()));
    store.apply(&[policies], None).await.unwrap();
    let vault = || KeyVault::new(&[3; 32]).unwrap();
    let build = async || Cluster::new(&store.snapshot().await.unwrap(), &provider, vault());
    assert_eq!(build().await.unwrap_err(), ClusterError::NotProvisioned);
    let added = Change::AddLicensorKey(LicensorKey {
        id: key.public().fingerprint_hex(),
        guid: guid().0,
        mode: CryptographicMode::Two,
        sealed_private_key: SealedBytes::new(handle.as_bytes().to_vec()),
        slc_chain: String::new(),
        created: NOW.unix(),
        retired: false,
    });
    store.apply(&[added], None).await.unwrap();
    world.cluster = build().await.unwrap();
    assert!(world.cluster.server().is_err());
    assert!(!world.cluster.may_issue(NOW));
    let (_, spc) = world.activate();
    let caller = world.caller("alice").await;
    let refusal = world.try_certify(&caller, &spc).await.unwrap_err();
    assert!(refusal.reason.contains("not enrolled"), "{refusal}");
    let refusal = get_licensor_certificate(&world.context()).unwrap_err();
    assert_eq!(refusal.code, FaultCode::UnspecifiedError);
}
