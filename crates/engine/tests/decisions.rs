//! What the engine decides, request by request, with real keys and certificates.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use openrms_crypto::Mode;
use openrms_directory::{Account, AccountRef, BuiltIn, Directory as _, Member};
use openrms_engine::Caller;
use openrms_engine::client_licensor::get_client_licensor_cert;
use openrms_engine::license::acquire_license;
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams, LicenseOutcome};
use openrms_protocol::publishing::GetClientLicensorCert;
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_store::EmailDomains::{All, Only};
use openrms_store::{
    ApplicationExclusion, Change, ProductVersion, RacExclusion, TemplateState, TrustedUserDomain,
};
use openrms_xrml::Interval;
use openrms_xrml::rac::{AccountIdentity, RacRequest, SealedTo};
use openrms_xrml::rights::TimeCondition;
use openrms_xrml::rights_data::{Grantee, RightGrant};
use openrms_xrml::spc::SecurityProcessorCertificate;
use support::*;

async fn code<T>(result: impl Future<Output = Result<T, openrms_engine::Refusal>>) -> FaultCode {
    match result.await {
        Ok(_) => panic!("this must be refused"),
        Err(refusal) => refusal.code,
    }
}

#[tokio::test]
async fn whom_the_author_names_opens_the_content_and_nobody_else() {
    let world = World::new().await;
    let (alice, bob, carol) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("carol").await,
    );
    let draft = Draft::new(
        &world,
        &alice.email,
        vec![
            grant("VIEW", to("bob@example.test")),
            grant("PRINT", to("BOB@example.test")),
        ],
    );
    let license = draft.sign(&world, &alice);

    let ul = world.license(&bob, &license).await.unwrap();
    assert_eq!(names(&ul), ["VIEW", "PRINT"]);
    assert_eq!(content_key(&bob, &ul).expose(), draft.key.expose());
    assert_eq!(ul.key(), bob.rac.key());

    let refused = code(world.license(&carol, &license)).await;
    assert_eq!(refused, FaultCode::NoRightsForRequestedPrincipal);

    let ul = world.license(&alice, &license).await.unwrap();
    assert_eq!(names(&ul), ["OWNER"]);
    assert_eq!(content_key(&alice, &ul).expose(), draft.key.expose());
}

#[tokio::test]
async fn mode_one_works_the_same_way() {
    let world = World::with_mode(Mode::One).await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    assert_eq!(bob.rac.key().bits(), 1024);
    let draft = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("bob@example.test"))],
    );
    let ul = world
        .license(&bob, &draft.sign(&world, &alice))
        .await
        .unwrap();
    assert_eq!(content_key(&bob, &ul).expose(), draft.key.expose());
}

#[tokio::test]
async fn a_rac_of_the_other_mode_is_refused() {
    let (one, two) = (World::with_mode(Mode::One).await, World::new().await);
    let (_, spc) = one.activate();
    let caller = two.caller("bob").await;
    // Another hierarchy signed it, which is found first.
    assert_eq!(
        code(two.try_certify(&caller, &spc)).await,
        FaultCode::VerifyMachineCertificateChainFailed
    );
}

