//! The command line of `rmsd`: what it takes, and how it answers people and scripts.

mod authority;
mod backup;
mod client_settings;
mod config;
mod db;
mod decommission;
mod documents;
mod enroll;
mod exclusion;
mod failure;
mod federation;
mod keys;
mod log;
mod mode;
mod person;
mod provision;
mod renew;
mod repo;
mod scp;
mod secrets;
mod serve;
mod sign;
mod template;
mod unprovision;
mod upgrade;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{Config, ConfigError, Layers, Sources};
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::files;
use crate::fips;
pub use failure::Failure;

/// The rights-management server.
#[derive(Debug, Parser)]
#[command(
    name = "rmsd",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    /// Print one JSON document on stdout, and nothing else there.
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop: SIGTERM lets requests end, SIGHUP reads configuration and people
    /// list anew.
    Serve(serve::Serve),
    /// Set up a cluster.
    #[command(subcommand)]
    Provision(provision::Provision),
    /// Take this server out of its cluster, which goes on without it.
    Unprovision(unprovision::Unprovision),
    /// The trust anchor of a hierarchy, and what it hands out.
    #[command(subcommand)]
    Authority(authority::Authority),
    /// Enroll the cluster by files that are carried by hand.
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// Get a new certificate for the cluster's key.
    Renew(renew::Renew),
    /// The people and groups of the built-in list.
    #[command(subcommand)]
    Person(person::Person),
    /// Rights policy templates.
    #[command(subcommand)]
    Template(template::Template),
    /// People of other organizations, whom issuers of tokens vouch for.
    #[command(subcommand)]
    Federation(federation::Federation),
    /// What the cluster has nothing to do with, though it is trusted otherwise.
    #[command(subcommand)]
    Exclusion(exclusion::Exclusion),
    /// What the configuration of this server says, and which of its files says it.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The database of the cluster.
    #[command(subcommand)]
    Db(db::Db),
    /// How the private keys are kept.
    #[command(subcommand)]
    Key(keys::Key),
    /// What was asked of the services, and what came of it.
    #[command(subcommand)]
    Log(log::Log),
    /// The entry in Active Directory by which clients find the cluster.
    #[command(subcommand)]
    Scp(scp::ServiceConnectionPoint),
    /// The packages that the cluster hands out to machines, below `/openrms/repo/`.
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    /// Write everything that a cluster is into one sealed file.
    Backup(backup::Backup),
    /// Restore a cluster from a backup to where there is nothing, or only try it.
    Restore(backup::Restore),
    /// Bring this server, and its cluster, to this release: in place, while it serves.
    Upgrade(upgrade::Upgrade),
    /// Prepare the return of this server to an older release.
    Downgrade(upgrade::Downgrade),
    /// End a cluster for good: it gives out content keys and does nothing else.
    Decommission(decommission::Decommission),
    /// Write what a client package carries so that clients can join.
    ClientBundle(authority::Bundle),
    /// What an administrator carries to the machines of people.
    #[command(subcommand)]
    ClientSettings(client_settings::ClientSettings),
    /// Print the address of the administration site, token included.
    AdminUrl(serve::AdminUrl),
}

/// Which cluster a command is about.
#[derive(Debug, Clone, Args)]
struct Place {
    /// Configuration file; those of the folder named after it (FILE.toml, FILE.d) count more.
    #[arg(long, value_name = "FILE", env = "RMSD_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory; its rmsd.toml is the configuration, whatever --config names.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Place {
    fn load(&self) -> Result<Config, Failure> {
        let mut config = match &self.data {
            Some(data) => Config::for_data_dir(data)?,
            None => Layers::read(&self.sources())?.config()?,
        };
        let data = config.data.path();
        files::only_as_owner(data).map_err(|error| {
            Failure::new(3, "not-the-owner", format!("{}: {error}", data.display()))
        })?;
        fips::hold(&config)?;
        if config.keys.credential == Credential::None && std::io::stdin().is_terminal() {
            config.keys.credential = Credential::Prompt;
        }
        Ok(config)
    }

    /// Whether nothing is named, and nothing is where it would be.
    fn names_nothing(&self) -> bool {
        self.data.is_none()
            && self.config.is_none()
            && matches!(Layers::read(&self.sources()), Err(ConfigError::File { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound)
    }

    /// The files that [`Place::load`] reads, as far as they are there.
    fn sources(&self) -> Sources {
        match (&self.data, &self.config) {
            // A configuration named in the environment gives way to a folder named by hand.
            (Some(data), _) => Sources::of(&DataDir::new(data).config()),
            (None, Some(file)) => Sources::of(file),
            (None, None) => Sources::of_machine(),
        }
    }
}

/// How a command answers.
struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    /// Tells a person what goes on.
    fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// The answer: a document for scripts, or text for people.
    fn answer(&self, document: &impl Serialize, text: impl std::fmt::Display) {
        let mut out = std::io::stdout();
        let _ = if self.json {
            let document = serde_json::to_value(document).unwrap_or(Value::Null);
            writeln!(out, "{document}")
        } else {
            writeln!(out, "{text}")
        };
    }
}

/// The command line as a value, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    keep_memory_private();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help is no mistake.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return code.into();
        }
    };
    let output = Output {
        json: cli.json,
        quiet: cli.quiet,
    };
    let done = match &cli.command {
        Command::Serve(command) => serve::run(command, &output),
        Command::Provision(command) => provision::run(command, &output),
        Command::Unprovision(command) => unprovision::run(command, &output),
        Command::Authority(command) => authority::run(command, &output),
        Command::Enroll(command) => enroll::run(command, &output),
        Command::Renew(command) => renew::run(command, &output),
        Command::Person(command) => person::run(command, &output),
        Command::Template(command) => template::run(command, &output),
        Command::Federation(command) => federation::run(command, &output),
        Command::Exclusion(command) => exclusion::run(command, &output),
        Command::Config(command) => config::run(command, &output),
        Command::Db(command) => db::run(command, &output),
        Command::Key(command) => keys::run(command, &output),
        Command::Log(command) => log::run(command, &output),
        Command::Scp(command) => scp::run(command, &output),
        Command::Repo(command) => repo::run(command, &output),
        Command::Backup(command) => backup::backup(command, &output),
        Command::Restore(command) => backup::restore(command, &output),
        Command::Upgrade(command) => upgrade::upgrade(command, &output),
        Command::Downgrade(command) => upgrade::downgrade(command, &output),
        Command::Decommission(command) => decommission::run(command, &output),
        Command::ClientBundle(command) => authority::bundle(command, &output),
        Command::ClientSettings(command) => client_settings::run(command, &output),
        Command::AdminUrl(command) => serve::admin_url(command, &output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if output.json {
                let mut document = failure.found.unwrap_or_else(|| json!({}));
                document["error"] = json!({
                    "code": failure.code,
                    "message": failure.message,
                    "hint": failure.hint,
                });
                let _ = writeln!(std::io::stdout(), "{document}");
            }
            let _ = writeln!(std::io::stderr(), "rmsd: {}", failure.message);
            if let Some(hint) = &failure.hint {
                let _ = writeln!(std::io::stderr(), "{hint}");
            }
            failure.exit.into()
        }
    }
}

/// A process that has keys leaves no core dump, and nobody but root looks into its memory.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Where the system does not know these, nothing is lost by going on.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

const USAGE: u8 = 2;
