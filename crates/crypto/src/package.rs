//! A security processor on its way to a machine that does not make its own (MS-RMPR 3.2.4.1). The
//! specification leaves the format to whoever makes it; this is ours:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ORMSSP\r\n` |
//! | 1 | version, 1 |
//! | rest | the private key as a PRIVATEKEYBLOB, in an [`envelope`] |
//!
//! The envelope's key is derived from the machine's hardware identifier. That binds a package to its
//! machine, so that another one refuses it. It keeps nothing secret, as the identifier travels beside
//! it: that the key is read by nobody on the way is the business of TLS.

use zeroize::Zeroizing;

use crate::envelope::{self, EnvelopeError};
use crate::rsa::{ImportError, SoftwareKey};

/// Why a package does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// It does not begin like one.
    #[error("not a package of a security processor")]
    NotAPackage,
    /// Its version is unknown.
    #[error("a package of version {0}")]
    Version(u8),
    /// It is for another machine, or was changed.
    #[error("the package is for another machine, or was changed")]
    OtherMachine,
    /// What is in it is no key.
    #[error("the key in the package: {0}")]
    Key(#[from] ImportError),
}

/// Packs a key for the machine of that hardware identifier.
pub fn seal(key: &SoftwareKey, machine: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let blob = key.to_private_key_blob();
    let sealed = envelope::seal(&*binding(machine)?, MAGIC, blob.expose())?;
    Ok([MAGIC, &[VERSION], &sealed].concat())
}

/// Takes the key out, on the machine of that hardware identifier.
pub fn open(package: &[u8], machine: &[u8]) -> Result<SoftwareKey, PackageError> {
    let versioned = package
        .strip_prefix(MAGIC)
        .and_then(<[u8]>::split_first)
        .ok_or(PackageError::NotAPackage)?;
    let sealed = match versioned {
        (&VERSION, sealed) => sealed,
        (&version, _) => return Err(PackageError::Version(version)),
    };
    let open = |key: Zeroizing<[u8; 32]>| envelope::open(&key, MAGIC, sealed);
    let blob = binding(machine).and_then(open);
    let blob = blob.map_err(|_| PackageError::OtherMachine)?;
    Ok(SoftwareKey::from_private_key_blob(blob.expose())?)
}

fn binding(machine: &[u8]) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    envelope::derive(machine, b"", b"openrms security processor package 1")
}

const MAGIC: &[u8] = b"ORMSSP\r\n";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsa::PrivateKey as _;
    use crate::{Mode, sha256};

    #[test]
    fn a_package_opens_on_its_machine_alone() {
        let key = SoftwareKey::generate(Mode::One).unwrap();
        let (here, there) = (sha256(b"here"), sha256(b"there"));
        let package = seal(&key, &here).unwrap();
        assert_eq!(open(&package, &here).unwrap().public(), key.public());
        let opened = |package: &[u8], machine: &[u8]| open(package, machine).map(|_| ());
        assert_eq!(opened(&package, &there), Err(PackageError::OtherMachine));
        for at in 9..package.len() {
            let mut changed = package.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&changed, &here), Err(PackageError::OtherMachine));
            assert_eq!(
                opened(&package[..at], &here),
                Err(PackageError::OtherMachine)
            );
        }
    }

    #[test]
    fn what_is_no_package_is_said_to_be_none() {
        let opened = |package: &[u8]| open(package, &[0; 32]).map(|_| ());
        for none in [&b""[..], b"ORMSSP\r\n", b"ORMSSP\n\r\x01rest"] {
            assert_eq!(opened(none), Err(PackageError::NotAPackage));
        }
        assert_eq!(opened(b"ORMSSP\r\n\x02"), Err(PackageError::Version(2)));
    }

    #[test]
    fn a_package_with_something_else_in_it_is_refused() {
        let machine = [7; 20];
        let sealed = envelope::seal(&binding(&machine).unwrap(), MAGIC, b"no key").unwrap();
        let package = [MAGIC, &[VERSION], &sealed].concat();
        let error = open(&package, &machine).map(|_| ()).unwrap_err();
        assert!(matches!(error, PackageError::Key(_)), "{error}");
    }
}
