//! `rmsd config`: what the configuration of this server says, and which of its files says it.

use clap::{Args, Subcommand};
use serde_json::json;
use toml::Value;

use super::{Failure, Output, Place};
use crate::config::{ConfigError, Layers, Setting};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every value that is set. What is not set is as the manual says.
    Show(Show),
    /// Say whether the files make a configuration, and which of them is wrong.
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    place: Place,
    /// Name the file that says so beside each value.
    #[arg(long)]
    origin: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &ConfigCommand, output: &Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(command) => show(command, output),
        ConfigCommand::Check(command) => check(command, output),
    }
}

fn show(command: &Show, output: &Output) -> Result<(), Failure> {
    let layers = good(&command.place)?;
    let settings: Vec<_> = layers.settings().into_iter().map(without_secrets).collect();
    let line = |setting: &Setting| {
        let Setting { key, value, file } = setting;
        if command.origin {
            format!("{key} = {value}  # {}", file.display())
        } else {
            format!("{key} = {value}")
        }
    };
    let text = settings.iter().map(line).collect::<Vec<_>>().join("\n");
    let files: Vec<_> = layers.files().collect();
    output.answer(&json!({ "files": files, "settings": settings }), text);
    Ok(())
}

fn check(command: &Check, output: &Output) -> Result<(), Failure> {
    let layers = good(&command.place)?;
    let files: Vec<_> = layers.files().collect();
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    output.answer(&json!({ "files": files }), names.join("\n"));
    Ok(())
}

/// The files, which make a configuration. Whether it can be served is not looked at.
fn good(place: &Place) -> Result<Layers, Failure> {
    let layers = Layers::read(&place.sources())?;
    match layers.config() {
        Ok(_) => Ok(layers),
        // Only the service itself has its credentials.
        Err(ConfigError::In { error, .. }) if matches!(*error, ConfigError::NoCredentials(_)) => {
            Ok(layers)
        }
        Err(error) => Err(error.into()),
    }
}

/// Secrets are in files of their own; only the URL of a proxy may hold one.
fn without_secrets(mut setting: Setting) -> Setting {
    if let Value::String(text) = &mut setting.value
        && let Some((scheme, rest)) = text.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        *text = format!("{scheme}://{user}:***@{host}");
    }
    setting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        let shown = |url: &str| {
            let setting = Setting {
                key: "outbound.proxy".into(),
                value: Value::String(url.into()),
                file: "rmsd.toml".into(),
            };
            without_secrets(setting).value.to_string()
        };
        assert_eq!(
            shown("http://rms:s3c@ret:1@proxy.example:3128"),
            "\"http://rms:***@proxy.example:3128\""
        );
        for open in [
            "http://proxy.example:3128",
            "http://rms@proxy.example",
            "a:b@c",
        ] {
            assert_eq!(shown(open), format!("{open:?}"));
        }
    }
}
