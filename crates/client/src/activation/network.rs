//! Activation over the network, as of clients of version 1.0: the activation service makes the
//! security processor and certifies it (MS-RMPR 3.2, 3.8.3.2.3). What it sends is judged before it is
//! kept; that nobody has read it on the way is seen to before it is asked for.

use std::sync::Arc;

use openrms_crypto::package::{self, PackageError};
use openrms_crypto::{Digest, PrivateKey as _, SoftwareKey};
use openrms_protocol::activation::{Activate, Activated, HardwareId};
use openrms_protocol::server::{
    FindServiceLocationsForUser, FindServiceLocationsForUserResponse, ServiceType,
};
use openrms_protocol::{Contract, Response, Service};
use openrms_xrml::chain;

use super::{FILE, MachineCertificate, WHAT};
use crate::client::{Client, Session};
use crate::error::{Class, Coded, Error};
use crate::hierarchy::Hierarchy;
use crate::level::LevelError;
use crate::lockbox::{Lockbox, NewKey, Protection};
use crate::machine::MachineIdentity;
use crate::service::{Auth, Caller, ServiceError};
use crate::trust::{self, TrustError, mode_of};
use crate::url::{Origin, ServerUrl};

/// Why what an activation service sends is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkActivationError {
    /// Others could read the private key on its way.
    #[error("{0} is neither https nor on this machine, and a private key would come from there")]
    NotPrivate(String),
    /// It is not what the service has signed.
    #[error("the security processor was changed after the activation service signed it")]
    Signature,
    /// It does not open here.
    #[error("the security processor cannot be used: {0}")]
    Package(#[from] PackageError),
}

impl Coded for NetworkActivationError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotPrivate(_) => "activation-not-private",
            Self::Signature => "activation-signature-invalid",
            Self::Package(PackageError::OtherMachine) => "activation-other-machine",
            Self::Package(_) => "activation-package-malformed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotPrivate(_) | Self::Signature | Self::Package(PackageError::OtherMachine) => {
                Class::NotTrusted
            }
            Self::Package(_) => Class::Malformed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotPrivate(_) => Some("use https for the server".into()),
            _ => None,
        }
    }
}

impl Client {
    /// The lockbox and its certificate; both come from the activation service where either is
    /// missing, or where the hierarchy is of the other mode.
    pub(super) fn activated_over_network(
        &self,
        session: &mut Session,
        hierarchy: &Hierarchy,
    ) -> Result<(Arc<Lockbox>, MachineCertificate), Error> {
        let fits = |lockbox: &Lockbox| lockbox.mode() == hierarchy.mode();
        let kept = |lockbox: &Lockbox| MachineCertificate::load(&self.home, lockbox, hierarchy);
        if let Some(lockbox) = session.lockbox.clone().filter(|lockbox| fits(lockbox))
            && let Some(certificate) = kept(&lockbox)?
        {
            return Ok((lockbox, certificate));
        }
        let (lockbox, certificate) = loop {
            let stamp = Lockbox::stamp(&self.home)?;
            let stored = Lockbox::open(&self.home, &self.machine, &self.unlock())?;
            if let Some(lockbox) = stored.as_ref().filter(|lockbox| fits(lockbox))
                && let Some(certificate) = kept(lockbox)?
                && let Some(lockbox) = stored
            {
                break (lockbox, certificate);
            }
            let (key, certificate) = self.ask_for_activation(hierarchy)?;
            let passphrase = match &stored {
                Some(_) => None,
                None => self.passphrases.new_passphrase(),
            };
            let lock = self.home.lock()?;
            // Another process may have been faster.
            if Lockbox::stamp(&self.home)? != stamp {
                continue;
            }
            let new = NewKey::of_network(key, hierarchy.mode());
            let now = self.clock.now();
            let mut made = match &stored {
                Some(old) => {
                    crate::lockbox_secret::forget(&old.fingerprint(), self.cache.as_ref());
                    old.replace(&lock, &self.machine, new, now)?
                }
                None => Lockbox::keep(&lock, &self.machine, new, now, passphrase.as_ref())?,
            };
            let text = trust::concatenated(&certificate.chain);
            lock.write(FILE, text.as_bytes())?;
            if matches!(made.protection(), Protection::Passphrase { .. }) {
                let cached_in_keyring = made.remember(self.cache.as_ref());
                made.set_protection(Protection::Passphrase { cached_in_keyring });
            }
            break (made, certificate);
        };
        let lockbox = Arc::new(lockbox);
        session.lockbox = Some(lockbox.clone());
        Ok((lockbox, certificate))
    }

