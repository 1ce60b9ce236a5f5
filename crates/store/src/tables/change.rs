//! Changing the configuration in its tables.

use std::fmt::Write;

use serde_json::Value;
use sqlx::query::Query;

use super::configuration::{ARCHIVED, PUBLISHED};
use super::fault::{database, insertion};
use super::records::delete_user_keys;
use super::{Arguments, Connection, Db};
use crate::{
    ApplicationExclusion, AuthorityRole, Change, ConfigurationVersion, Entity, LicensorKey,
    Policies, RacExclusion, RevocationAuthority, StoreError, Template, TemplateState,
    TrustedPublishingDomain, TrustedSpcCaKey, TrustedUserDomain,
};

pub(super) async fn set_version(
    connection: &mut Connection,
    version: ConfigurationVersion,
) -> Result<(), StoreError> {
    run(
        connection,
        sqlx::query("UPDATE configuration SET version = $1 WHERE id = 1")
            .bind(i64::from(version.number())),
    )
    .await?;
    Ok(())
}

/// Makes one change, to be called in one transaction with [`set_version`].
pub(super) async fn apply(connection: &mut Connection, change: &Change) -> Result<(), StoreError> {
    if !change.suits_decommissioned() && is_decommissioned(connection).await? {
        return Err(StoreError::Decommissioned);
    }
    match change {
        Change::SetPolicies(policies) => set_policies(connection, policies).await,
        Change::PutSetting { name, value } => put_setting(connection, name, value).await,
        Change::AddLicensorKey(key) => add_licensor_key(connection, key).await,
        Change::SetLicensorChain { id, slc_chain } => {
            let statement = sqlx::query("UPDATE licensor_key SET slc_chain = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(slc_chain.as_str());
            existing(connection, statement, Entity::LicensorKey, id).await
        }
        Change::ResealLicensorKey {
            id,
            sealed_private_key,
        } => {
            let statement =
                sqlx::query("UPDATE licensor_key SET sealed_private_key = $2 WHERE id = $1")
                    .bind(id.as_str())
                    .bind(sealed_private_key.as_slice());
            existing(connection, statement, Entity::LicensorKey, id).await
        }
        Change::RetireLicensorKey(id) => {
            let statement =
                sqlx::query("UPDATE licensor_key SET retired = 1 WHERE id = $1").bind(id.as_str());
            existing(connection, statement, Entity::LicensorKey, id).await
        }
        Change::AddAuthorityRole(role) => add_authority_role(connection, role).await,
        Change::PutTemplate(template) => put_template(connection, template).await,
        Change::PutTrustedUserDomain(domain) => put_user_domain(connection, domain).await,
        Change::PutTrustedPublishingDomain(domain) => {
            put_publishing_domain(connection, domain).await
        }
        Change::PutTrustedSpcCaKey(key) => put_spc_ca_key(connection, key).await,
        Change::PutApplicationExclusion(entry) => put_application(connection, entry).await,
        Change::PutRacExclusion(entry) => put_rac_exclusion(connection, entry).await,
        Change::PutRevocationAuthority(entry) => put_authority(connection, entry).await,
        Change::DeleteUserKeys(account) => delete_user_keys(connection, account).await.map(|_| ()),
        removal => remove(connection, removal).await,
    }
}

/// Whether the cluster has ended.
async fn is_decommissioned(connection: &mut Connection) -> Result<bool, StoreError> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT value FROM policy WHERE name = 'decommissioned'")
            .fetch_optional(connection)
            .await
            .map_err(|error| database(&error))?;
    Ok(found.as_deref() == Some("true"))
}

