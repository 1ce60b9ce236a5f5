//! The keys of a release, in one folder: `openpgp/` (a home of gpg) for the repositories of packages and
//! the manifest; `release.key` (RSA, PEM) for the manifest's second signature, which needs no `OpenPGP`,
//! or `release.uri` in its place, which names a key in a security module; `code-signing/` for Windows.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::run;
use crate::Failure;

/// Keys that sign.
pub(crate) struct Keys {
    folder: PathBuf,
    /// The primary key of `openpgp/`.
    fingerprint: String,
    /// Holds `home`, a name of `openpgp/` that is short enough for the sockets of gpg's agent.
    short: TempDir,
}

impl Keys {
    /// Opens what `make` or a person laid out so.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let named = |error| format!("{}: {error} (cargo xtask dist keys)", folder.display());
        let folder = fs::canonicalize(folder).map_err(named)?;
        let short = tempfile::tempdir()?;
        let home = short.path().join("home");
        symlink(folder.join("openpgp"), &home)?;
        let mut keys = Self {
            folder,
            fingerprint: String::new(),
            short,
        };
        let listed = keys.gpg(|gpg| gpg.args(["--with-colons", "--list-secret-keys"]))?;
        let line = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        let fingerprint = line.and_then(|line| line.split(':').find(|field| !field.is_empty()));
        let lacking = || format!("{}: no key signs", keys.folder.join("openpgp").display());
        keys.fingerprint = fingerprint.ok_or_else(lacking)?.to_owned();
        Ok(keys)
    }

    /// Writes the public halves that machines verify with, in the forms that each tool reads.
    pub(crate) fn publish(&self, channel: &Path) -> Result<(), Failure> {
        let fingerprint = &self.fingerprint;
        for (name, armor) in [("gpg", None), ("asc", Some("--armor"))] {
            let file = channel.join(format!("openrms-archive-keyring.{name}"));
            self.gpg(|gpg| {
                gpg.args(armor)
                    .arg("--output")
                    .arg(file)
                    .args(["--export", fingerprint])
            })?;
        }
        fs::copy(self.release_public(), channel.join("openrms-release.pem"))?;
        Ok(())
    }

    /// The public half of the key of the release.
    pub(crate) fn release_public(&self) -> PathBuf {
        self.folder.join("openrms-release.pem")
    }

    /// A detached `OpenPGP` signature, armored.
    pub(crate) fn detach(&self, file: &Path, to: &Path) -> Result<(), Failure> {
        self.signature("--detach-sign", file, to)
    }

    /// The text with an `OpenPGP` signature around it.
    pub(crate) fn clear(&self, file: &Path, to: &Path) -> Result<(), Failure> {
        self.signature("--clear-sign", file, to)
    }

    /// RSASSA-PKCS1-v1_5 over SHA-256 under the key of the release, in base64, one line.
    pub(crate) fn sign(&self, file: &Path, to: &Path) -> Result<(), Failure> {
        let raw = self.short.path().join("signature");
        let uri = self.folder.join("release.uri");
        let key = self.folder.join("release.key");
        let key = if uri.exists() {
            fs::read_to_string(uri)?.trim().into()
        } else {
            key
        };
        let module: &[_] = if key.is_absolute() { &[] } else { MODULE };
        run::run("openssl", |openssl| {
            openssl
                .args(["dgst", "-sha256"])
                .args(module)
                .arg("-sign")
                .arg(key);
            openssl.arg("-out").arg(&raw).arg(file)
        })?;
        run::run("openssl", |openssl| {
            openssl
                .args(["base64", "-A", "-in"])
                .arg(&raw)
                .arg("-out")
                .arg(to)
        })?;
        let mut line = fs::read_to_string(to)?;
        line.push('\n');
        fs::write(to, line)?;
        // What was signed verifies by what machines are given.
        run::run("openssl", |openssl| {
            openssl
                .args(["dgst", "-sha256", "-verify"])
                .arg(self.release_public());
            openssl.arg("-signature").arg(&raw).arg(file)
        })
    }

    /// Signs packages of RPM in place.
    pub(crate) fn sign_rpm(&self, packages: &[PathBuf]) -> Result<(), Failure> {
        let home = self.home();
        run::run("rpmsign", |rpmsign| {
            rpmsign
                .args(["--define", &format!("_gpg_name {}", self.fingerprint)])
                .args(["--define", &format!("_gpg_path {}", home.display())])
                .args(["--define", "__gpg /usr/bin/gpg"])
                .args(["--define", "_gpg_digest_algo sha256"])
                .arg("--addsign")
                .args(packages)
        })
    }

    fn signature(&self, kind: &str, file: &Path, to: &Path) -> Result<(), Failure> {
        self.gpg(|gpg| {
            gpg.args([
                "--local-user",
                &self.fingerprint,
                "--digest-algo",
                "SHA256",
                "--armor",
            ]);
            gpg.arg("--output").arg(to).arg(kind).arg(file)
        })?;
        Ok(())
    }

    fn gpg(&self, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<String, Failure> {
        gpg(&self.home(), with)
    }

    fn home(&self) -> PathBuf {
        self.short.path().join("home")
    }
}

