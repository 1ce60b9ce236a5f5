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
    /// How many records there were before it since the spool was made.
    pub(crate) records: u64,
}

impl Cursor {
    /// `None` when there is no file.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, SpoolError> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(SpoolError::new(&path, error)),
        };
        let read = || {
            let mut numbers = text.strip_suffix('\n')?.split(' ').map(str::parse::<u64>);
            let mut number = || numbers.next()?.ok();
            let (segment, offset, records) = (number()?, number()?, number()?);
            let cursor = Self {
                segment,
                offset,
                records,
            };
            numbers.next().is_none().then_some(cursor)
        };
        read().map(Some).ok_or(SpoolError::Foreign(path))
    }

    /// Its bytes are on the disk before it takes its name, so that a loss of power leaves the one or
    /// the other and never an empty file, with which no spool could be opened.
    pub(crate) fn save(self, folder: &Path) -> Result<(), SpoolError> {
        let failed = |error| SpoolError::new(folder, error);
        let mut draft = NamedTempFile::with_prefix_in(".cursor-", folder).map_err(failed)?;
        let Self {
            segment,
            offset,
            records,
        } = self;
        writeln!(draft, "{segment} {offset} {records}")
            .and_then(|()| draft.as_file().sync_data())
            .map_err(failed)?;
        draft
            .persist(folder.join(NAME))
            .map_err(|refused| failed(refused.error))?;
        Ok(())
    }
}

const NAME: &str = "cursor";
