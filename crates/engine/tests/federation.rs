//! People of other organizations, whom an issuer vouches for: what they are certified as, and what
//! that gives them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use openrms_directory::{Address, BuiltIn, Contact, Member, NewPerson, People};
use openrms_engine::certify::certify;
use openrms_engine::client_licensor::get_client_licensor_cert;
use openrms_engine::license::acquire_license;
use openrms_engine::locate::find_service_locations;
use openrms_engine::precertify::precertify;
use openrms_engine::{Caller, Context, FederatedAccount, Refusal};
use openrms_protocol::certification::Certify;
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams};
use openrms_protocol::precertification::{Precertify, PrecertifyParams};
use openrms_protocol::publishing::GetClientLicensorCert;
use openrms_protocol::server::{FindServiceLocationsForUser, ServiceType};
use openrms_protocol::{CertificateChain, FaultCode};
use openrms_store::EmailDomains::{All, Only};
use openrms_store::{Change, EmailDomains, RacExclusion, Store as _, TrustedUserDomain};
use openrms_xrml::Guid;
use openrms_xrml::rac::{AccountCertificate, AccountIdentity, AccountType};
use openrms_xrml::rights_data::Grantee;
use support::*;

#[tokio::test]
async fn a_federated_person_is_certified_for_a_day_under_a_guid() {
    let world = federation().await;
    let caller = world.federated(PAT, &["p.smith@partner.test"]).await;
    let pat = world.join(&caller).await;
    let account = pat.rac.account();
    assert_eq!(account.account_type, AccountType::Federation);
    assert_eq!(account.email, PAT);
    assert_eq!(account.aliases, ["p.smith@partner.test"]);
    assert!(account.id.parse::<Guid>().is_ok(), "{}", account.id);
    let validity = pat.rac.validity().unwrap();
    assert_eq!(validity.until, NOW.plus_days(1));
    assert_eq!(validity.from, NOW.plus(-15 * 60));
    assert!(!pat.rac.is_temporary());
    assert!(pat.rac.machine().is_some());

    assert_eq!(pat.clc.account(), account);
    assert_eq!(pat.clc.range(), Some(validity));
}

#[tokio::test]
async fn the_address_decides_key_and_guid_whichever_server_is_asked() {
    let world = federation().await;
    let certified = async |world: &World, mail: &str, aliases: &[&str]| {
        let caller = world.federated(mail, aliases).await;
        let member = world.join(&caller).await;
        (
            member.rac.account().id.clone(),
            member.rac.key().modulus_le().to_vec(),
        )
    };
    let (id, key) = certified(&world, PAT, &[]).await;
    let again = certified(&world, "PAT@Partner.test", &["p.smith@partner.test"]).await;
    assert_eq!(again, (id.clone(), key));
    assert!(world.store.user_key(PAT).await.unwrap().is_some());
    assert!(world.store.user_key(&id).await.unwrap().is_none());
    let other = certified(&world, "p.smith@partner.test", &[PAT]).await;
    assert_ne!(other.0, id);

    // A server that has never heard of Pat, of the same cluster and of another one.
    let mut second = federation().await;
    assert_eq!(certified(&second, PAT, &[]).await.0, id);
    let url = Some("http://other.example/_wmcs".to_owned());
    second.policies(|policies| policies.base_url = url).await;
    assert_ne!(certified(&second, PAT, &[]).await.0, id);
}

#[tokio::test]
async fn a_temporary_rac_is_good_for_the_shorter_of_two_times() {
    let mut world = federation().await;
    let caller = world.federated(PAT, &[]).await;
    for (federated, minutes) in [(Duration::from_hours(24), 15), (Duration::from_mins(5), 5)] {
        world
            .policies(|policies| policies.federated_rac_validity = federated)
            .await;
        let (_, spc) = world.activate();
        let request = Certify {
            machine_certificate_chain: CertificateChain::split(&spc).unwrap(),
            persistent: false,
        };
        let done = certify(&world.context(), &caller, &request).await.unwrap();
        let chain = done.response.certificate_chain;
        let rac = AccountCertificate::new(verified(&chain, 0)).unwrap();
        assert!(rac.is_temporary());
        assert_eq!(rac.account().account_type, AccountType::Federation);
        assert_eq!(rac.validity().unwrap().until, NOW.plus(minutes * 60));
    }
}

