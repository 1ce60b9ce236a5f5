//! `rmsd provision`: what is asked, and where the answers come from: the command line, else a file,
//! else a person at the terminal, else a default.

mod interview;
mod join;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use openrms_crypto::{Mode, PublicKey};
use openrms_protocol::{Feature, ServiceLevel};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::enroll::read_anchors;
use super::keys::KeyArguments;
use super::renew::{KEPT, SignInArguments};
use super::{Failure, Output, documents};
use crate::config::Tls;
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::DatabaseServer;
use crate::provision::{Authority, Check, RootOptions, Step, Verdict, checks, provision_root_with};
use interview::Terminal;

#[derive(Debug, Subcommand)]
pub(super) enum Provision {
    /// Set up a root cluster: keys, certificates, database, people list. A command that was cut
    /// off is completed by giving it again. Without --url, a person at the terminal is asked.
    Root(Box<Root>),
    /// Set up a licensing cluster, which a root cluster certifies: it publishes and licenses for
    /// people whom its root cluster certifies.
    Licensing(Box<Licensing>),
    /// Add one more server to a cluster whose database others can reach. Needs the database, what
    /// opens the keys, and nothing else.
    Join(Box<join::Join>),
}

/// Where the cluster's database is.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct DatabaseArguments {
    /// URL of the cluster's database, such as `postgres://rms@db.example.com/openrms`; a file in the
    /// data directory by default.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the password of the database.
    #[arg(long, value_name = "FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
}

impl DatabaseArguments {
    pub(super) fn server(&self) -> Result<Option<DatabaseServer>, Failure> {
        let Some(url) = &self.database else {
            return Ok(None);
        };
        let password = self
            .database_password_file
            .clone()
            .map_or(Credential::None, Credential::File);
        DatabaseServer::new(url, password)
            .map(Some)
            .map_err(|error| Failure::new(2, "bad-database-url", error))
    }
}

#[derive(Debug, Args)]
pub(super) struct Root {
    #[command(flatten)]
    answers: Answers,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct Licensing {
    /// URL of the root cluster.
    #[arg(long, value_name = "URL")]
    root: String,
    #[command(flatten)]
    sign_in: SignInArguments,
    /// Write into the configuration file how the server signs in, without the password, so that it
    /// renews its certificate by itself.
    #[arg(long, requires = KEPT)]
    keep_sign_in: bool,
    #[command(flatten)]
    answers: Answers,
    #[command(flatten)]
    asking: Asking,
}

/// How the answers are come by and what is done with them.
#[derive(Debug, Args)]
pub(super) struct Asking {
    /// Take the answers that are not on the command line from this TOML file; it has the names of
    /// the options.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Look into everything, and make nothing.
    #[arg(long)]
    check: bool,
    /// Go on although this check failed; `all` for every one.
    #[arg(long, value_name = "CHECK")]
    ignore_check: Vec<String>,
}

/// What is asked. The same names on the command line and in a file of answers.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Answers {
    /// URL by which clients reach the cluster; goes into every license and cannot be changed.
    #[arg(long)]
    url: Option<String>,
    /// Data directory; it is made [default: /var/lib/openrms].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What people call the cluster, and its certificate [default: OpenRMS].
    #[arg(long)]
    name: Option<String>,
    /// The version of RMS as which this server behaves: 1.0, sp1, sp2 or 2.0 [default: 2.0].
    #[arg(long, value_name = "LEVEL")]
    #[serde(deserialize_with = "service_level")]
    service_level: Option<ServiceLevel>,
    /// Cryptographic mode [default: 2, and below service level 2.0 1]. 1 is RSA-1024 and SHA-1, for
    /// clients that know nothing better.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// Who certifies the server: `self`, or the URL of another authority's enrollment service
    /// [default: self].
    #[arg(long, value_name = "self|URL")]
    authority: Option<String>,
    /// Have nobody certify the server yet: `rmsd enroll request` writes what is to be signed.
    #[arg(long, conflicts_with = "authority")]
    offline: bool,
    /// The only anchors to believe, as `rmsd authority anchors export` wrote them.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Public key (PEM) of a third party that may revoke the server's certificate.
    #[arg(long, value_name = "FILE")]
    revocation_key: Vec<PathBuf>,
    /// For how many days servers are certified here [default: 365].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    slc_days: Option<u32>,
    /// DNS name that people of the built-in list belong to; the URL's host by default.
    #[arg(long, value_name = "NAME")]
    forest: Option<String>,
    /// Address to listen on, for the configuration file; chosen after the URL by default.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// PEM file with the certificate for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the private key for HTTPS.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Mail address of whoever administers the cluster, for people who are refused something.
    #[arg(long, value_name = "ADDRESS")]
    administrator_contact: Option<String>,
    /// URL of the HTTP proxy by which this server asks others.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// What this server is called among those of the cluster; as the machine by default.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    database: DatabaseArguments,
    #[command(flatten)]
    #[serde(flatten)]
    keys: KeyArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(try_from = "u8")]
