//! Bringing a channel in. Nothing is believed before the signature over the manifest was verified, and
//! nothing is served before every file was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;

use openrms_crypto::Sha256;
use openrms_xrml::Time;
use serde::Serialize;

use super::manifest::{MOST_BYTES, Manifest, ReleaseKey, Version};
use super::source::{self, Source};
use super::{CHANNEL, CURRENT, Channel, ChannelStatus, Limits, RepoError, Repository};
use crate::files;

/// A channel that was brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// What it is.
    #[serde(flatten)]
    pub channel: ChannelStatus,
    /// Whether it was there already, whole, and nothing was done.
    pub already: bool,
}

impl Repository {
    /// Brings in the channel in a folder or a tar file of one, when it is signed with `key`, not
    /// expired, not older than what is or was here, and complete. The one before stays on the disk
    /// until the next is brought in, for downloads that are under way.
    pub fn import(&self, from: &Path, key: &ReleaseKey, now: Time) -> Result<Imported, RepoError> {
        let source = Source::open(from)?;
        let bytes = source.small(Manifest::FILE, MOST_BYTES)?;
        let signature = source.small(Manifest::SIGNATURE, LONGEST_SIGNATURE)?;
        let manifest = Manifest::verify(&bytes, &signature, key)?;
        if manifest.is_expired(now) {
            return Err(RepoError::Expired(manifest.expires()));
        }
        let held = self.hold()?;
        self.refuse_older(&manifest)?;
        // One that cannot be read any more is in nobody's way.
        let present = self.current().ok().flatten();
        if let Some(present) = present.as_ref().filter(|present| present.bytes == bytes)
            && present.check(self.limits).is_ok()
        {
            // Nothing is needed of it; but whoever brings it wants to know what it is worth.
            take_all(&source, &manifest, None, self.limits)?;
            return Ok(Imported {
                channel: present.status(now),
                already: true,
            });
        }
        let draft = files::draft_folder(&self.folder)
            .map_err(|error| RepoError::io(&self.folder, error))?;
        take_all(&source, &manifest, Some(draft.path()), self.limits)?;
        // They are small, and were read once: what was verified is what is kept.
        for (name, bytes) in [(Manifest::FILE, &bytes), (Manifest::SIGNATURE, &signature)] {
            let path = draft.path().join(name);
            fs::write(&path, bytes).map_err(|error| RepoError::io(&path, error))?;
        }
        let synced = File::open(draft.path()).and_then(|folder| {
            rustix::fs::syncfs(folder)?;
            Ok(())
        });
        synced.map_err(|error| RepoError::io(draft.path(), error))?;
        let random = openrms_crypto::random::guid_bytes()
            .map_err(|error| RepoError::io(&self.folder, io::Error::other(error)))?;
        let name = format!(
            "{CHANNEL}{}-{:08x}",
            manifest.serial(),
            u128::from_le_bytes(random) >> 96
        );
        let folder = self.folder.join(&name);
        fs::rename(draft.path(), &folder).map_err(|error| RepoError::io(&folder, error))?;
        // The name is gone, and so is nothing else.
        let _ = draft.keep();
        self.remember(&manifest)?;
        self.point_to(&name)?;
        let before = present.map(|present| present.folder);
        let keep: Vec<&Path> = [Some(folder.as_path()), before.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        self.remove_others(&keep)?;
        drop(held);
        let channel = Channel {
            folder: folder.clone(),
            manifest,
            bytes,
        };
        Ok(Imported {
            channel: channel.status(now),
            already: false,
        })
    }

    fn refuse_older(&self, manifest: &Manifest) -> Result<(), RepoError> {
        let Some(seen) = self.seen()? else {
            return Ok(());
        };
        if manifest.serial() < seen.serial {
            return Err(RepoError::Replayed {
                found: manifest.serial(),
                seen: seen.serial,
            });
        }
        let version = Version::parse(&seen.version);
        if version.is_some_and(|version| manifest.version().is_before(&version)) {
            return Err(RepoError::Older {
                found: manifest.version().to_string(),
                seen: seen.version,
            });
        }
        Ok(())
    }

    /// Serves a channel in the place of the one before, in one step.
    fn point_to(&self, name: &str) -> Result<(), RepoError> {
        let link = self.folder.join(CURRENT);
        let failed = |error| RepoError::io(&link, error);
        let draft = files::draft_folder(&self.folder).map_err(failed)?;
        let fresh = draft.path().join(CURRENT);
        symlink(name, &fresh).map_err(failed)?;
        fs::rename(&fresh, &link).map_err(failed)?;
        files::sync_folder(&link).map_err(failed)
    }
}

impl Channel {
    /// Reads every file, and compares it with the manifest.
    pub(super) fn check(&self, limits: Limits) -> Result<(), RepoError> {
        let mut left = limits.all_bytes;
        for (path, sum) in self.manifest.files() {
            let place = self.folder.join(path);
            let mut file = match File::open(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(RepoError::FileMissing(path.to_owned()));
                }
                opened => opened.map_err(|error| RepoError::io(&place, error))?,
            };
            let mut hash = Sha256::new();
            source::copy(path, &mut file, &mut left, limits, |bytes| {
                hash.update(bytes);
                Ok(())
            })?;
            if hash.finish() != *sum {
                return Err(RepoError::FileAltered(path.to_owned()));
            }
        }
        Ok(())
    }
}

/// Compares everything with the manifest, and copies it on the way when there is somewhere `to`. What
/// the manifest does not list is an error, but for its signatures.
fn take_all(
    source: &Source,
    manifest: &Manifest,
    to: Option<&Path>,
    limits: Limits,
) -> Result<(), RepoError> {
    let mut missing: BTreeSet<&str> = manifest.files().map(|(path, _)| path).collect();
    let mut left = limits.all_bytes;
    source.each(&mut |path, contents| {
        if path == Manifest::FILE || path == Manifest::SIGNATURE {
            return Ok(());
        }
        let mut limits = limits;
        if path == Manifest::OPENPGP_SIGNATURE {
            limits.file_bytes = LONGEST_OPENPGP;
        }
        let sum = manifest.sum(path);
        if sum.is_none() && path != Manifest::OPENPGP_SIGNATURE {
            return Err(RepoError::NotListed(path.to_owned()));
        }
        if sum.is_some() && !missing.remove(path) {
            return Err(RepoError::Bundle(format!("{path} is in it twice")));
        }
        let mut copy = to.map(|to| begin(&to.join(path))).transpose()?;
        let mut hash = Sha256::new();
        source::copy(path, contents, &mut left, limits, |bytes| {
            hash.update(bytes);
            match &mut copy {
                Some(copy) => copy
                    .write_all(bytes)
                    .map_err(|error| RepoError::io(Path::new(path), error)),
                None => Ok(()),
            }
        })?;
        if sum.is_some_and(|sum| hash.finish() != *sum) {
            return Err(RepoError::FileAltered(path.to_owned()));
        }
        Ok(())
    })?;
    match missing.first() {
        Some(path) => Err(RepoError::FileMissing((*path).to_owned())),
        None => Ok(()),
    }
}

/// A new file, with the folders above it.
fn begin(place: &Path) -> Result<File, RepoError> {
    fs::create_dir_all(files::folder(place))
        .and_then(|()| File::create_new(place))
        .map_err(|error| RepoError::io(place, error))
}

/// Bytes of an `OpenPGP` signature, which only those verify who use it.
pub(super) const LONGEST_OPENPGP: u64 = 64 << 10;
/// Bytes of a signature in base64.
const LONGEST_SIGNATURE: usize = 2048;
