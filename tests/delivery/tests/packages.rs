//! What is in the packages, who signed them, and what installing and removing them leaves behind: in
//! empty folders, by dpkg and rpm themselves.
#![allow(clippy::panic, clippy::unwrap_used, reason = "they are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use delivery::{Ran, dist, newer};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn lintian_finds_no_error_and_no_warning() {
    let Some(packages) = packages() else { return };
    if lacks("lintian") {
        return;
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    Ran::of(lintian.args(found(&packages, ".deb"))).done();
}

#[test]
fn the_same_source_in_another_folder_gives_the_same_packages() {
    let (Some(dist), Some(packages)) = (dist(), packages()) else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let source = elsewhere.path().join("source");
    let programs = unpacked(&packages, elsewhere.path()).join("bin");
    let output = elsewhere.path().join("dist");
    let read = |name: &str| fs::read_to_string(packages.join(name)).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(ROOT)
        .args(["build", "--quiet", "--locked", "--package", "xtask"])
        .good();
    let mut copy = Command::new("sh");
    copy.current_dir(ROOT)
        .args(["-ec", COPY, "sh"])
        .arg(&source)
        .good();

    // Of another language, time zone and mask.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(Path::new(ROOT).join("target"), PathBuf::from);
    let mut again = Command::new("sh");
    again
        .current_dir(&source)
        .args(["-ec", "umask 077; exec \"$@\"", "sh"]);
    again.arg(target.join("debug/xtask")).arg("dist");
    again
        .arg("--binaries")
        .arg(programs)
        .arg("--output")
        .arg(&output);
    again
        .arg("--keys")
        .arg(dist.join("keys"))
        .args(["--as-version", read("VERSION").trim()]);
    again.env("SOURCE_DATE_EPOCH", read("SOURCE_DATE_EPOCH").trim());
    again
        .envs([
            ("LC_ALL", "C"),
            ("TZ", "Pacific/Apia"),
            ("USER", "somebody"),
        ])
        .good();
    let sums = fs::read_to_string(output.join("packages/SHA256SUMS")).unwrap();
    assert_eq!(sums, read("SHA256SUMS"));
}

#[test]
fn s6_s33_the_client_is_one_package_that_needs_no_other_of_ours() {
    let Some(packages) = packages() else { return };
    let client = of(&packages, ".deb", "openrms-client_");
    let depends = field(&client, "Depends");
    let names: BTreeSet<_> = depends
        .split(", ")
        .filter_map(|one| one.split(' ').next())
        .collect();
    assert_eq!(
        names,
        BTreeSet::from(["init-system-helpers", "libc6", "libgcc-s1"]),
        "{depends}"
    );
    for nothing in ["Conflicts", "Pre-Depends", "Breaks", "Replaces"] {
        assert_eq!(field(&client, nothing), "", "{nothing}");
    }
    let files = contents(&client);
    for file in [
        "./usr/bin/rms",
        "./usr/share/man/man1/rms.1.gz",
        "./usr/share/man/man1/rms-open.1.gz",
    ] {
        assert!(files.contains(file), "{file} is missing");
    }
}

#[test]
fn packages_hold_programs_pages_and_no_settings() {
    let Some(packages) = packages() else { return };
    for (name, program) in [("openrms-client_", "rms"), ("openrms-server_", "rmsd")] {
        let files = contents(&of(&packages, ".deb", name));
        for file in [
            format!("./usr/bin/{program}"),
            format!("./usr/share/man/man1/{program}.1.gz"),
            format!(
                "./usr/share/doc/{}THIRD-PARTY.txt.gz",
                name.replace('_', "/")
            ),
            format!("./usr/share/bash-completion/completions/{program}"),
            format!("./usr/share/zsh/vendor-completions/_{program}"),
            format!("./usr/share/fish/vendor_completions.d/{program}.fish"),
        ] {
            assert!(files.contains(&file), "{file} is missing");
        }
    }
    for package in found(&packages, ".deb") {
        // Nothing that a policy would have to change, and nothing of the machine's or a person's.
        let outside = contents(&package)
            .into_iter()
            .find(|file| !file.starts_with("./usr/") && !file.starts_with("./lib/systemd/"));
        assert_eq!(outside, None, "{}", package.display());
        let scripts = Ran::of(&mut dpkg_deb("--info", &package)).done();
        assert!(!scripts.contains("conffiles"), "{scripts}");
    }
    if lacks("rpm") {
        return;
    }
    for package in found(&packages, ".rpm") {
        let mut list = Command::new("rpm");
        let listed = Ran::of(list.args(["--query", "--list", "--package"]).arg(&package)).done();
        let outside = listed.lines().find(|file| !file.starts_with("/usr/"));
        assert_eq!(outside, None, "{}", package.display());
    }
}

