//! `rms`: everything is in the library beside this file, so that chores can make man pages of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    openrms_cli::run(std::env::args_os())
}
