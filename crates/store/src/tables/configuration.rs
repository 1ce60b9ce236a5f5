//! Reading the configuration from its tables.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::fault::database;
use super::records::{corrupt, field};
use super::{Connection, LOCKED_VERSION, Row};
use crate::{
    ApplicationExclusion, ConfigurationSnapshot, ConfigurationVersion, CryptographicMode,
    LicensorKey, Policies, ProductVersion, RacExclusion, RevocationAuthority, SealedBytes,
    StoreError, Template, TemplateState, TrustedPublishingDomain, TrustedSpcCaKey,
    TrustedUserDomain,
};

pub(super) async fn version(
    connection: &mut Connection,
) -> Result<ConfigurationVersion, StoreError> {
    version_by(connection, "SELECT version FROM configuration WHERE id = 1").await
}

/// The version, which nobody else changes until the transaction ends.
pub(super) async fn locked_version(
    connection: &mut Connection,
) -> Result<ConfigurationVersion, StoreError> {
    version_by(connection, LOCKED_VERSION).await
}

async fn version_by(
    connection: &mut Connection,
    select: &'static str,
) -> Result<ConfigurationVersion, StoreError> {
    let row = sqlx::query(select)
        .fetch_optional(connection)
        .await
        .map_err(|error| database(&error))?
        .ok_or_else(|| corrupt("configuration: no row".to_owned()))?;
    let number: i64 = field(&row, "version")?;
    u32::try_from(number)
        .ok()
        .and_then(ConfigurationVersion::new)
        .ok_or_else(|| corrupt("configuration, version".to_owned()))
}

/// Everything, to be called in one transaction.
pub(super) async fn read(connection: &mut Connection) -> Result<ConfigurationSnapshot, StoreError> {
    Ok(ConfigurationSnapshot {
        version: version(connection).await?,
        policies: policies(connection).await?,
        settings: settings(connection).await?,
        licensor_keys: read_all(
            connection,
            "SELECT id, guid, mode, sealed_private_key, slc_chain, created, retired
             FROM licensor_key ORDER BY ordinal",
            licensor_key,
        )
        .await?,
        templates: read_all(
            connection,
            "SELECT guid, xrml, state, updated FROM template ORDER BY guid",
            template,
        )
        .await?,
        trusted_user_domains: read_all(
            connection,
            "SELECT id, slc_chain, friendly_name, allow_sid, allow_federated, email_domains
             FROM trusted_user_domain ORDER BY id",
            trusted_user_domain,
        )
        .await?,
        trusted_publishing_domains: trusted_publishing_domains(connection).await?,
        trusted_spc_ca_keys: read_all(
            connection,
            "SELECT modulus, exponent, name FROM trusted_spc_ca_key ORDER BY modulus",
            trusted_spc_ca_key,
        )
        .await?,
        application_exclusions: read_all(
            connection,
            "SELECT id, filename, minimum_version, maximum_version, description
             FROM application_exclusion ORDER BY id",
            application_exclusion,
        )
        .await?,
        rac_exclusions: read_all(
            connection,
            "SELECT modulus, account, expires, created FROM rac_exclusion ORDER BY modulus",
            rac_exclusion,
        )
        .await?,
        revocation_authorities: read_all(
            connection,
            "SELECT public_key, name FROM revocation_authority ORDER BY public_key",
            revocation_authority,
        )
        .await?,
    })
}

async fn policies(connection: &mut Connection) -> Result<Policies, StoreError> {
    let mut fields = Map::new();
    for row in fetch(connection, "SELECT name, value FROM policy").await? {
        let (name, json): (String, String) = (field(&row, "name")?, field(&row, "value")?);
        let value: Value =
            serde_json::from_str(&json).map_err(|_| corrupt(format!("policy {name}")))?;
        // Alone first, so that a wrong value is named. A name of a newer release is passed over.
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if serde_json::from_value::<Policies>(alone).is_err() {
            return Err(corrupt(format!("policy {name}")));
        }
        fields.insert(name, value);
    }
    serde_json::from_value(Value::Object(fields)).map_err(|_| corrupt("policy".to_owned()))
}

async fn settings(connection: &mut Connection) -> Result<BTreeMap<String, String>, StoreError> {
    fetch(connection, "SELECT name, value FROM setting")
        .await?
        .iter()
        .map(|row| Ok((field(row, "name")?, field(row, "value")?)))
        .collect()
}

fn licensor_key(row: &Row) -> Result<LicensorKey, StoreError> {
    let id: String = field(row, "id")?;
    let mode: i64 = field(row, "mode")?;
    Ok(LicensorKey {
        guid: guid(row)?,
        mode: u8::try_from(mode)
            .ok()
            .and_then(|mode| CryptographicMode::try_from(mode).ok())
            .ok_or_else(|| corrupt(format!("licensor_key {id}, mode")))?,
        sealed_private_key: SealedBytes::new(field(row, "sealed_private_key")?),
        slc_chain: field(row, "slc_chain")?,
        created: field(row, "created")?,
        retired: flag(row, "retired")?,
        id,
    })
}

