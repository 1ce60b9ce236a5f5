//! A person's RAC and CLC as stored and as opened (MS-RMPR 2.2.9.5, 2.2.9.6): each is believed
//! only when its chain leads to an anchor and its private key opens with ours.

use openrms_crypto::{PrivateKey as _, SoftwareKey, sha256};
use openrms_protocol::Service;
use openrms_xrml::anchors::Anchors;
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::rac::{AccountCertificate, AccountIdentity, AccountType};
use openrms_xrml::{Interval, SharedNode, Time};

use crate::error::{Class, Coded};
use crate::lockbox::Lockbox;
use crate::storage::{Home, Lock, StorageError};
use crate::trust::{self, TrustError};

/// A RAC that opens on this machine.
#[derive(Debug)]
pub struct Account {
    id: String,
    certificate: AccountCertificate,
    chain: Vec<SharedNode>,
    key: SoftwareKey,
}

/// A CLC that opens with an account's key.
#[derive(Debug)]
pub struct Licensor {
    certificate: ClientLicensorCertificate,
    chain: Vec<SharedNode>,
    key: SoftwareKey,
}

/// Why an account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Nobody signed in under that name.
    #[error("there is no account {0:?} on this machine")]
    NoSuchAccount(String),
    /// The server issued a certificate that is not valid now.
    #[error("the {what} that the server issued is not valid now ({now})")]
    NotValidNow {
        /// Which certificate.
        what: &'static str,
        /// What our clock says.
        now: Time,
    },
}

impl Coded for AccountError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchAccount(_) => "account-not-found",
            Self::NotValidNow { .. } => "certificate-not-valid-now",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoSuchAccount(_) => Class::Failed,
            Self::NotValidNow { .. } => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchAccount(_) => "rms status lists the accounts; rms sign-in adds one".into(),
            Self::NotValidNow { .. } => "check the clocks of this machine and the server".into(),
        })
    }
}

impl Account {
    /// Reads a RAC chain.
    pub(crate) fn read(
        text: &str,
        lockbox: &Lockbox,
        anchors: &Anchors,
    ) -> Result<Self, TrustError> {
        let chain = trust::read_trusted(RAC, text, None, anchors)?;
        let certificate =
            AccountCertificate::new(trust::leaf(RAC, &chain)?).map_err(trust::malformed(RAC))?;
        check_issuer(RAC, &chain)?;
        let key = trust::open_private_key(
            RAC,
            certificate.sealed_key(),
            (lockbox.key(), "machine"),
            certificate.key(),
        )?;
        let id = account_id(&certificate);
        Ok(Self {
            id,
            certificate,
            chain,
            key,
        })
    }

    /// The stored account of that identifier; `None` when there is none that opens here.
    pub(crate) fn load(
        home: &Home,
        id: &str,
        lockbox: &Lockbox,
        anchors: &Anchors,
    ) -> Result<Option<Self>, StorageError> {
        let Some(text) = home.read_text(&rac_file(id))? else {
            return Ok(None);
        };
        Ok(Self::read(&text, lockbox, anchors)
            .ok()
            .filter(|account| account.id == id))
    }

    /// Stores the RAC chain.
    pub(crate) fn store(&self, lock: &Lock<'_>) -> Result<(), StorageError> {
        lock.write(
            &rac_file(&self.id),
            trust::concatenated(&self.chain).as_bytes(),
        )
    }

    /// Name of its folder: from account, kind of account and server.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The person.
    pub fn identity(&self) -> &AccountIdentity {
        self.certificate.account()
    }

    /// The RAC.
    pub fn certificate(&self) -> &AccountCertificate {
        &self.certificate
    }

    /// RAC and what is above, leaf first.
    pub fn chain(&self) -> &[SharedNode] {
        &self.chain
    }

    /// When the RAC may be used.
    pub fn validity(&self) -> Option<Interval> {
        self.certificate.validity()
    }

    /// Whether the RAC may be used at that instant.
    pub fn is_valid_at(&self, at: Time) -> bool {
        self.validity().is_none_or(|validity| validity.contains(at))
    }

    /// Where the services are for whoever this is: federated people have paths of their own
    /// (MS-RMPR 3.1.4.2).
    pub(crate) fn endpoint(&self, service: Service) -> Service {
        match self.identity().account_type {
            AccountType::Federation => service.external().unwrap_or(service),
            AccountType::Windows | AccountType::Passport => service,
        }
    }

    /// Fingerprint of the RAC's key.
    pub fn fingerprint(&self) -> String {
        self.key.public().fingerprint_hex()
    }

    pub(crate) fn key(&self) -> &SoftwareKey {
        &self.key
    }
}

