//! `rmsd exclusion`: what the cluster has nothing to do with, though it is trusted otherwise. A server
//! that runs takes changes over by itself within half a minute.

use clap::{Args, Subcommand};
use openrms_store::ProductVersion;
use serde_json::json;

use super::{Failure, Output, Place};
use crate::policies;

#[derive(Debug, Subcommand)]
pub(super) enum Exclusion {
    /// Security processors that are too old: whoever has one gets no account certificate and no license. Without an
    /// option, shows what is set.
    Lockbox(Lockbox),
}

#[derive(Debug, Args)]
pub(super) struct Lockbox {
    /// The oldest version that is taken. Those of Service Pack 1 have 5.0.0.0 at least: with it, clients of version
    /// 1.0 are excluded.
    #[arg(long, value_name = "VERSION", conflicts_with = "none")]
    minimum: Option<ProductVersion>,
    /// Take every version.
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Exclusion, output: &Output) -> Result<(), Failure> {
    let Exclusion::Lockbox(command) = command;
    let config = command.place.load()?;
    let policies = policies::change(&config, |policies| {
        if command.minimum.is_some() || command.none {
            policies.spc_minimum_version = command.minimum;
        }
    })?;
    let minimum = policies
        .spc_minimum_version
        .map(|version| version.to_string());
    let document = json!({ "minimum": minimum });
    let text = match minimum {
        Some(version) => format!("security processors before {version} are excluded"),
        None => "security processors of every version are taken".to_owned(),
    };
    output.answer(&document, text);
    Ok(())
}