pub(super) enum ModeArgument {
    /// RSA-1024 and SHA-1.
    #[value(name = "1")]
    One,
    /// RSA-2048 and SHA-256.
    #[value(name = "2")]
    Two,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::One => Self::One,
            ModeArgument::Two => Self::Two,
        }
    }
}

impl TryFrom<u8> for ModeArgument {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("a cryptographic mode is 1 or 2"),
        }
    }
}

pub(super) fn run(command: &Provision, output: &Output) -> Result<(), Failure> {
    let (answers, asking) = match command {
        Provision::Root(root) => (&root.answers, &root.asking),
        Provision::Licensing(licensing) => (&licensing.answers, &licensing.asking),
        Provision::Join(command) => return join::run(command, output),
    };
    let mut answers = answers.clone();
    if let Some(file) = &asking.answers {
        answers = answers.or(Answers::read(file)?);
    }
    if let Provision::Licensing(_) = command {
        if answers.authority.is_some() || !answers.revocation_key.is_empty() {
            return Err(Failure::usage(
                "the root cluster certifies a licensing cluster, and says who may revoke it",
            ));
        }
        // Nobody is asked about an authority.
        answers.authority = Some("self".to_owned());
    }
    if answers.url.is_none() {
        if !Terminal::is_there(output) {
            return Err(Failure::usage(
                "--url URL is needed where nobody can be asked",
            ));
        }
        answers = interview::root(answers, &mut Terminal)?;
    }
    let mut options = answers.options()?;
    if let Provision::Licensing(licensing) = command {
        let root = licensing.root.clone();
        options.authority = match options.authority {
            Authority::Files => Authority::RootByFiles(root),
            _ => Authority::Root(root),
        };
        options.sign_in = licensing.sign_in.read(output)?;
        options.keep_sign_in = licensing.keep_sign_in;
    }
    options.check_level()?;
    look(&options, asking, output)?;
    if asking.check {
        return Ok(());
    }
    let done = provision_root_with(&options, &|step| {
        output.say(format_args!("  {}", name(step)));
    })?;
    let data = done.data.display();
    let text = if !done.enrolled {
        format!(
            "{} is set up in {data}, and nobody has certified it.\nWrite its request with `rmsd \
             enroll request --data {data}`, have it signed, and take the response over with `rmsd \
             enroll complete`.",
            done.url
        )
    } else if done.already {
        format!("{} is there already in {data}; nothing was done.", done.url)
    } else if matches!(command, Provision::Licensing(_)) {
        format!(
            "{} is set up in {data}.\nGive it the directory of its root cluster (`[directory]`, or \
             `people`) in {data}/rmsd.toml, then start it with `rmsd serve --config \
             {data}/rmsd.toml`.",
            done.url
        )
    } else {
        format!(
            "{} is set up in {data}.\nAdd people with `rmsd person add NAME --mail ADDRESS --data \
             {data}`, then start it with `rmsd serve --config {data}/rmsd.toml`.",
            done.url
        )
    };
    output.answer(&done, text);
    Ok(())
}

fn service_level<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ServiceLevel>, D::Error> {
    let name = String::deserialize(from)?;
    name.parse().map(Some).map_err(D::Error::custom)
}

fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    listen: &[SocketAddr],
) -> Result<Option<Tls>, Failure> {
    let absolute = |path: PathBuf| std::path::absolute(path).map_err(Failure::failed);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Tls {
            listen: listen.to_vec(),
            certificate: absolute(certificate)?,
            key: absolute(key)?,
        })),
        (None, None) => Ok(None),
        _ => {
            let why = "a certificate for HTTPS comes with its key: tls-certificate, tls-key";
            Err(Failure::usage(why))
        }
    }
}

