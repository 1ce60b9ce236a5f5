//! `rms templates` and `rms licenses`: the local stores.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use openrms_client::{Client, Purge};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms templates`.
#[derive(Debug, Args)]
pub(crate) struct Templates {
    #[command(subcommand)]
    command: Option<TemplatesCommand>,
    #[command(flatten)]
    connection: Connection,
}

/// What can be done with templates.
#[derive(Debug, Subcommand)]
enum TemplatesCommand {
    /// Fetches what is new or changed at the server, and deletes what is gone.
    Sync(SyncTemplates),
    /// Shows the templates that are here.
    List,
}

/// Arguments of `rms templates sync`.
#[derive(Debug, Args)]
struct SyncTemplates {
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `rms licenses`.
#[derive(Debug, Args)]
pub(crate) struct Licenses {
    #[command(subcommand)]
    command: Option<LicensesCommand>,
}

/// What can be done with use licenses.
#[derive(Debug, Subcommand)]
enum LicensesCommand {
    /// Shows the use licenses that are here.
    List,
    /// Deletes use licenses: those that give no right any more, unless told otherwise.
    Purge {
        /// All of them.
        #[arg(long, conflicts_with = "content")]
        all: bool,
        /// Those of one content.
        #[arg(long, value_name = "GUID")]
        content: Option<String>,
    },
}

impl Templates {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        match self.command {
            Some(TemplatesCommand::Sync(sync)) => {
                // Options may stand before or behind the word.
                let connection = Connection {
                    server: sync.connection.server.or(self.connection.server),
                    user: sync.connection.user.or(self.connection.user),
                    password_file: sync
                        .connection
                        .password_file
                        .or(self.connection.password_file),
                    ca_file: sync.connection.ca_file.or(self.connection.ca_file),
                    yes: sync.connection.yes || self.connection.yes,
                    // Nobody asks for licenses here.
                    any_license_server: false,
                };
                synchronize(shell, &connection.ready(shell)?)
            }
            Some(TemplatesCommand::List) | None => {
                list_templates(shell, &self.connection.client(shell)?)
            }
        }
    }
}

impl Licenses {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let client = Connection::default().client(shell)?;
        let purge = match self.command {
            None | Some(LicensesCommand::List) => return list_licenses(shell, &client),
            Some(LicensesCommand::Purge { all: true, .. }) => Purge::All,
            Some(LicensesCommand::Purge {
                content: Some(id), ..
            }) => Purge::Content(crate::report::braced(&id)),
            Some(LicensesCommand::Purge { .. }) => Purge::Expired,
        };
        let gone = client.purge_licenses(&purge)?;
        shell.answer(&json!({ "purged": gone }), || {
            format!("{gone} use licenses deleted")
        })
    }
}

fn synchronize(shell: Shell, client: &Client) -> Result<(), Failure> {
    let synced = client.sync_templates()?;
    let fetched: Vec<String> = synced.fetched.iter().map(ToString::to_string).collect();
    let document = json!({
        "fetched": fetched,
        "unchanged": synced.unchanged,
        "removed": synced.removed,
    });
    shell.answer(&document, || {
        let (new, same, gone) = (fetched.len(), synced.unchanged, synced.removed.len());
        format!("{new} templates new or changed, {same} as before, {gone} removed")
    })
}

fn list_templates(shell: Shell, client: &Client) -> Result<(), Failure> {
    let templates = client.templates()?;
    let mut text = String::new();
    let mut documents = Vec::new();
    for template in &templates {
        let (mut names, mut descriptions) = (Map::new(), Map::new());
        for name in template.names() {
            names.insert(name.lcid.to_string(), name.name.into());
            descriptions.insert(name.lcid.to_string(), name.description.into());
        }
        documents.push(json!({
            "id": template.id().to_string(),
            "names": names,
            "descriptions": descriptions,
            "issued": template.issued().to_string(),
        }));
        let shown = template.name_in(ENGLISH);
        let (name, about) = shown
            .map(|name| (name.name, name.description))
            .unwrap_or_default();
        _ = writeln!(
            text,
            "{}  {}  {}",
            template.id(),
            plain(&name),
            plain(&about)
        );
    }
    if templates.is_empty() {
        shell.say("there are no templates here; `rms templates sync` fetches them");
    }
    shell.answer(&json!({ "templates": documents }), || text)
}

fn list_licenses(shell: Shell, client: &Client) -> Result<(), Failure> {
    let licenses = client.licenses()?;
    let documents: Vec<Value> = licenses
        .iter()
        .map(|license| {
            let rights: Vec<&str> = license
                .rights
                .iter()
                .map(openrms_xrml::rights::Right::name)
                .collect();
            json!({
                "content_id": license.content_id,
                "account": license.account,
                "owner": license.owner,
                "issued": license.issued.to_string(),
                "rights": rights,
                "until": license.until.map(|time| time.to_string()),
            })
        })
        .collect();
    shell.answer(&json!({ "licenses": documents }), || {
        let mut text = String::new();
        for license in &licenses {
            let rights: Vec<_> = license
                .rights
                .iter()
                .map(openrms_xrml::rights::Right::name)
                .collect();
            let rights = if rights.is_empty() {
                "no right".to_owned()
            } else {
                rights.join(",")
            };
            let until = license
                .until
                .map(|t| format!(" until {t}"))
                .unwrap_or_default();
            _ = writeln!(
                text,
                "{}  {}  {}{until}  from {}",
                plain(&license.content_id),
                plain(&license.account),
                plain(&rights),
                plain(license.owner.as_deref().unwrap_or("-"))
            );
        }
        text
    })
}

const ENGLISH: u32 = 1033;