/// Makes a change that takes one row away.
async fn remove(connection: &mut Connection, change: &Change) -> Result<(), StoreError> {
    let (statement, key, entity) = match change {
        Change::RemoveSetting(name) => (
            "DELETE FROM setting WHERE name = $1",
            Key::Text(name.clone()),
            Entity::Setting,
        ),
        Change::RemoveTemplate(guid) => (
            "DELETE FROM template WHERE guid = $1",
            Key::Text(guid.to_string()),
            Entity::Template,
        ),
        Change::RemoveTrustedUserDomain(id) => (
            "DELETE FROM trusted_user_domain WHERE id = $1",
            Key::Text(id.clone()),
            Entity::TrustedUserDomain,
        ),
        Change::RemoveTrustedPublishingDomain(id) => (
            "DELETE FROM trusted_publishing_domain WHERE id = $1",
            Key::Text(id.clone()),
            Entity::TrustedPublishingDomain,
        ),
        Change::RemoveTrustedSpcCaKey(modulus) => (
            "DELETE FROM trusted_spc_ca_key WHERE modulus = $1",
            Key::Bytes(modulus),
            Entity::TrustedSpcCaKey,
        ),
        Change::RemoveApplicationExclusion(id) => (
            "DELETE FROM application_exclusion WHERE id = $1",
            Key::Text(id.clone()),
            Entity::ApplicationExclusion,
        ),
        Change::RemoveRacExclusion(modulus) => (
            "DELETE FROM rac_exclusion WHERE modulus = $1",
            Key::Bytes(modulus),
            Entity::RacExclusion,
        ),
        Change::RemoveRevocationAuthority(key) => (
            "DELETE FROM revocation_authority WHERE public_key = $1",
            Key::Bytes(key),
            Entity::RevocationAuthority,
        ),
        _ => {
            return Err(StoreError::Invalid {
                field: "change",
                reason: "this back end does not know it",
            });
        }
    };
    let query = sqlx::query(statement);
    match key {
        Key::Text(id) => existing(connection, query.bind(id.as_str()), entity, &id).await,
        Key::Bytes(bytes) => existing(connection, query.bind(bytes), entity, &hex(bytes)).await,
    }
}

enum Key<'a> {
    Text(String),
    Bytes(&'a [u8]),
}

async fn put_setting(
    connection: &mut Connection,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    identified(name)?;
    let statement = sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value);
    put(connection, statement).await
}

async fn set_policies(connection: &mut Connection, policies: &Policies) -> Result<(), StoreError> {
    let Ok(Value::Object(fields)) = serde_json::to_value(policies) else {
        return Err(StoreError::Invalid {
            field: "policies",
            reason: "not expressible as JSON",
        });
    };
    for (name, value) in fields {
        let statement = sqlx::query(
            "INSERT INTO policy (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value.to_string());
        put(connection, statement).await?;
    }
    Ok(())
}

async fn add_licensor_key(
    connection: &mut Connection,
    key: &LicensorKey,
) -> Result<(), StoreError> {
    identified(&key.id)?;
    sqlx::query(
        "INSERT INTO licensor_key
           (id, ordinal, guid, mode, sealed_private_key, slc_chain, created, retired)
         SELECT $1, COALESCE(MAX(ordinal), 0) + 1, $2, $3, $4, $5, $6, $7 FROM licensor_key",
    )
    .bind(key.id.as_str())
    .bind(key.guid.to_string())
    .bind(i64::from(key.mode.number()))
    .bind(key.sealed_private_key.as_slice())
    .bind(key.slc_chain.as_str())
    .bind(key.created)
    .bind(i64::from(key.retired))
    .execute(connection)
    .await
    .map_err(|error| insertion(&error, Entity::LicensorKey, &key.id))?;
    Ok(())
}

async fn add_authority_role(
    connection: &mut Connection,
    role: &AuthorityRole,
) -> Result<(), StoreError> {
    identified(&role.role)?;
    sqlx::query(
        "INSERT INTO authority_role (role, sealed_private_key, certificate, created)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(role.role.as_str())
    .bind(role.sealed_private_key.as_slice())
    .bind(role.certificate.as_str())
    .bind(role.created)
    .execute(connection)
    .await
    .map_err(|error| insertion(&error, Entity::AuthorityRole, &role.role))?;
    Ok(())
}

async fn put_template(connection: &mut Connection, template: &Template) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO template (guid, xrml, state, updated) VALUES ($1, $2, $3, $4)
         ON CONFLICT (guid) DO UPDATE SET
           xrml = excluded.xrml, state = excluded.state, updated = excluded.updated",
    )
    .bind(template.guid.to_string())
    .bind(template.xrml.as_str())
    .bind(match template.state {
        TemplateState::Published => PUBLISHED,
        TemplateState::Archived => ARCHIVED,
    })
    .bind(template.updated);
    put(connection, statement).await
}

async fn put_user_domain(
    connection: &mut Connection,
    domain: &TrustedUserDomain,
) -> Result<(), StoreError> {
    identified(&domain.id)?;
    let email_domains =
        serde_json::to_string(&domain.email_domains).map_err(|_| StoreError::Invalid {
            field: "email_domains",
            reason: "not expressible as JSON",
        })?;
    let statement = sqlx::query(
        "INSERT INTO trusted_user_domain
           (id, slc_chain, friendly_name, allow_sid, allow_federated, email_domains)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET
           slc_chain = excluded.slc_chain, friendly_name = excluded.friendly_name,
           allow_sid = excluded.allow_sid, allow_federated = excluded.allow_federated,
           email_domains = excluded.email_domains",
    )
    .bind(domain.id.as_str())
    .bind(domain.slc_chain.as_str())
    .bind(domain.friendly_name.as_str())
    .bind(i64::from(domain.allow_sid))
    .bind(i64::from(domain.allow_federated))
    .bind(email_domains);
    put(connection, statement).await
}

