//! Where an unlocked secret waits, so that its passphrase is typed once per session: the kernel's
//! keyring of the user, which is memory of the kernel and gone after a restart. On Windows nothing
//! waits.
//!
//! It keeps nothing from programs of the same person, nor from root: it spares typing, and the
//! secret never touches a disk.

#[cfg(unix)]
mod kernel;

use std::sync::Arc;

use openrms_crypto::Secret;

#[cfg(unix)]
pub use self::kernel::KernelKeyring;

/// Keeps secrets for a while, in memory that outlives the process. One that cannot is no failure:
/// the passphrase is asked for again.
pub trait SecretCache: Send + Sync {
    /// The secret of that name; `None` when there is none, or nowhere to look.
    fn get(&self, name: &str) -> Option<Secret>;
    /// Keeps a secret for that many seconds; whether it is kept.
    fn put(&self, name: &str, secret: &Secret, seconds: u32) -> bool;
    /// Forgets a secret.
    fn forget(&self, name: &str);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

/// Where secrets wait on this system.
pub(crate) fn of_this_system() -> Arc<dyn SecretCache> {
    #[cfg(unix)]
    return Arc::new(KernelKeyring);
    #[cfg(not(unix))]
    Arc::new(NoCache)
}

impl SecretCache for NoCache {
    fn get(&self, _: &str) -> Option<Secret> {
        None
    }

    fn put(&self, _: &str, _: &Secret, _: u32) -> bool {
        false
    }

    fn forget(&self, _: &str) {}
}
