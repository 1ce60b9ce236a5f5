//! The passphrase of the lockbox, and the keyring that spares typing it.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::world::{OLD, OURS, World, code, policy};
use crate::*;

/// A person at a keyboard, who counts how often they were asked.
#[derive(Clone, Default)]
struct Keyboard {
    knows: Option<&'static str>,
    new: Option<&'static str>,
    asked: Arc<AtomicUsize>,
}

/// A keyring, with the names it was given.
#[derive(Clone, Default)]
struct Keyring(Arc<Mutex<HashMap<String, Secret>>>);

fn secret(text: &str) -> Secret {
    Secret::from(text.as_bytes())
}

impl LockboxSecretSource for Keyboard {
    fn passphrase(&self, fingerprint: &str) -> Option<Secret> {
        assert!(!fingerprint.is_empty());
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.knows.map(secret)
    }

    fn new_passphrase(&self) -> Option<Secret> {
        self.new.map(secret)
    }
}

impl SecretCache for Keyring {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn put(&self, name: &str, secret: &Secret, seconds: u32) -> bool {
        assert_eq!(seconds, 8 * 3600);
        let mut kept = self.0.lock().unwrap();
        kept.insert(name.to_owned(), secret.clone());
        true
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

fn knows(passphrase: &'static str) -> Keyboard {
    Keyboard {
        knows: Some(passphrase),
        ..Keyboard::default()
    }
}

/// A process of its own: nothing but the folder and the keyring is shared.
fn process(
    world: &Arc<World>,
    home: &Home,
    keyboard: &Keyboard,
    cache: impl SecretCache + 'static,
) -> Client {
    world
        .builder(home.clone(), "alice")
        .lockbox_passphrase(keyboard.clone())
        .lockbox_cache(cache)
        .build()
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path().join("home")).unwrap();
    (folder, home)
}

const LOCKED: Protection = Protection::Passphrase {
    cached_in_keyring: false,
};
const UNLOCKED: Protection = Protection::Passphrase {
    cached_in_keyring: true,
};

fn protection(client: &Client) -> Protection {
    client.status().unwrap().lockbox.unwrap().protection
}

#[test]
fn a_passphrase_is_typed_once_and_then_the_keyring_holds_the_secret() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let (keyring, keyboard) = (Keyring::default(), knows("correct horse"));
    let first = process(&world, &home, &keyboard, keyring.clone());
    let before = first.activate().unwrap().fingerprint();
    assert_eq!(protection(&first), Protection::FileOnly);
    let now = first
        .protect_lockbox(Some(&secret("correct horse")))
        .unwrap();
    assert_eq!(now, UNLOCKED);
    let names: Vec<_> = keyring.0.lock().unwrap().keys().cloned().collect();
    assert_eq!(names, [format!("openrms:lockbox:{before}")]);

