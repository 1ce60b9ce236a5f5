//! `rmsd client-settings`: what an administrator carries to the machines of people, so that they
//! know the service and whom to trust before any of them asks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use openrms_crypto::Mode;
use serde::Serialize;
use serde_json::json;

use super::documents::write;
use super::provision::ModeArgument;
use super::{Failure, Output, Place};
use crate::bundle::bundle_of;

#[derive(Debug, Subcommand)]
pub(super) enum ClientSettings {
    /// Write the two files that make a machine a client of this cluster: for
    /// `/etc/openrms/client.d`, or a package of your own.
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where they go; it is made.
    folder: PathBuf,
    /// Where people without the client learn what to install; protected files name it.
    #[arg(long, value_name = "URL")]
    notice_url: Option<String>,
    /// People cannot name another server.
    #[arg(long)]
    r#final: bool,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
    /// For machines of this cryptographic mode; of the cluster's by default.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    place: Place,
}

/// The keys that the client reads.
#[derive(Serialize)]
struct Settings<'a> {
    server: &'a str,
    hierarchy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice_url: Option<&'a str>,
    #[serde(rename = "final", skip_serializing_if = "<[_]>::is_empty")]
    fixed: &'a [&'a str],
}

pub(super) fn run(command: &ClientSettings, output: &Output) -> Result<(), Failure> {
    let ClientSettings::Export(export) = command;
    let bundle = bundle_of(&export.place.load()?, export.mode.map(Mode::from))?;
    let settings = Settings {
        server: bundle.server.trim_end_matches("/_wmcs"),
        hierarchy: HIERARCHY,
        notice_url: export.notice_url.as_deref(),
        fixed: if export.r#final { &["server"] } else { &[] },
    };
    let settings = toml::to_string(&settings).map_err(Failure::failed)?;
    let hierarchy = serde_json::to_string_pretty(&bundle).map_err(Failure::failed)?;
    fs::create_dir_all(&export.folder).map_err(Failure::failed)?;
    let [settings_file, hierarchy_file] = [SETTINGS, HIERARCHY].map(|n| export.folder.join(n));
    // What is read without the other names a file that is not there, so the other comes first.
    for (path, text) in [
        (&hierarchy_file, hierarchy),
        (&settings_file, format!("{HEAD}{settings}")),
    ] {
        write(path, text.as_bytes(), export.force)?;
        // Everybody on a machine reads them; nothing in them is secret between clients.
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(path, readable).map_err(Failure::failed)?;
    }
    output.answer(
        &json!({ "settings": settings_file, "hierarchy": hierarchy_file }),
        format_args!(
            "{} and {} go into /etc/openrms/client.d of each machine.",
            settings_file.display(),
            hierarchy_file.display()
        ),
    );
    Ok(())
}

const SETTINGS: &str = "10-organisation.toml";
const HIERARCHY: &str = "hierarchy.json";
const HEAD: &str = "\
# The rights-management service of this organisation, for everybody on a machine.\n\
# Written by `rmsd client-settings export`; hierarchy.json belongs beside it.\n";
