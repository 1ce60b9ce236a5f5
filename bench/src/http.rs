//! The least HTTP client a load generator can do with: one connection, kept alive, bytes prepared.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::Failure;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    waiting: Waiting,
    buffer: Vec<u8>,
}

/// What a connection does until its answer comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Sleeps, as a client does.
    Asleep,
    /// Asks again and again. On loopback the kernel bills the waking of a sleeping client to the
    /// server that sends, which a server on a network does not pay; so a generator that has a
    /// core to itself stays awake.
    Awake,
}

/// How a request says whose it is.
pub(crate) enum SignIn<'a> {
    /// Account name and password.
    Password(&'a str, &'a str),
    /// The first token of a Negotiate exchange, good for one request.
    Negotiate(Vec<u8>),
}

/// A request as it goes out.
pub(crate) fn post(path: &str, body: &str, sign_in: Option<&SignIn<'_>>) -> Vec<u8> {
    let authorization = sign_in.map_or(String::new(), SignIn::field);
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/xml; charset=utf-8\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl SignIn<'_> {
    fn field(&self) -> String {
        let (scheme, said) = match self {
            Self::Password(name, password) => ("Basic", format!("{name}:{password}").into_bytes()),
            Self::Negotiate(token) => ("Negotiate", token.clone()),
        };
        let said = base64::engine::general_purpose::STANDARD.encode(said);
        format!("Authorization: {scheme} {said}\r\n")
    }
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr, waiting: Waiting) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            waiting,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends a prepared request; the status and the body of the answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Failure> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let (head, length) = loop {
            self.fill()?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end])?;
                let length = head
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                    .ok_or("an answer without length")?;
                break (end + 4, length);
            }
        };
        while self.buffer.len() < head + length {
            self.fill()?;
        }
        let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
        Ok((status, &self.buffer[head..head + length]))
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 16 << 10];
        let read = match self.waiting {
            Waiting::Asleep => self.stream.read(&mut chunk)?,
            Waiting::Awake => self.read_awake(&mut chunk)?,
        };
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }

    fn read_awake(&mut self, chunk: &mut [u8]) -> Result<usize, Failure> {
        self.stream.set_nonblocking(true)?;
        let end = Instant::now() + PATIENCE;
        let read = loop {
            match self.stream.read(chunk) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    std::hint::spin_loop();
                }
                other => break other?,
            }
        };
        self.stream.set_nonblocking(false)?;
        Ok(read)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

const PATIENCE: Duration = Duration::from_secs(30);