#[tokio::test]
async fn rights_are_theirs_by_address_alias_and_everyone_and_by_nothing_else() {
    let world = federation().await;
    let alice = world.member("alice").await;
    let caller = world.federated(PAT, &["p.smith@partner.test"]).await;
    let pat = world.join(&caller).await;
    let content = |holder| Draft::new(&world, &alice.email, vec![grant("VIEW", holder)]);
    for holder in [
        to("Pat@PARTNER.test"),
        to("p.smith@partner.test"),
        Grantee::Anyone,
    ] {
        let draft = content(holder);
        let license = draft.sign(&world, &alice);
        let ul = world.license(&pat, &license).await.unwrap();
        assert_eq!(names(&ul), ["VIEW"]);
        assert_eq!(content_key(&pat, &ul).expose(), draft.key.expose());
        // The UL is for the very account that the RAC is for.
        let principal = ul.node().content().principal.as_ref().unwrap();
        assert_eq!(
            &AccountIdentity::read(&principal.object).unwrap(),
            pat.rac.account()
        );
    }
    for holder in [
        to("alice@example.test"),
        to("someone@partner.test"),
        Grantee::Sid(pat.rac.account().id.clone()),
    ] {
        let license = content(holder).sign(&world, &alice);
        assert_eq!(
            code(world.license(&pat, &license).await),
            FaultCode::NoRightsForRequestedPrincipal
        );
    }
}

#[tokio::test]
async fn a_contact_of_the_directory_puts_them_into_groups_but_not_by_sid() {
    let mut world = federation().await;
    let staff: Address = "staff@example.test".parse().unwrap();
    let mut list = people();
    list.add_contact(Contact {
        address: PAT.parse().unwrap(),
        forest: "partner.test".parse().unwrap(),
        group: false,
    })
    .unwrap();
    list.add_member(&staff, Member::parse(PAT).unwrap())
        .unwrap();
    let sid = list.groups().iter().find(|group| group.address == staff);
    let sid = sid.unwrap().sid.to_string();
    world.directory = BuiltIn::new(list).unwrap();
    let alice = world.member("alice").await;
    let pat = world.join(&world.federated(PAT, &[]).await).await;
    let content = |holder| Draft::new(&world, &alice.email, vec![grant("VIEW", holder)]);
    let by_address = content(to("staff@example.test")).sign(&world, &alice);
    assert!(world.license(&pat, &by_address).await.is_ok());
    let by_sid = content(Grantee::Sid(sid)).sign(&world, &alice);
    assert_eq!(
        code(world.license(&pat, &by_sid).await),
        FaultCode::NoRightsForRequestedPrincipal
    );
}

#[tokio::test]
async fn what_they_publish_is_theirs() {
    let world = federation().await;
    let bob = world.member("bob").await;
    let pat = world.join(&world.federated(PAT, &[]).await).await;
    let draft = Draft::new(&world, PAT, vec![grant("VIEW", to(&bob.email))]);
    let license = draft.sign(&world, &pat);
    let own = world.license(&pat, &license).await.unwrap();
    assert_eq!(names(&own), ["OWNER"]);
    assert!(world.license(&bob, &license).await.is_ok());
}

#[tokio::test]
async fn without_federation_nobody_is_certified_and_no_rac_counts() {
    let mut world = federation().await;
    let alice = world.member("alice").await;
    let caller = world.federated(PAT, &[]).await;
    let pat = world.join(&caller).await;
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", to(PAT))]).sign(&world, &alice);
    let request = GetClientLicensorCert {
        persona_certs: vec![pat.rac_chain.clone()],
    };
    assert!(world.license(&pat, &license).await.is_ok());
    world
        .policies(|policies| policies.federation_enabled = false)
        .await;
    let (_, spc) = world.activate();
    assert_eq!(
        code(world.try_certify(&caller, &spc).await),
        FaultCode::UnauthorizedAccess
    );
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::UnexpectedPersonaCert
    );
    assert_eq!(
        code(get_client_licensor_cert(&world.context(), &request).await),
        FaultCode::UnexpectedPersonaCert
    );
}

