//! Backups of a cluster: everything that its servers share and what this one adds to it, in one
//! sealed file; and the way back ("Backup, recovery" of the product).
//!
//! ```text
//! make     database + files -> records -> archive, read back before it is called done
//! restore  archive -> records -> a new data directory and an empty database
//! drill    archive -> records -> scratch storage: do the keys open what they should?
//! ```

pub mod archive;
pub mod records;

mod contents;
mod drill;
mod make;
mod record;
mod restore;

pub use drill::{Check, Drill, drill};
pub use make::{Backup, BackupError, BackupOptions, backup};
pub(crate) use record::Verified;
pub use restore::{RestoreError, RestoreOptions, Restored, restore};
