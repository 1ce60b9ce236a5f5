//! Protecting: off line, on line, by template.

use std::fs;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;

use openrms_formats::pfile;
use openrms_xrml::text::{self, Encoding};

use super::world::{FOREIGN, OLD, OURS, World, code, policy};
use crate::*;

fn opened_text(person: &Client, path: &std::path::Path) -> Vec<u8> {
    let mut out = Vec::new();
    person
        .open_file(path)
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    out
}

#[test]
fn an_author_protects_and_opens_with_the_network_unplugged() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.client_licensor().unwrap();
    world.unplug(true);
    let text: Vec<u8> = (0u32..300_000).flat_map(u32::to_le_bytes).collect();
    let path = alice.protected("a.ptxt", &text, &policy(&["bob@example.com:VIEW"]));
    let later = world.person_at("alice", alice.folder.clone());
    let opened = later.open_file(&path).unwrap();
    assert_eq!(opened.extension(), ".txt");
    assert!(opened.may("EXPORT") && opened.held().source == Source::Stored);
    assert_eq!(opened.held().owner.as_deref(), Some("alice@example.com"));
    let mut out = Vec::new();
    assert_eq!(
        opened.export().unwrap().copy_to(&mut out).unwrap(),
        text.len() as u64
    );
    assert!(out == text);
}

#[test]
fn a_file_holds_the_license_with_its_licensor_in_the_form_of_pfiles() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let path = alice.protected("a.ptxt", b"text", &policy(&["everyone:VIEW"]));
    let mut file = fs::File::open(&path).unwrap();
    let header = pfile::read_header(&mut file).unwrap();
    let stored = header.read_license(&mut file).unwrap();
    assert!(stored.starts_with(b"\xEF\xBB\xBF<?xml version=\"1.0\"?><XrML"));
    let (text, encoding) = text::decode(&stored).unwrap();
    assert_eq!(encoding, Encoding::Utf8Bom);
    let nodes = openrms_xrml::chain::parse_verified(&text).unwrap();
    let kinds: Vec<_> = nodes
        .iter()
        .take(3)
        .map(|node| node.kind().name())
        .collect();
    assert_eq!(
        kinds,
        [
            "publishing-license",
            "client-licensor-certificate",
            "server-licensor-certificate"
        ]
    );
    openrms_xrml::chain::verify_path(&nodes, None, |key| OURS.anchors.contains(key)).unwrap();
}

#[test]
fn the_server_signs_on_line() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    fs::write(alice.path("a.txt"), b"on line").unwrap();
    let (source, target) = (alice.path("a.txt"), alice.path("a.ptxt"));
    let policy = policy(&["bob@example.com:VIEW"]);
    alice
        .protect_file(&source, &target, Overwrite::Never, &policy, Signer::Server)
        .unwrap();
    let asked = world.asked();
    assert_eq!(
        asked,
        [
            "GET",
            "Certify",
            "FindServiceLocationsForUser",
            "GetLicensorCertificate",
            "AcquireIssuanceLicense"
        ]
    );
    assert_eq!(opened_text(&alice, &target), b"on line");
    assert_eq!(opened_text(&world.person("bob"), &target), b"on line");
}

#[test]
fn a_server_that_signs_something_else_is_found_out() {
    let world = World::new(&OURS);
    world.dishonest.store(true, Ordering::SeqCst);
    let alice = world.person("alice");
    let result = alice.publish(&policy(&["bob@example.com:VIEW"]), Signer::Server);
    assert_eq!(code(result), ("publish-license-altered", 4));
}

#[test]
fn nothing_is_left_of_a_file_that_could_not_be_protected() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.client_licensor().unwrap();
    fs::write(alice.path("a.txt"), b"text").unwrap();
    let (source, target) = (alice.path("a.txt"), alice.path("a.ptxt"));
    let before = fs::read_dir(alice.folder.path()).unwrap().count();
    let nobody = Policy::Own(OwnPolicy::default());
    let result = alice.protect_file(&source, &target, Overwrite::Never, &nobody, Signer::Author);
    assert_eq!(code(result), ("policy-empty", 2));
    let past = Policy::Own(OwnPolicy {
        expiry: Some("2020-01-01".parse().unwrap()),
        ..OwnPolicy::of(["everyone:VIEW".parse().unwrap()])
    });
    let result = alice.protect_file(&source, &target, Overwrite::Never, &past, Signer::Author);
    assert_eq!(code(result), ("expiry-past", 2));
    assert_eq!(fs::read_dir(alice.folder.path()).unwrap().count(), before);
}

#[test]
fn a_file_is_protected_in_place_and_never_twice() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let path = alice.path("a.bin");
    fs::write(&path, b"in place").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let policy = policy(&["everyone:VIEW"]);
    let protect = |overwrite| alice.protect_file(&path, &path, overwrite, &policy, Signer::Author);
    assert_eq!(code(protect(Overwrite::Never)), ("output-exists", 1));
    protect(Overwrite::Force).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o604
    );
    assert_eq!(code(protect(Overwrite::Force)), ("already-protected", 1));
    assert_eq!(opened_text(&alice, &path), b"in place");
}

