//! Carrying a channel on: a tar file that is the same wherever it is made, for clusters and machines
//! without a network.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use openrms_xrml::Time;
use serde::Serialize;
use tar::{Builder, Header};

use super::manifest::{Manifest, ReleaseKey};
use super::{Channel, ChannelStatus, RepoError, Repository};
use crate::files;

/// A channel that was written into a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// What it is.
    #[serde(flatten)]
    pub channel: ChannelStatus,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Repository {
    /// Verifies the channel that is served, and writes it into a tar file; with `replace`, in the
    /// place of another file.
    pub fn export(
        &self,
        to: &Path,
        key: &ReleaseKey,
        replace: bool,
        now: Time,
    ) -> Result<Exported, RepoError> {
        if !replace && to.exists() {
            return Err(RepoError::Exists(to.to_owned()));
        }
        let _held = self.hold()?;
        let nothing = || RepoError::Nothing(self.folder.clone());
        let channel = self.current()?.ok_or_else(nothing)?;
        let path = channel.folder.join(Manifest::SIGNATURE);
        let signature =
            files::read_limited(&path, 4096).map_err(|error| RepoError::io(&path, error))?;
        Manifest::verify(&channel.bytes, &signature, key)?;
        channel.check(self.limits)?;
        let failed = |error| RepoError::io(to, error);
        let mut draft = files::draft_beside(to).map_err(failed)?;
        channel.pack(draft.as_file_mut()).map_err(failed)?;
        draft.as_file().sync_all().map_err(failed)?;
        let bytes = draft.as_file().metadata().map_err(failed)?.len();
        files::persist(draft, to, replace).map_err(failed)?;
        Ok(Exported {
            channel: channel.status(now),
            bytes,
        })
    }
}

impl Channel {
    /// The manifest and its signatures first: whoever reads it knows at once what to believe.
    fn pack(&self, to: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        let own = [
            Manifest::FILE,
            Manifest::SIGNATURE,
            Manifest::OPENPGP_SIGNATURE,
        ];
        let listed = self.manifest.files().map(|(path, _)| path);
        for path in own.into_iter().chain(listed) {
            let file = match File::open(self.folder.join(path)) {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && path == Manifest::OPENPGP_SIGNATURE =>
                {
                    continue;
                }
                opened => opened?,
            };
            let mut header = Header::new_ustar();
            header.set_size(file.metadata()?.len());
            header.set_mode(0o644);
            header.set_mtime(self.manifest.serial());
            header.set_path(path)?;
            header.set_cksum();
            archive.append(&header, file)?;
        }
        archive.finish()
    }
}
