//! How the server is: what a supervisor or a balancer asks at `/readyz`. A server that has lost its
//! database or its directory goes on with what it knows: it is ready, and says that it is degraded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use openrms_store::StoreError;
use serde::Serialize;

use crate::accounts::Accounts;
use crate::clock;
use crate::events::Event;
use crate::state::State;

/// What was found out when it was last looked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    database_lost: AtomicBool,
    directory_lost: AtomicBool,
    draining: AtomicBool,
    /// Of the cluster.
    servers: AtomicU64,
}

/// How one component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Component {
    pub(crate) name: &'static str,
    pub(crate) state: Condition,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

/// How well something does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Condition {
    /// As it should.
    Ok,
    /// Requests are answered, with less behind them than there should be.
    Degraded,
    /// Requests are refused.
    Failed,
}

/// How the server is.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) status: &'static str,
    pub(crate) components: Vec<Component>,
    #[serde(skip)]
    pub(crate) worst: Condition,
}

impl Health {
    /// Notes whether the database answered, and tells of changes.
    pub(crate) fn note_database(&self, answer: Result<(), &StoreError>) {
        let before = self.database_lost.swap(answer.is_err(), Relaxed);
        match answer {
            Err(error) if !before => Event::DatabaseLost.emit(error),
            Ok(()) if before => Event::DatabaseBack.emit("the database answers again"),
            _ => {}
        }
    }

    /// How many servers the cluster had when it was last looked.
    pub(crate) fn servers(&self) -> u64 {
        self.servers.load(Relaxed)
    }

    /// From now on the server takes leave: nobody should send it more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}

/// Asks the database whether it is there.
pub(crate) async fn look(state: &State) {
    let store = &state.opened.store;
    let answer = tokio::time::timeout(PATIENCE, store.configuration_version()).await;
    let answer = answer.unwrap_or(Err(StoreError::Busy));
    state.health.note_database(answer.as_ref().map(|_| ()));
    look_at_directory(state);
}

/// Counts the servers of the cluster.
pub(crate) async fn count_servers(state: &State) {
    // What the database does not tell stays as it was; that it fails is noted elsewhere.
    if let Ok(servers) = state.opened.store.servers().await {
        state.health.servers.store(servers.len() as u64, Relaxed);
    }
}

/// Notes whether any server of the directory is alive, and tells when none is any more.
pub(crate) fn look_at_directory(state: &State) {
    let Accounts::Remote(remote) = &state.snapshot().accounts else {
        return;
    };
    let ldap = remote.ldap_counters();
    let lost = ldap.dead > 0 && ldap.up + ldap.slow == 0;
    let before = state.health.directory_lost.swap(lost, Relaxed);
    if lost && !before {
        let forest = remote.home_forest();
        Event::NoGlobalCatalog.emit(format_args!("no server of {forest} can be asked"));
    }
}

impl Report {
    /// How the server is, as far as was found out.
    pub(crate) fn of(state: &State) -> Self {
        let components = components(state);
        let worst = components.iter().map(|component| component.state).max();
        let worst = worst.unwrap_or(Condition::Ok);
        let status = match worst {
            Condition::Ok => "ready",
            Condition::Degraded => "degraded",
            Condition::Failed => "not ready",
        };
        Self {
            status,
            components,
            worst,
        }
    }

    /// In a line for people.
    pub(crate) fn text(&self) -> String {
        let wrong = self.components.iter();
        let wrong = wrong.filter_map(|component| Some((component.name, component.reason?)));
        let wrong: Vec<_> = wrong.map(|(name, why)| format!("{name}: {why}")).collect();
        if wrong.is_empty() {
            return format!("{}\n", self.status);
        }
        format!("{}: {}\n", self.status, wrong.join("; "))
    }
}

/// Every component, and how it is.
pub(crate) fn components(state: &State) -> Vec<Component> {
    use Condition::{Degraded, Failed};
    let snapshot = state.snapshot();
    let cluster = &snapshot.cluster;
    let health = &state.health;
    let when = |bad: bool, condition, why| bad.then_some((condition, why));
    let logging = &state.shared.logging;
    let why = if cluster.server().is_err() {
        "the cluster is not enrolled"
    } else {
        "the server licensor certificate is not valid now: renew it"
    };
    // A decommissioned cluster needs no valid certificate to give out content keys.
    let enrollment = when(
        !cluster.policies.decommissioned && !cluster.may_issue(clock::now()),
        Failed,
        why,
    );
    let all = [
        (
            "database",
            when(
                health.database_lost.load(Relaxed),
                Degraded,
                "it does not answer; the server goes on with what it knows",
            ),
        ),
        (
            "directory",
            when(
                health.directory_lost.load(Relaxed),
                Degraded,
                "none of its servers can be asked",
            ),
        ),
        (
            "key",
            when(
                state.shared.keys.cannot_sign(),
                Failed,
                "the private key does not sign",
            ),
        ),
        (
            "spool",
            when(logging.full.load(Relaxed), Degraded, "it is full"),
        ),
        ("enrollment", enrollment),
        (
            "channel",
            when(
                state.repo.is_expired(),
                Degraded,
                "the packages that are handed out have expired: machines refuse them",
            ),
        ),
        (
            "draining",
            when(
                health.draining.load(Relaxed),
                Failed,
                "the server is about to stop",
            ),
        ),
    ];
    let component = |(name, wrong): (&'static str, Option<(Condition, &'static str)>)| Component {
        name,
        state: wrong.map_or(Condition::Ok, |(condition, _)| condition),
        reason: wrong.map(|(_, why)| why),
    };
    all.into_iter().map(component).collect()
}

/// Whoever asks waits no longer than this for the database.
const PATIENCE: Duration = Duration::from_secs(2);
