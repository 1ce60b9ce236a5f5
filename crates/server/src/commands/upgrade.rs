//! `rmsd upgrade` and `rmsd downgrade`: from one release to the next in place, and back.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Failure, Output, Place, secrets};
use crate::clock;
use crate::upgrade::{
    BackupFile, Check, Installation, Preflight, PreflightOptions, Return, System, UpgradeError,
    Verdict, downgrade as prepare_return, downgrade_check, preflight, upgrade as make,
};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(super) struct Upgrade {
    /// Only look whether it may be done, and what would be added. Nothing is changed.
    #[arg(long, conflicts_with = "yes")]
    check: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// The backup that was made before, by the release that served.
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// File with the password that opens the backup, in its first line; asked for when absent.
    #[arg(long, value_name = "FILE", requires = "backup")]
    password_file: Option<PathBuf>,
    /// Go on without a backup.
    #[arg(long, conflicts_with = "backup")]
    without_backup: bool,
    /// The log must be in the backup.
    #[arg(long)]
    keep_statistics: bool,
    /// Go on although the root cluster does not say that it was upgraded.
    #[arg(long)]
    without_root: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Downgrade {
    /// Only look which releases may serve the cluster as it is. Nothing is changed.
    #[arg(long, conflicts_with = "yes", required_unless_present = "yes")]
    check: bool,
    /// Prepare the return of this server.
    #[arg(long)]
    yes: bool,
    /// The release to return to; the one that it was before the upgrade when absent.
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn upgrade(command: &Upgrade, output: &Output) -> Result<(), Failure> {
    if command.place.names_nothing() {
        // The package was just installed.
        fresh(output);
        return Ok(());
    }
    let config = command.place.load()?;
    let options = command.options(output)?;
    if command.yes {
        let progress = |step: &_| output.say(format_args!("added: {step}"));
        let done = make(&config, &options, &System, clock::now(), &progress)?;
        if done.found.installation == Installation::None {
            fresh(output);
            return Ok(());
        }
        let text = if done.added.is_empty() {
            "Nothing to do: this server and its cluster have all of this release."
        } else {
            "This server and its cluster have all of this release. Start this one anew, which lets \
             requests end: systemctl restart rmsd"
        };
        output.answer(&done, text);
        return Ok(());
    }
    let found = preflight(&config, &options, &System, clock::now())?;
    if found.installation == Installation::None {
        fresh(output);
        return Ok(());
    }
    if !found.allowed {
        return Err(UpgradeError::Refused(Box::new(found)).into());
    }
    let text = format!("{}\n{}", lines(&found.checks), to_be_added(&found));
    if command.check || found.missing.is_empty() {
        output.answer(&found, text);
        return Ok(());
    }
    let undone = Failure::usage(format!("nothing is changed yet\n{text}"));
    Err(undone.with_hint("Say --yes to do it.").beside(&found))
}

pub(super) fn downgrade(command: &Downgrade, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let (sources, to) = (command.place.sources(), command.to.as_deref());
    let found = if command.yes {
        prepare_return(&config, &sources, to)?
    } else {
        downgrade_check(&config, &sources, to)?
    };
    if !found.allowed {
        return Err(UpgradeError::NoReturn(Box::new(found)).into());
    }
    output.answer(
        &found,
        format_args!("{}\n{}", lines(&found.checks), ways(&found)),
    );
    Ok(())
}

impl Upgrade {
    fn options(&self, output: &Output) -> Result<PreflightOptions, Failure> {
        let read = |path: &PathBuf| {
            let file = self.password_file.as_deref();
            let password = secrets::password(file, "Password of the backup", output)?;
            Ok::<_, Failure>(BackupFile {
                path: path.clone(),
                password: Zeroizing::new(password.as_bytes().to_vec()),
            })
        };
        Ok(PreflightOptions {
            backup: self.backup.as_ref().map(read).transpose()?,
            without_backup: self.without_backup,
            keep_statistics: self.keep_statistics,
            without_root: self.without_root,
        })
    }
}

impl From<UpgradeError> for Failure {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Refused(found) => {
                Self::new(1, "upgrade-refused", refused("upgraded", &found.checks)).beside(&found)
            }
            UpgradeError::NoReturn(found) => {
                Self::new(1, "downgrade-refused", refused("returned", &found.checks)).beside(&found)
            }
            UpgradeError::Open(error) => error.into(),
            UpgradeError::Store(error) => error.into(),
            UpgradeError::Configuration(..) => Self::new(6, "bad-configuration", error),
            UpgradeError::Trust(error) => error.into(),
        }
    }
}

fn refused(done: &str, checks: &[Check]) -> String {
    format!("nothing is {done}\n{}", lines(checks))
}

fn fresh(output: &Output) {
    let text = "Nothing was provisioned here: this is a fresh installation, and there is nothing to \
                upgrade. Set a cluster up with `rmsd provision root`, or join one with \
                `rmsd provision join`.";
    let document = json!({
        "release": env!("CARGO_PKG_VERSION"),
        "installation": Installation::None,
        "allowed": true,
    });
    output.answer(&document, text);
}

fn to_be_added(found: &Preflight) -> String {
    if found.missing.is_empty() {
        return "Nothing is missing: there is nothing to upgrade.".to_owned();
    }
    let missing = found
        .missing
        .iter()
        .map(|step| format!("to be added: {step}"));
    missing.collect::<Vec<_>>().join("\n")
}

fn ways(found: &Return) -> String {
    format!(
        "Releases that may serve the cluster as it is: {}.\n\
         Without the backup: install the package of {to} in the place of this one and start it; it \
         ignores what was added.\n\
         With the backup that was made before: install it, and `rmsd restore` puts everything back \
         as it was, for all servers of the cluster.",
        found.may_serve.join(", "),
        to = found.to
    )
}

fn lines(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Refused => "REFUSED",
            Verdict::NotApplicable => "-",
        };
        let line = format!("{mark:7} {} {}: {}", check.id, check.name, check.found);
        match &check.advice {
            Some(advice) => format!("{line}\n            {advice}"),
            None => line,
        }
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}
