//! Opening: who may, until when, and what is refused.

use std::fs;
use std::io::{Cursor, Read as _};

use openrms_crypto::HashAlgorithm;
use openrms_xrml::author_proof::AUTHOR_PROOF_NAME;
use openrms_xrml::pl::{PlContent, PublishingLicense};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::ul::{UlRequest, UseLicense};
use openrms_xrml::{Hand, Identity};

use super::world::{OURS, START, World, code, policy};
use crate::*;

#[test]
fn a_reader_opens_by_the_server_once_and_then_off_line() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected(
        "a.ptxt",
        b"for bob",
        &policy(&["bob@example.com:VIEW,PRINT"]),
    );
    assert_eq!(bob.open_file(&path).unwrap().held().source, Source::Server);
    world.unplug(true);
    let mut opened = bob.open_file(&path).unwrap();
    assert_eq!(opened.held().source, Source::Stored);
    assert!(opened.may("view") && opened.may("PRINT") && !opened.may("EDIT"));
    let mut text = String::new();
    opened.read_to_string(&mut text).unwrap();
    assert_eq!(text, "for bob");
}

#[test]
fn removing_protection_needs_export_or_owner() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let view = alice.protected("v.ptxt", b"text", &policy(&["bob@example.com:VIEW,EDIT"]));
    let denied = bob.open_file(&view).unwrap().export().unwrap_err();
    assert_eq!(
        (denied.code(), denied.class().exit_code()),
        ("export-denied", 3)
    );
    assert!(denied.to_string().contains("VIEW, EDIT"), "{denied}");
    for right in ["EXPORT", "OWNER"] {
        let grant = format!("bob@example.com:{right}");
        let path = alice.protected("x.ptxt", b"text", &policy(&[&grant]));
        assert!(bob.open_file(&path).unwrap().export().is_ok(), "{right}");
    }
}

#[test]
fn whoever_has_no_right_is_denied() {
    let world = World::new(&OURS);
    let (alice, carol) = (world.person("alice"), world.person("carol"));
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    assert_eq!(code(carol.open_file(&path)), ("no-rights", 3));
    assert_eq!(code(carol.rights_of_file(&path)), ("no-rights", 3));
    assert!(carol.licenses().unwrap().is_empty());
}

#[test]
fn a_license_of_somebody_else_in_the_store_is_not_used() {
    let world = World::new(&OURS);
    let (alice, bob, carol) = (
        world.person("alice"),
        world.person("bob"),
        world.person("carol"),
    );
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:OWNER"]));
    bob.open_file(&path).unwrap();
    let [license] = &bob.licenses().unwrap()[..] else {
        panic!("one license")
    };
    let own = carol.account().unwrap();
    let name = license.name.replace(bob.account().unwrap().id(), own.id());
    fs::create_dir_all(carol.home().path().join("licenses")).unwrap();
    fs::copy(
        bob.home().path().join("licenses").join(&license.name),
        carol.home().path().join("licenses").join(name),
    )
    .unwrap();
    assert_eq!(code(carol.open_file(&path)), ("no-rights", 3));
}

#[test]
fn a_forged_license_in_the_store_is_not_used() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    bob.open_file(&path).unwrap();
    let name = bob.licenses().unwrap()[0].name.clone();
    let file = bob.home().path().join("licenses").join(name);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("<VIEW>", "<EXPORT>")
            .replace("</VIEW>", "</EXPORT>"),
    )
    .unwrap();
    let held = bob.rights_of_file(&path).unwrap();
    assert!(held.source == Source::Server && !held.may("EXPORT"));
}

#[test]
fn a_reader_cannot_make_an_authors_license_of_their_own() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    bob.open_file(&path).unwrap();
    let (_, account, licensor) = bob.publisher().unwrap();
    let stored = bob
        .home()
        .path()
        .join("licenses")
        .join(&bob.licenses().unwrap()[0].name);
    let text = fs::read_to_string(&stored).unwrap();
    let nodes = openrms_xrml::chain::parse_verified(&text).unwrap();
    let honest = UseLicense::new(nodes[0].clone()).unwrap();
    let work = honest.node().content().work.as_ref().unwrap();
    let forged = UlRequest {
        id: super::world::guid(),
        issued: world.now().floor_minute(),
        validity: None,
        issuer: &Identity::of_principal(licensor.certificate().node()).unwrap(),
        principal_raw: account.certificate().principal_raw(),
        referral_raw: None,
        work_raw: honest.node().slice(work.object_raw.as_ref().unwrap()),
        owner_raw: None,
        revocation_raw: None,
        rights: &[(Right::new("OWNER"), TimeCondition::default())],
        sealed_key: honest.sealed_key().unwrap(),
        app_data: &[],
        os_exclusion: None,
        policy_lists: &[],
    }
    .sign(Hand::Client, licensor.key(), HashAlgorithm::Sha256)
    .unwrap();
    let above: String = licensor
        .chain()
        .iter()
        .map(|node| node.text().to_string())
        .collect();
    fs::write(&stored, forged + &above).unwrap();
    let held = bob.rights_of_file(&path).unwrap();
    assert!(
        held.source == Source::Server && !held.may("EXPORT"),
        "{held:?}"
    );
}

