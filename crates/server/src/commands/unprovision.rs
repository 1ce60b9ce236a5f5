//! `rmsd unprovision`.

use clap::Args;

use super::{Failure, Output, Place};
use crate::provision::{Removal, unprovision};

#[derive(Debug, Args)]
pub(super) struct Unprovision {
    #[command(flatten)]
    place: Place,
    /// Also delete the database and the key file of a cluster of one server. Everything that was
    /// protected by it can then be opened by nobody.
    #[arg(long)]
    delete_everything: bool,
    /// Go on when the database does not answer; this server then stays on the cluster's list.
    #[arg(long)]
    without_database: bool,
}

pub(super) fn run(command: &Unprovision, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let done = unprovision(
        &config,
        Removal {
            with_database: command.delete_everything,
            without_database_answer: command.without_database || command.delete_everything,
        },
    )?;
    let mut lines = vec![match (&done.url, done.servers_left) {
        (Some(url), Some(0)) => format!("This was the last server of {url}."),
        (Some(url), Some(1)) => format!("{url} has one server left."),
        (Some(url), Some(left)) => format!("{url} has {left} servers left."),
        _ => "This server is removed.".to_owned(),
    }];
    if done.servers_left == Some(0) && done.url.is_some() {
        lines.push(
            "Clients may still look for it: `rmsd scp remove` takes its entry out of the directory."
                .to_owned(),
        );
    }
    lines.extend(
        done.kept
            .iter()
            .map(|path| format!("kept: {}", path.display())),
    );
    output.answer(&done, lines.join("\n"));
    Ok(())
}
