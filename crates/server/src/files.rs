//! Files that appear complete or not at all, and that only their owner can read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// Makes a new file, readable by its owner only. A file that is there already is left alone:
/// [`io::ErrorKind::AlreadyExists`].
pub(crate) fn create_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = draft(path, contents)?;
    draft
        .persist_noclobber(path)
        .map_err(|refused| refused.error)?;
    sync_folder(path)
}

/// Makes or replaces a file, readable by its owner only.
pub(crate) fn replace_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = draft(path, contents)?;
    draft.persist(path).map_err(|refused| refused.error)?;
    sync_folder(path)
}

/// Makes a folder that only its owner can enter, with the folders above it. One that is there
/// already must not be open to others.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let about = std::fs::metadata(path)?;
            if !about.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
            }
            if about.permissions().mode() & 0o077 != 0 {
                let why = "the folder is open to other users: chmod 700 it, or name another";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            only_as_owner(path)
        }
        made => made,
    }
}

/// Fails for root in a folder that is another user's: what root makes there, that user's server could
/// not read. A folder that is not there is nobody's.
pub(crate) fn only_as_owner(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?.uid(),
    };
    if rustix::process::geteuid().is_root() && owner != 0 {
        let why = format!(
            "the folder is the user's with the number {owner}, who could not read what root makes \
             there: run this as that user, such as `runuser -u openrms -- rmsd ...`"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Reads a text file that holds a secret; at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    // In one piece: what grows leaves copies behind, and these may be secrets.
    let mut bytes = Vec::with_capacity(usize::try_from(limit.min(64 << 10)).unwrap_or(0) + 33);
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is too long",
        ));
    }
    Ok(bytes)
}

/// Keeps others from changing what is in a folder, until the answer is dropped. Waits for whoever
/// is changing it now.
pub(crate) fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(path)?;
    folder.lock()?;
    Ok(folder)
}

/// Holds a lock file together with others, until the answer is dropped. Makes it where it is not.
pub(crate) fn lock_together(path: &Path) -> io::Result<File> {
    let file = lock_file(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// Holds a lock file alone, or not at all while somebody else holds it.
pub(crate) fn lock_alone(path: &Path) -> io::Result<Option<File>> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Removes drafts, folders among them, that a killed process left; to be called with the folder locked.
pub(crate) fn remove_drafts(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DRAFT.as_bytes())
        {
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// A file that is to be in the folder of `path`, readable by its owner only, and is gone when it
/// is dropped before [`persist`].
pub(crate) fn draft_beside(path: &Path) -> io::Result<NamedTempFile> {
    // Temporary files are made with mode 0600.
    NamedTempFile::with_prefix_in(DRAFT, folder(path))
}

/// Gives a draft that was synced its name; with `replace`, in the place of another file.
pub(crate) fn persist(draft: NamedTempFile, path: &Path, replace: bool) -> io::Result<()> {
    let done = if replace {
        draft.persist(path)
    } else {
        draft.persist_noclobber(path)
    };
    done.map_err(|refused| refused.error)?;
    sync_folder(path)
}

/// A folder that only its owner can enter, and that is gone with all that is in it when it is
/// dropped before it is kept.
pub(crate) fn draft_folder(above: &Path) -> io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix(DRAFT)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(above)
}

fn draft(path: &Path, contents: &[u8]) -> io::Result<NamedTempFile> {
    let mut draft = draft_beside(path)?;
    draft.write_all(contents)?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

/// Makes what happened in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// The folder a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the names of drafts begin; those of the database as well.
const DRAFT: &str = ".openrms-new-";
