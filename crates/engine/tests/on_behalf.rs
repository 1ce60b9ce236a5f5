//! What is decided about people who do not ask themselves: precertification, prelicensing,
//! republishing (MS-RMSI), and the accounts of servers, devices and kiosks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use openrms_directory::{BuiltIn, Member};
use openrms_engine::precertify::precertify;
use openrms_engine::prelicense::acquire_prelicense;
use openrms_engine::{Caller, Refusal};
use openrms_protocol::certification::Certify;
use openrms_protocol::precertification::{
    AuthenticationMode, Identification, Precertify, PrecertifyParams,
};
use openrms_protocol::prelicensing::{
    AcquirePreLicense, AcquirePreLicenseParams, PreLicenseOutcome,
};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_store::{Change, ProductVersion, RacExclusion};
use openrms_xrml::Interval;
use openrms_xrml::pl::PublishingLicense;
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights::TimeCondition;
use openrms_xrml::rights_data::{Grantee, RightGrant};
use openrms_xrml::ul::UseLicense;
use support::*;

fn code<T>(result: Result<T, Refusal>) -> FaultCode {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(refusal) => refusal.code,
    }
}

fn by_name(name: &str) -> PrecertifyParams {
    PrecertifyParams {
        user_name: Some(name.into()),
        identification: None,
    }
}

fn by_sid(sid: &str) -> PrecertifyParams {
    PrecertifyParams {
        user_name: None,
        identification: Some(Identification {
            authentication_mode: AuthenticationMode::Windows,
            id: sid.into(),
        }),
    }
}

async fn ask(world: &World, params: PrecertifyParams) -> Result<AccountCertificate, Refusal> {
    let caller = world.caller("carol").await;
    let request = Precertify::single(params);
    let done = precertify(&world.context(), &caller, &request).await?;
    let chain = CertificateChain(vec![done.response.certificate]);
    let rac = AccountCertificate::new(verified(&chain, 0)).unwrap();
    assert_eq!(done.account, rac.account().email);
    Ok(rac)
}

#[tokio::test]
async fn a_person_is_precertified_with_the_key_of_their_own_certificates_and_no_private_key() {
    let world = World::new().await;
    // Before they ever certified themselves: the key they get then is the one told here.
    let early = ask(&world, by_name("BOB.old@example.test")).await.unwrap();
    let bob = world.member("bob").await;
    let sid = bob.rac.account().id.clone();
    for params in [
        by_name("bob@example.test"),
        by_sid(&sid),
        PrecertifyParams {
            user_name: Some("bob.old@example.test".into()),
            ..by_sid(&sid)
        },
    ] {
        let rac = ask(&world, params).await.unwrap();
        assert_eq!(rac.key(), bob.rac.key());
        assert_eq!(rac.key(), early.key());
        assert_eq!(rac.account(), bob.rac.account());
        assert_eq!((rac.sealed_key(), rac.machine()), (None, None));
        assert!(!rac.node().text().contains("FEDERATIONPRINCIPALS"));
        assert_eq!(rac.validity(), bob.rac.validity());
    }
}

#[tokio::test]
async fn with_a_public_certificate_a_license_is_made_that_its_person_alone_opens() {
    let world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let license = Draft::new(&world, &alice.email, vec![grant("VIEW", to(&bob.email))]);
    let signed = license.sign(&world, &alice);
    let rac = ask(&world, by_name(&bob.email)).await.unwrap();
    let mut chain = world.cluster.server().unwrap().chain.clone();
    let leaf = CertificateText::new(rac.node().text().to_string()).unwrap();
    chain.0.insert(0, leaf);
    let ul = world.license_with(&chain, &signed).await.unwrap();
    assert_eq!(content_key(&bob, &ul).expose(), license.key.expose());
    assert_eq!(ul.key(), bob.rac.key());

    let rac = ask(&world, by_name("carol@example.test")).await.unwrap();
    chain.0[0] = CertificateText::new(rac.node().text().to_string()).unwrap();
    let refused = code(world.license_with(&chain, &signed).await);
    assert_eq!(refused, FaultCode::NoRightsForRequestedPrincipal);
}

