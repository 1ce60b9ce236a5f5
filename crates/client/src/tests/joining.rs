//! Hierarchies, activation, signing in.

use std::fs;
use std::sync::atomic::Ordering;

use openrms_xrml::spc::SecurityProcessorCertificate;

use super::world::{FOREIGN, OLD, OURS, SERVER, World, code, machine, policy};
use crate::*;

fn server() -> ServerUrl {
    SERVER.parse().unwrap()
}

#[test]
fn a_machine_activates_itself_with_the_network_unplugged() {
    let world = World::new(&OURS);
    world.unplug(true);
    let alice = world.person("alice");
    let lockbox = alice.activate().unwrap();
    assert!(
        !alice.home().path().join("machine.xml").exists(),
        "the hierarchy is not known yet"
    );
    alice.join(OURS.hierarchy()).unwrap();
    assert_eq!(
        alice.activate().unwrap().fingerprint(),
        lockbox.fingerprint()
    );
    let text = fs::read_to_string(alice.home().path().join("machine.xml")).unwrap();
    let nodes = openrms_xrml::chain::parse_verified(&text).unwrap();
    let spc = SecurityProcessorCertificate::new(nodes[0].clone()).unwrap();
    assert_eq!(spc.key().fingerprint_hex(), lockbox.fingerprint());
    assert!(spc.repository_version().unwrap() >= [5, 0, 0, 0]);
    assert!(alice.status().unwrap().activated);
    assert!(world.asked().is_empty());
}

#[test]
fn what_is_missing_is_fetched_at_first_need_and_kept() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let licensor = alice.client_licensor().unwrap();
    assert_eq!(
        world.asked(),
        ["GET", "Certify", LOCATE, "GetClientLicensorCert"]
    );
    assert_eq!(licensor.certificate().account().email, "alice@example.com");
    world.unplug(true);
    // Another process finds it all.
    let again = world.person_at("alice", alice.folder.clone());
    again.client_licensor().unwrap();
    let status = again.status().unwrap();
    assert!(status.activated && status.lockbox.is_some());
    let [account] = &status.accounts[..] else {
        panic!("one account")
    };
    assert!(account.current && account.licensor.is_some() && !account.temporary);
    assert_eq!(account.identity.email, "alice@example.com");
}

#[test]
fn joining_needs_a_word_of_the_caller() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let client = Client::builder(Home::open(folder.path()).unwrap(), machine(), world.clone())
        .discovery(Discovery {
            explicit: Spoken::naming(server()),
            ..Discovery::default()
        })
        .build();
    assert_eq!(code(client.account()), ("hierarchy-unknown", 4));
    assert!(world.asked().is_empty());
    let fingerprint = OURS.hierarchy().fingerprints()[0].1.clone();
    let pinned = JoinPolicy::Pinned(fingerprint.to_uppercase().replace("7C", "7c: "));
    let joined = client.init(&server(), &pinned).unwrap();
    assert!(joined.changed);
    assert_eq!(
        (joined.name.as_str(), joined.anchors[0].1.as_str()),
        ("Example", &*fingerprint)
    );
    assert!(
        !client
            .init(&server(), &JoinPolicy::TrustOnFirstUse)
            .unwrap()
            .changed
    );
    assert_eq!(client.settings().unwrap().server.as_deref(), Some(SERVER));
}

#[test]
fn a_hierarchy_that_is_not_the_pinned_one_is_refused() {
    let world = World::new(&FOREIGN);
    let alice = world.person("alice");
    let pinned = JoinPolicy::Pinned(OURS.hierarchy().fingerprints()[0].1.clone());
    assert_eq!(
        code(alice.init(&server(), &pinned)),
        ("hierarchy-not-pinned", 4)
    );
    assert!(alice.status().unwrap().anchors.is_empty());
}

#[test]
fn a_second_hierarchy_is_never_trusted_on_first_use() {
    let world = World::new(&FOREIGN);
    let alice = world.person("alice");
    alice.join(OURS.hierarchy()).unwrap();
    let first = JoinPolicy::TrustOnFirstUse;
    assert_eq!(
        code(alice.init(&server(), &first)),
        ("hierarchy-changed", 4)
    );
    assert_eq!(
        alice.status().unwrap().anchors,
        OURS.hierarchy().fingerprints()
    );
    let pinned = JoinPolicy::Pinned(FOREIGN.hierarchy().fingerprints()[0].1.clone());
    assert!(alice.init(&server(), &pinned).unwrap().changed);
    assert_eq!(
        alice.status().unwrap().anchors,
        FOREIGN.hierarchy().fingerprints()
    );
}

#[test]
fn a_machine_follows_into_the_other_mode_under_its_own_anchors_alone() {
    // Whoever answers in the server's place can say that it is of the other mode.
    for (joined, answers, error) in [
        // The bundle leads to others' anchors.
        (&OLD, &FOREIGN, "chain-untrusted"),
        // It brings nothing of another mode: asked once, and no more.
        (&OLD, &OLD, "mode-unsupported"),
        // There is no way back to mode 1.
        (&OURS, &OLD, "mode-unsupported"),
    ] {
        let world = World::new(answers);
        world.other_mode.store(true, Ordering::SeqCst);
        let alice = world.person("alice");
        alice.join(joined.hierarchy()).unwrap();
        let key = alice.activate().unwrap().fingerprint();
        assert_eq!(code(alice.account()), (error, 4));
        let status = alice.status().unwrap();
        assert_eq!(status.anchors, joined.hierarchy().fingerprints());
        assert_eq!(alice.activate().unwrap().fingerprint(), key);
        let asked = world.requests();
        let certify = asked.iter().filter(|(what, ..)| what == "Certify");
        assert_eq!(certify.count(), 1, "{asked:?}");
    }
}

