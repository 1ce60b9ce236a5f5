//! What the administrator of a machine placed on it: whom to trust, templates, settings that are
//! final; and lockboxes that are replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use openrms_xrml::Time;

use super::world::{FOREIGN, OURS, SERVER, START, World, code, machine};
use crate::*;

/// A folder as `/etc/openrms` is.
struct Etc(tempfile::TempDir);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Self {
        let etc = Self(tempfile::tempdir().unwrap());
        fs::create_dir(etc.0.path().join("client.d")).unwrap();
        for (name, text) in files {
            etc.put(name, text);
        }
        etc
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn settings(&self) -> MachineSettings {
        MachineSettings::read(self.0.path()).unwrap()
    }

    /// Somebody with a new home on that machine, who says nothing of their own.
    fn person(&self, world: &Arc<World>) -> (tempfile::TempDir, Client) {
        let home = tempfile::tempdir().unwrap();
        let client = self.client(world, home.path());
        (home, client)
    }

    fn client(&self, world: &Arc<World>, home: &Path) -> Client {
        world
            .builder(Home::open(home).unwrap(), "alice")
            .discovery(Discovery {
                machine: self.settings(),
                ..Discovery::default()
            })
            .build()
    }
}

/// A machine with the two files that an administrator carries to it.
fn placed(hierarchy: &str) -> Etc {
    let toml = format!("server = '{SERVER}'\nhierarchy = 'hierarchy.json'\n");
    Etc::new(&[
        ("client.d/10-organisation.toml", &toml),
        ("client.d/hierarchy.json", hierarchy),
    ])
}

fn origins(client: &Client) -> Vec<(String, String)> {
    let all = client.configuration().unwrap();
    all.into_iter().map(|s| (s.key, s.by.to_string())).collect()
}

#[test]
fn s4_a_placed_hierarchy_activates_without_network_and_without_a_question() {
    let world = World::new(&OURS);
    world.unplug(true);
    let etc = placed(&OURS.bundle());
    let (home, alice) = etc.person(&world);
    alice.activate().unwrap();
    assert!(alice.status().unwrap().activated);
    assert!(world.asked().is_empty());
    // Whom to trust stays the administrator's to say.
    assert!(!home.path().join("hierarchy").exists());
    world.unplug(false);
    alice.client_licensor().unwrap();
    assert!(!world.asked().contains(&"GET".to_owned()));
}

#[test]
fn another_hierarchy_than_the_placed_one_is_refused_by_name() {
    let world = World::new(&FOREIGN);
    let etc = placed(&OURS.bundle());
    let (home, alice) = etc.person(&world);
    let server: ServerUrl = SERVER.parse().unwrap();
    let pinned = JoinPolicy::Pinned(FOREIGN.hierarchy().fingerprints()[0].1.clone());
    for policy in [JoinPolicy::TrustOnFirstUse, pinned] {
        let refused = alice.init(&server, &policy);
        assert_eq!(code(refused), ("hierarchy-set-by-machine", 4));
    }
    let refused = alice.join(FOREIGN.hierarchy());
    assert_eq!(code(refused), ("hierarchy-set-by-machine", 4));
    assert!(!home.path().join("hierarchy").exists());
    // The right one is known already.
    let ours = World::new(&OURS);
    let joined = etc
        .client(&ours, home.path())
        .init(&server, &JoinPolicy::TrustOnFirstUse);
    assert!(!joined.unwrap().changed);
    assert!(!home.path().join("hierarchy").exists());
}

#[test]
fn a_placed_hierarchy_takes_the_place_of_one_that_was_joined() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let before = world.builder(home.clone(), "alice").build();
    before.join(FOREIGN.hierarchy()).unwrap();
    before.activate().unwrap();
    let etc = placed(&OURS.bundle());
    let alice = etc.client(&world, folder.path());
    alice.client_licensor().unwrap();
    let status = alice.status().unwrap();
    assert_eq!(status.anchors, OURS.hierarchy().fingerprints());
    assert!(status.activated);
}

