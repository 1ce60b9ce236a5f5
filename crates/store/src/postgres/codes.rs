//! What PostgreSQL says, as errors with names (its appendix "Error Codes").

use sqlx::error::DatabaseError;

use super::fault::unreachable_database;
use crate::StoreError;

/// The name of what the database said.
pub(super) fn named(error: &dyn DatabaseError) -> StoreError {
    let message = error.message();
    let text = || message.to_owned();
    match error.code().as_deref().unwrap_or_default() {
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
        code if code.starts_with("08") => unreachable_database(&message),
        code if code.starts_with("28") => StoreError::SignIn { reason: text() },
        _ => StoreError::Failed { reason: text() },
    }
}

pub(super) const DATABASE: &str = "PostgreSQL";