#[test]
fn every_kind_of_package_holds_the_same_programs() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let unpacked = unpacked(&packages, folder.path());
    for (name, program) in [("openrms-client_", "rms"), ("openrms-server_", "rmsd")] {
        let debian = folder.path().join(program);
        let package = of(&packages, ".deb", name);
        Ran::of(dpkg_deb("--extract", &package).arg(&debian)).done();
        let debian = fs::read(debian.join("usr/bin").join(program)).unwrap();
        assert!(
            debian == fs::read(unpacked.join("bin").join(program)).unwrap(),
            "{program}"
        );
    }
    // They are started, each by the name of its release.
    for program in ["rms", "rmsd"] {
        let version = Ran::of(Command::new(unpacked.join("bin").join(program)).arg("--version"));
        assert!(version.done().starts_with(&format!("{program} ")));
    }
}

#[test]
fn programs_say_what_they_were_made_of() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let unpacked = unpacked(&packages, folder.path());
    for program in ["rms", "rmsd"] {
        let mut sections = Command::new("objdump");
        sections
            .arg("--section-headers")
            .arg(unpacked.join("bin").join(program));
        let sections = Ran::of(&mut sections).done();
        assert!(sections.contains(" .dep-v0 "), "{sections}");

        let bill = fs::read(packages.join(format!("{program}.cdx.json"))).unwrap();
        let bill: Value = serde_json::from_slice(&bill).unwrap();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        assert_eq!(bill["metadata"]["component"]["name"], program);
        let components = bill["components"].as_array().unwrap();
        let of = |name: &str| components.iter().find(|one| one["name"] == name);
        let rustls = of("rustls").unwrap();
        assert!(
            rustls["version"].is_string() && !rustls["licenses"][0].is_null(),
            "{rustls}"
        );
        // What only tests need is in no program.
        assert!(of("proptest").is_none());
    }
}

#[test]
fn s13_whatever_a_machine_takes_from_the_channel_is_signed() {
    let Some(dist) = dist() else { return };
    let channel = dist.join("channel");
    let folder = tempfile::tempdir().unwrap();
    let apt = "apt/dists/stable";
    for (signature, signed) in [
        ("openrms.manifest.asc", "openrms.manifest"),
        ("apt/dists/stable/Release.gpg", "apt/dists/stable/Release"),
        ("rpm/repodata/repomd.xml.asc", "rpm/repodata/repomd.xml"),
    ] {
        let signed = channel.join(signed);
        gpgv(&channel)
            .arg(channel.join(signature))
            .arg(&signed)
            .good();
        let altered = altered(&signed, &folder);
        gpgv(&channel)
            .arg(channel.join(signature))
            .arg(altered)
            .bad();
    }
    let release = channel.join(apt).join("InRelease");
    gpgv(&channel).arg(&release).good();
    gpgv(&channel).arg(altered(&release, &folder)).bad();
    let text = fs::read_to_string(release).unwrap();
    for line in ["Origin: OpenRMS", "Suite: stable", "Acquire-By-Hash: yes"] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
    // The index ends when the list does.
    let end = text
        .lines()
        .find_map(|line| line.strip_prefix("Valid-Until: "))
        .unwrap();
    let end = Ran::of(Command::new("date").args(["--date", end, "+expires: %s"])).done();
    let manifest = channel.join("openrms.manifest");
    assert!(
        fs::read_to_string(&manifest).unwrap().contains(&end),
        "{end}"
    );

    let signature = folder.path().join("signature");
    let mut decode = Command::new("openssl");
    decode
        .args(["base64", "-d", "-A", "-in"])
        .arg(channel.join("openrms.manifest.sig"));
    Ran::of(decode.arg("-out").arg(&signature)).done();
    let openssl = || {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["dgst", "-sha256", "-verify"])
            .arg(channel.join("openrms-release.pem"));
        openssl.arg("-signature").arg(&signature);
        openssl
    };
    openssl().arg(&manifest).good();
    openssl().arg(altered(&manifest, &folder)).bad();
}

