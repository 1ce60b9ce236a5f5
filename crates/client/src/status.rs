//! What is held here and until when.

use openrms_protocol::ClientLevel;
use openrms_xrml::rac::AccountIdentity;
use openrms_xrml::{Interval, Time};

use crate::account::{self, is_account_id};
use crate::activation;
use crate::client::Client;
use crate::clock::Moment;
use crate::discovery::{Overrides, ServerSource};
use crate::error::Error;
use crate::hierarchy::Hierarchy;
use crate::license_store;
use crate::lockbox::{Lockbox, LockboxError, Protection};
use crate::lockbox_secret::{NoPassphrase, Unlock};
use crate::url::ServerUrl;

/// Everything held. Looking at it changes nothing and needs no network.
#[derive(Debug)]
pub struct Status {
    /// The server in use.
    pub server: Option<ServerUrl>,
    /// Who says that it is.
    pub server_source: Option<ServerSource>,
    /// What is said of single services of it.
    pub overrides: Overrides,
    /// User name to sign in with.
    pub user: Option<String>,
    /// Names and fingerprints of the anchors; empty when no hierarchy was joined.
    pub anchors: Vec<(String, String)>,
    /// Fingerprint of the SPC issuer's key.
    pub spc_issuer: Option<String>,
    /// Why the hierarchy cannot be used.
    pub hierarchy_error: Option<Error>,
    /// The version of RMS that the client behaves as.
    pub level: ClientLevel,
    /// The lockbox; `None` before activation.
    pub lockbox: Option<LockboxStatus>,
    /// Why the lockbox does not open.
    pub lockbox_error: Option<Error>,
    /// Whether the machine certificate is signed.
    pub activated: bool,
    /// The accounts.
    pub accounts: Vec<AccountStatus>,
    /// Use licenses in the store.
    pub licenses: usize,
    /// Templates in the store.
    pub templates: usize,
    /// The clock.
    pub moment: Moment,
}

/// The lockbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockboxStatus {
    /// What keeps it from others.
    pub protection: Protection,
    /// Fingerprint of the security processor's key.
    pub fingerprint: String,
    /// Cryptographic mode, 1 or 2.
    pub mode: u8,
    /// When it was made.
    pub created: Time,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStatus {
    /// Its identifier here.
    pub id: String,
    /// Whether it is the one in use.
    pub current: bool,
    /// The person.
    pub identity: AccountIdentity,
    /// Name or identifier of the server that issued the RAC.
    pub issuer: String,
    /// Whether the RAC is temporary.
    pub temporary: bool,
    /// When the RAC may be used.
    pub validity: Option<Interval>,
    /// When the CLC may sign; `None` without a CLC.
    pub licensor: Option<Interval>,
}

impl Client {
    /// What is held and until when.
    pub fn status(&self) -> Result<Status, Error> {
        let settings = self.settings()?;
        let (hierarchy, hierarchy_error) = match self.known_hierarchy() {
            Ok(hierarchy) => (hierarchy, None),
            Err(error) => (None, Some(error)),
        };
        let (lockbox, lockbox_error) = match self.lockbox_status() {
            Ok(lockbox) => (lockbox, None),
            Err(error) => (None, Some(error.into())),
        };
        let activated = match (&lockbox, &hierarchy) {
            (Some(lockbox), Some(hierarchy)) => activation::MachineCertificate::is_for(
                self.home(),
                &lockbox.fingerprint,
                hierarchy,
            )?,
            _ => false,
        };
        let mut accounts = Vec::new();
        for id in self.home().list(account::FOLDER)? {
            if is_account_id(&id) {
                accounts.extend(self.account_status(&id, settings.account.as_deref())?);
            }
        }
        let moment = self.look_at_clock()?;
        let located = self.locate().ok();
        let overrides = |server| self.discovery.overrides(&settings, server);
        Ok(Status {
            server_source: located.as_ref().map(|located| located.source),
            overrides: located
                .as_ref()
                .map(|located| overrides(&located.server))
                .unwrap_or_default(),
            server: located.map(|located| located.server),
            user: settings.user,
            anchors: hierarchy
                .as_ref()
                .map(Hierarchy::fingerprints)
                .unwrap_or_default(),
            spc_issuer: hierarchy
                .as_ref()
                .map(|h| h.issuer().key().fingerprint_hex()),
            hierarchy_error,
            level: self.level()?,
            lockbox,
            lockbox_error,
            activated,
            accounts,
            licenses: license_store::list(self.home(), moment.judged())?.len(),
            templates: self.templates()?.len(),
            moment,
        })
    }

    /// Nobody is asked for a passphrase only to look.
    fn lockbox_status(&self) -> Result<Option<LockboxStatus>, LockboxError> {
        let unlock = Unlock {
            source: &NoPassphrase,
            cache: self.lockbox_cache(),
        };
        match Lockbox::open(self.home(), self.machine(), &unlock) {
            Ok(lockbox) => Ok(lockbox.map(|lockbox| LockboxStatus {
                protection: lockbox.protection(),
                fingerprint: lockbox.fingerprint(),
                mode: lockbox.mode().number(),
                created: lockbox.created(),
            })),
            Err(LockboxError::PassphraseNeeded) => {
                let closed = Lockbox::look(self.home())?;
                Ok(closed.map(|closed| LockboxStatus {
                    protection: Protection::Passphrase {
                        cached_in_keyring: false,
                    },
                    fingerprint: closed.fingerprint,
                    mode: closed.mode,
                    created: closed.created,
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn account_status(
        &self,
        id: &str,
        current: Option<&str>,
    ) -> Result<Option<AccountStatus>, Error> {
        let Some(rac) = account::look(self.home(), id)? else {
            return Ok(None);
        };
        let clc = account::look_at_licensor(self.home(), id)?;
        let issuer = rac
            .node()
            .content()
            .issuer
            .as_ref()
            .map(|issuer| &issuer.object);
        let issuer = issuer.map(|object| object.name.clone().unwrap_or_else(|| object.id.clone()));
        Ok(Some(AccountStatus {
            id: id.to_owned(),
            current: current == Some(id),
            identity: rac.account().clone(),
            issuer: issuer.unwrap_or_default(),
            temporary: rac.is_temporary(),
            validity: rac.validity(),
            licensor: clc.and_then(|clc| clc.range()),
        }))
    }
}