#[tokio::test]
async fn each_fault_of_the_precertification_table_is_given() {
    let mut world = World::new().await;
    let bob = world.member("bob").await;
    let sid = bob.rac.account().id.clone();
    for (params, fault) in [
        (PrecertifyParams::default(), FaultCode::ArgumentNull),
        (by_name("bob"), FaultCode::DrmsArgument),
        (by_name("nobody@example.test"), FaultCode::DrmsArgument),
        (by_name("staff@example.test"), FaultCode::DrmsArgument),
        (by_sid("bob@example.test"), FaultCode::DrmsArgument),
        (by_sid("S-1-5-21-1-2-3-99999"), FaultCode::DrmsArgument),
        (
            PrecertifyParams {
                user_name: Some("alice@example.test".into()),
                ..by_sid(&sid)
            },
            FaultCode::UnauthorizedAccess,
        ),
    ] {
        let refused = code(ask(&world, params.clone()).await);
        assert_eq!(refused, fault, "{params:?}");
    }
    for count in [0, 2] {
        let request = Precertify {
            items: vec![by_name(&bob.email); count],
        };
        let caller = world.caller("carol").await;
        let refused = code(precertify(&world.context(), &caller, &request).await);
        assert_eq!(refused, FaultCode::DrmsArgument);
    }
    let request = Precertify::single(by_name(&bob.email));
    let refused = code(precertify(&world.context(), &Caller::default(), &request).await);
    assert_eq!(refused, FaultCode::UnauthorizedAccess);

    let mut people = people();
    people
        .set_disabled(&Member::parse("bob").unwrap(), true)
        .unwrap();
    world.directory = BuiltIn::new(people).unwrap();
    let refused = code(ask(&world, by_name(&bob.email)).await);
    assert_eq!(refused, FaultCode::UnauthorizedAccess);
    let request = Precertify::single(by_name("alice@example.test"));
    let disabled = world.caller("bob").await;
    let refused = code(precertify(&world.context(), &disabled, &request).await);
    assert_eq!(refused, FaultCode::UnauthorizedAccess);

    world.policies(|p| p.decommissioned = true).await;
    let refused = code(ask(&world, by_name("alice@example.test")).await);
    assert_eq!(refused, FaultCode::ClusterDecommissioned);
}

async fn prelicense(
    world: &World,
    license: &CertificateChain<'static>,
    recipients: &[&str],
) -> Result<Vec<Result<UseLicense, FaultCode>>, Refusal> {
    let caller = world.caller("carol").await;
    let request = AcquirePreLicense::single(AcquirePreLicenseParams {
        licensee_identities: recipients.iter().map(|&r| r.to_owned()).collect(),
        issuance_license: license.clone(),
    });
    let mut done = acquire_prelicense(&world.context(), &caller, &request).await?;
    assert_eq!(done.items.len(), recipients.len());
    let answer = done.response.items.remove(0);
    assert_eq!(
        &answer.certificate_chain,
        &world.cluster.server().unwrap().chain
    );
    let read = |(index, outcome): (usize, PreLicenseOutcome<'static>)| match outcome {
        PreLicenseOutcome::License(text) => {
            Ok(UseLicense::new(verified(&CertificateChain(vec![text]), 0)).unwrap())
        }
        PreLicenseOutcome::Exception(exception) => {
            assert_eq!(exception.batch_index as usize, index);
            Err(exception.fault.code.unwrap())
        }
    };
    Ok(answer.licenses.into_iter().enumerate().map(read).collect())
}

#[tokio::test]
async fn recipients_get_the_license_they_would_get_themselves_and_fail_alone() {
    let mut world = World::new().await;
    let (alice, bob, dave) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("dave").await,
    );
    let draft = Draft::new(
        &world,
        &alice.email,
        vec![
            grant("VIEW", to("staff@example.test")),
            grant("PRINT", Grantee::Sid(dave.rac.account().id.clone())),
        ],
    );
    let license = draft.sign(&world, &alice);
    let recipients = [
        "bob.old@example.test",
        "carol@example.test",
        "nobody@example.test",
        "not an address",
        "DAVE@example.test",
        "staff@example.test",
        "alice@example.test",
    ];
    let outcome = prelicense(&world, &license, &recipients).await.unwrap();
    let faults: Vec<_> = outcome
        .iter()
        .map(|one| one.as_ref().err().copied())
        .collect();
    let invalid = Some(FaultCode::AcquirePreLicenseInvalidLicensee);
    assert_eq!(
        faults,
        [
            None,
            Some(FaultCode::NoRightsForRequestedPrincipal),
            invalid,
            invalid,
            None,
            invalid,
            None
        ]
    );
    for (index, person) in [(0, &bob), (4, &dave), (6, &alice)] {
        let ahead = outcome[index].as_ref().unwrap();
        let own = world.license(person, &license).await.unwrap();
        assert_eq!(names(ahead), names(&own));
        assert_eq!(ahead.key(), person.rac.key());
        assert_eq!(content_key(person, ahead).expose(), draft.key.expose());
        // To the letter what the person's own RAC would have put there.
        let principal = person.rac.principal_raw();
        assert!(ahead.node().text().contains(principal));
    }

    let mut people = people();
    people
        .set_disabled(&Member::parse("bob").unwrap(), true)
        .unwrap();
    world.directory = BuiltIn::new(people).unwrap();
    let outcome = prelicense(&world, &license, &["bob@example.test"]).await;
    let refused = outcome.unwrap().remove(0).unwrap_err();
    assert_eq!(refused, FaultCode::UnauthorizedAccess);
}

