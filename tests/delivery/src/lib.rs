//! Whole machines for tests of packages: Debian's root file systems, of which each test gets a layer
//! of its own, beside a server on a network without a way out. The packages are those that
//! `cargo xtask dist` made (`OPENRMS_DIST`), the file systems those of `tests/testbed/debian`
//! (`OPENRMS_TEST_DEBIAN`); where one is missing, a test says in a line that it is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it is used by tests alone"
)]

mod machine;
mod network;
pub mod person;
mod process;
mod service;

use std::path::PathBuf;

pub use machine::{Base, Booted, Digest, Machine};
pub use network::Network;
pub use process::Ran;
pub use service::{Service, package};

/// What `cargo xtask dist` made: `channel/` and what came before it. None where it was not run,
/// which is said.
pub fn dist() -> Option<PathBuf> {
    folder(
        "OPENRMS_DIST",
        "the packages are not made (cargo xtask dist)",
    )
}

/// The folder that a variable names; what is missing is said otherwise.
fn folder(variable: &str, missing: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: {missing}");
    }
    folder
}
