//! Upgrading a cluster in place, server by server while it serves, and preparing the way back
//! (product: "Upgrade procedure"; requirements S17 to S32 and S46 to S49).
//!
//! ```text
//! survey     what is there; nothing is changed
//! preflight  survey -> checks, one for each rule
//! upgrade    survey -> steps that are missing, each made whole or not at all
//! downgrade  survey -> which older releases may serve it as it is
//! ```

mod archive;
mod check;
mod downgrade;
mod host;
mod perform;
mod preflight;
mod release;
mod root;
mod survey;

pub use check::{Check, Verdict};
pub use downgrade::{Return, downgrade, downgrade_check};
pub use host::{Host, System, Updates};
pub use perform::{Outcome, Step, upgrade};
pub use preflight::{BackupFile, Installation, Preflight, PreflightOptions, preflight};

use std::path::PathBuf;

use openrms_store::StoreError;

use crate::authority::TrustError;
use crate::open::OpenError;
pub use crate::servers::{ListedServer, ListedUpgrade};

/// Why nothing is upgraded, or prepared for its return.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// A rule forbids it. Nothing was changed.
    #[error("{}", refusals(&.0.checks))]
    Refused(Box<Preflight>),
    /// The release before cannot serve the cluster as it is. Nothing was changed.
    #[error("{}", refusals(&.0.checks))]
    NoReturn(Box<Return>),
    /// The cluster cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The configuration file cannot be read.
    #[error("{0}: {1}")]
    Configuration(PathBuf, String),
    /// The hierarchy cannot be added to.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is refused, in one line.
fn refusals(checks: &[Check]) -> String {
    let refused = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refused);
    let lines: Vec<_> = refused
        .map(|check| format!("{}: {}", check.name, check.found))
        .collect();
    lines.join("; ")
}
