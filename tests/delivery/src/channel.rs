//! A channel that a test may change: a copy of what `cargo xtask dist` made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::process::Ran;

/// A copy of a channel.
#[derive(Debug)]
pub struct Channel {
    dist: PathBuf,
    copy: TempDir,
}

impl Channel {
    /// Of what is in a folder of `cargo xtask dist`.
    pub fn of(dist: &Path) -> Self {
        let channel = Self {
            dist: dist.to_owned(),
            copy: tempfile::tempdir().unwrap(),
        };
        channel.becomes(dist);
        channel
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.copy.path().join("channel")
    }

    /// Hands out what another folder of `cargo xtask dist` has from now on.
    pub fn becomes(&self, dist: &Path) {
        for name in ["channel", "packages"] {
            let to = self.copy.path().join(name);
            let mut remove = Command::new("rm");
            Ran::of(remove.arg("-rf").arg(&to)).done();
            let mut copy = Command::new("cp");
            Ran::of(copy.arg("-r").arg(dist.join(name)).arg(to)).done();
        }
    }

    /// The same packages, signed once more at another time.
    pub fn publish(&self, signed_at: u64, valid_days: u64) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut publish = Command::new(env!("CARGO"));
        publish
            .current_dir(root)
            .args(["run", "--quiet", "--locked", "--package", "xtask", "--"])
            .args(["dist", "publish", "--keys"])
            .arg(self.dist.join("keys"))
            .arg("--output")
            .arg(self.copy.path())
            .arg(format!("--signed-at={signed_at}"))
            .arg(format!("--valid-days={valid_days}"));
        Ran::of(&mut publish).done();
    }

    /// Changes one byte in the middle of a file.
    pub fn flip(&self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    /// Changes a text in a file.
    pub fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let file = self.path().join(name);
        let text = fs::read_to_string(&file).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text, "{name} is changed");
        fs::write(file, changed).unwrap();
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