#[test]
fn nobody_on_the_way_talks_a_machine_into_another_mode() {
    let world = World::new(&OLD);
    let alice = world.person("alice");
    let file = alice.protected("a.ptxt", b"text", &policy(&["everyone:VIEW"]));
    let in_the_clear = Discovery {
        explicit: Spoken::naming("http://rms.example.com".parse().unwrap()),
        ..Discovery::default()
    };
    let home = Home::open(alice.path("home")).unwrap();
    let open = world.builder(home, "alice").discovery(in_the_clear).build();
    world.other_mode.store(true, Ordering::SeqCst);
    alice.purge_licenses(&Purge::All).unwrap();
    world.requests();
    assert_eq!(code(open.open_file(&file)), ("mode-unsupported", 4));
    let asked = world.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[test]
fn trust_on_first_use_needs_a_private_connection() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let open: ServerUrl = "http://rms.example.com".parse().unwrap();
    let first = JoinPolicy::TrustOnFirstUse;
    assert_eq!(
        code(alice.init(&open, &first)),
        ("hierarchy-not-private", 4)
    );
    assert!(world.asked().is_empty());
    let here: ServerUrl = "http://127.0.0.1:8080".parse().unwrap();
    assert!(alice.init(&here, &first).is_ok());
}

#[test]
fn a_bundle_whose_parts_do_not_fit_is_refused() {
    let bundle: Bundle = serde_json::from_str(&OURS.bundle()).unwrap();
    let foreign: Bundle = serde_json::from_str(&FOREIGN.bundle()).unwrap();
    let first = JoinPolicy::TrustOnFirstUse;
    let code = |bundle: Bundle| Hierarchy::from_bundle(&bundle, &first).unwrap_err().code();
    let other_key = Bundle {
        spc_issuer_key_pem: foreign.spc_issuer_key_pem.clone(),
        ..bundle.clone()
    };
    assert_eq!(code(other_key), "key-mismatch");
    let other_chain = Bundle {
        spc_issuer_chain: foreign.spc_issuer_chain.clone(),
        ..bundle.clone()
    };
    assert_eq!(code(other_chain), "chain-untrusted");
    let none = Bundle {
        anchors_xml: "<ANCHORS></ANCHORS>".into(),
        ..bundle
    };
    assert_eq!(code(none), "hierarchy-no-anchors");
}

#[test]
fn half_a_stored_hierarchy_counts_as_none() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.join(OURS.hierarchy()).unwrap();
    // What a process killed between the files leaves: the anchors are written last.
    fs::remove_file(alice.home().path().join("hierarchy/anchors.xml")).unwrap();
    assert!(Hierarchy::load(alice.home()).unwrap().is_none());
    let again = world.person_at("alice", alice.folder.clone());
    again.account().unwrap();
}

#[test]
fn certificates_of_another_hierarchy_are_refused() {
    let world = World::new(&FOREIGN);
    let alice = world.person("alice");
    alice.join(OURS.hierarchy()).unwrap();
    // The foreign server does not know this machine's issuer either.
    assert_eq!(code(alice.account()), ("machine-untrusted", 4));
    assert!(alice.status().unwrap().accounts.is_empty());
}

#[test]
fn an_expired_certificate_is_renewed_before_it_is_used() {
    let world = World::new(&OURS);
    world.rac_days.store(1, Ordering::SeqCst);
    let alice = world.person("alice");
    alice.client_licensor().unwrap();
    world.asked();
    world.pass(86_400);
    alice.client_licensor().unwrap();
    assert_eq!(world.asked(), ["Certify", LOCATE, "GetClientLicensorCert"]);
    world.pass(86_400);
    world.unplug(true);
    assert_eq!(code(alice.account()), ("server-not-reachable", 5));
    let again = world.person_at("alice", alice.folder.clone());
    assert_eq!(code(again.client_licensor()), ("server-not-reachable", 5));
}

#[test]
fn a_copied_home_is_refused_on_another_machine() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.account().unwrap();
    let thief = Client::builder(
        alice.home().clone(),
        MachineIdentity::new("another machine", 1000),
        world.clone(),
    )
    .build();
    assert_eq!(code(thief.account()), ("lockbox-other-machine", 4));
    assert_eq!(code(thief.activate()), ("lockbox-other-machine", 4));
    let status = thief.status().unwrap();
    assert_eq!(
        status.lockbox_error.unwrap().code(),
        "lockbox-other-machine"
    );
    // And nothing was destroyed.
    alice.account().unwrap();
}

#[test]
fn two_people_of_one_home_are_kept_apart() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let first = alice.account().unwrap();
    let bob = world.person_at("bob", alice.folder.clone());
    let (second, _) = bob.sign_in(Some("bob"), Persistence::Persistent).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(bob.settings().unwrap().user.as_deref(), Some("bob"));
    assert_eq!(bob.status().unwrap().accounts.len(), 2);
    let back = bob.switch_account(first.id()).unwrap();
    assert_eq!(back.identity().email, "alice@example.com");
    for missing in ["0123456789abcdef", "../../etc", ""] {
        assert_eq!(code(bob.switch_account(missing)), ("account-not-found", 1));
    }
}

#[test]
fn a_damaged_certificate_is_fetched_anew() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let account = alice.account().unwrap();
    let file = alice
        .home()
        .path()
        .join(format!("accounts/{}/rac.xml", account.id()));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("alice@", "mallo@", 1)).unwrap();
    world.asked();
    let again = world.person_at("alice", alice.folder.clone());
    assert_eq!(
        again.account().unwrap().identity().email,
        "alice@example.com"
    );
    assert_eq!(world.asked(), ["Certify", LOCATE]);
}

const LOCATE: &str = "FindServiceLocationsForUser";
