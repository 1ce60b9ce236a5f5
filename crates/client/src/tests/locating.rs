//! Where the server says that its services are, and which of that is believed.

use openrms_protocol::server::{ServiceLocation, ServiceType};

use super::world::{OURS, Person, SERVER, World, code, policy};
use crate::*;

const LICENSING: &str = "https://lic.example.com";

fn licensing_at(world: &World, url: &str) {
    *world.locations.lock().unwrap() = vec![ServiceLocation {
        service: ServiceType::LicensingInternalService,
        url: Some(url.to_owned()),
    }];
}

fn remembered(person: &Person) -> Option<String> {
    person.settings().unwrap().services?.licensing
}

/// Operations of the licensing cluster, with the origin each was asked at.
fn licensing_work(world: &World) -> Vec<(String, bool)> {
    let all = world.requests().into_iter();
    let all = all.filter(|(_, url, _)| url.contains("/_wmcs/licensing/"));
    all.map(|(operation, url, auth)| {
        assert!(auth.is_none(), "credentials went to {url}");
        (operation, url.starts_with(LICENSING))
    })
    .collect()
}

#[test]
fn a_licensing_cluster_of_its_own_is_asked_for_its_work_without_credentials() {
    let world = World::new(&OURS);
    licensing_at(&world, "https://LIC.example.com/_wmcs/licensing");
    let alice = world.person("alice");
    alice.client_licensor().unwrap();
    alice.sync_templates().unwrap();
    let policy = policy(&["bob@example.com:VIEW"]);
    let text = b"text".as_slice();
    let signer = Signer::Server;
    let mut out = Vec::new();
    alice
        .protect(text, None, ".txt", &mut out, &policy, signer)
        .unwrap();
    let work = licensing_work(&world);
    assert!(work.iter().all(|(_, there)| *there), "{work:?}");
    for operation in [
        "GetClientLicensorCert",
        "AcquireTemplateInformation",
        "GetLicensorCertificate",
        "AcquireIssuanceLicense",
    ] {
        assert!(
            work.iter().any(|(done, _)| done == operation),
            "{operation}"
        );
    }
    // Remembered by the next process, also when the server says nothing any more.
    world.locations.lock().unwrap().clear();
    let again = world.person_at("alice", alice.folder.clone());
    again.certify(Persistence::Persistent).unwrap();
    assert_eq!(
        remembered(&again).as_deref(),
        Some("https://LIC.example.com/_wmcs/licensing")
    );
    again.client_licensor().unwrap();
    again.sync_templates().unwrap();
    assert!(licensing_work(&world).iter().all(|(_, there)| *there));
}

#[test]
fn a_place_that_the_server_may_not_name_is_never_contacted() {
    for url in [
        "http://lic.example.com/_wmcs/licensing",
        "http://rms.example.com/_wmcs/licensing",
        "https://lic.example.com/elsewhere",
        "file:///_wmcs/licensing",
    ] {
        let world = World::new(&OURS);
        licensing_at(&world, url);
        let alice = world.person("alice");
        alice.client_licensor().unwrap();
        assert_eq!(remembered(&alice), None, "{url}");
        // Nor when somebody writes it into the settings.
        let services = Locations {
            server: SERVER.into(),
            certification: Some(url.into()),
            licensing: Some(url.into()),
        };
        Settings::update(&alice.home().lock().unwrap(), |settings| {
            settings.services = Some(services);
        })
        .unwrap();
        world.locations.lock().unwrap().clear();
        alice.sync_templates().unwrap();
        alice.certify(Persistence::Persistent).unwrap();
        for (operation, asked, _) in world.requests() {
            assert!(
                asked.starts_with(&format!("{SERVER}/")),
                "{operation}: {asked}"
            );
        }
    }
}

#[test]
fn what_one_server_said_does_not_count_for_another() {
    let world = World::new(&OURS);
    licensing_at(&world, "https://lic.example.com/_wmcs/licensing");
    let alice = world.person("alice");
    alice.account().unwrap();
    assert!(remembered(&alice).is_some());
    let other = world
        .builder(alice.home().clone(), "alice")
        .discovery(Discovery {
            explicit: Spoken::naming("https://other.example.com".parse().unwrap()),
            ..Discovery::default()
        })
        .build();
    world.requests();
    other.sync_templates().unwrap();
    for (operation, url, _) in world.requests() {
        assert!(
            url.starts_with("https://other.example.com/"),
            "{operation}: {url}"
        );
    }
}

#[test]
fn a_licensing_cluster_that_cannot_be_reached_is_done_without() {
    let world = World::new(&OURS);
    licensing_at(&world, "https://lic.example.com/_wmcs/licensing");
    *world.broken.lock().unwrap() = Some(LICENSING);
    let alice = world.person("alice");
    alice.client_licensor().unwrap();
    let work = licensing_work(&world);
    assert_eq!(work, [("GetClientLicensorCert".to_owned(), false)]);
    world.unplug(true);
    assert_eq!(code(alice.sync_templates()), ("server-not-reachable", 5));
}

#[test]
fn a_licensing_cluster_elsewhere_never_gets_credentials() {
    let world = World::new(&OURS);
    licensing_at(&world, "https://lic.example.com/_wmcs/licensing");
    let alice = world.person("alice");
    alice.account().unwrap();
    world
        .closed
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = alice.client_licensor().map(|_| ());
    assert_eq!(code(refused), ("credentials-withheld", 4));
    assert_eq!(
        licensing_work(&world),
        [("GetClientLicensorCert".to_owned(), true)]
    );
}