#[tokio::test]
async fn nested_groups_old_addresses_and_sids_count() {
    let world = World::new().await;
    let (alice, bob, carol, dave) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("carol").await,
        world.member("dave").await,
    );
    let by_group = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("staff@example.test"))],
    );
    let by_group = by_group.sign(&world, &alice);
    assert!(world.license(&bob, &by_group).await.is_ok());
    assert!(world.license(&dave, &by_group).await.is_ok());
    assert!(world.license(&carol, &by_group).await.is_err());

    let old = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("dave.old@example.test"))],
    );
    assert!(
        world
            .license(&dave, &old.sign(&world, &alice))
            .await
            .is_ok()
    );

    let sid = Grantee::Sid(dave.rac.account().id.clone());
    let by_sid = Draft::new(&world, &alice.email, vec![grant("VIEW", sid)]).sign(&world, &alice);
    assert!(world.license(&dave, &by_sid).await.is_ok());
    assert!(world.license(&bob, &by_sid).await.is_err());

    let anyone = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    assert!(
        world
            .license(&carol, &anyone.sign(&world, &alice))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_template_holds_as_it_is_now() {
    let mut world = World::new().await;
    let id = guid();
    let change = world.template(&template(id, vec![grant("VIEW", to("bob@example.test"))]));
    let Change::PutTemplate(stored) = &change else {
        unreachable!()
    };
    let text = stored.xrml.clone();
    world.change(std::slice::from_ref(&change)).await;
    let (alice, bob, dave) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("dave").await,
    );
    let license = Draft::of_template(&world, &alice.email, &text).sign(&world, &alice);

    let ul = world.license(&bob, &license).await.unwrap();
    assert!(ul.must_not_be_cached());
    assert!(world.license(&dave, &license).await.is_err());

    let edited = world.template(&template(id, vec![grant("VIEW", to("dave@example.test"))]));
    world.change(&[edited]).await;
    assert!(world.license(&bob, &license).await.is_err());
    assert!(world.license(&dave, &license).await.is_ok());

    let Change::PutTemplate(mut archived) = change else {
        unreachable!()
    };
    archived.state = TemplateState::Archived;
    world.change(&[Change::PutTemplate(archived)]).await;
    assert!(world.license(&bob, &license).await.is_ok());

    world.change(&[Change::RemoveTemplate(id.0)]).await;
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    assert!(world.license(&alice, &license).await.is_err());
}

#[tokio::test]
async fn rights_hold_in_their_time_only() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let window = |from, until| TimeCondition {
        range: Some(Interval {
            from: NOW.plus(from),
            until: NOW.plus(until),
        }),
        days: None,
    };
    let timed = |right: &str, time| RightGrant {
        time,
        ..grant(right, to("bob@example.test"))
    };
    let license = Draft::new(
        &world,
        &alice.email,
        vec![
            timed("VIEW", window(0, 3600)),
            timed("PRINT", window(7200, 9000)),
            timed(
                "EDIT",
                TimeCondition {
                    range: None,
                    days: Some(3),
                },
            ),
        ],
    )
    .sign(&world, &alice);
    let ul = world.license(&bob, &license).await.unwrap();
    assert_eq!(names(&ul), ["VIEW", "EDIT"]);
    assert_eq!(ul.rights_at(NOW.plus_days(2)).len(), 1);
    assert_eq!(ul.rights_at(NOW.plus_days(4)).len(), 0);
    world.now = NOW.plus(8000);
    assert_eq!(
        names(&world.license(&bob, &license).await.unwrap()),
        ["PRINT", "EDIT"]
    );

    world.now = NOW;
    let expiring = Draft::build(&world, &alice.email, |request| {
        request.precondition = TimeCondition {
            range: None,
            days: Some(10),
        };
        request.grants = vec![grant("VIEW", to("bob@example.test"))];
    })
    .sign(&world, &alice);
    let ul = world.license(&bob, &expiring).await.unwrap();
    let range = ul.rights()[0].time.range.unwrap();
    assert_eq!(range.until, NOW.floor_minute().plus_days(10));
    world.now = NOW.plus_days(10);
    assert!(world.license(&bob, &expiring).await.is_err());
    assert_eq!(
        names(&world.license(&alice, &expiring).await.unwrap()),
        ["OWNER"]
    );
}

