//! The decisions of a rights-management server (MS-RMPR 3.3 to 3.7): certify, publish, license,
//! hand out templates, enroll. Each is a function of its [`context::Context`], the caller and the
//! request; nothing here opens a socket, reads a clock or knows SQL.
//!
//! The content key has one way out: [`vault::HeldContent::release`], which wants a
//! [`evaluate::Grant`], which only [`evaluate::evaluate`] can make.

pub mod authority;
pub mod certificates;
pub mod certify;
pub mod client_licensor;
pub mod cluster;
pub mod context;
pub mod evaluate;
pub mod keys;
pub mod license;
pub mod licenses;
pub mod locate;
pub mod publish;
pub mod refusal;
pub mod templates;
pub mod vault;

pub use certificates::unanswered;
pub use cluster::{Cluster, ClusterError};
pub use context::{Caches, Caller, Context};
pub use refusal::Refusal;
