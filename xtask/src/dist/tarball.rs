//! The programs for people who install nothing: unpacked into one's own folder, and used.
//!
//! They are linked with the machine's C library, as MIT's Kerberos and the modules of PKCS #11 are opened
//! at run time, which a program without it cannot do. The oldest glibc that serves is a promise.

use std::fs;
use std::path::Path;

use super::stage::{CLIENT, NOTICES, SERVER, Stage};
use super::{ARCHITECTURE, Release, programs, run};
use crate::Failure;

/// Makes the tarball in `work`, and puts it into `to`.
pub(crate) fn build(
    stage: &Stage,
    release: &Release,
    work: &Path,
    to: &Path,
) -> Result<(), Failure> {
    let (major, minor) = GLIBC;
    for (package, program) in [(CLIENT, "rms"), (SERVER, "rmsd")] {
        let program = stage.package(package).join("usr/bin").join(program);
        let newest = programs::newest_glibc(&program)?;
        if newest > GLIBC {
            let (asks, for_) = newest;
            let program = program.display();
            let error =
                format!("{program} asks for glibc {asks}.{for_}, {major}.{minor} is promised");
            return Err(error.into());
        }
    }

    let name = format!("openrms-{}-{ARCHITECTURE}-linux", release.version);
    let folder = work.join(&name);
    let docs = folder.join("share/doc/openrms");
    fs::create_dir_all(&docs)?;
    for package in [CLIENT, SERVER] {
        let usr = stage.package(package).join("usr/.");
        run::run("cp", |cp| cp.arg("-a").arg(usr).arg(&folder))?;
    }
    for (package, program) in [(CLIENT, "rms"), (SERVER, "rmsd")] {
        let notices = folder.join("share/doc").join(package).join(NOTICES);
        fs::rename(notices, docs.join(format!("{program}.{NOTICES}")))?;
    }
    // Units, settings and examples are the machine's; it reads them nowhere below a person's folder.
    for of_the_machine in ["lib", "share/openrms", SERVER_DOCS, CLIENT_DOCS] {
        let folder = folder.join(of_the_machine);
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    let readme = fs::read_to_string("packaging/channel/tarball.md")?
        .replace("@VERSION@", &release.version.to_string())
        .replace("@GLIBC@", &format!("{major}.{minor}"));
    fs::write(docs.join("README.md"), readme)?;
    // By it install.sh knows what is there.
    fs::write(docs.join("VERSION"), format!("{}\n", release.version))?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"] {
        fs::copy(file, docs.join(file))?;
    }

    let tarball = work.join(format!("{name}.tar"));
    run::run("tar", |tar| {
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--format=gnu", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{}", release.time))
            .arg("-C")
            .arg(work)
            .arg("-cf")
            .arg(&tarball)
            .arg(&name)
    })?;
    run::run("gzip", |gzip| gzip.args(["-9", "--no-name"]).arg(&tarball))?;
    let zipped = format!("{name}.tar.gz");
    fs::rename(work.join(&zipped), to.join(zipped))?;
    Ok(())
}

/// The oldest C library that the programs run with: that of Debian 12's, Ubuntu 22.04's and RHEL 9's time.
const GLIBC: (u32, u32) = (2, 34);

const CLIENT_DOCS: &str = "share/doc/openrms-client";
const SERVER_DOCS: &str = "share/doc/openrms-server";