#[tokio::test]
async fn a_license_signed_anew_does_not_begin_the_contents_days_anew() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let genuine = Draft::build(&world, &alice.email, |request| {
        request.precondition = TimeCondition {
            range: None,
            days: Some(10),
        };
        request.grants = vec![grant("VIEW", to("bob@example.test"))];
    });
    world.now = NOW.plus_days(10);
    let mut later = genuine.content.clone();
    later.issued = world.now;
    // Sealed key, rights data, owner and proof are alice's; the time and the signature are not.
    let later = Draft {
        key: genuine.key.clone(),
        content: later,
    };
    assert_eq!(
        code(world.license(&bob, &later.sign(&world, &bob))).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    let signed = world.sign_online(later.content.unsigned()).unwrap();
    assert!(world.license(&bob, &signed).await.is_err());
    // Leaving the proof out does not help: the rights data tell the time, too.
    let bare = later.without_proof();
    assert_eq!(
        code(world.license(&bob, &bare.sign(&world, &bob))).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    let signed = world.sign_online(bare.content.unsigned()).unwrap();
    assert!(world.license(&bob, &signed).await.is_err());
}

#[tokio::test]
async fn nor_does_one_with_a_template_as_long_as_the_authors_proof_is_in_it() {
    let mut world = World::new().await;
    let mut expiring = template(guid(), vec![grant("VIEW", to("bob@example.test"))]);
    expiring.precondition.days = Some(10);
    let change = world.template(&expiring);
    let Change::PutTemplate(stored) = &change else {
        unreachable!()
    };
    let text = stored.xrml.clone();
    world.change(&[change]).await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let genuine = Draft::of_template(&world, &alice.email, &text).with_proof();
    assert!(
        world
            .license(&bob, &genuine.sign(&world, &alice))
            .await
            .is_ok()
    );
    world.now = NOW.plus_days(10);
    let mut later = genuine;
    later.content.issued = world.now;
    assert_eq!(
        code(world.license(&bob, &later.sign(&world, &bob))).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    // Without the proof, where none is required, the clear time counts; where one is, nothing does.
    let later = later.without_proof().sign(&world, &bob);
    assert!(world.license(&bob, &later).await.is_ok());
    world
        .change(&[Change::PutSetting {
            name: "author-proof".into(),
            value: "required".into(),
        }])
        .await;
    assert_eq!(
        code(world.license(&bob, &later)).await,
        FaultCode::InvalidRightsLabelSignature
    );
}

#[tokio::test]
async fn content_outside_its_validity_is_refused() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let mut draft = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    draft.content.validity = Some(Interval {
        from: NOW,
        until: NOW.plus(600),
    });
    let license = draft.sign(&world, &alice);
    assert!(world.license(&bob, &license).await.is_ok());
    world.now = NOW.plus(600);
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::IssuanceLicenseIsNotWithinValidTimeRange
    );
}

