//! `rmsd key`: how the private keys of a cluster are kept, and the password that opens them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::mode::{self, UpgradeMode};
use super::{Failure, Output, Place, secrets};
use crate::credential::Credential;
use crate::key_protection::{self, KeyAccess, KeyProtection, Unlocked};
use crate::open::{OpenError, blocking, connect};

/// How the keys of a new cluster or authority are kept.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct KeyArguments {
    /// Protect the private keys with the password in this file, in place of a key file. With a
    /// security module, the file holds its PIN.
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Protect the private keys with a password that is asked for now, and whenever the server
    /// starts without one configured.
    #[arg(long, conflicts_with = "password_file")]
    pub(super) ask_password: bool,
    /// Protect the private keys with a key file in the data directory, which is the default. For
    /// one server.
    #[arg(long, conflicts_with_all = ["password_file", "ask_password", "pkcs11_library"])]
    pub(super) key_file: bool,
    /// Make and keep the server's keys in a security module: the library by which it speaks
    /// PKCS #11.
    #[arg(long, value_name = "LIBRARY", requires = "pkcs11_token")]
    pub(super) pkcs11_library: Option<PathBuf>,
    /// The label of the security module's token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_library")]
    pub(super) pkcs11_token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Tell how the keys are kept, and which there are.
    Status(Status),
    /// Set another password, or protect the keys of a key file with one. The keys stay the same;
    /// servers that run go on, and need the new password when they start the next time.
    Password(Password),
    /// Bring the cluster from cryptographic mode 1 to mode 2: a new key, whose certificate the same
    /// authority signs. The old key opens what was protected with it.
    UpgradeMode(UpgradeMode),
    /// Check that this server's password, PIN or key file opens the cluster's keys.
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Password {
    #[command(flatten)]
    place: Place,
    /// File with the new password; asked for, twice, when absent.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl KeyArguments {
    /// Whether anything was said about it.
    pub(super) fn is_chosen(&self) -> bool {
        self.password_file.is_some()
            || self.ask_password
            || self.key_file
            || self.pkcs11_library.is_some()
    }

    /// What was said here, else what was said there.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_chosen() { self } else { other }
    }

    /// What was asked for; the password is a new one. Somebody at the terminal is asked for what no
    /// file holds.
    pub(super) fn protection(&self) -> Result<(KeyProtection, Credential), Failure> {
        let file = self.password_file.as_deref();
        match (&self.pkcs11_library, &self.pkcs11_token) {
            (Some(library), Some(token)) => {
                let module = KeyProtection::SecurityModule {
                    library: library.clone(),
                    token: token.clone(),
                };
                let pin = match file {
                    Some(file) => Credential::File(file.to_owned()),
                    None => secrets::asked(&format!("PIN of the token {token}"))?,
                };
                Ok((module, pin))
            }
            _ if self.ask_password || file.is_some() => {
                Ok((KeyProtection::Password, secrets::new_password(file)?))
            }
            _ => Ok((KeyProtection::KeyFile, Credential::None)),
        }
    }
}

pub(super) fn run(command: &Key, output: &Output) -> Result<(), Failure> {
    match command {
        Key::Status(status) => tell(&status.place, output),
        Key::Password(password) => change(password, output),
        Key::UpgradeMode(upgrade) => mode::cluster(upgrade, output),
        Key::Check(check) => {
            let config = check.place.load()?;
            let unlocked = blocking(async || {
                let store = connect(&config).await?;
                let unlocked = key_protection::unlock(&*store, &config.keys).await;
                store.close().await;
                Ok::<_, OpenError>(unlocked?)
            })?;
            let kept = unlocked.protection.name();
            output.answer(
                &json!({ "protection": kept, "opens": true }),
                format_args!("The keys are protected by {kept}, and open."),
            );
            Ok(())
        }
    }
}

fn tell(place: &Place, output: &Output) -> Result<(), Failure> {
    let config = place.load()?;
    let (unlocked, stored) = blocking(async || {
        let store = connect(&config).await?;
        let unlocked = key_protection::unlock(&*store, &config.keys).await?;
        let stored = store.snapshot().await?;
        store.close().await;
        Ok::<_, OpenError>((unlocked, stored))
    })?;
    let kept = unlocked.protection.name();
    let current = stored.current_licensor_key().map(|key| key.id.clone());
    let keys: Vec<_> = stored
        .licensor_keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id,
                "mode": key.mode.number(),
                "created": key.created,
                "current": Some(&key.id) == current.as_ref(),
                "retired": key.retired,
            })
        })
        .collect();
    let mut lines = vec![format!(
        "Kept by {kept} (provider {}).",
        unlocked.provider.name()
    )];
    lines.extend(stored.licensor_keys.iter().map(|key| {
        let state = if Some(&key.id) == current.as_ref() {
            "in use"
        } else if key.retired {
            "opens old content"
        } else {
            "waits for its certificate"
        };
        format!("{}  mode {}  {state}", key.id, key.mode.number())
    }));
    let document = json!({
        "protection": kept,
        "provider": unlocked.provider.name(),
        "keys": keys,
    });
    output.answer(&document, lines.join("\n"));
    Ok(())
}

fn change(command: &Password, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let credential = secrets::new_password(command.new_password_file.as_deref())?;
    blocking(async || {
        let store = connect(&config).await?;
        let unlocked: Unlocked = key_protection::unlock(&*store, &config.keys).await?;
        let access = KeyAccess {
            credential,
            ..config.keys.clone()
        };
        let set = unlocked
            .protect_anew(&*store, &KeyProtection::Password, &access)
            .await;
        store.close().await;
        Ok::<_, OpenError>(set?)
    })?;
    output.answer(
        &json!({ "protection": "a password", "changed": true }),
        "The password is changed. Give it to each server of the cluster, under [credential] of its \
         configuration, before it starts the next time.",
    );
    Ok(())
}
