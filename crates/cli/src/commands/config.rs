//! `rms config`: what is set, and who set it.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use openrms_client::SetBy;
use openrms_client::configuration::Setting;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Shows every setting in force, without passwords.
    Show(Show),
}

/// Arguments of `rms config show`.
#[derive(Debug, Args)]
struct Show {
    /// Say as well who set it: which line of which file, which variable, which option.
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Config {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let ConfigCommand::Show(show) = self.command;
        let client = show.connection.client(shell)?;
        let settings = client.configuration()?;
        let documents: Vec<Value> = settings.iter().map(|s| document(s, show.origin)).collect();
        shell.answer(&json!({ "settings": documents }), || {
            let widest = settings.iter().map(|setting| setting.key.len()).max();
            let width = widest.unwrap_or_default();
            let mut text = String::new();
            for setting in &settings {
                let value = plain(&shown(&setting.value));
                _ = write!(text, "{:width$}  {value}", plain(&setting.key));
                if show.origin {
                    let end = if setting.is_final { ", final" } else { "" };
                    _ = write!(text, "  [{}{end}]", plain(&setting.by.to_string()));
                }
                text.push('\n');
            }
            text
        })
    }
}

pub(super) fn document(setting: &Setting, with_origin: bool) -> Value {
    let mut document = json!({ "key": setting.key, "value": setting.value });
    if let (true, Some(fields)) = (with_origin, document.as_object_mut()) {
        fields.insert("origin".to_owned(), origin(&setting.by));
        fields.insert("final".to_owned(), setting.is_final.into());
    }
    document
}

fn origin(by: &SetBy) -> Value {
    let place = match by {
        SetBy::Person(place) | SetBy::Machine(Some(place)) => Some(place),
        _ => None,
    };
    let name = match by {
        SetBy::Command(name) | SetBy::Environment(name) => Some(*name),
        _ => place.map(openrms_client::Place::name),
    };
    json!({ "kind": by.name(), "name": name, "line": place.and_then(openrms_client::Place::line) })
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
