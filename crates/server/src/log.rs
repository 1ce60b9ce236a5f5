//! Where the server's log goes and what it looks like: standard error, as text or as JSON lines.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// What the log looks like.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Lines for people, or for programs.
    pub format: LogFormat,
    /// What is written: a level, or levels of parts of the program.
    pub level: LogLevel,
}

/// Lines for people, or for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter in the notation of `tracing`, such as `info` or `info,openrms_directory=debug`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogLevel(String);

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel("info,sqlx=warn".to_owned()),
        }
    }
}

impl LogConfig {
    /// Nothing but errors.
    pub(crate) fn errors_only(self) -> Self {
        Self {
            level: LogLevel("error".to_owned()),
            ..self
        }
    }

    /// Begins to write. What `RMSD_LOG` says comes before the configuration's level.
    pub(crate) fn start(&self) {
        let filter =
            EnvFilter::try_from_env("RMSD_LOG").unwrap_or_else(|_| EnvFilter::new(&self.level.0));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(false);
        // Fails where the process has a log already, which is then used.
        let _ = match self.format {
            LogFormat::Json => log.json().flatten_event(true).try_init(),
            LogFormat::Text if is_journal() => log.without_time().try_init(),
            LogFormat::Text => log.try_init(),
        };
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match EnvFilter::try_new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("level {text:?}: {error}")),
        }
    }
}

/// Whether standard error leads to the journal of systemd, which writes times itself.
fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused_by_name() {
        let read = toml::from_str::<LogConfig>;
        let read_well = read("format = 'json'\nlevel = 'warn,openrms_directory=debug'\n").unwrap();
        assert_eq!(read_well.format, LogFormat::Json);
        for (text, name) in [
            ("level = 'a=b=c'", "a=b=c"),
            ("format = 'xml'", "xml"),
            ("colour = true", "colour"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
