//! The tables by which the servers of a cluster know of each other.

use super::Connection;
use super::fault::database;
use super::records::{corrupt, field};
use crate::{ClusterServer, Entity, KeyProtection, StoreError};

pub(super) async fn key_protection(
    connection: &mut Connection,
) -> Result<Option<KeyProtection>, StoreError> {
    sqlx::query("SELECT version, document FROM key_protection WHERE id = 1")
        .fetch_optional(connection)
        .await
        .map_err(|error| database(&error))?
        .map(|row| {
            Ok(KeyProtection {
                version: field(&row, "version")?,
                document: field(&row, "document")?,
            })
        })
        .transpose()
}

/// Compares and replaces in one statement, so that of two who race one is told so.
pub(super) async fn set_key_protection(
    connection: &mut Connection,
    document: &str,
    replaces: Option<i64>,
) -> Result<KeyProtection, StoreError> {
    let (statement, version) = match replaces {
        None => (
            "INSERT INTO key_protection (id, document, version) VALUES (1, $1, $2)
             ON CONFLICT (id) DO NOTHING",
            1,
        ),
        Some(replaced) => (
            "UPDATE key_protection SET document = $1, version = $2
             WHERE id = 1 AND version + 1 = $2",
            replaced
                .checked_add(1)
                .ok_or_else(|| corrupt("key_protection, version".to_owned()))?,
        ),
    };
    let done = sqlx::query(statement)
        .bind(document)
        .bind(version)
        .execute(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    if done.rows_affected() == 1 {
        return Ok(KeyProtection {
            version,
            document: document.to_owned(),
        });
    }
    let found = key_protection(connection).await?.map(|found| found.version);
    Err(match replaces {
        None => StoreError::AlreadyExists {
            entity: Entity::KeyProtection,
            id: found.map_or_else(String::new, |version| format!("version {version}")),
        },
        Some(expected) => StoreError::KeyProtectionConflict { expected, found },
    })
}

pub(super) async fn register_server(
    connection: &mut Connection,
    server: &ClusterServer,
) -> Result<(), StoreError> {
    if server.name.is_empty() {
        return Err(StoreError::Invalid {
            field: "name",
            reason: "it is empty",
        });
    }
    sqlx::query(
        "INSERT INTO cluster_server (name, joined, last_seen, version, address)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE SET last_seen = excluded.last_seen,
           version = excluded.version, address = excluded.address",
    )
    .bind(server.name.as_str())
    .bind(server.joined)
    .bind(server.last_seen)
    .bind(server.version.as_str())
    .bind(server.address.as_str())
    .execute(connection)
    .await
    .map_err(|error| database(&error))?;
    Ok(())
}

pub(super) async fn servers(connection: &mut Connection) -> Result<Vec<ClusterServer>, StoreError> {
    sqlx::query(
        "SELECT name, joined, last_seen, version, address FROM cluster_server ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| database(&error))?
    .iter()
    .map(|row| {
        Ok(ClusterServer {
            name: field(row, "name")?,
            joined: field(row, "joined")?,
            last_seen: field(row, "last_seen")?,
            version: field(row, "version")?,
            address: field(row, "address")?,
        })
    })
    .collect()
}

pub(super) async fn remove_server(
    connection: &mut Connection,
    name: &str,
) -> Result<bool, StoreError> {
    let removed = sqlx::query("DELETE FROM cluster_server WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await
        .map_err(|error| database(&error))?;
    Ok(removed.rows_affected() > 0)
}
