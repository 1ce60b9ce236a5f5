//! `rms free`: the original again, from a cluster that has ended and whoever it lets in.

use std::path::PathBuf;

use clap::Args;

use super::open::write_original;
use super::protect::{is_protected, sources_are_several};
use crate::batch::{self, Destination, Targets};
use crate::examine::examine;
use crate::failure::Failure;
use crate::session::Connection;
use crate::shell::Shell;

/// Arguments of `rms free`.
#[derive(Debug, Args)]
#[command(
    after_help = "A cluster that was decommissioned licenses nothing any more. Whoever its \
                  administrator lets in gets the originals without any right in them, on a \
                  machine that is activated. A cluster in service refuses: `rms open`."
)]
pub(crate) struct Free {
    /// Protected files; folders with --recursive.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to: a file, or a folder.
    #[arg(short, long, value_name = "OUT", conflicts_with = "in_place")]
    output: Option<PathBuf>,
    /// The original takes the place of the protected file.
    #[arg(long)]
    in_place: bool,
    /// Take all protected files in folders.
    #[arg(short, long)]
    recursive: bool,
    /// Overwrite files that are there.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Free {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let mut sources = batch::find(&self.files, self.recursive)?;
        // Folders hold other files, too.
        sources.retain(|source| self.files.contains(&source.path) || is_protected(&source.path));
        let several = sources_are_several(&self.files);
        let to = Destination::of(self.output.clone(), self.in_place, several);
        // What is no protected file is said before anybody is asked for a password.
        if let [source] = sources.as_slice() {
            examine(&source.path)?;
        }
        let client = self.connection.ready(shell)?;
        client.activate()?;
        let targets = Targets::default();
        batch::run(shell, "freed", &sources, |source| {
            let content = client.free_file(&source.path)?;
            write_original(content, source, (&to, &targets), self.force)
        })
    }
}
