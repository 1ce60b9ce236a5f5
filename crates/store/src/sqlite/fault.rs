//! What SQLite says, as errors with names.

use sqlx::Error;
use sqlx::migrate::MigrateError;

use crate::{Entity, StoreError};

/// The name of a database error.
pub(super) fn database(error: &Error) -> StoreError {
    match error {
        Error::PoolTimedOut => StoreError::Busy,
        Error::Io(io) => unreachable_database(io),
        Error::PoolClosed | Error::WorkerCrashed => unreachable_database(error),
        Error::ColumnDecode { index, .. } => StoreError::Corrupt {
            what: format!("column {index}"),
        },
        Error::Database(inner) => {
            // Extended codes carry the primary one in their lowest byte.
            let code = inner
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .unwrap_or(0);
            match code & 0xFF {
                5 | 6 => StoreError::Busy,
                8 => StoreError::ReadOnly,
                10 | 14 => unreachable_database(inner),
                11 | 26 => StoreError::Corrupt {
                    what: inner.message().to_owned(),
                },
                13 => StoreError::Full,
                _ => StoreError::Failed {
                    reason: inner.message().to_owned(),
                },
            }
        }
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

fn unreachable_database(reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreachable {
        what: "SQLite".to_owned(),
        reason: reason.to_string(),
    }
}
