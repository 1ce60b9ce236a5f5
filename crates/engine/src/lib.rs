//! The decisions of a rights-management server (MS-RMPR 3.3 to 3.7, MS-RMSI 3.2 to 3.5): certify,
//! publish, license, hand out templates, enroll, end. Each is a function of its [`context::Context`], the caller and the
//! request; nothing here opens a socket, reads a clock or knows SQL.
//!
//! The content key has one way out: [`vault::HeldContent::release`], which wants a
//! [`evaluate::Grant`], which only [`evaluate::evaluate`] can make; and so does
//! [`vault::HeldContent::republish`], which puts other rights before it. The clear key leaves by
//! [`vault::HeldContent::surrender`] alone, which wants a [`decommission::Decommissioned`].

mod accounts;
pub mod activation;
pub mod authority;
mod caller;
pub mod certificates;
pub mod certify;
pub mod client_licensor;
pub mod cluster;
pub mod context;
mod decision;
pub mod decommission;
mod enrollee;
pub mod evaluate;
pub mod expansion;
pub mod keys;
pub mod license;
pub mod licenses;
pub mod locate;
pub mod observer;
pub mod precertify;
pub mod prelicense;
pub mod publish;
pub mod refusal;
pub mod rehearsal;
pub mod republish;
pub mod sub_enroll;
pub mod templates;
pub mod vault;

pub use caller::{Caller, FederatedAccount};
pub use certificates::unanswered;
pub use cluster::{Cluster, ClusterError};
pub use context::{Caches, Context};
pub use observer::{NoObserver, Observer, Step};
pub use refusal::Refusal;
