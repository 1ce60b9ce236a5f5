//! The folder, the lockbox and results on disk.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openrms_crypto::Mode;

use super::world::{OURS, START, World, code, machine, policy};
use crate::lockbox::LockboxError;
use crate::*;

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path().join("home")).unwrap();
    (folder, home)
}

fn lockbox(home: &Home) -> Lockbox {
    let now = openrms_xrml::Time::from_unix(START);
    Lockbox::create(&home.lock().unwrap(), &machine(), Mode::Two, now, None).unwrap()
}

fn open(home: &Home, machine: &MachineIdentity) -> Result<Option<Lockbox>, LockboxError> {
    let unlock = Unlock {
        source: &NoPassphrase,
        cache: &NoCache,
    };
    Lockbox::open(home, machine, &unlock)
}

#[test]
fn a_lockbox_opens_again_where_it_was_made() {
    let (_folder, home) = home();
    assert!(open(&home, &machine()).unwrap().is_none());
    let made = lockbox(&home);
    let opened = open(&home, &machine()).unwrap().unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    assert_eq!(opened.machine(), made.machine());
    assert_eq!(opened.created(), made.created());
    assert_eq!(opened.protection(), Protection::FileOnly);
}

#[test]
fn a_lockbox_of_another_machine_or_user_is_refused_by_name() {
    let (_folder, home) = home();
    lockbox(&home);
    for other in [
        MachineIdentity::new("another machine", machine().uid),
        MachineIdentity::new(&machine().machine_id, 1001),
    ] {
        let error = open(&home, &other).unwrap_err();
        assert!(matches!(error, LockboxError::OtherMachine), "{error}");
        assert_eq!(
            (error.code(), error.class()),
            ("lockbox-other-machine", Class::NotTrusted)
        );
    }
}

#[test]
fn a_lockbox_without_its_secret_or_with_anothers_does_not_open() {
    let (_folder, home) = home();
    lockbox(&home);
    let (_other, elsewhere) = self::home();
    lockbox(&elsewhere);
    let secret = home.path().join("lockbox.secret");
    fs::copy(elsewhere.path().join("lockbox.secret"), &secret).unwrap();
    let refused = || open(&home, &machine()).unwrap_err();
    assert!(matches!(refused(), LockboxError::SecretMissing));
    fs::remove_file(&secret).unwrap();
    assert!(matches!(refused(), LockboxError::SecretMissing));
}

#[test]
fn a_damaged_lockbox_is_named_and_not_replaced() {
    let (_folder, home) = home();
    lockbox(&home);
    let file = home.path().join("lockbox");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("sealed = \"").unwrap() + 60;
    let flipped = if &text[at..=at] == "A" { "B" } else { "A" };
    for damaged in [
        format!("{}{flipped}{}", &text[..at], &text[at + 1..]),
        text.replace("version = 1", "version = 9"),
        "nonsense".to_owned(),
        String::new(),
    ] {
        fs::write(&file, &damaged).unwrap();
        let error = open(&home, &machine()).unwrap_err();
        assert!(matches!(error, LockboxError::Damaged(_)), "{error}");
        let world = World::new(&OURS);
        let client = world.builder(home.clone(), "alice").build();
        assert_eq!(code(client.activate()), ("lockbox-damaged", 6));
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
    }
}

#[test]
fn everything_in_the_folder_is_the_persons_alone() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    alice.protected("a.ptxt", b"text", &policy(&["bob@example.com:VIEW"]));
    let mut folders = vec![alice.home().path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 10, "{files}");
}