impl Licensor {
    /// Reads a CLC chain.
    pub(crate) fn read(
        text: &str,
        account: &Account,
        anchors: &Anchors,
    ) -> Result<Self, TrustError> {
        let chain = trust::read_trusted(CLC, text, None, anchors)?;
        let certificate = ClientLicensorCertificate::new(trust::leaf(CLC, &chain)?)
            .map_err(trust::malformed(CLC))?;
        check_issuer(CLC, &chain)?;
        let (own, its) = (account.identity(), certificate.account());
        if own.account_type != its.account_type || !own.id.eq_ignore_ascii_case(&its.id) {
            return Err(TrustError::Mismatch {
                what: CLC,
                field: "account",
            });
        }
        let key = trust::open_private_key(
            CLC,
            certificate.sealed_key(),
            (account.key(), "account"),
            certificate.key(),
        )?;
        Ok(Self {
            certificate,
            chain,
            key,
        })
    }

    /// The stored CLC of an account; `None` when there is none that opens with its key.
    pub(crate) fn load(
        home: &Home,
        account: &Account,
        anchors: &Anchors,
    ) -> Result<Option<Self>, StorageError> {
        let Some(text) = home.read_text(&clc_file(account.id()))? else {
            return Ok(None);
        };
        Ok(Self::read(&text, account, anchors).ok())
    }

    /// Stores the CLC chain.
    pub(crate) fn store(&self, lock: &Lock<'_>, account: &Account) -> Result<(), StorageError> {
        let text = trust::concatenated(&self.chain);
        lock.write(&clc_file(account.id()), text.as_bytes())
    }

    /// The CLC.
    pub fn certificate(&self) -> &ClientLicensorCertificate {
        &self.certificate
    }

    /// CLC and what is above, leaf first.
    pub fn chain(&self) -> &[SharedNode] {
        &self.chain
    }

    /// When the CLC may sign.
    pub fn range(&self) -> Option<Interval> {
        self.certificate.range()
    }

    /// Whether the CLC may sign at that instant.
    pub fn may_sign_at(&self, at: Time) -> bool {
        self.range().is_none_or(|range| range.contains(at))
    }

    pub(crate) fn key(&self) -> &SoftwareKey {
        &self.key
    }
}

/// The stored RAC of an account as it stands there: nothing is verified, nothing opened.
pub(crate) fn look(home: &Home, id: &str) -> Result<Option<AccountCertificate>, StorageError> {
    let leaf = look_at(home, &rac_file(id))?;
    Ok(leaf.and_then(|node| AccountCertificate::new(node).ok()))
}

/// The stored CLC of an account, likewise.
pub(crate) fn look_at_licensor(
    home: &Home,
    id: &str,
) -> Result<Option<ClientLicensorCertificate>, StorageError> {
    let leaf = look_at(home, &clc_file(id))?;
    Ok(leaf.and_then(|node| ClientLicensorCertificate::new(node).ok()))
}

fn look_at(home: &Home, file: &str) -> Result<Option<SharedNode>, StorageError> {
    let nodes = home
        .read_text(file)?
        .and_then(|text| trust::read("certificate", &text).ok());
    Ok(nodes.and_then(|nodes| nodes.first().cloned()))
}

/// The issuer named in the certificate must be the server that the next certificate is for, not
/// only have its key.
fn check_issuer(what: &'static str, chain: &[SharedNode]) -> Result<(), TrustError> {
    let [leaf, slc, ..] = chain else {
        return Ok(());
    };
    let server = ServerLicensorCertificate::new(slc.clone()).map_err(trust::malformed(what))?;
    let named = leaf.content().issuer.as_ref().map(|issuer| &issuer.object);
    let same = named.is_some_and(|object| {
        object.kind == server.identity().object().kind
            && object
                .id
                .eq_ignore_ascii_case(&server.identity().object().id)
    });
    if same {
        Ok(())
    } else {
        Err(TrustError::Mismatch {
            what,
            field: "issuer",
        })
    }
}

fn account_id(certificate: &AccountCertificate) -> String {
    let account = certificate.account();
    let server = certificate
        .node()
        .issuer_key()
        .map(openrms_crypto::PublicKey::fingerprint_hex);
    let text = format!(
        "openrms account 1\n{}\n{}\n{}",
        account.account_type.name(),
        account.id.to_ascii_lowercase(),
        server.unwrap_or_default()
    );
    hex(&sha256(text.as_bytes()), 8)
}

fn rac_file(id: &str) -> String {
    format!("{FOLDER}/{id}/rac.xml")
}

fn clc_file(id: &str) -> String {
    format!("{FOLDER}/{id}/clc.xml")
}

/// The first bytes of a digest in lower-case hexadecimal, for names of files.
pub(crate) fn hex(digest: &[u8; 32], bytes: usize) -> String {
    use std::fmt::Write as _;
    digest
        .iter()
        .take(bytes)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Whether a text can be the name of an account's folder.
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

const RAC: &str = "rights account certificate";
const CLC: &str = "client licensor certificate";
pub(crate) const FOLDER: &str = "accounts";
