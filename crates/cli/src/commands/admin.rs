//! `rms admin`: the administration of a cluster, over its API.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use openrms_client::{
    Credentials, Expiry, Grant, Response, ServerUrl, Transport as _, TransportError, Who,
};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::grants::{parse_days, parse_expiry, parse_grant};
use crate::session::{Connection, first_line, secret, secret_variable};
use crate::shell::{Shell, plain};

/// Arguments of `rms admin`.
#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// URL of the cluster; else `RMS_SERVER`, else what `rms init` remembered.
    #[arg(long, value_name = "URL", global = true)]
    server: Option<ServerUrl>,
    /// File with the administration token; else it is taken from `RMS_ADMIN_TOKEN`.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// File with further TLS authorities (PEM); else `RMS_CA_FILE`.
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    #[command(subcommand)]
    command: AdminCommand,
}

/// The pages of the site.
#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// The state of the cluster.
    Status,
    /// Rights policy templates.
    #[command(subcommand)]
    Templates(TemplatesCommand),
}

/// What can be done with templates.
#[derive(Debug, Subcommand)]
enum TemplatesCommand {
    /// Shows all templates.
    List,
    /// Signs a new template, from a file or from the command line.
    Add(AddTemplate),
    /// Offers a template to clients no more; content made with it can still be opened.
    Archive(TemplateId),
    /// Offers an archived template again.
    Publish(TemplateId),
    /// Deletes a template; content made with it can be opened by its authors only.
    Remove(TemplateId),
}

/// A template by its identifier.
#[derive(Debug, Args)]
struct TemplateId {
    /// GUID of the template.
    #[arg(value_name = "GUID")]
    id: openrms_xrml::Guid,
}

/// A new template.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "name"])))]
struct AddTemplate {
    /// Description of the template, TOML or JSON.
    #[arg(value_name = "FILE", conflicts_with_all = ["grants", "description", "expires", "renew"])]
    file: Option<PathBuf>,
    /// Name of the template.
    #[arg(long, value_name = "TEXT", requires = "grants")]
    name: Option<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who may do what: a mail address or `everyone`, then rights. May be given many times.
    #[arg(long = "grant", value_name = "WHO:RIGHT[,RIGHT…]", value_parser = parse_grant)]
    grants: Vec<Grant>,
    /// When content can be opened no more: a date (UTC), or days after it was protected.
    #[arg(long, value_name = "DATE|Nd", value_parser = parse_expiry)]
    expires: Option<Expiry>,
    /// After how many days a use license must be renewed.
    #[arg(long, value_name = "Nd", value_parser = parse_days)]
    renew: Option<NonZeroU32>,
}

impl Admin {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        match &self.command {
            AdminCommand::Status => {
                let status = self.get(shell, "status")?;
                shell.answer(&status, || lines(&status, 0))
            }
            AdminCommand::Templates(TemplatesCommand::List) => {
                let templates = self.get(shell, "templates")?;
                shell.answer(&json!({ "templates": templates }), || list(&templates))
            }
            AdminCommand::Templates(TemplatesCommand::Add(new)) => {
                let (body, content_type) = new.body()?;
                let answer = self.post(shell, "templates", content_type, body.as_bytes())?;
                shell.answer(&answer, || {
                    format!(
                        "template {} added",
                        plain(answer["id"].as_str().unwrap_or_default())
                    )
                })
            }
            AdminCommand::Templates(TemplatesCommand::Archive(id)) => {
                self.change(shell, id, "archive")
            }
            AdminCommand::Templates(TemplatesCommand::Publish(id)) => {
                self.change(shell, id, "publish")
            }
            AdminCommand::Templates(TemplatesCommand::Remove(id)) => {
                self.change(shell, id, "delete")
            }
        }
    }

    fn change(&self, shell: Shell, id: &TemplateId, action: &str) -> Result<(), Failure> {
        let id = id.id.0.hyphenated().to_string();
        let path = format!("templates/{id}/{action}");
        let answer = self.post(shell, &path, "application/json", b"{}")?;
        shell.answer(&answer, || format!("template {id}: {action} done"))
    }

    fn get(&self, shell: Shell, path: &str) -> Result<Value, Failure> {
        let (url, token) = self.prepare(shell, path)?;
        read(&url, self.connection().transport()?.get(&url, Some(&token)))
    }

    fn post(
        &self,
        shell: Shell,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Value, Failure> {
        let (url, token) = self.prepare(shell, path)?;
        let transport = self.connection().transport()?;
        read(
            &url,
            transport.post(&url, "", content_type, body, Some(&token)),
        )
    }

    fn connection(&self) -> Connection {
        let (server, ca_file) = (self.server.clone(), self.ca_file.clone());
        Connection {
            server,
            ca_file,
            ..Connection::default()
        }
    }

    fn prepare(&self, shell: Shell, path: &str) -> Result<(String, Credentials), Failure> {
        let server = self.connection().client(shell)?.server()?;
        if !server.origin().is_private() {
            let message = format!("the token is not sent to {server}, where others can read it");
            return Err(Failure::new(
                Exit::Untrusted,
                "not-private",
                message,
                "use https",
            ));
        }
        let token = match &self.token_file {
            Some(path) => first_line(path)?,
            None => secret_variable("RMS_ADMIN_TOKEN").ok_or_else(|| {
                let hint = "--token-file, or RMS_ADMIN_TOKEN; the server keeps it in admin.token";
                Failure::new(
                    Exit::Denied,
                    "no-admin-token",
                    "administration needs a token",
                    hint,
                )
            })?,
        };
        Ok((
            format!("{server}/admin/api/{path}"),
            Credentials::Bearer(secret(token.trim())),
        ))
    }
}

