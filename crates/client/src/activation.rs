//! Activation: the machine makes its lockbox and certifies its own security processor, with the
//! network unplugged (MS-RMPR 3.8.4.1); or, as of version 1.0, gets both over the network
//! ([`network`]).

pub mod network;

use std::sync::Arc;

use openrms_crypto::{Digest, Mode, PrivateKey as _, PublicKey, Secret, random};
use openrms_protocol::level::{Activation, ClientLevel, Feature, ServiceLevel};
use openrms_xrml::spc::{
    ActivationLocation, SecurityProcessorCertificate, SpcRequest, parse_version,
};
use openrms_xrml::{Guid, SharedNode, Time};

use crate::client::{Client, Session};
use crate::error::Error;
use crate::hierarchy::Hierarchy;
use crate::keyring::SecretCache;
use crate::level::LevelError;
use crate::lockbox::{Lockbox, LockboxError, NewKey, Protection};
use crate::lockbox_secret::{self, Unlock};
use crate::machine::MachineIdentity;
use crate::storage::{Home, Lock};
use crate::system;
use crate::trust::{self, TrustError};

/// A machine's SPC and the chain above it.
#[derive(Debug, Clone)]
pub struct MachineCertificate {
    /// SPC, SPC issuer and what is above, leaf first.
    pub chain: Vec<SharedNode>,
    /// The SPC.
    pub certificate: SecurityProcessorCertificate,
}

impl MachineCertificate {
    /// The stored one; `None` when there is none, or when it is for another key or hierarchy.
    pub(crate) fn load(
        home: &Home,
        lockbox: &Lockbox,
        hierarchy: &Hierarchy,
    ) -> Result<Option<Self>, Error> {
        let Some(text) = home.read_text(FILE)? else {
            return Ok(None);
        };
        // It can be signed anew at any time, or comes with a new key, so there is nothing to be
        // saved.
        Ok(Self::read(&text, lockbox, hierarchy).ok())
    }

    /// Whether the stored one is for the key of that fingerprint: for a lockbox that is locked.
    pub(crate) fn is_for(
        home: &Home,
        fingerprint: &str,
        hierarchy: &Hierarchy,
    ) -> Result<bool, Error> {
        let fits = |key: &PublicKey| key.fingerprint_hex() == fingerprint;
        let text = home.read_text(FILE)?;
        let activation = Lockbox::activation_of(home)?.unwrap_or(Activation::Own);
        let reads = |text: String| Self::read_for(&text, fits, activation, hierarchy).is_ok();
        Ok(text.is_some_and(reads))
    }

    /// Signs and stores one.
    pub(crate) fn create(
        lock: &Lock<'_>,
        lockbox: &Lockbox,
        hierarchy: &Hierarchy,
        (machine, level): (&MachineIdentity, ClientLevel),
        now: Time,
    ) -> Result<Self, Error> {
        hierarchy.check_issuer_at(now.floor_minute())?;
        let mode = hierarchy.mode();
        let failed = |error: String| LockboxError::Generate(error);
        let id = random::guid_bytes().map_err(|e| failed(e.to_string()))?;
        let spc = SpcRequest {
            id: Guid::from_random(id),
            issued: now.floor_minute(),
            issuer: hierarchy.issuer().clone(),
            location: ActivationLocation::Machine(LOCATION.into()),
            machine: lockbox.machine(),
            key: lockbox.key().public().clone(),
            hardware: Digest::of(mode.hash(), &machine.digest()),
            platform: PLATFORM.into(),
            manufacturer: "OpenRMS".into(),
            repository: format!("{REPOSITORY} {}", level.security_processor_version()),
        }
        .sign(hierarchy.issuer_key(), mode.hash())
        .map_err(|e| failed(e.to_string()))?;
        let text = spc + &trust::concatenated(hierarchy.issuer_chain());
        let certificate = Self::read(&text, lockbox, hierarchy)?;
        lock.write(FILE, text.as_bytes())?;
        Ok(certificate)
    }

    fn read(text: &str, lockbox: &Lockbox, hierarchy: &Hierarchy) -> Result<Self, TrustError> {
        let fits = |key: &PublicKey| key == lockbox.key().public();
        Self::read_for(text, fits, lockbox.activation(), hierarchy)
    }

