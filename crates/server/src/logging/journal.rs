//! The writing end of the log: makes events of requests and leaves them in the spool, before their
//! answers leave.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use openrms_crypto::mac::MacKey;
use openrms_crypto::random::{self, RandomError};
use openrms_crypto::sha256;
use openrms_spool::{AppendError, Spool, SpoolError};
use openrms_store::Uuid;
use openrms_store::logging::{Certificate, Day, Digest, LogEvent};

use super::certificates::Xrml;
use super::record;
use super::settings::{Field, Fields, LogDurability, LoggingConfig, WhenFull};
use crate::clock;
use crate::events;
use crate::metrics::Shared;
use crate::soap::{Item, Trace};

/// Where requests leave their events.
#[derive(Debug)]
pub(crate) struct Journal(Option<Open>);

#[derive(Debug)]
struct Open {
    spool: Arc<Spool>,
    key: Arc<MacKey>,
    host: String,
    fields: Fields,
    when_full: WhenFull,
    /// Appending waits for the disk.
    is_slow: bool,
    ids: Ids,
    space: Space,
    shared: Arc<Shared>,
    /// Certificates that are in the spool or in the database since the day began.
    seen: Mutex<(Option<Day>, HashSet<Digest>)>,
}

/// What is told of a request, beside what became of its items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    /// Milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) request: &'r str,
    pub(crate) peer: SocketAddr,
    pub(crate) secure: bool,
    pub(crate) path: &'r str,
    pub(crate) user_agent: Option<&'r str>,
    pub(crate) user: Option<&'r str>,
    pub(crate) form: &'static str,
    pub(crate) micros: u64,
}

/// The event could not be kept, and the answer must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotKept;

impl Journal {
    /// Keeps nothing.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    pub(crate) fn new(
        config: &LoggingConfig,
        spool: Arc<Spool>,
        key: Arc<MacKey>,
        shared: Arc<Shared>,
    ) -> Result<Self, RandomError> {
        Ok(Self(Some(Open {
            spool,
            key,
            host: host_name(),
            fields: config.fields,
            when_full: config.when_full,
            is_slow: config.durability == LogDurability::Power,
            ids: Ids::new()?,
            space: Space::default(),
            shared,
            seen: Mutex::default(),
        })))
    }

    /// Whether a field is written down.
    pub(crate) fn wants(&self, field: Field) -> bool {
        self.0.as_ref().is_some_and(|open| open.fields.has(field))
    }

    /// Whether a request may be looked into: not when its event would find no space, and it would
    /// be refused for that in the end. One a second may, to see whether there is space again.
    pub(crate) fn admits(&self) -> bool {
        let Some(open) = &self.0 else { return true };
        let admitted = !open.is_full() || open.when_full == WhenFull::Drop || open.space.may_try();
        if !admitted {
            open.shared.logging.refused.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Keeps the events of a request. Returns when they have survived what they must.
    pub(crate) async fn write(&self, asked: &Asked<'_>, trace: &Trace) -> Result<(), NotKept> {
        let Some(open) = &self.0 else { return Ok(()) };
        let (records, new) = open.records(asked, trace);
        let appended = if open.is_slow {
            // Others of this thread go on meanwhile, and share the wait for the disk.
            let spool = open.spool.clone();
            let work = move || append(&spool, &records);
            match tokio::task::spawn_blocking(work).await {
                Ok(appended) => appended,
                Err(_) => return Err(NotKept),
            }
        } else {
            append(&open.spool, &records)
        };
        match appended {
            Ok(()) => {
                let logging = &open.shared.logging;
                logging.spooled.fetch_add(trace.items.len() as u64, Relaxed);
                if open.is_full() && logging.full.swap(false, Relaxed) {
                    tracing::info!("there is space for the log again");
                }
                Ok(())
            }
            Err(error) => {
                open.forget(&new);
                open.no_space(&error, trace.items.len() as u64)
            }
        }
    }

    /// Space was given back.
    pub(crate) fn try_again(&self) {
        if let Some(open) = &self.0 {
            open.space.try_now();
        }
    }

    /// Whether the last event found no space.
    pub(crate) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(Open::is_full)
    }
}

fn append(spool: &Spool, records: &[Vec<u8>]) -> Result<(), AppendError> {
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    spool.append_all(&records)
}

impl Open {
    fn is_full(&self) -> bool {
        self.shared.logging.full.load(Relaxed)
    }

