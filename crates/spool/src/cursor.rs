//! How far a spool was drained: a small file that is replaced as a whole.

use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::SpoolError;

/// The place after the last record that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cursor {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl Cursor {
    /// At the very beginning when there is no file.
    pub(crate) fn load(folder: &Path) -> Result<Self, SpoolError> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(SpoolError::new(&path, error)),
        };
        let read = || {
            let (segment, offset) = text.strip_suffix('\n')?.split_once(' ')?;
            Some(Self {
                segment: segment.parse().ok()?,
                offset: offset.parse().ok()?,
            })
        };
        read().ok_or(SpoolError::Foreign(path))
    }

    /// Not synced to the disk: after a loss of power, records that were done are read again.
    pub(crate) fn save(self, folder: &Path) -> Result<(), SpoolError> {
        let failed = |error| SpoolError::new(folder, error);
        let mut draft = NamedTempFile::with_prefix_in(".cursor-", folder).map_err(failed)?;
        writeln!(draft, "{} {}", self.segment, self.offset).map_err(failed)?;
        draft
            .persist(folder.join(NAME))
            .map_err(|refused| failed(refused.error))?;
        Ok(())
    }
}

const NAME: &str = "cursor";
