//! Whatever is wrong with what a machine is given, it stops at the step that it concerns, says so by
//! name, and the machine is what it was.
#![allow(clippy::panic, clippy::unwrap_used, reason = "they are tests")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use delivery::page::commands;
use delivery::person::opens;
use delivery::{Base, By, Machine, Ran, Site, dist, in_order, newer, now, package};

#[test]
fn s13_the_script_stops_at_the_step_that_is_wrong() {
    let (Some(site), Some(dist)) = (Site::new(Base::Bare), dist()) else {
        return;
    };
    let (machine, channel) = (&site.machine, &site.channel);
    let before = machine.digest();
    for (what, tamper, name, last_step) in TAMPERINGS {
        channel.becomes(&dist);
        tamper(&site);
        let said = site.follow(PAGE, None).refused(4);
        assert!(
            said.contains(&format!("openrms-install: {name}: ")),
            "{what}: {said}"
        );
        let mut steps = said.lines().filter(|line| line.contains("step: "));
        let last = steps.next_back().unwrap_or_default();
        assert!(last.contains(last_step), "{what}: {said}");
        let changed = before.differences(&machine.digest());
        assert_eq!(changed, [""; 0], "{what}");
    }
    channel.becomes(&dist);
    site.follow(PAGE, None).done();
    opens(machine);
}

#[test]
fn what_was_newer_is_not_taken_back_by_the_script() {
    let (Some(site), Some(dist), Some(newer)) = (Site::new(Base::Bare), dist(), newer()) else {
        return;
    };
    let (machine, channel) = (&site.machine, &site.channel);
    site.follow(PAGE, None).done();
    let first = serial(machine);
    channel.becomes(&newer);
    channel.publish(first + 1, 30);
    let said = site.follow(PAGE, None).done_quietly();
    assert!(said.contains(" over 0"), "{said}");
    opens(machine);
    let before = machine.digest();
    // The channel as it was.
    channel.becomes(&dist);
    assert_eq!(serial(machine), first + 1);
    let said = site.follow(PAGE, None).refused(4);
    assert!(said.contains("manifest-replayed: "), "{said}");
    // The same packages, published after the newer ones.
    channel.publish(first + 2, 30);
    let said = site.follow(PAGE, None).refused(4);
    assert!(said.contains("older-version: "), "{said}");
    assert_eq!(before.differences(&machine.digest()), [""; 0]);
}

#[test]
fn s16_the_second_package_is_not_tried_when_the_first_failed() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let machine = &site.machine;
    // Another package has a program of that name.
    machine.write("/var/tmp/other/DEBIAN/control", OTHER);
    machine.write("/var/tmp/other/usr/bin/rms", "another program\n");
    machine
        .run("cd /var/tmp && dpkg-deb --build other && dpkg --install other.deb")
        .done();
    let before = machine.digest();
    let said = site.follow(PAGE, None).refused(1);
    assert!(
        said.contains("install-failed: openrms-client could not be installed"),
        "{said}"
    );
    assert!(!said.contains("backcompat"), "{said}");
    let log = machine.read("/var/log/openrms-install.log");
    assert!(
        log.lines().last().unwrap().contains("install-failed"),
        "{log}"
    );
    let left = machine
        .run("dpkg-query --show --showformat '${db:Status-Status}' openrms-client-backcompat");
    assert_ne!(left.out, "installed");
    // It is completed once nothing is in the way.
    let changed = before.differences(&machine.digest());
    let beyond: Vec<_> = changed
        .iter()
        .filter(|line| !line.contains("./var/lib/dpkg"))
        .collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    machine.run("dpkg --remove other").done();
    site.follow(PAGE, None).done();
    opens(machine);
}

#[test]
fn an_interrupted_installation_is_completed_by_the_next_run() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let machine = &site.machine;
    // As if the machine had been switched off between unpacking and configuring.
    let client = package(&site.channel.path(), "openrms-client");
    machine.put(&client, "/var/tmp/client.deb");
    machine.run("dpkg --unpack /var/tmp/client.deb").done();
    let said = site.follow(PAGE, None).done_quietly();
    assert!(
        said.contains("step: complete what was interrupted"),
        "{said}"
    );
    assert!(
        said.contains("openrms-client-backcompat") && said.contains("is installed"),
        "{said}"
    );
    opens(machine);
}

