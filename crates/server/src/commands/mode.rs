//! `rmsd key upgrade-mode` and `rmsd authority upgrade-mode`: from cryptographic mode 1 to mode 2.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::documents;
use super::enroll::{self, TrustArguments};
use super::renew::SignInArguments;
use super::{Failure, Output, Place};
use crate::clock;
use crate::mode_upgrade::{self, Upgraded};
use crate::open::{Opened, blocking};

#[derive(Debug, Args)]
pub(super) struct UpgradeMode {
    /// Do it. There is no way back, and clients that know no mode 2 are shut out.
    #[arg(long)]
    yes: bool,
    /// Only write the request for the new key's certificate, to be signed by hand; the server's name
    /// and `ModeRequest.xml` when no file is named.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = ".",
        conflicts_with_all = ["complete", "yes"]
    )]
    request: Option<PathBuf>,
    /// Take the new key into use with the certificate of this response.
    #[arg(long, value_name = "FILE")]
    complete: Option<PathBuf>,
    /// Replace a request that is there.
    #[arg(long, requires = "request")]
    force: bool,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    sign_in: SignInArguments,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct UpgradeAuthority {
    #[command(flatten)]
    place: Place,
}

/// `rmsd key upgrade-mode`.
pub(super) fn cluster(command: &UpgradeMode, output: &Output) -> Result<(), Failure> {
    if let Some(file) = &command.request {
        let file = (Some(file.as_path()), "ModeRequest.xml");
        let make = async |opened: &Opened, level| {
            Ok(mode_upgrade::request(opened, level, clock::now()).await?)
        };
        return enroll::write_request(file, command.force, &command.place, make, output);
    }
    if !command.yes {
        return Err(
            Failure::usage("there is no way back from cryptographic mode 2").with_hint(
                "Say --yes when all clients, and all who trust this cluster, know mode 2.",
            ),
        );
    }
    let config = command.place.load()?;
    let trust = command.trust.read()?;
    let response = command
        .complete
        .as_deref()
        .map(documents::read)
        .transpose()?;
    let by = command.sign_in.on_line(&config, output)?;
    let done: Upgraded = blocking(async || {
        let opened = Opened::open(&config).await?;
        let (level, now) = (config.service_level, clock::now());
        let done = if let Some(document) = response {
            mode_upgrade::by_file(&opened, level, &document, trust, now).await?
        } else {
            mode_upgrade::on_line(&opened, level, trust, &by, now).await?
        };
        opened.store.close().await;
        Ok::<_, Failure>(done)
    })?;
    output.say(
        "Licensing clusters below this one, and whoever trusts its licenses or its users, need its new \
         certificate: upgrade the former, and export the trusts for the latter again.",
    );
    let document = json!({
        "mode": 2,
        "server_key": done.key,
        "retired_key": done.retired,
        "templates": done.templates,
    });
    let text = format!(
        "The cluster is in cryptographic mode 2, with the key {}; the key {} goes on opening what was \
         protected so far.",
        done.key, done.retired
    );
    output.answer(&document, text);
    Ok(())
}

/// `rmsd authority upgrade-mode`.
pub(super) fn authority(command: &UpgradeAuthority, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let is_new = blocking(async || {
        let opened = Opened::open(&config).await?;
        let level = config.service_level;
        let is_new = mode_upgrade::authority(&opened, level, clock::now()).await?;
        opened.store.close().await;
        Ok::<_, Failure>(is_new)
    })?;
    let text = if is_new {
        "The authority certifies servers in cryptographic mode 2 as well."
    } else {
        "The authority certifies servers in cryptographic mode 2 already; nothing was done."
    };
    output.answer(&json!({ "already": !is_new }), text);
    Ok(())
}