    /// Of a path that leads through an activation service.
    fn of_network(chain: Vec<SharedNode>) -> Result<Self, TrustError> {
        let certificate = SecurityProcessorCertificate::new(trust::leaf(WHAT, &chain)?)
            .map_err(trust::malformed(WHAT))?;
        if !network::is_by_activation_service(&chain) {
            return Err(OTHER_ISSUER);
        }
        Ok(Self { chain, certificate })
    }

    fn read_for(
        text: &str,
        fits: impl Fn(&PublicKey) -> bool,
        activation: Activation,
        hierarchy: &Hierarchy,
    ) -> Result<Self, TrustError> {
        let chain = trust::read_trusted(WHAT, text, None, hierarchy.anchors())?;
        let read = match activation {
            Activation::Network => Self::of_network(chain)?,
            Activation::Own => {
                let certificate = SecurityProcessorCertificate::new(trust::leaf(WHAT, &chain)?)
                    .map_err(trust::malformed(WHAT))?;
                if certificate.node().issuer_key() != Some(hierarchy.issuer().key()) {
                    return Err(OTHER_ISSUER);
                }
                Self { chain, certificate }
            }
        };
        if !fits(read.certificate.key()) {
            return Err(TrustError::KeyMismatch { what: WHAT });
        }
        Ok(read)
    }

    /// Whether it says the version of that level. One that came over the network says what it says.
    fn is_of(&self, level: ClientLevel) -> bool {
        level.activation() == Activation::Network
            || self.certificate.repository_version()
                == parse_version(level.security_processor_version())
    }
}

impl Client {
    /// Takes the lockbox away, its certificate with it, and makes another one as [`Client::activate`]
    /// does: for one that does not open here, such as that of another machine. Accounts are certified
    /// anew when they are next needed; settings, templates and use licenses stay.
    pub fn reactivate(&self) -> Result<Arc<Lockbox>, Error> {
        let mut session = self.session();
        // A placed hierarchy that is of no use is found before anything is taken away.
        self.stored_hierarchy(&mut session)?;
        let lock = self.home.lock()?;
        Lockbox::discard(&lock)?;
        lock.remove(FILE)?;
        drop(lock);
        *session = Session::default();
        drop(session);
        self.activate()
    }

    /// Protects the lockbox by a passphrase, or by another one; `None` takes it away. Makes the
    /// lockbox when there is none. The passphrase in use is asked for only when the keyring does
    /// not hold the unlocked secret.
    pub fn protect_lockbox(&self, passphrase: Option<&Secret>) -> Result<Protection, Error> {
        let mut session = self.session();
        let hierarchy = self.stored_hierarchy(&mut session)?;
        if self.is_activated_over_network()? {
            // There is nothing to protect before it came.
            self.lockbox_in(&mut session, hierarchy.as_deref())?;
        }
        self.check_lockbox_of_level()?;
        if passphrase.is_some_and(Secret::is_empty) {
            return Err(LockboxError::PassphraseEmpty.into());
        }
        let mut lockbox = loop {
            if let Some(lockbox) = Lockbox::open(&self.home, &self.machine, &self.unlock())? {
                lockbox.protect(&self.home.lock()?, passphrase)?;
                break lockbox;
            }
            let lock = self.home.lock()?;
            // Another process may have been faster.
            if Lockbox::stamp(&self.home)?.is_none() {
                let mode = mode_for(self.level()?, hierarchy.as_deref());
                let now = self.clock.now();
                break Lockbox::create(&lock, &self.machine, mode, now, passphrase)?;
            }
        };
        lockbox_secret::forget(&lockbox.fingerprint(), self.cache.as_ref());
        let protection = match passphrase {
            None => system::WITHOUT_PASSPHRASE,
            Some(_) => Protection::Passphrase {
                cached_in_keyring: lockbox.remember(self.cache.as_ref()),
            },
        };
        lockbox.set_protection(protection);
        session.lockbox = Some(Arc::new(lockbox));
        Ok(protection)
    }