#[tokio::test]
async fn a_license_from_on_line_publishing_is_prelicensed_by_its_leaf() {
    let world = World::new().await;
    let bob = world.member("bob").await;
    let draft = Draft::new(
        &world,
        "alice@example.test",
        vec![grant("VIEW", to(&bob.email))],
    );
    let license = world.sign_online(draft.content.unsigned()).unwrap();
    assert_eq!(license.len(), 1);
    let mut outcome = prelicense(&world, &license, &[&bob.email]).await.unwrap();
    let ul = outcome.remove(0).unwrap();
    assert_eq!(content_key(&bob, &ul).expose(), draft.key.expose());
}

#[tokio::test]
async fn a_recipient_who_was_never_certified_opens_the_license_when_they_are() {
    let world = World::new().await;
    let alice = world.member("alice").await;
    let draft = Draft::new(
        &world,
        &alice.email,
        vec![grant("VIEW", to("dave@example.test"))],
    );
    let license = draft.sign(&world, &alice);
    let mut outcome = prelicense(&world, &license, &["dave@example.test"])
        .await
        .unwrap();
    let ul = outcome.remove(0).unwrap();
    let dave = world.member("dave").await;
    assert_eq!(content_key(&dave, &ul).expose(), draft.key.expose());
}

#[tokio::test]
async fn one_request_for_many_new_people_does_not_make_keys_without_end() {
    let mut world = World::new().await;
    let alice = world.member("alice").await;
    let mut people = people();
    let mut recipients = Vec::new();
    for number in 0..10 {
        let mail = format!("new{number}@example.test");
        people
            .add_person(openrms_directory::NewPerson {
                account: format!("new{number}").parse().unwrap(),
                display_name: mail.clone(),
                mail: Some(mail.parse().unwrap()),
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
        recipients.push(mail);
    }
    world.directory = BuiltIn::new(people).unwrap();
    let anyone = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    let license = anyone.sign(&world, &alice);
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    for served in [8, 10] {
        let outcome = prelicense(&world, &license, &recipients).await.unwrap();
        assert_eq!(outcome.iter().filter(|one| one.is_ok()).count(), served);
        for refused in outcome.iter().filter_map(|one| one.as_ref().err()) {
            assert_eq!(*refused, FaultCode::UnspecifiedError);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_license_or_the_caller_fails_the_whole_request() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let draft = Draft::new(&world, &alice.email, vec![grant("VIEW", to(&bob.email))]);
    let license = draft.sign(&world, &alice);
    let ask = async |world: &World, license: &CertificateChain<'static>| {
        code(prelicense(world, license, &["bob@example.test"]).await)
    };

    let request = AcquirePreLicense::single(AcquirePreLicenseParams {
        licensee_identities: vec![bob.email.clone()],
        issuance_license: license.clone(),
    });
    let nobody = acquire_prelicense(&world.context(), &Caller::default(), &request).await;
    assert_eq!(code(nobody), FaultCode::UnauthorizedAccess);

    // The leaf of an off-line license alone does not tell whether its CLC was ours.
    let leaf = CertificateChain(vec![license.0[0].clone()]);
    let refused = ask(&world, &leaf).await;
    assert_eq!(refused, FaultCode::RightsLabelNoMatchingIssuedPrincipal);

    let mut torn = license.clone();
    let text = torn.0[0].as_str().replace("2027-", "2028-");
    assert_ne!(text, torn.0[0].as_str());
    torn.0[0] = CertificateText::new(text).unwrap();
    let refused = ask(&world, &torn).await;
    assert_eq!(refused, FaultCode::InvalidRightsLabelSignature);

    let mut over = Draft::new(&world, &alice.email, vec![grant("VIEW", to(&bob.email))]);
    over.content.validity = Some(Interval {
        from: NOW.plus(-7200),
        until: NOW.plus(-3600),
    });
    let refused = ask(&world, &over.sign(&world, &alice)).await;
    assert_eq!(refused, FaultCode::IssuanceLicenseIsNotWithinValidTimeRange);

    let key = bob.rac.key().modulus_le().to_vec();
    let exclusion = RacExclusion {
        modulus: key,
        account: None,
        expires: None,
        created: NOW.unix(),
    };
    world.change(&[Change::PutRacExclusion(exclusion)]).await;
    let outcome = prelicense(&world, &license, &["bob@example.test"]).await;
    let refused = outcome.unwrap().remove(0).unwrap_err();
    assert_eq!(refused, FaultCode::DrmacIsExcluded);

    let minimum: ProductVersion = "6.0.0.0".parse().unwrap();
    world
        .policies(|p| p.spc_minimum_version = Some(minimum))
        .await;
    assert_eq!(ask(&world, &license).await, FaultCode::BlackBoxIsInvalid);

    world.policies(|p| p.decommissioned = true).await;
    let refused = ask(&world, &license).await;
    assert_eq!(refused, FaultCode::ClusterDecommissioned);
}

/// Alice's content, which lets servers edit it and lets bob change its rights.
fn editable(world: &World, alice: &Member_, right: &str, value: Option<&str>) -> Draft {
    Draft::build(world, &alice.email, |request| {
        request.grants = vec![
            grant(right, to("bob@example.test")),
            grant("VIEW", to("dave@example.test")),
        ];
        if let Some(value) = value {
            request.app_data = vec![("Allow_Server_Editing".into(), value.into())];
        }
    })
}

/// The rights that shall hold: carol may view, and nobody else.
fn for_carol(world: &World, of: &Draft, author: &str) -> Draft {
    Draft::rewrite(world, of, author, |request| {
        request.grants = vec![grant("VIEW", to("carol@example.test"))];
    })
}

#[tokio::test]
async fn whoever_holds_the_right_changes_the_rights_and_neither_key_content_nor_author() {
    let mut world = World::new().await;
    let (alice, carol, dave) = (
        world.member("alice").await,
        world.member("carol").await,
        world.member("dave").await,
    );
    for (right, editor) in [
        ("EDITRIGHTSDATA", "bob"),
        ("OWNER", "bob"),
        ("VIEW", "alice"),
    ] {
        world.now = NOW;
        let draft = editable(&world, &alice, right, Some("True"));
        let before = draft.sign(&world, &alice);
        assert!(world.license(&carol, &before).await.is_err());

        world.now = NOW.plus_days(3);
        let unsigned = for_carol(&world, &draft, &alice.email);
        assert_ne!(unsigned.key.expose(), draft.key.expose());
        let after = world
            .edit(editor, &before, unsigned.content.unsigned())
            .await
            .unwrap();
        assert_eq!(after.len(), 1, "the leaf alone");

        let ul = world.license(&carol, &after).await.unwrap();
        assert_eq!(names(&ul), ["VIEW"]);
        assert_eq!(content_key(&carol, &ul).expose(), draft.key.expose());
        assert!(world.license(&dave, &after).await.is_err());
        let ul = world.license(&alice, &after).await.unwrap();
        assert_eq!(names(&ul), ["OWNER"], "the author stays the author");
        let node = verified(&after, 0);
        let license = PublishingLicense::new(node).unwrap();
        assert_eq!(
            license.content_id(),
            Some(&*draft.content.content_id.to_upper())
        );
        assert_eq!(
            license.node().issuer_key(),
            Some(world.cluster.server().unwrap().slc.key())
        );
        // What holds for the old license holds for the new: it did not opt in to being edited.
        let again = for_carol(&world, &draft, &alice.email);
        let refused = world.edit("alice", &after, again.content.unsigned()).await;
        assert_eq!(code(refused), FaultCode::ServerRepublishIllegal);
    }
}

#[tokio::test]
async fn days_are_counted_from_when_the_content_was_first_published() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    for proof in [true, false] {
        world.now = NOW;
        let draft = editable(&world, &alice, "OWNER", Some("True"));
        let draft = if proof { draft } else { draft.without_proof() };
        let before = draft.sign(&world, &alice);
        world.now = NOW.plus_days(3);
        let unsigned = Draft::rewrite(&world, &draft, &alice.email, |request| {
            request.precondition = TimeCondition {
                range: None,
                days: Some(5),
            };
            request.grants = vec![grant("VIEW", to("bob@example.test"))];
        });
        let after = world
            .edit("bob", &before, unsigned.content.unsigned())
            .await
            .unwrap();
        let ul = world.license(&bob, &after).await.unwrap();
        let range = ul.rights()[0].time.range.unwrap();
        assert_eq!(range.until, NOW.floor_minute().plus_days(5));
        world.now = NOW.plus_days(5);
        assert!(world.license(&bob, &after).await.is_err());
    }
}

#[tokio::test]
async fn whoever_does_not_hold_the_right_changes_nothing() {
    let mut world = World::new().await;
    let (alice, bob, dave) = (
        world.member("alice").await,
        world.member("bob").await,
        world.member("dave").await,
    );
    let refused =
        async |world: &World, who: &str, before: &CertificateChain<'static>, of: &Draft| {
            let unsigned = for_carol(world, of, &alice.email).content.unsigned();
            code(world.edit(who, before, unsigned).await)
        };
    let illegal = FaultCode::ServerRepublishIllegal;
    let draft = editable(&world, &alice, "EDITRIGHTSDATA", Some("true"));
    let before = draft.sign(&world, &alice);
    for who in ["carol", "dave"] {
        assert_eq!(refused(&world, who, &before, &draft).await, illegal);
    }
    // VIEW and EDIT are rights in the content, not in its license.
    for right in ["VIEW", "EDIT"] {
        let draft = editable(&world, &alice, right, Some("True"));
        let before = draft.sign(&world, &alice);
        assert_eq!(refused(&world, "bob", &before, &draft).await, illegal);
    }
    // The right is over.
    let over = Draft::build(&world, &alice.email, |request| {
        request.grants = vec![RightGrant {
            time: TimeCondition {
                range: Some(Interval {
                    from: NOW.plus(-7200),
                    until: NOW.plus(-3600),
                }),
                days: None,
            },
            ..grant("OWNER", to(&bob.email))
        }];
        request.app_data = vec![("Allow_Server_Editing".into(), "True".into())];
    });
    let license = over.sign(&world, &alice);
    assert_eq!(refused(&world, "bob", &license, &over).await, illegal);
    // The license did not opt in, not even for its author.
    for value in [None, Some("False"), Some("")] {
        let draft = editable(&world, &alice, "OWNER", value);
        let before = draft.sign(&world, &alice);
        for who in ["alice", "bob"] {
            assert_eq!(refused(&world, who, &before, &draft).await, illegal);
        }
    }
    // An opt-in in the clear part is not the author's.
    let mut clear = editable(&world, &alice, "OWNER", None);
    let opt_in = ("APPSPECIFIC", "Allow_Server_Editing", "True");
    let (id, name, value) = opt_in;
    clear
        .content
        .extra
        .push((id.into(), name.into(), value.into()));
    let license = clear.sign(&world, &alice);
    assert_eq!(refused(&world, "bob", &license, &clear).await, illegal);

    let unsigned = for_carol(&world, &draft, &alice.email);
    let nobody = world
        .edit_as(&Caller::default(), &before, unsigned.content.unsigned())
        .await;
    assert_eq!(code(nobody), FaultCode::UnauthorizedAccess);

    // A super user may.
    world
        .policies(|p| {
            p.super_user_enabled = true;
            p.super_user_group = Some("super@example.test".into());
        })
        .await;
    let after = world.edit("carol", &before, unsigned.content.unsigned());
    assert!(world.license(&dave, &after.await.unwrap()).await.is_err());
}

#[tokio::test]
async fn nobody_becomes_the_author_or_reads_other_rights_by_republishing() {
    let world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let draft = editable(&world, &alice, "OWNER", Some("True"));
    let before = draft.sign(&world, &alice);
    let edit = async |before: &CertificateChain<'static>, unsigned: &Draft| {
        let text = unsigned.content.unsigned();
        code(world.edit("bob", before, text).await)
    };
    let illegal = FaultCode::ServerRepublishIllegal;
    // Bob as the owner, everywhere, in the clear part alone, in the rights data alone.
    let mine = for_carol(&world, &draft, &bob.email);
    assert_eq!(edit(&before, &mine).await, illegal);
    let mut clear = for_carol(&world, &draft, &alice.email);
    clear.content.owner = to(&bob.email).object();
    assert_eq!(edit(&before, &clear).await, illegal);
    let mut inner = for_carol(&world, &draft, &bob.email);
    inner.content.owner = to(&alice.email).object();
    assert_eq!(edit(&before, &inner).await, illegal);
    // Another content, in the clear part or in the rights data.
    let other = editable(&world, &alice, "OWNER", Some("True"));
    assert_eq!(edit(&before, &other).await, illegal);
    let mut renamed = for_carol(&world, &other, &alice.email);
    renamed.content.content_id = draft.content.content_id;
    assert_eq!(edit(&before, &renamed).await, illegal);
}

