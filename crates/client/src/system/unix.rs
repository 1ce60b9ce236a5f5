//! Linux: modes of files, files without names, `/etc/machine-id`.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::Readers;
use crate::lockbox::Protection;

/// What keeps a stored secret from others that has no passphrase.
pub(crate) const WITHOUT_PASSPHRASE: Protection = Protection::FileOnly;

pub(super) fn options(readers: Readers) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(mode(readers));
    options
}

pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file without a name; `None` where the file system has none, or where it could not be given a
/// name later.
pub(crate) fn unnamed_file(folder: &Path, readers: Readers) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::open(folder, flags, Mode::from_raw_mode(mode(readers))).ok()?;
    let file = File::from(file);
    fs::symlink_metadata(handle_of(&file)).ok()?;
    Some(file)
}

/// Gives an unnamed file a name, which must not be taken.
pub(crate) fn name_file(file: &File, name: &Path) -> io::Result<()> {
    let from = handle_of(file);
    rustix::fs::linkat(CWD, from, CWD, name, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

pub(crate) fn copy_permissions(from: &Metadata, to: &File) -> io::Result<()> {
    to.set_permissions(Permissions::from_mode(from.permissions().mode() & 0o777))
}

pub(crate) fn machine_id() -> io::Result<String> {
    fs::read_to_string("/etc/machine-id")
        .or_else(|_| fs::read_to_string("/var/lib/dbus/machine-id"))
}

/// Number of the person: the owner of a process's own entry is its effective user.
pub(crate) fn uid() -> io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

/// The modes of files are all there is: the secret stays as it is.
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn bind_to_account(secret: &[u8]) -> io::Result<Vec<u8>> {
    Ok(secret.to_vec())
}

/// Undoes [`bind_to_account`].
#[allow(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub(crate) fn unbind_from_account(stored: Vec<u8>) -> io::Result<Vec<u8>> {
    Ok(stored)
}

fn mode(readers: Readers) -> u32 {
    match readers {
        Readers::Owner => 0o600,
        // Less what the person's mask takes.
        Readers::Usual => 0o666,
    }
}

/// The name by which this process itself knows an open file.
fn handle_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}
