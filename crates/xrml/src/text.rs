//! From stored bytes to license text and back.
//!
//! The same license is stored as UTF-8 with or without a byte-order mark and as UTF-16LE; the
//! digest never depends on it (MS-RMPR 2.2.9.1.12).

use std::fmt;

use crate::tree::{trim, trim_start};

/// How a license was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a byte-order mark (Office files).
    Utf8,
    /// UTF-8 with a byte-order mark (pfile, PDF, REST).
    Utf8Bom,
    /// UTF-16 little-endian without a byte-order mark (buffers of the client API).
    Utf16Le,
    /// UTF-16 little-endian with a byte-order mark.
    Utf16LeBom,
}

/// License bytes that are not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The bytes are not valid in the encoding they start in.
    #[error("license bytes are not valid {0}")]
    NotText(Encoding),
    /// There is nothing, or nothing but padding.
    #[error("license is empty")]
    Empty,
}

/// Decodes stored license bytes: byte-order mark, XML declaration and zero padding are left out,
/// everything else stands as it was.
pub fn decode(bytes: &[u8]) -> Result<(String, Encoding), TextError> {
    let (text, encoding) = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (utf8(rest, Encoding::Utf8Bom)?, Encoding::Utf8Bom),
        [0xFF, 0xFE, rest @ ..] => (utf16(rest, Encoding::Utf16LeBom)?, Encoding::Utf16LeBom),
        [b'<', 0, ..] => (utf16(bytes, Encoding::Utf16Le)?, Encoding::Utf16Le),
        _ => (utf8(bytes, Encoding::Utf8)?, Encoding::Utf8),
    };
    let license = strip_declaration(text.trim_end_matches('\0'));
    if trim(license).is_empty() {
        return Err(TextError::Empty);
    }
    if license.len() == text.len() {
        return Ok((text, encoding));
    }
    Ok((license.to_owned(), encoding))
}

/// Encodes license text for storage, with the XML declaration that stored licenses carry.
#[must_use]
pub fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    let whole = format!("{DECLARATION}{text}");
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    match encoding {
        Encoding::Utf8 => whole.into_bytes(),
        Encoding::Utf8Bom => [b"\xEF\xBB\xBF", whole.as_bytes()].concat(),
        Encoding::Utf16Le => utf16(&whole),
        Encoding::Utf16LeBom => [b"\xFF\xFE".as_slice(), &utf16(&whole)].concat(),
    }
}

impl Encoding {
    /// The name that `rms inspect` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf8Bom => "utf-8-bom",
            Self::Utf16Le => "utf-16le",
            Self::Utf16LeBom => "utf-16le-bom",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn strip_declaration(text: &str) -> &str {
    let text = trim_start(text);
    match text.strip_prefix("<?xml") {
        Some(rest) if rest.starts_with([' ', '\t', '\r', '\n']) => {
            rest.split_once("?>").map_or(text, |(_, license)| license)
        }
        _ => text,
    }
}

fn utf8(bytes: &[u8], encoding: Encoding) -> Result<String, TextError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(TextError::NotText(encoding)),
    }
}

fn utf16(bytes: &[u8], encoding: Encoding) -> Result<String, TextError> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.iter().all(|&b| b == 0) {
        return Err(TextError::NotText(encoding));
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<String, _>>()
        .map_err(|_| TextError::NotText(encoding))
}

const DECLARATION: &str = "<?xml version=\"1.0\"?>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_reads_back_the_same_text() {
        let text = "<XrML>ä 日本 \u{1F512}</XrML>";
        for encoding in [
            Encoding::Utf8,
            Encoding::Utf8Bom,
            Encoding::Utf16Le,
            Encoding::Utf16LeBom,
        ] {
            assert_eq!(
                decode(&encode(text, encoding)),
                Ok((text.to_owned(), encoding))
            );
        }
    }

    #[test]
    fn padding_and_declaration_are_left_out() {
        assert_eq!(
            decode(b"<?xml version=\"1.0\"?>\n<XrML/>\0\0\0").unwrap().0,
            "\n<XrML/>"
        );
        assert_eq!(decode(b"<XrML/>\0").unwrap().0, "<XrML/>");
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert_eq!(decode(b"\xFF\x00"), Err(TextError::NotText(Encoding::Utf8)));
        assert_eq!(
            decode(b"<\0\x00\xD8"),
            Err(TextError::NotText(Encoding::Utf16Le))
        );
        assert_eq!(decode(b""), Err(TextError::Empty));
        assert_eq!(decode(b"\0\0"), Err(TextError::Empty));
    }
}
