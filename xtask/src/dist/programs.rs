//! The programs as they are released: with the list of what they were made of inside (`.dep-v0`, which
//! `cargo audit bin` reads), and without a word of the folder that they were made in.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;
use crate::Failure;

/// Builds `rms` and `rmsd`, and gives the folder that they are in.
pub(crate) fn build(time: u64) -> Result<PathBuf, Failure> {
    let source = env::current_dir()?;
    let target = target()?;
    let home = cargo_home()?;
    // The most particular comes last, and wins.
    let folders = [
        (home.as_path(), "/usr/src/cargo"),
        (source.as_path(), SOURCE),
        (target.as_path(), "/usr/src/openrms/target"),
    ];
    let flags = |option: &str, already: &str| {
        let mut flags = env::var(already).unwrap_or_default();
        for (folder, name) in folders {
            flags = format!("{flags} {option}={}={name}", folder.display());
        }
        flags.trim().to_owned()
    };
    // Not through `run`: what cargo says is for whoever waits.
    let status = Command::new("cargo")
        .args(["auditable", "build", "--release", "--locked"])
        .args(["--bin", "rms", "--bin", "rmsd"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTFLAGS", flags("--remap-path-prefix", "RUSTFLAGS"))
        .env("CFLAGS", flags("-ffile-prefix-map", "CFLAGS"))
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        let hint = "it needs cargo-auditable (cargo install --locked cargo-auditable)";
        return Err(format!("cargo auditable build: {status}; {hint}").into());
    }
    Ok(target.join("release"))
}

/// Copies a program without its debugging symbols.
pub(crate) fn strip(program: &Path, to: &Path) -> Result<(), Failure> {
    run::run("strip", |strip| {
        strip.arg("--strip-all").arg("-o").arg(to).arg(program)
    })
}

/// The newest version of glibc that a program asks for.
pub(crate) fn newest_glibc(program: &Path) -> Result<(u32, u32), Failure> {
    let symbols = run::output("objdump", |objdump| objdump.arg("-T").arg(program))?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit());
        let mut numbers = rest[..end.unwrap_or(rest.len())].split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    let newest = versions.max();
    newest.ok_or_else(|| format!("{}: no version of glibc in it", program.display()).into())
}

/// Where cargo keeps what others wrote.
pub(crate) fn cargo_home() -> Result<PathBuf, Failure> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::home_dir().ok_or("CARGO_HOME: there is no home")?;
    Ok(home.join(".cargo"))
}

pub(crate) fn target() -> Result<PathBuf, Failure> {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(std::path::absolute(folder)?)
}

/// What the folder of the source is called in programs and bills of materials.
pub(crate) const SOURCE: &str = "/usr/src/openrms";
