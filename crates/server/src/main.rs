//! `rmsd`, the rights-management server's program; everything is in the library.

use std::process::ExitCode;

// The C library grows the heap of a thread by a page or two at a time, which costs several system
// calls for every license that the server has not seen before.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    openrms_server::commands::run()
}
