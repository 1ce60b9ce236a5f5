//! `rmsd backup` and `rmsd restore`: the cluster in one sealed file, and back from it.

use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::provision::DatabaseArguments;
use super::{Failure, Output, Place, secrets};
use crate::backup::{
    BackupOptions, Check, RestoreOptions, backup as make, drill, restore as put_back,
};
use crate::clock;
use crate::key_protection::KeyProtectionError;

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The archive to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// File with the password that opens the archive, in its first line; asked for, twice, when
    /// absent.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Put the audit file into it as well, where one is written. The logging database is never in
    /// it.
    #[arg(long)]
    with_logs: bool,
    /// Leave the key out of it: what is in a security module cannot be in it, and a key file or a
    /// password may be kept elsewhere. Nothing opens with such a backup alone.
    #[arg(long)]
    without_key: bool,
    /// Replace a file that is there.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The archive.
    archive: PathBuf,
    /// File with the password that opens the archive, in its first line; asked for when absent.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The new data directory, which must not be there or be empty. With --drill, that of the
    /// cluster that is to remember that the drill went well.
    #[arg(long, value_name = "DIR", required_unless_present = "drill")]
    data: Option<PathBuf>,
    /// The new database, which must be empty or not be there yet.
    #[command(flatten)]
    database: DatabaseArguments,
    /// Protect the keys by a key file in the data directory, where a password protected them: for
    /// who has lost that password.
    #[arg(long)]
    key_file: bool,
    /// Only try it, on scratch storage: could the restored cluster serve?
    #[arg(long, conflicts_with_all = ["database", "key_file"])]
    drill: bool,
    /// A protected file of the cluster, which must still open.
    #[arg(long, value_name = "FILE", requires = "drill")]
    sample: Option<PathBuf>,
    /// The same cluster, by its configuration file.
    #[arg(long, value_name = "FILE", requires = "drill")]
    config: Option<PathBuf>,
}

pub(super) fn backup(command: &Backup, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let file = command.password_file.as_deref();
    let password = secrets::new_password_of(file, "New password of the backup")?;
    let options = BackupOptions {
        output: command.output.clone(),
        password: password.read("").map_err(KeyProtectionError::from)?,
        configuration: Some(command.place.file()),
        with_logs: command.with_logs,
        without_key: command.without_key,
        force: command.force,
    };
    let made = make(&config, &options, clock::now())?;
    if command.without_key {
        output.say(
            "The key is not in it. Back up the key file or password, or the security module with \
             its own tools, or nothing that was protected opens again.",
        );
    }
    let text = format!(
        "{} holds {} as of now: {} rows, {} bytes, read back and whole.\n\
         Show that it can be restored: rmsd restore --drill {}",
        made.archive.display(),
        made.of.name,
        made.rows,
        made.bytes,
        made.archive.display()
    );
    output.answer(&made, text);
    Ok(())
}

pub(super) fn restore(command: &Restore, output: &Output) -> Result<(), Failure> {
    let file = command.password_file.as_deref();
    let password = secrets::password(file, "Password of the backup", output)?;
    let password = Zeroizing::new(password.as_bytes().to_vec());
    match &command.data {
        Some(data) if !command.drill => to(command, data, password, output),
        _ => rehearse(command, &password, output),
    }
}

fn to(
    command: &Restore,
    data: &Path,
    password: Zeroizing<Vec<u8>>,
    output: &Output,
) -> Result<(), Failure> {
    let options = RestoreOptions {
        archive: command.archive.clone(),
        password,
        data: data.to_owned(),
        database: command.database.server()?,
        key_file: command.key_file,
    };
    let restored = put_back(&options, clock::now())?;
    output.say(
        "What the configuration names outside of the data directory is not in a backup: TLS keys, \
         keytabs, files with passwords. Look through rmsd.toml before the first start.",
    );
    let text = format!(
        "{}\n{} is restored to {}: rmsd serve --data {}",
        lines(&restored.checks),
        restored.of.name,
        restored.data.display(),
        restored.data.display()
    );
    output.answer(&restored, text.trim_start());
    Ok(())
}

fn rehearse(
    command: &Restore,
    password: &Zeroizing<Vec<u8>>,
    output: &Output,
) -> Result<(), Failure> {
    let cluster = match (&command.data, &command.config) {
        (None, None) => None,
        (data, config) => Some(
            Place {
                config: config.clone(),
                data: data.clone(),
            }
            .load()?,
        ),
    };
    let sample = command.sample.as_deref();
    let found = drill(
        &command.archive,
        password,
        sample,
        cluster.as_ref(),
        clock::now(),
    )?;
    let lines = lines(&found.checks);
    if found.good {
        output.answer(&found, format_args!("{lines}\nThe backup is good."));
        return Ok(());
    }
    let failure = Failure::new(
        1,
        "backup-not-good",
        format!("the backup is not good\n{lines}"),
    );
    Err(failure.beside(&found))
}

fn lines(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = match check.ok {
            Some(true) => "ok     ",
            Some(false) => "FAILED ",
            None => "skipped",
        };
        format!("{mark} {}: {}", check.name, check.detail)
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}
