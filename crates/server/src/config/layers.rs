//! The files of a configuration: `rmsd.toml`, and the files of the folder `rmsd.d` named after it, of
//! which later names win value by value. So whoever manages machines adds a file of their own and edits
//! nobody else's.

use std::collections::BTreeMap;
use std::fs::{self, File as OpenFile};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize as _, Serialize};
use toml::{Table, Value};

use super::{Config, ConfigError, File};

/// Where a configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The file, which need not be there when the folder has files. Relative paths in all of them start
    /// at its folder.
    pub file: PathBuf,
    /// The folder whose `*.toml` files come after it, in the order of their names; it need not be there.
    pub folder: PathBuf,
}

/// The files that were found, in the order in which they count.
#[derive(Debug, Clone)]
pub struct Layers {
    base: PathBuf,
    layers: Vec<Layer>,
}

/// A value that the configuration sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its name, as TOML writes it: `tls.listen`.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// The file that says so, and has the last word.
    pub file: PathBuf,
}

#[derive(Debug, Clone)]
struct Layer {
    path: PathBuf,
    text: String,
    table: Table,
}

impl Sources {
    /// A file and the folder named after it: `rmsd.toml` and `rmsd.d`.
    pub fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            folder: file.with_extension("d"),
        }
    }

    /// Those of the machine: what its administrator wrote below `/etc/openrms`, else what
    /// provisioning left with the data. `/etc/openrms/rmsd.d` counts either way.
    pub fn of_machine() -> Self {
        let named = Self::of(Path::new(MACHINE_FILE));
        if named.file.exists() {
            return named;
        }
        Self {
            file: STATE_FILE.into(),
            ..named
        }
    }
}

impl Layers {
    /// Reads the files. That there are none is [`ConfigError::File`] of the file that is not there.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        let missing = match Layer::read(&sources.file) {
            Ok(layer) => {
                layers.push(layer);
                None
            }
            Err(ConfigError::File { path, error }) if error.kind() == io::ErrorKind::NotFound => {
                Some(ConfigError::File { path, error })
            }
            Err(error) => return Err(error),
        };
        for path in drop_ins(sources)? {
            layers.push(Layer::read(&path)?);
        }
        match missing {
            Some(error) if layers.is_empty() => Err(error),
            _ => Ok(Self {
                base: sources.file.parent().unwrap_or(Path::new(".")).to_owned(),
                layers,
            }),
        }
    }

    /// The configuration that they make. An error names the file that brought it in.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let error = match self.config_of(self.layers.len()) {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let said = error.to_string();
        let same = |files: &usize| {
            let earlier = self.config_of(*files);
            earlier.is_err_and(|earlier| earlier.to_string() == said)
        };
        // From this file on it was wrong in this way.
        let first = (1..self.layers.len()).rev().take_while(same).last();
        let first = first.unwrap_or(self.layers.len());
        match self.layers.get(first.saturating_sub(1)) {
            Some(layer) => Err(layer.blamed_for(error)),
            None => Err(error),
        }
    }

    /// The files, in the order in which they count.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().map(|layer| layer.path.as_path())
    }

    /// Every value that is set, by name, with the file that has the last word on it.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = BTreeMap::new();
        for layer in &self.layers {
            note(&mut settings, &[], &layer.table, &layer.path);
        }
        let setting = |(path, (value, file)): (Vec<String>, (Value, PathBuf))| Setting {
            key: dotted(&path),
            value,
            file,
        };
        settings.into_iter().map(setting).collect()
    }

    fn config_of(&self, files: usize) -> Result<Config, ConfigError> {
        let mut merged = Table::new();
        for layer in self.layers.iter().take(files) {
            merge(&mut merged, &layer.table);
        }
        let file = File::deserialize(Value::Table(merged)).map_err(ConfigError::Value)?;
        file.resolve(&self.base)
    }
}

impl Layer {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |error| ConfigError::File {
            path: path.to_owned(),
            error,
        };
        let mut text = String::new();
        let file = OpenFile::open(path).map_err(failed)?;
        let length = file.take(LARGEST + 1).read_to_string(&mut text);
        if length.map_err(failed)? as u64 > LARGEST {
            return Err(failed(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("larger than {LARGEST} bytes"),
            )));
        }
        let table = text
            .parse()
            .map_err(|error: toml::de::Error| ConfigError::Syntax {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            text,
            table,
        })
    }

    /// The error with this file's name, and with the line where the file alone is enough to find it.
    fn blamed_for(&self, error: ConfigError) -> ConfigError {
        let path = self.path.clone();
        if let ConfigError::Value(value) = &error
            && let Err(here) = toml::from_str::<File>(&self.text)
            && here.message() == value.message()
        {
            let message = here.to_string();
            return ConfigError::Syntax { path, message };
        }
        ConfigError::In {
            path,
            error: Box::new(error),
        }
    }
}

