//! The folder that any web server, or a cluster itself, hands out: repositories of apt and dnf, the
//! tarball, packages for Windows, scripts, and the signed list of all of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::catalog;
use super::keys::Keys;
use super::manifest::{self, Heading};
use super::stage::{files, name};
use super::version::Version;
use super::{DEBIAN_ARCHITECTURE, run};
use crate::Failure;

/// A publication.
pub(crate) struct Channel<'a> {
    /// Of the packages.
    pub(crate) version: &'a Version,
    /// Seconds since 1970.
    pub(crate) signed_at: u64,
    /// Seconds since 1970.
    pub(crate) expires: u64,
    /// Where it will be found.
    pub(crate) url: &'a str,
}

impl Channel<'_> {
    /// Makes it beside `place`, and puts it there when it is complete.
    pub(crate) fn make(
        &self,
        packages: &Path,
        windows: Option<&Path>,
        keys: &Keys,
        place: &Path,
    ) -> Result<(), Failure> {
        let part = place.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part)?;
        }
        fs::create_dir_all(&part)?;
        let part = fs::canonicalize(part)?;

        self.apt(packages, keys, &part.join("apt"))?;
        self.dnf(packages, keys, &part.join("rpm"))?;
        copy(packages, &[".tar.gz"], &part.join("linux"))?;
        copy(packages, &[".cdx.json"], &part.join("sbom"))?;
        if let Some(windows) = windows {
            let packages = copy(windows, &[".msi", ".exe"], &part.join("windows"))?;
            if packages.is_empty() {
                return Err(format!("{}: no packages for Windows", windows.display()).into());
            }
        }
        copy(Path::new("packaging/install"), &[".sh", ".ps1"], &part)?;
        keys.publish(&part)?;
        self.descriptions(&part)?;
        with_keys(&part)?;
        let heading = Heading {
            version: self.version,
            serial: self.signed_at,
            expires: self.expires,
        };
        manifest::write(&part, &heading, keys)?;

        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        fs::rename(part, place)?;
        Ok(())
    }

    fn apt(&self, packages: &Path, keys: &Keys, apt: &Path) -> Result<(), Failure> {
        copy(packages, &[".deb"], &apt.join("pool"))?;
        let suite = apt.join("dists").join(SUITE);
        let index = suite.join(format!("main/binary-{DEBIAN_ARCHITECTURE}"));
        fs::create_dir_all(&index)?;
        let listed = run::output("apt-ftparchive", |tool| {
            tool.args(SHA256_ALONE)
                .args(["packages", "pool"])
                .current_dir(apt)
        })?;
        let listed_in = index.join("Packages");
        fs::write(&listed_in, listed)?;
        run::run("gzip", |gzip| {
            gzip.args(["-9", "--no-name", "--keep"]).arg(listed_in)
        })?;

        catalog::of_apt(packages, &suite.join("main"), DEBIAN_ARCHITECTURE)?;

        let fields = [
            ("Origin", "OpenRMS"),
            ("Label", "OpenRMS"),
            ("Suite", SUITE),
            ("Codename", SUITE),
            ("Architectures", DEBIAN_ARCHITECTURE),
            ("Components", "main"),
            ("Date", &date(self.signed_at)?),
            ("Valid-Until", &date(self.expires)?),
        ];
        let release = run::output("apt-ftparchive", |tool| {
            for (field, value) in fields {
                tool.args(["-o", &format!("APT::FTPArchive::Release::{field}={value}")]);
            }
            // The end is written only where there is a time until it, which gives way to the date.
            tool.args(["-o", "APT::FTPArchive::Release::ValidTime=1"]);
            // Indexes are fetched by their checksums, so that a publication changes under nobody.
            tool.args(["-o", "APT::FTPArchive::DoByHash=true"]);
            tool.args(SHA256_ALONE).arg("release").arg(&suite)
        })?;
        let file = suite.join("Release");
        fs::write(&file, release)?;
        keys.detach(&file, &suite.join("Release.gpg"))?;
        keys.clear(&file, &suite.join("InRelease"))
    }

    fn dnf(&self, packages: &Path, keys: &Keys, rpm: &Path) -> Result<(), Failure> {
        keys.sign_rpm(&copy(packages, &[".rpm"], rpm)?)?;
        run::run("createrepo_c", |tool| {
            tool.args(["--quiet", "--no-database", "--general-compress-type=gz"])
                .arg(format!("--revision={}", self.signed_at))
                .arg("--set-timestamp-to-revision")
                .arg(rpm)
        })?;
        catalog::of_dnf(packages, &rpm.join("repodata"), self.signed_at)?;
        let index = rpm.join("repodata/repomd.xml");
        keys.detach(&index, &index.with_extension("xml.asc"))
    }

    /// What a machine's administrator puts into /etc, so that apt or dnf looks here.
    fn descriptions(&self, channel: &Path) -> Result<(), Failure> {
        for file in ["openrms.sources", "openrms.repo"] {
            let text = fs::read_to_string(Path::new("packaging/channel").join(file))?;
            fs::write(channel.join(file), text.replace("@URL@", self.url))?;
        }
        Ok(())
    }
}

/// Copies files that end so, and gives the copies.
fn copy(from: &Path, endings: &[&str], to: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut copies = Vec::new();
    for file in files(from, endings)? {
        fs::create_dir_all(to)?;
        let copy = to.join(name(&file)?);
        fs::copy(file, &copy)?;
        copies.push(copy);
    }
    Ok(copies)
}

/// As apt reads it.
fn date(seconds: u64) -> Result<String, Failure> {
    let at = format!("@{seconds}");
    let date = run::output("date", |date| {
        date.args(["--utc", "--date", &at, "+%a, %d %b %Y %H:%M:%S UTC"])
    })?;
    Ok(date.trim().to_owned())
}

/// The script that installs brings the keys along, so that one file is all that is carried.
fn with_keys(channel: &Path) -> Result<(), Failure> {
    let keys = run::output("base64", |tool| {
        tool.arg("--wrap=0")
            .arg(channel.join("openrms-archive-keyring.gpg"))
    })?;
    let script = channel.join("install.sh");
    let text = fs::read_to_string(&script)?;
    if !text.contains(NO_KEYS) {
        return Err(format!("install.sh has no line {NO_KEYS}").into());
    }
    fs::write(
        &script,
        text.replace(NO_KEYS, &format!("own_keys='{keys}'")),
    )?;
    Ok(())
}

const NO_KEYS: &str = "own_keys=''";
const SUITE: &str = "stable";
const SHA256_ALONE: [&str; 6] = [
    "-o",
    "APT::FTPArchive::MD5=false",
    "-o",
    "APT::FTPArchive::SHA1=false",
    "-o",
    "APT::FTPArchive::SHA512=false",
];