fn template(row: &Row) -> Result<Template, StoreError> {
    let guid = guid(row)?;
    let state: String = field(row, "state")?;
    Ok(Template {
        guid,
        xrml: field(row, "xrml")?,
        state: match state.as_str() {
            PUBLISHED => TemplateState::Published,
            ARCHIVED => TemplateState::Archived,
            _ => return Err(corrupt(format!("template {guid}, state"))),
        },
        updated: field(row, "updated")?,
    })
}

fn trusted_user_domain(row: &Row) -> Result<TrustedUserDomain, StoreError> {
    let id: String = field(row, "id")?;
    let email_domains: String = field(row, "email_domains")?;
    Ok(TrustedUserDomain {
        slc_chain: field(row, "slc_chain")?,
        friendly_name: field(row, "friendly_name")?,
        allow_sid: flag(row, "allow_sid")?,
        allow_federated: flag(row, "allow_federated")?,
        email_domains: serde_json::from_str(&email_domains)
            .map_err(|_| corrupt(format!("trusted_user_domain {id}, email_domains")))?,
        id,
    })
}

async fn trusted_publishing_domains(
    connection: &mut Connection,
) -> Result<Vec<TrustedPublishingDomain>, StoreError> {
    let mut templates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rows = fetch(
        connection,
        "SELECT domain_id, xrml FROM trusted_publishing_template ORDER BY domain_id, ordinal",
    )
    .await?;
    for row in rows {
        templates
            .entry(field(&row, "domain_id")?)
            .or_default()
            .push(field(&row, "xrml")?);
    }
    fetch(
        connection,
        "SELECT id, friendly_name, slc_chain, sealed_private_key
         FROM trusted_publishing_domain ORDER BY id",
    )
    .await?
    .iter()
    .map(|row| {
        let id: String = field(row, "id")?;
        Ok(TrustedPublishingDomain {
            friendly_name: field(row, "friendly_name")?,
            slc_chain: field(row, "slc_chain")?,
            sealed_private_key: SealedBytes::new(field(row, "sealed_private_key")?),
            templates: templates.remove(&id).unwrap_or_default(),
            id,
        })
    })
    .collect()
}

fn trusted_spc_ca_key(row: &Row) -> Result<TrustedSpcCaKey, StoreError> {
    let exponent: i64 = field(row, "exponent")?;
    Ok(TrustedSpcCaKey {
        modulus: field(row, "modulus")?,
        exponent: u32::try_from(exponent)
            .map_err(|_| corrupt("trusted_spc_ca_key, exponent".to_owned()))?,
        name: field(row, "name")?,
    })
}

fn application_exclusion(row: &Row) -> Result<ApplicationExclusion, StoreError> {
    let id: String = field(row, "id")?;
    let version = |column: &str| -> Result<ProductVersion, StoreError> {
        let text: String = field(row, column)?;
        text.parse()
            .map_err(|_| corrupt(format!("application_exclusion {id}, {column}")))
    };
    Ok(ApplicationExclusion {
        filename: field(row, "filename")?,
        minimum_version: version("minimum_version")?,
        maximum_version: version("maximum_version")?,
        description: field(row, "description")?,
        id,
    })
}

fn rac_exclusion(row: &Row) -> Result<RacExclusion, StoreError> {
    Ok(RacExclusion {
        modulus: field(row, "modulus")?,
        account: field(row, "account")?,
        expires: field(row, "expires")?,
        created: field(row, "created")?,
    })
}

fn revocation_authority(row: &Row) -> Result<RevocationAuthority, StoreError> {
    Ok(RevocationAuthority {
        public_key: field(row, "public_key")?,
        name: field(row, "name")?,
    })
}

async fn fetch(connection: &mut Connection, select: &'static str) -> Result<Vec<Row>, StoreError> {
    sqlx::query(select)
        .fetch_all(connection)
        .await
        .map_err(|error| database(&error))
}

async fn read_all<T>(
    connection: &mut Connection,
    select: &'static str,
    read: fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    fetch(connection, select).await?.iter().map(read).collect()
}

fn guid(row: &Row) -> Result<Uuid, StoreError> {
    let text: String = field(row, "guid")?;
    Uuid::parse_str(&text).map_err(|_| corrupt(format!("guid {text}")))
}

fn flag(row: &Row, name: &str) -> Result<bool, StoreError> {
    let number: i64 = field(row, name)?;
    Ok(number != 0)
}

pub(super) const PUBLISHED: &str = "published";
pub(super) const ARCHIVED: &str = "archived";