#[test]
fn s9_apt_takes_nothing_that_was_changed_withheld_or_older() {
    let (Some(site), Some(dist)) = (Site::new(Base::Bare), dist()) else {
        return;
    };
    let (machine, channel) = (&site.machine, &site.channel);
    machine
        .run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        .done();
    let page = commands(&site, "install-apt.md", Some("apt"), By::Root);
    let (add, _) = page.split_once("apt-get update").unwrap();
    machine.run(&in_order(add)).done();
    let update = "apt-get update --error-on=any 2>&1";
    let install = "DEBIAN_FRONTEND=noninteractive apt-get install --yes openrms-client 2>&1";
    let release = "apt/dists/stable/InRelease";
    let before = machine.digest();
    let refused = |line: &str, why: &str| {
        let ran = machine.run(line);
        assert_ne!(ran.code, 0, "{why}: {ran}");
        assert!(ran.out.contains(why), "{why}: {ran}");
        assert_eq!(before.differences(&machine.digest()), [""; 0], "{why}");
        channel.becomes(&dist);
    };
    channel.edit(release, |text| text.replacen("Label:", "Lable:", 1));
    refused(update, "BADSIG");
    for name in ["Packages", "Packages.gz"] {
        for file in by_hash(&site, name) {
            channel.flip(&file);
        }
    }
    refused(update, "Hash Sum mismatch");
    channel.publish(now() - 100 * DAY, 90);
    refused(update, "expired");
    machine.run(update).done();
    channel.flip(&package(&channel.path(), "openrms-client"));
    refused(install, "Hash Sum mismatch");
    machine.run(install).done();
    opens(machine);
}

/// A name, the tampering, the name of its refusal, and the step at which it stops.
type Tampering = (&'static str, fn(&Site), &'static str, &'static str);

const TAMPERINGS: [Tampering; 9] = [
    (
        "a byte of the package",
        |site| {
            site.channel
                .flip(&package(&site.channel.path(), "openrms-client"));
        },
        "file-altered",
        "verify apt/pool/openrms-client_",
    ),
    (
        "the package, and its hash in the list",
        |site| {
            let package = package(&site.channel.path(), "openrms-client");
            let old = hash(&package);
            site.channel.flip(&package);
            let new = hash(&package);
            site.channel.edit(MANIFEST, |text| text.replace(&old, &new));
        },
        "manifest-forged",
        "fetch the list",
    ),
    (
        "the version in the list",
        |site| {
            site.channel
                .edit(MANIFEST, |text| text.replacen("version: ", "version: 9", 1));
        },
        "manifest-forged",
        "fetch the list",
    ),
    (
        "the end of the list",
        |site| {
            site.channel
                .edit(MANIFEST, |text| text.replacen("expires: ", "expires: 9", 1));
        },
        "manifest-forged",
        "fetch the list",
    ),
    (
        "the signature",
        |site| site.channel.edit(SIGNATURE, |text| flipped(&text)),
        "manifest-forged",
        "fetch the list",
    ),
    (
        "no signature",
        |site| fs::write(site.channel.path().join(SIGNATURE), "").unwrap(),
        "manifest-forged",
        "fetch the list",
    ),
    (
        "a list that is not renewed any more",
        |site| site.channel.publish(now() - 100 * DAY, 90),
        "manifest-expired",
        "fetch the list",
    ),
    (
        "no list at all",
        |site| fs::write(site.channel.path().join(MANIFEST), "").unwrap(),
        "manifest-forged",
        "fetch the list",
    ),
    (
        "another file in the place of the package",
        |site| {
            let package = package(&site.channel.path(), "openrms-client");
            fs::write(package, "not a package").unwrap();
        },
        "file-altered",
        "verify apt/pool/openrms-client_",
    ),
];

/// Of the list of files that a machine saw last.
fn serial(machine: &Machine) -> u64 {
    let serial = machine.read("/var/lib/openrms-install/serial");
    serial.trim().parse().unwrap()
}

fn hash(file: &std::path::Path) -> String {
    let sum = Ran::of(Command::new("sha256sum").arg(file)).done();
    sum.split(' ').next().unwrap().to_owned()
}

/// A letter of the base64 in the middle is another.
fn flipped(armored: &str) -> String {
    let mut bytes = armored.as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// A file of the index, wherever it is kept.
fn by_hash(site: &Site, name: &str) -> Vec<PathBuf> {
    let folder = site
        .channel
        .path()
        .join("apt/dists/stable/main/binary-amd64");
    let plain = folder.join(name);
    let hashed = folder.join("by-hash/SHA256").join(hash(&plain));
    [plain, hashed]
        .into_iter()
        .filter(|file| file.exists())
        .collect()
}

const OTHER: &str = "Package: other\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.com>\n\
                     Description: another\n";
const PAGE: &str = "install-script.md";
const MANIFEST: &str = "openrms.manifest";
const SIGNATURE: &str = "openrms.manifest.asc";
const DAY: u64 = 86_400;
