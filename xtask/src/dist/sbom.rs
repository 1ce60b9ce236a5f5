//! Bills of materials, `CycloneDX` 1.5: which crates, of which version and under which licence, are in each
//! program. By cargo-cyclonedx, which writes beside each manifest: it gets a copy of the source.

use std::fs;
use std::path::Path;

use super::programs::SOURCE;
use super::{Release, run};
use crate::Failure;

/// Writes `rms.cdx.json` and `rmsd.cdx.json` into `to`.
pub(crate) fn build(release: &Release, work: &Path, to: &Path) -> Result<(), Failure> {
    let copy = work.display().to_string();
    fs::create_dir_all(work)?;
    run::run("sh", |sh| sh.args(["-c", COPY, "sh", &copy]))?;
    run::run("cargo", |cargo| {
        cargo
            .args([
                "cyclonedx",
                "--quiet",
                "--format",
                "json",
                "--spec-version",
                "1.5",
            ])
            .args(["--describe", "binaries", "--no-build-deps"])
            .args(["--target", TARGET])
            .current_dir(work)
            .env("SOURCE_DATE_EPOCH", release.time.to_string())
    })
    .map_err(|error| format!("{error} (cargo install --locked cargo-cyclonedx)"))?;
    for (folder, program) in [("crates/cli", "rms"), ("crates/server", "rmsd")] {
        let bill = work.join(folder).join(format!("{program}_bin.cdx.json"));
        let bill = fs::read_to_string(bill)?.replace(&copy, SOURCE);
        fs::write(to.join(format!("{program}.cdx.json")), bill)?;
    }
    Ok(())
}

/// What git knows of the source, without what was built.
const COPY: &str = "git ls-files -z --cached --others --exclude-standard --deduplicate |
    tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C \"$1\"";
const TARGET: &str = "x86_64-unknown-linux-gnu";