#[test]
fn each_rpm_of_the_channel_is_signed_by_itself() {
    let Some(dist) = dist() else { return };
    if lacks("rpmkeys") {
        return;
    }
    let channel = dist.join("channel");
    let folder = tempfile::tempdir().unwrap();
    let keys = || {
        let mut keys = Command::new("rpmkeys");
        keys.arg("--dbpath").arg(folder.path().join("db"));
        keys
    };
    keys()
        .arg("--import")
        .arg(channel.join("openrms-archive-keyring.asc"))
        .good();
    for package in found(&channel.join("rpm"), ".rpm") {
        let said = Ran::of(keys().args(["--checksig", "-v"]).arg(&package)).done();
        assert!(
            said.contains("Signature") && said.contains(": OK"),
            "{said}"
        );
        let mut bytes = fs::read(&package).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let altered = folder.path().join("altered.rpm");
        fs::write(&altered, bytes).unwrap();
        keys().arg("--checksig").arg(altered).bad();
    }
}

#[test]
fn the_list_names_every_file_of_the_channel() {
    let Some(dist) = dist() else { return };
    let channel = dist.join("channel");
    let manifest = fs::read_to_string(channel.join("openrms.manifest")).unwrap();
    let (heading, list) = manifest.split_once("\n\n").unwrap();
    let mut heading = heading.lines();
    assert_eq!(heading.next(), Some("openrms-manifest 1"));
    let version = fs::read_to_string(dist.join("packages/VERSION")).unwrap();
    assert_eq!(
        heading.next(),
        Some(format!("version: {}", version.trim()).as_str())
    );
    let number = |line: Option<&str>, name: &str| -> u64 {
        line.and_then(|line| line.strip_prefix(name))
            .unwrap()
            .parse()
            .unwrap()
    };
    let serial = number(heading.next(), "serial: ");
    assert!(number(heading.next(), "expires: ") > serial);
    assert_eq!(heading.next(), None);

    let sums = tempfile::tempdir().unwrap();
    let sums = sums.path().join("sums");
    fs::create_dir_all(sums.parent().unwrap()).unwrap();
    fs::write(&sums, list).unwrap();
    let mut check = Command::new("sha256sum");
    check
        .current_dir(&channel)
        .args(["--check", "--strict", "--quiet"]);
    check.arg(&sums).good();
    let named: Vec<_> = list
        .lines()
        .filter_map(|line| line.split("  ").nth(1))
        .collect();
    assert!(named.is_sorted());
    let mut there = everything(&channel);
    there.retain(|path| !path.starts_with("openrms.manifest"));
    let named: BTreeSet<_> = named.into_iter().map(str::to_owned).collect();
    assert_eq!(named, there);
}

#[test]
fn s16_the_second_package_is_refused_without_the_first() {
    let Some(packages) = packages() else { return };
    let Some(system) = Debian::new() else { return };
    let client = of(&packages, ".deb", "openrms-client_");
    let second = of(&packages, ".deb", "openrms-client-backcompat_");
    let said = system.dpkg(&[]).arg("--install").arg(&second).bad();
    assert!(said.contains("depends on openrms-client (= "), "{said}");
    system
        .dpkg(&[])
        .args(["--purge", "openrms-client-backcompat"])
        .good();
    // The C library is nobody's in an empty system.
    system
        .dpkg(&["--force-depends"])
        .arg("--install")
        .arg(&client)
        .good();
    system.dpkg(&[]).arg("--install").arg(&second).good();
    let identity = system.at("usr/share/openrms/backcompat.d/msdrm.toml");
    let identity = fs::read_to_string(identity).unwrap();
    assert!(
        identity.contains("Windows Rights Management Client"),
        "{identity}"
    );
    let said = system.dpkg(&[]).args(["--remove", "openrms-client"]).bad();
    assert!(
        said.contains("openrms-client-backcompat depends on openrms-client"),
        "{said}"
    );
}

#[test]
fn installing_twice_and_removing_leaves_nothing() {
    let Some(packages) = packages() else { return };
    let Some(system) = Debian::new() else { return };
    let of_a_person = "home/bob/.local/share/openrms/machine.xml";
    let settings = "etc/openrms/client.toml";
    system.write(of_a_person);
    system.write(settings);
    let before = system.files();
    for _ in 0..2 {
        let mut install = system.dpkg(&["--force-depends"]);
        install
            .arg("--install")
            .args(found(&packages, ".deb"))
            .good();
    }
    // What the server keeps once it serves.
    for kept in [
        "etc/openrms/rmsd.toml",
        "etc/openrms/rmsd.d/10-policy.toml",
        "var/lib/openrms/key",
    ] {
        system.write(kept);
    }
    let names = [
        "openrms-client-backcompat",
        "openrms-client",
        "openrms-server",
    ];
    system.dpkg(&[]).arg("--remove").args(names).good();
    assert!(
        system.at("var/lib/openrms/key").exists(),
        "removed, not purged"
    );
    system.dpkg(&[]).arg("--purge").args(names).good();
    assert_eq!(system.files(), before);
    system
        .dpkg(&["--force-depends"])
        .arg("--install")
        .args(found(&packages, ".deb"))
        .good();
}

