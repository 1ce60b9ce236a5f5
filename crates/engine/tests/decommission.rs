//! A cluster that has ended gives out content keys and does nothing else; one in service gives out
//! none, whoever asks (MS-RMSI 3.2.4.1).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use openrms_crypto::{ContentKey, Mode, PrivateKey as _, SoftwareKey};
use openrms_directory::{BuiltIn, Member};
use openrms_engine::decommission::acquire_content_key;
use openrms_engine::expansion::is_principal_member_of;
use openrms_engine::sub_enroll::sub_enroll;
use openrms_engine::{Caller, Refusal, client_licensor, locate, precertify, prelicense, templates};
use openrms_protocol::decommissioning::{AcquireContentKey, KeyType};
use openrms_protocol::group_expansion::IsPrincipalMemberOf;
use openrms_protocol::precertification::{Precertify, PrecertifyParams};
use openrms_protocol::prelicensing::{AcquirePreLicense, AcquirePreLicenseParams};
use openrms_protocol::publishing::GetClientLicensorCert;
use openrms_protocol::server::{
    FindServiceLocations, FindServiceLocationsForUser, GetServerInfo, ServiceType,
};
use openrms_protocol::templates::AcquireTemplates;
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_store::{Change, SealedBytes, Store as _, StoreError, TrustedPublishingDomain};
use openrms_xrml::rights_data::Grantee;
use openrms_xrml::{Identity, Interval, Object};
use support::*;

async fn free(
    world: &World,
    who: &str,
    license: &CertificateChain<'static>,
) -> Result<Vec<u8>, Refusal> {
    free_as(world, &world.caller(who).await, license)
}

fn free_as(
    world: &World,
    caller: &Caller,
    license: &CertificateChain<'static>,
) -> Result<Vec<u8>, Refusal> {
    let request = AcquireContentKey {
        issuance_license: license.clone(),
    };
    let done = acquire_content_key(&world.context(), caller, &request)?;
    assert_eq!(done.response.key_type, KeyType::Aes);
    assert!(!done.content.is_empty());
    Ok(done.response.content_key.expose().to_vec())
}

fn code<T>(result: Result<T, Refusal>) -> FaultCode {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(refusal) => refusal.code,
    }
}

async fn end(world: &mut World) {
    world
        .policies(|policies| policies.decommissioned = true)
        .await;
}

/// Content of alice, for nobody else.
fn private(world: &World, alice: &Member_) -> (ContentKey, CertificateChain<'static>) {
    let draft = Draft::new(world, &alice.email, Vec::new());
    (draft.key.clone(), draft.sign(world, alice))
}

#[tokio::test]
async fn a_cluster_in_service_gives_its_content_keys_to_nobody() {
    let world = World::new().await;
    let alice = world.member("alice").await;
    let (_, license) = private(&world, &alice);
    for who in PEOPLE {
        let refused = code(free(&world, who, &license).await);
        assert_eq!(refused, FaultCode::ClusterNotDecommissioned);
    }
}

#[tokio::test]
async fn a_decommissioned_cluster_gives_the_key_of_any_content_to_whoever_may_call() {
    for mode in [Mode::One, Mode::Two] {
        let mut world = World::with_mode(mode).await;
        let alice = world.member("alice").await;
        let (off_line, by_clc) = private(&world, &alice);
        let draft = Draft::new(
            &world,
            &alice.email,
            vec![grant("VIEW", to("bob@example.test"))],
        );
        let by_server = world.sign_online(draft.content.unsigned()).unwrap();
        end(&mut world).await;
        for who in ["alice", "carol"] {
            assert_eq!(free(&world, who, &by_clc).await.unwrap(), off_line.expose());
            assert_eq!(
                free(&world, who, &by_server).await.unwrap(),
                draft.key.expose()
            );
        }
    }
}