impl AddTemplate {
    /// A description for the server.
    fn body(&self) -> Result<(String, &'static str), Failure> {
        if let Some(path) = &self.file {
            let text =
                std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
            let json = text.trim_start().starts_with('{');
            return Ok((
                text,
                if json {
                    "application/json"
                } else {
                    "application/toml"
                },
            ));
        }
        let grants: Vec<Value> = self
            .grants
            .iter()
            .map(|grant| {
                let who = match &grant.who {
                    Who::Everyone => "everyone",
                    Who::Address(address) => address,
                };
                let rights: Vec<_> = grant
                    .rights
                    .iter()
                    .map(openrms_xrml::rights::Right::name)
                    .collect();
                json!({ "who": who, "rights": rights, "days": self.renew.map(NonZeroU32::get) })
            })
            .collect();
        let mut document = json!({
            "names": [{
                "name": self.name,
                "description": self.description.clone().unwrap_or_default(),
            }],
            "grant": grants,
        });
        match self.expires {
            Some(Expiry::At(time)) => document["valid_until"] = time.to_string().into(),
            Some(Expiry::Days(days)) => document["valid_days"] = days.get().into(),
            None => {}
        }
        Ok((document.to_string(), "application/json"))
    }
}

/// The document of a good answer; what the server says otherwise.
fn read(url: &str, answer: Result<Response, TransportError>) -> Result<Value, Failure> {
    let answer = answer.map_err(|error| {
        let hint = "check the URL, and whether the server runs";
        Failure::new(
            Exit::Unreachable,
            "server-unreachable",
            plain(&error.to_string()),
            hint,
        )
    })?;
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if let (200..=299, Some(document)) = (answer.status, &document) {
        return Ok(document.clone());
    }
    let told = document
        .as_ref()
        .and_then(|document| document["error"]["message"].as_str());
    let text = String::from_utf8_lossy(&answer.body);
    let first = text.lines().next().unwrap_or_default();
    let message = plain(told.unwrap_or(first).trim());
    let message = format!("{url} answers HTTP {}: {message}", answer.status);
    Err(match answer.status {
        401 | 403 => {
            let hint = "the token is in admin.token of the server's data directory";
            Failure::new(Exit::Denied, "admin-denied", message, hint)
        }
        400 | 422 => Failure::new(Exit::Malformed, "admin-refused", message, ""),
        404 => Failure::new(Exit::Failed, "not-found", message, ""),
        _ => Failure::new(Exit::Failed, "admin-failed", message, ""),
    })
}

fn list(templates: &Value) -> String {
    let mut text = String::new();
    for template in templates.as_array().into_iter().flatten() {
        let field = |name: &str| plain(template[name].as_str().unwrap_or_default());
        let name = plain(template["names"][0]["name"].as_str().unwrap_or_default());
        let state = if template["published"] == true {
            "published"
        } else {
            "archived"
        };
        _ = writeln!(text, "{}  {state:9}  {name}", field("id"));
        for grant in template["grants"].as_array().into_iter().flatten() {
            let rights = grant["rights"].as_array().into_iter().flatten();
            let rights: Vec<_> = rights.filter_map(Value::as_str).map(plain).collect();
            let who = plain(grant["who"].as_str().unwrap_or_default());
            _ = writeln!(text, "    {who}: {}", rights.join(", "));
        }
    }
    text
}

/// A document as indented lines.
fn lines(document: &Value, depth: usize) -> String {
    let mut text = String::new();
    let indent = "  ".repeat(depth);
    let mut line = |label: &str, value: &Value| match value {
        Value::Object(_) | Value::Array(_) => {
            _ = writeln!(text, "{indent}{}", plain(label));
            text.push_str(&lines(value, depth + 1));
        }
        Value::String(value) => _ = writeln!(text, "{indent}{}  {}", plain(label), plain(value)),
        other => _ = writeln!(text, "{indent}{}  {other}", plain(label)),
    };
    match document {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, value)| line(&name.replace('_', " "), value));
        }
        Value::Array(items) => items.iter().for_each(|item| line("-", item)),
        other => line("", other),
    }
    text
}