#[tokio::test]
async fn nobody_becomes_owner_by_copying_the_sealed_key_into_a_license_of_their_own() {
    let mut world = World::new().await;
    let id = guid();
    let change = world.template(&template(id, vec![grant("VIEW", to("bob@example.test"))]));
    let Change::PutTemplate(stored) = &change else {
        unreachable!()
    };
    let text = stored.xrml.clone();
    world.change(&[change]).await;
    let (alice, mallory) = (world.member("alice").await, world.member("carol").await);
    let genuine = Draft::of_template(&world, &alice.email, &text);
    assert!(
        world
            .license(&alice, &genuine.sign(&world, &alice))
            .await
            .is_ok()
    );

    // Sealed key and rights data copied, owner replaced, signed with mallory's own CLC.
    let mut stolen = Draft {
        key: genuine.key.clone(),
        content: genuine.content.clone(),
    };
    stolen.content.owner = to(&mallory.email).object();
    let kept_proof = stolen.sign(&world, &mallory);
    assert_eq!(
        code(world.license(&mallory, &kept_proof)).await,
        FaultCode::InvalidRightsLabelSignature
    );
    stolen.content.extra.clear();
    let dropped_proof = stolen.sign(&world, &mallory);
    assert_eq!(
        code(world.license(&mallory, &dropped_proof)).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    // Online publishing is no way round.
    let signed = world.sign_online(stolen.content.unsigned()).unwrap();
    assert!(world.license(&mallory, &signed).await.is_err());

    // An author's own rights data name the owner where only they could write it.
    let own = Draft::new(&world, &alice.email, Vec::new());
    let mut stolen = Draft {
        key: own.key.clone(),
        content: own.content.clone(),
    }
    .without_proof();
    stolen.content.owner = to(&mallory.email).object();
    assert!(
        world
            .license(&mallory, &stolen.sign(&world, &mallory))
            .await
            .is_err()
    );
    assert!(
        world
            .license(&alice, &stolen.sign(&world, &mallory))
            .await
            .is_ok()
    );

    world
        .change(&[Change::PutSetting {
            name: "author-proof".into(),
            value: "off".into(),
        }])
        .await;
    assert!(
        world.license(&mallory, &dropped_proof).await.is_ok(),
        "as AD RMS has it"
    );
    let required = Change::PutSetting {
        name: "author-proof".into(),
        value: "required".into(),
    };
    world.change(&[required]).await;
    assert_eq!(
        code(world.license(&alice, &stolen.sign(&world, &mallory))).await,
        FaultCode::InvalidRightsLabelSignature
    );
}

#[tokio::test]
async fn online_published_content_is_licensed_like_any_other() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let draft = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("bob@example.test"))],
    );
    let signed = world.sign_online(draft.content.unsigned()).unwrap();
    assert_eq!(signed.len(), 1);
    let ul = world.license(&bob, &signed).await.unwrap();
    assert_eq!(content_key(&bob, &ul).expose(), draft.key.expose());

    let mut unbound = Draft::new(&world, &alice.email, Vec::new());
    let version = world.mode.sealed_key_version();
    let bound = openrms_crypto::Digest::of_utf16le(version.hash(), "something else");
    unbound.content.sealed_key.bytes = openrms_crypto::sealed_key::seal(
        world.cluster.server().unwrap().key.public(),
        version,
        openrms_crypto::sealed_key::Payload::ContentKey(&unbound.key),
        &bound,
    )
    .unwrap();
    let refused = world.sign_online(unbound.content.unsigned()).unwrap_err();
    assert_eq!(refused.code, FaultCode::EnablingBitsHashDoesNotMatch);

    let other = World::new().await;
    let foreign = Draft::new(&other, &alice.email, Vec::new());
    let refused = world.sign_online(foreign.content.unsigned()).unwrap_err();
    assert_eq!(
        refused.code,
        FaultCode::UnsignedIssuanceLicenseNoMatchingIssuedPrincipal
    );

    let mut broken = Draft::new(&world, &alice.email, Vec::new());
    broken.content.sealed_key.bytes[40] ^= 1;
    let refused = world.sign_online(broken.content.unsigned()).unwrap_err();
    assert_eq!(refused.code, FaultCode::CryptoUnsupportedSymKey);

    let forged = other.template(&template(guid(), Vec::new()));
    let Change::PutTemplate(forged) = forged else {
        unreachable!()
    };
    let refused = world
        .sign_online(
            Draft::of_template(&world, &alice.email, &forged.xrml)
                .content
                .unsigned(),
        )
        .unwrap_err();
    assert_eq!(refused.code, FaultCode::InvalidOfficialRightsTemplate);

    world
        .policies(|policies| policies.online_publishing_enabled = false)
        .await;
    let refused = world.sign_online(draft.content.unsigned()).unwrap_err();
    assert_eq!(refused.code, FaultCode::OnlinePublishingDisabled);
}

#[tokio::test]
async fn an_account_that_was_made_after_the_content_gets_nothing_of_it() {
    let mut world = World::new().await;
    let (alice, mut bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]).sign(&world, &alice);
    let rac = bob.rac.node().text().to_string();
    let level = r#"<SECURITYLEVEL name="Group-Identity-Type""#;
    assert_eq!(rac.matches(level).count(), 1);
    let mut made = |world: &World, days: u32| {
        let time = NOW.floor_minute().plus_days(days);
        let level =
            format!(r#"<SECURITYLEVEL name="Credential-Creation-Time" value="{time}" />{level}"#);
        let changed = rac.replacen(r#"<SECURITYLEVEL name="Group-Identity-Type""#, &level, 1);
        let signed = support::sign_again(&changed, world.cluster.server().unwrap().key.as_ref());
        bob.rac_chain.0[0] = CertificateText::new(signed).unwrap();
        bob.rac_chain.clone()
    };
    let (within, beyond) = (made(&world, 15), made(&world, 16));
    world.now = NOW.plus_days(20);
    bob.rac_chain = within;
    assert!(world.license(&bob, &license).await.is_ok());
    bob.rac_chain = beyond;
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::CredentialCreationTime
    );
}

