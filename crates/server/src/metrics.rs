//! Counters. Each serving thread counts in its own memory; whoever asks adds them up. Written in
//! the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use openrms_protocol::OperationName;

use crate::accounts::Accounts;
use crate::state::State;

/// Counters of one thread, apart from those of others by at least a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    operations: [Counter; OperationName::ALL.len() + 1],
    pub(crate) connections: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) failed_sign_ins: AtomicU64,
}

/// Picks one figure of a counter.
type Field = fn(&Counter) -> &AtomicU64;

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            operations: std::array::from_fn(|_| Counter::default()),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            failed_sign_ins: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Counts one request.
    pub(crate) fn count(&self, operation: Option<OperationName>, failed: bool, micros: u64) {
        let known =
            operation.and_then(|name| OperationName::ALL.iter().position(|other| *other == name));
        let Some(counter) = self
            .operations
            .get(known.unwrap_or(OperationName::ALL.len()))
        else {
            return;
        };
        counter.requests.fetch_add(1, Relaxed);
        counter.failures.fetch_add(u64::from(failed), Relaxed);
        counter.micros.fetch_add(micros, Relaxed);
    }
}

/// Everything, as Prometheus reads it.
pub(crate) fn render(state: &State) -> String {
    let mut out = String::with_capacity(4096);
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, state);
    out
}

fn write_all(out: &mut String, state: &State) -> std::fmt::Result {
    let cores = state.counters();
    let names = OperationName::ALL
        .iter()
        .map(|name| name.as_str())
        .chain(["unreadable"]);
    let families: [(&str, &str, Field); 3] = [
        ("requests_total", "Requests answered.", |c| &c.requests),
        ("failures_total", "Requests answered with a fault.", |c| {
            &c.failures
        }),
        ("microseconds_total", "Time spent answering.", |c| &c.micros),
    ];
    for (name, help, field) in families {
        head(out, name, "counter", help)?;
        for (index, operation) in names.clone().enumerate() {
            let counters = cores.iter().filter_map(|core| core.operations.get(index));
            let sum: u64 = counters.map(|counter| field(counter).load(Relaxed)).sum();
            writeln!(out, "rmsd_{name}{{operation=\"{operation}\"}} {sum}")?;
        }
    }
    let total = |field: fn(&Counters) -> &AtomicU64| -> u64 {
        cores.iter().map(|core| field(core).load(Relaxed)).sum()
    };
    write_caches(out, state)?;
    let single: [(&str, &str, &str, u64); 6] = [
        (
            "connections_total",
            "counter",
            "Connections accepted.",
            total(|c| &c.connections),
        ),
        (
            "turned_away_total",
            "counter",
            "Turned away over a bound.",
            total(|c| &c.turned_away),
        ),
        (
            "failed_sign_ins_total",
            "counter",
            "Refused sign-ins.",
            total(|c| &c.failed_sign_ins),
        ),
        (
            "connections",
            "gauge",
            "Connections open.",
            state.connections.count() as u64,
        ),
        (
            "key_pool",
            "gauge",
            "Key pairs in stock.",
            state.keys.level() as u64,
        ),
        (
            "configuration_version",
            "gauge",
            "Version of the configuration in use.",
            u64::from(state.snapshot().cluster.version.number()),
        ),
    ];
    for (name, kind, help, value) in single {
        head(out, name, kind, help)?;
        writeln!(out, "rmsd_{name} {value}")?;
    }
    Ok(())
}

fn write_caches(out: &mut String, state: &State) -> std::fmt::Result {
    let mut caches = vec![
        ("certificates", state.caches.certificates.counts()),
        ("licenses", state.caches.licenses.counts()),
    ];
    if let Accounts::Remote(directory) = &state.snapshot().accounts {
        let counters = directory.counters();
        for (name, table) in [
            ("accounts", counters.accounts),
            ("forests", counters.forests),
            ("memberships", counters.memberships),
        ] {
            caches.push((name, (table.hits, table.misses)));
        }
    }
    let second_level = state.second_level.as_ref().map(|level| level.counters());
    if let Some(counters) = &second_level {
        caches.push(("directory_database", (counters.hits, counters.misses)));
    }
    head(out, "cache_hits_total", "counter", "Found in a cache.")?;
    for (cache, (hits, _)) in &caches {
        writeln!(out, "rmsd_cache_hits_total{{cache=\"{cache}\"}} {hits}")?;
    }
    head(
        out,
        "cache_misses_total",
        "counter",
        "Not found in a cache.",
    )?;
    for (cache, (_, misses)) in &caches {
        writeln!(out, "rmsd_cache_misses_total{{cache=\"{cache}\"}} {misses}")?;
    }
    if let Some(counters) = &second_level {
        for (name, help, value) in [
            (
                "directory_database_errors_total",
                "Failures of the database of directory answers.",
                counters.errors,
            ),
            (
                "directory_database_dropped_total",
                "Directory answers that were not written to the database.",
                counters.dropped,
            ),
        ] {
            head(out, name, "counter", help)?;
            writeln!(out, "rmsd_{name} {value}")?;
        }
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP rmsd_{name} {help}\n# TYPE rmsd_{name} {kind}")
}

/// The counters of all threads.
pub(crate) type AllCounters = Box<[Arc<Counters>]>;
