//! What the log costs and how much it takes: events into the spool, from there into each kind of
//! database, and bytes of an event on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use openrms_spool::{Durability, Settings, Spool};
use openrms_store::logging::{LogEvent, LoggingDatabase, PostgresLogging, SqliteLogging};
use openrms_store::{PostgresLocation, Uuid};
use zeroize::Zeroizing;

use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each case.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Events for each database.
    #[arg(long, default_value_t = 100_000)]
    events: u32,
    /// A PostgreSQL database that may be written to, such as
    /// <postgres://rms@127.0.0.1:5432/bench>; its password in `PGPASSWORD`.
    #[arg(long)]
    postgres: Option<String>,
    /// Fail above 1,024 bytes for an event.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    println!("{:<44}{:>12}{:>14}", "case", "events/s", "bytes each");
    let record = vec![0x5A; RECORD];
    for (name, durability, threads) in [
        ("spool, survives the process", Durability::Process, 1),
        (
            "spool, survives the process, 8 threads",
            Durability::Process,
            8,
        ),
        ("spool, survives the power", Durability::Power, 1),
        ("spool, survives the power, 8 threads", Durability::Power, 8),
    ] {
        let folder = tempfile::tempdir_in(".")?;
        let rate = appended(folder.path(), durability, threads, &record, options.seconds)?;
        println!("{name:<44}{rate:>12.0}{:>14}", RECORD + 8);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir_in(".")?;
    let mut worst = runtime.block_on(async {
        let database = SqliteLogging::open_or_create(&folder.path().join("logging.db")).await?;
        stored("listener into SQLite", &database, options.events).await
    })?;
    match &options.postgres {
        Some(url) => {
            let location: PostgresLocation = url.parse()?;
            let password = std::env::var("PGPASSWORD").unwrap_or_default();
            let location = location.with_password(Zeroizing::new(password));
            let bytes = runtime.block_on(async {
                let database = PostgresLogging::open(&location).await?;
                stored("listener into PostgreSQL", &database, options.events).await
            })?;
            worst = worst.max(bytes);
        }
        None => println!("skipped: PostgreSQL (--postgres URL)"),
    }
    if options.check {
        if worst > MOST_BYTES {
            return Err(format!("{worst:.0} bytes for an event, {MOST_BYTES} are the goal").into());
        }
        println!("goal met: at most {MOST_BYTES} bytes for an event, indexes included");
    }
    Ok(())
}

/// Events a second that some threads append.
fn appended(
    folder: &Path,
    durability: Durability,
    threads: u32,
    record: &[u8],
    seconds: f64,
) -> Result<f64, Failure> {
    let settings = Settings {
        most_bytes: u64::MAX,
        durability,
        ..Settings::default()
    };
    let spool = Spool::open(&folder.join("spool"), settings)?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(seconds);
    let counts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<u64, Failure> {
                    let mut count = 0;
                    while Instant::now() < end {
                        spool.append(record)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let counts = workers.into_iter().map(|worker| {
            let joined = worker
                .join()
                .map_err(|_| Failure::from("a thread failed"))?;
            joined.map(|count| count as f64)
        });
        counts.sum::<Result<f64, Failure>>()
    });
    Ok(counts? / begun.elapsed().as_secs_f64())
}

/// Stores events as a listener does; bytes that each takes.
async fn stored(name: &str, database: &dyn LoggingDatabase, count: u32) -> Result<f64, Failure> {
    let before = database.stored_bytes().await?;
    let random = Uuid::new_v4().as_u128();
    let mut spent = Duration::ZERO;
    for first in (0..count).step_by(BATCH) {
        let batch: Vec<_> = (first..count.min(first + BATCH as u32))
            .map(|number| event(number, random))
            .collect();
        let begun = Instant::now();
        database.store(&batch, &[]).await?;
        spent += begun.elapsed();
    }
    let bytes = database.stored_bytes().await?.saturating_sub(before) as f64 / f64::from(count);
    let rate = f64::from(count) / spent.as_secs_f64();
    println!("{name:<44}{rate:>12.0}{bytes:>14.0}");
    database.close().await;
    Ok(bytes)
}

/// An event as a use license leaves one.
fn event(number: u32, random: u128) -> LogEvent<'static> {
    let time = START + i64::from(number);
    let low = random & ((1 << 42) - 1) | u128::from(number) << 42;
    LogEvent {
        id: Uuid::from_u128((time as u128) << 80 | 7 << 76 | 2 << 62 | low),
        time,
        host: "rms1.corp.example".into(),
        request: format!("1a2b3c4d-{number:x}").into(),
        item: None,
        path: "/_wmcs/licensing/license.asmx".into(),
        operation: Some("AcquireLicense".into()),
        peer: Some(format!("10.1.{}.{}:50123", number / 200 % 200, number % 200).into()),
        user_agent: Some("MSDRM/6.1 (Windows NT 10.0)".into()),
        authenticated: false,
        secure: true,
        user: None,
        metadata: Some("SOAP 1.1".into()),
        outcome: "ok".into(),
        reason: None,
        account: Some(format!("person{}@corp.example", number % 5_000).into()),
        content: Some(
            Uuid::from_u128(u128::from(number % 20_000) << 64)
                .braced()
                .to_string()
                .into(),
        ),
        issued: Some(
            Uuid::from_u128(random ^ u128::from(number))
                .braced()
                .to_string()
                .into(),
        ),
        ground: Some("rights".into()),
        micros: 130,
        received_xrml: Vec::new(),
        issued_xrml: Vec::new(),
    }
}

/// As an event of a license is in the spool.
const RECORD: usize = 330;
const BATCH: usize = 2_000;
/// Some hours before the end of a day.
const START: i64 = 1_795_132_800_000;
const MOST_BYTES: f64 = 1024.0;
