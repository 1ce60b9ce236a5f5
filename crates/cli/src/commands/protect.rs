//! `rms protect`: rights for others, put round a file.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use openrms_client::publish::PublishError;
use openrms_client::{
    Client, Error, Expiry, Grant, Overwrite, OwnPolicy, Policy, Renewal, Signer, TemplateName,
};
use openrms_formats::{Kind, names};
use openrms_xrml::names::LocalizedName;
use serde_json::{Map, json};

use crate::batch::{self, Destination, Outcome, Source, Targets};
use crate::failure::Failure;
use crate::grants::{parse_days, parse_expiry, parse_grant};
use crate::session::Connection;
use crate::shell::Shell;

/// Arguments of `rms protect`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "options of a command line")]
#[command(
    group(ArgGroup::new("policy").required(true).args(["template", "grants"])),
    after_help = "Example: rms protect letter.txt --grant bob@example.com:VIEW,PRINT --expires 30d"
)]
pub(crate) struct Protect {
    /// Files to protect; folders with --recursive.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An official template, by its name or GUID.
    #[arg(long, value_name = "NAME|GUID")]
    template: Option<String>,
    /// Who may do what: a mail address or `everyone`, then rights. May be given many times.
    #[arg(long = "grant", value_name = "WHO:RIGHT[,RIGHT…]", value_parser = parse_grant)]
    grants: Vec<Grant>,
    /// When nobody but you may open it any more: a date (UTC), or days from now.
    #[arg(long, value_name = "DATE|Nd", value_parser = parse_expiry, conflicts_with = "template")]
    expires: Option<Expiry>,
    /// After how many days the server must be asked again.
    #[arg(long, value_name = "Nd", value_parser = parse_days, conflicts_with = "template")]
    renew: Option<NonZeroU32>,
    /// A name of the policy, which people see.
    #[arg(long, value_name = "TEXT", conflicts_with = "template")]
    name: Option<String>,
    /// Have the server sign, instead of signing off line.
    #[arg(long)]
    online: bool,
    /// Where to: a file, or a folder.
    #[arg(short, long, value_name = "OUT", conflicts_with = "in_place")]
    output: Option<PathBuf>,
    /// The protected file takes the place of the original.
    #[arg(long)]
    in_place: bool,
    /// Take all files in folders.
    #[arg(short, long)]
    recursive: bool,
    /// Overwrite files that are there.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Protect {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let sources = batch::find(&self.files, self.recursive)?;
        let several = sources_are_several(&self.files);
        let to = Destination::of(self.output.clone(), self.in_place, several);
        let client = self.connection.ready(shell)?;
        let signer = if self.online {
            Signer::Server
        } else {
            Signer::Author
        };
        let policy = self.policy(&client)?;
        // Signed in once, before many files ask for it side by side.
        match signer {
            Signer::Author => _ = client.client_licensor()?,
            Signer::Server => _ = client.account()?,
        }
        let targets = Targets::default();
        batch::run(shell, "protected", &sources, |source| {
            self.protect(&client, &policy, signer, (&to, &targets), source)
        })
    }

    fn policy(&self, client: &Client) -> Result<Policy, Failure> {
        if let Some(name) = &self.template {
            let Ok(name) = name.parse::<TemplateName>();
            if client.template(&name, None).is_err() {
                client.sync_templates()?;
                client.template(&name, None)?;
            }
            return Ok(Policy::Template(name));
        }
        let mut names = Vec::new();
        if let Some(name) = &self.name {
            let description = name.clone();
            names.push(LocalizedName {
                lcid: ENGLISH,
                name: name.clone(),
                description,
            });
        }
        Ok(Policy::Own(OwnPolicy {
            grants: self.grants.clone(),
            expiry: self.expires,
            renewal: self.renew.map_or(Renewal::Never, Renewal::Days),
            names,
            referral: None,
        }))
    }

    fn protect(
        &self,
        client: &Client,
        policy: &Policy,
        signer: Signer,
        (to, targets): (&Destination, &Targets),
        source: &Source,
    ) -> Result<Outcome, Failure> {
        let name = source
            .place
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let target = to.target(source, &names::pfile_name(&name));
        let several = sources_are_several(&self.files);
        if is_protected(&source.path) {
            if several {
                return Ok(Outcome::Skipped("it is protected already"));
            }
            return Err(failed(PublishError::AlreadyProtected(source.path.clone())));
        }
        targets.claim(&target)?;
        // A run over many files that was broken off goes on where it ended; who protects one file
        // again may want another policy, and is told that the output exists.
        if several && !self.force && !self.in_place && is_done(&source.path, &target) {
            return Ok(Outcome::Skipped(
                "it was protected before, perhaps with other rights; --force does it anew",
            ));
        }
        to.make_folder_of(&target)?;
        let overwrite = if self.force {
            Overwrite::Force
        } else {
            Overwrite::Never
        };
        let published = client.protect_file(&source.path, &target, overwrite, policy, signer)?;
        if self.in_place {
            fs::remove_file(&source.path)
                .map_err(|error| Failure::io("removed", &source.path, &error))?;
        }
        let more = Map::from_iter([
            (
                "content_id".to_owned(),
                json!(published.content_id.to_string()),
            ),
            ("owner".to_owned(), json!(published.owner)),
            ("length".to_owned(), json!(published.length)),
        ]);
        Ok(Outcome::Written(target, more))
    }
}

/// Whether a command line means many files: several names, or a folder.
pub(super) fn sources_are_several(named: &[PathBuf]) -> bool {
    named.len() > 1 || named.iter().any(|file| file.is_dir())
}

/// Whether a file is a container of protected content. What cannot be read is the client's to say.
pub(super) fn is_protected(path: &Path) -> bool {
    let kind = fs::File::open(path).and_then(|mut file| openrms_formats::detect(&mut file));
    match kind {
        Ok(Kind::Pfile | Kind::Rpmsg) => true,
        Ok(Kind::CompoundFile) => openrms_formats::open_container(path).is_ok(),
        _ => false,
    }
}

/// Whether the target is the protected form of this very source, as an earlier run left it: the
/// modification time carries over.
fn is_done(source: &Path, target: &Path) -> bool {
    let modified = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    modified(target).is_some_and(|time| modified(source) == Some(time)) && is_protected(target)
}

/// An error of the client as a failure, for closures that join several of its errors.
pub(super) fn failed(error: impl Into<Error>) -> Failure {
    Failure::from(error.into())
}

const ENGLISH: u32 = 1033;
