//! Each channel takes a machine without the client to a protected document that somebody without
//! rights has opened, with no way out of the network but to the service. The commands are those of
//! the manual.
#![allow(clippy::panic, clippy::unwrap_used, reason = "they are tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use delivery::page::commands;
use delivery::person::{opens, opens_by, signed_in};
use delivery::{Base, By, Domain, Ran, Service, Site, in_order, newer, now, package};

#[test]
fn s2_s6_s9_s12_from_a_repository_of_debian_packages() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let machine = &site.machine;
    machine.run("rms").refused(127);
    without_archives(&site);
    site.follow("install-apt.md", Some("apt")).done();
    let open = commands(&site, "install-apt.md", Some("apt"), By::Person);
    let opened = machine.run_as("bob", &signed_in(&open));
    assert_eq!(opened.done(), Service::TEXT);
}

#[test]
fn s13_s16_s36_from_an_administrators_script() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let machine = &site.machine;
    let said = site.follow("install-script.md", None).done_quietly();
    assert_in_order(&said, &STEPS);
    opens(machine);
    // What is current is left alone.
    let before = machine.digest();
    let said = site.follow("install-script.md", None).done_quietly();
    assert_in_order(&said, &["openrms-client 0", "is current", "is current"]);
    assert_eq!(before.differences(&machine.digest()), [""; 0]);
    assert_in_order(&machine.read("/var/log/openrms-install.log"), &STEPS);
}

#[test]
fn s14_s15_from_a_start_up_script_at_the_next_start() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let machine = &site.machine;
    machine.put(&packaging("install/openrms-install.service"), "/srv/");
    site.follow("install-script.md", Some("At the start of a machine"))
        .done();
    assert!(!machine.has("/usr/bin/rms"));
    let mut booted = machine.boot();
    booted.until("test $(systemctl show -P ActiveState openrms-install) = inactive");
    let result = booted.run("systemctl show -P Result openrms-install");
    assert_eq!(result.done(), "success\n");
    opens(&booted);
    // At the next start there is nothing to be done.
    booted.reboot();
    booted.until("test $(grep -c 'is current' /var/log/openrms-install.log) = 2");
    // A script that is not the one that was seen is not run.
    booted
        .run("echo '# changed' >>/usr/local/sbin/openrms-install")
        .done();
    let log = machine.read("/var/log/openrms-install.log");
    booted.run("systemctl start openrms-install").refused(1);
    assert_eq!(machine.read("/var/log/openrms-install.log"), log);
}

#[test]
fn from_a_medium_that_is_carried_to_a_machine() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    site.machine.put(&site.channel.path(), "/media/channel");
    site.follow("install-script.md", Some("Carried by hand"))
        .done();
    opens(&site.machine);
}

#[test]
fn by_a_person_without_rights_from_the_tarball() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let page = "install-script.md";
    let line = commands(&site, page, Some("Without rights"), By::Person);
    site.machine.run_as("bob", &line).done();
    opens_by(&site.machine, "~/.local/bin/rms");
    let again = site.machine.run_as("bob", &line).done_quietly();
    assert!(again.contains("is current"), "{again}");
}

#[test]
fn s1_in_an_image_that_has_the_client_nothing_is_installed() {
    let Some(site) = Site::new(Base::Bare) else {
        return;
    };
    let machine = &site.machine;
    // The image is made.
    let package = package(&site.channel.path(), "openrms-client");
    machine.put(&package, "/var/tmp/client.deb");
    machine.run("dpkg --install /var/tmp/client.deb").done();
    // A machine of it.
    let before = machine.digest();
    let script = format!(
        "sh /srv/install.sh {} --packages openrms-client --state /var/tmp/state",
        site.url
    );
    let said = machine.run(&script).done_quietly();
    assert!(said.contains("is current"), "{said}");
    assert_eq!(before.differences(&machine.digest()), [""; 0]);
    opens(machine);
}

