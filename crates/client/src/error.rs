//! What can go wrong, for programs and for people: each module has an error enum of its own, each
//! error a stable code, the class that decides the exit code, and where possible a hint.

use crate::account::AccountError;
use crate::activation::network::NetworkActivationError;
use crate::discovery::DiscoveryError;
use crate::hierarchy::HierarchyError;
use crate::level::LevelError;
use crate::license_store::LicenseError;
use crate::lockbox::LockboxError;
use crate::machine_settings::MachineSettingsError;
use crate::oidc::OidcError;
use crate::open::OpenError;
use crate::output::OutputError;
use crate::policy::PolicyError;
use crate::publish::PublishError;
use crate::service::ServiceError;
use crate::storage::StorageError;
use crate::templates::TemplateError;
use crate::trust::TrustError;

/// Which kind of failure: the exit code of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anything else.
    Failed,
    /// The caller asked for something that makes no sense.
    Usage,
    /// The caller has no (sufficient) right.
    Denied,
    /// Signature, chain, hierarchy or revocation.
    NotTrusted,
    /// Server or directory unreachable.
    Unreachable,
    /// Input that cannot be read.
    Malformed,
}

impl Class {
    /// 1 to 6.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotTrusted => 4,
            Self::Unreachable => 5,
            Self::Malformed => 6,
        }
    }
}

/// An error with a stable name.
pub trait Coded: std::error::Error {
    /// Stable kebab-case name.
    fn code(&self) -> &'static str;
    /// Decides the exit code.
    fn class(&self) -> Class;
    /// What to do next.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Declares the sum of all modules' errors.
macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident($inner:ty),)*) => {
        /// Any error of this crate.
        #[derive(Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum Error { $($(#[$doc])* #[error(transparent)] $variant(#[from] $inner),)* }

        impl Coded for Error {
            fn code(&self) -> &'static str {
                match self { $(Self::$variant(inner) => inner.code(),)* }
            }

            fn class(&self) -> Class {
                match self { $(Self::$variant(inner) => inner.class(),)* }
            }

            fn hint(&self) -> Option<String> {
                match self { $(Self::$variant(inner) => inner.hint(),)* }
            }
        }
    };
}

errors! {
    /// The store on disk.
    Storage(StorageError),
    /// The security processor's key.
    Lockbox(LockboxError),
    /// What a client of that level does not do.
    Level(LevelError),
    /// What an activation service sends.
    NetworkActivation(NetworkActivationError),
    /// The hierarchy this client belongs to.
    Hierarchy(HierarchyError),
    /// Where the service is.
    Discovery(DiscoveryError),
    /// The machine's settings.
    MachineSettings(MachineSettingsError),
    /// A request to a service.
    Service(ServiceError),
    /// A certificate or license that cannot be trusted.
    Trust(TrustError),
    /// The account of whoever signed in.
    Account(AccountError),
    /// Signing in at an OIDC issuer.
    Oidc(OidcError),
    /// What an author asks for.
    Policy(PolicyError),
    /// Protecting.
    Publish(PublishError),
    /// Opening.
    Open(OpenError),
    /// The store of use licenses.
    License(LicenseError),
    /// Templates.
    Template(TemplateError),
    /// Writing a result.
    Output(OutputError),
}

impl Error {
    /// Stable kebab-case name; see [`Coded::code`].
    pub fn code(&self) -> &'static str {
        Coded::code(self)
    }

    /// See [`Coded::class`].
    pub fn class(&self) -> Class {
        Coded::class(self)
    }

    /// What to do next; see [`Coded::hint`].
    pub fn hint(&self) -> Option<String> {
        Coded::hint(self)
    }

    /// The message with its causes, joined by `: `; causes that only repeat are left out.
    pub fn full_message(&self) -> String {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        message
    }
}
