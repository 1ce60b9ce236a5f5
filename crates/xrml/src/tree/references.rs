//! Characters that may stand in a license, as they are and as references.

use std::borrow::Cow;

use super::TreeError;

/// The first byte of a character that XML 1.0 forbids, or of DEL, which no license has.
pub(super) fn find_forbidden(bytes: &[u8]) -> Option<usize> {
    let control = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7f;
    // In blocks without an early exit, so that the compiler compares many bytes at once.
    let block = bytes
        .chunks(BLOCK)
        .position(|block| block.iter().fold(false, |found, &b| found | control(b)))
        .map(|block| block * BLOCK);
    let control_at = block.map(|from| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().position(|&b| control(b)).unwrap_or_default()
    });
    // U+FFFE and U+FFFF, which are no characters.
    let no_character = memchr::memmem::find_iter(bytes, b"\xEF\xBF")
        .find(|&at| matches!(bytes.get(at + 2), Some(0xBE | 0xBF)));
    match (control_at, no_character) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Checks every `&..;` of a text that starts at byte `from`.
pub(super) fn check_references(text: &str, from: usize) -> Result<(), TreeError> {
    for at in memchr::memchr_iter(b'&', text.as_bytes()) {
        if reference(&text[at..]).is_none() {
            return Err(TreeError::Entity((from + at) as u64));
        }
    }
    Ok(())
}

/// Resolves the references of a text; they were checked while the tree was built.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'&', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let (start, mut rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len());
    out.push_str(start);
    while let Some((resolved, len)) = reference(rest) {
        out.push(resolved);
        let after = &rest[len..];
        let next = memchr::memchr(b'&', after.as_bytes()).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    Cow::Owned(out)
}

/// The character that the reference at the start of a text stands for, and its length in bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    let end = memchr::memchr(
        b';',
        text.as_bytes().get(..LONGEST_REFERENCE.min(text.len()))?,
    )?;
    let resolved = match text.get(1..end)? {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        number => {
            let digits = number.strip_prefix('#')?;
            let (digits, radix) = digits
                .strip_prefix('x')
                .map_or((digits, 10), |hex| (hex, 16));
            // `from_str_radix` would take a sign.
            let all_digits = digits.bytes().all(|b| char::from(b).is_digit(radix));
            let number = u32::from_str_radix(digits, radix)
                .ok()
                .filter(|_| all_digits)?;
            let c = char::from_u32(number)?;
            let mut utf8 = [0; 4];
            if find_forbidden(c.encode_utf8(&mut utf8).as_bytes()).is_some() {
                return None;
            }
            c
        }
    };
    Some((resolved, end + 1))
}

/// `&#1114111;` with some leading zeros.
const LONGEST_REFERENCE: usize = 16;
const BLOCK: usize = 64;
