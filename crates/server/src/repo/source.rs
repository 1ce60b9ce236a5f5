//! Where a channel comes from: a folder, or a tar file of one that was carried by hand. Neither is
//! trusted: only plain files count, in bounded numbers, and what else is there is an error.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use super::manifest::{LONGEST_PATH, MOST_FILES};
use super::{Limits, RepoError};

/// A channel that somebody brings.
#[derive(Debug)]
pub(super) enum Source {
    /// The folder itself.
    Folder(PathBuf),
    /// A tar file of it.
    Bundle(PathBuf),
}

/// Takes a file: its path and what is in it.
type Take<'t> = dyn FnMut(&str, &mut dyn Read) -> Result<(), RepoError> + 't;

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, RepoError> {
        let about = fs::metadata(path).map_err(|error| RepoError::io(path, error))?;
        if about.is_dir() {
            Ok(Self::Folder(path.to_owned()))
        } else {
            Ok(Self::Bundle(path.to_owned()))
        }
    }

    /// A small file, before anything else is looked at.
    pub(super) fn small(&self, name: &str, most: usize) -> Result<Vec<u8>, RepoError> {
        let mut found = None;
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                match plain_file(&path) {
                    Ok(file) => found = Some(bounded(&path, file, most)?),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(RepoError::io(&path, error)),
                }
            }
            Self::Bundle(bundle) => each_of_bundle(bundle, &mut |path, contents| {
                if path == name && found.is_none() {
                    found = Some(bounded(Path::new(path), contents, most)?);
                }
                Ok(())
            })?,
        }
        found.ok_or_else(|| RepoError::FileMissing(name.to_owned()))
    }

    /// Hands over every file, in any order.
    pub(super) fn each(&self, take: &mut Take<'_>) -> Result<(), RepoError> {
        match self {
            Self::Folder(folder) => {
                let mut files = 0;
                each_of_folder(folder, "", &mut files, take)
            }
            Self::Bundle(bundle) => each_of_bundle(bundle, take),
        }
    }
}

/// Everything below a folder, with what stands before its names.
fn each_of_folder(
    folder: &Path,
    before: &str,
    files: &mut usize,
    take: &mut Take<'_>,
) -> Result<(), RepoError> {
    let failed = |error| RepoError::io(folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        *files += 1;
        if *files > MOST_ENTRIES {
            return Err(RepoError::Bundle("there are too many files".into()));
        }
        let place = entry.path();
        let name = entry.file_name();
        let path = format!("{before}{}", name.to_string_lossy());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            // No manifest names anything deeper.
            if path.len() > LONGEST_PATH {
                return Err(RepoError::NotListed(path));
            }
            each_of_folder(&place, &format!("{path}/"), files, take)?;
        } else if kind.is_file() {
            let mut file = plain_file(&place).map_err(|error| RepoError::io(&place, error))?;
            take(&path, &mut file)?;
        } else {
            return Err(RepoError::NotListed(path));
        }
    }
    Ok(())
}

fn each_of_bundle(bundle: &Path, take: &mut Take<'_>) -> Result<(), RepoError> {
    let failed = |error: io::Error| RepoError::Bundle(format!("{}: {error}", bundle.display()));
    let file = File::open(bundle).map_err(|error| RepoError::io(bundle, error))?;
    let mut archive = Archive::new(BufReader::new(file));
    // Raw: what extends a name or a file, of any length, is an entry like others, and refused.
    let entries = archive.entries_with_seek().map_err(failed)?.raw(true);
    for (index, entry) in entries.enumerate() {
        let mut entry = entry.map_err(failed)?;
        if index >= MOST_ENTRIES {
            return Err(RepoError::Bundle("there are too many files".into()));
        }
        let name = entry.path_bytes();
        let path = String::from_utf8_lossy(&name).into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path);
        match entry.header().entry_type() {
            EntryType::Directory => {}
            EntryType::Regular => take(path, &mut entry)?,
            other => {
                let kind = char::from(other.as_byte());
                let what = format!(
                    "{path:?} is an entry of type {kind:?}: only plain files are taken, in the \
                     format ustar (`rmsd repo export`, `tar --format=ustar`)"
                );
                return Err(RepoError::Bundle(what));
            }
        }
    }
    Ok(())
}

/// Opens a file that is no link, and nothing else than a file.
fn plain_file(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"))
    }
}

fn bounded(path: &Path, contents: impl Read, most: usize) -> Result<Vec<u8>, RepoError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    contents
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| RepoError::io(path, error))?;
    if bytes.len() > most {
        return Err(RepoError::TooLarge(path.display().to_string(), limit - 1));
    }
    Ok(bytes)
}

/// Copies a file within the bounds; the bytes that were copied are handed on as they come.
pub(super) fn copy(
    path: &str,
    from: &mut dyn Read,
    left: &mut u64,
    limits: Limits,
    mut take: impl FnMut(&[u8]) -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let most = limits.file_bytes.min(*left);
    let mut copied = 0_u64;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(RepoError::io(Path::new(path), error)),
        };
        copied += length as u64;
        if copied > most {
            return Err(RepoError::TooLarge(path.to_owned(), most));
        }
        *left -= length as u64;
        take(buffer.get(..length).unwrap_or_default())?;
    }
}

/// Files and folders; a channel has a folder for each few files.
const MOST_ENTRIES: usize = 4 * MOST_FILES;
const BUFFER: usize = 64 << 10;
