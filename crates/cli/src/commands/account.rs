//! `rms activate`, `rms sign-in`, `rms status`: what is held, and getting it.

mod issuer;

use std::fmt::Write as _;

use clap::Args;
use openrms_client as client;
use openrms_client::level::Activation;
use openrms_client::{Persistence, Role, Secret};
use openrms_xrml::Interval;
use openrms_xrml::rac::AccountType;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::session::{Connection, given_passphrase, secret};
use crate::shell::{Shell, plain};
use issuer::IssuerOptions;

/// Arguments of `rms activate`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "options of a command line")]
#[command(
    after_help = "Without a passphrase, the lockbox is as safe as your files are. With one, a \
                  stolen disk or backup does not open it; the kernel's keyring holds its secret \
                  for 8 hours, so that you are asked once a day."
)]
pub(crate) struct Activate {
    /// Protect the lockbox by a passphrase, or by another one: `RMS_LOCKBOX_PASSPHRASE`, else
    /// asked for.
    #[arg(long, conflicts_with = "no_passphrase")]
    passphrase: bool,
    /// Take the passphrase of the lockbox away.
    #[arg(long)]
    no_passphrase: bool,
    /// Make another lockbox in place of the one that is there: for one of another machine, one that
    /// is damaged, or whose passphrase is forgotten. Accounts are certified anew.
    #[arg(long, conflicts_with = "no_passphrase")]
    replace: bool,
    /// Do nothing, and say nothing, where nobody told this machine or its user whom to trust, or where
    /// it takes a network: as when somebody logs on.
    #[arg(long, conflicts_with_all = ["passphrase", "no_passphrase", "replace"])]
    if_configured: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `rms sign-in`.
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    #[command(flatten)]
    connection: Connection,
    /// For a machine that others use too: the account certificate is good for minutes only.
    #[arg(long)]
    temporary: bool,
    /// As a service of a server, such as one that handles mail: with an account of its own, which an
    /// administrator lists.
    #[arg(long)]
    service: bool,
    #[command(flatten)]
    issuer: IssuerOptions,
}

/// Arguments of `rms status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    connection: Connection,
}

impl Activate {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let client = self.connection.client(shell)?;
        let needs_network = client.level()?.activation() == Activation::Network;
        if self.if_configured && (needs_network || client.known_hierarchy()?.is_none()) {
            return Ok(());
        }
        let before = client.status()?.lockbox.map(|lockbox| lockbox.fingerprint);
        if self.replace {
            client.reactivate()?;
        }
        if self.passphrase {
            client.protect_lockbox(Some(&new_passphrase(shell)?))?;
        } else if self.no_passphrase {
            client.protect_lockbox(None)?;
        }
        let lockbox = client.activate()?;
        let activated = client.status()?.activated;
        let (outcome, words) = if self.replace {
            let words =
                "the lockbox was replaced; account certificates are acquired anew when needed";
            ("replaced", words)
        } else if before.is_some_and(|before| before == lockbox.fingerprint()) {
            ("kept", "the lockbox was there already and is kept")
        } else {
            ("made", "the lockbox was made")
        };
        let document = json!({
            "fingerprint": lockbox.fingerprint(),
            "mode": lockbox.mode().number(),
            "protection": lockbox.protection().name(),
            "created": lockbox.created().to_string(),
            "activated": activated,
            "outcome": outcome,
        });
        shell.answer(&document, || {
            let certificate = if activated {
                "held"
            } else {
                "comes with `rms init`, which tells whom to trust"
            };
            format!(
                "lockbox              {}\nprotected by         {}\n\
                 machine certificate  {certificate}\n{words}\n",
                lockbox.fingerprint(),
                lockbox.protection()
            )
        })
    }
}

impl SignIn {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let at_issuer = self.issuer.registration(&self.connection)?;
        // Whether there is a server is known before anybody is sent to a browser.
        let mut client = self.connection.ready(shell)?;
        let mut user = self.connection.user();
        if let Some(registration) = &at_issuer {
            let known = issuer::credentials(&self.connection, registration, shell)?;
            client = self.connection.client_as(shell, Some(known))?;
            user = None;
        }
        client.set_role(if self.service {
            Role::Service
        } else {
            Role::Person
        })?;
        let persistence = if self.temporary {
            Persistence::Temporary
        } else {
            Persistence::Persistent
        };
        let signed_in = client.sign_in(user.as_deref(), persistence);
        let (account, licensor) = signed_in.map_err(|error| match &at_issuer {
            Some(registration) => issuer::explained(error.into(), registration),
            None => error.into(),
        })?;
        let identity = account.identity();
        let document = json!({
            "account": identity.email,
            "id": identity.id,
            "id_type": identity.account_type.name(),
            "certificate": span(account.validity()),
            "licensor": span(licensor.range()),
        });
        shell.answer(&document, || {
            let kind = kind(identity.account_type);
            let mut text = format!("signed in as {}{kind}\n", plain(&identity.email));
            _ = writeln!(
                text,
                "account certificate until {}",
                until(account.validity())
            );
            _ = writeln!(
                text,
                "publishing off line until {}",
                until(licensor.range())
            );
            text
        })
    }
}

impl Status {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let client = self.connection.client(shell)?;
        let status = client.status()?;
        let home = client.home().path().to_string_lossy();
        shell.answer(&document(&home, &status), || text(&home, &status))
    }
}