#[test]
fn by_ansible_whose_second_run_changes_nothing() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let machine = &site.machine;
    machine.put(&packaging("ansible"), "/srv/packaging/");
    let channel = site.url.clone() + "/";
    let defaults = "/srv/packaging/ansible/roles/openrms_client/defaults/main.yml";
    let other_channel = machine.read(defaults).replace(
        "{{ openrms_client_server }}/openrms/repo",
        channel.trim_end_matches('/'),
    );
    machine.write(defaults, other_channel);
    without_archives(&site);
    machine.run("rm -r /etc/openrms").done();
    let booted = machine.boot();
    let play = in_order(&commands(&site, "install-ansible.md", None, By::Root));
    let play = format!("export LC_ALL=C.UTF-8 HOME=/root\n{play}");
    let first = booted.run(&play).done();
    assert!(!first.contains("changed=0 "), "{first}");
    opens(&booted);
    let second = booted.run(&play).done();
    assert!(second.contains("changed=0 "), "{second}");
}

#[test]
fn by_cloud_init_at_the_first_start() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let machine = &site.machine;
    let data = "/srv/packaging/cloud-init/";
    machine.put(&packaging("cloud-init/user-data.yaml"), data);
    machine.run("rm -r /etc/openrms").done();
    site.follow("install-cloud-init.md", None).done();
    let seed = "/var/lib/cloud/seed/nocloud";
    machine.write(&format!("{seed}/meta-data"), "instance-id: first\n");
    machine
        .run(&format!("cp /srv/user-data {seed}/user-data"))
        .done();
    machine.write("/etc/cloud/cloud.cfg.d/99-here.cfg", HERE);
    machine.run("rm /etc/cloud/cloud-init.disabled").done();
    without_archives(&site);
    let booted = machine.boot();
    booted.until("cloud-init status | grep -qE 'done|error'");
    let log = booted.run("cloud-init status --long; cat /var/log/cloud-init-output.log");
    assert!(machine.has("/usr/bin/rms"), "{log}");
    opens(&booted);
}

#[test]
fn s9_s14_by_group_policy_on_a_member_of_the_domain() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let Some(domain) = Domain::start(&site.network) else {
        return;
    };
    let machine = &site.machine;
    let settings = "/etc/openrms/client.d/10-organisation.toml";
    machine.write("/srv/10-organisation.toml", machine.read(settings));
    machine.run("rm -r /etc/openrms").done();
    without_archives(&site);
    domain.show(machine);
    let booted = machine.boot();
    domain.join(&booted);
    let policy = commands(&site, "install-group-policy.md", None, By::Root);
    let policy = policy.replace("Administrator\n", &format!("{}\n", Domain::ADMINISTRATOR));
    let policy = policy.replace("Administrator |", &format!("{} |", Domain::ADMINISTRATOR));
    booted.run(&in_order(&policy)).done();
    // As at the start of the machine, and an hour and a half later.
    booted.run("samba-gpupdate --force").done();
    assert!(machine.has("/usr/bin/rms"));
    booted.run("samba-gpupdate --force").done();
    opens(&booted);
    let log = machine.read("/var/log/openrms-install.log");
    assert_in_order(&log, &STEPS);
    assert_in_order(&log, &["is installed", "is current"]);
}

#[test]
fn s6_from_a_repository_of_rpm_packages() {
    let Some(site) = Site::new(Base::Dnf) else {
        return;
    };
    let machine = &site.machine;
    // Debian has what the packages want, and rpm does not know it.
    let base = tempfile::tempdir().unwrap();
    machine.put(&base_of_rpm(&site, base.path()), "/srv/base.rpm");
    machine.run("rpm --install /srv/base.rpm").done();
    site.follow("install-apt.md", Some("dnf")).done();
    opens(machine);
}

#[test]
fn s7_from_the_cluster_itself_over_its_one_port() {
    let Some(mut site) = Site::new(Base::Bare) else {
        return;
    };
    site.service.imports(&site.channel.path());
    site.url = format!("{}/openrms/repo", Service::URL);
    without_archives(&site);
    site.follow("install-apt.md", Some("apt")).done();
    opens(&site.machine);
}

#[test]
fn s10_a_person_finds_it_in_the_list_of_software() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let machine = &site.machine;
    without_archives(&site);
    let page = commands(&site, "install-apt.md", Some("apt"), By::Root);
    let (add, _) = page.split_once("DEBIAN_FRONTEND").unwrap();
    machine.run(&in_order(add)).done();
    assert!(!machine.has("/usr/bin/rms"));
    let found = machine
        .run_as("bob", "appstreamcli search protected")
        .done();
    assert!(found.contains("org.openrms.client"), "{found}");
    assert!(found.contains("Package: openrms-client"), "{found}");
}