#[test]
fn a_file_under_another_contents_identifier_leaves_that_contents_license_alone() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected("a.ptxt", b"mine", &policy(&["bob@example.com:VIEW"]));
    let content_id = alice.rights_of_file(&path).unwrap().content_id;
    // Bob's own content, in a license that names alice's.
    let everyone = policy(&["everyone:OWNER"]);
    let theirs = bob.publish(&everyone, Signer::Author).unwrap();
    let (_, _, licensor) = bob.publisher().unwrap();
    let nodes = openrms_xrml::chain::parse_verified(theirs.license_text()).unwrap();
    let license = PublishingLicense::new(nodes[0].clone()).unwrap();
    let proof = license.authenticated("APPSPECIFIC", AUTHOR_PROOF_NAME);
    let content = PlContent {
        issued: world.now().floor_minute(),
        validity: None,
        descriptor: None,
        server: licensor.certificate().server().unwrap(),
        sealed_key: license.sealed_key().unwrap().clone(),
        referral: None,
        content_id: content_id.parse().unwrap(),
        owner: license.owner().unwrap().clone(),
        encrypted_rights: license.encrypted_rights().to_vec(),
        extra: vec![(
            "APPSPECIFIC".into(),
            AUTHOR_PROOF_NAME.into(),
            proof.unwrap().value.clone(),
        )],
    };
    let signer = Identity::of_principal(licensor.certificate().node()).unwrap();
    let url = licensor.certificate().licensing_urls().next().unwrap();
    let forged = content
        .sign(&signer, (url, None), licensor.key(), HashAlgorithm::Sha256)
        .unwrap();
    let above: String = nodes[1..].iter().map(|node| &**node.text()).collect();
    let stored =
        openrms_xrml::text::encode(&(forged + &above), openrms_xrml::text::Encoding::Utf8Bom);
    let mut file = Vec::new();
    let text: &[u8] = b"a trap";
    openrms_formats::pfile::protect(text, &mut file, theirs.content_key(), &stored, ".txt", None)
        .unwrap();

    let read = |mut opened: Opened<_>| {
        let mut text = String::new();
        opened.read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(alice.open(Cursor::new(file)).unwrap()), "a trap");
    let own = alice.open(Cursor::new(fs::read(&path).unwrap())).unwrap();
    assert_eq!(own.held().source, Source::Stored);
    assert_eq!(read(own), "mine");
}

#[test]
fn expired_content_opens_for_its_author_only() {
    let world = World::new(&OURS);
    let (alice, bob, dave) = (
        world.person("alice"),
        world.person("bob"),
        world.person("david"),
    );
    let until = openrms_xrml::Time::from_unix(START)
        .plus_days(10)
        .floor_minute();
    let expiring = Policy::Own(OwnPolicy {
        expiry: Some(Expiry::At(until)),
        ..OwnPolicy::of(["everyone:VIEW".parse().unwrap()])
    });
    let path = alice.protected("a.ptxt", b"text", &expiring);
    assert_eq!(bob.rights_of_file(&path).unwrap().until, Some(until));
    world.pass(10 * 86_400);
    assert_eq!(code(bob.open_file(&path)), ("no-rights", 3));
    assert_eq!(code(dave.open_file(&path)), ("no-rights", 3));
    assert!(alice.open_file(&path).unwrap().may("EXPORT"));
    assert_eq!(bob.purge_licenses(&Purge::Expired).unwrap(), 1);
    assert_eq!(alice.purge_licenses(&Purge::Expired).unwrap(), 0);
}

#[test]
fn a_clock_set_back_brings_no_right_back() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let until = openrms_xrml::Time::from_unix(START)
        .plus_days(10)
        .floor_minute();
    let expiring = Policy::Own(OwnPolicy {
        expiry: Some(Expiry::At(until)),
        ..OwnPolicy::of(["bob@example.com:VIEW".parse().unwrap()])
    });
    let path = alice.protected("a.ptxt", b"text", &expiring);
    bob.open_file(&path).unwrap();
    world.pass(20 * 86_400);
    let newest = world.now();
    assert!(bob.open_file(&path).is_err());
    world.pass(-15 * 86_400);
    // Reported, and the stored license is as expired as it was.
    assert_eq!(bob.status().unwrap().moment.set_back_from, Some(newest));
    world.unplug(true);
    assert_eq!(code(bob.open_file(&path)), ("server-not-reachable", 5));
    world.unplug(false);
    assert_eq!(code(bob.open_file(&path)), ("clock-set-back", 3));
    // What has no limit still opens, and says that the clock was set back.
    let free = alice.protected("b.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    assert_eq!(
        bob.open_file(&free).unwrap().held().clock_set_back_from,
        Some(newest)
    );
    // The way out costs every stored license.
    assert!(bob.purge_licenses(&Purge::All).unwrap() >= 1);
    assert_eq!(bob.moment().unwrap().set_back_from, None);
}