/// Looks into what was answered; an end when something is bad.
fn look(options: &RootOptions, asking: &Asking, output: &Output) -> Result<(), Failure> {
    // An earlier attempt was looked into, and its server may be listening by now.
    if DataDir::new(&options.data).config().exists() && !asking.check {
        return Ok(());
    }
    let found = checks(options)?;
    for check in &found {
        output.say(format_args!("  {}", line(check)));
    }
    let ignored = |check: &Check| {
        let names = &asking.ignore_check;
        names.iter().any(|name| name == check.name || name == "all")
    };
    let bad: Vec<_> = found
        .iter()
        .filter(|check| check.verdict == Verdict::Bad && !ignored(check))
        .map(|check| format!("{}: {}", check.name, check.about))
        .collect();
    if !bad.is_empty() {
        let message = format!("nothing was made: {}", bad.join("; "));
        return Err(Failure::new(1, "checks-failed", message)
            .with_hint("Correct it, or go on all the same with --ignore-check NAME."));
    }
    if asking.check {
        output.answer(&json!({ "checks": found }), "Nothing stands in the way.");
    }
    Ok(())
}

fn line(check: &Check) -> String {
    let sign = match check.verdict {
        Verdict::Good => "ok",
        Verdict::Doubtful => "note",
        Verdict::Bad => "BAD",
    };
    format!("{sign:<4} {}: {}", check.name, check.about)
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Folder => "data directory",
        Step::Database => "database",
        Step::Keys => "protection of the keys",
        Step::Hierarchy => "trust anchor",
        Step::People => "people list",
        Step::AdminToken => "token of the administration site",
        Step::ConfigFile => "configuration file",
        Step::Cluster => "server key and policies",
        Step::Enrolled => "server licensor certificate",
    }
}

impl Answers {
    fn read(file: &Path) -> Result<Self, Failure> {
        let bytes = documents::read(file)?;
        let bad = |error: &dyn Display| documents::malformed_as("bad-answers", file, error);
        let text = std::str::from_utf8(&bytes).map_err(|error| bad(&error))?;
        toml::from_str(text).map_err(|error| bad(&error))
    }

    /// What is answered here, else what is answered there.
    fn or(self, other: Self) -> Self {
        Self {
            url: self.url.or(other.url),
            data: self.data.or(other.data),
            name: self.name.or(other.name),
            service_level: self.service_level.or(other.service_level),
            mode: self.mode.or(other.mode),
            authority: self.authority.or(other.authority),
            offline: self.offline || other.offline,
            anchors: self.anchors.or(other.anchors),
            revocation_key: if self.revocation_key.is_empty() {
                other.revocation_key
            } else {
                self.revocation_key
            },
            slc_days: self.slc_days.or(other.slc_days),
            forest: self.forest.or(other.forest),
            listen: if self.listen.is_empty() {
                other.listen
            } else {
                self.listen
            },
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            administrator_contact: self.administrator_contact.or(other.administrator_contact),
            proxy: self.proxy.or(other.proxy),
            server_name: self.server_name.or(other.server_name),
            database: if self.database.database.is_some() {
                self.database
            } else {
                other.database
            },
            keys: self.keys.or(other.keys),
        }
    }

    fn options(self) -> Result<RootOptions, Failure> {
        let tls = tls(self.tls_certificate, self.tls_key, &self.listen)?;
        let data = self.data.unwrap_or_else(|| DEFAULT_DATA.into());
        let url = self.url.unwrap_or_default();
        let (keys, credential) = self.keys.protection()?;
        let service_level = self.service_level.unwrap_or_default();
        let newest = if service_level.has(Feature::ModeTwo) {
            Mode::Two
        } else {
            Mode::One
        };
        Ok(RootOptions {
            name: self.name.unwrap_or_else(|| DEFAULT_NAME.into()),
            service_level,
            mode: self.mode.map_or(newest, Mode::from),
            authority: match self.authority.as_deref() {
                _ if self.offline => Authority::Files,
                None | Some("self") => Authority::Own,
                Some(url) => Authority::Enroll(url.to_owned()),
            },
            forest: self.forest,
            listen: if tls.is_some() {
                Vec::new()
            } else {
                self.listen
            },
            tls,
            keys,
            credential,
            proxy: self.proxy,
            server_name: self.server_name,
            database: self.database.server()?,
            contact: self.administrator_contact,
            anchors: self.anchors.as_deref().map(read_anchors).transpose()?,
            revocation_keys: self
                .revocation_key
                .iter()
                .map(|file| public_key(file))
                .collect::<Result<_, _>>()?,
            slc_days: self.slc_days,
            ..RootOptions::new(data, url)
        })
    }
}

/// The key of a third party (PEM).
fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    let bytes = documents::read(file)?;
    let bad = |error: &dyn Display| documents::malformed_as("bad-key", file, error);
    let text = std::str::from_utf8(&bytes).map_err(|error| bad(&error))?;
    PublicKey::from_pem(text).map_err(|error| bad(&error))
}

const DEFAULT_DATA: &str = "/var/lib/openrms";
const DEFAULT_NAME: &str = "OpenRMS";

#[cfg(test)]
mod tests;
