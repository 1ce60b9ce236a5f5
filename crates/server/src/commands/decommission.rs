//! `rmsd decommission`: the end of a cluster, which cannot be undone.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use openrms_protocol::Service;
use serde_json::json;

use super::{Failure, Output, Place};
use crate::clock;
use crate::decommission::{self, Candidate};

#[derive(Debug, Args)]
pub(super) struct Decommission {
    /// The cluster's name, instead of typing it when asked.
    #[arg(long, value_name = "NAME")]
    yes_i_know_there_is_no_way_back: Option<String>,
    /// End it although no backup was verified in the last seven days.
    #[arg(long)]
    without_backup: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Decommission, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let now = clock::now();
    let candidate = decommission::candidate(&config, now)?;
    let name = match &command.yes_i_know_there_is_no_way_back {
        Some(name) => name.clone(),
        None => asked(&candidate)?,
    };
    let ended = decommission::decommission(&config, &name, command.without_backup, now)?;
    let url = Service::Decommission.url(&ended.url);
    output.say(
        "Servers that run take it over within half a minute. Nobody gets a content key until \
         [services.decommission] of each server's configuration file says who may.",
    );
    if ended.is_authority {
        output.say(
            "Servers that were enrolled here go on, and cannot renew their certificates here: \
             decommission each of them as well, or enroll it elsewhere.",
        );
    }
    output.answer(
        &json!({ "name": ended.name, "decommissioned": true, "service": url }),
        format_args!(
            "{} is decommissioned. Content is freed at {url}",
            ended.name
        ),
    );
    Ok(())
}

/// Has the cluster's name typed.
fn asked(candidate: &Candidate) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage("nobody is there to type the cluster's name")
            .with_hint("Scripts give it with --yes-i-know-there-is-no-way-back NAME."));
    }
    let Candidate { name, url, .. } = candidate;
    // Not `say`: what cannot be undone is asked aloud.
    let _ = write!(
        std::io::stderr(),
        "Decommissioning {url} cannot be undone. It certifies, publishes and licenses nothing \
         from then on;\nit gives the content key of any file protected with it to whoever \
         [services.decommission] lets in.\nType the cluster's name, {name:?}, to go on: "
    );
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(Failure::failed)?;
    Ok(line)
}
