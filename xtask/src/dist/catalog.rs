//! What lists of software show of the client before it is installed: the catalogue of `AppStream`, which
//! apt and dnf fetch with their indexes.

use std::fs;
use std::path::Path;

use super::run;
use super::stage::{CLIENT, Stage};
use crate::Failure;

/// Composes it of what the client's package holds, by the tool that also checks it.
pub(crate) fn build(stage: &Stage, work: &Path, to: &Path) -> Result<(), Failure> {
    let [icons, data, hints] = ["icons", "data", "hints"].map(|name| work.join(name));
    run::run("appstreamcli", |compose| {
        compose
            .args(["compose", "--no-net", "--print-report=full"])
            .arg(format!("--origin={ORIGIN}"))
            .arg(format!("--result-root={}", icons.display()))
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--hints-dir={}", hints.display()))
            .arg(stage.package(CLIENT))
    })?;
    let packed = data.join(format!("{ORIGIN}.xml.gz"));
    let text = run::output("gzip", |gzip| {
        gzip.args(["--decompress", "--stdout"]).arg(packed)
    })?;
    // The icon is the package's own; none are handed out beside the catalogue.
    let lines = text
        .lines()
        .filter(|line| !line.contains("type=\"cached\""));
    let named = lines.map(|line| match line.trim_start() {
        start if start.starts_with("<id>") => format!("{line}<pkgname>{CLIENT}</pkgname>\n"),
        _ => format!("{line}\n"),
    });
    fs::write(to.join(CATALOG), named.collect::<Vec<_>>().concat())?;
    Ok(())
}

/// Puts it into a repository of apt, below `main`.
pub(crate) fn of_apt(packages: &Path, main: &Path, architecture: &str) -> Result<(), Failure> {
    let folder = main.join("dep11");
    fs::create_dir_all(&folder)?;
    let components = folder.join(format!("Components-{architecture}.yml"));
    run::run("appstreamcli", |convert| {
        convert
            .arg("convert")
            .arg(packages.join(CATALOG))
            .arg(&components)
    })?;
    // The tool says of whom the components are not.
    let text = fs::read_to_string(&components)?;
    let header = "File: DEP-11\n";
    let with_origin = text.replacen(header, &format!("{header}Origin: {ORIGIN}\n"), 1);
    fs::write(&components, with_origin)?;
    run::run("gzip", |gzip| {
        gzip.args(["-9", "--no-name", "--keep"]).arg(components)
    })
}

/// Puts it into the index of a repository of dnf.
pub(crate) fn of_dnf(packages: &Path, index: &Path, signed_at: u64) -> Result<(), Failure> {
    run::run("modifyrepo_c", |tool| {
        tool.args(["--mdtype=appstream", "--compress-type=gz"])
            .env("SOURCE_DATE_EPOCH", signed_at.to_string())
            .arg(packages.join(CATALOG))
            .arg(index)
    })
}

const ORIGIN: &str = "openrms";
const CATALOG: &str = "openrms.catalog.xml";
