//! Texts as OAuth writes them: `application/x-www-form-urlencoded` (RFC 6749 appendix B) and
//! base64 for URLs (RFC 4648 5) without padding.

use openrms_xrml::values::{decode_base64, encode_base64};
use zeroize::Zeroizing;

/// Names and values as a form; wiped, as it may hold a code.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let length = fields.iter().map(|(name, value)| name.len() + value.len());
    // Enough for the worst, so that no copy is left behind by growing.
    let mut text = String::with_capacity(length.map(|bytes| 3 * bytes + 2).sum());
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        push_escaped(&mut text, name);
        text.push('=');
        push_escaped(&mut text, value);
    }
    Zeroizing::new(text)
}

/// Names and values of a form; `None` when it is not one. A field without `=` has an empty value.
pub(super) fn fields(text: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
    text.split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            Some((unescaped(name)?, Zeroizing::new(unescaped(value)?)))
        })
        .collect()
}

/// Base64 for URLs.
pub(super) fn to_base64url(bytes: &[u8]) -> String {
    let text = encode_base64(bytes);
    let text = text.trim_end_matches('=');
    text.replace('+', "-").replace('/', "_")
}

/// The bytes of base64 for URLs; `None` when it is not that.
pub(super) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(is_base64url) {
        return None;
    }
    let mut standard = text.replace('-', "+").replace('_', "/");
    while !standard.len().is_multiple_of(4) {
        standard.push('=');
    }
    decode_base64(&standard).ok()
}

/// Whether a byte is of the alphabet of base64 for URLs.
pub(super) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn push_escaped(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'-' | b'.' | b'_' | b'*' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => {
                text.push('%');
                for digit in [byte >> 4, byte & 0x0F] {
                    let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                    text.push(digit.to_ascii_uppercase());
                }
            }
        }
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = (digit()? << 4) | digit()?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_a_form_is_read_as_it_was() {
        let value = "a b+c&d=e%f/ü\n";
        let text = form(&[("one", value), ("two", "")]);
        assert_eq!(*text, "one=a+b%2Bc%26d%3De%25f%2F%C3%BC%0A&two=");
        let read = fields(&text).unwrap();
        assert_eq!(read[0], ("one".into(), Zeroizing::new(value.into())));
        assert_eq!(read[1], ("two".into(), Zeroizing::new(String::new())));
    }

    #[test]
    fn broken_escapes_are_no_form() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "%=1"] {
            assert!(fields(text).is_none(), "{text}");
        }
        assert!(fields("").unwrap().is_empty());
    }

    #[test]
    fn base64_for_urls_has_its_own_alphabet_and_no_padding() {
        let bytes = [0xFB, 0xFF, 0xFE, 0x01];
        assert_eq!(to_base64url(&bytes), "-__-AQ");
        assert_eq!(from_base64url("-__-AQ").unwrap(), bytes);
        for text in ["+//+AQ", "-__-AQ==", "A", "-_ -"] {
            assert!(from_base64url(text).is_none(), "{text}");
        }
    }
}