    /// The records of a request, certificates before the events that name them, and which of the
    /// certificates are new.
    fn records(&self, asked: &Asked<'_>, trace: &Trace) -> (Vec<Vec<u8>>, Vec<Digest>) {
        let mut records = Vec::with_capacity(trace.items.len());
        let mut new = Vec::new();
        let peer = asked.peer.to_string();
        let is_batch = trace.items.len() > 1;
        for (index, item) in trace.items.iter().enumerate() {
            let received_xrml = self.keep(asked, &item.received, &mut records, &mut new);
            let issued_xrml = self.keep(asked, &item.handed_out, &mut records, &mut new);
            let place = is_batch.then(|| u32::try_from(index).unwrap_or(u32::MAX));
            let event = LogEvent {
                received_xrml,
                issued_xrml,
                ..self.event(asked, trace, item, &peer, place)
            };
            records.push(record::seal_event(&self.key, &event));
        }
        (records, new)
    }

    fn event<'e>(
        &'e self,
        asked: &'e Asked<'_>,
        trace: &'e Trace,
        item: &'e Item,
        peer: &'e str,
        place: Option<u32>,
    ) -> LogEvent<'e> {
        let chosen = |field, text: Option<&'e str>, most| {
            let text = text.filter(|_| self.fields.has(field));
            text.map(|text| bounded(text, most))
        };
        let refusal = item.refusal.as_ref();
        let reason = refusal.map(|(_, reason)| reason.as_str());
        LogEvent {
            id: self.ids.next(asked.time),
            time: asked.time,
            host: bounded(&self.host, 64),
            request: bounded(asked.request, 64),
            item: place,
            path: bounded(asked.path, 128),
            operation: trace.operation.map(|name| name.as_str().into()),
            peer: chosen(Field::Peer, Some(peer), 64),
            user_agent: chosen(Field::UserAgent, asked.user_agent, 128),
            authenticated: asked.user.is_some(),
            secure: asked.secure,
            user: chosen(Field::User, asked.user, 256),
            metadata: chosen(Field::Metadata, Some(asked.form), 32),
            outcome: refusal.map_or("ok", |(code, _)| code).into(),
            reason: chosen(Field::Reason, reason, 512),
            account: chosen(Field::Account, item.account.as_deref(), 320),
            content: chosen(Field::Content, item.content.as_deref(), 128),
            issued: item.issued.as_deref().map(|issued| bounded(issued, 64)),
            ground: item.ground.map(Into::into),
            micros: asked.micros,
            received_xrml: Vec::new(),
            issued_xrml: Vec::new(),
        }
    }

    /// Names certificates, and adds those that were not seen yet that day.
    fn keep(
        &self,
        asked: &Asked<'_>,
        certificates: &[Xrml],
        records: &mut Vec<Vec<u8>>,
        new: &mut Vec<Digest>,
    ) -> Vec<Digest> {
        let Some(day) = Day::of_millis(asked.time) else {
            return Vec::new();
        };
        let named = certificates.iter().map(|xrml| {
            let digest = sha256(xrml.text.as_bytes());
            // A longer one is named only: half a certificate is none.
            if xrml.text.len() <= LONGEST_CERTIFICATE && self.is_new(day, digest) {
                new.push(digest);
                let certificate = Certificate {
                    digest,
                    kind: xrml.kind.into(),
                    day,
                    text: xrml.text.as_str().into(),
                };
                records.push(record::seal_certificate(&self.key, &certificate));
            }
            digest
        });
        named.collect()
    }

    fn is_new(&self, day: Day, digest: Digest) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, digests) = &mut *seen;
        if *of != Some(day) || digests.len() >= MOST_SEEN {
            *of = Some(day);
            digests.clear();
        }
        digests.insert(digest)
    }

    /// What was not kept is new the next time.
    fn forget(&self, new: &[Digest]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1.retain(|digest| !new.contains(digest));
    }

    fn no_space(&self, error: &AppendError, events: u64) -> Result<(), NotKept> {
        let logging = &self.shared.logging;
        let is_refused = self.when_full == WhenFull::Refuse;
        let (count, what) = if is_refused {
            (
                logging.refused.fetch_add(1, Relaxed) + 1,
                "requests were refused",
            )
        } else {
            let before = logging.dropped.fetch_add(events, Relaxed);
            (before + events, "events were lost")
        };
        let is_first = !logging.full.swap(true, Relaxed);
        if self.space.is_to_be_told() || is_first {
            let event = if is_out_of_space(error) {
                events::Event::SpoolFull
            } else {
                events::Event::LoggingFailed
            };
            event.emit(format_args!("{error}; {count} {what} so far"));
        }
        if is_refused { Err(NotKept) } else { Ok(()) }
    }
}

