//! Accounts of the directory as certificates name them, and their key pairs (MS-RMPR 3.3.4.1).

use openrms_crypto::rsa::PrivateKeyBlob;
use openrms_crypto::{Mode, PublicKey};
use openrms_directory::{Account, AccountRef};
use openrms_protocol::FaultCode;
use openrms_store::StoredKey;
use openrms_xrml::rac::{AccountIdentity, AccountType};

use crate::certificates::unanswered;
use crate::context::{Caller, Context};
use crate::refusal::Refusal;

/// Whoever calls, when they were authenticated and may still sign in.
pub(crate) fn signed_in(caller: &Caller) -> Result<&Account, Refusal> {
    let account = caller.account.as_ref().ok_or_else(|| {
        Refusal::new(
            FaultCode::UnauthorizedAccess,
            "the caller is not authenticated",
        )
    })?;
    check_enabled(account)?;
    Ok(account)
}

/// An account that is spoken for by somebody else: one that may sign in, whose key pair is kept
/// here and not by the cluster of another forest. `unknown` is the fault for any other.
pub(crate) async fn absent(
    context: &Context<'_>,
    who: &AccountRef,
    unknown: FaultCode,
) -> Result<Account, Refusal> {
    let directory = context.directory;
    let account = directory.account(who).await.map_err(unanswered)?;
    let account = account.ok_or_else(|| Refusal::new(unknown, "no such account"))?;
    if account.forest != *directory.home_forest() {
        let reason = format!("{} is certified in its own forest", account.name);
        return Err(Refusal::new(unknown, reason));
    }
    check_enabled(&account)?;
    Ok(account)
}

/// The identity that a RAC of a directory account carries. `without` is the fault for an account
/// without a mail address.
pub(crate) fn identity_of(
    account: &Account,
    without: FaultCode,
) -> Result<AccountIdentity, Refusal> {
    let mail = account
        .mail
        .as_ref()
        .ok_or_else(|| Refusal::new(without, format!("{} has no mail address", account.name)))?;
    Ok(AccountIdentity {
        account_type: AccountType::Windows,
        id: account.sid.to_string(),
        email: mail.to_string(),
        aliases: Vec::new(),
    })
}

/// The account's key pair: the stored one, else a new one that is stored before it is used.
pub(crate) async fn account_key(
    context: &Context<'_>,
    account: &str,
) -> Result<(PublicKey, PrivateKeyBlob), Refusal> {
    if let Some(pair) = stored_key(context, account).await? {
        return Ok(pair);
    }
    let mode = context.cluster.mode;
    let name = key_name(account, mode);
    let key = context.key_source.take(mode)?;
    let fresh = context.cluster.user_keys().seal(&name, &key, context.now)?;
    let stored = context.store.insert_user_key(&name, fresh).await?;
    open(context, &name, &stored)
}

/// The account's key pair, if it has one.
pub(crate) async fn stored_key(
    context: &Context<'_>,
    account: &str,
) -> Result<Option<(PublicKey, PrivateKeyBlob)>, Refusal> {
    let name = key_name(account, context.cluster.mode);
    let stored = context.store.user_key(&name).await?;
    stored
        .map(|stored| open(context, &name, &stored))
        .transpose()
}

fn open(
    context: &Context<'_>,
    name: &str,
    stored: &StoredKey,
) -> Result<(PublicKey, PrivateKeyBlob), Refusal> {
    let opened = context.cluster.user_keys().open(name, stored);
    opened.map_err(|error| Refusal::new(FaultCode::UnspecifiedError, format!("{name}: {error}")))
}

fn check_enabled(account: &Account) -> Result<(), Refusal> {
    if account.enabled {
        return Ok(());
    }
    let reason = format!("{} is disabled", account.name);
    Err(Refusal::new(FaultCode::UnauthorizedAccess, reason))
}

/// Name under which an account's key pair is stored. A cluster that changes its mode gives
/// accounts a second pair and keeps the first.
fn key_name(account: &str, mode: Mode) -> String {
    match mode {
        Mode::Two => account.to_owned(),
        Mode::One => format!("{account}#mode1"),
    }
}