#[test]
fn s12_updates_come_with_those_of_the_system_without_anybody() {
    let (Some(site), Some(newer)) = (Site::new(Base::Systemd), newer()) else {
        return;
    };
    let machine = &site.machine;
    without_archives(&site);
    site.follow("install-apt.md", Some("apt")).done();
    let settings = "20-own.toml";
    machine.write(&format!("/etc/openrms/client.d/{settings}"), "# its own\n");
    let profile = "/usr/share/doc/openrms-client/examples/52openrms-unattended-upgrades";
    machine
        .run(&format!("cp {profile} /etc/apt/apt.conf.d/"))
        .done();
    site.channel.becomes(&newer);
    site.channel.publish(now() + 1, 30);
    let booted = machine.boot();
    booted.run("apt-get update").done();
    let said = booted.run("unattended-upgrade --verbose").done();
    assert!(said.contains("openrms-client"), "{said}");
    let version = "dpkg-query --show --showformat '${Version}' openrms-client";
    assert_eq!(booted.run(version).done(), "0.999.0");
    assert!(machine.has(&format!("/etc/openrms/client.d/{settings}")));
    opens(&booted);
}

#[test]
fn s2_s3_s4_whoever_logs_on_has_a_lockbox_of_their_own() {
    let Some(site) = Site::new(Base::Systemd) else {
        return;
    };
    let machine = &site.machine;
    without_archives(&site);
    site.follow("install-apt.md", Some("apt")).done();
    machine.run("useradd --create-home carol").done();
    let held = "find .local/share/openrms -type f -printf '%m %u %f\\n' | sort";
    // Nobody is activated by the installation.
    assert!(!machine.has("/root/.local/share/openrms"));
    let booted = machine.boot();
    // A certificate comes last; whoever logs on does nothing for it.
    let wait =
        "timeout 30 sh -c 'until test -e .local/share/openrms/machine.xml; do sleep 0.1; done'";
    for name in ["bob", "carol"] {
        booted.run_as(name, wait).done();
        let held = booted.run_as(name, held).done();
        assert!(held.contains(&format!("600 {name} machine.xml")), "{held}");
        assert!(held.lines().all(|line| line.starts_with("600 ")), "{held}");
    }
    opens(&booted);
}

/// What the script says that it does, in this order.
const STEPS: [&str; 7] = [
    "step: fetch the list of files",
    "step: verify apt/pool/openrms-client_",
    "step: install openrms-client ",
    "openrms-client 0",
    "step: verify apt/pool/openrms-client-backcompat_",
    "step: install openrms-client-backcompat ",
    "openrms-client-backcompat 0",
];
/// Of a package that holds nothing.
const BASE: &str = "Name: base\nVersion: 1\nRelease: 1\nSummary: What Debian has\nLicense: MIT\n\
                    BuildArch: noarch\nAutoReqProv: no\n";
/// What a cloud tells is in a folder.
const HERE: &str = "datasource_list: [NoCloud]\n";

fn packaging(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging")).join(name)
}

/// Debian's own archives are not reached from there.
fn without_archives(site: &Site) {
    let remove = "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*";
    site.machine.run(remove).done();
}

/// A package of nothing, which says that there is all that the client's wants.
fn base_of_rpm(site: &Site, folder: &Path) -> PathBuf {
    let mut query = Command::new("rpm");
    query.args(["--query", "--package", "--nosignature", "--requires"]);
    let client = format!("openrms-client-{}-1.x86_64.rpm", env!("CARGO_PKG_VERSION"));
    let wanted = Ran::of(query.arg(site.channel.path().join("rpm").join(client))).done();
    let wanted = wanted.lines().filter(|line| !line.starts_with("rpmlib("));
    let provides: Vec<_> = wanted.map(|line| format!("Provides: {line}\n")).collect();
    let provides = provides.concat();
    let spec = folder.join("base.spec");
    std::fs::write(&spec, format!("{BASE}{provides}%description\n%files\n")).unwrap();
    let mut build = Command::new("rpmbuild");
    build.args(["--quiet", "-bb", "--define"]);
    build.arg(format!("_topdir {}", folder.display()));
    Ran::of(build.arg(&spec)).done();
    folder.join("RPMS/noarch/base-1-1.noarch.rpm")
}

fn assert_in_order(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let Some(at) = rest.find(line) else {
            panic!("{line} is missing, or too early: {text}");
        };
        rest = &rest[at + line.len()..];
    }
}
