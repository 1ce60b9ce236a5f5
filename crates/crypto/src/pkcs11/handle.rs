//! The handle of a key in a module: a PKCS #11 URI (RFC 7512) of the token's serial number and the
//! key's `CKA_ID`. No path of a library and no PIN: those are each server's own.

use std::fmt::Write as _;

/// Names one key of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) serial: String,
    pub(super) id: [u8; 16],
}

impl Handle {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut uri = String::from("pkcs11:serial=");
        escape(&mut uri, self.serial.as_bytes(), u8::is_ascii_alphanumeric);
        uri.push_str(";id=");
        escape(&mut uri, &self.id, |_| false);
        uri.into_bytes()
    }

    /// `None` for what [`Handle::to_bytes`] never writes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (serial, id) = text.strip_prefix("pkcs11:serial=")?.split_once(";id=")?;
        Some(Self {
            serial: String::from_utf8(unescape(serial)?).ok()?,
            id: unescape(id)?.try_into().ok()?,
        })
    }
}

fn escape(text: &mut String, bytes: &[u8], plain: impl Fn(&u8) -> bool) {
    for byte in bytes {
        if plain(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from((digit()? << 4) | digit()?).ok()?
        } else {
            byte
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_was_written() {
        let handle = Handle {
            serial: "a b;id=%/ü".into(),
            id: [0xA5; 16],
        };
        assert_eq!(Handle::read(&handle.to_bytes()), Some(handle.clone()));
        let text = String::from_utf8(handle.to_bytes()).unwrap();
        assert!(text.starts_with("pkcs11:serial=a%20b%3Bid%3D%25%2F%C3%BC;id=%A5%A5"));
    }

    #[test]
    fn what_is_no_handle_names_no_key() {
        for text in [
            "",
            "pkcs11:",
            "pkcs11:serial=1",
            "pkcs11:serial=1;id=",
            "pkcs11:serial=1;id=%A5",
            "pkcs11:serial=%;id=0123456789abcdef",
            "pkcs11:serial=%FF;id=0123456789abcdef",
            "pkcs11:serial=1;id=0123456789abcdefg",
        ] {
            assert_eq!(Handle::read(text.as_bytes()), None, "{text}");
        }
    }
}
