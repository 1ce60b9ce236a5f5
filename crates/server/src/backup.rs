//! Backups of a cluster.

mod record;

pub(crate) use record::Verified;