#[tokio::test]
async fn who_calls_must_be_an_account_that_may_sign_in() {
    let mut world = World::new().await;
    let alice = world.member("alice").await;
    let (_, license) = private(&world, &alice);
    world
        .policies(|policies| policies.federation_enabled = true)
        .await;
    end(&mut world).await;
    let stranger = world.federated("pat@partner.test", &[]).await;
    let mut people = people();
    people
        .set_disabled(&Member::parse("bob").unwrap(), true)
        .unwrap();
    world.directory = BuiltIn::new(people).unwrap();
    let disabled = world.caller("bob").await;
    for caller in [Caller::Nobody, stranger, disabled] {
        let refused = code(free_as(&world, &caller, &license));
        assert_eq!(refused, FaultCode::UnauthorizedAccess);
    }
}

#[tokio::test]
async fn what_is_over_can_still_be_freed() {
    let mut world = World::new().await;
    let alice = world.member("alice").await;
    let mut draft = Draft::new(&world, &alice.email, Vec::new());
    draft.content.validity = Some(Interval {
        from: NOW,
        until: NOW.plus_days(1),
    });
    let license = draft.sign(&world, &alice);
    end(&mut world).await;
    // Content, CLC and SLC have all run out.
    world.now = NOW.plus_days(3_000);
    assert!(!world.cluster.may_issue(world.now));
    assert_eq!(
        free(&world, "bob", &license).await.unwrap(),
        draft.key.expose()
    );
}

#[tokio::test]
async fn rights_data_that_cannot_be_read_keep_no_content_back() {
    let mut world = World::new().await;
    let alice = world.member("alice").await;
    let draft = Draft::build_text(&world, &alice.email, |_| "no rights data at all".to_owned());
    let license = draft.sign(&world, &alice);
    let refused = world.license(&alice, &license).await;
    assert!(refused.is_err());
    end(&mut world).await;
    assert_eq!(
        free(&world, "bob", &license).await.unwrap(),
        draft.key.expose()
    );
}

#[tokio::test]
async fn retired_keys_and_those_of_trusted_publishing_domains_open_too() {
    let mut world = World::new().await;
    let (second, other) = (World::new().await, World::new().await);
    let (of_alice, of_bob) = (world.member("alice").await, other.member("bob").await);
    let (old_key, old_license) = private(&world, &of_alice);
    let (domain_key, domain_license) = private(&other, &of_bob);
    let foreign = other.store.snapshot().await.unwrap();
    let foreign = foreign.licensor_keys.first().unwrap().clone();
    let own = world.store.snapshot().await.unwrap();
    let new = second.store.snapshot().await.unwrap();
    world
        .change(&[
            Change::AddLicensorKey(new.licensor_keys[0].clone()),
            Change::RetireLicensorKey(own.licensor_keys[0].id.clone()),
        ])
        .await;
    end(&mut world).await;
    assert_eq!(
        free(&world, "carol", &old_license).await.unwrap(),
        old_key.expose()
    );
    let refused = code(free(&world, "carol", &domain_license).await);
    assert_eq!(refused, FaultCode::ContentKeyNoMatchingIssuedPrincipal);

    // A cluster that took the domain in before it ended.
    let mut heir = World::new().await;
    heir.change(&[Change::PutTrustedPublishingDomain(
        TrustedPublishingDomain {
            id: "other".into(),
            friendly_name: "Other".into(),
            slc_chain: foreign.slc_chain,
            sealed_private_key: SealedBytes::new(foreign.sealed_private_key.as_slice().to_vec()),
            templates: Vec::new(),
        },
    )])
    .await;
    // There it goes on being licensed.
    let by_domain = Draft::new(&other, &of_bob.email, vec![grant("VIEW", Grantee::Anyone)]);
    let license = by_domain.sign(&other, &of_bob);
    let reader = heir.member("dave").await;
    let ul = heir.license(&reader, &license).await.unwrap();
    assert_eq!(content_key(&reader, &ul).expose(), by_domain.key.expose());
    end(&mut heir).await;
    assert_eq!(
        free(&heir, "carol", &domain_license).await.unwrap(),
        domain_key.expose()
    );
}