#[tokio::test]
async fn each_fault_of_the_rac_table_is_given() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]).sign(&world, &alice);
    let with_rac = |rac: String| {
        let mut chain = bob.rac_chain.clone();
        chain.0[0] = CertificateText::new(rac).unwrap();
        AcquireLicense::single(AcquireLicenseParams {
            licensee_certs: chain,
            issuance_license: Some(license.clone()),
            application_data: None,
        })
    };
    let refusal = async |world: &World, request: AcquireLicense<'static>| {
        acquire_license(&world.context(), &request)
            .await
            .unwrap_err()
            .0
            .code
    };
    let rac = bob.rac_chain.0[0].as_str().to_owned();
    let changed = rac.replacen("bob@example.test", "eve@example.test", 1);
    assert_eq!(
        refusal(&world, with_rac(changed)).await,
        FaultCode::InvalidPersonaCertSignature
    );
    let other_kind = bob.rac_chain.0[1].as_str().to_owned();
    assert_eq!(
        refusal(&world, with_rac(other_kind)).await,
        FaultCode::UnexpectedPersonaCert
    );

    let foreign = World::new().await;
    let foreign_bob = foreign.member("bob").await;
    assert_eq!(
        code(world.license(&foreign_bob, &license)).await,
        FaultCode::UntrustedPersonaCert
    );

    world.now = NOW.plus_days(366);
    // The SLC of the test ran out as well: a server that may not issue refuses first.
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::UnspecifiedError
    );
    world.now = NOW.plus(-3600);
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::InvalidPersonaCertTime
    );
    world.now = NOW;

    let minimum = Some(ProductVersion::new(7, 0, 0, 0));
    world
        .policies(|policies| policies.spc_minimum_version = minimum)
        .await;
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::BlackBoxIsInvalid
    );
    let (_, spc) = world.activate();
    let caller = world.caller("bob").await;
    assert_eq!(
        code(world.try_certify(&caller, &spc)).await,
        FaultCode::BlackBoxIsInvalid
    );
    world
        .policies(|policies| policies.spc_minimum_version = None)
        .await;

    world
        .change(&[Change::PutRacExclusion(RacExclusion {
            modulus: bob.rac.key().modulus_le().to_vec(),
            account: None,
            expires: None,
            created: NOW.unix(),
        })])
        .await;
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::DrmacIsExcluded
    );

    world
        .policies(|policies| policies.decommissioned = true)
        .await;
    assert_eq!(
        code(world.license(&alice, &license)).await,
        FaultCode::ClusterDecommissioned
    );
}

#[tokio::test]
async fn each_fault_of_the_license_table_is_given() {
    let world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let draft = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    let good = draft.sign(&world, &alice);
    let mut tampered = good.clone();
    let text = good.0[0]
        .as_str()
        .replacen("alice@example.test", "carol@example.test", 1);
    tampered.0[0] = CertificateText::new(text).unwrap();
    assert_eq!(
        code(world.license(&bob, &tampered)).await,
        FaultCode::InvalidRightsLabelSignature
    );
    let without_clc = CertificateChain(vec![good.0[0].clone()]);
    assert_eq!(
        code(world.license(&bob, &without_clc)).await,
        FaultCode::RightsLabelNoMatchingIssuedPrincipal
    );
    // A RAC's key is no CLC's: signing a PL with it leads nowhere.
    let identity = openrms_xrml::Identity::of_principal(bob.rac.node()).unwrap();
    let by_rac = draft
        .content
        .sign(
            &identity,
            ("http://rms.example", None),
            &bob.rac_key,
            world.mode.hash(),
        )
        .unwrap();
    let mut chain = vec![CertificateText::new(by_rac).unwrap()];
    chain.extend(bob.rac_chain.0.iter().cloned());
    assert!(world.license(&bob, &CertificateChain(chain)).await.is_err());

    let other = World::new().await;
    let foreign_alice = other.member("alice").await;
    let foreign = Draft::new(&other, &alice.email, vec![grant("VIEW", Grantee::Anyone)])
        .sign(&other, &foreign_alice);
    assert_eq!(
        code(world.license(&bob, &foreign)).await,
        FaultCode::RightsLabelNoMatchingIssuedPrincipal
    );
}

