//! The messages that come before a server has proved who it is: those of a bind with SASL and of
//! `StartTLS` (RFC 4511 4.2, 4.14, 5.1).
//!
//! Answers are read element by element and nothing in them is nested: the client library's reader
//! goes as deep as what it reads, which by then is anybody's.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Asks for TLS.
pub(super) fn start_tls_request(id: u8) -> Vec<u8> {
    let message = [
        element(INTEGER, &[id & 0x7F]),
        element(EXTENDED_REQUEST, &element(REQUEST_NAME, START_TLS)),
    ];
    element(SEQUENCE, &message.concat())
}

/// A step of the client in a bind. Messages are numbered by `id`, up to 127.
pub(super) fn bind_request(id: u8, mechanism: &str, credentials: &[u8]) -> Vec<u8> {
    let sasl = [
        element(OCTET_STRING, mechanism.as_bytes()),
        element(OCTET_STRING, credentials),
    ];
    let bind = [
        element(INTEGER, &[VERSION]),
        // The name is the mechanism's matter.
        element(OCTET_STRING, b""),
        element(SASL, &sasl.concat()),
    ];
    let message = [
        element(INTEGER, &[id & 0x7F]),
        element(BIND_REQUEST, &bind.concat()),
    ];
    element(SEQUENCE, &message.concat())
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A step of a bind.
    Bind,
    /// `StartTLS`.
    StartTls,
}

/// A server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The result code (RFC 4511 appendix A).
    pub(crate) code: u32,
    /// The server's words, for people: of bounded length and without control characters.
    pub(crate) text: String,
    /// The mechanism's token; empty when there is none.
    pub(crate) credentials: Vec<u8>,
}

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResponseError {
    /// The connection ended.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A field is missing, of another type, or ends after the message does.
    #[error("the answer has no readable {0}")]
    Field(&'static str),
    /// Longer than any such answer.
    #[error("the answer is {0} bytes long")]
    TooLong(usize),
}

impl Response {
    /// Takes the answer to the request with this number, and not a byte more.
    pub(super) async fn receive(
        stream: &mut (impl AsyncRead + Unpin),
        asked: Asked,
        id: u8,
    ) -> Result<Self, ResponseError> {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        let [tag, first] = head;
        if tag != SEQUENCE {
            return Err(ResponseError::Field("message"));
        }
        let mut digits = [0; 4];
        let digits = digits
            .get_mut(..digit_count(first).ok_or(ResponseError::Field("length"))?)
            .unwrap_or_default();
        stream.read_exact(digits).await?;
        let length = length(first, digits);
        if length > LONGEST {
            return Err(ResponseError::TooLong(length));
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        Self::read(&message, asked, id)
    }

    /// Reads what is in the frame of a message.
    pub(crate) fn read(message: &[u8], asked: Asked, expected: u8) -> Result<Self, ResponseError> {
        let (id, rest) = field(message, INTEGER, "number")?;
        if id != [expected] {
            return Err(ResponseError::Field("number that was asked for"));
        }
        // Controls may follow, which nobody asked for.
        let (tag, name) = match asked {
            Asked::Bind => (BIND_RESPONSE, "BindResponse"),
            Asked::StartTls => (EXTENDED_RESPONSE, "ExtendedResponse"),
        };
        let (response, _) = field(rest, tag, name)?;
        let (code, rest) = field(response, ENUMERATED, "resultCode")?;
        let &[code] = code else {
            return Err(ResponseError::Field("resultCode"));
        };
        let (_, rest) = field(rest, OCTET_STRING, "matchedDN")?;
        let (text, mut rest) = field(rest, OCTET_STRING, "diagnosticMessage")?;
        if rest.first() == Some(&REFERRAL) {
            (_, rest) = field(rest, REFERRAL, "referral")?;
        }
        let credentials = match (asked, rest) {
            // It may repeat the name of what was asked for.
            (Asked::StartTls, _) | (Asked::Bind, []) => &[],
            (Asked::Bind, rest) => field(rest, SERVER_CREDENTIALS, "serverSaslCreds")?.0,
        };
        Ok(Self {
            code: code.into(),
            text: String::from_utf8_lossy(text)
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(LONGEST_TEXT)
                .collect(),
            credentials: credentials.to_vec(),
        })
    }
}

/// The content of the element at the start of `bytes`, and what follows it.
fn field<'a>(
    bytes: &'a [u8],
    tag: u8,
    name: &'static str,
) -> Result<(&'a [u8], &'a [u8]), ResponseError> {
    let error = || ResponseError::Field(name);
    let (&[found, first], rest) = bytes.split_first_chunk().ok_or_else(error)?;
    if found != tag {
        return Err(error());
    }
    let count = digit_count(first).ok_or_else(error)?;
    let (digits, rest) = rest.split_at_checked(count).ok_or_else(error)?;
    rest.split_at_checked(length(first, digits))
        .ok_or_else(error)
}

/// How many bytes of length follow the first one. Of unknown length LDAP has nothing (RFC 4511 5.1);
/// Windows always uses four.
fn digit_count(first: u8) -> Option<usize> {
    match first {
        0..=0x7F => Some(0),
        0x81..=0x84 => Some(usize::from(first & 0x7F)),
        _ => None,
    }
}

fn length(first: u8, digits: &[u8]) -> usize {
    if digits.is_empty() {
        return usize::from(first);
    }
    let sum = digits
        .iter()
        .fold(0_u32, |sum, digit| sum << 8 | u32::from(*digit));
    usize::try_from(sum).unwrap_or(usize::MAX)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    // A token is 64 KiB at most, so that four bytes are enough.
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[tag, 0x84], length.to_be_bytes().as_slice(), content].concat()
}

