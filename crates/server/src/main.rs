//! `rmsd`, the rights-management server's program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    openrms_server::commands::run()
}