#[tokio::test]
async fn the_paths_of_federated_people_serve_no_others() {
    let world = federation().await;
    let alice = world.member("alice").await;
    let pat = world.join(&world.federated(PAT, &[]).await).await;
    let license = Draft::new(&world, &alice.email, vec![grant("VIEW", Grantee::Anyone)]);
    let license = license.sign(&world, &alice);
    let external = Context {
        external: true,
        ..world.context()
    };
    let acquire = async |who: &Member_| {
        let request = AcquireLicense::single(AcquireLicenseParams {
            licensee_certs: who.rac_chain.clone(),
            issuance_license: Some(license.clone()),
            application_data: None,
        });
        let answer = acquire_license(&external, &request).await;
        answer.map(|_| ()).map_err(|(refusal, _)| refusal)
    };
    assert!(acquire(&pat).await.is_ok());
    assert_eq!(code(acquire(&alice).await), FaultCode::UnauthorizedAccess);
    let request = |who: &Member_| GetClientLicensorCert {
        persona_certs: vec![who.rac_chain.clone()],
    };
    let licensor = get_client_licensor_cert(&external, &request(&alice)).await;
    assert_eq!(code(licensor), FaultCode::UnauthorizedAccess);
    let request = request(&pat);
    assert!(get_client_licensor_cert(&external, &request).await.is_ok());
}

#[tokio::test]
async fn their_rac_is_of_no_use_after_a_day_or_once_it_is_excluded() {
    let mut world = federation().await;
    let alice = world.member("alice").await;
    let pat = world.join(&world.federated(PAT, &[]).await).await;
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", to(PAT))]).sign(&world, &alice);
    world.now = NOW.plus(24 * 60 * 60 - 1);
    assert!(world.license(&pat, &license).await.is_ok());
    world.now = NOW.plus(24 * 60 * 60 + 1);
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::InvalidPersonaCertTime
    );
    world.now = NOW;
    let exclusion = RacExclusion {
        modulus: pat.rac.key().modulus_le().to_vec(),
        account: Some(PAT.into()),
        expires: None,
        created: NOW.unix(),
    };
    world.change(&[Change::PutRacExclusion(exclusion)]).await;
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::DrmacIsExcluded
    );
}

#[tokio::test]
async fn nobody_is_federated_by_an_address_of_an_account_or_group() {
    let world = federation().await;
    let find = async |mail: &str, aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| alias.parse().unwrap());
        let account = FederatedAccount::find(&world.directory, mail.parse().unwrap(), aliases);
        account.await.unwrap()
    };
    assert_eq!(find("Alice@example.test", &[]).await, None);
    assert_eq!(find("alice.old@example.test", &[]).await, None);
    assert_eq!(find("staff@example.test", &[]).await, None);
    let pat = find(
        PAT,
        &[
            "alice@example.test",
            "staff@example.test",
            "PAT@partner.test",
            "a@x",
            "A@x",
        ],
    );
    let aliases: Vec<_> = pat
        .await
        .unwrap()
        .aliases()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(aliases, ["a@x"]);
}

