//! `rmsd backup` and `rmsd restore`: the cluster in one sealed file, and back from it.

use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::provision::DatabaseArguments;
use super::{Failure, Output, Place, secrets};
use crate::backup::{
    BackupOptions, Check, RestoreOptions, backup as make, drill, restore as put_back,
    restore_log as put_log_back,
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
    /// Put the log into it as well: the logging database, and the audit file where one is written.
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
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(super) struct Restore {
    /// The archive.
    archive: PathBuf,
    /// File with the password that opens the archive, in its first line; asked for when absent.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The new data directory, which must not be there or be empty. With --drill, that of the
    /// cluster that is to remember that the drill went well.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["drill", "config"])]
    data: Option<PathBuf>,
    /// The new database, which must be empty or not be there yet.
    #[command(flatten)]
    database: DatabaseArguments,
    /// Protect the keys by a key file in the data directory, where a password protected them: for
    /// who has lost that password.
    #[arg(long)]
    key_file: bool,
    /// Leave the log in the backup, where it cannot be brought in now.
    #[arg(long)]
    without_logs: bool,
    /// Bring in the log alone, for the cluster that is there: --data or --config names it. Events
    /// that are there already are passed over.
    #[arg(long, conflicts_with_all = ["database", "key_file", "without_logs"])]
    logs_only: bool,
    /// Only try it, on scratch storage: could the restored cluster serve?
    #[arg(long, conflicts_with_all = ["database", "key_file", "without_logs", "logs_only"])]
    drill: bool,
    /// A protected file of the cluster, which must still open.
    #[arg(long, value_name = "FILE", requires = "drill")]
    sample: Option<PathBuf>,
    /// With --drill or --logs-only, the cluster by its configuration file.
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    config: Option<PathBuf>,
}

pub(super) fn backup(command: &Backup, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let file = command.password_file.as_deref();
    let password = secrets::new_password_of(file, "New password of the backup")?;
    let options = BackupOptions {
        output: command.output.clone(),
        password: password.read("").map_err(KeyProtectionError::from)?,
        configuration: Some(command.place.sources().file),
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
    let log = made.log.map_or_else(String::new, |log| {
        if log.waiting > 0 {
            output.say(format_args!(
                "{} events waited in the spool of this server and may not be in it: the server \
                 brings them into the logging database when both run.",
                log.waiting
            ));
        }
        format!(
            " {} events and {} certificates of the log,",
            log.events, log.certificates
        )
    });
    let text = format!(
        "{} holds {} as of now: {} rows,{log} {} bytes, read back and whole.\n\
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
        _ if command.logs_only => logs_only(command, &password, output),
        _ if command.drill => rehearse(command, &password, output),
        Some(data) if command.config.is_none() => to(command, data, password, output),
        _ => Err(Failure::usage(
            "--config goes with --drill or --logs-only; a new cluster is put to --data",
        )),
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
        without_log: command.without_logs,
    };
    let restored = put_back(&options, clock::now())?;
    output.say(
        "What the configuration names outside of the data directory is not in a backup: TLS keys, \
         keytabs, files with passwords. Look through rmsd.toml before the first start.",
    );
    let log = restored.log.as_ref().map_or_else(String::new, |log| {
        format!(
            "\n{} events of the log are in {}.",
            log.events, log.database
        )
    });
    let text = format!(
        "{}{log}\n{} is restored to {}: rmsd serve --data {}",
        lines(&restored.checks),
        restored.of.name,
        restored.data.display(),
        restored.data.display()
    );
    output.answer(&restored, text.trim_start());
    Ok(())
}

fn logs_only(command: &Restore, password: &[u8], output: &Output) -> Result<(), Failure> {
    let config = Place {
        config: command.config.clone(),
        data: command.data.clone(),
    }
    .load()?;
    let log = put_log_back(&command.archive, password, &config)?;
    let text = format!(
        "{} events and {} certificates of the backup are in {}.",
        log.events, log.certificates, log.database
    );
    output.answer(&log, text);
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
