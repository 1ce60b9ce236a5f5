//! People of other organizations, whom a token vouches for: at which paths they are served.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openrms_protocol::{Fault, FaultCode, Service};
use openrms_xrml::rac::AccountType;

use super::world::{OURS, Person, SERVER, World, code, policy};
use crate::client::certified_as_either;
use crate::service::ServiceError;
use crate::*;

/// Pat, with a token, in a world whose server takes it.
fn pat(world: &Arc<World>) -> Person {
    world.federation.store(true, Ordering::SeqCst);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let home = Home::open(folder.path().join("home")).unwrap();
    let token = Credentials::Bearer(Secret::from(b"pat".as_slice()));
    let client = world.builder(home, "pat").credentials(token).build();
    Person { client, folder }
}

/// The services that were asked, and whether the token went there.
fn services(world: &World) -> Vec<(Service, bool)> {
    let posts = world.requests().into_iter();
    let posts = posts.filter(|(operation, ..)| operation != "GET");
    posts
        .map(|(_, url, auth)| {
            let path = url.strip_prefix(SERVER).unwrap();
            (Service::from_path(path).unwrap(), auth.is_some())
        })
        .collect()
}

#[test]
fn a_token_that_the_first_path_refuses_is_shown_at_the_other() {
    let world = World::new(&OURS);
    let pat = pat(&world);
    let (account, licensor) = pat.sign_in(None, Persistence::Persistent).unwrap();
    assert_eq!(account.identity().account_type, AccountType::Federation);
    assert_eq!(licensor.certificate().account(), account.identity());
    assert_eq!(
        services(&world),
        [
            (Service::Certification, true),
            (Service::CertificationExternal, true),
            (Service::CertificationExternalServiceLocator, true),
            (Service::PublishExternal, false),
        ]
    );
    let status = pat.status().unwrap();
    assert_eq!(status.accounts[0].identity, *account.identity());
}

#[test]
fn what_they_protect_and_open_they_do_at_paths_of_their_own() {
    let world = World::new(&OURS);
    let pat = pat(&world);
    pat.account().unwrap();
    services(&world);
    let text = b"text".as_slice();
    let mut out = Vec::new();
    let grants = policy(&["pat@example.com:VIEW"]);
    pat.protect(text, None, ".txt", &mut out, &grants, Signer::Server)
        .unwrap();
    let path = pat.path("a.ptxt");
    fs::write(&path, out).unwrap();
    let opened = pat.open(fs::File::open(&path).unwrap()).unwrap();
    assert!(opened.may("VIEW"));
    let asked = services(&world);
    assert_eq!(
        asked,
        [
            (Service::LicensingExternalServer, false),
            (Service::PublishExternal, false),
            (Service::LicenseExternal, false),
        ]
    );
}

#[test]
fn an_expired_account_is_renewed_where_it_was_made() {
    let world = World::new(&OURS);
    world.rac_days.store(1, Ordering::SeqCst);
    let pat = pat(&world);
    pat.account().unwrap();
    services(&world);
    world.pass(2 * 24 * 60 * 60);
    let account = pat.account().unwrap();
    assert!(account.is_valid_at(world.now()));
    assert_eq!(services(&world)[0], (Service::CertificationExternal, true));
}

#[test]
fn a_server_without_federation_has_said_no_already() {
    let world = World::new(&OURS);
    let pat = pat(&world);
    world.federation.store(false, Ordering::SeqCst);
    assert_eq!(code(pat.account()), ("sign-in-refused", 3));
}

#[test]
fn only_a_token_is_shown_twice() {
    let refused = |url: &str, shown| ServiceError::SignInRefused {
        url: url.to_owned(),
        shown: Some(shown),
    };
    for (scheme, expected) in [
        (Scheme::Basic, &[Service::Certification][..]),
        (Scheme::Negotiate, &[Service::Certification]),
        (
            Scheme::Bearer,
            &[Service::Certification, Service::CertificationExternal],
        ),
    ] {
        let asked = RefCell::new(Vec::new());
        let outcome = certified_as_either(|service| {
            asked.borrow_mut().push(service);
            Err(refused(service.path(), scheme))
        });
        assert_eq!(*asked.borrow(), expected);
        let first = Service::Certification.path();
        assert_eq!(outcome, Err(refused(first, scheme)));
    }
    // What is wrong with the request, not with the token, is told.
    let fault = ServiceError::Fault {
        url: "x".into(),
        fault: Fault::from(FaultCode::VerifyMachineCertificateChainFailed),
    };
    let outcome = certified_as_either(|service| match service {
        Service::Certification => Err(refused("x", Scheme::Bearer)),
        _ => Err(fault.clone()),
    });
    assert_eq!(outcome, Err(fault));
}
