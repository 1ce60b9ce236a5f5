//! Events and certificates as bytes of the spool: a version, a kind, the fields one after another,
//! and a keyed checksum of all of it. The original signs its messages for the same reason: what
//! others put into the queue is not taken for what a server said.

use std::borrow::Cow;

use openrms_crypto::mac::{MacKey, TAG_LEN};
use openrms_store::Uuid;
use openrms_store::logging::{Certificate, Day, Digest, LogEvent};

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// An event.
    Event(Box<LogEvent<'a>>),
    /// A certificate that an event after it names.
    Certificate(Certificate<'a>),
}

/// Why a record is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// It was changed, or somebody else wrote it.
    #[error("it does not bear this cluster's signature")]
    NotSigned,
    /// A later release wrote it.
    #[error("it is of version {0}, which this release does not know")]
    Version(u8),
    /// It bears the signature, and all the same it is no record.
    #[error("its field {0} is none")]
    Malformed(&'static str),
}

/// Writes an event.
pub(crate) fn seal_event(key: &MacKey, event: &LogEvent<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&[VERSION, EVENT]);
    out.extend_from_slice(event.id.as_bytes());
    out.extend_from_slice(&event.time.to_le_bytes());
    put_number(&mut out, event.micros);
    // Absent is 0, so positions are counted from 1.
    put_number(&mut out, event.item.map_or(0, |item| u64::from(item) + 1));
    out.push(u8::from(event.authenticated) | u8::from(event.secure) << 1);
    for text in [&event.host, &event.request, &event.path, &event.outcome] {
        put_text(&mut out, Some(text));
    }
    for text in [
        &event.operation,
        &event.peer,
        &event.user_agent,
        &event.user,
        &event.metadata,
        &event.reason,
        &event.account,
        &event.content,
        &event.issued,
        &event.ground,
    ] {
        put_text(&mut out, text.as_deref());
    }
    for digests in [&event.received_xrml, &event.issued_xrml] {
        put_number(&mut out, digests.len() as u64);
        out.extend_from_slice(digests.as_flattened());
    }
    sign(key, out)
}

/// Writes a certificate.
pub(crate) fn seal_certificate(key: &MacKey, certificate: &Certificate<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(certificate.text.len() + 128);
    out.extend_from_slice(&[VERSION, CERTIFICATE]);
    out.extend_from_slice(&certificate.digest);
    out.extend_from_slice(&certificate.day.start_millis().to_le_bytes());
    put_text(&mut out, Some(&certificate.kind));
    put_text(&mut out, Some(&certificate.text));
    sign(key, out)
}

/// Reads a record, after its signature was checked.
pub(crate) fn open<'a>(key: &MacKey, bytes: &'a [u8]) -> Result<Record<'a>, RecordError> {
    let (body, tag) = bytes
        .split_last_chunk::<TAG_LEN>()
        .ok_or(RecordError::NotSigned)?;
    if !key.is_tag(body, tag) {
        return Err(RecordError::NotSigned);
    }
    let mut fields = Fields(body);
    let [version, kind] = *fields.array("version")?;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    let record = match kind {
        EVENT => Record::Event(Box::new(fields.event()?)),
        CERTIFICATE => Record::Certificate(fields.certificate()?),
        _ => return Err(RecordError::Malformed("kind")),
    };
    if fields.0.is_empty() {
        Ok(record)
    } else {
        Err(RecordError::Malformed("end"))
    }
}

/// Whether a record says that it is an event, signed or not.
pub(crate) fn is_event(bytes: &[u8]) -> bool {
    bytes.starts_with(&[VERSION, EVENT])
}

fn sign(key: &MacKey, mut out: Vec<u8>) -> Vec<u8> {
    let tag = key.tag(&out);
    out.extend_from_slice(&tag);
    out
}

/// LEB128.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    put_number(out, text.map_or(0, |text| text.len() as u64 + 1));
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn event(&mut self) -> Result<LogEvent<'a>, RecordError> {
        let id = Uuid::from_bytes(*self.array("id")?);
        let time = i64::from_le_bytes(*self.array("time")?);
        let micros = self.number("micros")?;
        let item = match self.number("item")? {
            0 => None,
            number => {
                let item = u32::try_from(number - 1);
                Some(item.map_err(|_| RecordError::Malformed("item"))?)
            }
        };
        let [flags] = *self.array("flags")?;
        if flags > 3 {
            return Err(RecordError::Malformed("flags"));
        }
        let [host, request, path, outcome] = ["host", "request", "path", "outcome"]
            .map(|name| self.text(name)?.ok_or(RecordError::Malformed(name)));
        Ok(LogEvent {
            id,
            time,
            micros,
            item,
            authenticated: flags & 1 != 0,
            secure: flags & 2 != 0,
            host: host?,
            request: request?,
            path: path?,
            outcome: outcome?,
            operation: self.text("operation")?,
            peer: self.text("peer")?,
            user_agent: self.text("user agent")?,
            user: self.text("user")?,
            metadata: self.text("metadata")?,
            reason: self.text("reason")?,
            account: self.text("account")?,
            content: self.text("content")?,
            issued: self.text("issued")?,
            ground: self.text("ground")?,
            received_xrml: self.digests("received XrML")?,
            issued_xrml: self.digests("issued XrML")?,
        })
    }

    fn certificate(&mut self) -> Result<Certificate<'a>, RecordError> {
        let digest = *self.array("digest")?;
        let millis = i64::from_le_bytes(*self.array("day")?);
        let day = Day::of_millis(millis).ok_or(RecordError::Malformed("day"))?;
        let kind = self.text("kind")?;
        let text = self.text("text")?;
        Ok(Certificate {
            digest,
            kind: kind.ok_or(RecordError::Malformed("kind"))?,
            day,
            text: text.ok_or(RecordError::Malformed("text"))?,
        })
    }

    fn array<const N: usize>(&mut self, name: &'static str) -> Result<&'a [u8; N], RecordError> {
        let split = self.0.split_first_chunk();
        let (array, rest) = split.ok_or(RecordError::Malformed(name))?;
        self.0 = rest;
        Ok(array)
    }

    fn number(&mut self, name: &'static str) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.array(name)?;
            let part = u64::from(byte & 0x7F);
            // The last byte has room for one bit.
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(RecordError::Malformed(name))
    }

    fn text(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, RecordError> {
        let malformed = RecordError::Malformed(name);
        let Some(length) = self.number(name)?.checked_sub(1) else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| malformed)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(malformed)?;
        self.0 = rest;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed)?;
        Ok(Some(text.into()))
    }

    fn digests(&mut self, name: &'static str) -> Result<Vec<Digest>, RecordError> {
        let malformed = RecordError::Malformed(name);
        let count = usize::try_from(self.number(name)?).map_err(|_| malformed)?;
        let length = count.checked_mul(size_of::<Digest>()).ok_or(malformed)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(malformed)?;
        self.0 = rest;
        Ok(bytes.as_chunks().0.to_vec())
    }
}