#[test]
fn a_placed_hierarchy_that_cannot_be_used_is_named_and_nothing_else_is_believed() {
    let world = World::new(&OURS);
    for (text, error) in [
        ("{", ("hierarchy-file-malformed", 6)),
        ("{}", ("hierarchy-file-malformed", 6)),
    ] {
        let (_home, alice) = placed(text).person(&world);
        assert_eq!(code(alice.activate()), error);
        let server = SERVER.parse().unwrap();
        let refused = alice.init(&server, &JoinPolicy::TrustOnFirstUse);
        assert_eq!(code(refused), error);
    }
    let etc = placed(&OURS.bundle());
    let file = etc.0.path().join("client.d/hierarchy.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let (_home, alice) = etc.person(&world);
    assert_eq!(code(alice.activate()), ("machine-settings-unsafe", 4));
    fs::remove_file(&file).unwrap();
    assert_eq!(code(alice.activate()), ("hierarchy-file-malformed", 6));
}

#[test]
fn a_hierarchy_whose_issuer_has_expired_certifies_no_machine() {
    let world = World::new(&OURS);
    let etc = placed(&OURS.bundle());
    let (home, alice) = etc.person(&world);
    world.pass(200 * 365 * 86_400);
    assert_eq!(code(alice.activate()), ("spc-issuer-expired", 4));
    assert!(!home.path().join("machine.xml").exists());
    world.pass(-250 * 365 * 86_400);
    assert_eq!(code(alice.activate()), ("spc-issuer-not-yet-valid", 4));
    world.pass(50 * 365 * 86_400);
    alice.activate().unwrap();
    assert!(alice.status().unwrap().activated);
}

#[test]
fn what_is_final_people_cannot_change() {
    let world = World::new(&OURS);
    let server = format!("server = '{SERVER}'\nclient_level = 'sp1'\n");
    let text = format!("{server}final = ['server', 'client_level', 'service_location']");
    let etc = Etc::new(&[("client.toml", &text)]);
    let (home, alice) = etc.person(&world);
    let other: ServerUrl = "https://rms.evil.example".parse().unwrap();
    let refused = alice.init(&other, &JoinPolicy::TrustOnFirstUse);
    assert_eq!(code(refused), ("setting-is-final", 3));
    assert_eq!(code(alice.set_server(&other)), ("setting-is-final", 3));
    assert!(world.asked().is_empty());
    // What was remembered before, or written into the file, does not count.
    let own = "server = 'https://own.example'\nclient_level = '2.0'\n[service_location]\n\
               enterprise_publishing = 'https://own.example'";
    fs::write(home.path().join("settings.toml"), own).unwrap();
    assert_eq!(alice.server().unwrap().as_str(), SERVER);
    assert_eq!(alice.level().unwrap(), ClientLevel::Sp1);
    assert!(alice.status().unwrap().overrides.is_empty());
    // Whoever speaks for one run only is told.
    let spoken = world
        .builder(Home::open(home.path()).unwrap(), "alice")
        .discovery(Discovery {
            environment: Spoken::naming(other),
            machine: etc.settings(),
            ..Discovery::default()
        })
        .build();
    assert_eq!(code(spoken.server()), ("setting-is-final", 3));
    // Without the word it is the person's to say.
    etc.put("client.toml", &server);
    let alice = etc.client(&world, home.path());
    assert_eq!(alice.server().unwrap().as_str(), "https://own.example");
    assert_eq!(alice.level().unwrap(), ClientLevel::V2);
}

#[test]
fn every_value_is_told_with_the_line_that_set_it() {
    let world = World::new(&OURS);
    let etc = Etc::new(&[
        (
            "client.toml",
            "# For all.\nserver = 'https://a.example'\nproxy = 'http://u:geheim@p.example:3128'\n\
             [service_location]\ncloud_publishing = 'https://cloud.example'\n",
        ),
        (
            "client.d/20-site.toml",
            "\nserver = 'https://b.example'\nno_proxy = ['.b.example']\nfinal = ['proxy']\n\
             [decommission]\n'https://old.example' = 'https://b.example'\n",
        ),
    ]);
    let (home, alice) = etc.person(&world);
    let own = "user = 'alice'\n[service_location]\ncloud_publishing = 'https://own.example'\n";
    fs::write(home.path().join("settings.toml"), own).unwrap();
    let said = origins(&alice);
    let by = |key: &str| {
        let found = said.iter().find(|(known, _)| known == key);
        let (_, by) = found.unwrap_or_else(|| panic!("{key}: {said:?}"));
        by.rsplit('/').next().unwrap().to_owned()
    };
    for (key, line) in [
        ("server", "20-site.toml:2"),
        ("proxy", "client.toml:3"),
        ("no_proxy", "20-site.toml:3"),
        ("final", "20-site.toml:4"),
        ("user", "settings.toml:1"),
        ("service_location.cloud_publishing", "settings.toml:3"),
        (
            "decommission.https://old.example/_wmcs/licensing",
            "20-site.toml:6",
        ),
        ("fips", "default"),
        ("client_level", "default"),
        ("hierarchy", "default"),
    ] {
        assert_eq!(by(key), line, "{key}");
    }
    let all = alice.configuration().unwrap();
    assert!(!format!("{all:?}").contains("geheim"));
    let is_final = |key| all.iter().any(|s| s.key == key && s.is_final);
    assert!(is_final("proxy") && is_final("no_proxy") && !is_final("server"));
    let value = |key| all.iter().find(|s| s.key == key).unwrap().value.clone();
    assert_eq!(value("client_level"), "2.0");
    assert_eq!(value("fips"), false);
}

#[test]
fn templates_that_an_administrator_placed_are_there_beside_ones_own() {
    let world = World::new(&OURS);
    let ours = world.publish_template("Staff only", &[("staff@example.com", "VIEW")], &OURS);
    let alice = world.person("alice");
    alice.sync_templates().unwrap();
    let text = alice.templates().unwrap()[0].text().to_owned();
    let etc = Etc::new(&[("client.toml", "templates = 'templates'")]);
    let folder = etc.0.path().join("templates");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("staff.xml"), &text).unwrap();
    fs::write(folder.join("forged.xml"), text.replace("staff@", "mallo@")).unwrap();
    fs::write(folder.join("notes.txt"), "not a template").unwrap();

    let (_home, bob) = etc.person(&world);
    world.unplug(true);
    let known = bob.templates().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].id(), ours);
    bob.template(&TemplateName::Name("staff only".into()), None)
        .unwrap();
    // One of a later date wins, wherever it stands.
    world.unplug(false);
    world.pass(3600);
    world.publish_template_as(ours, "Staff, anew", &[("staff@example.com", "EDIT")], &OURS);
    let bob = Client::builder(alice.home().clone(), machine(), world.clone())
        .discovery(Discovery {
            explicit: Spoken::naming(SERVER.parse().unwrap()),
            machine: etc.settings(),
            ..Discovery::default()
        })
        .build();
    bob.sync_templates().unwrap();
    let names: Vec<_> = bob
        .templates()
        .unwrap()
        .iter()
        .map(Template::names)
        .collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0][0].name, "Staff, anew");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code(bob.templates()), ("templates-not-readable", 1));
}

#[test]
fn a_lockbox_of_another_machine_is_replaced_when_asked_for_and_accounts_are_certified_anew() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let account = alice.account().unwrap();
    let old = alice.activate().unwrap().fingerprint();
    let elsewhere = MachineIdentity::new("another machine", 1000);
    let copied = || {
        let password = Secret::from(b"secret".as_slice());
        let user = "alice".to_owned();
        Client::builder(alice.home().clone(), elsewhere.clone(), world.clone())
            .credentials(Credentials::Basic { user, password })
            .clock(|| Time::from_unix(START))
            .discovery(Discovery {
                explicit: Spoken::naming(SERVER.parse().unwrap()),
                ..Discovery::default()
            })
            .build()
    };
    let there = copied();
    assert_eq!(code(there.activate()), ("lockbox-other-machine", 4));
    let replaced = there.reactivate().unwrap();
    assert_ne!(replaced.fingerprint(), old);
    world.asked();
    let again = there.account().unwrap();
    assert_eq!(again.identity().email, account.identity().email);
    assert!(world.asked().contains(&"Certify".to_owned()));
    let again = copied().activate().unwrap().fingerprint();
    assert_eq!(again, replaced.fingerprint());
}