async fn put_publishing_domain(
    connection: &mut Connection,
    domain: &TrustedPublishingDomain,
) -> Result<(), StoreError> {
    identified(&domain.id)?;
    let statement = sqlx::query(
        "INSERT INTO trusted_publishing_domain (id, friendly_name, slc_chain, sealed_private_key)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET
           friendly_name = excluded.friendly_name, slc_chain = excluded.slc_chain,
           sealed_private_key = excluded.sealed_private_key",
    )
    .bind(domain.id.as_str())
    .bind(domain.friendly_name.as_str())
    .bind(domain.slc_chain.as_str())
    .bind(domain.sealed_private_key.as_slice());
    put(connection, statement).await?;
    let statement = sqlx::query("DELETE FROM trusted_publishing_template WHERE domain_id = $1")
        .bind(domain.id.as_str());
    put(connection, statement).await?;
    for (ordinal, xrml) in (0_i64..).zip(&domain.templates) {
        let statement = sqlx::query(
            "INSERT INTO trusted_publishing_template (domain_id, ordinal, xrml)
             VALUES ($1, $2, $3)",
        )
        .bind(domain.id.as_str())
        .bind(ordinal)
        .bind(xrml.as_str());
        put(connection, statement).await?;
    }
    Ok(())
}

async fn put_spc_ca_key(
    connection: &mut Connection,
    key: &TrustedSpcCaKey,
) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO trusted_spc_ca_key (modulus, exponent, name) VALUES ($1, $2, $3)
         ON CONFLICT (modulus) DO UPDATE SET exponent = excluded.exponent, name = excluded.name",
    )
    .bind(key.modulus.as_slice())
    .bind(i64::from(key.exponent))
    .bind(key.name.as_str());
    put(connection, statement).await
}

async fn put_application(
    connection: &mut Connection,
    entry: &ApplicationExclusion,
) -> Result<(), StoreError> {
    identified(&entry.id)?;
    let statement = sqlx::query(
        "INSERT INTO application_exclusion
           (id, filename, minimum_version, maximum_version, description)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET
           filename = excluded.filename, minimum_version = excluded.minimum_version,
           maximum_version = excluded.maximum_version, description = excluded.description",
    )
    .bind(entry.id.as_str())
    .bind(entry.filename.as_str())
    .bind(entry.minimum_version.to_string())
    .bind(entry.maximum_version.to_string())
    .bind(entry.description.as_str());
    put(connection, statement).await
}

async fn put_rac_exclusion(
    connection: &mut Connection,
    entry: &RacExclusion,
) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO rac_exclusion (modulus, account, expires, created) VALUES ($1, $2, $3, $4)
         ON CONFLICT (modulus) DO UPDATE SET
           account = excluded.account, expires = excluded.expires, created = excluded.created",
    )
    .bind(entry.modulus.as_slice())
    .bind(entry.account.as_deref())
    .bind(entry.expires)
    .bind(entry.created);
    put(connection, statement).await
}

async fn put_authority(
    connection: &mut Connection,
    authority: &RevocationAuthority,
) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO revocation_authority (public_key, name) VALUES ($1, $2)
         ON CONFLICT (public_key) DO UPDATE SET name = excluded.name",
    )
    .bind(authority.public_key.as_slice())
    .bind(authority.name.as_str());
    put(connection, statement).await
}

type Statement<'q> = Query<'q, Db, Arguments>;

async fn run(connection: &mut Connection, statement: Statement<'_>) -> Result<u64, StoreError> {
    let done = statement
        .execute(connection)
        .await
        .map_err(|error| database(&error))?;
    Ok(done.rows_affected())
}

async fn put(connection: &mut Connection, statement: Statement<'_>) -> Result<(), StoreError> {
    run(connection, statement).await.map(|_| ())
}

/// Runs a statement that must find its row.
async fn existing(
    connection: &mut Connection,
    statement: Statement<'_>,
    entity: Entity,
    id: &str,
) -> Result<(), StoreError> {
    match run(connection, statement).await? {
        0 => Err(StoreError::NotFound {
            entity,
            id: id.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn identified(id: &str) -> Result<(), StoreError> {
    if id.is_empty() {
        return Err(StoreError::Invalid {
            field: "id",
            reason: "it is empty",
        });
    }
    Ok(())
}

/// The first bytes of a key, to name it in an error.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