#[test]
fn an_open_folder_is_closed_to_others() {
    let (_folder, home) = home();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Home::open(home.path()).unwrap();
    assert_eq!(
        fs::metadata(home.path()).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn secrets_are_not_printed() {
    let (_folder, home) = home();
    let lockbox = lockbox(&home);
    let basic = Credentials::Basic {
        user: "alice".into(),
        password: Secret::from(b"pw1".as_slice()),
    };
    let bearer = Credentials::Bearer(Secret::from(b"tok1".as_slice()));
    let text = format!("{lockbox:?}{basic:?}{bearer:?}");
    assert!(!text.contains("pw1") && !text.contains("tok1"), "{text}");
}

#[test]
fn many_at_once_make_one_lockbox_and_one_certificate() {
    let world = World::new(&OURS);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let prints: Vec<String> = std::thread::scope(|scope| {
        // Each with a lock and a memory of its own, as processes have.
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let person = world.person_at("alice", folder.clone());
                scope.spawn(move || {
                    person.account().unwrap();
                    person.client_licensor().unwrap();
                    person.activate().unwrap().fingerprint()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(prints.windows(2).all(|pair| pair[0] == pair[1]));
    world.unplug(true);
    let later = world.person_at("alice", folder);
    later.client_licensor().unwrap();
    assert!(later.home().list("tmp").unwrap().is_empty());
}

/// Not a test of its own: what [`a_killed_process_leaves_a_readable_store`] runs and kills.
#[test]
#[ignore = "run by another test"]
fn writes_until_killed() {
    let Ok(path) = std::env::var("OPENRMS_TEST_HOME") else {
        return;
    };
    let home = Home::open(path).unwrap();
    for round in 0u64.. {
        let text = format!("{round:020}").repeat(5_000);
        home.lock()
            .unwrap()
            .write("licenses/x.xml", text.as_bytes())
            .unwrap();
        if round == 3 {
            println!("ready");
            std::io::stdout().flush().unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_a_readable_store() {
    use std::io::{BufRead as _, BufReader};
    let (_folder, home) = home();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::stores::writes_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("OPENRMS_TEST_HOME", home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("ready")),
            "round {round}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let text = home.read_text("licenses/x.xml").unwrap().unwrap();
        assert_eq!(text.len(), 100_000);
        assert_eq!(text, text[..20].repeat(5_000));
        // The lock went with the process; the next writer sweeps up.
        home.lock().unwrap().write("licenses/y.xml", b"y").unwrap();
        assert!(home.list("tmp").unwrap().is_empty());
    }
}

#[test]
fn a_result_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    let mut dropped = Output::create(&target, Overwrite::Never, None).unwrap();
    dropped.write_all(b"half").unwrap();
    drop(dropped);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut whole = Output::create(&target, Overwrite::Never, None).unwrap();
    whole.write_all(b"whole").unwrap();
    assert!(!target.exists());
    whole.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"whole");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    let mut late = Output::create(&target, Overwrite::Never, None).unwrap();
    late.write_all(b"late").unwrap();
    fs::write(&target, b"old").unwrap();
    let error = late.commit().unwrap_err();
    assert_eq!(error.code(), "output-exists");
    assert!(Output::create(&target, Overwrite::Never, None).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"old");
    let mut forced = Output::create(&target, Overwrite::Force, None).unwrap();
    forced.write_all(b"new").unwrap();
    forced.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
}

#[test]
fn permissions_and_time_of_the_source_carry_over() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, b"x").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(&source)
        .unwrap()
        .set_modified(then)
        .unwrap();
    let metadata = fs::metadata(&source).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    // In place, through a link: the link stays one.
    let mut out = Output::create(&link, Overwrite::Force, Some(&metadata)).unwrap();
    out.write_all(b"new").unwrap();
    out.commit().unwrap();
    let after = fs::metadata(&source).unwrap();
    assert_eq!(after.permissions().mode() & 0o777, 0o640);
    assert_eq!(after.modified().unwrap(), then);
    assert_eq!(fs::read(&source).unwrap(), b"new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let (_folder, home) = home();
    assert_eq!(Settings::load(&home).unwrap(), Settings::default());
    fs::write(home.path().join("settings.toml"), "server = 5").unwrap();
    let error = Settings::load(&home).unwrap_err();
    assert_eq!(
        (error.code(), error.class()),
        ("settings-malformed", Class::Malformed)
    );
}

/// Not a test of its own: what [`a_killed_process_leaves_nothing_of_an_output`] runs and kills.
#[test]
#[ignore = "run by another test"]
fn writes_an_output_until_killed() {
    let Ok(target) = std::env::var("OPENRMS_TEST_TARGET") else {
        return;
    };
    let overwrite = match std::env::var_os("OPENRMS_TEST_FORCE") {
        Some(_) => Overwrite::Force,
        None => Overwrite::Never,
    };
    let mut out = Output::create(target.as_ref(), overwrite, None).unwrap();
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_nothing_of_an_output() {
    use std::io::{BufRead as _, BufReader};
    // The first is on the disk's file system, the second in memory.
    for place in [std::env::temp_dir(), "/dev/shm".into()] {
        let Ok(folder) = tempfile::tempdir_in(&place) else {
            println!("skipped: no {}", place.display());
            continue;
        };
        for forced in [false, true] {
            let target = folder.path().join("a.txt");
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args([
                    "--exact",
                    "tests::stores::writes_an_output_until_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env("OPENRMS_TEST_TARGET", &target)
                .stdout(Stdio::piped());
            if forced {
                fs::write(&target, b"old").unwrap();
                command.env("OPENRMS_TEST_FORCE", "1");
            }
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains("ready")));
            child.kill().unwrap();
            child.wait().unwrap();
            let left: Vec<_> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            if left.iter().any(|name| name.starts_with(".a.txt.")) {
                println!("skipped: no unnamed files on {}", place.display());
                break;
            }
            if forced {
                assert_eq!(left, ["a.txt"]);
                assert_eq!(fs::read(&target).unwrap(), b"old");
            } else {
                assert!(left.is_empty(), "{left:?}");
            }
        }
    }
}

#[test]
fn only_one_of_many_writers_gets_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.txt");
    let written: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number: u8| {
                let target = &target;
                scope.spawn(move || {
                    let Ok(mut out) = Output::create(target, Overwrite::Never, None) else {
                        return false;
                    };
                    out.write_all(&[number; 1000]).unwrap();
                    match out.commit() {
                        Ok(_) => true,
                        Err(error) => {
                            assert_eq!(error.code(), "output-exists");
                            false
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(written.iter().filter(|won| **won).count(), 1, "{written:?}");
    let bytes = fs::read(&target).unwrap();
    assert_eq!(bytes.len(), 1000);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_result_without_a_folder_in_its_name_goes_where_the_process_is() {
    let name = format!("openrms-test-{}.txt", std::process::id());
    let mut out = Output::create(name.as_ref(), Overwrite::Never, None).unwrap();
    out.write_all(b"x").unwrap();
    out.commit().unwrap();
    assert_eq!(fs::read(&name).unwrap(), b"x");
    fs::remove_file(&name).unwrap();
}
