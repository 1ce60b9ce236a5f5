//! Packages for Red Hat Enterprise Linux and its relatives, by rpmbuild: packaging/rpm. They are signed
//! when they go into the channel.

use std::fs;
use std::path::Path;

use super::stage::{Stage, files, name};
use super::{ARCHITECTURE, Release, run};
use crate::Failure;

/// Makes the packages in `work`, and moves them to `to`.
pub(crate) fn build(
    stage: &Stage,
    release: &Release,
    work: &Path,
    to: &Path,
) -> Result<(), Failure> {
    let sources = std::env::current_dir()?;
    fs::create_dir_all(work)?;
    let definitions = [
        format!("_topdir {}", work.display()),
        format!("version {}", release.version.packaged()),
        format!("stage {}", stage.folder().display()),
        format!("sources {}", sources.display()),
        // Neither the machine nor the hour shows.
        "_buildhost openrms".to_owned(),
        "use_source_date_epoch_as_buildtime 1".to_owned(),
        "clamp_mtime_to_source_date_epoch 1".to_owned(),
        "_binary_payload w10.zstdio".to_owned(),
        "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
    ];
    run::run("rpmbuild", |rpmbuild| {
        rpmbuild.args([
            "-bb",
            "packaging/rpm/openrms.spec",
            "--target",
            ARCHITECTURE,
        ]);
        for definition in &definitions {
            rpmbuild.args(["--define", definition]);
        }
        rpmbuild.env("SOURCE_DATE_EPOCH", release.time.to_string())
    })?;
    for package in files(&work.join("RPMS"), &[".rpm"])? {
        fs::rename(&package, to.join(name(&package)?))?;
    }
    Ok(())
}
