//! `rmsd federation`. A server that runs takes changes over by itself within half a minute.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output, Place};
use crate::policies;

#[derive(Debug, Subcommand)]
pub(super) enum Federation {
    /// Serve people whom federated issuers of the configuration file vouch for.
    Enable(Enable),
    /// Serve them no longer: from now on, what they were certified counts no more.
    Disable(Which),
    /// Show whether they are served.
    Show(Which),
}

#[derive(Debug, Args)]
pub(super) struct Enable {
    /// Hours that an account certificate of theirs is good for; 24 until it is changed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_HOURS))]
    rac_hours: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Federation, output: &Output) -> Result<(), Failure> {
    let place = match command {
        Federation::Enable(enable) => &enable.place,
        Federation::Disable(which) | Federation::Show(which) => &which.place,
    };
    let config = place.load()?;
    let policies = policies::change(&config, |policies| match command {
        Federation::Enable(enable) => {
            policies.federation_enabled = true;
            if let Some(hours) = enable.rac_hours {
                policies.federated_rac_validity = Duration::from_hours(hours.into());
            }
        }
        Federation::Disable(_) => policies.federation_enabled = false,
        Federation::Show(_) => {}
    })?;
    let tokens = config.tokens.as_ref();
    let issuers: Vec<&str> = tokens.map_or_else(Vec::new, |tokens| tokens.federated().collect());
    let hours = policies.federated_rac_validity.as_secs() / 3600;
    let document = json!({
        "enabled": policies.federation_enabled,
        "rac_hours": hours,
        "issuers": issuers,
    });
    let state = if policies.federation_enabled {
        "on"
    } else {
        "off"
    };
    let named = if issuers.is_empty() {
        "none: nobody is served until the configuration file names one".to_owned()
    } else {
        issuers.join(", ")
    };
    output.answer(
        &document,
        format_args!(
            "federation           {state}\naccount certificate  {hours} hours\n\
             federated issuers    {named}"
        ),
    );
    Ok(())
}

/// A year, as for one's own people.
const MOST_HOURS: i64 = 365 * 24;