#[tokio::test]
async fn a_license_that_is_not_for_this_server_or_not_whole_gives_nothing() {
    let mut world = World::new().await;
    let alice = world.member("alice").await;
    let (_, good) = private(&world, &alice);
    let server = world.cluster.server().unwrap().identity().clone();
    let mut renamed = Draft::new(&world, &alice.email, Vec::new());
    renamed.content.server = Identity::new(
        Object {
            id: guid().to_string(),
            ..server.object().clone()
        },
        server.key().clone(),
        &[],
    );
    let renamed = renamed.sign(&world, &alice);
    end(&mut world).await;

    // The key is this server's, the identifier is not.
    let refused = code(free(&world, "alice", &renamed).await);
    assert_eq!(refused, FaultCode::ContentKeyNoMatchingIssuedPrincipal);
    let without_clc = CertificateChain(vec![good.0[0].clone()]);
    let refused = code(free(&world, "alice", &without_clc).await);
    assert_eq!(refused, FaultCode::ContentKeyNoMatchingIssuedPrincipal);
    let mut tampered = good.clone();
    let text = tampered.0[0].as_str().replacen("alice@", "carol@", 1);
    tampered.0[0] = CertificateText::new(text).unwrap();
    let refused = code(free(&world, "alice", &tampered).await);
    assert_eq!(refused, FaultCode::InvalidRightsLabelSignature);
    let no_license = alice.rac_chain.clone();
    assert!(free(&world, "alice", &no_license).await.is_err());
    assert!(free(&world, "alice", &good).await.is_ok());
}

#[tokio::test]
async fn every_other_service_of_a_decommissioned_cluster_refuses() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let draft = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    let license = draft.sign(&world, &alice);
    let (_, spc) = world.activate();
    end(&mut world).await;

    let context = world.context();
    let caller = world.caller("bob").await;
    let services = vec![ServiceType::LicensingInternalService];
    let personas = GetClientLicensorCert {
        persona_certs: vec![bob.rac_chain.clone()],
    };
    let precertify_request = Precertify::single(PrecertifyParams {
        user_name: Some(bob.email.clone()),
        identification: None,
    });
    let prelicense_request = AcquirePreLicense::single(AcquirePreLicenseParams {
        licensee_identities: vec![bob.email.clone()],
        issuance_license: license.clone(),
    });
    let question = IsPrincipalMemberOf::new("mail=bob@example.test", Vec::new());
    let server = SoftwareKey::generate(Mode::Two).unwrap();
    let below = sub_enroll_request(server.public(), guid());
    let codes = [
        code(world.try_certify(&caller, &spc).await),
        code(world.license(&bob, &license).await),
        code(world.sign_online(draft.content.unsigned())),
        code(
            world
                .edit_as(&caller, &license, draft.content.unsigned())
                .await,
        ),
        code(client_licensor::get_client_licensor_cert(&context, &personas).await),
        code(templates::acquire_template_information(&context)),
        code(templates::acquire_templates(
            &context,
            &AcquireTemplates::default(),
        )),
        code(locate::get_licensor_certificate(&context)),
        code(
            locate::find_service_locations(
                &context,
                &caller,
                &FindServiceLocationsForUser {
                    services: services.clone(),
                },
            )
            .await,
        ),
        code(locate::find_locations_for_server(
            &context,
            &FindServiceLocations { services },
        )),
        code(locate::get_server_info(
            &context,
            &GetServerInfo {
                requests: Vec::new(),
            },
        )),
        code(precertify::precertify(&context, &caller, &precertify_request).await),
        code(prelicense::acquire_prelicense(&context, &caller, &prelicense_request).await),
        code(is_principal_member_of(&context, &question).await),
        code(sub_enroll(&world.cluster, &world.store, &below, 365, NOW).await),
    ];
    for (index, code) in codes.into_iter().enumerate() {
        assert_eq!(code, FaultCode::ClusterDecommissioned, "service {index}");
    }
}

#[tokio::test]
async fn there_is_no_way_back() {
    let mut world = World::new().await;
    end(&mut world).await;
    let mut policies = world.cluster.policies.clone();
    policies.decommissioned = false;
    let back = Change::SetPolicies(Box::new(policies));
    let refused = world.store.apply(&[back], None).await;
    assert!(matches!(refused, Err(StoreError::Decommissioned)));
    assert!(
        world
            .store
            .snapshot()
            .await
            .unwrap()
            .policies
            .decommissioned
    );
}