    // The next process finds it in the keyring, the one after a restart asks once.
    process(&world, &home, &keyboard, keyring.clone())
        .account()
        .unwrap();
    assert_eq!(keyboard.asked.load(Ordering::SeqCst), 0);
    keyring.0.lock().unwrap().clear();
    let restarted = process(&world, &home, &keyboard, keyring.clone());
    assert_eq!(protection(&restarted), LOCKED);
    assert_eq!(restarted.activate().unwrap().fingerprint(), before);
    restarted.account().unwrap();
    assert_eq!(protection(&restarted), UNLOCKED);
    process(&world, &home, &keyboard, keyring)
        .activate()
        .unwrap();
    assert_eq!(keyboard.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn without_a_keyring_the_passphrase_is_asked_each_time_and_that_is_said() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let keyboard = knows("correct horse");
    let first = process(&world, &home, &keyboard, NoCache);
    let now = first
        .protect_lockbox(Some(&secret("correct horse")))
        .unwrap();
    assert_eq!(now, LOCKED);
    assert!(now.to_string().contains("asked for"), "{now}");
    for round in 1..=2 {
        let client = process(&world, &home, &keyboard, NoCache);
        let lockbox = client.activate().unwrap();
        assert_eq!(lockbox.protection(), LOCKED);
        client.account().unwrap();
        assert_eq!(keyboard.asked.load(Ordering::SeqCst), round);
    }
}

#[test]
fn a_wrong_passphrase_or_none_is_refused_by_name_and_destroys_nothing() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let right = process(&world, &home, &knows("correct horse"), NoCache);
    right
        .protect_lockbox(Some(&secret("correct horse")))
        .unwrap();
    right.join(OURS.hierarchy()).unwrap();
    let print = right.activate().unwrap().fingerprint();
    for (keyboard, name) in [
        (knows("Correct horse"), "lockbox-passphrase-wrong"),
        (knows(""), "lockbox-passphrase-wrong"),
        (Keyboard::default(), "lockbox-locked"),
    ] {
        let client = process(&world, &home, &keyboard, NoCache);
        assert_eq!(code(client.activate()), (name, 3));
        assert_eq!(code(client.account()), (name, 3));
        assert_eq!(code(client.protect_lockbox(None)), (name, 3));
        // Looking asks nobody.
        let asked = keyboard.asked.load(Ordering::SeqCst);
        let status = client.status().unwrap();
        assert!(status.lockbox_error.is_none() && status.activated);
        assert_eq!(status.lockbox.unwrap().fingerprint, print);
        assert_eq!(keyboard.asked.load(Ordering::SeqCst), asked);
    }
    let empty = right.protect_lockbox(Some(&secret("")));
    assert_eq!(code(empty), ("lockbox-passphrase-empty", 2));
    let client = process(&world, &home, &knows("correct horse"), NoCache);
    assert_eq!(client.activate().unwrap().fingerprint(), print);
}

#[test]
fn a_passphrase_is_changed_and_taken_away() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let keyring = Keyring::default();
    let client = process(&world, &home, &knows("one"), keyring.clone());
    client.protect_lockbox(Some(&secret("one"))).unwrap();
    let print = client.activate().unwrap().fingerprint();
    client.protect_lockbox(Some(&secret("two"))).unwrap();
    let old = process(&world, &home, &knows("one"), NoCache);
    assert_eq!(code(old.activate()), ("lockbox-passphrase-wrong", 3));
    let new = process(&world, &home, &knows("two"), NoCache);
    assert_eq!(new.activate().unwrap().fingerprint(), print);
    assert_eq!(new.protect_lockbox(None).unwrap(), Protection::FileOnly);
    assert_eq!(protection(&new), Protection::FileOnly);
    let nobody = process(&world, &home, &Keyboard::default(), keyring.clone());
    assert_eq!(nobody.protect_lockbox(None).unwrap(), Protection::FileOnly);
    assert!(keyring.0.lock().unwrap().is_empty());
    assert_eq!(nobody.activate().unwrap().fingerprint(), print);
}

#[test]
fn a_lockbox_made_with_a_passphrase_never_lay_there_without() {
    let (world, (_folder, home)) = (World::new(&OLD), home());
    let keyboard = Keyboard {
        new: Some("one"),
        ..knows("one")
    };
    let client = process(&world, &home, &keyboard, NoCache);
    // Made before the hierarchy is known, and anew when it turns out to be of the other mode.
    let first = client.activate().unwrap();
    assert_eq!((first.protection(), first.mode().number()), (LOCKED, 2));
    client.join(OLD.hierarchy()).unwrap();
    let second = client.activate().unwrap();
    assert_eq!((second.protection(), second.mode().number()), (LOCKED, 1));
    assert_ne!(first.fingerprint(), second.fingerprint());
    client.account().unwrap();
    let status = client.status().unwrap().lockbox.unwrap();
    assert_eq!(status.fingerprint, second.fingerprint());
    let text = fs::read_to_string(home.path().join("lockbox.secret")).unwrap();
    assert!(text.contains("argon2id = "), "{text}");
    let stranger = process(&world, &home, &Keyboard::default(), NoCache);
    assert_eq!(code(stranger.account()), ("lockbox-locked", 3));
}

