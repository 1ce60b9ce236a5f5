//! Backups of a cluster: everything that its servers share and what this one adds to it, in one
//! sealed file; and the way back ("Backup, recovery" of the product).
//!
//! ```text
//! make     databases + files -> records -> archive, read back before it is called done
//! restore  archive -> records -> a new data directory, an empty database, a log
//! drill    archive -> records -> scratch storage: do the keys open what they should?
//! ```

pub mod archive;
pub mod records;

mod contents;
mod drill;
mod log;
mod make;
mod manifest;
mod record;
mod restore;
mod staging;

pub use crate::logging::LogDatabaseError;
pub use drill::{Check, Drill, drill};
pub(crate) use drill::{Held, examine, examine_archive};
pub use log::{LogRestoreError, RestoredLog, SavedLog};
pub use make::{Backup, BackupError, BackupOptions, backup};
pub use manifest::{Keeping, Manifest};
pub(crate) use record::Verified;
pub use restore::{RestoreError, RestoreOptions, Restored, restore, restore_log};
