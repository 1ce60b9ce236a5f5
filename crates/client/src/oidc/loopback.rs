//! The loopback address to which an issuer sends the browser back (RFC 8252 7.3 and 8.3): open
//! for one answer, on 127.0.0.1 alone.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::error::OidcError;

/// A port of this machine that waits for the answer. It is closed when this is dropped.
#[derive(Debug)]
pub struct LoopbackRedirect {
    listener: TcpListener,
    port: u16,
    wait: Duration,
}

impl LoopbackRedirect {
    /// Opens a port that is free. A person then has `wait` to sign in.
    pub fn bind(wait: Duration) -> Result<Self, OidcError> {
        let failed = |error: io::Error| OidcError::Loopback(error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            listener,
            port,
            wait,
        })
    }

    /// What the issuer is told. The address and not `localhost`, which could be another's.
    pub(super) fn uri(&self) -> String {
        format!("http://{}:{}{PATH}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The query of the first request for the redirect; then the port is closed. Browsers also
    /// open connections in advance and ask for icons, none of which may be in the way.
    pub(super) fn query(self) -> Result<Zeroizing<String>, OidcError> {
        let end = Instant::now() + self.wait;
        let mut callers = VecDeque::new();
        while Instant::now() < end {
            while let Ok((stream, _)) = self.listener.accept() {
                if callers.len() == MOST_CALLERS {
                    callers.pop_front();
                }
                callers.extend(Caller::new(stream));
            }
            let mut waiting = VecDeque::with_capacity(callers.len());
            for mut caller in callers {
                match caller.asked() {
                    Asked::Nothing => waiting.push_back(caller),
                    Asked::Redirect(query) => {
                        caller.answer("200 OK", PAGE);
                        return Ok(query);
                    }
                    Asked::Other => caller.answer("404 Not Found", ""),
                    Asked::Gone => {}
                }
            }
            callers = waiting;
            thread::sleep(PAUSE);
        }
        Err(OidcError::TimedOut { after: self.wait })
    }
}

/// Whoever is connected.
struct Caller {
    stream: TcpStream,
    head: Zeroizing<Vec<u8>>,
}

/// What a caller has asked for so far.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Redirect(Zeroizing<String>),
    Other,
    Gone,
}

impl Caller {
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let head = Zeroizing::new(Vec::with_capacity(LONGEST_HEAD));
        Some(Self { stream, head })
    }

    fn asked(&mut self) -> Asked {
        let mut piece = Zeroizing::new([0; 2048]);
        loop {
            match self.stream.read(&mut *piece) {
                Ok(0) => return Asked::Gone,
                Ok(length) => {
                    let piece = piece.get(..length).unwrap_or_default();
                    if self.head.len() + piece.len() > LONGEST_HEAD {
                        return Asked::Other;
                    }
                    self.head.extend_from_slice(piece);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return asked_in(&self.head);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Asked::Gone,
            }
        }
    }

    /// Best effort: a browser that is gone needs no answer.
    fn answer(mut self, status: &str, page: &str) {
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
             Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n{page}",
            page.len()
        );
        _ = self.stream.set_nonblocking(false);
        _ = self.stream.set_write_timeout(Some(ANSWER_TIME));
        _ = self.stream.write_all(text.as_bytes());
    }
}

/// What the head of a request (RFC 9112 3) asks for.
fn asked_in(head: &[u8]) -> Asked {
    if !head.windows(4).any(|end| end == b"\r\n\r\n") {
        return Asked::Nothing;
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else {
        return Asked::Other;
    };
    let mut words = line.split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Asked::Other;
    };
    match target.split_once('?') {
        Some((PATH, query)) => Asked::Redirect(Zeroizing::new(query.to_owned())),
        _ => Asked::Other,
    }
}

const PATH: &str = "/callback";
const PAGE: &str = "<!doctype html><title>rms</title>\
    <p>The answer has arrived. You can close this window and go back to the program.</p>\n";
/// Codes can have kilobytes, and browsers send long headers.
const LONGEST_HEAD: usize = 32 << 10;
const MOST_CALLERS: usize = 16;
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded as _;

    fn connect(port: u16) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()
    }

    fn ask(port: u16, target: &str) -> String {
        let mut stream = connect(port);
        let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_request_for_the_redirect_is_taken_and_the_port_closed() {
        let redirect = LoopbackRedirect::bind(Duration::from_mins(1)).unwrap();
        let port = redirect.port;
        assert_eq!(redirect.uri(), format!("http://127.0.0.1:{port}/callback"));
        let waiting = thread::spawn(move || redirect.query());
        // A connection in advance, which never says anything.
        let silent = connect(port);
        assert!(ask(port, "/favicon.ico").starts_with("HTTP/1.1 404"));
        let answer = ask(port, "/callback?code=c&state=s");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.contains("code=c"));
        let query = waiting.join().unwrap().unwrap();
        assert_eq!(*query, "code=c&state=s");
        drop(silent);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn nobody_is_waited_for_longer_than_allowed() {
        let redirect = LoopbackRedirect::bind(Duration::from_millis(1)).unwrap();
        let port = redirect.port;
        assert_eq!(redirect.query().unwrap_err().code(), "sign-in-timeout");
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn only_a_whole_get_of_the_path_is_the_redirect() {
        assert_eq!(
            asked_in(b"GET /callback?code=c HTTP/1.1\r\n"),
            Asked::Nothing
        );
        assert_eq!(asked_in(b""), Asked::Nothing);
        let query = Zeroizing::new("code=c".to_owned());
        assert_eq!(
            asked_in(b"GET /callback?code=c HTTP/1.1\r\n\r\n"),
            Asked::Redirect(query)
        );
        for line in [
            "POST /callback?code=c HTTP/1.1",
            "GET /callback HTTP/1.1",
            "GET /callback/x?code=c HTTP/1.1",
            "GET //callback?code=c HTTP/1.1",
            "GET /callback?code=c",
            "GET /callback?code=c HTTP/2",
            "GET /callback?code=c d HTTP/1.1",
            "\u{1}",
            "",
        ] {
            let head = format!("{line}\r\n\r\n");
            assert_eq!(asked_in(head.as_bytes()), Asked::Other, "{line}");
        }
        assert_eq!(
            asked_in(b"GET /callback?\xff HTTP/1.1\r\n\r\n"),
            Asked::Other
        );
    }
}