#[test]
fn what_lies_in_the_keyring_under_a_wrong_name_is_not_used() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let keyring = Keyring::default();
    let client = process(&world, &home, &knows("one"), keyring.clone());
    client.protect_lockbox(Some(&secret("one"))).unwrap();
    for value in [vec![7; 32], vec![7; 3], Vec::new()] {
        for kept in keyring.0.lock().unwrap().values_mut() {
            *kept = Secret::from(value.clone());
        }
        let keyboard = knows("one");
        let client = process(&world, &home, &keyboard, keyring.clone());
        client.activate().unwrap();
        assert_eq!(keyboard.asked.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_locked_lockbox_on_another_machine_stays_of_no_use_with_the_passphrase() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let client = process(&world, &home, &knows("one"), NoCache);
    client.protect_lockbox(Some(&secret("one"))).unwrap();
    let elsewhere = MachineIdentity::new("another machine", 1000);
    let thief = Client::builder(home.clone(), elsewhere, world.clone())
        .lockbox_passphrase(knows("one"))
        .lockbox_cache(NoCache)
        .build();
    assert_eq!(code(thief.activate()), ("lockbox-other-machine", 4));
}

#[test]
fn a_damaged_envelope_is_named_and_unaffordable_costs_are_refused() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let client = process(&world, &home, &knows("one"), NoCache);
    client.protect_lockbox(Some(&secret("one"))).unwrap();
    let file = home.path().join("lockbox.secret");
    let text = fs::read_to_string(&file).unwrap();
    let huge = "argon2id = \"AQAAAP8DAAAABAAAAAAAAAAAAAAAAAAAAAAAAAA=\"";
    let line = text
        .lines()
        .find(|line| line.starts_with("argon2id"))
        .unwrap();
    for damaged in [
        text.replace("version = 1", "version = 2"),
        text.replace("envelope = \"", "envelope = \"!"),
        text.replace(line, huge),
        text.replace(line, "argon2id = \"AQ==\""),
        "nonsense".to_owned(),
    ] {
        assert_ne!(damaged, text);
        fs::write(&file, &damaged).unwrap();
        let client = process(&world, &home, &knows("one"), NoCache);
        assert_eq!(code(client.activate()), ("lockbox-damaged", 6), "{damaged}");
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
    }
    fs::write(&file, &text).unwrap();
    let client = process(&world, &home, &knows("one"), NoCache);
    client.activate().unwrap();
}

#[test]
fn a_lockbox_in_the_kernels_own_keyring_opens_without_asking() {
    let (world, (_folder, home)) = (World::new(&OURS), home());
    let keyboard = Keyboard::default();
    let client = process(&world, &home, &keyboard, KernelKeyring);
    let held = client.protect_lockbox(Some(&secret("one"))).unwrap();
    if held != UNLOCKED {
        println!("skipped: the kernel gives no keyring here");
        return;
    }
    let next = process(&world, &home, &keyboard, KernelKeyring);
    next.account().unwrap();
    assert_eq!(protection(&next), UNLOCKED);
    assert_eq!(keyboard.asked.load(Ordering::SeqCst), 0);
    next.protect_lockbox(None).unwrap();
    let entry = format!("openrms:lockbox:{}", next.activate().unwrap().fingerprint());
    assert!(KernelKeyring.get(&entry).is_none());
}

#[test]
fn protecting_and_opening_work_behind_a_passphrase() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.protect_lockbox(Some(&secret("one"))).unwrap();
    let path = alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    alice.open_file(&path).unwrap();
    alice.protect_lockbox(None).unwrap();
}