#[test]
fn an_older_package_is_refused_over_a_newer_one() {
    let (Some(older), Some(newer)) = (packages(), newer()) else {
        return;
    };
    let Some(system) = Debian::new() else { return };
    let newer = newer.join("packages");
    let install = |from: &Path| {
        let mut dpkg = system.dpkg(&["--force-depends"]);
        dpkg.arg("--install").args(found(from, ".deb"));
        dpkg
    };
    install(&older).good();
    install(&newer).good();
    let before = (system.files(), system.status());
    for name in [
        "openrms-client_",
        "openrms-client-backcompat_",
        "openrms-server_",
    ] {
        let package = of(&older, ".deb", name);
        let said = system
            .dpkg(&["--force-depends"])
            .arg("--install")
            .arg(package)
            .bad();
        assert!(said.contains(": older-version: "), "{said}");
    }
    assert_eq!((system.files(), system.status()), before);
    // Nor over what a newer server left behind.
    system.dpkg(&[]).args(["--remove", "openrms-server"]).good();
    let server = of(&older, ".deb", "openrms-server_");
    let said = system
        .dpkg(&["--force-depends"])
        .arg("--install")
        .arg(&server)
        .bad();
    assert!(said.contains("older-version"), "{said}");
    // Somebody says so.
    install(&older).env("OPENRMS_ALLOW_DOWNGRADE", "1").good();
    assert_ne!(system.status(), before.1);
}

#[test]
fn rpm_installs_upgrades_refuses_the_older_and_removes() {
    let (Some(older), Some(newer)) = (packages(), newer()) else {
        return;
    };
    if lacks("rpm") {
        return;
    }
    let newer = newer.join("packages");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(&root);
        // Debian's asks whether alien is not meant.
        if Path::new("/etc/debian_version").exists() {
            rpm.arg("--force-debian");
        }
        // There is no shell in an empty system.
        rpm.arg("--noscripts").args(arguments);
        rpm
    };
    let second = of(&older, ".rpm", "openrms-client-backcompat-0");
    let said = rpm(&["--install"]).arg(&second).bad();
    assert!(said.contains("openrms-client = "), "{said}");
    rpm(&["--install", "--nodeps"])
        .args(found(&older, ".rpm"))
        .good();
    rpm(&["--upgrade", "--nodeps"])
        .args(found(&newer, ".rpm"))
        .good();
    let before = everything(&root.join("usr"));
    assert!(
        before.contains("bin/rms") && before.contains("bin/rmsd"),
        "{before:?}"
    );
    for name in [
        "openrms-client-0",
        "openrms-client-backcompat-0",
        "openrms-server-0",
    ] {
        let said = rpm(&["--upgrade", "--nodeps"])
            .arg(of(&older, ".rpm", name))
            .bad();
        assert!(said.contains("newer than"), "{said}");
    }
    assert_eq!(everything(&root.join("usr")), before);
    rpm(&[
        "--erase",
        "openrms-client-backcompat",
        "openrms-client",
        "openrms-server",
    ])
    .good();
    assert_eq!(everything(&root.join("usr")), BTreeSet::new());
}

#[test]
fn s35_the_tarball_is_unpacked_and_removed_by_anybody() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    fs::create_dir(&local).unwrap();
    fs::write(local.join("mine"), "").unwrap();
    let tarball = of(&packages, ".tar.gz", "openrms-");
    for _ in 0..2 {
        let mut unpack = Command::new("tar");
        unpack.args(["--strip-components=1", "-C"]).arg(&local);
        unpack.arg("-xzf").arg(&tarball).good();
    }
    let readme = fs::read_to_string(local.join("share/doc/openrms/README.md")).unwrap();
    let remove = readme
        .lines()
        .map(str::trim)
        .find(|line| line.contains("xargs rm"))
        .unwrap();
    let mut shell = Command::new("sh");
    shell.current_dir(&packages).env("HOME", folder.path());
    shell
        .args(["-ec", &remove.replace("~/.local", local.to_str().unwrap())])
        .good();
    assert_eq!(everything(&local), BTreeSet::from(["mine".to_owned()]));
}

/// An empty system, in which dpkg installs: its scripts run outside, and are told where it is.
struct Debian {
    root: TempDir,
}