#[test]
fn small_corrections_of_the_clock_are_none_of_our_business() {
    let world = World::new(&OURS);
    let bob = world.person("bob");
    bob.moment().unwrap();
    world.pass(-crate::clock::TOLERANCE);
    assert_eq!(bob.moment().unwrap().set_back_from, None);
    world.pass(-1);
    assert!(bob.moment().unwrap().set_back_from.is_some());
}

#[test]
fn a_changed_license_is_not_trusted() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    let file = fs::read(&path).unwrap();
    let at = file
        .windows(5)
        .position(|window| window == b"alice")
        .unwrap();
    let mut changed = file.clone();
    changed[at] = b'A';
    assert_eq!(
        code(bob.open(Cursor::new(changed))),
        ("signature-invalid", 4)
    );
    let mut cut = file.clone();
    cut.truncate(file.len() / 2);
    assert!(bob.open(Cursor::new(cut)).is_err());
    assert_eq!(
        code(bob.open(Cursor::new(b"plain".to_vec()))),
        ("not-protected", 6)
    );
}

#[test]
fn damaged_content_is_noticed_and_nothing_is_kept() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let path = alice.protected("a.ptxt", &[7; 5000], &policy(&["everyone:VIEW"]));
    let file = fs::read(&path).unwrap();
    // CBC carries no tag: what gives the damage away is the padding, and one
    // block in 256 has a padding that is good by chance.
    let mut noticed = 0;
    for flip in 1..=16 {
        let mut file = file.clone();
        *file.last_mut().unwrap() ^= flip;
        let exported = alice.open(Cursor::new(file)).unwrap().export().unwrap();
        if let Err(error) = exported.copy_to(&mut Vec::new()) {
            assert_eq!(error.code(), "content-not-readable");
            assert_eq!(error.class(), Class::Malformed);
            noticed += 1;
        }
    }
    assert!(noticed > 8, "{noticed} of 16 damages were noticed");
}

#[test]
fn content_of_an_unknown_server_is_named_and_not_asked_for() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let path = alice.protected("a.ptxt", b"text", &policy(&["everyone:VIEW"]));
    // Somebody of another organization, whose server has another name and key.
    let theirs = World::new(&super::world::FOREIGN);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let eve = |allowed| {
        theirs
            .builder(home.clone(), "eve")
            .discovery(Discovery {
                explicit: Spoken::naming("https://rms.example.net".parse().unwrap()),
                ..Discovery::default()
            })
            .license_servers(allowed)
            .build()
    };
    let careful = eve(LicenseServers::OnlyConfigured);
    careful.account().unwrap();
    theirs.requests();
    let error = careful.open_file(&path).unwrap_err();
    assert_eq!(
        (error.code(), error.class().exit_code()),
        ("license-server-unknown", 4)
    );
    assert!(
        error
            .to_string()
            .contains("https://rms.example.com/_wmcs/licensing"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("never your password"));
    assert!(theirs.requests().is_empty());
    // Allowed, it is asked, without credentials even when it wants them.
    theirs
        .closed
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let error = eve(LicenseServers::Any).open_file(&path).unwrap_err();
    assert_eq!(
        (error.code(), error.class().exit_code()),
        ("credentials-withheld", 4)
    );
    let requests = theirs.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests.iter().all(|(_, _, auth)| auth.is_none()));
}

#[test]
fn the_store_lists_and_forgets_licenses() {
    let world = World::new(&OURS);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    alice.protected("b.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    bob.open_file(&path).unwrap();
    let [license] = &bob.licenses().unwrap()[..] else {
        panic!("one license")
    };
    assert_eq!(license.account, "bob@example.com");
    assert_eq!(license.owner.as_deref(), Some("alice@example.com"));
    assert_eq!((license.rights.len(), license.until), (1, None));
    assert_eq!(alice.licenses().unwrap().len(), 2);
    assert_eq!(
        alice
            .purge_licenses(&Purge::Content(license.content_id.clone()))
            .unwrap(),
        1
    );
    fs::write(alice.home().path().join("licenses/junk.xml"), "junk").unwrap();
    assert_eq!(alice.purge_licenses(&Purge::Expired).unwrap(), 1);
    assert_eq!(alice.purge_licenses(&Purge::All).unwrap(), 1);
}