    /// The lockbox, made when it is missing; made anew for a hierarchy of the other mode, whose servers
    /// want nothing of what was sealed to the old one: it is acquired anew as well.
    pub(crate) fn lockbox_in(
        &self,
        session: &mut Session,
        hierarchy: Option<&Hierarchy>,
    ) -> Result<Arc<Lockbox>, Error> {
        let level = self.level()?;
        if level.activation() == Activation::Network {
            let hierarchy = hierarchy.ok_or(LevelError::NeedsNetwork(level))?;
            return Ok(self.machine_in(session, hierarchy)?.0);
        }
        let fits =
            |lockbox: &Lockbox| hierarchy.is_none_or(|wanted| wanted.mode() == lockbox.mode());
        if let Some(lockbox) = session.lockbox.as_ref().filter(|lockbox| fits(lockbox)) {
            return Ok(lockbox.clone());
        }
        self.check_lockbox_of_level()?;
        if let Some(hierarchy) = hierarchy {
            self.check_mode_of_level(hierarchy)?;
        }
        let lockbox = loop {
            let stamp = Lockbox::stamp(&self.home)?;
            let stored = match Lockbox::open(&self.home, &self.machine, &self.unlock())? {
                Some(lockbox) if fits(&lockbox) => break lockbox,
                other => other,
            };
            let passphrase = match &stored {
                Some(_) => None,
                None => self.passphrases.new_passphrase(),
            };
            let lock = self.home.lock()?;
            // Another process may have been faster.
            if Lockbox::stamp(&self.home)? != stamp {
                continue;
            }
            let (mode, now) = (mode_for(level, hierarchy), self.clock.now());
            let mut made = match &stored {
                Some(old) => {
                    lockbox_secret::forget(&old.fingerprint(), self.cache.as_ref());
                    old.replace(&lock, &self.machine, NewKey::make(mode)?, now)?
                }
                None => Lockbox::create(&lock, &self.machine, mode, now, passphrase.as_ref())?,
            };
            if matches!(made.protection(), Protection::Passphrase { .. }) {
                let cached_in_keyring = made.remember(self.cache.as_ref());
                made.set_protection(Protection::Passphrase { cached_in_keyring });
            }
            break made;
        };
        let lockbox = Arc::new(lockbox);
        session.lockbox = Some(lockbox.clone());
        Ok(lockbox)
    }

    pub(crate) fn machine_in(
        &self,
        session: &mut Session,
        hierarchy: &Hierarchy,
    ) -> Result<(Arc<Lockbox>, MachineCertificate), Error> {
        let level = self.level()?;
        if level.activation() == Activation::Network {
            self.check_lockbox_of_level()?;
            return self.activated_over_network(session, hierarchy);
        }
        let lockbox = self.lockbox_in(session, Some(hierarchy))?;
        if let Some(certificate) = MachineCertificate::load(&self.home, &lockbox, hierarchy)?
            && certificate.is_of(level)
        {
            return Ok((lockbox, certificate));
        }
        let lock = self.home.lock()?;
        let now = self.clock.now();
        let who = (&self.machine, level);
        let certificate = MachineCertificate::create(&lock, &lockbox, hierarchy, who, now)?;
        Ok((lockbox, certificate))
    }

    pub(crate) fn lockbox_cache(&self) -> &dyn SecretCache {
        self.cache.as_ref()
    }

    fn unlock(&self) -> Unlock<'_> {
        Unlock {
            source: self.passphrases.as_ref(),
            cache: self.cache.as_ref(),
        }
    }
}

/// The mode of a new lockbox: the newest that the level does, where no hierarchy says one.
fn mode_for(level: ClientLevel, hierarchy: Option<&Hierarchy>) -> Mode {
    match hierarchy {
        Some(hierarchy) => hierarchy.mode(),
        None if level.can(Feature::ModeTwo, ServiceLevel::V2) => Mode::Two,
        None => Mode::One,
    }
}

pub(crate) const FILE: &str = "machine.xml";
const WHAT: &str = "machine certificate";
const LOCATION: &str = "file:///openrms";
const PLATFORM: &str = "Linux";
/// Behind it stands the version of the level: servers demand a minimum of it (lockbox exclusion).
const REPOSITORY: &str = "OpenRMS Linux secure repository";
const OTHER_ISSUER: TrustError = TrustError::Mismatch {
    what: WHAT,
    field: "issuer",
};