/// The agent that gpg started for these keys ends with them.
impl Drop for Keys {
    fn drop(&mut self) {
        end_agent(&self.home());
    }
}

/// Makes a throwaway set of keys.
pub(crate) fn make(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        return Err(format!("{}: it exists already", folder.display()).into());
    }
    fs::create_dir_all(folder)?;
    let openpgp = folder.join("openpgp");
    let code_signing = folder.join("code-signing");
    for private in [folder, &openpgp, &code_signing] {
        fs::create_dir_all(private)?;
        fs::set_permissions(private, Permissions::from_mode(0o700))?;
    }

    // RSA, which the gpgv and the rpm of every system in use verify.
    let short = tempfile::tempdir()?;
    let home = short.path().join("home");
    symlink(fs::canonicalize(&openpgp)?, &home)?;
    let made = gpg(&home, |gpg| {
        gpg.args([
            "--passphrase",
            "",
            "--quick-generate-key",
            OWNER,
            "rsa3072",
            "sign",
            "never",
        ])
    });
    end_agent(&home);
    made?;

    let key = folder.join("release.key");
    private_key(&key)?;
    run::run("openssl", |openssl| {
        openssl.args(["pkey", "-pubout", "-in"]).arg(key);
        openssl.arg("-out").arg(folder.join("openrms-release.pem"))
    })?;
    code_signing_keys(&code_signing)?;
    println!("{}: throwaway keys, to try with", folder.display());
    Ok(())
}

/// A root, and two certificates of it: one signs code, one says when.
fn code_signing_keys(folder: &Path) -> Result<(), Failure> {
    let (root, root_key) = (folder.join("ca.crt"), folder.join("ca.key"));
    private_key(&root_key)?;
    run::run("openssl", |openssl| {
        openssl.args([
            "req",
            "-x509",
            "-sha256",
            "-days",
            DAYS,
            "-subj",
            "/CN=OpenRMS throwaway root",
        ]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        openssl.arg("-key").arg(&root_key).arg("-out").arg(&root)
    })?;
    for (name, subject, usage) in [
        ("cs", "/CN=OpenRMS throwaway code signing", "codeSigning"),
        (
            "ts",
            "/CN=OpenRMS throwaway time stamps",
            "critical,timeStamping",
        ),
    ] {
        let key = folder.join(format!("{name}.key"));
        private_key(&key)?;
        run::run("openssl", |openssl| {
            openssl.args(["req", "-x509", "-sha256", "-days", DAYS, "-subj", subject]);
            openssl.args(["-addext", "basicConstraints=critical,CA:false"]);
            openssl.args(["-addext", "keyUsage=critical,digitalSignature"]);
            openssl.args(["-addext", &format!("extendedKeyUsage={usage}")]);
            openssl.arg("-CA").arg(&root).arg("-CAkey").arg(&root_key);
            openssl
                .arg("-key")
                .arg(key)
                .arg("-out")
                .arg(folder.join(format!("{name}.crt")))
        })?;
    }
    Ok(())
}

fn private_key(file: &Path) -> Result<(), Failure> {
    run::run("openssl", |openssl| {
        openssl.args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:3072",
        ]);
        openssl.arg("-out").arg(file)
    })?;
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    Ok(())
}

fn gpg(home: &Path, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<String, Failure> {
    run::output("gpg", |gpg| {
        with(
            gpg.arg("--homedir")
                .arg(home)
                .args(["--batch", "--yes", "--quiet"]),
        )
    })
}

fn end_agent(home: &Path) {
    // It ends by itself as well, once its folder is gone.
    let _ = run::run("gpgconf", |gpgconf| {
        gpgconf
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "gpg-agent"])
    });
}

const OWNER: &str = "OpenRMS packages (throwaway) <openrms@users.noreply.github.com>";
const DAYS: &str = "3650";
/// How openssl reaches a key in a security module.
const MODULE: &[&str] = &["-engine", "pkcs11", "-keyform", "engine"];