/// The files of the folder, by name.
fn drop_ins(sources: &Sources) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |error| ConfigError::File {
        path: sources.folder.clone(),
        error,
    };
    // A file that is called as its folder would be has none.
    if sources.folder == sources.file {
        return Ok(Vec::new());
    }
    let entries = match fs::read_dir(&sources.folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Tables grow together; everything else is replaced.
fn merge(under: &mut Table, over: &Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// As [`merge`], of names: what stands below a name that becomes something else is gone.
fn note(
    settings: &mut BTreeMap<Vec<String>, (Value, PathBuf)>,
    above: &[String],
    table: &Table,
    file: &Path,
) {
    for (key, value) in table {
        let path: Vec<String> = above.iter().chain([key]).cloned().collect();
        match value {
            Value::Table(table) if !table.is_empty() => {
                settings.remove(&path);
                note(settings, &path, table, file);
            }
            Value::Table(_) if settings.keys().any(|known| known.starts_with(&path)) => {}
            _ => {
                settings.retain(|known, _| !known.starts_with(&path));
                settings.insert(path, (value.clone(), file.to_owned()));
            }
        }
    }
}

fn dotted(path: &[String]) -> String {
    let is_bare = |part: &str| {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !part.is_empty() && part.bytes().all(bare)
    };
    let part = |part: &String| {
        if is_bare(part) {
            part.clone()
        } else {
            Value::String(part.clone()).to_string()
        }
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

const MACHINE_FILE: &str = "/etc/openrms/rmsd.toml";
/// Where `rmsd provision --data /var/lib/openrms` leaves it.
const STATE_FILE: &str = "/var/lib/openrms/rmsd.toml";
/// Bytes of a file.
const LARGEST: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rmsd.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = Sources::of(&folder.path().join("rmsd.toml"));
        (folder, sources)
    }

    #[test]
    fn later_files_win_value_by_value() {
        let (folder, sources) = folder(&[
            (
                "rmsd.toml",
                "listen = ['127.0.0.1:1', '127.0.0.1:2']\n[limits]\nconnections = 7\nrequests = 7",
            ),
            ("rmsd.d/20-site.toml", "[limits]\nconnections = 9"),
            (
                "rmsd.d/10-all.toml",
                "listen = ['127.0.0.1:3']\nthreads = 3\n[limits]\nconnections = 8",
            ),
            ("rmsd.d/30-off.toml.bak", "nonsense"),
        ]);
        let layers = Layers::read(&sources).unwrap();
        let config = layers.config().unwrap();
        assert_eq!(config.listen, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!((config.limits.connections, config.limits.requests), (9, 7));
        let settings: Vec<_> = layers
            .settings()
            .into_iter()
            .map(|setting| {
                let file = setting.file.strip_prefix(folder.path()).unwrap().to_owned();
                (setting.key, setting.value.to_string(), file)
            })
            .collect();
        let row = |key: &str, value: &str, file: &str| (key.into(), value.into(), file.into());
        assert_eq!(
            settings,
            [
                row("limits.connections", "9", "rmsd.d/20-site.toml"),
                row("limits.requests", "7", "rmsd.toml"),
                row("listen", "[\"127.0.0.1:3\"]", "rmsd.d/10-all.toml"),
                row("threads", "3", "rmsd.d/10-all.toml"),
            ]
        );
    }

    #[test]
    fn the_file_may_be_missing_when_the_folder_has_some() {
        let (folder, sources) = folder(&[("rmsd.d/10.toml", "data = 'here'")]);
        let config = Layers::read(&sources).unwrap().config().unwrap();
        assert_eq!(config.data.path(), folder.path().join("here"));
        fs::remove_file(folder.path().join("rmsd.d/10.toml")).unwrap();
        let error = Layers::read(&sources).unwrap_err();
        assert!(
            matches!(&error, ConfigError::File { path, error }
                if path.ends_with("rmsd.toml") && error.kind() == io::ErrorKind::NotFound),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_an_error_that_names_the_file_which_brought_it() {
        let main = (
            "rmsd.toml",
            "threads = 1\n[credential]\npassword_file = 'p'",
        );
        let fine = ("rmsd.d/90-last.toml", "threads = 2");
        for (text, words) in [
            ("threads =", "10-wrong.toml: TOML parse error"),
            ("treads = 1", "10-wrong.toml: TOML parse error at line 1"),
            (
                "[limits]\nconnections = 'x'",
                "10-wrong.toml: TOML parse error at line 2",
            ),
            (
                "[credential]\nsystemd = 's'",
                "10-wrong.toml: [credential] takes",
            ),
            ("service_level = '7'", "10-wrong.toml: service_level"),
        ] {
            let (_folder, sources) = folder(&[main, ("rmsd.d/10-wrong.toml", text), fine]);
            let error = Layers::read(&sources).and_then(|layers| layers.config());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(
                !error.contains("rmsd.toml") && !error.contains("90-last"),
                "{error}"
            );
        }
        let large = "#".repeat(300_000);
        let (_folder, sources) = folder(&[main, ("rmsd.d/10.toml", &large)]);
        let error = Layers::read(&sources).unwrap_err().to_string();
        assert!(error.contains("10.toml: larger than"), "{error}");
    }

    #[test]
    fn a_table_in_two_files_need_not_be_whole_in_either() {
        let (_folder, sources) = folder(&[
            ("rmsd.toml", "[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'"),
            ("rmsd.d/10-port.toml", "[tls]\nlisten = ['127.0.0.1:9']"),
        ]);
        let tls = Layers::read(&sources).unwrap().config().unwrap().tls;
        assert_eq!(tls.unwrap().listen, ["127.0.0.1:9".parse().unwrap()]);
    }

    #[test]
    fn names_are_written_as_toml_reads_them() {
        let path = ["services", "a b", "", "x-1"].map(str::to_owned);
        assert_eq!(dotted(&path), "services.\"a b\".\"\".x-1");
    }
}
