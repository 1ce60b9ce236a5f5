//! What can be said about license bytes without reading XrML: their encoding, their byte order
//! mark and the NULs some writers leave behind them.

/// How the text of a license is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a byte order mark; Office files.
    Utf8,
    /// UTF-8 after `EF BB BF`; pfiles and the REST service.
    Utf8Bom,
    /// UTF-16LE without a byte order mark.
    Utf16Le,
    /// UTF-16LE after `FF FE`.
    Utf16LeBom,
}

impl Encoding {
    /// The name used by `rms inspect --json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf8Bom => "utf-8-bom",
            Encoding::Utf16Le => "utf-16le",
            Encoding::Utf16LeBom => "utf-16le-bom",
        }
    }

    fn is_utf16(self) -> bool {
        matches!(self, Encoding::Utf16Le | Encoding::Utf16LeBom)
    }
}

/// Tells the encoding of license bytes by their mark or, without one, by their first character,
/// which in XML is ASCII.
pub fn encoding(bytes: &[u8]) -> Encoding {
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Encoding::Utf8Bom,
        [0xFF, 0xFE, ..] => Encoding::Utf16LeBom,
        [first, 0, ..] if *first != 0 => Encoding::Utf16Le,
        _ => Encoding::Utf8,
    }
}

/// The license without its byte order mark. Keep the raw bytes too: they are what is sent on.
pub fn strip_bom(bytes: &[u8]) -> &[u8] {
    let mark = match encoding(bytes) {
        Encoding::Utf8Bom => 3,
        Encoding::Utf16LeBom => 2,
        Encoding::Utf8 | Encoding::Utf16Le => 0,
    };
    bytes.get(mark..).unwrap_or_default()
}

/// The license without NUL characters at its end, as the sharing application leaves them. A NUL
/// of UTF-16LE is two bytes; the zero byte of a final `>` stays.
pub fn trim_nul(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    if encoding(bytes).is_utf16() && bytes.len().is_multiple_of(2) {
        while let Some(shorter) = rest.strip_suffix(&[0, 0]) {
            rest = shorter;
        }
    } else {
        while let Some(shorter) = rest.strip_suffix(&[0]) {
            rest = shorter;
        }
    }
    rest
}

/// Whether the bytes begin like XrML: a mark, white space, at most one XML declaration, then an
/// `XrML` element. A prefix of the file is enough.
pub(crate) fn looks_like_xrml(prefix: &[u8]) -> bool {
    let text = strip_bom(prefix);
    let ascii: Vec<u8> = if encoding(prefix).is_utf16() {
        let (pairs, _) = text.as_chunks::<2>();
        pairs
            .iter()
            .map(|&[low, high]| if high == 0 { low } else { b'?' })
            .collect()
    } else {
        text.to_vec()
    };
    let mut rest = ascii.trim_ascii_start();
    if rest.starts_with(b"<?xml") {
        let Some(end) = rest.windows(2).position(|pair| pair == b"?>") else {
            return false;
        };
        rest = rest.get(end + 2..).unwrap_or_default().trim_ascii_start();
    }
    rest.strip_prefix(b"<XrML")
        .and_then(|tail| tail.first())
        .is_some_and(|next| next.is_ascii_whitespace() || *next == b'>' || *next == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn the_mark_is_recognised_and_stripped() {
        assert_eq!(encoding(b"\xEF\xBB\xBF<XrML>"), Encoding::Utf8Bom);
        assert_eq!(strip_bom(b"\xEF\xBB\xBF<XrML>"), b"<XrML>");
        assert_eq!(encoding(b"\xFF\xFE<\0"), Encoding::Utf16LeBom);
        assert_eq!(strip_bom(b"\xFF\xFE<\0"), b"<\0");
        assert_eq!(encoding(b"<XrML>"), Encoding::Utf8);
        assert_eq!(encoding(b""), Encoding::Utf8);
        assert_eq!(strip_bom(b""), b"");
    }

    #[test]
    fn trimming_nul_keeps_the_high_byte_of_the_last_utf16_character() {
        assert_eq!(trim_nul(b"<XrML/>\0\0\0"), b"<XrML/>");
        let mut text = utf16("<XrML/>");
        assert_eq!(trim_nul(&text), text);
        text.extend([0, 0, 0, 0]);
        assert_eq!(trim_nul(&text), utf16("<XrML/>"));
    }

    #[test]
    fn xrml_is_told_from_other_xml() {
        assert!(looks_like_xrml(
            b"<?xml version=\"1.0\"?>\r\n<XrML xmlns=\"\">"
        ));
        assert!(looks_like_xrml(b"\xEF\xBB\xBF<XrML>"));
        assert!(looks_like_xrml(&utf16("<?xml version=\"1.0\"?><XrML >")));
        assert!(!looks_like_xrml(b"<?xml version=\"1.0\"?><html>"));
        assert!(!looks_like_xrml(b"<?xml version=\"1.0\"><XrML>"));
        assert!(!looks_like_xrml(b"<XrMLish>"));
        assert!(!looks_like_xrml(b""));
    }
}
