//! Use licenses that were acquired or made, one file for each content key and account. Deleting
//! them is always safe: the server gives new ones to whoever still has rights.

use openrms_crypto::{PublicKey, sha256};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::node::Kind;
use openrms_xrml::rights::Right;
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{EnablingBits, Guid, Time};

use crate::account::{Account, hex};
use crate::error::{Class, Coded};
use crate::storage::{Home, Lock, StorageError};
use crate::trust::{self, TrustError};

/// A use license in the store, for lists.
#[derive(Debug, Clone)]
pub struct StoredLicense {
    /// Name of its file, for purging it alone.
    pub name: String,
    /// Identifier of the content.
    pub content_id: String,
    /// Mail address of the person it is for.
    pub account: String,
    /// Mail address of the author, where it is named.
    pub owner: Option<String>,
    /// When it was issued.
    pub issued: Time,
    /// Rights that may be exercised now.
    pub rights: Vec<Right>,
    /// When the last of its rights ends; `None` for never.
    pub until: Option<Time>,
}

/// Which licenses to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge {
    /// All, also damaged files. The record of the clock is forgotten with them.
    All,
    /// Those that give no right any more, and damaged files.
    Expired,
    /// Those of one content.
    Content(String),
}

/// What is wrong with the store of licenses.
#[derive(Debug, thiserror::Error)]
pub enum LicenseError {
    /// The license carries no identifier of the content.
    #[error("the license does not name its content")]
    NoContentId,
}

impl Coded for LicenseError {
    fn code(&self) -> &'static str {
        "license-without-content"
    }

    fn class(&self) -> Class {
        Class::Malformed
    }
}

/// For which content and which person a use license must be.
pub(crate) struct Wanted<'a> {
    pub(crate) content_id: &'a str,
    /// The content key as the PL seals it.
    pub(crate) sealed_key: &'a EnablingBits,
    pub(crate) holder: &'a PublicKey,
    /// Key that signed the content's PL.
    pub(crate) publisher: Option<&'a PublicKey>,
    pub(crate) anchors: &'a Anchors,
}

/// Reads a use license chain.
///
/// With a CLC its holder can sign a license of their own for any content whose key they hold, and
/// so turn VIEW into OWNER. A license that a CLC signed counts only where the same key signed the
/// PL: there the holder is the author.
pub(crate) fn read(text: &str, wanted: &Wanted<'_>) -> Result<UseLicense, TrustError> {
    // Its times are judged right by right; a server's own certificates by when they signed.
    let chain = trust::read_trusted(UL, text, None, wanted.anchors)?;
    let license = UseLicense::new(trust::leaf(UL, &chain)?).map_err(trust::malformed(UL))?;
    let mismatch = |field| Err(TrustError::Mismatch { what: UL, field });
    if license.key() != wanted.holder {
        return mismatch("account");
    }
    if !license
        .content_id()
        .is_some_and(|id| id.eq_ignore_ascii_case(wanted.content_id))
    {
        return mismatch("content");
    }
    let by_author = chain
        .get(1)
        .is_some_and(|signer| signer.kind() == Kind::ClientLicensorCertificate);
    if by_author && license.node().issuer_key() != wanted.publisher {
        return mismatch("author");
    }
    Ok(license)
}

/// The stored license for a content and an account, when it is one; whether it still gives rights
/// is the caller's question.
pub(crate) fn find(
    home: &Home,
    account: &Account,
    wanted: &Wanted<'_>,
) -> Result<Option<UseLicense>, StorageError> {
    let name = file_of(wanted.content_id, wanted.sealed_key, account.id());
    let Some(text) = home.read_text(&name)? else {
        return Ok(None);
    };
    let license = read(&text, wanted).ok();
    Ok(license.filter(|license| !license.must_not_be_cached()))
}

/// Stores a license chain.
pub(crate) fn store(
    lock: &Lock<'_>,
    content_id: &str,
    sealed_key: &EnablingBits,
    account: &Account,
    text: &str,
) -> Result<(), StorageError> {
    let name = file_of(content_id, sealed_key, account.id());
    lock.write(&name, text.as_bytes())
}

/// All licenses in the store whose own signatures hold.
pub(crate) fn list(home: &Home, at: Time) -> Result<Vec<StoredLicense>, StorageError> {
    let mut found = Vec::new();
    for name in home.list(FOLDER)? {
        found.extend(describe(home, &name, at));
    }
    Ok(found)
}

/// Deletes licenses; answers how many.
pub(crate) fn purge(lock: &Lock<'_>, what: &Purge, at: Time) -> Result<usize, StorageError> {
    let mut gone = 0;
    for name in lock.home().list(FOLDER)? {
        let goes = match what {
            Purge::All => true,
            Purge::Expired => {
                let license = describe(lock.home(), &name, at);
                license.is_none_or(|l| l.rights.is_empty() && l.until.is_some_and(|u| u <= at))
            }
            Purge::Content(id) => {
                let license = describe(lock.home(), &name, at);
                license.is_some_and(|l| l.content_id.eq_ignore_ascii_case(id))
            }
        };
        if goes {
            lock.remove(&format!("{FOLDER}/{name}"))?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// When the last right of a license ends; `None` for never.
pub(crate) fn last_end(license: &UseLicense) -> Option<Time> {
    let ends = license
        .rights()
        .iter()
        .map(|entry| license.window(entry).map(|window| window.until));
    ends.reduce(|a, b| Some(a?.max(b?))).flatten()
}

fn describe(home: &Home, name: &str, at: Time) -> Option<StoredLicense> {
    let Ok(Some(text)) = home.read_text(&format!("{FOLDER}/{name}")) else {
        return None;
    };
    let Ok(nodes) = trust::read(UL, &text) else {
        return None;
    };
    let Some(Ok(license)) = nodes.first().cloned().map(UseLicense::new) else {
        return None;
    };
    let owner = license
        .node()
        .content()
        .work
        .as_ref()
        .and_then(|work| work.owner.as_ref());
    Some(StoredLicense {
        name: name.to_owned(),
        content_id: license.content_id().unwrap_or_default().to_owned(),
        account: license.account().email.clone(),
        owner: owner.and_then(|owner| owner.name.clone()),
        issued: license.node().content().issued,
        rights: license.rights_at(at),
        until: last_end(&license),
    })
}

/// A content's identifier comes from a stranger's file: what is no GUID is hashed. And a stranger
/// can give it to another content, whose license must not take this one's place: so the content
/// key, as the PL seals it, is part of the name.
fn file_of(content_id: &str, sealed_key: &EnablingBits, account: &str) -> String {
    let content = content_id.parse::<Guid>().map_or_else(
        |_| hex(&sha256(content_id.to_ascii_lowercase().as_bytes()), 16),
        |guid| guid.0.hyphenated().to_string(),
    );
    let key = hex(&sha256(&sealed_key.bytes), 8);
    format!("{FOLDER}/{content}-{key}-{account}.xml")
}

const UL: &str = "use license";
const FOLDER: &str = "licenses";
