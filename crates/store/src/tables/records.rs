//! Rows that are written as requests are answered: key pairs, issued certificates, and the
//! roles of a trust anchor.

use sqlx::query::Query;
use sqlx::{Decode, Row as _, Type};
use uuid::Uuid;

use super::fault::{database, insertion};
use super::{Arguments, Connection, Db, Row};
use crate::{
    AuthorityRole, CertificateBody, CertificateKind, Entity, IssuedCertificate, SealedBytes,
    StoreError, StoredKey,
};

pub(super) async fn user_key(
    connection: &mut Connection,
    account: &str,
) -> Result<Option<StoredKey>, StoreError> {
    let select = "SELECT sealed, public_modulus, sealed_by, created FROM user_key
                  WHERE account = $1";
    key(connection, sqlx::query(select).bind(account)).await
}

pub(super) async fn insert_user_key(
    connection: &mut Connection,
    account: &str,
    key: &StoredKey,
) -> Result<StoredKey, StoreError> {
    some_account(account)?;
    let statement = sqlx::query(
        "INSERT INTO user_key (sealed, public_modulus, sealed_by, created, account)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account) DO NOTHING",
    );
    if is_new(connection, bind(statement, key).bind(account)).await? {
        return Ok(key.clone());
    }
    let stored = user_key(connection, account).await?;
    // Removed between the two statements.
    stored.ok_or(StoreError::Contention)
}

pub(super) async fn delete_user_keys(
    connection: &mut Connection,
    account: &str,
) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM client_key WHERE account = $1")
        .bind(account)
        .execute(&mut *connection)
        .await
        .map_err(|error| database(&error))?;
    let removed = sqlx::query("DELETE FROM user_key WHERE account = $1")
        .bind(account)
        .execute(connection)
        .await
        .map_err(|error| database(&error))?;
    Ok(removed.rows_affected() > 0)
}

pub(super) async fn client_key(
    connection: &mut Connection,
    account: &str,
    rac_key: &[u8],
) -> Result<Option<StoredKey>, StoreError> {
    let select = "SELECT sealed, public_modulus, sealed_by, created FROM client_key
                  WHERE account = $1 AND rac_key = $2";
    key(connection, sqlx::query(select).bind(account).bind(rac_key)).await
}

pub(super) async fn insert_client_key(
    connection: &mut Connection,
    account: &str,
    rac_key: &[u8],
    key: &StoredKey,
) -> Result<StoredKey, StoreError> {
    some_account(account)?;
    let statement = sqlx::query(
        "INSERT INTO client_key (sealed, public_modulus, sealed_by, created, account, rac_key)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, rac_key) DO NOTHING",
    );
    let statement = bind(statement, key).bind(account).bind(rac_key);
    if is_new(connection, statement).await? {
        return Ok(key.clone());
    }
    let stored = client_key(connection, account, rac_key).await?;
    // Removed between the two statements.
    stored.ok_or(StoreError::Contention)
}

