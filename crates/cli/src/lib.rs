//! The command line of OpenRMS, for people and for scripts.
//!
//! ```text
//! arguments -> commands::X -> openrms-client, -formats, -xrml -> shell (text or JSON) -> exit code
//! ```
//!
//! Each command is one module of `commands`; none holds logic that another program would want.

mod batch;
mod commands;
mod examine;
mod failure;
mod grants;
mod report;
mod session;
mod shell;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

use commands::Command;
use failure::{Exit, Failure};
use shell::Shell;

/// Protects files, opens protected ones, and says what is in them.
#[derive(Debug, Parser)]
#[command(name = "rms", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(flatten)]
    shell: Shell,
    #[command(subcommand)]
    command: Command,
}

/// The command with all its subcommands, for man pages and shell completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs `rms` with the given arguments, the program's name first, and says how it should end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match Arguments::try_parse_from(&arguments) {
        Ok(Arguments { shell, command }) => match command.run(shell) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => shell.fail(&failure),
        },
        Err(error) => refuse(&error, &arguments),
    }
}

/// Help and version are answers; everything else is wrong usage.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return if error.print().is_ok() {
            ExitCode::SUCCESS
        } else {
            Exit::Failed.into()
        };
    }
    let before_separator = arguments.iter().take_while(|argument| *argument != "--");
    if before_separator
        .into_iter()
        .any(|argument| argument == "--json")
    {
        let text = error.to_string();
        // The first paragraph says what is wrong; usage and hints follow.
        let lines = text
            .lines()
            .take_while(|line| !line.is_empty())
            .map(str::trim);
        let message = lines.collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let failure = Failure::usage(message, "`rms --help` lists the commands and their options");
        return Shell::for_json().fail(&failure);
    }
    // Nobody is left to tell when standard error is closed.
    _ = error.print();
    Exit::Usage.into()
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied, 4 not trusted, 5 unreachable, 6 malformed.
Environment: RMS_HOME (lockbox, licenses, settings), RMS_SERVER (cluster URL), RMS_TOKEN (bearer
token), RMS_USER and RMS_PASSWORD (sign-in), RMS_ISSUER and RMS_CLIENT_ID (sign-in at an OpenID
provider), RMS_CA_FILE (TLS authorities), RMS_LOCKBOX_PASSPHRASE (lockbox), RMS_CLIENT_LEVEL
(1.0, sp1 or 2.0), https_proxy and no_proxy (HTTP proxy), RMS_CONFIG_DIR (the machine's settings,
else /etc/openrms or, on Windows, %ProgramFiles%\\OpenRMS). `rms config show --origin` tells what
counts.";