const VERSION: u8 = 3;
/// The name of `StartTLS` (RFC 4511 4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// Longer than a token and all that goes with it.
pub(crate) const LONGEST: usize = 1 << 17;
pub(crate) const LONGEST_TEXT: usize = 300;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0A;
const SEQUENCE: u8 = 0x30;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const REQUEST_NAME: u8 = 0x80;
const SASL: u8 = 0xA3;
const REFERRAL: u8 = 0xA3;
const SERVER_CREDENTIALS: u8 = 0x87;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(id: &[u8], code: u8, more: &[u8]) -> Vec<u8> {
        let bind = [
            element(ENUMERATED, &[code]),
            element(OCTET_STRING, b""),
            element(OCTET_STRING, b"a\nb"),
            more.to_vec(),
        ];
        let message = [element(INTEGER, id), element(BIND_RESPONSE, &bind.concat())];
        element(SEQUENCE, &message.concat())
    }

    async fn received(mut bytes: &[u8]) -> Result<(Response, usize), ResponseError> {
        let response = Response::receive(&mut bytes, Asked::Bind, 2).await?;
        Ok((response, bytes.len()))
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_end_and_no_further() {
        let credentials = element(SERVER_CREDENTIALS, b"token");
        let referral = element(REFERRAL, &element(OCTET_STRING, b"ldap://dc2"));
        for (more, token) in [
            (vec![], &b""[..]),
            (credentials.clone(), b"token"),
            (referral.clone(), b""),
            ([referral, credentials].concat(), b"token"),
        ] {
            let bytes = [response(&[2], 14, &more), b"next".to_vec()].concat();
            let (response, left) = received(&bytes).await.unwrap();
            assert_eq!((response.code, response.text.as_str()), (14, "a b"));
            assert_eq!((response.credentials.as_slice(), left), (token, 4));
        }
        // Lengths as short as they can be.
        let (short, _) = received(b"0\x0c\x02\x01\x02a\x07\x0a\x01\x31\x04\0\x04\0")
            .await
            .unwrap();
        assert_eq!((short.code, short.text.as_str()), (49, ""));
    }

    #[tokio::test]
    async fn the_answer_to_start_tls_may_repeat_its_name() {
        let name = element(0x8A, START_TLS);
        for more in [&b""[..], &name] {
            let outcome = [
                element(ENUMERATED, &[0]),
                element(OCTET_STRING, b""),
                element(OCTET_STRING, b""),
                more.to_vec(),
            ];
            let message = [
                element(INTEGER, &[1]),
                element(EXTENDED_RESPONSE, &outcome.concat()),
            ];
            let message = element(SEQUENCE, &message.concat());
            let taken = Response::receive(&mut &*message, Asked::StartTls, 1).await;
            assert_eq!(taken.unwrap().code, 0);
            // That of another question is none to a bind.
            let taken = Response::receive(&mut &*message, Asked::Bind, 1).await;
            assert!(taken.is_err());
        }
    }

    #[tokio::test]
    async fn a_hostile_answer_is_refused_before_memory_is_taken_for_it() {
        let long = [SEQUENCE, 0x84, 0x7F, 0xFF, 0xFF, 0xFF];
        let error = received(&long).await.unwrap_err();
        assert!(
            matches!(error, ResponseError::TooLong(0x7FFF_FFFF)),
            "{error}"
        );
        for (name, bytes) in [
            ("nothing", vec![]),
            ("unknown length", vec![SEQUENCE, 0x80, 0, 0]),
            (
                "length of five bytes",
                vec![SEQUENCE, 0x85, 0, 0, 0, 0, 1, 0],
            ),
            ("cut off", vec![SEQUENCE, 0x10, 2, 1]),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            ("empty", element(SEQUENCE, b"")),
            ("another number", response(&[3], 0, b"")),
            ("no number", response(b"", 0, b"")),
            ("what is not in it", response(&[2], 0, &element(0x99, b""))),
            (
                "a notice of disconnection",
                element(
                    SEQUENCE,
                    &[element(INTEGER, &[0]), element(0x78, b"")].concat(),
                ),
            ),
            (
                "very deep",
                vec![SEQUENCE; 4_000]
                    .iter()
                    .rev()
                    .fold(vec![], |inner, tag| element(*tag, &inner)),
            ),
        ] {
            assert!(received(&bytes).await.is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_message_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..60_usize) {
            let _ = Response::read(&bytes, Asked::Bind, 2);
            let _ = Response::read(&bytes, Asked::StartTls, 2);
            let sound = response(&[2], 0, &element(SERVER_CREDENTIALS, b"token"));
            let content = &sound[6..];
            let mixed = [&content[..cut.min(content.len())], &bytes].concat();
            let _ = Response::read(&mixed, Asked::Bind, 2);
        }
    }
}
