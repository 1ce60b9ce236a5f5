//! Accounts as certificates name them, and their key pairs (MS-RMPR 3.3.4.1).

use openrms_crypto::rsa::PrivateKeyBlob;
use openrms_crypto::{Mode, PublicKey, sha256};
use openrms_directory::{Account, AccountRef, Address};
use openrms_protocol::FaultCode;
use openrms_store::StoredKey;
use openrms_xrml::Guid;
use openrms_xrml::rac::{AccountIdentity, AccountType};

use crate::caller::{Caller, FederatedAccount};
use crate::certificates::unanswered;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::observer::Step;
use crate::refusal::Refusal;

/// Whom a RAC is issued to.
pub(crate) struct Subject {
    /// What the RAC says of them.
    pub(crate) identity: AccountIdentity,
    /// What their key pair is stored under ([`account_key`]).
    pub(crate) key_account: String,
}

/// Whoever calls, as an account of the directory that may still sign in.
pub(crate) fn signed_in(caller: &Caller) -> Result<&Account, Refusal> {
    let unauthorized = |reason| Refusal::new(FaultCode::UnauthorizedAccess, reason);
    match caller {
        Caller::Nobody => Err(unauthorized("the caller is not authenticated")),
        Caller::Federated(_) => Err(unauthorized("this is not for federated people")),
        Caller::Account(account) => {
            check_enabled(account)?;
            Ok(account)
        }
    }
}

/// Whoever calls, as the one to be certified.
pub(crate) fn subject(cluster: &Cluster, caller: &Caller) -> Result<Subject, Refusal> {
    let Caller::Federated(account) = caller else {
        let identity = identity_of(signed_in(caller)?, FaultCode::ADEntrySearchFailed)?;
        let key_account = identity.id.clone();
        return Ok(Subject {
            identity,
            key_account,
        });
    };
    if !cluster.policies.federation_enabled {
        let reason = "federation is switched off";
        return Err(Refusal::new(FaultCode::UnauthorizedAccess, reason));
    }
    Ok(Subject {
        identity: federated_identity(cluster, account),
        key_account: account.mail().key().to_owned(),
    })
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

/// The identity that a RAC of a federated account carries.
fn federated_identity(cluster: &Cluster, account: &FederatedAccount) -> AccountIdentity {
    AccountIdentity {
        account_type: AccountType::Federation,
        id: federated_id(cluster, account.mail()).to_string(),
        email: account.mail().to_string(),
        aliases: account.aliases().iter().map(Address::to_string).collect(),
    }
}

/// One GUID for each address, with nothing to be stored: every server of the cluster finds the same
/// one, also after a restart, a new server key or a change of mode, as the URL of a cluster never
/// changes.
fn federated_id(cluster: &Cluster, mail: &Address) -> Guid {
    let url = cluster.base_url();
    let name = format!("openrms federated account 1\n{url}\n{}", mail.key());
    Guid::of_digest(&sha256(name.as_bytes()))
}

/// The account's key pair: the stored one, else a new one that is stored before it is used.
pub(crate) async fn account_key(
    context: &Context<'_>,
    account: &str,
) -> Result<(PublicKey, PrivateKeyBlob), Refusal> {
    if let Some(pair) = stored_key(context, account).await? {
        return Ok(pair);
    }
    let _adding = Step::AddNewUser.begin(context.observer);
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
    let _getting = Step::GetUser.begin(context.observer);
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
