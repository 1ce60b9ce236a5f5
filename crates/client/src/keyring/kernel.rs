//! The user keyring of the Linux kernel (`keyrings(7)`).

use linux_keyutils::{
    Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
};
use openrms_crypto::Secret;
use zeroize::Zeroizing;

use super::SecretCache;

/// The user keyring of the Linux kernel. Containers and kernels without one answer as if nothing
/// were ever kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelKeyring;

impl SecretCache for KernelKeyring {
    fn get(&self, name: &str) -> Option<Secret> {
        let key = find(name).ok()?;
        let mut buffer = Zeroizing::new([0; LONGEST]);
        let length = key.read(&mut *buffer).ok()?;
        // The kernel tells the whole length, also of what did not fit.
        buffer.get(..length).map(Secret::from)
    }

    fn put(&self, name: &str, secret: &Secret, seconds: u32) -> bool {
        !secret.is_empty() && secret.len() <= LONGEST && add(name, secret, seconds).is_ok()
    }

    fn forget(&self, name: &str) {
        if let Ok(key) = find(name) {
            let _ = key.invalidate().or_else(|_| key.revoke());
        }
    }
}

fn find(name: &str) -> Result<Key, KeyError> {
    KeyRing::from_special_id(KeyRingIdentifier::User, false)?.search(name)
}

/// The user keyring hangs in the session's keyring on most systems, not on all; and only who
/// reaches a key from there owns it enough to set its rights. So the key is made where that always
/// holds, in the thread's keyring, finished there, and then moved.
fn add(name: &str, secret: &Secret, seconds: u32) -> Result<(), KeyError> {
    let user = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
    let thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
    let key = thread.add_key(name, secret.expose())?;
    let finish = || {
        key.set_timeout(seconds as usize)?;
        let rights = KeyPermissionsBuilder::builder()
            .posessor(Permission::ALL)
            .user(Permission::ALL)
            .build();
        key.set_perms(rights)?;
        user.link_key(key)
    };
    let outcome = finish();
    let _ = thread.unlink_key(key);
    outcome
}

/// Bytes of the longest secret kept.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_a_secret_until_it_is_forgotten_or_too_old() {
        let name = format!("openrms:test:{}", std::process::id());
        let (one, two) = (Secret::from(vec![1; 32]), Secret::from(vec![2; 32]));
        assert!(KernelKeyring.get(&name).is_none());
        if !KernelKeyring.put(&name, &one, 60) {
            println!("skipped: the kernel gives no keyring here");
            return;
        }
        // Another thread, as another process, does not own the key: it only is the same user.
        let there = std::thread::scope(|scope| {
            let look = || KernelKeyring.get(&name);
            scope.spawn(look).join().unwrap()
        });
        assert_eq!(there.as_ref(), Some(&one));
        assert!(KernelKeyring.put(&name, &two, 60));
        assert_eq!(KernelKeyring.get(&name).as_ref(), Some(&two));
        KernelKeyring.forget(&name);
        assert!(KernelKeyring.get(&name).is_none());
        assert!(!KernelKeyring.put(&name, &Secret::from(vec![1; 65]), 60));
    }
}
