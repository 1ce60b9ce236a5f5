//! One module per command, or per few that belong together.

mod account;
mod admin;
mod check;
mod config;
mod free;
mod init;
mod inspect;
mod open;
mod protect;
#[cfg(unix)]
mod quickstart;
mod rights;
mod stores;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;
use crate::shell::Shell;

/// What `rms` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(unix)]
    /// First contact: a server, three people and a protected document, all on this machine.
    Quickstart(quickstart::Quickstart),
    /// Remembers where the service is, and whom to trust.
    Init(init::Init),
    /// Asks every service that is needed, and says which fails and why.
    Check(check::Check),
    /// The settings in force.
    Config(config::Config),
    /// Makes the lockbox and the machine certificate; needs no network.
    Activate(account::Activate),
    /// Gets the certificates of your account.
    SignIn(account::SignIn),
    /// Says what is held, and until when.
    Status(account::Status),
    /// Protects files: only those you name may open them.
    Protect(protect::Protect),
    /// Removes the protection of files that you may export.
    Open(open::Open),
    /// Removes the protection of files of a cluster that was decommissioned.
    Free(free::Free),
    /// Says what you may do with a file, until when, under which conditions.
    Rights(rights::Rights),
    /// Says everything a file tells about itself, without keys and without network.
    Inspect(inspect::Inspect),
    /// Checks digest and signature of every certificate and license in a file.
    Verify(verify::Verify),
    /// The templates that are here.
    Templates(stores::Templates),
    /// The use licenses that are here.
    Licenses(stores::Licenses),
    /// The administration of a cluster.
    Admin(admin::Admin),
}

impl Command {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        match self {
            #[cfg(unix)]
            Self::Quickstart(command) => command.run(shell),
            Self::Init(command) => command.run(shell),
            Self::Check(command) => command.run(shell),
            Self::Config(command) => command.run(shell),
            Self::Activate(command) => command.run(shell),
            Self::SignIn(command) => command.run(shell),
            Self::Status(command) => command.run(shell),
            Self::Protect(command) => command.run(shell),
            Self::Open(command) => command.run(shell),
            Self::Free(command) => command.run(shell),
            Self::Rights(command) => command.run(shell),
            Self::Inspect(command) => command.run(shell),
            Self::Verify(command) => command.run(shell),
            Self::Templates(command) => command.run(shell),
            Self::Licenses(command) => command.run(shell),
            Self::Admin(command) => command.run(shell),
        }
    }
}
