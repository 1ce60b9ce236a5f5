//! `rms rights`: what the caller may do with a file, until when, under which conditions.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use openrms_client::{Held, Source};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms rights`.
#[derive(Debug, Args)]
pub(crate) struct Rights {
    /// A protected file, or a bare publishing license.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Rights {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        // What is no protected file is said before anybody is asked for a password.
        let examined = crate::examine::examine(&self.file)?;
        let client = self.connection.ready(shell);
        let client = client.map_err(|failure| examined.name_server(failure))?;
        let held = client.rights_of_file(&self.file)?;
        shell.answer(&document(&self.file, &held), || text(&held))
    }
}

fn document(file: &Path, held: &Held) -> Value {
    let rights: Vec<Value> = held
        .rights
        .iter()
        .map(|held| {
            json!({ "right": held.right.name(), "until": held.until.map(|time| time.to_string()) })
        })
        .collect();
    let names: Map<String, Value> = held
        .names
        .iter()
        .map(|name| (name.lcid.to_string(), name.name.clone().into()))
        .collect();
    let applications: Vec<Value> = held
        .conditions
        .applications
        .iter()
        .map(|list| {
            let policies: Vec<Value> = list
                .policies
                .iter()
                .map(|p| json!({ "filename": p.filename, "min": p.min, "max": p.max }))
                .collect();
            json!({ "exclusion": list.exclusion, "policies": policies })
        })
        .collect();
    let machine: Vec<Value> = held
        .conditions
        .machine
        .iter()
        .map(|condition| {
            json!({ "name": condition.name, "type": condition.kind, "value": condition.value })
        })
        .collect();
    json!({
        "file": file.to_string_lossy(),
        "content_id": held.content_id,
        "template_id": held.policy_id.map(|id| id.to_string()),
        "names": names,
        "owner": held.owner,
        "account": held.account,
        "rights": rights,
        "until": held.until.map(|time| time.to_string()),
        "conditions": {
            "applications": applications,
            "machine": machine,
            "ask_every_time": held.conditions.ask_every_time,
        },
        "source": match held.source {
            Source::Stored => "stored",
            Source::Server => "server",
        },
        "clock_set_back_from": held.clock_set_back_from.map(|time| time.to_string()),
    })
}

fn text(held: &Held) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| _ = writeln!(text, "{label:12} {value}");
    line("account", plain(&held.account));
    line(
        "owner",
        held.owner
            .as_deref()
            .map_or_else(|| "not named".to_owned(), plain),
    );
    for name in &held.names {
        line("policy", plain(&name.name));
    }
    for right in &held.rights {
        let until = right
            .until
            .map(|time| format!("  until {time} UTC"))
            .unwrap_or_default();
        line("right", format!("{}{until}", plain(right.right.name())));
    }
    for list in &held.conditions.applications {
        for policy in &list.policies {
            let verb = if list.exclusion { "not in" } else { "only in" };
            let versions = format!("{} {} to {}", policy.filename, policy.min, policy.max);
            line("condition", format!("{verb} {}", plain(&versions)));
        }
    }
    for condition in &held.conditions.machine {
        line(
            "condition",
            plain(&format!("{} {}", condition.name, condition.value)),
        );
    }
    if held.conditions.ask_every_time {
        line("condition", "the server is asked each time".to_owned());
    }
    if let Some(newest) = held.clock_set_back_from {
        line(
            "clock",
            format!("was set back; this machine has seen {newest} UTC"),
        );
    }
    text
}