impl Debian {
    fn new() -> Option<Self> {
        let user = Ran::of(Command::new("id").arg("-u")).done();
        if user.trim() != "0" {
            println!("skipped: dpkg installs as root alone");
            return None;
        }
        if lacks("dpkg") {
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
        Some(Self { root })
    }

    fn dpkg(&self, forced: &[&str]) -> Command {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg("--root").arg(self.root.path());
        dpkg.arg("--force-script-chrootless").args(forced);
        dpkg
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "kept\n").unwrap();
    }

    /// All but what dpkg keeps for itself, and the users of the system.
    fn files(&self) -> BTreeSet<String> {
        let mut files = everything(self.root.path());
        files.retain(|file| {
            !file.starts_with("var/lib/dpkg/") && !file.starts_with("etc/")
                || file.starts_with("etc/openrms/")
        });
        files
    }

    fn status(&self) -> String {
        let mut query = Command::new("dpkg-query");
        query.arg("--admindir").arg(self.at("var/lib/dpkg"));
        Ran::of(query.args([
            "--show",
            "--showformat",
            "${Package} ${Version} ${Status}\n",
        ]))
        .done()
    }
}

trait Outcome {
    /// It succeeds; what it said.
    fn good(&mut self) -> String;
    /// It fails; what it said.
    fn bad(&mut self) -> String;
}

impl Outcome for Command {
    #[track_caller]
    fn good(&mut self) -> String {
        let ran = Ran::of(self);
        assert_eq!(ran.code, 0, "{self:?}: {ran}");
        ran.to_string()
    }

    #[track_caller]
    fn bad(&mut self) -> String {
        let ran = Ran::of(self.env("LC_ALL", "C.UTF-8"));
        assert_ne!(ran.code, 0, "{self:?}: {ran}");
        ran.to_string()
    }
}

fn packages() -> Option<PathBuf> {
    Some(dist()?.join("packages"))
}

fn lacks(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        println!("skipped: {tool} is not installed");
    }
    !there
}

/// Files of a folder that end so.
fn found(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| name(path).ends_with(ending))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {ending} in {}", folder.display());
    found
}

/// The one of them that begins so.
fn of(folder: &Path, ending: &str, beginning: &str) -> PathBuf {
    let mut those = found(folder, ending);
    those.retain(|path| name(path).starts_with(beginning));
    assert_eq!(those.len(), 1, "{beginning}: {those:?}");
    those.remove(0)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn dpkg_deb(what: &str, package: &Path) -> Command {
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg(what).arg(package);
    dpkg
}

fn field(package: &Path, name: &str) -> String {
    Ran::of(dpkg_deb("--field", package).arg(name))
        .done()
        .trim()
        .to_owned()
}

/// Files that a package of Debian installs.
fn contents(package: &Path) -> BTreeSet<String> {
    let listed = Ran::of(&mut dpkg_deb("--contents", package)).done();
    let files = listed.lines().filter(|line| !line.starts_with('d'));
    files
        .filter_map(|line| line.split_whitespace().nth(5))
        .map(str::to_owned)
        .collect()
}

/// The tarball, unpacked.
fn unpacked(packages: &Path, to: &Path) -> PathBuf {
    let to = to.join("unpacked");
    fs::create_dir(&to).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-C"]).arg(&to);
    tar.arg("-xzf")
        .arg(of(packages, ".tar.gz", "openrms-"))
        .good();
    to
}

fn gpgv(channel: &Path) -> Command {
    let mut gpgv = Command::new("gpgv");
    gpgv.arg("--keyring")
        .arg(channel.join("openrms-archive-keyring.gpg"));
    gpgv
}

/// A copy of a text in which one digit is another.
fn altered(file: &Path, folder: &TempDir) -> PathBuf {
    let mut text = fs::read(file).unwrap();
    let digits = (0..text.len()).filter(|at| text[*at].is_ascii_digit());
    let digits: Vec<_> = digits.collect();
    let digit = &mut text[digits[digits.len() / 2]];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    let altered = folder.path().join("altered");
    fs::write(&altered, text).unwrap();
    altered
}

/// All files below a folder, by their paths in it.
fn everything(folder: &Path) -> BTreeSet<String> {
    let mut find = Command::new("find");
    find.arg(folder)
        .args(["-not", "-type", "d", "-printf", "%P\n"]);
    Ran::of(&mut find)
        .done()
        .lines()
        .map(str::to_owned)
        .collect()
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The source as git knows it, in a repository of its own.
const COPY: &str = "git init --quiet \"$1\"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
    tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C \"$1\"";
