//! What PostgreSQL says, as errors with names (its appendix "Error Codes").

use sqlx::Error;
use sqlx::migrate::MigrateError;

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
        Error::Database(inner) => {
            let code = inner.code();
            named(code.as_deref().unwrap_or_default(), inner.message())
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

pub(super) fn unreachable_database(reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreachable {
        what: "PostgreSQL".to_owned(),
        reason: reason.to_string(),
    }
}

fn named(code: &str, message: &str) -> StoreError {
    let text = || message.to_owned();
    match code {
        "40001" | "40P01" => StoreError::Contention,
        // Too many connections; a lock or a statement took too long.
        "53300" | "55P03" | "57014" => StoreError::Busy,
        "53100" => StoreError::Full,
        "25006" => StoreError::ReadOnly,
        "42501" => StoreError::Denied { reason: text() },
        "3D000" => StoreError::Missing { what: text() },
        "22021" => StoreError::Invalid {
            field: "text",
            reason: "it contains a character that the database has not",
        },
        // A table that is gone; damage of a table or of an index.
        "42P01" | "XX001" | "XX002" => StoreError::Corrupt { what: text() },
        // Shut down or starting; what became of a transaction is not known.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "40003" => unreachable_database(&message),
        _ if code.starts_with("08") => unreachable_database(&message),
        _ if code.starts_with("28") => StoreError::SignIn { reason: text() },
        _ => StoreError::Failed { reason: text() },
    }
}
