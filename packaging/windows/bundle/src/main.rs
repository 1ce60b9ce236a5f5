//! `OpenRMS-VERSION-x64.exe`: the client's package and the backward-compatibility package in one
//! program, which takes the command line of the original's (`-override 1 /I Client.msi … /q -override
//! 2 /I BackCompat.msi … /q`, `/x PATH`). It never restarts the machine and needs no network.

mod arguments;
mod installer;
mod log;
mod packages;
mod steps;

use std::process;

use arguments::Request;
use installer::Msiexec;
use log::Log;
use packages::PACKAGES;

fn main() {
    // Codes of the Windows Installer need more than the eight bits of `ExitCode`.
    process::exit(
        match Request::parse(std::env::args_os().skip(1), PACKAGES) {
            Ok(Request::Help) => {
                println!("{}", arguments::HELP);
                0
            }
            Ok(request) => perform(&request),
            Err(error) => {
                eprintln!("{error}\n\n{}", arguments::HELP);
                steps::INVALID_COMMAND_LINE
            }
        },
    )
}

fn perform(request: &Request) -> i32 {
    let mut log = Log::to(request.log());
    match steps::perform(request, PACKAGES, &mut Msiexec, &mut log) {
        Ok(code) => code,
        Err(error) => {
            log.line(&error);
            error.exit_code()
        }
    }
}
