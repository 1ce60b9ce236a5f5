//! Windows: rights come by inheritance, every file has a name, the registry knows the machine, and
//! the Data Protection API knows the person.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use windows_dpapi::{Scope, decrypt_data, encrypt_data};
use windows_registry::LOCAL_MACHINE;
use zeroize::Zeroize as _;

use super::Readers;
use crate::lockbox::Protection;

/// What keeps a stored secret from others that has no passphrase.
pub(crate) const WITHOUT_PASSPHRASE: Protection = Protection::Account;

/// What is made in the person's profile is the person's, and elsewhere it is whose its folder is.
pub(super) fn options(_: Readers) -> OpenOptions {
    OpenOptions::new()
}

pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// The profile's rights are inherited: the person, administrators and the system.
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Folders cannot be flushed; the journal of NTFS orders their changes.
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Every file has a name here.
pub(crate) fn unnamed_file(_: &Path, _: Readers) -> Option<File> {
    None
}

pub(crate) fn name_file(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Rights are the folder's.
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn copy_permissions(_: &Metadata, _: &File) -> io::Result<()> {
    Ok(())
}

pub(crate) fn machine_id() -> io::Result<String> {
    let key = LOCAL_MACHINE.open(r"SOFTWARE\Microsoft\Cryptography")?;
    Ok(key.get_string("MachineGuid")?)
}

/// Persons have no numbers here; [`bind_to_account`] tells them apart.
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn uid() -> io::Result<u32> {
    Ok(0)
}

/// Encrypts with a key that only this account has, on this machine or where its profile roams.
pub(crate) fn bind_to_account(secret: &[u8]) -> io::Result<Vec<u8>> {
    encrypt_data(secret, Scope::User, Some(PURPOSE)).map_err(io::Error::other)
}

/// Undoes [`bind_to_account`]; fails for every other account.
pub(crate) fn unbind_from_account(mut stored: Vec<u8>) -> io::Result<Vec<u8>> {
    let opened = decrypt_data(&stored, Scope::User, Some(PURPOSE));
    stored.zeroize();
    opened.map_err(io::Error::other)
}

/// Entropy of the call: what another program has protected does not open here.
const PURPOSE: &[u8] = b"openrms lockbox secret 1";
