//! What the tests of the program share: running it, and the samples of Microsoft's software.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod cluster;
pub mod corp;
pub mod site;
pub mod unplugged;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// How a run of the program ended.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The one JSON document of standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// `error.code` of the document.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// The program, with nothing of the caller's environment that it would look at.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    of_program(Path::new(env!("CARGO_BIN_EXE_rms")), arguments)
}

/// The same for a copy of the program.
pub fn of_program<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "RMS_HOME",
        "RMS_SERVER",
        "RMS_TOKEN",
        "RMS_USER",
        "RMS_PASSWORD",
        "RMS_ISSUER",
        "RMS_CLIENT_ID",
        "RMS_ADMIN_TOKEN",
        "RMS_CA_FILE",
        "RMS_LOCKBOX_PASSPHRASE",
        "RMS_CLIENT_LEVEL",
        "CREDENTIALS_DIRECTORY",
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ] {
        command.env_remove(name);
    }
    // Nor what an administrator has set on the machine that tests, nor its name servers.
    let machine = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine");
    command.env("RMS_CONFIG_DIR", machine);
    command
}

/// Runs the program to its end.
pub fn rms<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    ended(command(arguments).output().expect("the program runs"))
}

/// Reads what a run left.
pub fn ended(output: Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Nobody else can look into a folder or anything in it.
pub fn assert_private(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o7777;
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            assert_private(&entry.unwrap().path());
        }
    }
}

/// A server's certificate of its own for two days, and its key; `None` where there is no openssl.
pub fn certificate_for(folder: &Path, host: &str) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={host}")])
        .args(["-addext", &format!("subjectAltName=DNS:{host}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
        .then_some((certificate, key))
}

/// The samples of Microsoft's software, or `None` with a line on the terminal.
pub fn corpus() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let path = match std::env::var_os("OPENRMS_CORPUS") {
        Some(path) => Path::new(root).join(path),
        None => Path::new(root).join("../shared/corpus"),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no corpus");
    None
}