#[tokio::test]
async fn an_address_that_becomes_an_accounts_is_no_more_the_federated_persons() {
    let mut world = federation().await;
    let alice = world.member("alice").await;
    let caller = world.federated(PAT, &["p.smith@partner.test"]).await;
    let pat = world.join(&caller).await;
    let to_pat = Draft::new(&world, &alice.email, vec![grant("VIEW", to(PAT))]);
    let to_pat = to_pat.sign(&world, &alice);
    let to_alias = vec![grant("VIEW", to("p.smith@partner.test"))];
    let to_alias = Draft::new(&world, &alice.email, to_alias).sign(&world, &alice);
    let with_account = |mail: &str| {
        let mut list = people();
        hire(&mut list, mail);
        BuiltIn::new(list).unwrap()
    };

    world.directory = with_account("p.smith@partner.test");
    assert!(world.license(&pat, &to_pat).await.is_ok());
    assert_eq!(
        code(world.license(&pat, &to_alias).await),
        FaultCode::NoRightsForRequestedPrincipal
    );

    world.directory = with_account(PAT);
    for license in [&to_pat, &to_alias] {
        assert_eq!(
            code(world.license(&pat, license).await),
            FaultCode::UntrustedPersonaCert
        );
    }
    // The account is somebody else to the server, who is given what the address is.
    let hired = world.member("pat").await;
    assert_eq!(hired.rac.account().account_type, AccountType::Windows);
    assert_ne!(hired.rac.key(), pat.rac.key());
    assert!(world.license(&hired, &to_pat).await.is_ok());
}

#[tokio::test]
async fn a_trusted_user_domain_says_whether_its_federated_people_count() {
    let mut world = federation().await;
    let other = federation().await;
    let alice = world.member("alice").await;
    let pat = other.join(&other.federated(PAT, &[]).await).await;
    let license =
        Draft::new(&world, &alice.email, vec![grant("VIEW", to(PAT))]).sign(&world, &alice);
    let domain = |allow_federated, email_domains: EmailDomains| {
        Change::PutTrustedUserDomain(TrustedUserDomain {
            id: "other".into(),
            slc_chain: other.cluster.server().unwrap().chain.concatenated(),
            friendly_name: "Other".into(),
            allow_sid: true,
            allow_federated,
            email_domains,
        })
    };
    world.change(&[domain(false, All)]).await;
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::UntrustedPersonaCert
    );
    world.change(&[domain(true, All)]).await;
    assert!(world.license(&pat, &license).await.is_ok());
    world
        .change(&[domain(true, Only(vec!["other.test".into()]))])
        .await;
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::UntrustedPersonaCert
    );
    world
        .change(&[domain(true, Only(vec!["partner.test".into()]))])
        .await;
    assert!(world.license(&pat, &license).await.is_ok());
    world
        .policies(|policies| policies.federation_enabled = false)
        .await;
    assert_eq!(
        code(world.license(&pat, &license).await),
        FaultCode::UnexpectedPersonaCert
    );
}

#[tokio::test]
async fn they_are_told_where_services_are_and_act_for_nobody() {
    let world = federation().await;
    let caller = world.federated(PAT, &[]).await;
    let request = FindServiceLocationsForUser {
        services: vec![ServiceType::LicensingInternalService],
    };
    let answer = find_service_locations(&world.context(), &caller, &request).await;
    let url = answer.unwrap().locations.remove(0).url.unwrap();
    assert_eq!(url, "http://rms.example/_wmcs/licensing");

    let request = Precertify {
        items: vec![PrecertifyParams {
            user_name: Some("alice@example.test".into()),
            identification: None,
        }],
    };
    let refused = precertify(&world.context(), &caller, &request).await;
    assert_eq!(code(refused), FaultCode::UnauthorizedAccess);
    assert_eq!(caller.name().as_deref(), Some(PAT));
    assert_eq!(Caller::default().name(), None);
}

async fn federation() -> World {
    let mut world = World::new().await;
    world
        .policies(|policies| policies.federation_enabled = true)
        .await;
    world
}

/// Gives the directory an account called pat.
fn hire(list: &mut People, mail: &str) {
    list.add_person(NewPerson {
        account: "pat".parse().unwrap(),
        display_name: "Pat".into(),
        mail: Some(mail.parse().unwrap()),
        addresses: Vec::new(),
        created: None,
    })
    .unwrap();
}

fn code<T>(result: Result<T, Refusal>) -> FaultCode {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(refusal) => refusal.code,
    }
}

const PAT: &str = "pat@partner.test";
