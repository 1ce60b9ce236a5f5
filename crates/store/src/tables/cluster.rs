//! The tables by which the servers of a cluster know of each other.

use super::fault::database;
use super::records::{corrupt, field};
use super::{Connection, Row};
use crate::{ClusterServer, Entity, KeyProtection, StoreError, Upgrade};

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
    let upgrade = server.upgrade.as_ref();
    sqlx::query(
        "INSERT INTO cluster_server (name, joined, last_seen, version, address, service_level,
           upgraded_from, upgraded_to, upgraded_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET last_seen = excluded.last_seen,
           version = excluded.version, address = excluded.address,
           service_level = excluded.service_level",
    )
    .bind(server.name.as_str())
    .bind(server.joined)
    .bind(server.last_seen)
    .bind(server.version.as_str())
    .bind(server.address.as_str())
    .bind(server.service_level.as_deref())
    .bind(upgrade.map(|upgrade| upgrade.from.as_str()))
    .bind(upgrade.map(|upgrade| upgrade.to.as_str()))
    .bind(upgrade.map(|upgrade| upgrade.at))
    .execute(connection)
    .await
    .map_err(|error| database(&error))?;
    Ok(())
}

/// `schema` is that of the database, which may be one that knows less.
pub(super) async fn servers(
    connection: &mut Connection,
    schema: i64,
) -> Result<Vec<ClusterServer>, StoreError> {
    let has_levels = schema >= LEVELS;
    let statement = if has_levels {
        "SELECT name, joined, last_seen, version, address, service_level, upgraded_from, upgraded_to,
           upgraded_at FROM cluster_server ORDER BY name"
    } else {
        "SELECT name, joined, last_seen, version, address FROM cluster_server ORDER BY name"
    };
    let rows = sqlx::query(statement)
        .fetch_all(connection)
        .await
        .map_err(|error| database(&error))?;
    let server = |row: &Row| {
        Ok(ClusterServer {
            name: field(row, "name")?,
            joined: field(row, "joined")?,
            last_seen: field(row, "last_seen")?,
            version: field(row, "version")?,
            address: field(row, "address")?,
            service_level: if has_levels {
                field(row, "service_level")?
            } else {
                None
            },
            upgrade: if has_levels { upgrade(row)? } else { None },
        })
    };
    rows.iter().map(server).collect()
}

fn upgrade(row: &Row) -> Result<Option<Upgrade>, StoreError> {
    let (from, to): (Option<String>, Option<String>) =
        (field(row, "upgraded_from")?, field(row, "upgraded_to")?);
    let at: Option<i64> = field(row, "upgraded_at")?;
    Ok(match (from, to, at) {
        (Some(from), Some(to), Some(at)) => Some(Upgrade { from, to, at }),
        _ => None,
    })
}

pub(super) async fn record_upgrade(
    connection: &mut Connection,
    name: &str,
    service_level: Option<&str>,
    upgrade: Option<&Upgrade>,
) -> Result<bool, StoreError> {
    let recorded = sqlx::query(
        "UPDATE cluster_server SET service_level = $1, upgraded_from = $2, upgraded_to = $3,
           upgraded_at = $4 WHERE name = $5",
    )
    .bind(service_level)
    .bind(upgrade.map(|upgrade| upgrade.from.as_str()))
    .bind(upgrade.map(|upgrade| upgrade.to.as_str()))
    .bind(upgrade.map(|upgrade| upgrade.at))
    .bind(name)
    .execute(connection)
    .await
    .map_err(|error| database(&error))?;
    Ok(recorded.rows_affected() > 0)
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

/// The schema from which on servers have a level and an upgrade.
const LEVELS: i64 = 4;
