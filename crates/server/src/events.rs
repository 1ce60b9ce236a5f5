//! The events of a server that somebody may have to act on, each with a number and a name that
//! stay: log lines carry them as `event` and `event_name`, and `/metrics` counts them. Numbers below
//! 1000 are those of Windows Rights Management Services, the others are our own.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Declares the events in one table: number, name, level, what happened, what to do.
macro_rules! events {
    ($($event:ident $number:literal $name:literal $level:ident $meaning:literal $advice:literal;)*) => {
        /// An event that somebody may have to act on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event {
            $(#[doc = $meaning] $event,)*
        }

        impl Event {
            /// Every event, by number.
            pub const ALL: &'static [Self] = &[$(Self::$event,)*];

            /// Its number, which never changes.
            pub const fn number(self) -> u16 {
                match self { $(Self::$event => $number,)* }
            }

            /// Its name, which never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$event => $name,)* }
            }

            /// How bad it is.
            pub const fn level(self) -> Level {
                match self { $(Self::$event => Level::$level,)* }
            }

            /// What happened.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$event => $meaning,)* }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$event => $advice,)* }
            }
        }
    };
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something soon does not, or should be looked at.
    Warn,
    /// Worth knowing.
    Info,
}

events! {
    SlcExpiresInAMonth 16 "slc-expires-in-a-month" Warn
        "The server licensor certificate expires in less than a month."
        "Renew it.";
    SlcExpiresInAWeek 17 "slc-expires-in-a-week" Warn
        "The server licensor certificate expires in less than a week."
        "Renew it now.";
    SlcExpired 18 "slc-expired" Error
        "The server licensor certificate has expired: nothing more is issued."
        "Renew it. Licences that were issued before go on working.";
    SpoolFull 48 "spool-full" Error
        "The spool of log events is full: requests are refused or events dropped, by its policy."
        "Bring the logging database back, or give the spool more room.";
    SuperUserUsed 49 "super-user-used" Warn
        "A use licence was given to a super user."
        "See in the log who asked for which content, and whether they should have.";
    ServerStarted 1001 "server-started" Info
        "The server answers requests."
        "Nothing.";
    ServerStopped 1002 "server-stopped" Info
        "The server was told to stop, and has answered the requests that were under way."
        "Nothing, if that was meant.";
    StartFailed 1003 "start-failed" Error
        "The server does not start."
        "The message names the setting or the file that is wrong.";
    ShutdownFailed 1004 "shutdown-failed" Error
        "The server stopped and left something undone."
        "The message names what. Requests that were cut off are asked again by their clients.";
    PartFailed 1005 "part-failed" Error
        "A part of the server could not be prepared; the rest serves."
        "The message names the part and what is wrong.";
    ConfigurationCorrupt 1006 "configuration-corrupt" Error
        "The configuration that is stored cannot be used; what was in use stays in use."
        "Correct what the message names, or restore a backup.";
    InternalError 1007 "internal-error" Error
        "A request ended in a fault of the server itself."
        "Report it with the lines of the log around it.";
    NoGlobalCatalog 1008 "no-global-catalog" Error
        "No server of the directory can be asked."
        "See that a global catalog can be reached and takes the service account.";
    SlcRequestFailed 1009 "slc-request-failed" Error
        "A server licensor certificate could not be obtained or renewed."
        "The message tells what the authority answered.";
    LoggingFailed 1010 "logging-failed" Error
        "Log events cannot be written down."
        "See to the disk of the spool and to the logging database.";
    EventSetAside 1011 "log-event-set-aside" Error
        "A log event could not be stored and is kept among the dead letters."
        "Correct the cause that the message names and replay it.";
    LogMessageInvalid 1012 "log-message-invalid" Error
        "A log event in the spool is not what was written there."
        "Find out who or what changed it: the disk, or somebody.";
    KeyPasswordChanged 1013 "key-password-changed" Info
        "The password of the private key was changed."
        "See that it was meant, and change it on the other servers.";
    DatabaseLost 1014 "database-lost" Error
        "The configuration database does not answer; the server goes on with what it knows."
        "Bring the database back.";
    DatabaseBack 1015 "database-back" Info
        "The configuration database answers again."
        "Nothing.";
    ConfigurationChanged 1016 "configuration-changed" Info
        "Another version of the configuration is in use."
        "Nothing, if that was meant.";
    LogRecordsMissing 1017 "log-records-missing" Error
        "Log events that were in the spool are gone from it and were not stored."
        "Find out who or what removed or damaged them: somebody, or the disk.";
    ChannelExpired 1018 "channel-expired" Warn
        "The channel of packages that the cluster hands out has expired: machines refuse it."
        "Bring in a newer one: `rmsd repo import`.";
}

impl Event {
    /// Writes it into the log, with what was special about it this time, and counts it.
    pub fn emit(self, detail: impl Display) {
        if let Some(count) = COUNTS.get(self as usize) {
            count.fetch_add(1, Relaxed);
        }
        let (event, event_name) = (self.number(), self.name());
        match self.level() {
            Level::Error => tracing::error!(event, event_name, "{detail}"),
            Level::Warn => tracing::warn!(event, event_name, "{detail}"),
            Level::Info => tracing::info!(event, event_name, "{detail}"),
        }
    }

    /// How often it happened in this process.
    pub fn count(self) -> u64 {
        COUNTS
            .get(self as usize)
            .map_or(0, |count| count.load(Relaxed))
    }
}

impl Level {
    /// Its name in log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
        }
    }
}

/// Like the log itself, one for the process: some events come before there is a server.
static COUNTS: [AtomicU64; Event::ALL.len()] = [const { AtomicU64::new(0) }; Event::ALL.len()];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_in_order() {
        for pair in Event::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
