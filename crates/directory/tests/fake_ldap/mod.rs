//! An LDAP server for tests, with the habits of Windows that Samba lacks and the faults that no
//! real server shows on demand. It holds a handful of entries and knows the bind and the search.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ldap3::asn1::{PL, StructureTag, TagClass, parse_tag};
use openrms_directory::{LdapSettings, Sid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A running server. It ends, and its connections with it, when dropped or stopped.
pub(crate) struct FakeLdap {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None` while it is stopped.
    task: Option<JoinHandle<()>>,
}

struct Shared {
    entries: Vec<Entry>,
    /// Without it, TLS cannot be started.
    tls: Option<TlsAcceptor>,
    habits: watch::Sender<Habits>,
    connections: AtomicUsize,
    binds: AtomicUsize,
    searches: AtomicUsize,
    strange: AtomicUsize,
}

/// How the server behaves; may change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    pub(crate) fault: Option<Fault>,
    /// The most entries at once; without paging a search ends there with code 4.
    pub(crate) most_entries: usize,
    /// The most values of an attribute at once.
    pub(crate) most_values: usize,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The password is not accepted.
    RefusedBind,
    /// The answer to the bind lacks everything.
    HollowBind,
    /// Searches wait until this is over.
    Silence,
    /// The connection is closed instead of a search being answered.
    HangsUp,
    /// As before, but only with the next search.
    HangsUpOnce,
    /// Searches are answered with what is not LDAP.
    Garbage,
    /// Searches end with this code.
    Result(u8),
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            fault: None,
            most_entries: 1_000,
            most_values: 1_500,
        }
    }
}

/// An entry: its DN and its attributes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    pub(crate) fn new(dn: &str) -> Self {
        Self {
            dn: dn.to_owned(),
            attributes: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.attributes.push((name.to_owned(), vec![value])),
        }
        self
    }

    /// An object of one class with a SID and a GUID made of `number`.
    pub(crate) fn object(class: &str, name: &str, number: u32) -> Self {
        let mut guid = [0; 16];
        guid[..4].copy_from_slice(&number.to_le_bytes());
        let sid: Sid = format!("S-1-5-21-1-2-3-{number}").parse().unwrap();
        Self::new(&format!("CN={name},{BASE}"))
            .with("objectClass", "top")
            .with("objectClass", class)
            .with("objectGUID", guid)
            .with("objectSid", sid.to_bytes())
            .with("sAMAccountName", name)
    }

    pub(crate) fn member_of(self, group: &str) -> Self {
        self.with("memberOf", format!("CN={group},{BASE}"))
    }

    /// The same object below another DN.
    pub(crate) fn moved_to(mut self, base: &str) -> Self {
        let name = self.dn.split(',').next().unwrap_or_default();
        self.dn = format!("{name},{base}");
        self
    }

    fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values)
    }
}

impl FakeLdap {
    /// Starts a server with these entries besides the usual ones.
    pub(crate) async fn start(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self::start_with_tls(entries, None).await
    }

    /// The same, that can start TLS.
    pub(crate) async fn start_with_tls(
        entries: impl IntoIterator<Item = Entry>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let usual = [
            Entry::new("")
                .with("objectClass", "top")
                .with("defaultNamingContext", BASE)
                .with("rootDomainNamingContext", BASE)
                .with(
                    "configurationNamingContext",
                    format!("CN=Configuration,{BASE}"),
                ),
            Entry::new(BASE).with("objectClass", "domain"),
            domain("CORP", BASE),
        ];
        let shared = Arc::new(Shared {
            entries: usual.into_iter().chain(entries).collect(),
            tls,
            habits: watch::Sender::new(Habits::default()),
            connections: AtomicUsize::new(0),
            binds: AtomicUsize::new(0),
            searches: AtomicUsize::new(0),
            strange: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            task: Some(tokio::spawn(serve(listener, Arc::clone(&shared)))),
            shared,
        }
    }

    /// Ends the server as a crash would.
    pub(crate) async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts it again at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.task = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Habits)) {
        self.shared.habits.send_modify(change);
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// Settings for these servers, with the shortest times there are.
    pub(crate) fn settings(servers: &[&Self]) -> LdapSettings {
        LdapSettings {
            forest: Some("corp.example".parse().unwrap()),
            servers: servers
                .iter()
                .map(|server| server.url().parse().unwrap())
                .collect(),
            allow_plain: true,
            time_out_for_gc: 1,
            ldap_time_out: 1,
            ..LdapSettings::default()
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn binds(&self) -> usize {
        self.shared.binds.load(Ordering::SeqCst)
    }

    pub(crate) fn searches(&self) -> usize {
        self.shared.searches.load(Ordering::SeqCst)
    }

    /// Filters of another shape than the client makes.
    pub(crate) fn strange_filters(&self) -> usize {
        self.shared.strange.load(Ordering::SeqCst)
    }
}

impl Drop for FakeLdap {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A domain of the forest.
pub(crate) fn domain(netbios: &str, context: &str) -> Entry {
    Entry::new(&format!(
        "CN={netbios},CN=Partitions,CN=Configuration,{BASE}"
    ))
    .with("objectClass", "crossRef")
    .with("nETBIOSName", netbios)
    .with("nCName", context)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move { connection(Box::new(stream), &shared).await });
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// `None` when the connection is over.
async fn connection(mut stream: Box<dyn Duplex>, shared: &Shared) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let Ok((rest, message)) = parse_tag(&received) else {
            if stream.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
            continue;
        };
        let rest = rest.len();
        received.drain(..received.len() - rest);
        let mut parts = message.expect_constructed()?.into_iter();
        let id = parts.next()?.expect_primitive()?;
        let operation = parts.next()?;
        let answer = match operation.id {
            0 => {
                shared.binds.fetch_add(1, Ordering::SeqCst);
                match shared.habits.borrow().fault {
                    Some(Fault::HollowBind) => tlv(BIND_RESPONSE, &[]),
                    Some(Fault::RefusedBind) => result(BIND_RESPONSE, 49),
                    _ => result(BIND_RESPONSE, 0),
                }
            }
            3 => {
                shared.searches.fetch_add(1, Ordering::SeqCst);
                let mut habits = shared.habits.subscribe();
                let speaks = |habits: &Habits| habits.fault != Some(Fault::Silence);
                let habits = habits.wait_for(speaks).await.ok()?.clone();
                match habits.fault {
                    Some(Fault::HangsUp) => return None,
                    Some(Fault::HangsUpOnce) => {
                        shared.habits.send_modify(|habits| habits.fault = None);
                        return None;
                    }
                    Some(Fault::Garbage) => {
                        let no_message = [0x30, 3, 2, 1, 1, 0xff, 0xff];
                        stream.write_all(&no_message).await.ok()?;
                        return None;
                    }
                    _ => {}
                }
                let search = Search::read(operation, parts.next())?;
                if !is_familiar(&search.filter) {
                    shared.strange.fetch_add(1, Ordering::SeqCst);
                }
                let (messages, controls) = search.answer(shared, &habits);
                let (last, others) = messages.split_last()?;
                for operation in others {
                    let message = [tlv(INTEGER, &id), operation.clone()].concat();
                    stream.write_all(&tlv(SEQUENCE, &message)).await.ok()?;
                }
                [last.as_slice(), &controls].concat()
            }
            23 if let Some(tls) = &shared.tls => {
                let message = [tlv(INTEGER, &id), result(EXTENDED_RESPONSE, 0)].concat();
                stream.write_all(&tlv(SEQUENCE, &message)).await.ok()?;
                stream = Box::new(tls.accept(stream).await.ok()?);
                continue;
            }
            // A StartTLS that is not supported; anything else ends the connection.
            23 => result(EXTENDED_RESPONSE, 2),
            _ => return None,
        };
        let message = [tlv(INTEGER, &id), answer].concat();
        stream.write_all(&tlv(SEQUENCE, &message)).await.ok()?;
    }
}

struct Search {
    base: String,
    scope: u8,
    filter: StructureTag,
    attributes: Vec<String>,
    /// Size and where to go on.
    page: Option<(usize, usize)>,
}

impl Search {
    fn read(operation: StructureTag, controls: Option<StructureTag>) -> Option<Self> {
        let mut parts = operation.expect_constructed()?.into_iter();
        let base = text(parts.next()?)?;
        let scope = *parts.next()?.expect_primitive()?.first()?;
        let filter = parts.nth(4)?;
        let attributes = parts.next()?.expect_constructed()?;
        let paging = controls
            .and_then(StructureTag::expect_constructed)
            .and_then(|controls| controls.into_iter().next())
            .and_then(StructureTag::expect_constructed)
            .and_then(|control| control.into_iter().next_back()?.expect_primitive());
        let page = paging.and_then(|value| {
            let (_, value) = parse_tag(&value).ok()?;
            let mut parts = value.expect_constructed()?.into_iter();
            let size = parts.next()?.expect_primitive()?;
            let size = size
                .iter()
                .fold(0, |size, octet| size << 8 | usize::from(*octet));
            Some((size, text(parts.next()?)?.parse().unwrap_or(0)))
        });
        Some(Self {
            base,
            scope,
            filter,
            attributes: attributes.into_iter().filter_map(text).collect(),
            page,
        })
    }

    /// Entries and the end of the search, and the controls of the end.
    fn answer(&self, shared: &Shared, habits: &Habits) -> (Vec<Vec<u8>>, Vec<u8>) {
        let base = self.base.to_lowercase();
        let exists = |entry: &&Entry| entry.dn.to_lowercase() == base;
        if !shared.entries.iter().any(|entry| exists(&entry)) && !base.contains("cn=partitions") {
            return (vec![result(SEARCH_DONE, 32)], Vec::new());
        }
        let found: Vec<&Entry> = shared
            .entries
            .iter()
            .filter(|entry| match self.scope {
                0 => entry.dn.to_lowercase() == base,
                _ => entry.dn.to_lowercase().ends_with(&base) && !entry.dn.is_empty(),
            })
            .filter(|entry| matches(&self.filter, entry))
            .collect();
        let mut messages = Vec::new();
        if self.scope == 2 {
            messages.push(tlv(
                SEARCH_REFERENCE,
                &octets(b"ldap://elsewhere/DC=elsewhere"),
            ));
        }
        let (size, from) = self.page.unwrap_or((usize::MAX, 0));
        let size = size.min(habits.most_entries);
        let entries = found.iter().skip(from).take(size);
        messages.extend(entries.map(|entry| self.entry(entry, habits)));
        let next = from + size;
        let more = next < found.len();
        let code = match (habits.fault, self.page) {
            (Some(Fault::Result(code)), _) => code,
            (_, None) if more => 4,
            _ => 0,
        };
        messages.push(result(SEARCH_DONE, code));
        let cookie = if more {
            next.to_string()
        } else {
            String::new()
        };
        let paging = [tlv(INTEGER, &[0]), octets(cookie.as_bytes())].concat();
        let control = [octets(PAGED_RESULTS), octets(&tlv(SEQUENCE, &paging))].concat();
        let controls = match self.page {
            Some(_) => tlv(CONTROLS, &tlv(SEQUENCE, &control)),
            None => Vec::new(),
        };
        (messages, controls)
    }

    fn entry(&self, entry: &Entry, habits: &Habits) -> Vec<u8> {
        let mut attributes = Vec::new();
        for wanted in &self.attributes {
            let (name, from) = match wanted.split_once(";range=") {
                Some((name, range)) => {
                    (name, range.trim_end_matches("-*").parse::<usize>().unwrap())
                }
                None => (wanted.as_str(), 0),
            };
            let all = entry.values(name);
            let values: Vec<_> = all.iter().skip(from).take(habits.most_values).collect();
            if values.is_empty() {
                continue;
            }
            let to = from + values.len();
            let described = match (from, to == all.len()) {
                (0, true) => name.to_owned(),
                (_, true) => format!("{name};range={from}-*"),
                (_, false) => format!("{name};range={from}-{}", to - 1),
            };
            let values: Vec<u8> = values.iter().flat_map(|value| octets(value)).collect();
            let attribute = [octets(described.as_bytes()), tlv(SET, &values)].concat();
            attributes.extend(tlv(SEQUENCE, &attribute));
        }
        let entry = [octets(entry.dn.as_bytes()), tlv(SEQUENCE, &attributes)].concat();
        tlv(SEARCH_ENTRY, &entry)
    }
}

fn matches(filter: &StructureTag, entry: &Entry) -> bool {
    match (filter.id, &filter.payload) {
        (0, PL::C(parts)) => parts.iter().all(|part| matches(part, entry)),
        (1, PL::C(parts)) => parts.iter().any(|part| matches(part, entry)),
        (2, PL::C(parts)) => parts.iter().all(|part| !matches(part, entry)),
        (3, PL::C(_)) => {
            let Some([name, value]) = equality(filter) else {
                return false;
            };
            let values = entry.values(&String::from_utf8_lossy(&name));
            values
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&value))
        }
        // Part of a value: laxly, so that an injection would find somebody.
        (4, _) => true,
        (7, PL::P(name)) => !entry.values(&String::from_utf8_lossy(name)).is_empty(),
        _ => false,
    }
}

/// Whether the client means to ask this.
fn is_familiar(filter: &StructureTag) -> bool {
    match (filter.id, &filter.payload) {
        (0 | 1, PL::C(parts)) => parts.len() == 2 && parts.iter().all(is_familiar),
        (3, PL::C(_)) => equality(filter).is_some_and(|[name, _]| {
            let known: [&[u8]; 5] = [
                b"mail",
                b"proxyAddresses",
                b"sAMAccountName",
                b"objectSid",
                b"objectClass",
            ];
            known.contains(&name.as_slice())
        }),
        (7, PL::P(name)) => name == b"objectClass" || name == b"nETBIOSName",
        _ => false,
    }
}

fn equality(filter: &StructureTag) -> Option<[Vec<u8>; 2]> {
    let mut parts = filter.clone().expect_constructed()?.into_iter();
    let name = parts.next()?.expect_primitive()?;
    Some([name, parts.next()?.expect_primitive()?])
}

fn text(tag: StructureTag) -> Option<String> {
    let universal = tag.class == TagClass::Universal;
    let octets = tag.expect_primitive().filter(|_| universal)?;
    String::from_utf8(octets).ok()
}

fn result(operation: u8, code: u8) -> Vec<u8> {
    let parts = [tlv(ENUMERATED, &[code]), octets(b""), octets(b"")];
    tlv(operation, &parts.concat())
}

fn octets(octets: &[u8]) -> Vec<u8> {
    tlv(OCTET_STRING, octets)
}

/// Tag, length and content, with lengths of three octets wherever one does not do.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => encoded.push(length),
        _ => {
            encoded.push(0x83);
            encoded.extend(&u32::try_from(content.len()).unwrap().to_be_bytes()[1..]);
        }
    }
    encoded.extend(content);
    encoded
}

/// The domain all entries are in.
pub(crate) const BASE: &str = "DC=corp,DC=example";

const PAGED_RESULTS: &[u8] = b"1.2.840.113556.1.4.319";
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;
const CONTROLS: u8 = 0xa0;
