//! The one table of metrics: what `/metrics` writes, what the manual lists, and what alert rules and
//! the dashboard may name. Each row says which counters of the original server it stands for.

use std::sync::atomic::Ordering::Relaxed;

use super::Object::{ActivationProxy, Certification, Enrollment, GroupExpansion, Licensing};
use super::histogram::Sum;
use super::render::{Samples, View};
use super::source::{Kind, Source};
use crate::events::Event;
use crate::health::{self, Condition};

/// A metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// Counters of the original server.
    pub(super) original: &'static str,
    pub(super) source: Source,
}

/// A metric that is one number.
macro_rules! number {
    ($view:ident => $value:expr) => {
        Source::Of(|$view, samples| samples.value(&[], $value))
    };
}

/// Every metric. Units are those of Prometheus: seconds and bytes; the original counted
/// microseconds, and to the microsecond the figures are exact.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "rmsd_certification_requests_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests for RACs.",
        original: "Certification: Certification Requests, Precertification Requests",
        source: Source::Requests(Certification),
    },
    Family {
        name: "rmsd_certification_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests for RACs that were answered with a fault.",
        original: "Certification: Certification Failures, Precertification Service Failures",
        source: Source::Failures(Certification),
    },
    Family {
        name: "rmsd_certification_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Time to answer requests for RACs, faults included.",
        original: "Certification: Total Processing Time (also of precertification)",
        source: Source::Durations(Certification),
    },
    Family {
        name: "rmsd_certification_failure_duration_seconds",
        kind: Kind::Summary,
        labels: &["operation"],
        help: "Time to answer requests for RACs with a fault.",
        original: "Certification: Failure Processing Time (also of precertification)",
        source: Source::FailureDurations(Certification),
    },
    Family {
        name: "rmsd_certification_step_duration_seconds",
        kind: Kind::Summary,
        labels: &["step"],
        help: "Steps of certifications, and how long they took.",
        original: "Certification: GetUser, AddNewUser, AssociateUserAndMachine, \
                   User Certificate Generation, User Certificate Enabling Bits Addition",
        source: Source::Steps(Certification),
    },
    Family {
        name: "rmsd_licensing_requests_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests to the licensing pipeline.",
        original: "Licensing: Requests of each operation (SignRightsData is \
                   AcquireIssuanceLicense), Total Licensing Pipeline Requests",
        source: Source::Requests(Licensing),
    },
    Family {
        name: "rmsd_licensing_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests to the licensing pipeline that were answered with a fault.",
        original: "Licensing: Failures of each operation, Total Licensing Pipeline Failures",
        source: Source::Failures(Licensing),
    },
    Family {
        name: "rmsd_licensing_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Time to answer requests to the licensing pipeline, faults included.",
        original: "Licensing: Processing Time of each operation",
        source: Source::Durations(Licensing),
    },
    Family {
        name: "rmsd_licensing_failure_duration_seconds",
        kind: Kind::Summary,
        labels: &["operation"],
        help: "Time to answer requests to the licensing pipeline with a fault.",
        original: "",
        source: Source::FailureDurations(Licensing),
    },
    Family {
        name: "rmsd_licensing_step_duration_seconds",
        kind: Kind::Summary,
        labels: &["step"],
        help: "Steps of decisions about licences, and how long they took.",
        original: "",
        source: Source::Steps(Licensing),
    },
    Family {
        name: "rmsd_nonspecific_failure_duration_seconds",
        kind: Kind::Summary,
        labels: &[],
        help: "Requests that failed before it was known what they were, and the time that took.",
        original: "Licensing: Non-Specific Requests Failures",
        source: Source::Of(|view, samples| {
            let all = view.cores.iter().map(|core| &core.nonspecific);
            samples.summary(&[], &Sum::of_timed(all));
        }),
    },
    Family {
        name: "rmsd_super_user_licenses_total",
        kind: Kind::Counter,
        labels: &[],
        help: "ULs that were given to super users.",
        original: "",
        source: number!(view => view.total(|core| &core.super_user)),
    },
    Family {
        name: "rmsd_enrollment_requests_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests for SLCs.",
        original: "Enrollment: SubEnroll Requests",
        source: Source::Requests(Enrollment),
    },
    Family {
        name: "rmsd_enrollment_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests for SLCs that were answered with a fault.",
        original: "Enrollment: SubEnroll Failures",
        source: Source::Failures(Enrollment),
    },
    Family {
        name: "rmsd_enrollment_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Time to answer requests for SLCs, faults included.",
        original: "Enrollment: SubEnroll Processing Time",
        source: Source::Durations(Enrollment),
    },
    Family {
        name: "rmsd_group_expansion_requests_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Questions of other forests about groups of this one.",
        original: "",
        source: Source::Requests(GroupExpansion),
    },
    Family {
        name: "rmsd_group_expansion_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Questions of other forests that were answered with a fault.",
        original: "",
        source: Source::Failures(GroupExpansion),
    },
    Family {
        name: "rmsd_group_expansion_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Time to answer questions of other forests, faults included.",
        original: "",
        source: Source::Durations(GroupExpansion),
    },
    Family {
        name: "rmsd_activation_requests_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests of clients of version 1.0 to be activated, passed on or not.",
        original: "ActivationProxy: Activation Requests",
        source: Source::Requests(ActivationProxy),
    },
    Family {
        name: "rmsd_activation_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests to be activated that were answered with a fault.",
        original: "ActivationProxy: Failures",
        source: Source::Failures(ActivationProxy),
    },
    Family {
        name: "rmsd_activation_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Time to answer requests to be activated, faults included.",
        original: "ActivationProxy: Processing Time",
        source: Source::Durations(ActivationProxy),
    },
    Family {
        name: "rmsd_activation_failure_duration_seconds",
        kind: Kind::Summary,
        labels: &["operation"],
        help: "Time to answer requests to be activated with a fault.",
        original: "ActivationProxy: Failure Processing Time",
        source: Source::FailureDurations(ActivationProxy),
    },
    Family {
        name: "rmsd_directory_memory_hits_total",
        kind: Kind::Counter,
        labels: &["table"],
        help: "Questions about people and groups that memory answered.",
        original: "DirectoryServices: In-Memory Hits (per second: rate; per request: divided by \
                   the rate of requests)",
        source: Source::Of(|view, samples| write_tables(view, samples, |table| table.hits)),
    },
    Family {
        name: "rmsd_directory_memory_misses_total",
        kind: Kind::Counter,
        labels: &["table"],
        help: "Questions about people and groups that memory could not answer.",
        original: "DirectoryServices: In-Memory Misses (as above)",
        source: Source::Of(|view, samples| write_tables(view, samples, |table| table.misses)),
    },
    Family {
        name: "rmsd_directory_database_hits_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions that the directory services database answered.",
        original: "DirectoryServices: Database Hits (as above)",
        source: Source::Of(|view, samples| {
            samples.values(view.second_level.map(|level| level.hits));
        }),
    },
    Family {
        name: "rmsd_directory_database_misses_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions that the directory services database could not answer.",
        original: "DirectoryServices: Database Misses (as above)",
        source: Source::Of(|view, samples| {
            samples.values(view.second_level.map(|level| level.misses));
        }),
    },
    Family {
        name: "rmsd_directory_database_errors_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Failures of the directory services database.",
        original: "",
        source: Source::Of(|view, samples| {
            samples.values(view.second_level.map(|level| level.errors));
        }),
    },
    Family {
        name: "rmsd_directory_database_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Answers that were not written to the directory services database.",
        original: "",
        source: Source::Of(|view, samples| {
            samples.values(view.second_level.map(|level| level.dropped));
        }),
    },
    Family {
        name: "rmsd_directory_queries_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Searches in the directory: something was found, nothing was, or no server answered.",
        original: "DirectoryServices: AD Queries (per second and per request as above), \
                   Non-Empty, Empty and Failed AD Queries",
        source: Source::Of(|view, samples| {
            if let Some(ldap) = &view.ldap {
                samples.value(&["found"], ldap.found);
                samples.value(&["empty"], ldap.empty);
                samples.value(&["failed"], ldap.failed);
            }
        }),
    },
    Family {
        name: "rmsd_directory_connections",
        kind: Kind::Gauge,
        labels: &["state"],
        help: "Servers of the directory by how they do; each is asked over one connection.",
        original: "DirectoryServices: LDAP Connections Up, Slow, Dead",
        source: Source::Of(|view, samples| {
            if let Some(ldap) = &view.ldap {
                samples.value(&["up"], ldap.up as u64);
                samples.value(&["slow"], ldap.slow as u64);
                samples.value(&["dead"], ldap.dead as u64);
            }
        }),
    },
    Family {
        name: "rmsd_directory_connections_maximum",
        kind: Kind::Gauge,
        labels: &[],
        help: "Connections to the directory that there can be now.",
        original: "DirectoryServices: LDAP Connections Maximum",
        source: Source::Of(|view, samples| {
            let all = view.ldap.map(|ldap| ldap.up + ldap.slow + ldap.dead);
            samples.values(all.map(|all| all as u64));
        }),
    },
    Family {
        name: "rmsd_cross_forest_queries_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions to other forests.",
        original: "DirectoryServices: Cross-Forest Queries Submitted",
        source: number!(view => view.state.shared.forests.asked.load(Relaxed)),
    },
    Family {
        name: "rmsd_cross_forest_failures_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions that other forests did not answer.",
        original: "",
        source: number!(view => view.state.shared.forests.failed.load(Relaxed)),
    },
    Family {
        name: "rmsd_logging_duration_seconds",
        kind: Kind::Summary,
        labels: &[],
        help: "Requests that were written down, and how long that held up their answers.",
        original: "Logging: Logging Requests, Processing Time",
        source: Source::Of(|view, samples| {
            let all = view.cores.iter().map(|core| &core.logging);
            samples.summary(&[], &Sum::of_timed(all));
        }),
    },
    Family {
        name: "rmsd_logging_failures_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Requests that could not be written down, and were therefore refused.",
        original: "Logging: Failures",
        source: number!(view => view.total(|core| &core.logging_failures)),
    },
    Family {
        name: "rmsd_logging_events_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Log events: put into the spool, dropped as it was full, stored in the logging \
               database, set aside as they could not be, lost as they vanished from the spool.",
        original: "",
        source: Source::Of(|view, samples| {
            let logging = view.logging();
            samples.value(&["spooled"], logging.spooled.load(Relaxed));
            samples.value(&["dropped"], logging.dropped.load(Relaxed));
            samples.value(&["stored"], logging.stored.load(Relaxed));
            samples.value(&["dead-lettered"], logging.dead_lettered.load(Relaxed));
            samples.value(&["lost"], logging.lost.load(Relaxed));
        }),
    },
    Family {
        name: "rmsd_logging_refused_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Requests that were refused as the spool was full.",
        original: "",
        source: number!(view => view.logging().refused.load(Relaxed)),
    },
    Family {
        name: "rmsd_logging_spool_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Bytes that wait in the spool.",
        original: "MSMQ length (management pack)",
        source: number!(view => view.logging().spool_bytes.load(Relaxed)),
    },
    Family {
        name: "rmsd_logging_oldest_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "How long the oldest event has been waiting in the spool; 0 when none is.",
        original: "",
        source: number!(view => view.logging().oldest_seconds.load(Relaxed)),
    },
    Family {
        name: "rmsd_logging_batches_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Batches of log events that were stored, or not at the first try.",
        original: "",
        source: Source::Of(|view, samples| {
            let logging = view.logging();
            samples.value(&["stored"], logging.batches.load(Relaxed));
            samples.value(&["failed"], logging.failed_batches.load(Relaxed));
        }),
    },
    Family {
        name: "rmsd_key_operations_duration_seconds",
        kind: Kind::Histogram,
        labels: &["operation"],
        help: "Operations with private keys of the server, wherever they are kept.",
        original: "",
        source: Source::Of(|view, samples| {
            for (name, counter) in view.keys() {
                let sum = Sum::of([&counter.requests].into_iter());
                samples.histogram(&[name], &sum);
            }
        }),
    },
    Family {
        name: "rmsd_key_failures_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Operations with private keys of the server that failed.",
        original: "",
        source: Source::Of(|view, samples| {
            for (name, counter) in view.keys() {
                let sum = Sum::of_timed([&counter.failures].into_iter());
                samples.value(&[name], sum.count);
            }
        }),
    },
    Family {
        name: "rmsd_key_pool",
        kind: Kind::Gauge,
        labels: &[],
        help: "Key pairs for new accounts in stock.",
        original: "",
        source: number!(view => view.state.keys.level() as u64),
    },
    Family {
        name: "rmsd_cache_hits_total",
        kind: Kind::Counter,
        labels: &["cache"],
        help: "Certificates and licences that were verified before.",
        original: "",
        source: Source::Of(|view, samples| write_caches(view, samples, |(hits, _)| hits)),
    },
    Family {
        name: "rmsd_cache_misses_total",
        kind: Kind::Counter,
        labels: &["cache"],
        help: "Certificates and licences that had to be verified.",
        original: "",
        source: Source::Of(|view, samples| write_caches(view, samples, |(_, misses)| misses)),
    },
    Family {
        name: "rmsd_connections_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections accepted.",
        original: "",
        source: number!(view => view.total(|core| &core.connections)),
    },
    Family {
        name: "rmsd_connections",
        kind: Kind::Gauge,
        labels: &[],
        help: "Connections open.",
        original: "",
        source: number!(view => view.state.connections.count() as u64),
    },
    Family {
        name: "rmsd_requests",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests under way.",
        original: "",
        source: number!(view => view.state.requests.count() as u64),
    },
    Family {
        name: "rmsd_turned_away_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections and requests turned away over a bound.",
        original: "",
        source: number!(view => view.total(|core| &core.turned_away)),
    },
    Family {
        name: "rmsd_failed_sign_ins_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Refused sign-ins.",
        original: "",
        source: number!(view => view.total(|core| &core.failed_sign_ins)),
    },
    Family {
        name: "rmsd_events_total",
        kind: Kind::Counter,
        labels: &["event", "name"],
        help: "Events since the start of the process, by number and name.",
        original: "event rules (management pack)",
        source: Source::Of(|_, samples| {
            for event in Event::ALL {
                let number = event.number().to_string();
                samples.value(&[&number, event.name()], event.count());
            }
        }),
    },
    Family {
        name: "rmsd_slc_expiry_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the server licensor certificate expires, in seconds since 1970.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.slc_expiry())),
    },
    Family {
        name: "rmsd_channel_expiry_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the channel of packages that is handed out expires, in seconds since 1970.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.state.repo.expiry())),
    },
    Family {
        name: "rmsd_channel_downloads_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Files of the channel of packages that were handed out, whole or in part.",
        original: "",
        source: number!(view => view.state.repo.downloads()),
    },
    Family {
        name: "rmsd_configuration_version",
        kind: Kind::Gauge,
        labels: &[],
        help: "Version of the configuration in use.",
        original: "",
        source: number!(view => u64::from(view.snapshot.cluster.version.number())),
    },
    Family {
        name: "rmsd_component_up",
        kind: Kind::Gauge,
        labels: &["component"],
        help: "Whether a component did well when it was last looked at: 1, or 0.",
        original: "",
        source: Source::Of(|view, samples| {
            for component in health::components(view.state) {
                let up = component.state == Condition::Ok;
                samples.value(&[component.name], u64::from(up));
            }
        }),
    },
    Family {
        name: "rmsd_cluster_servers",
        kind: Kind::Gauge,
        labels: &[],
        help: "Servers of the cluster, as its database lists them.",
        original: "",
        source: number!(view => view.state.health.servers()),
    },
    Family {
        name: "rmsd_build_info",
        kind: Kind::Gauge,
        labels: &["version", "mode", "level"],
        help: "Always 1; says which release is running, and as which version of RMS it behaves.",
        original: "",
        source: Source::Of(|view, samples| {
            let mode = view.snapshot.cluster.mode.number().to_string();
            let level = view.state.config.service_level.name();
            samples.value(&[env!("CARGO_PKG_VERSION"), &mode, level], 1);
        }),
    },
    Family {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the process.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.process.resident_bytes)),
    },
    Family {
        name: "process_threads",
        kind: Kind::Gauge,
        labels: &[],
        help: "Threads of the process.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.process.threads)),
    },
    Family {
        name: "process_open_fds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Files and sockets the process has open.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.process.open_files)),
    },
    Family {
        name: "process_max_fds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Files and sockets the process may have open.",
        original: "",
        source: Source::Of(|view, samples| samples.values(view.process.most_files)),
    },
    Family {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the server started, in seconds since 1970.",
        original: "",
        source: number!(view => view.state.started),
    },
];

/// Counters of the original server that have nothing to count here, and why.
#[cfg(test)]
pub(super) const ABSENT: &[(&str, &str)] = &[(
    "Certification: Update Quota, Quota Extension Total, Quota Extension Failure",
    "no such step: the quota of machines is always granted",
)];

fn write_tables(
    view: &View<'_>,
    samples: &mut Samples<'_>,
    figure: fn(&openrms_directory::TableCounters) -> u64,
) {
    if let Some(directory) = &view.directory {
        samples.value(&["accounts"], figure(&directory.accounts));
        samples.value(&["forests"], figure(&directory.forests));
        samples.value(&["memberships"], figure(&directory.memberships));
    }
}

fn write_caches(view: &View<'_>, samples: &mut Samples<'_>, figure: fn((u64, u64)) -> u64) {
    let caches = &view.state.caches;
    let certificates = figure(caches.certificates.counts());
    samples.value(&["certificates"], certificates);
    samples.value(&["licenses"], figure(caches.licenses.counts()));
}