#[tokio::test]
async fn certify_wants_an_enabled_authenticated_account_with_a_mail_address() {
    let world = World::new().await;
    let (_, spc) = world.activate();
    let nobody = openrms_engine::Caller::default();
    assert_eq!(
        code(world.try_certify(&nobody, &spc)).await,
        FaultCode::UnauthorizedAccess
    );
    let bob = AccountRef::parse("bob").unwrap();
    let bob = world.directory.account(&bob).await.unwrap().unwrap();
    let disabled = Caller::from(Account {
        enabled: false,
        ..bob.clone()
    });
    assert_eq!(
        code(world.try_certify(&disabled, &spc)).await,
        FaultCode::UnauthorizedAccess
    );
    let without_mail = Caller::from(Account { mail: None, ..bob });
    assert_eq!(
        code(world.try_certify(&without_mail, &spc)).await,
        FaultCode::ADEntrySearchFailed
    );
    let caller = world.caller("bob").await;
    let (_, foreign) = World::new().await.activate();
    assert_eq!(
        code(world.try_certify(&caller, &foreign)).await,
        FaultCode::VerifyMachineCertificateChainFailed
    );
}

#[tokio::test]
async fn who_was_disabled_or_removed_gets_nothing_more_for_the_rac_they_keep() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", to(&bob.email))]).sign(&world, &alice);
    let request = GetClientLicensorCert {
        persona_certs: vec![bob.rac_chain.clone()],
    };
    assert!(world.license(&bob, &license).await.is_ok());
    let everyone = world.directory.people().clone();
    let who = Member::parse("bob").unwrap();

    let mut people = everyone.clone();
    people.set_disabled(&who, true).unwrap();
    world.directory = BuiltIn::new(people).unwrap();
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::UnauthorizedAccess
    );
    let refused = get_client_licensor_cert(&world.context(), &request).await;
    assert!(refused.is_err());

    let mut people = everyone.clone();
    people.remove(&who).unwrap();
    world.directory = BuiltIn::new(people).unwrap();
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::UntrustedPersonaCert
    );
    let refused = get_client_licensor_cert(&world.context(), &request).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn one_request_does_not_make_keys_without_end() {
    let world = World::new().await;
    let bob = world.member("bob").await;
    let asked = async |count| {
        let request = GetClientLicensorCert {
            persona_certs: vec![bob.rac_chain.clone(); count],
        };
        get_client_licensor_cert(&world.context(), &request).await
    };
    assert_eq!(asked(2).await.unwrap().certificates.len(), 2);
    assert_eq!(code(asked(5)).await, FaultCode::UnspecifiedError);
}