#[tokio::test]
async fn an_author_who_is_only_claimed_is_not_proven_by_republishing() {
    let mut world = World::new().await;
    let id = guid();
    let mut request = template(id, vec![grant("OWNER", to("bob@example.test"))]);
    request.app_data = vec![("Allow_Server_Editing".into(), "True".into())];
    let change = world.template(&request);
    let Change::PutTemplate(stored) = &change else {
        unreachable!()
    };
    let text = stored.xrml.clone();
    world.change(std::slice::from_ref(&change)).await;
    let (alice, carol) = (world.member("alice").await, world.member("carol").await);
    let draft = Draft::of_template(&world, &alice.email, &text).without_proof();
    let before = draft.sign(&world, &alice);
    let refused = code(world.license(&alice, &before).await);
    assert_eq!(refused, FaultCode::NoRightsForRequestedPrincipal);

    // Rights data of one's own name their author, which would prove what was claimed.
    let own = for_carol(&world, &draft, &alice.email);
    let refused = world.edit("bob", &before, own.content.unsigned()).await;
    assert_eq!(code(refused), FaultCode::ServerRepublishIllegal);

    // Another template does not.
    let mut other = template(guid(), vec![grant("VIEW", to("carol@example.test"))]);
    other.app_data.clear();
    let change = world.template(&other);
    let Change::PutTemplate(stored) = &change else {
        unreachable!()
    };
    let text = stored.xrml.clone();
    world.change(std::slice::from_ref(&change)).await;
    let mut unsigned = Draft::of_template(&world, &alice.email, &text);
    unsigned.content.content_id = draft.content.content_id;
    let after = world
        .edit("bob", &before, unsigned.content.unsigned())
        .await
        .unwrap();
    let ul = world.license(&carol, &after).await.unwrap();
    assert_eq!(content_key(&carol, &ul).expose(), draft.key.expose());
    let refused = code(world.license(&alice, &after).await);
    assert_eq!(refused, FaultCode::NoRightsForRequestedPrincipal);

    // A template that is changed to forbid editing forbids it for what was published before.
    request.app_data.clear();
    let change = world.template(&request);
    world.change(&[change]).await;
    let refused = world
        .edit("bob", &before, unsigned.content.unsigned())
        .await;
    assert_eq!(code(refused), FaultCode::ServerRepublishIllegal);
}

