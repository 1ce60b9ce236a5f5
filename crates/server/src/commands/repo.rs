//! `rmsd repo`: the packages that a cluster hands out to machines.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output, Place};
use crate::clock;
use crate::config::Config;
use crate::repo::manifest::ReleaseKey;
use crate::repo::{ChannelStatus, RepoError, Repository, release_key};

#[derive(Debug, Subcommand)]
pub(super) enum RepoCommand {
    /// Verify a channel and hand it out from now on, in the place of the one before.
    Import(Import),
    /// Verify the channel that is handed out and write it into a tar file, to be carried on.
    Export(Export),
    /// Say which channel is handed out.
    Status(Status),
    /// Hand out nothing any more.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The folder of the channel, or a tar file of it.
    #[arg(value_name = "FOLDER|FILE.tar")]
    source: PathBuf,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The tar file.
    #[arg(value_name = "FILE.tar")]
    file: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Key {
    /// PEM file with the public key of releases; that of the configuration when absent, which is that
    /// of the package unless it says otherwise.
    #[arg(long, value_name = "FILE.pem")]
    key: Option<PathBuf>,
}

pub(super) fn run(command: &RepoCommand, output: &Output) -> Result<(), Failure> {
    match command {
        RepoCommand::Import(command) => import(command, output),
        RepoCommand::Export(command) => export(command, output),
        RepoCommand::Status(command) => status(command, output),
        RepoCommand::Remove(command) => remove(command, output),
    }
}

fn import(command: &Import, output: &Output) -> Result<(), Failure> {
    let (config, repository) = open(&command.place)?;
    let key = command.key.read(&config)?;
    let imported = repository.import(&command.source, &key, clock::now())?;
    let before = if imported.already {
        "it was here already: "
    } else {
        ""
    };
    let text = format!("{before}{}", line(&imported.channel));
    output.answer(&imported, text);
    Ok(())
}

fn export(command: &Export, output: &Output) -> Result<(), Failure> {
    let (config, repository) = open(&command.place)?;
    let key = command.key.read(&config)?;
    let exported = repository.export(&command.file, &key, command.force, clock::now())?;
    let text = format!("{}, {} bytes", line(&exported.channel), exported.bytes);
    output.answer(&exported, text);
    Ok(())
}

fn status(command: &Status, output: &Output) -> Result<(), Failure> {
    let (config, repository) = open(&command.place)?;
    let nothing = || RepoError::Nothing(config.repo.folder.clone());
    let channel = repository.current()?.ok_or_else(nothing)?;
    let status = channel.status(clock::now());
    output.answer(&status, line(&status));
    Ok(())
}

fn remove(command: &Remove, output: &Output) -> Result<(), Failure> {
    let (_, repository) = open(&command.place)?;
    repository.remove()?;
    output.answer(
        &json!({ "removed": true }),
        "nothing is handed out any more",
    );
    Ok(())
}

fn open(place: &Place) -> Result<(Config, Repository), Failure> {
    let config = place.load()?;
    let repository = Repository::new(&config.repo.folder);
    Ok((config, repository))
}

fn line(channel: &ChannelStatus) -> String {
    let ChannelStatus {
        version,
        serial,
        expires,
        expired,
        files,
    } = channel;
    let until = if *expired { "EXPIRED at" } else { "until" };
    format!("OpenRMS {version}, serial {serial}, {files} files, {until} {expires}")
}

impl Key {
    fn read(&self, config: &Config) -> Result<ReleaseKey, Failure> {
        Ok(release_key(self.key.as_ref().unwrap_or(&config.repo.key))?)
    }
}