pub(super) async fn record_issued(
    connection: &mut Connection,
    certificate: &IssuedCertificate,
) -> Result<(), StoreError> {
    let guid = certificate.guid.to_string();
    let (text, digest) = match &certificate.body {
        CertificateBody::Text(text) => (Some(text.as_str()), None),
        CertificateBody::Digest(digest) => (None, Some(&digest[..])),
    };
    sqlx::query(
        "INSERT INTO issued_certificate
           (guid, kind, account, body_text, digest, issued_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(guid.as_str())
    .bind(certificate.kind.name())
    .bind(certificate.account.as_deref())
    .bind(text)
    .bind(digest)
    .bind(certificate.issued_at)
    .bind(certificate.expires_at)
    .execute(connection)
    .await
    .map_err(|error| insertion(&error, Entity::IssuedCertificate, &guid))?;
    Ok(())
}

pub(super) async fn issued(
    connection: &mut Connection,
    guid: Uuid,
) -> Result<Option<IssuedCertificate>, StoreError> {
    let Some(row) = sqlx::query(
        "SELECT kind, account, body_text, digest, issued_at, expires_at
         FROM issued_certificate WHERE guid = $1",
    )
    .bind(guid.to_string())
    .fetch_optional(connection)
    .await
    .map_err(|error| database(&error))?
    else {
        return Ok(None);
    };
    let kind: String = field(&row, "kind")?;
    let text: Option<String> = field(&row, "body_text")?;
    let digest: Option<Vec<u8>> = field(&row, "digest")?;
    let body = match (text, digest.map(TryInto::try_into)) {
        (Some(text), None) => CertificateBody::Text(text),
        (None, Some(Ok(digest))) => CertificateBody::Digest(digest),
        _ => return Err(corrupt(format!("issued_certificate {guid}, body"))),
    };
    Ok(Some(IssuedCertificate {
        guid,
        kind: CertificateKind::from_name(&kind)
            .ok_or_else(|| corrupt(format!("issued_certificate {guid}, kind")))?,
        account: field(&row, "account")?,
        body,
        issued_at: field(&row, "issued_at")?,
        expires_at: field(&row, "expires_at")?,
    }))
}

pub(super) async fn certified_users(connection: &mut Connection) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT account) AS users FROM issued_certificate WHERE kind = $1",
    )
    .bind(CertificateKind::Rac.name())
    .fetch_one(connection)
    .await
    .map_err(|error| database(&error))?;
    let users: i64 = field(&row, "users")?;
    u64::try_from(users).map_err(|_| corrupt("issued_certificate, count".to_owned()))
}

pub(super) async fn authority_roles(
    connection: &mut Connection,
) -> Result<Vec<AuthorityRole>, StoreError> {
    sqlx::query(
        "SELECT role, sealed_private_key, certificate, created FROM authority_role ORDER BY role",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| database(&error))?
    .iter()
    .map(role_of)
    .collect()
}

/// One column of a row; a value of another type is damage.
pub(super) fn field<'row, T>(row: &'row Row, name: &str) -> Result<T, StoreError>
where
    T: Decode<'row, Db> + Type<Db>,
{
    row.try_get(name).map_err(|error| database(&error))
}

/// Says which stored value cannot be what was written.
pub(super) fn corrupt(what: String) -> StoreError {
    StoreError::Corrupt { what }
}

type Statement<'q> = Query<'q, Db, Arguments>;

/// What a statement finds, which selects the columns of a key pair.
async fn key(
    connection: &mut Connection,
    select: Statement<'_>,
) -> Result<Option<StoredKey>, StoreError> {
    select
        .fetch_optional(connection)
        .await
        .map_err(|error| database(&error))?
        .map(|row| stored_key(&row))
        .transpose()
}

/// Fills in the first four parameters.
fn bind<'q>(insert: Statement<'q>, key: &'q StoredKey) -> Statement<'q> {
    insert
        .bind(key.sealed.as_slice())
        .bind(key.public_modulus.as_slice())
        .bind(key.sealed_by.as_str())
        .bind(key.created)
}

/// Whether a row was inserted, as none was there.
async fn is_new(connection: &mut Connection, insert: Statement<'_>) -> Result<bool, StoreError> {
    let inserted = insert
        .execute(connection)
        .await
        .map_err(|error| database(&error))?;
    Ok(inserted.rows_affected() == 1)
}

fn stored_key(row: &Row) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        sealed: SealedBytes::new(field(row, "sealed")?),
        public_modulus: field(row, "public_modulus")?,
        sealed_by: field(row, "sealed_by")?,
        created: field(row, "created")?,
    })
}

fn role_of(row: &Row) -> Result<AuthorityRole, StoreError> {
    Ok(AuthorityRole {
        role: field(row, "role")?,
        sealed_private_key: SealedBytes::new(field(row, "sealed_private_key")?),
        certificate: field(row, "certificate")?,
        created: field(row, "created")?,
    })
}

fn some_account(account: &str) -> Result<(), StoreError> {
    if account.is_empty() {
        return Err(StoreError::Invalid {
            field: "account",
            reason: "it is empty",
        });
    }
    Ok(())
}