#[tokio::test]
async fn each_fault_of_the_republishing_table_is_given() {
    let mut world = World::new().await;
    let other = World::new().await;
    let alice = world.member("alice").await;
    let draft = editable(&world, &alice, "OWNER", Some("True"));
    let before = draft.sign(&world, &alice);
    let unsigned = for_carol(&world, &draft, &alice.email).content.unsigned();
    let edit = async |world: &World, before: &CertificateChain<'static>, unsigned: &str| {
        code(world.edit("bob", before, unsigned.to_owned()).await)
    };

    let invalid = FaultCode::InvalidSignedIssuanceLicense;
    let stranger = other.member("alice").await;
    let foreign = editable(&other, &stranger, "OWNER", Some("True"));
    let foreign = foreign.sign(&other, &stranger);
    assert_eq!(edit(&world, &foreign, &unsigned).await, invalid);
    let leaf = CertificateChain(vec![before.0[0].clone()]);
    assert_eq!(edit(&world, &leaf, &unsigned).await, invalid);
    let mut torn = before.clone();
    let text = torn.0[0].as_str().replace("2027-", "2028-");
    torn.0[0] = CertificateText::new(text).unwrap();
    assert_eq!(edit(&world, &torn, &unsigned).await, invalid);

    let theirs = for_carol(&other, &draft, &alice.email).content.unsigned();
    assert_eq!(
        edit(&world, &before, &theirs).await,
        FaultCode::UnsignedIssuanceLicenseNoMatchingIssuedPrincipal
    );

    let forged = other.template(&template(guid(), Vec::new()));
    let Change::PutTemplate(forged) = forged else {
        unreachable!()
    };
    let mut forged = Draft::of_template(&world, &alice.email, &forged.xrml);
    forged.content.content_id = draft.content.content_id;
    assert_eq!(
        edit(&world, &before, &forged.content.unsigned()).await,
        FaultCode::InvalidOfficialRightsTemplate
    );

    world
        .policies(|p| p.online_publishing_enabled = false)
        .await;
    let refused = edit(&world, &before, &unsigned).await;
    assert_eq!(refused, FaultCode::OnlinePublishingDisabled);
    world
        .policies(|p| {
            p.online_publishing_enabled = true;
            p.decommissioned = true;
        })
        .await;
    let refused = edit(&world, &before, &unsigned).await;
    assert_eq!(refused, FaultCode::ClusterDecommissioned);
}

