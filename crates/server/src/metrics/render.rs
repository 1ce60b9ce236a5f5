//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use openrms_directory::{CacheCounters, LdapCounters, SecondLevelCounters};

use super::families::{FAMILIES, Family};
use super::histogram::{BOUNDS, Sum};
use super::keys::KeyCounter;
use super::process::Process;
use super::{Counters, Logging};
use crate::accounts::Accounts;
use crate::snapshot::Snapshot;
use crate::state::State;

/// Everything, as Prometheus reads it.
pub(crate) fn render(state: &State) -> String {
    let view = View::of(state);
    let mut out = String::with_capacity(32 << 10);
    for Family {
        name,
        kind,
        labels,
        help,
        original,
        source,
    } in FAMILIES
    {
        // Writing to a string cannot fail.
        let _ = write!(out, "# HELP {name} {help}");
        if !original.is_empty() {
            let _ = write!(out, " ({original})");
        }
        let _ = writeln!(out, "\n# TYPE {name} {}", kind.as_str());
        let out = &mut out;
        source.write(&view, &mut Samples { out, name, labels });
    }
    out
}

/// What the figures are taken from: looked up once, so that they belong together.
pub(super) struct View<'s> {
    pub(super) state: &'s State,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) cores: &'s [Arc<Counters>],
    pub(super) directory: Option<CacheCounters>,
    pub(super) ldap: Option<LdapCounters>,
    pub(super) second_level: Option<SecondLevelCounters>,
    pub(super) process: Process,
}

/// Where the samples of one metric are written.
pub(super) struct Samples<'o> {
    out: &'o mut String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl<'s> View<'s> {
    fn of(state: &'s State) -> Self {
        let snapshot = state.snapshot();
        let (directory, ldap) = match &snapshot.accounts {
            Accounts::Remote(remote) => (Some(remote.counters()), Some(remote.ldap_counters())),
            Accounts::List(_) => (None, None),
        };
        Self {
            state,
            snapshot,
            cores: state.counters(),
            directory,
            ldap,
            second_level: state.second_level.as_ref().map(|level| level.counters()),
            process: Process::read(),
        }
    }

    pub(super) fn total(&self, field: fn(&Counters) -> &AtomicU64) -> u64 {
        let all = self.cores.iter().map(|core| field(core).load(Relaxed));
        all.sum()
    }

    pub(super) fn requests(&self, operation: usize) -> Sum {
        let all = self.cores.iter();
        let all = all.filter_map(|core| core.operations.get(operation));
        Sum::of(all.map(|counter| &counter.requests))
    }

    pub(super) fn failures(&self, operation: usize) -> Sum {
        let all = self.cores.iter();
        let all = all.filter_map(|core| core.operations.get(operation));
        Sum::of_timed(all.map(|counter| &counter.failures))
    }

    pub(super) fn logging(&self) -> &Logging {
        &self.state.shared.logging
    }

    pub(super) fn keys(&self) -> [(&'static str, &KeyCounter); 3] {
        let keys = &self.state.shared.keys;
        [
            ("sign", &keys.sign),
            ("open", &keys.open),
            ("load", &keys.load),
        ]
    }

    pub(super) fn slc_expiry(&self) -> Option<u64> {
        let range = self.snapshot.cluster.server().ok()?.slc.range()?;
        u64::try_from(range.until.unix()).ok()
    }
}

impl Samples<'_> {
    /// One number.
    pub(super) fn value(&mut self, labels: &[&str], value: u64) {
        self.line("", labels, None, value);
    }

    /// One number, where there is one.
    pub(super) fn values(&mut self, value: Option<u64>) {
        if let Some(value) = value {
            self.value(&[], value);
        }
    }

    /// How many, and how long altogether.
    pub(super) fn summary(&mut self, labels: &[&str], sum: &Sum) {
        self.line("_sum", labels, None, Seconds(sum.micros));
        self.line("_count", labels, None, sum.count);
    }

    /// How many took how long.
    pub(super) fn histogram(&mut self, labels: &[&str], sum: &Sum) {
        let mut so_far = 0;
        for (bound, count) in BOUNDS.iter().zip(sum.buckets) {
            so_far += count;
            let bound = Seconds(*bound).to_string();
            self.line("_bucket", labels, Some(&bound), so_far);
        }
        self.line("_bucket", labels, Some("+Inf"), sum.count);
        self.summary(labels, sum);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: impl Display) {
        let bound = bound.map(|bound| ("le", bound));
        let labels = self.labels.iter().copied().zip(labels.iter().copied());
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{}{suffix}", self.name);
        let mut before = '{';
        for (name, value) in labels.chain(bound) {
            let _ = write!(self.out, "{before}{name}=\"{value}\"");
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

/// Microseconds, written as seconds without loss.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{micros:06}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::super::families::ABSENT;
    use super::*;

    #[test]
    fn histograms_are_cumulative_and_exact() {
        let histogram = Histogram::default();
        for micros in [200, 700, 700, 3_000_001] {
            histogram.record(micros);
        }
        let mut out = String::new();
        let mut samples = Samples {
            out: &mut out,
            name: "t",
            labels: &["operation"],
        };
        samples.histogram(&["X"], &Sum::of([&histogram].into_iter()));
        for line in [
            "t_bucket{operation=\"X\",le=\"0.00025\"} 1\n",
            "t_bucket{operation=\"X\",le=\"0.001\"} 3\n",
            "t_bucket{operation=\"X\",le=\"2\"} 3\n",
            "t_bucket{operation=\"X\",le=\"10\"} 4\n",
            "t_bucket{operation=\"X\",le=\"+Inf\"} 4\n",
            "t_sum{operation=\"X\"} 3.001601\n",
            "t_count{operation=\"X\"} 4\n",
        ] {
            assert!(out.contains(line), "{line} is not in\n{out}");
        }
    }

    #[test]
    fn the_manual_lists_every_metric_and_every_event() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../book/src/monitoring.md");
        let book = std::fs::read_to_string(path).unwrap();
        let mut tables = String::from(
            "| metric | kind | labels | meaning | counters of the original |\n|---|---|---|---|---|\n",
        );
        for family in FAMILIES {
            let Family {
                name, labels, help, ..
            } = family;
            let kind = family.kind.as_str();
            let original = family.original;
            let labels = labels.join(", ");
            writeln!(
                tables,
                "| `{name}` | {kind} | {labels} | {help} | {original} |"
            )
            .unwrap();
        }
        for (counters, why) in ABSENT {
            writeln!(tables, "| - | | | {why} | {counters} |").unwrap();
        }
        let mut events = String::from(
            "| number | name | level | what happened | what to do |\n|---|---|---|---|---|\n",
        );
        for event in crate::events::Event::ALL {
            writeln!(
                events,
                "| {} | `{}` | {} | {} | {} |",
                event.number(),
                event.name(),
                event.level().as_str(),
                event.meaning(),
                event.advice()
            )
            .unwrap();
        }
        for table in [tables, events] {
            assert!(book.contains(&table), "{path} does not have\n{table}");
        }
    }

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for family in FAMILIES {
            let name = family.name;
            assert!(
                name.starts_with("rmsd_") || name.starts_with("process_"),
                "{name}"
            );
            let is_counter = family.kind == super::super::source::Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        }
        let mut names: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len());
    }
}