    fn ask_for_activation(
        &self,
        hierarchy: &Hierarchy,
    ) -> Result<(SoftwareKey, MachineCertificate), Error> {
        self.check_mode_of_level(hierarchy)?;
        let machine = hardware_id(&self.machine, hierarchy)?;
        let url = self.activation_url()?;
        let is_private = Origin::of(&url).is_ok_and(|origin| origin.is_private());
        if !is_private {
            return Err(NetworkActivationError::NotPrivate(url).into());
        }
        let request = Activate {
            machines: vec![machine],
        };
        let (item, package) = self.with_caller(|caller, _| {
            let (item, packages) = caller.activate(&url, request, |response| {
                let item = response.items.into_iter().next()?;
                Some(Activated {
                    machine_certificate_chain: item.machine_certificate_chain.into_owned(),
                    signature: item.signature,
                })
            })?;
            let what = "security processor";
            let missing = || ServiceError::Empty {
                url: url.clone(),
                what,
            };
            let package = packages.into_iter().next().ok_or_else(missing)?;
            Ok((item.ok_or_else(missing)?, package))
        })?;
        judged(&item, &package, &machine, hierarchy)
    }

    /// Where machines are activated: where overrides put it; else where the server says; else at its
    /// own place at the server (MS-RMPR 3.1.4.2).
    fn activation_url(&self) -> Result<String, Error> {
        let level = self.level()?;
        let settings = self.settings()?;
        self.with_caller(|caller, server| {
            let server = server.ok_or(LevelError::NeedsNetwork(level))?;
            let overrides = self.discovery.overrides(&settings, server);
            let said = overrides.activation;
            let said = said.or_else(|| said_by(caller, server));
            let base: Option<ServerUrl> = said.and_then(|url| url.parse().ok());
            Ok(Service::Activation.url(base.as_ref().unwrap_or(server).as_str()))
        })
    }
}

/// Where a server says that machines are activated. One that does not say leaves it at its own place,
/// which the client knows.
fn said_by(caller: &Caller<'_>, server: &ServerUrl) -> Option<String> {
    let ask = FindServiceLocationsForUser {
        services: vec![ServiceType::ActivationService],
    };
    let url = Service::CertificationServiceLocator.url(server.as_str());
    let take = |response: Response<'_>| FindServiceLocationsForUserResponse::try_from(response);
    let contract = Contract::ServiceLocator;
    let answer = caller.call(&url, contract, &ask.into(), Auth::OnDemand, take);
    let mut locations = answer.ok()?.locations.into_iter();
    let location = locations.find(|location| location.service == ServiceType::ActivationService);
    location?.url
}

/// The hash by which the activation service knows the machine. It tells neither who nor where.
fn hardware_id(machine: &MachineIdentity, hierarchy: &Hierarchy) -> Result<HardwareId, Error> {
    let hash = Digest::of(hierarchy.mode().hash(), &machine.digest());
    HardwareId::try_from(hash.as_bytes())
        .map_err(|error| crate::lockbox::LockboxError::Generate(error.to_string()).into())
}

/// Judges what came: the chain leads to the anchors through an activation service, that service has
/// signed the package, the package is for this machine, and the key in it is the certified one.
fn judged(
    item: &Activated<'_>,
    package: &[u8],
    machine: &HardwareId,
    hierarchy: &Hierarchy,
) -> Result<(SoftwareKey, MachineCertificate), Error> {
    let text = item.machine_certificate_chain.concatenated();
    let chain = trust::read_trusted(WHAT, &text, None, hierarchy.anchors())?;
    let certificate = MachineCertificate::of_network(chain)?;
    let signer = certificate.certificate.node().issuer_key();
    let signer = signer.ok_or(NetworkActivationError::Signature)?;
    let hash = hierarchy.mode().hash();
    let digest = Digest::of(hash, package);
    let signature = &item.signature;
    let is_its = signature.hash == hash.wire_name() && signature.digest == digest.as_bytes();
    if !is_its || signer.verify(&digest, &signature.value).is_err() {
        return Err(NetworkActivationError::Signature.into());
    }
    let key = package::open(package, machine.as_bytes()).map_err(NetworkActivationError::from)?;
    if key.public() != certificate.certificate.key() {
        return Err(TrustError::KeyMismatch { what: WHAT }.into());
    }
    if mode_of(key.public()) != hierarchy.mode() {
        let field = "cryptographic mode";
        return Err(TrustError::Mismatch { what: WHAT, field }.into());
    }
    Ok((key, certificate))
}

/// Whether the second node of a path is that of an activation service. The private key of the SPC
/// issuer is on every client, so what it has signed proves nothing here.
pub(super) fn is_by_activation_service(path: &[openrms_xrml::SharedNode]) -> bool {
    path.get(1).is_some_and(|signer| chain::activates(signer))
}