/// Whether more space would have helped.
fn is_out_of_space(error: &AppendError) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        AppendError::Full(_) => true,
        AppendError::Spool(SpoolError::File { error, .. }) => {
            matches!(error.kind(), StorageFull | QuotaExceeded)
        }
        _ => false,
    }
}

/// When it was last seen whether there is space, and told that there is none.
#[derive(Debug, Default)]
struct Space {
    /// In milliseconds since 1970.
    tried: AtomicU64,
    told: AtomicU64,
}

impl Space {
    fn may_try(&self) -> bool {
        is_due(&self.tried, TRY_MILLIS)
    }

    fn try_now(&self) {
        self.tried.store(0, Relaxed);
    }

    fn is_to_be_told(&self) -> bool {
        is_due(&self.told, TELL_MILLIS)
    }
}

/// Whether so many milliseconds have passed; true for one of all that ask.
fn is_due(last: &AtomicU64, millis: u64) -> bool {
    let now = u64::try_from(clock::millis()).unwrap_or(0);
    let before = last.load(Relaxed);
    // A clock that was set back must not stop it.
    (now >= before.saturating_add(millis) || now < before)
        && last.compare_exchange(before, now, Relaxed, Relaxed).is_ok()
}

/// Identifiers of version 7 (RFC 9562, 5.7 and 6.2): the time, a number that rises, and what is
/// random once for each start of a server.
#[derive(Debug)]
struct Ids {
    random: u64,
    next: AtomicU32,
}

impl Ids {
    /// Fails without chance: two servers would give the same names, and an event whose name is known
    /// is passed over.
    fn new() -> Result<Self, RandomError> {
        let mut bytes = [0; 8];
        random::fill(&mut bytes)?;
        Ok(Self {
            random: u64::from_le_bytes(bytes),
            next: AtomicU32::new(0),
        })
    }

    fn next(&self, millis: i64) -> Uuid {
        let time = u128::from(u64::try_from(millis).unwrap_or(0)) & ((1 << 48) - 1);
        let number = u128::from(self.next.fetch_add(1, Relaxed));
        let random = u128::from(self.random) & ((1 << 42) - 1);
        let (high, low) = (number >> 20, number & ((1 << 20) - 1));
        Uuid::from_u128(time << 80 | 7 << 76 | high << 64 | 2 << 62 | low << 42 | random)
    }
}

/// A text without what databases do not take, and not longer than so many bytes: callers choose
/// some of them.
fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.contains('\0') {
        return text.into();
    }
    let mut end = most.saturating_sub(CUT.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, cut) = match text.get(..end) {
        Some(kept) if text.len() > most => (kept, CUT),
        _ => (text, ""),
    };
    // As long as what it stands for, so that the bound still holds.
    (kept.replace('\0', "?") + cut).into()
}

/// The name of this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown" } else { name }.to_owned()
}

const CUT: &str = "…";
const LONGEST_CERTIFICATE: usize = 1 << 20;
const MOST_SEEN: usize = 1 << 16;
const TRY_MILLIS: u64 = 1_000;
const TELL_MILLIS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_callers_are_bounded_and_free_of_nulls() {
        assert_eq!(bounded("MSDRM", 128), "MSDRM");
        assert_eq!(bounded("a\0b", 128), "a?b");
        let long = "é".repeat(1 << 20);
        for most in [16, 17, 128] {
            let cut = bounded(&long, most);
            assert!(cut.len() <= most && cut.ends_with('…'), "{cut}");
        }
    }

    #[test]
    fn identifiers_rise_and_are_of_version_seven() {
        let ids = Ids::new().unwrap();
        let mut before = Uuid::nil();
        for number in 0..100_000_i64 {
            let id = ids.next(1_700_000_000_000 + number / 1000);
            assert_eq!((id.get_version_num(), id.as_bytes()[8] >> 6), (7, 2));
            assert!(id > before);
            before = id;
        }
    }
}