#[tokio::test]
async fn an_address_that_changed_hands_is_its_new_holders_alone() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", to(&bob.email))]).sign(&world, &alice);
    let by_bob = Draft::new(&world, &bob.email, Vec::new()).sign(&world, &bob);
    // Dropped, but nobody else's: the RAC vouches for it.
    let text = world.directory.to_toml().unwrap();
    let dropped = text.replace("bob@example.test", "robert@example.test");
    world.directory = BuiltIn::from_toml(&dropped).unwrap();
    assert!(world.license(&bob, &license).await.is_ok());
    assert!(world.license(&bob, &by_bob).await.is_ok());

    let handed_over = dropped.replace("carol.old@example.test", "bob@example.test");
    world.directory = BuiltIn::from_toml(&handed_over).unwrap();
    let carol = world.member("carol").await;
    assert!(world.license(&carol, &license).await.is_ok());
    assert_eq!(
        code(world.license(&bob, &license)).await,
        FaultCode::NoRightsForRequestedPrincipal
    );
    assert!(world.license(&bob, &by_bob).await.is_err());
}

#[tokio::test]
async fn a_person_has_the_same_key_on_every_machine() {
    let world = World::new().await;
    let (first, second) = (world.member("bob").await, world.member("bob").await);
    assert_eq!(first.rac.key(), second.rac.key());
    assert_ne!(first.rac.machine(), second.rac.machine());
}

#[tokio::test]
async fn super_users_get_owner_only_while_switched_on() {
    let mut world = World::new().await;
    let (alice, carol) = (world.member("alice").await, world.member("carol").await);
    let license = Draft::new(&world, &alice.email, Vec::new()).sign(&world, &alice);
    assert!(world.license(&carol, &license).await.is_err());
    world
        .policies(|policies| {
            policies.super_user_enabled = true;
            policies.super_user_group = Some("super@example.test".into());
        })
        .await;
    assert_eq!(
        names(&world.license(&carol, &license).await.unwrap()),
        ["OWNER"]
    );
    world
        .policies(|policies| policies.super_user_enabled = false)
        .await;
    assert!(world.license(&carol, &license).await.is_err());
}

#[tokio::test]
async fn exclusions_go_into_every_use_license() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]).sign(&world, &alice);
    world
        .change(&[Change::PutApplicationExclusion(ApplicationExclusion {
            id: "1".into(),
            filename: "OLD.EXE".into(),
            minimum_version: ProductVersion::ZERO,
            maximum_version: ProductVersion::new(1, 2, 3, 4),
            description: String::new(),
        })])
        .await;
    world
        .policies(|policies| policies.os_exclusion_enabled = true)
        .await;
    let ul = world.license(&bob, &license).await.unwrap();
    let list = &ul.policy_lists()[0];
    assert!(list.exclusion);
    assert_eq!(list.policies[0].filename, "OLD.EXE");
    assert_eq!(ul.conditions()[0].value, "0-2.1.5.2600");
}

#[tokio::test]
async fn items_of_a_batch_fail_alone_and_inherit_the_last_license() {
    let world = World::new().await;
    let (alice, bob, carol) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("carol").await,
    );
    let license = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("bob@example.test"))],
    )
    .sign(&world, &alice);
    let item = |who: &Member_, license: Option<&CertificateChain<'static>>| AcquireLicenseParams {
        licensee_certs: who.rac_chain.clone(),
        issuance_license: license.cloned(),
        application_data: None,
    };
    let request = AcquireLicense {
        items: vec![
            item(&carol, Some(&license)),
            item(&bob, None),
            item(&alice, None),
        ],
    };
    let answered = acquire_license(&world.context(), &request).await.unwrap();
    let LicenseOutcome::Exception(exception) = &answered.response.items[0] else {
        panic!("carol has no rights");
    };
    assert_eq!(exception.batch_index, 0);
    assert_eq!(
        exception.fault.code,
        Some(FaultCode::NoRightsForRequestedPrincipal)
    );
    assert!(matches!(
        answered.response.items[1],
        LicenseOutcome::License { .. }
    ));
    assert!(matches!(
        answered.response.items[2],
        LicenseOutcome::License { .. }
    ));
    assert_eq!(
        answered.items[1].account.as_deref(),
        Some("bob@example.test")
    );
}

