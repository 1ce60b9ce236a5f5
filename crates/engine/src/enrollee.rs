//! A server that asks for an SLC: what it says of itself, judged once for enrollment (MS-RMPR
//! 3.6.4.1) and sub-enrollment (MS-RMPRS 3.3.4.1), and the SLC that it gets.

use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};
use openrms_protocol::FaultCode;
use openrms_protocol::enrollment::{self, EnrolleeServerInformation};
use openrms_store::{CertificateBody, CertificateKind, IssuedCertificate, Store, StoreError};
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole};
use openrms_xrml::{Guid, Identity, Interval, Node, SecurityLevel, Time};

use crate::context::new_guid;
use crate::refusal::Refusal;

/// A server that may be certified.
#[derive(Debug)]
pub(crate) struct Enrollee {
    guid: Guid,
    key: PublicKey,
    hash: HashAlgorithm,
    info: EnrolleeServerInformation,
}

/// Who certifies it.
pub(crate) struct Certifier<'c> {
    pub(crate) identity: &'c Identity,
    pub(crate) key: &'c dyn PrivateKey,
    /// When the certifier itself may issue: nothing it certifies goes on for longer.
    pub(crate) range: Interval,
    /// Keys that may revoke the SLC besides the certifier's.
    pub(crate) revocation_authorities: Vec<PublicKey>,
    /// Where it is written down who was certified.
    pub(crate) store: &'c dyn Store,
}

/// Why a server is not certified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolleeError {
    /// No version.
    #[error("the enrollee tells no version")]
    NoVersion,
    /// Its key is none.
    #[error("public key: {0}")]
    Key(String),
    /// Its key is of no use.
    #[error("a server key of {0} bits belongs to no mode")]
    KeyLength(usize),
    /// Its identifier is none.
    #[error("GUID: {0}")]
    Guid(String),
    /// A text that cannot stand in a certificate.
    #[error("{0} is longer than {MOST_CHARACTERS} characters or has control characters")]
    Text(&'static str),
    /// Another server has that identifier.
    #[error("the GUID {0} is that of a server with another key")]
    Taken(Guid),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] Refusal),
    /// The certifier's key does not sign.
    #[error("the certifier's key: {0}")]
    Signature(String),
    /// It cannot be written down who is certified.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Enrollee {
    /// Judges what a server says of itself.
    pub(crate) fn read(
        public_key: &[u8],
        guid: &enrollment::Guid,
        info: &EnrolleeServerInformation,
    ) -> Result<Self, EnrolleeError> {
        if info.version.trim().is_empty() {
            return Err(EnrolleeError::NoVersion);
        }
        for (field, text) in [
            ("SKU", info.sku.as_ref()),
            ("Version", Some(&info.version)),
            ("Name", info.name.as_ref()),
            ("URL", info.url.as_ref()),
        ] {
            let fits = |text: &String| {
                text.chars().count() <= MOST_CHARACTERS && !text.chars().any(char::is_control)
            };
            if !text.is_none_or(fits) {
                return Err(EnrolleeError::Text(field));
            }
        }
        let key = PublicKey::from_pkcs1_der(public_key)
            .map_err(|error| EnrolleeError::Key(error.to_string()))?;
        let hash = match key.bits() {
            1024 => HashAlgorithm::Sha1,
            2048 => HashAlgorithm::Sha256,
            bits => return Err(EnrolleeError::KeyLength(bits)),
        };
        let guid = guid
            .as_str()
            .parse()
            .map_err(|error| EnrolleeError::Guid(format!("{error}")))?;
        Ok(Self {
            guid,
            key,
            hash,
            info: info.clone(),
        })
    }

    pub(crate) fn guid(&self) -> Guid {
        self.guid
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Makes the SLC and writes it down. A server that was certified before gets one for the time
    /// since then, so that what it issued under the earlier one holds under this one.
    pub(crate) async fn certify(
        &self,
        by: &Certifier<'_>,
        valid_days: u32,
        now: Time,
    ) -> Result<String, EnrolleeError> {
        let first = self.certified_since(by.store).await?;
        match self.issue(by, first, valid_days, now).await {
            // Two servers, or two requests of one, were first at the same time.
            Err(EnrolleeError::Store(StoreError::AlreadyExists { .. })) if first.is_none() => {
                let first = self.certified_since(by.store).await?;
                self.issue(by, first, valid_days, now).await
            }
            issued => issued,
        }
    }

    /// When it was first certified. Its first SLC is recorded under its own GUID, so of two
    /// servers that claim one at the same time only one gets it.
    async fn certified_since(&self, store: &dyn Store) -> Result<Option<Time>, EnrolleeError> {
        let Some(first) = store.issued(self.guid.0).await? else {
            return Ok(None);
        };
        let is_own = match &first.body {
            CertificateBody::Text(slc) if first.kind == CertificateKind::Slc => {
                Node::parse(slc.as_str()).is_ok_and(|slc| slc.principal_key() == Some(&self.key))
            }
            _ => false,
        };
        if is_own {
            Ok(Some(Time::from_unix(first.issued_at)))
        } else {
            Err(EnrolleeError::Taken(self.guid))
        }
    }

    async fn issue(
        &self,
        by: &Certifier<'_>,
        first: Option<Time>,
        valid_days: u32,
        now: Time,
    ) -> Result<String, EnrolleeError> {
        let info = &self.info;
        let levels = [
            SecurityLevel::new("Server-Version", &info.version),
            SecurityLevel::new("Server-SKU", info.sku.as_deref().unwrap_or("RMS 2.0")),
        ];
        let principal = IssuingCertificate::principal_of(
            IssuingRole::ServerLicensor,
            self.guid,
            info.name.as_deref(),
            info.url.as_deref(),
            self.key.clone(),
            &levels,
        );
        let id = if first.is_none() {
            self.guid
        } else {
            new_guid()?
        };
        let issued = now.floor_minute();
        let until = issued.plus_days(valid_days).min(by.range.until);
        let since = first.unwrap_or(now).floor_minute();
        let slc = IssuingCertificate {
            role: IssuingRole::ServerLicensor,
            id,
            issued,
            validity: None,
            issuer: by.identity.clone(),
            principal,
            // A day back, for clocks that differ.
            range: Interval {
                from: since.plus(-86_400).max(by.range.from),
                until,
            },
            revocation_authorities: by.revocation_authorities.clone(),
        }
        .sign(by.key, self.hash)
        .map_err(|error| EnrolleeError::Signature(error.to_string()))?;
        by.store
            .record_issued(&IssuedCertificate {
                guid: id.0,
                kind: CertificateKind::Slc,
                account: None,
                body: CertificateBody::Text(slc.clone()),
                issued_at: now.unix(),
                expires_at: Some(until.unix()),
            })
            .await?;
        Ok(slc)
    }
}

impl EnrolleeError {
    /// The fault of [MS-RMPRS] 2.2.9.1 for another server.
    pub(crate) fn for_servers(self) -> Refusal {
        let code = match self {
            Self::NoVersion
            | Self::Key(_)
            | Self::KeyLength(_)
            | Self::Text(_)
            | Self::Taken(_) => FaultCode::Argument,
            Self::Guid(_) => FaultCode::Format,
            Self::Random(_) | Self::Signature(_) | Self::Store(_) => FaultCode::UnspecifiedError,
        };
        Refusal::new(code, self)
    }
}

/// More than any name or URL has.
const MOST_CHARACTERS: usize = 1024;