const VERSION: u8 = 1;
const EVENT: u8 = 1;
const CERTIFICATE: u8 = 2;

#[cfg(test)]
mod tests {
    use openrms_crypto::sha256;
    use proptest::prelude::*;

    use super::*;

    fn key() -> MacKey {
        MacKey::new(&[7; 32])
    }

    fn text() -> impl Strategy<Value = Cow<'static, str>> {
        any::<String>().prop_map(Cow::Owned)
    }

    fn optional() -> impl Strategy<Value = Option<Cow<'static, str>>> {
        proptest::option::of(text())
    }

    prop_compose! {
        fn events()(
            id in any::<u128>(),
            (time, micros, item) in any::<(i64, u64, Option<u32>)>(),
            (authenticated, secure) in any::<(bool, bool)>(),
            [host, request, path, outcome] in [text(), text(), text(), text()],
            [operation, peer, user_agent, user, metadata] in
                [optional(), optional(), optional(), optional(), optional()],
            [reason, account, content, issued, ground] in
                [optional(), optional(), optional(), optional(), optional()],
            received_xrml in proptest::collection::vec(any::<Digest>(), 0..4),
            issued_xrml in proptest::collection::vec(any::<Digest>(), 0..4),
        ) -> LogEvent<'static> {
            LogEvent {
                id: Uuid::from_u128(id),
                time, micros, item, authenticated, secure, host, request, path, outcome,
                operation, peer, user_agent, user, metadata, reason, account, content, issued,
                ground, received_xrml, issued_xrml,
            }
        }
    }

    proptest! {
        #[test]
        fn events_are_read_as_they_were_written(event in events()) {
            let key = key();
            let bytes = seal_event(&key, &event);
            prop_assert_eq!(open(&key, &bytes), Ok(Record::Event(Box::new(event))));
        }

        #[test]
        fn certificates_are_read_as_they_were_written(xrml in any::<String>(), day in 0..20_000_i64) {
            let key = key();
            let certificate = Certificate {
                digest: sha256(xrml.as_bytes()),
                kind: "rac".into(),
                day: Day::of_millis(day * 86_400_000).unwrap(),
                text: xrml.into(),
            };
            let bytes = seal_certificate(&key, &certificate);
            prop_assert_eq!(open(&key, &bytes), Ok(Record::Certificate(certificate)));
        }

        #[test]
        fn a_record_that_was_changed_or_cut_is_refused_by_name(
            event in events(),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let key = key();
            let bytes = seal_event(&key, &event);
            let mut changed = bytes.clone();
            let at = at.index(bytes.len());
            changed[at] ^= 1 << bit;
            prop_assert_eq!(open(&key, &changed), Err(RecordError::NotSigned));
            prop_assert_eq!(open(&key, &bytes[..at]), Err(RecordError::NotSigned));
            prop_assert_eq!(
                open(&MacKey::new(&[8; 32]), &bytes),
                Err(RecordError::NotSigned)
            );
        }

        #[test]
        fn signed_junk_is_refused_or_read_and_never_more(
            mut junk in proptest::collection::vec(any::<u8>(), 0..300),
            kind in 0..4_u8,
        ) {
            let key = key();
            junk.splice(0..0, [VERSION, kind]);
            let bytes = sign(&key, junk);
            match open(&key, &bytes) {
                Ok(Record::Event(event)) => {
                    let again = seal_event(&key, &event);
                    prop_assert_eq!(open(&key, &again), Ok(Record::Event(event)));
                }
                Ok(Record::Certificate(_)) | Err(RecordError::Malformed(_)) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn a_record_of_a_later_release_says_so() {
        let key = key();
        let later = sign(&key, vec![2, EVENT, 1, 2, 3]);
        assert_eq!(open(&key, &later), Err(RecordError::Version(2)));
        assert_eq!(open(&key, &[]), Err(RecordError::NotSigned));
        let empty = sign(&key, Vec::new());
        assert_eq!(open(&key, &empty), Err(RecordError::Malformed("version")));
    }
}
