//! `rmsd federation`: whether people of other organizations are served (`federationEnabled` and
//! `federatedRacValidityTime` of MS-RMPR 3.1.1.1.1). A server that runs takes changes over by
//! itself within half a minute.

use std::time::Duration;

use clap::{Args, Subcommand};
use openrms_store::{Change, Policies, Store as _, StoreError};
use serde_json::json;

use super::{Failure, Output, Place};
use crate::Config;
use crate::open::{Opened, blocking};

#[derive(Debug, Subcommand)]
pub(super) enum Federation {
    /// Serve people whom federated issuers of the configuration file vouch for.
    Enable(Enable),
    /// Serve them no longer, from now on: what they were certified counts no more.
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

impl Federation {
    fn place(&self) -> &Place {
        match self {
            Self::Enable(command) => &command.place,
            Self::Disable(command) | Self::Show(command) => &command.place,
        }
    }

    fn change(&self, policies: &mut Policies) {
        match self {
            Self::Enable(command) => {
                policies.federation_enabled = true;
                if let Some(hours) = command.rac_hours {
                    policies.federated_rac_validity = Duration::from_hours(hours.into());
                }
            }
            Self::Disable(_) => policies.federation_enabled = false,
            Self::Show(_) => {}
        }
    }
}

pub(super) fn run(command: &Federation, output: &Output) -> Result<(), Failure> {
    let config = command.place().load()?;
    let policies = blocking(async || changed(&config, command).await)?;
    tell(&config, &policies, output);
    Ok(())
}

/// The policies as they are stored after a change.
async fn changed(config: &Config, command: &Federation) -> Result<Policies, Failure> {
    let opened = Opened::open(config).await?;
    let failed = |error: StoreError| Failure::failed(error);
    let snapshot = opened.store.snapshot().await.map_err(failed)?;
    let mut policies = snapshot.policies.clone();
    command.change(&mut policies);
    if policies != snapshot.policies {
        let set = [Change::SetPolicies(Box::new(policies.clone()))];
        let version = Some(snapshot.version);
        opened.store.apply(&set, version).await.map_err(failed)?;
    }
    opened.store.close().await;
    Ok(policies)
}

fn tell(config: &Config, policies: &Policies, output: &Output) {
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
}

/// A year, as for one's own people.
const MOST_HOURS: i64 = 365 * 24;
