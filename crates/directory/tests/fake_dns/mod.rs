//! A name server for tests, on UDP and TCP of loopback. It says what it is told to say, and a
//! message that is too long for UDP is cut off there, as real ones do.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "helpers of tests, of which each file uses its part"
)]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// A running name server. It ends when dropped.
pub(crate) struct FakeDns {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    zone: Mutex<HashMap<(Name, RecordType), Vec<RData>>>,
    /// Answers with this code, whatever is asked.
    fails: Mutex<Option<ResponseCode>>,
    silent: AtomicBool,
    questions: AtomicUsize,
    ends: AtomicBool,
}

impl FakeDns {
    /// Starts one that knows nothing.
    pub(crate) fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let shared: Arc<Shared> = Arc::default();
        let (of_udp, of_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || serve_udp(&udp, &of_udp)),
            std::thread::spawn(move || serve_tcp(&tcp, &of_tcp)),
        ];
        Self {
            address,
            shared,
            threads,
        }
    }

    /// Sets all SRV records of a name: priority, weight, port, target.
    pub(crate) fn services(&self, name: &str, records: &[(u16, u16, u16, &str)]) {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let target = Name::from_ascii(target).unwrap();
            RData::SRV(SRV::new(priority, weight, port, target))
        };
        self.set(name, RecordType::SRV, records.iter().map(record).collect());
    }

    /// Sets the address of a host.
    pub(crate) fn host(&self, name: &str, address: Ipv4Addr) {
        self.set(name, RecordType::A, vec![RData::A(A(address))]);
    }

    /// Sets all records of one kind of a name.
    pub(crate) fn set(&self, name: &str, kind: RecordType, records: Vec<RData>) {
        let name = Name::from_ascii(format!("{name}.")).unwrap();
        self.shared
            .zone
            .lock()
            .unwrap()
            .insert((name, kind), records);
    }

    /// Answers every question with a code from now on, or with what it knows.
    pub(crate) fn fail_with(&self, code: Option<ResponseCode>) {
        *self.shared.fails.lock().unwrap() = code;
    }

    /// Says nothing any more, or speaks again.
    pub(crate) fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// How many questions came.
    pub(crate) fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::SeqCst)
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Each thread waits for one more caller.
        let anybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        UdpSocket::bind(anybody)
            .unwrap()
            .send_to(&[], self.address)
            .unwrap();
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Both at one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut question = [0; 4_096];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let Some(answer) = shared.answer(&question[..length]) else {
            continue;
        };
        let mut bytes = answer.to_vec().unwrap();
        if bytes.len() > LONGEST_DATAGRAM {
            bytes = answer.truncate().to_vec().unwrap();
        }
        socket.send_to(&bytes, from).unwrap();
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        // Whoever hangs up has what they want.
        let _ = stream.and_then(|stream| serve_stream(stream, shared));
    }
}

fn serve_stream(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    if let Some(answer) = shared.answer(&question) {
        let bytes = answer.to_vec().unwrap();
        let length = u16::try_from(bytes.len()).unwrap();
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(&bytes)?;
    }
    Ok(())
}

impl Shared {
    fn answer(&self, question: &[u8]) -> Option<Message> {
        let question = Message::from_vec(question).ok()?;
        let asked = question.queries.first()?.clone();
        self.questions.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            return None;
        }
        let mut answer = question.into_response();
        answer.metadata.recursion_available = true;
        let name = asked.name().to_lowercase();
        let zone = self.zone.lock().unwrap();
        let known = zone.get(&(name, asked.query_type()));
        if let Some(code) = *self.fails.lock().unwrap() {
            answer.metadata.response_code = code;
        } else if let Some(records) = known {
            let record = |data: &RData| Record::from_rdata(asked.name().clone(), 60, data.clone());
            answer.add_answers(records.iter().map(record));
        } else if !zone
            .keys()
            .any(|(known, _)| *known == asked.name().to_lowercase())
        {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        Some(answer)
    }
}

const LONGEST_DATAGRAM: usize = 1_232;