#[tokio::test]
async fn a_retired_key_still_opens_old_content() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]).sign(&world, &alice);
    let snapshot = openrms_store::Store::snapshot(&world.store).await.unwrap();
    let old = snapshot.licensor_keys[0].clone();
    // A second key, certified by the same hierarchy through the first cluster's own key.
    let second = World::new().await;
    let snapshot = openrms_store::Store::snapshot(&second.store).await.unwrap();
    let new = snapshot.licensor_keys[0].clone();
    world
        .change(&[
            Change::AddLicensorKey(new),
            Change::RetireLicensorKey(old.id),
        ])
        .await;
    let ul = world.license(&bob, &license).await.unwrap();
    assert_eq!(
        ul.node().issuer_key(),
        Some(second.cluster.server().unwrap().slc.key())
    );
}

#[tokio::test]
async fn a_trusted_user_domain_counts_within_its_bounds() {
    let mut world = World::new().await;
    let other = World::new().await;
    let (alice, bob) = (world.member("alice").await, other.member("bob").await);
    let sid = Grantee::Sid(bob.rac.account().id.clone());
    let by_name = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("bob@example.test"))],
    )
    .sign(&world, &alice);
    let by_sid = Draft::new(&world, &alice.email, vec![grant("VIEW", sid)]).sign(&world, &alice);
    let domain = |allow_sid, email_domains| {
        Change::PutTrustedUserDomain(TrustedUserDomain {
            id: "other".into(),
            slc_chain: other.cluster.server().unwrap().chain.concatenated(),
            friendly_name: "Other".into(),
            allow_sid,
            allow_federated: false,
            email_domains,
        })
    };
    world.change(&[domain(false, All)]).await;
    assert!(world.license(&bob, &by_name).await.is_ok());
    assert!(world.license(&bob, &by_sid).await.is_err());
    world.change(&[domain(true, All)]).await;
    assert!(world.license(&bob, &by_sid).await.is_ok());
    world
        .change(&[domain(true, Only(vec!["other.test".into()]))])
        .await;
    assert_eq!(
        code(world.license(&bob, &by_name)).await,
        FaultCode::UntrustedPersonaCert
    );
    world
        .change(&[domain(true, Only(vec!["test".into()]))])
        .await;
    assert!(world.license(&bob, &by_name).await.is_ok());
}

#[tokio::test]
async fn a_trusted_user_domain_cannot_call_its_people_by_addresses_of_others() {
    let mut world = World::new().await;
    let other = World::new().await;
    let eve = other.member("bob").await;
    world
        .change(&[Change::PutTrustedUserDomain(TrustedUserDomain {
            id: "other".into(),
            slc_chain: other.cluster.server().unwrap().chain.concatenated(),
            friendly_name: "Other".into(),
            allow_sid: false,
            allow_federated: false,
            email_domains: Only(vec!["other.test".into()]),
        })])
        .await;
    let (_, spc) = other.activate();
    let spc = CertificateChain::split(&spc).unwrap();
    let server = other.cluster.server().unwrap();
    let rac = RacRequest {
        id: guid(),
        issued: NOW,
        validity: Interval {
            from: NOW,
            until: NOW.plus_days(1),
        },
        issuer: server.identity(),
        certification_url: "https://other.test/_wmcs/certification",
        external_certification_url: None,
        account: &AccountIdentity {
            email: "alice@example.test".into(),
            aliases: vec!["eve@other.test".into()],
            ..eve.rac.account().clone()
        },
        key: eve.rac.key(),
        temporary: false,
        sealed: Some(SealedTo {
            machine: &SecurityProcessorCertificate::new(verified(&spc, 0)).unwrap(),
            key: eve.rac.sealed_key().unwrap(),
        }),
    }
    .sign(server.key.as_ref(), other.mode.hash())
    .unwrap();
    let rac = rac + &server.chain.concatenated();
    let request = GetClientLicensorCert {
        persona_certs: vec![CertificateChain::split(&rac).unwrap()],
    };
    // A CLC of this cluster would call its holder alice, and so would the log.
    assert_eq!(
        code(get_client_licensor_cert(&world.context(), &request)).await,
        FaultCode::UntrustedPersonaCert
    );
}