#[tokio::test]
async fn the_account_of_a_server_is_certified_like_a_persons_when_it_has_a_mail_address() {
    let mut world = World::new().await;
    let mut people = people();
    for (account, mail) in [("MAIL01$", Some("mail01@example.test")), ("MAIL02$", None)] {
        people
            .add_person(openrms_directory::NewPerson {
                account: account.parse().unwrap(),
                display_name: account.into(),
                mail: mail.map(|mail| mail.parse().unwrap()),
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
    }
    world.directory = BuiltIn::new(people).unwrap();
    let server = world.member("MAIL01$").await;
    assert_eq!(server.email, "mail01@example.test");
    let draft = Draft::new(
        &world,
        "alice@example.test",
        vec![grant("VIEW", to("mail01@example.test"))],
    );
    let license = world.sign_online(draft.content.unsigned()).unwrap();
    assert!(world.license(&server, &license).await.is_ok());

    let (_, spc) = world.activate();
    let caller = world.caller("MAIL02$").await;
    let refused = code(world.try_certify(&caller, &spc).await);
    assert_eq!(refused, FaultCode::ADEntrySearchFailed);
}

#[tokio::test]
async fn a_temporary_certificate_lasts_minutes_and_its_sid_is_given_nothing() {
    let mut world = World::new().await;
    let (alice, bob) = (world.member("alice").await, world.member("bob").await);
    let (_, spc) = world.activate();
    let request = Certify {
        machine_certificate_chain: CertificateChain::split(&spc).unwrap(),
        persistent: false,
    };
    let caller = world.caller("bob").await;
    let done = openrms_engine::certify::certify(&world.context(), &caller, &request)
        .await
        .unwrap();
    let chain = done.response.certificate_chain.into_owned();
    let rac = AccountCertificate::new(verified(&chain, 0)).unwrap();
    assert!(rac.is_temporary() && rac.sealed_key().is_some());
    assert_eq!(rac.key(), bob.rac.key());
    let until = rac.validity().unwrap().until;
    assert_eq!(until, NOW.plus(15 * 60));

    let sid = Grantee::Sid(bob.rac.account().id.clone());
    let by_sid = Draft::new(&world, &alice.email, vec![grant("VIEW", sid)]).sign(&world, &alice);
    assert!(world.license(&bob, &by_sid).await.is_ok());
    let refused = code(world.license_with(&chain, &by_sid).await);
    assert_eq!(refused, FaultCode::NoRightsForRequestedPrincipal);
    let by_group = vec![grant("VIEW", to("staff@example.test"))];
    let by_group = Draft::new(&world, &alice.email, by_group).sign(&world, &alice);
    assert!(world.license_with(&chain, &by_group).await.is_ok());
    world.now = until;
    let refused = code(world.license_with(&chain, &by_group).await);
    assert_eq!(refused, FaultCode::InvalidPersonaCertTime);
}
