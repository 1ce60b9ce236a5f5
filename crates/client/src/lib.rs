//! The rights-management client (MS-RMPR 3.8): what applications link. No terminal output, no
//! clock, environment or socket of its own: all of that is handed in.
//!
//! ```no_run
//! use openrms_client::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(
//!     Home::open("/home/alice/.local/share/openrms")?,
//!     MachineIdentity::of_this_process()?,
//!     HttpTransport::new(&HttpOptions::default())?,
//! )
//! .credentials(Credentials::Bearer(Secret::from(b"token".as_slice())))
//! .build();
//! client.init(&"https://rms.example.com".parse()?, &JoinPolicy::TrustOnFirstUse)?;
//! let policy = Policy::Own(OwnPolicy::of(["bob@example.com:VIEW".parse()?]));
//! client.protect_file("a.txt".as_ref(), "a.ptxt".as_ref(), Overwrite::Never, &policy,
//!     Signer::Author)?;
//! let opened = client.open_file("a.ptxt".as_ref())?;
//! opened.export()?.copy_to(&mut std::io::sink())?;
//! # Ok(())
//! # }
//! ```
//!
//! | room | what it is for |
//! |---|---|
//! | [`client`] | [`Client`]: joins the rooms; makes or fetches what is missing |
//! | [`storage`], [`settings`] | the person's folder |
//! | [`machine_settings`] | what the administrator of the machine says |
//! | [`precedence`], [`configuration`] | whose word counts; everything set, and who set it |
//! | [`proxy`] | by which proxy servers are asked |
//! | [`notice`] | what a protected file says to people without a client |
//! | [`machine`], [`lockbox`], [`lockbox_secret`], [`keyring`], [`activation`] | the security processor's key and certificate |
//! | [`level`] | the version of RMS that this client behaves as |
//! | [`hierarchy`] | whom this client trusts |
//! | [`account`] | RAC and CLC |
//! | [`oidc`] | a token of an OIDC issuer |
//! | [`discovery`], [`url`], [`service`], [`credentials`] | which server is asked, and with what |
//! | [`transport`], [`http`] | how |
//! | [`policy`], [`publish`], [`templates`] | protecting |
//! | [`open`], [`license_store`] | opening |
//! | [`free`] | freeing what a cluster that has ended protected |
//! | [`clock`] | time, and clocks that were set back |
//! | `system` | what differs from system to system |
//! | [`output`] | files written as a whole |
//! | [`status`] | what is held |
//! | [`check`], [`tls`] | whether services answer, and how they are reached |
//! | [`error`] | stable names of everything that goes wrong |

pub mod account;
pub mod activation;
pub mod check;
pub mod client;
pub mod clock;
pub mod configuration;
pub mod credentials;
pub mod discovery;
pub mod error;
pub mod free;
pub mod hierarchy;
pub mod http;
pub mod keyring;
pub mod level;
pub mod license_store;
pub mod lockbox;
pub mod lockbox_secret;
pub mod machine;
pub mod machine_settings;
pub mod notice;
pub mod oidc;
pub mod open;
pub mod output;
pub mod policy;
pub mod precedence;
pub mod proxy;
pub mod publish;
pub mod service;
pub mod settings;
pub mod status;
pub mod storage;
mod system;
pub mod templates;
pub mod tls;
pub mod transport;
pub mod trust;
pub mod url;

#[cfg(test)]
mod tests;

pub use account::{Account, Licensor};
pub use check::{CheckReport, Probe, ProbeOutcome};
pub use client::{Client, ClientBuilder, Persistence};
pub use clock::{Clock, Moment, SystemClock};
pub use credentials::{CredentialSource, Credentials, NoCredentials, Scheme};
#[cfg(unix)]
pub use discovery::Forest;
pub use discovery::{
    Discovery, Dns, ForestError, ForestSource, Found, FoundBy, LicenseServers, Located, Locations,
    NameService, Overrides, Redirects, ServerSource,
};
pub use error::{Class, Coded, Error};
pub use hierarchy::{Bundle, Hierarchy, JoinPolicy, Joined};
pub use http::{HttpOptions, HttpTransport};
#[cfg(unix)]
pub use keyring::KernelKeyring;
pub use keyring::{NoCache, SecretCache};
pub use level::{ClientLevel, LevelError};
pub use license_store::{Purge, StoredLicense};
pub use lockbox::{Lockbox, Protection};
pub use lockbox_secret::{LockboxSecretSource, NoPassphrase, Unlock};
pub use machine::MachineIdentity;
pub use machine_settings::{Fixable, MachineSettings, Place};
pub use notice::NoticeUrl;
pub use open::{Conditions, Denied, Exported, Held, HeldRight, Opened, Source};
pub use openrms_crypto::Secret;
pub use output::{Output, Overwrite};
pub use policy::{Expiry, Grant, OwnPolicy, Policy, Renewal, TemplateName, Who};
pub use precedence::{SetBy, Spoken, Word};
pub use proxy::{NoProxy, Proxy};
pub use publish::{Publication, Published, Signer};
pub use settings::{Role, Settings};
pub use status::Status;
pub use storage::Home;
pub use templates::{Synced, Template};
pub use transport::{Response, Transport, TransportError};
pub use url::{Origin, ServerUrl};
