//! Packages for Debian and its descendants, by debhelper: packaging/debian.

use std::fs;
use std::path::Path;

use super::stage::{Stage, files, name};
use super::{Release, run};
use crate::Failure;

/// Makes the packages in `work`, and moves them to `to`.
pub(crate) fn build(
    stage: &Stage,
    release: &Release,
    work: &Path,
    to: &Path,
) -> Result<(), Failure> {
    let source = work.join("openrms");
    let debian = source.join("debian");
    fs::create_dir_all(&source)?;
    run::run("cp", |cp| cp.args(["-a", "packaging/debian"]).arg(&debian))?;
    run::run("cp", |cp| {
        cp.arg("-a").arg(stage.folder()).arg(source.join("stage"))
    })?;
    fs::write(debian.join("changelog"), changelog(release)?)?;
    // debhelper makes files no younger than that; those of an older checkout would stay older.
    run::run("find", |find| {
        let at = format!("--date=@{}", release.time);
        find.arg(&source)
            .args(["-exec", "touch", "--no-dereference", &at, "{}", "+"])
    })?;
    run::run("dpkg-buildpackage", |build| {
        build
            .args(["--build=binary", "--no-sign", "--no-pre-clean"])
            .current_dir(&source)
            .env("SOURCE_DATE_EPOCH", release.time.to_string())
            .env("DEB_BUILD_OPTIONS", "nocheck")
    })?;
    for package in files(work, &[".deb"])? {
        fs::rename(&package, to.join(name(&package)?))?;
    }
    Ok(())
}

/// Where debhelper reads version and time from.
fn changelog(release: &Release) -> Result<String, Failure> {
    let at = format!("@{}", release.time);
    let date = run::output("date", |date| {
        date.args(["--utc", "--rfc-email", "--date", &at])
    })?;
    let version = release.version.packaged();
    Ok(format!(
        "openrms ({version}) stable; urgency=medium\n\n  * What is new is in CHANGELOG.md.\n\n \
         -- {MAINTAINER}  {date}"
    ))
}

const MAINTAINER: &str = "OpenRMS <openrms@users.noreply.github.com>";