#[test]
fn templates_follow_the_server() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let confidential =
        world.publish_template("Confidential", &[("bob@example.com", "VIEW")], &OURS);
    for number in 0..30 {
        world.publish_template(
            &format!("More {number}"),
            &[("x@example.com", "VIEW")],
            &OURS,
        );
    }
    let synced = alice.sync_templates().unwrap();
    assert_eq!(
        (synced.fetched.len(), synced.unchanged, synced.removed.len()),
        (31, 0, 0)
    );
    let asked = world.asked();
    assert_eq!(
        asked
            .iter()
            .filter(|operation| *operation == "AcquireTemplates")
            .count(),
        2
    );
    let synced = alice.sync_templates().unwrap();
    assert_eq!((synced.fetched.len(), synced.unchanged), (0, 31));
    world.pass(60);
    world.publish_template_as(
        confidential,
        "Secret",
        &[("bob@example.com", "VIEW")],
        &OURS,
    );
    assert_eq!(alice.sync_templates().unwrap().fetched, [confidential]);
    assert!(
        alice
            .template(&"confidential".parse().unwrap(), None)
            .is_err()
    );
    assert_eq!(
        alice
            .template(&"secret".parse().unwrap(), None)
            .unwrap()
            .id(),
        confidential
    );
    world.retract_templates();
    assert_eq!(alice.sync_templates().unwrap().removed.len(), 31);
    assert!(alice.templates().unwrap().is_empty());
}

#[test]
fn content_under_a_template_carries_it_whole() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let id = world.publish_template("Confidential", &[("bob@example.com", "VIEW")], &OURS);
    alice.sync_templates().unwrap();
    let by_name = Policy::Template("CONFIDENTIAL".parse().unwrap());
    let path = alice.protected("a.ptxt", b"template", &by_name);
    let held = bob.rights_of_file(&path).unwrap();
    assert_eq!(held.policy_id, Some(id));
    assert_eq!(held.names[0].name, "Confidential");
    assert!(held.may("VIEW") && !held.may("EXPORT"));
    let by_id = Policy::Template(id.to_string().parse().unwrap());
    alice.protected("b.ptxt", b"template", &by_id);
    let missing = Policy::Template("No such".parse().unwrap());
    assert_eq!(
        code(alice.publish(&missing, Signer::Author)),
        ("template-not-found", 1)
    );
}

#[test]
fn a_template_of_another_server_is_refused() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let id = world.publish_template("Forged", &[("mallory@example.com", "OWNER")], &FOREIGN);
    assert_eq!(code(alice.sync_templates()), ("template-untrusted", 4));
    assert!(alice.templates().unwrap().is_empty());
    // Smuggled into the store, it is still not used.
    let foreign = World::new(&FOREIGN);
    foreign.publish_template_as(id, "Forged", &[("mallory@example.com", "OWNER")], &FOREIGN);
    let carol = foreign.person("carol");
    carol.sync_templates().unwrap();
    let name = format!("templates/{}.xml", id.0.hyphenated());
    fs::create_dir_all(alice.home().path().join("templates")).unwrap();
    fs::copy(
        carol.home().path().join(&name),
        alice.home().path().join(&name),
    )
    .unwrap();
    let forged = Policy::Template("Forged".parse().unwrap());
    assert_eq!(
        code(alice.publish(&forged, Signer::Author)),
        ("template-of-other-server", 4)
    );
}

#[test]
fn two_templates_of_one_name_need_a_guid() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    world.publish_template("Same", &[("a@example.com", "VIEW")], &OURS);
    world.publish_template("Same", &[("b@example.com", "VIEW")], &OURS);
    alice.sync_templates().unwrap();
    assert_eq!(
        code(alice.template(&"same".parse().unwrap(), None)),
        ("template-ambiguous", 2)
    );
}

#[test]
fn renewal_each_time_keeps_no_license() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let policy = Policy::Own(OwnPolicy {
        renewal: Renewal::EveryUse,
        ..OwnPolicy::of(["bob@example.com:VIEW".parse().unwrap()])
    });
    let path = alice.protected("a.ptxt", b"text", &policy);
    for _ in 0..2 {
        world.asked();
        let held = bob.rights_of_file(&path).unwrap();
        assert!(held.conditions.ask_every_time);
        assert!(world.asked().contains(&"AcquireLicense".to_owned()));
    }
    assert!(bob.licenses().unwrap().is_empty());
}

#[test]
fn renewal_by_days_asks_again_after_those_days() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let policy = Policy::Own(OwnPolicy {
        renewal: Renewal::Days(NonZeroU32::new(7).unwrap()),
        ..OwnPolicy::of(["bob@example.com:VIEW".parse().unwrap()])
    });
    let path = alice.protected("a.ptxt", b"text", &policy);
    let held = bob.rights_of_file(&path).unwrap();
    assert_eq!(held.until, Some(world.now().floor_minute().plus_days(7)));
    world.unplug(true);
    world.pass(6 * 86_400);
    assert_eq!(opened_text(&bob, &path), b"text");
    world.pass(86_400);
    assert_eq!(code(bob.open_file(&path)), ("server-not-reachable", 5));
    world.unplug(false);
    assert_eq!(bob.rights_of_file(&path).unwrap().source, Source::Server);
}

#[test]
fn a_hierarchy_of_mode_1_is_served_in_mode_1() {
    let world = World::new(&OLD);
    let alice = world.person("alice");
    // Made before the hierarchy was known, in mode 2; nothing is sealed to it yet.
    assert_eq!(alice.activate().unwrap().mode().number(), 2);
    let path = alice.protected("a.ptxt", b"old", &policy(&["bob@example.com:VIEW"]));
    assert_eq!(alice.activate().unwrap().mode().number(), 1);
    let licensor = alice.client_licensor().unwrap();
    assert_eq!(licensor.certificate().key().bits(), 1024);
    assert_eq!(opened_text(&alice, &path), b"old");
    assert_eq!(opened_text(&world.person("bob"), &path), b"old");
}
