//! Where settings stand: files in their order, each read with a bound, each value with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::MachineSettingsError;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    name: String,
    line: Option<usize>,
}

/// The text of a file with settings.
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Place {
    /// A file, or whatever else holds settings, as a whole.
    pub fn of(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            line: None,
        }
    }

    /// The file or key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line, counted from 1, where it is known.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Layer {
    /// Reads a file; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, MachineSettingsError> {
        Ok(read_bounded(path, LARGEST)?.map(|text| Self {
            path: path.to_owned(),
            text,
        }))
    }

    /// All files of a folder whose names end in `.toml`, in the order of their names.
    pub(super) fn drop_ins(folder: &Path) -> Result<Vec<Self>, MachineSettingsError> {
        let io = |source| io_error(folder, source);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|name| name == "toml") {
                files.push(path);
            }
        }
        files.sort_unstable();
        let read = files.iter().map(|path| Self::read(path));
        read.filter_map(Result::transpose).collect()
    }
}

/// The keys of a text, the ones in tables with those before them (`service_location.activation`),
/// each with its place. Nothing where the text is not TOML.
pub(crate) fn places(name: &str, text: &str) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        collect(table.get_ref(), "", &mut |key, at| {
            let line = Some(line_of(text, at));
            let name = name.to_owned();
            places.insert(key, Place { name, line });
        });
    }
    places
}

/// The line of an offset in a text, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    1 + before.matches('\n').count()
}

/// Reads a text that an administrator has placed; `None` when there is no such file. One that
/// everybody may change is nobody's word.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Option<String>, MachineSettingsError> {
    let io = |source| io_error(path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if is_writable_by_all(&file.metadata().map_err(io)?) {
        return Err(MachineSettingsError::WritableByAll {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    let length = file
        .take(most.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(io)?;
    if length as u64 > most {
        return Err(MachineSettingsError::Malformed {
            path: path.to_owned(),
            reason: format!("it is larger than {most} bytes"),
        });
    }
    Ok(Some(text))
}

#[cfg(unix)]
fn is_writable_by_all(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o002 != 0
}

/// Access lists are not read; the folder is one that only administrators may write to.
#[cfg(not(unix))]
fn is_writable_by_all(_: &fs::Metadata) -> bool {
    false
}

fn collect(table: &DeTable<'_>, before: &str, found: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let name = match before {
            "" => key.get_ref().to_string(),
            before => format!("{before}.{}", key.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(table) => collect(table, &name, found),
            _ => found(name, key.span().start),
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> MachineSettingsError {
    MachineSettingsError::Io {
        path: path.to_owned(),
        source,
    }
}

const LARGEST: u64 = 256 * 1024;
