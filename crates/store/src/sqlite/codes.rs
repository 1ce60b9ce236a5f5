//! What SQLite says, as errors with names (its "Result and Error Codes").

use sqlx::error::DatabaseError;

use super::fault::unreachable_database;
use crate::StoreError;

/// The name of what the database said.
pub(super) fn named(error: &dyn DatabaseError) -> StoreError {
    let text = || error.message().to_owned();
    match primary(error) {
        5 | 6 => StoreError::Busy,
        8 => StoreError::ReadOnly,
        10 | 14 => unreachable_database(&error),
        11 | 26 => StoreError::Corrupt { what: text() },
        13 => StoreError::Full,
        _ => StoreError::Failed { reason: text() },
    }
}

/// Extended codes carry the primary one in their lowest byte.
pub(super) fn primary(error: &dyn DatabaseError) -> i32 {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.unwrap_or(0) & 0xFF
}

pub(super) const DATABASE: &str = "SQLite";
