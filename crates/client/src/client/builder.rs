//! What a client is made of: each part has a default that does nothing behind anybody's back.

use std::sync::{Arc, Mutex};

use openrms_protocol::ClientLevel;

use super::Client;
use crate::clock::{Clock, SystemClock};
use crate::credentials::{CredentialSource, NoCredentials};
use crate::discovery::{
    Discovery, ForestSource, LicenseServers, NameService, NoForest, NoNameService,
};
use crate::hierarchy::JoinPolicy;
use crate::keyring::{self, SecretCache};
use crate::lockbox_secret::{LockboxSecretSource, NoPassphrase};
use crate::machine::MachineIdentity;
use crate::precedence::Word;
use crate::storage::Home;
use crate::transport::Transport;

/// A client whose parts are still being chosen.
pub struct ClientBuilder(Client);

impl ClientBuilder {
    /// Takes the server from the caller, the environment, the person's settings, or the machine's,
    /// in that order.
    #[must_use]
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.0.discovery = discovery;
        self
    }

    /// Whom [`Client::find_server`] asks first; without this, no forest.
    #[must_use]
    pub fn forest(mut self, forest: impl ForestSource + 'static) -> Self {
        self.0.forest = Arc::new(forest);
        self
    }

    /// Whom [`Client::find_server`] asks next; without this, nobody.
    #[must_use]
    pub fn name_service(mut self, names: impl NameService + 'static) -> Self {
        self.0.names = Arc::new(names);
        self
    }

    /// Where credentials come from; without this the client signs in nowhere.
    #[must_use]
    pub fn credentials(mut self, source: impl CredentialSource + 'static) -> Self {
        self.0.credentials = Arc::new(source);
        self
    }

    /// Where the passphrase of the lockbox comes from; without this there is nobody to ask, and a
    /// new lockbox has none.
    #[must_use]
    pub fn lockbox_passphrase(mut self, source: impl LockboxSecretSource + 'static) -> Self {
        self.0.passphrases = Arc::new(source);
        self
    }

    /// Where the unlocked secret of a lockbox with a passphrase waits; without this it is the
    /// kernel's keyring, where the system has one.
    #[must_use]
    pub fn lockbox_cache(mut self, cache: impl SecretCache + 'static) -> Self {
        self.0.cache = Arc::new(cache);
        self
    }

    /// The clock; without this it is the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.0.clock = Arc::new(clock);
        self
    }

    /// Joins the server's hierarchy under that policy when none was joined before. Without this,
    /// joining needs [`Client::init`] or [`Client::join`].
    #[must_use]
    pub fn join_when_missing(mut self, policy: JoinPolicy) -> Self {
        self.0.join = Some(policy);
        self
    }

    /// Which servers may be asked for use licenses.
    #[must_use]
    pub fn license_servers(mut self, allowed: LicenseServers) -> Self {
        self.0.license_servers = allowed;
        self
    }

    /// The version of RMS that the client behaves as; without this, what was remembered when it was
    /// initialized or activated, else the newest.
    #[must_use]
    pub fn level(mut self, level: ClientLevel) -> Self {
        self.0.discovery.explicit.client_level = Some(Word {
            value: level,
            by: "the caller",
        });
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        self.0
    }
}

impl Client {
    /// Begins a client over a folder, for a person on a machine, by a transport.
    pub fn builder(
        home: Home,
        machine: MachineIdentity,
        transport: impl Transport + 'static,
    ) -> ClientBuilder {
        ClientBuilder(Client {
            home,
            machine,
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock),
            credentials: Arc::new(NoCredentials),
            passphrases: Arc::new(NoPassphrase),
            cache: keyring::of_this_system(),
            discovery: Discovery::default(),
            forest: Arc::new(NoForest),
            names: Arc::new(NoNameService),
            join: None,
            license_servers: LicenseServers::default(),
            session: Mutex::default(),
        })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClientBuilder").field(&self.0).finish()
    }
}
