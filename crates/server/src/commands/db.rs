//! `rmsd db`: where the database of a cluster is, and moving it to a database server.

use std::io::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use openrms_crypto::sha256;
use openrms_store::{Change, Found, Location, RowSink, SCHEMA, StoreError, Table, Value as Cell};
use serde_json::{Value, json};

use super::{Failure, Output, Place};
use crate::config::Config;
use crate::credential::Credential;
use crate::database::{Database, DatabaseServer};
use crate::moving::{self, Moved};
use crate::open::{OpenError, blocking};
use crate::people::{self, PeopleSource};
use crate::servers::ListedServer;

#[derive(Debug, Subcommand)]
pub(super) enum Db {
    /// Tell where the database is, what is in it, and which servers of the cluster use it.
    Status(Status),
    /// Write the configuration of the cluster, one line of JSON for each row, always in the same order: two that are
    /// equal byte for byte are equal. Of private keys it has the SHA-256 of what is stored, and nothing of people's
    /// keys, of what was issued, and of which servers there are.
    Export(Export),
    /// Move everything to a database server, into an empty database or one that is made. The servers of the cluster are
    /// stopped before; the old database is left as it is, and no server starts from it any more.
    Migrate(Migrate),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The new database: a URL that begins with `postgres://` and holds no password.
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the password of its user.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Check everything and count what would be moved, but write nothing to the new database.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Db, output: &Output) -> Result<(), Failure> {
    match command {
        Db::Status(command) => status(command, output),
        Db::Export(command) => export(command, output),
        Db::Migrate(command) => migrate(command, output),
    }
}

fn status(command: &Status, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let location = config.database.location().map_err(OpenError::from)?;
    let document = blocking(async || Ok::<_, Failure>(look(&location).await?))?;
    let text = |name: &str| match &document[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![format!("{}: {}", text("database"), text("found"))];
    if !document["schema"].is_null() {
        let (schema, newest) = (text("schema"), text("newest_schema"));
        lines.push(format!("schema {schema}, of this release {newest}"));
    }
    if !document["version"].is_null() {
        lines.push(format!("configuration version {}", text("version")));
    }
    for server in document["servers"].as_array().into_iter().flatten() {
        let part = |name: &str| server[name].as_str().unwrap_or_default();
        let seen = part("last_seen");
        let level = server["service_level"].as_str();
        let level = level.map_or_else(String::new, |level| format!(", level {level}"));
        lines.push(format!(
            "server {}, {}, release {}{level}, seen {seen}",
            part("name"),
            part("address"),
            part("version")
        ));
    }
    output.answer(&document, lines.join("\n"));
    Ok(())
}

/// What there is to say about a database. A schema of another release is not touched.
async fn look(location: &Location) -> Result<Value, StoreError> {
    let found = location.inspect().await?;
    let (schema, moved_to) = match location.schema().await {
        Err(StoreError::Moved { to }) => (None, Some(to)),
        schema => (schema?, None),
    };
    let mut document = json!({
        "database": location.to_string(),
        "found": match found {
            _ if moved_to.is_some() => "left",
            Found::Missing => "missing",
            Found::Empty => "empty",
            Found::Cluster => "cluster",
            Found::Foreign => "foreign",
        },
        "moved_to": moved_to,
        "schema": schema,
        "newest_schema": SCHEMA,
    });
    // Opening an older one would change it.
    if schema.is_some_and(|schema| schema >= SCHEMA) {
        let store = location.open().await?;
        let version = store.configuration_version().await?;
        let servers = store.servers().await?;
        store.close().await;
        document["version"] = json!(version.number());
        document["servers"] = servers
            .iter()
            .map(|server| json!(ListedServer::of(server)))
            .collect();
    }
    Ok(document)
}

fn export(command: &Export, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let location = config.database.location().map_err(OpenError::from)?;
    let mut lines = Lines::default();
    blocking(async || {
        let store = location.open().await?;
        let exported = store.export(&mut lines).await;
        store.close().await;
        Ok::<_, Failure>(exported?)
    })?;
    // Whoever reads no more wants no more.
    let _ = std::io::stdout().write_all(lines.0.as_bytes());
    output.say(format_args!("{} rows", lines.0.lines().count()));
    Ok(())
}

/// The rows that are configuration, each as a line of JSON.
#[derive(Default)]
struct Lines(String);

impl RowSink for Lines {
    fn row(&mut self, table: &'static Table, row: &[Cell]) -> Result<(), StoreError> {
        if NO_CONFIGURATION.contains(&table.name) {
            return Ok(());
        }
        let values = row.iter().map(|value| match value {
            Cell::Null => Value::Null,
            Cell::Integer(number) => json!(number),
            Cell::Text(text) => json!(text),
            Cell::Bytes(bytes) => {
                json!({"sha256": STANDARD.encode(sha256(bytes))})
            }
        });
        let names = table.columns.iter().map(|&name| name.to_owned());
        let columns: serde_json::Map<_, _> = names.zip(values).collect();
        let line = json!({"table": table.name, "row": columns});
        self.0.push_str(&line.to_string());
        self.0.push('\n');
        Ok(())
    }
}

fn migrate(command: &Migrate, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let from = config.database.location().map_err(OpenError::from)?;
    let password = command
        .password_file
        .clone()
        .map_or(Credential::None, Credential::File);
    let server = DatabaseServer::new(&command.to, password).map_err(Failure::usage)?;
    let to = Database::Server(server)
        .location()
        .map_err(OpenError::from)?;
    let moved = if command.dry_run {
        moving::rehearse(&from, &to)?
    } else {
        let people = people_list(&config)?;
        moving::move_all(&from, &to, &people, &|table, rows| {
            output.say(format_args!("{table}: {rows}"));
        })?
    };
    let lines = configuration(&to, command.password_file.as_ref());
    let document = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "moved": !command.dry_run,
        "tables": moved.tables,
        "configuration": lines,
    });
    let rows = total(&moved);
    let text = if command.dry_run {
        format!("{rows} rows would be moved. Nothing was written.")
    } else {
        format!(
            "{rows} rows were moved and compared. Put this into the configuration of every \
             server, in the place of what it says about the database:\n\n{lines}"
        )
    };
    output.answer(&document, text.trim_end());
    Ok(())
}

/// The list of people, which servers that share a database have in it. One of a single server may be
/// a file.
fn people_list(config: &Config) -> Result<Vec<Change>, Failure> {
    let PeopleSource::File(path) = &config.people else {
        return Ok(Vec::new());
    };
    if config.directory.is_some() || !path.exists() {
        return Ok(Vec::new());
    }
    Ok(vec![people::setting(&people::load(path)?)?])
}

fn total(moved: &Moved) -> usize {
    moved.tables.iter().map(|table| table.rows).sum()
}

/// The lines of `rmsd.toml` by which a server finds the new database.
fn configuration(to: &Location, password_file: Option<&PathBuf>) -> String {
    let mut table = toml::Table::new();
    table.insert("url".into(), to.to_string().into());
    if let Some(file) = password_file {
        // A server may start in another folder.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        table.insert("password_file".into(), file.display().to_string().into());
    }
    format!("[database]\n{table}")
}

/// What grows and changes while servers serve.
const NO_CONFIGURATION: [&str; 4] = [
    "user_key",
    "client_key",
    "issued_certificate",
    "cluster_server",
];
