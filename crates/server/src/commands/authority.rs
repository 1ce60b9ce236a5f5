//! `rmsd authority` and `rmsd client-bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openrms_crypto::Mode;
use serde_json::json;

use super::documents::write;
use super::keys::KeyArguments;
use super::mode::{self, UpgradeAuthority};
use super::provision::ModeArgument;
use super::sign::{self, Sign};
use super::{Failure, Output, Place};
use crate::authority::{self, ClientTrust, TrustError};
use crate::bundle::{BundleError, bundle_of};
use crate::clock;
use crate::open::{Opened, blocking};
use crate::provision::create_authority;

#[derive(Debug, Subcommand)]
pub(super) enum Authority {
    /// Make a trust anchor alone; a root cluster may be set up beside it later.
    Create(Create),
    /// Certify the server of a request document.
    Sign(Sign),
    /// Certify in cryptographic mode 2 besides mode 1, under the same anchors.
    UpgradeMode(UpgradeAuthority),
    /// Activation of clients of version 1.0.
    #[command(subcommand)]
    Activation(ActivationCommand),
    /// What a client package carries to self-activate.
    #[command(subcommand)]
    SpcIssuer(SpcIssuer),
    /// What every participant must trust.
    #[command(subcommand)]
    Anchors(AnchorsCommand),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Data directory; it is made.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/openrms")]
    data: PathBuf,
    /// What the authority's certificates are named after.
    #[arg(long, default_value = "OpenRMS")]
    name: String,
    /// Cryptographic mode.
    #[arg(long, value_enum, default_value_t = ModeArgument::Two)]
    mode: ModeArgument,
    #[command(flatten)]
    keys: KeyArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum ActivationCommand {
    /// Have an authority of release 0.1.0 activate clients of version 1.0 besides, under the same
    /// anchors.
    Add(AddActivation),
}

#[derive(Debug, Args)]
pub(super) struct AddActivation {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
pub(super) enum SpcIssuer {
    /// Write the issuer's key and chain. The key is no secret between clients of the hierarchy.
    Export(ExportIssuer),
}

#[derive(Debug, Args)]
pub(super) struct ExportIssuer {
    /// Where the private key goes, PKCS#8 PEM, readable by its owner only.
    #[arg(long, value_name = "FILE.pem")]
    key: PathBuf,
    /// Where the chain goes, XrML nodes one after another, the issuer's own first.
    #[arg(long, value_name = "FILE.xml")]
    chain: PathBuf,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
    /// For machines of this cryptographic mode; of the cluster's by default.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
pub(super) enum AnchorsCommand {
    /// Print the public anchors, or write them to a file.
    Export(ExportAnchors),
}

#[derive(Debug, Args)]
pub(super) struct ExportAnchors {
    /// Where they go; standard output by default.
    file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Bundle {
    /// Where it goes; standard output by default.
    file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// For machines of this cryptographic mode; of the cluster's by default.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Authority, output: &Output) -> Result<(), Failure> {
    match command {
        Authority::Create(create) => {
            let (keys, credential) = create.keys.protection()?;
            let mode = create.mode.into();
            let made = create_authority(&create.data, &create.name, mode, &keys, &credential)?;
            let data = create.data.display();
            let text = if made {
                format!("The authority {} is made in {data}.", create.name)
            } else {
                format!("{data} has an authority already; nothing was done.")
            };
            output.answer(&json!({ "data": create.data, "already": !made }), text);
        }
        Authority::Sign(command) => sign::by_authority(command, output)?,
        Authority::UpgradeMode(command) => mode::authority(command, output)?,
        Authority::Activation(ActivationCommand::Add(command)) => add_activation(command, output)?,
        Authority::SpcIssuer(SpcIssuer::Export(export)) => {
            let trust = trust(&export.place, export.mode)?;
            write(
                &export.key,
                trust.spc_issuer_key_pem.as_bytes(),
                export.force,
            )?;
            write(
                &export.chain,
                trust.spc_issuer_chain.as_bytes(),
                export.force,
            )?;
            let files = json!({ "key": export.key, "chain": export.chain });
            let (key, chain) = (export.key.display(), export.chain.display());
            output.answer(
                &files,
                format_args!("The SPC issuer is in {key} and {chain}."),
            );
        }
        Authority::Anchors(AnchorsCommand::Export(export)) => {
            let trust = trust(&export.place, None)?;
            let document = json!({ "anchors_xml": trust.anchors_xml, "file": export.file });
            match &export.file {
                Some(file) => {
                    write(file, trust.anchors_xml.as_bytes(), export.force)?;
                    output.answer(&document, format_args!("{}", file.display()));
                }
                None => output.answer(&document, trust.anchors_xml.trim_end()),
            }
        }
    }
    Ok(())
}

fn add_activation(command: &AddActivation, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let is_new = blocking(async || {
        let opened = Opened::open(&config).await?;
        let is_new = authority::add_activation(&opened, clock::now()).await?;
        opened.store.close().await;
        Ok::<_, Failure>(is_new)
    })?;
    let text = if is_new {
        "The authority activates clients of version 1.0 as well."
    } else {
        "The authority activates clients of version 1.0 already; nothing was done."
    };
    output.answer(&json!({ "already": !is_new }), text);
    Ok(())
}

pub(super) fn bundle(command: &Bundle, output: &Output) -> Result<(), Failure> {
    let bundle = match bundle_of(&command.place.load()?, command.mode.map(Mode::from)) {
        // An authority without a cluster has what servers that enroll by files need.
        Err(BundleError::NotProvisioned) => {
            serde_json::to_value(trust(&command.place, command.mode)?)
        }
        bundle => serde_json::to_value(bundle?),
    }
    .map_err(Failure::failed)?;
    let text = serde_json::to_string_pretty(&bundle).map_err(Failure::failed)?;
    match &command.file {
        Some(file) => {
            write(file, text.as_bytes(), command.force)?;
            output.answer(&json!({ "file": file }), format_args!("{}", file.display()));
        }
        None => output.answer(&bundle, text),
    }
    Ok(())
}

fn trust(place: &Place, mode: Option<ModeArgument>) -> Result<ClientTrust, Failure> {
    let config = place.load()?;
    blocking(async || {
        let opened = Opened::open(&config).await?;
        let stored = opened.store.snapshot().await.map_err(TrustError::from)?;
        let roles = opened
            .store
            .authority_roles()
            .await
            .map_err(TrustError::from)?;
        Ok(ClientTrust::load(
            &roles,
            &stored,
            &opened.vault,
            mode.map(Mode::from),
        )?)
    })
}
