//! What the driver says, as errors with names. Compiled once for each back end, as what is beside it;
//! what the codes of each database mean is in its module `codes`.

use sqlx::Error;
use sqlx::migrate::MigrateError;

use super::codes::{DATABASE, named};
use crate::{Entity, StoreError};

/// The name of a database error.
pub(super) fn database(error: &Error) -> StoreError {
    match error {
        Error::PoolTimedOut => StoreError::Busy,
        Error::Io(_) | Error::Tls(_) | Error::PoolClosed | Error::WorkerCrashed => {
            unreachable_database(error)
        }
        Error::ColumnDecode { index, .. } => StoreError::Corrupt {
            what: format!("column {index}"),
        },
        Error::Database(inner) => named(&**inner),
        other => StoreError::Failed {
            reason: other.to_string(),
        },
    }
}

/// The name of an error of an insert, where a doubled key means that the entry exists.
pub(super) fn insertion(error: &Error, entity: Entity, id: &str) -> StoreError {
    match error {
        Error::Database(inner) if inner.is_unique_violation() => StoreError::AlreadyExists {
            entity,
            id: id.to_owned(),
        },
        other => database(other),
    }
}

/// The name of an error while bringing the schema up to date.
pub(super) fn migration(error: &MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => database(inner),
        MigrateError::VersionMismatch(version) => StoreError::Corrupt {
            what: format!("schema step {version} is not the one of this release"),
        },
        MigrateError::VersionMissing(version) => StoreError::Corrupt {
            what: format!("schema step {version} is unknown"),
        },
        other => StoreError::Failed {
            reason: other.to_string(),
        },
    }
}

pub(super) fn unreachable_database(reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreachable {
        what: DATABASE.to_owned(),
        reason: reason.to_string(),
    }
}
