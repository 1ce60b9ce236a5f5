//! `rmsd log`: what the log tells, and what is done with it by hand.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use openrms_spool::{Settings, Spool, SpoolError};
use openrms_store::logging::{
    Chosen, Day, EventFilter, LogEvent, LoggingDatabase, Reports, retire,
};
use openrms_store::{StoreError, Uuid};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, Output, Place};
use crate::clock;
use crate::config::Config;
use crate::logging::dead_letters::{DeadLetters, ReplayError};
use crate::logging::{self, Drain, DrainError, Drained, LogDatabaseError};
use crate::open::{OpenError, Opened, blocking};

#[derive(Debug, Subcommand)]
pub(super) enum Log {
    /// How much is stored, and how much waits.
    Status(Which),
    /// What was asked, by whom, about what, and what came of it.
    Query(Query),
    /// Every event of a range of days, one JSON document a line, the oldest first.
    Export(Export),
    /// Drop events that are older than is kept, now.
    Retention(Retention),
    /// Events that the logging database did not take.
    #[command(subcommand)]
    DeadLetters(Letters),
    /// Bring in the spool of a server that is gone.
    Drain(DrainFolder),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Days {
    /// The first day, such as 2026-11-20 (UTC).
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day.
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
}

#[derive(Debug, Args)]
pub(super) struct Query {
    /// Which question.
    #[arg(value_enum)]
    report: Report,
    #[command(flatten)]
    days: Days,
    /// The most lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Report {
    /// Requests, failures and times, by day and operation.
    Operations,
    /// Who asked most.
    Accounts,
    /// Who was certified.
    Certified,
    /// Use licenses by content.
    Contents,
    /// What was refused and why.
    Refusals,
    /// Use licenses that were given to super users.
    SuperUsers,
    /// The events themselves, with the certificates that they name when --request chooses one.
    Events,
}

/// Which events; for `events` alone.
#[derive(Debug, Args)]
struct Filter {
    /// Of this mail address.
    #[arg(long, value_name = "MAIL")]
    account: Option<String>,
    /// Of this account, as it signed in.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// About this content.
    #[arg(long, value_name = "ID")]
    content: Option<String>,
    /// Of this request (its answer had the name in `x-request-id`).
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Of this operation.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// With this outcome: `ok`, or the name of a fault.
    #[arg(long, value_name = "NAME")]
    outcome: Option<String>,
    /// Failures alone.
    #[arg(long)]
    failed: bool,
    /// After the event of this identifier: the last one of the page before.
    #[arg(long, value_name = "UUID")]
    after: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    days: Days,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Retention {
    /// Days to keep, the current one included, instead of the configuration's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
pub(super) enum Letters {
    /// Show them, with the reasons.
    List(Which),
    /// Store all that the database takes now.
    Replay(Which),
    /// Throw them away.
    Purge(Which),
}

#[derive(Debug, Args)]
pub(super) struct DrainFolder {
    /// The folder of the spool.
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Log, output: &Output) -> Result<(), Failure> {
    match command {
        Log::Status(which) => status(&which.place.load()?, output),
        Log::Query(query) => ask(query, output),
        Log::Export(command) => export(command, output),
        Log::Retention(command) => retention(command, output),
        Log::DeadLetters(Letters::List(which)) => list(&which.place.load()?, output),
        Log::DeadLetters(Letters::Replay(which)) => replay(&which.place.load()?, output),
        Log::DeadLetters(Letters::Purge(which)) => purge(&which.place.load()?, output),
        Log::Drain(command) => drain(command, output),
    }
}

fn status(config: &Config, output: &Output) -> Result<(), Failure> {
    let waiting = folder_bytes(&config.logging.spool)?;
    let letters = folder_bytes(&config.logging.dead_letters())?;
    let (events, bytes, days) = with_database(config, async |database| {
        let days = database.days().await?;
        let events = Reports::new(database, Chosen::EVER).count().await?;
        Ok((events, database.stored_bytes().await?, days))
    })?;
    let ends = days.first().zip(days.last());
    let (first, last) = ends.map(|(a, b)| (a.to_string(), b.to_string())).unzip();
    let document = json!({
        "enabled": config.logging.enabled,
        "events": events,
        "database_bytes": bytes,
        "days": days.len(),
        "first_day": first,
        "last_day": last,
        "spool_bytes": waiting,
        "dead_letter_bytes": letters,
    });
    let state = if config.logging.enabled { "on" } else { "off" };
    let range = first
        .zip(last)
        .map_or("none".to_owned(), |(a, b)| format!("{a} to {b}"));
    output.answer(
        &document,
        format_args!(
            "log           {state}\nevents        {events}\ndays          {range}\n\
             database      {bytes} bytes\nspool         {waiting} bytes\n\
             dead letters  {letters} bytes"
        ),
    );
    Ok(())
}

fn ask(query: &Query, output: &Output) -> Result<(), Failure> {
    let config = query.place.load()?;
    let range = query.days.range();
    let most = query.limit;
    let document = with_database(&config, async |database| {
        let reports = Reports::new(database, range);
        Ok(match query.report {
            Report::Operations => lines(&reports.operations().await?),
            Report::Accounts => lines(&reports.accounts(most).await?),
            Report::Certified => lines(&reports.certified(most).await?),
            Report::Contents => lines(&reports.contents(most).await?),
            Report::Refusals => lines(&reports.refusals(most).await?),
            Report::SuperUsers => {
                let found = reports.super_users(most).await?.into_iter().map(|one| {
                    let time = clock::timestamp(one.time);
                    with(&one, "time", json!(time))
                });
                found.collect()
            }
            Report::Events => events(&reports, query).await?,
        })
    })?;
    output.answer(&document, table(&document));
    Ok(())
}

async fn events(reports: &Reports<'_>, query: &Query) -> Result<Vec<Value>, StoreError> {
    let filter = &query.filter;
    let wanted = EventFilter {
        account: filter.account.clone(),
        user: filter.user.clone(),
        content: filter.content.clone(),
        request: filter.request.clone(),
        operation: filter.operation.clone(),
        outcome: filter.outcome.clone(),
        failed: filter.failed,
    };
    let mut found = Vec::new();
    for event in reports.events(&wanted, filter.after, query.limit).await? {
        let mut document = told(&event);
        if filter.request.is_some() {
            for (field, digests) in [
                ("received_certificates", &event.received_xrml),
                ("issued_certificates", &event.issued_xrml),
            ] {
                let certificates = reports.certificates(digests).await?;
                document = with(&document, field, json!(certificates));
            }
        }
        found.push(document);
    }
    Ok(found)
}

fn export(command: &Export, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let range = command.days.range();
    let count = with_database(&config, async |database| {
        let reports = Reports::new(database, range);
        let mut out = std::io::BufWriter::new(std::io::stdout());
        let mut after = None;
        let mut count = 0_u64;
        loop {
            let page = reports.events(&EventFilter::default(), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for event in &page {
                // Whoever reads no more wants no more.
                if writeln!(out, "{}", told(event)).is_err() {
                    return Ok(count);
                }
                count += 1;
            }
        }
        let _ = out.flush();
        Ok(count)
    })?;
    output.say(format_args!("{count} events"));
    Ok(())
}

fn retention(command: &Retention, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let keep = command.keep_days.unwrap_or(config.logging.keep_days);
    let today = Day::of_millis(clock::millis())
        .ok_or_else(|| Failure::failed("the clock of this machine is wrong"))?;
    let oldest = today.minus(keep.saturating_sub(1));
    let retired = with_database(&config, async |database| retire(database, oldest).await)?;
    let days: Vec<_> = retired.days.iter().map(Day::to_string).collect();
    let document = json!({
        "oldest_day": oldest.to_string(),
        "dropped_days": days,
        "dropped_certificates": retired.certificates,
    });
    let (days, certificates) = (days.len(), retired.certificates);
    output.answer(
        &document,
        format_args!("dropped {days} days before {oldest}, and {certificates} certificates"),
    );
    Ok(())
}

fn list(config: &Config, output: &Output) -> Result<(), Failure> {
    let letters = DeadLetters::open(&config.logging.dead_letters())?.list()?;
    let key = blocking(|| async {
        Opened::open(config)
            .await
            .map(|opened| logging::key(&opened))
    })?;
    let told = letters.iter().map(|letter| {
        let (event, request) = letter.event(&key).unzip();
        json!({ "reason": letter.reason, "event": event, "request": request })
    });
    let told: Vec<_> = told.collect();
    output.answer(&told, table(&told));
    Ok(())
}

fn replay(config: &Config, output: &Output) -> Result<(), Failure> {
    let letters = DeadLetters::open(&config.logging.dead_letters())?;
    let (stored, left) = blocking(|| async {
        let opened = Opened::open(config).await?;
        let database = logging::open_database(&config.logging.database).await?;
        let replayed = letters.replay(&*database, &logging::key(&opened)).await;
        database.close().await;
        replayed.map_err(LogFailure::from)
    })?;
    let document = json!({ "stored": stored, "left": left });
    output.answer(
        &document,
        format_args!("{stored} were stored, {left} are left"),
    );
    Ok(())
}

fn purge(config: &Config, output: &Output) -> Result<(), Failure> {
    let count = DeadLetters::open(&config.logging.dead_letters())?.purge()?;
    output.answer(
        &json!({ "purged": count }),
        format_args!("{count} were thrown away"),
    );
    Ok(())
}

fn drain(command: &DrainFolder, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    if !command.spool.is_dir() {
        let folder = command.spool.display();
        return Err(Failure::failed(format_args!("{folder} is no folder")));
    }
    let spool = Arc::new(Spool::open(&command.spool, Settings::default())?);
    let done = blocking(|| async {
        let opened = Opened::open(&config).await?;
        let database = logging::open_database(&config.logging.database).await?;
        let letters = config.logging.dead_letters();
        let drain = Drain::new(spool, logging::key(&opened), letters);
        let mut done = Drained::default();
        while !done.is_empty {
            let step = drain.step(&*database).await?;
            done = Drained {
                events: done.events + step.events,
                set_aside: done.set_aside + step.set_aside,
                lost: done.lost + step.lost,
                is_empty: step.is_empty,
            };
        }
        drain.turn_over().map_err(DrainError::Spool)?;
        database.close().await;
        Ok::<_, LogFailure>(done)
    })?;
    let Drained {
        events,
        set_aside,
        lost,
        ..
    } = done;
    output.answer(
        &json!({ "stored": events, "set_aside": set_aside, "lost": lost }),
        format_args!(
            "{events} events are in the database, {set_aside} among the dead letters, {lost} are gone"
        ),
    );
    Ok(())
}

impl Days {
    fn range(&self) -> Chosen {
        Chosen {
            from: self
                .from
                .map_or(i64::MIN, |day| Chosen::days(day, day).from),
            until: self
                .until
                .map_or(i64::MAX, |day| Chosen::days(day, day).until),
        }
    }
}

/// Asks the logging database.
fn with_database<T: Send>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn LoggingDatabase) -> Result<T, StoreError> + Send,
) -> Result<T, Failure> {
    let done = blocking(|| async {
        let database = logging::open_database(&config.logging.database).await?;
        let done = work(&*database).await;
        database.close().await;
        Ok::<_, LogFailure>(done?)
    });
    Ok(done?)
}

/// An event as people and programs read it.
fn told(event: &LogEvent<'_>) -> Value {
    let time = clock::timestamp(event.time);
    with(event, "time", json!(time))
}

/// A document with another value for a field.
fn with(document: &impl Serialize, field: &str, value: Value) -> Value {
    let mut document = json!(document);
    if let Some(fields) = document.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    document
}

fn lines(rows: &[impl Serialize]) -> Vec<Value> {
    rows.iter().map(|row| json!(row)).collect()
}

/// Rows for people: names and values of what is there.
fn table(rows: &[Value]) -> String {
    let lines = rows.iter().map(|row| {
        let fields = row.as_object().into_iter().flatten();
        let told = fields
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                format!("{name}={value}")
            });
        told.collect::<Vec<_>>().join("  ")
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        "nothing".to_owned()
    } else {
        lines.join("\n")
    }
}

/// Bytes of the files of a spool, which another process may have open.
fn folder_bytes(folder: &std::path::Path) -> Result<u64, Failure> {
    let failed = |error| Failure::failed(format_args!("{}: {error}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    let mut sum = 0;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "spool") {
            // One that was given back meanwhile takes nothing.
            sum += std::fs::metadata(&path).map_or(0, |file| file.len());
        }
    }
    Ok(sum)
}

/// What a command on the log failed with.
#[derive(Debug, thiserror::Error)]
enum LogFailure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Database(#[from] LogDatabaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Drain(#[from] DrainError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl From<LogFailure> for Failure {
    fn from(error: LogFailure) -> Self {
        match error {
            LogFailure::Open(error) => error.into(),
            LogFailure::Drain(DrainError::Spool(error))
            | LogFailure::Replay(ReplayError::Spool(error)) => error.into(),
            LogFailure::Database(error) | LogFailure::Drain(DrainError::Open(error)) => {
                Self::new(FAILED, "logging-database", error)
            }
            LogFailure::Store(error)
            | LogFailure::Drain(DrainError::Database(error))
            | LogFailure::Replay(ReplayError::Database(error)) => {
                Self::new(FAILED, "logging-database", error)
            }
        }
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::InUse(_) => Self::new(FAILED, "spool-in-use", error).with_hint(
                "The server has it open; its events come into the database by themselves.",
            ),
            _ => Self::new(FAILED, "spool", error),
        }
    }
}

const PAGE: usize = 1_000;
const FAILED: u8 = 1;