fn document(home: &str, status: &client::Status) -> Value {
    let anchors: Vec<Value> = status
        .anchors
        .iter()
        .map(|(name, fingerprint)| json!({ "name": name, "fingerprint": fingerprint }))
        .collect();
    let account = |account: &client::status::AccountStatus| {
        json!({
            "id": account.id,
            "current": account.current,
            "account": account.identity.email,
            "id_type": account.identity.account_type.name(),
            "issuer": account.issuer,
            "temporary": account.temporary,
            "certificate": span(account.validity),
            "licensor": span(account.licensor),
        })
    };
    let problem =
        |error: &client::Error| json!({ "code": error.code(), "message": error.full_message() });
    let lockbox = |lockbox: &client::status::LockboxStatus| {
        json!({
            "fingerprint": lockbox.fingerprint,
            "mode": lockbox.mode,
            "protection": lockbox.protection.name(),
            "created": lockbox.created.to_string(),
        })
    };
    json!({
        "home": home,
        "server": status.server.as_ref().map(client::ServerUrl::as_str),
        "server_source": status.server_source.map(client::ServerSource::name),
        "client_level": status.level.name(),
        "service_location": status.overrides,
        "user": status.user,
        "anchors": anchors,
        "hierarchy_problem": status.hierarchy_error.as_ref().map(problem),
        "lockbox": status.lockbox.as_ref().map(lockbox),
        "lockbox_problem": status.lockbox_error.as_ref().map(problem),
        "activated": status.activated,
        "accounts": status.accounts.iter().map(account).collect::<Vec<_>>(),
        "licenses": status.licenses,
        "templates": status.templates,
        "clock_set_back_from": status.moment.set_back_from.map(|time| time.to_string()),
    })
}

fn text(home: &str, status: &client::Status) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| _ = writeln!(text, "{label:20} {value}");
    let none = || "none".to_owned();
    line("folder", plain(home));
    line("level", status.level.to_string());
    line(
        "server",
        status
            .server
            .as_ref()
            .map_or_else(none, ToString::to_string),
    );
    if let Some(source) = status.server_source {
        line("  named by", source.to_string());
    }
    for (label, cluster) in [
        ("  publishing", &status.overrides.enterprise_publishing),
        ("  cloud publishing", &status.overrides.cloud_publishing),
    ] {
        if let Some(cluster) = cluster {
            line(label, cluster.server().to_string());
        }
    }
    if status.overrides.activation.is_some() && status.level.activation() == Activation::Own {
        let why = "service_location.activation: this client activates by itself";
        line("  ignored", why.to_owned());
    }
    for (name, fingerprint) in &status.anchors {
        line("trust anchor", format!("{} {fingerprint}", plain(name)));
    }
    for error in [&status.hierarchy_error, &status.lockbox_error]
        .into_iter()
        .flatten()
    {
        line("problem", plain(&error.full_message()));
    }
    line(
        "lockbox",
        status
            .lockbox
            .as_ref()
            .map_or_else(none, |lockbox| lockbox.fingerprint.clone()),
    );
    if let Some(lockbox) = &status.lockbox {
        line("  protected by", lockbox.protection.to_string());
    }
    line(
        "machine certificate",
        if status.activated {
            "held".to_owned()
        } else {
            none()
        },
    );
    for account in &status.accounts {
        let current = if account.current { "" } else { " (not in use)" };
        line(
            "account",
            format!(
                "{}{}{current}",
                plain(&account.identity.email),
                kind(account.identity.account_type)
            ),
        );
        line("  certificate until", until(account.validity));
        line(
            "  publishing until",
            account
                .licensor
                .map_or_else(none, |range| until(Some(range))),
        );
    }
    if status.accounts.is_empty() {
        line("account", none());
    }
    line("use licenses", status.licenses.to_string());
    line("templates", status.templates.to_string());
    if let Some(newest) = status.moment.set_back_from {
        line(
            "clock",
            format!("was set back; this machine has seen {newest} UTC"),
        );
    }
    text
}

/// What is told of an account's kind; nothing of the usual one.
fn kind(account: AccountType) -> &'static str {
    match account {
        AccountType::Windows => "",
        AccountType::Federation => ", a federated account",
        AccountType::Passport => ", a Passport account",
    }
}

fn span(interval: Option<Interval>) -> Value {
    json!(interval.map(|span| json!({
        "from": span.from.to_string(),
        "until": span.until.to_string(),
    })))
}

fn until(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "ever".to_owned(), |span| format!("{} UTC", span.until))
}

/// A passphrase for the lockbox, typed twice where it is typed.
fn new_passphrase(shell: Shell) -> Result<Secret, Failure> {
    if let Some(given) = given_passphrase()? {
        return Ok(given);
    }
    let ask = |prompt| {
        shell.password(prompt).ok_or_else(|| {
            let message = "nobody can be asked for a passphrase";
            Failure::usage(message, "set RMS_LOCKBOX_PASSPHRASE, or use a terminal")
        })
    };
    let first = ask("New passphrase of the lockbox")?;
    if *first != *ask("Once more")? {
        return Err(Failure::usage("the two are not the same", "try again"));
    }
    Ok(secret(&first))
}
