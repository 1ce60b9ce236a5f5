//! What of a file a client wants: parts (RFC 9110 14) and nothing of what it has (RFC 9110 13).

use axum::http::header::{self, HeaderMap, HeaderName};

/// What a client wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: it has it.
    Known,
    Whole,
    /// `Range: bytes=…` of one part; none of the two ends is certain to be there.
    Part(Option<u64>, Option<u64>),
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap, tag: &str) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let same = |other: &str| {
            let other = other.trim();
            other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag
        };
        if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(same)) {
            return Self::Known;
        }
        // A part of another file than the one that was begun is of no use.
        if text(header::IF_RANGE).is_some_and(|begun| begun.trim() != tag) {
            return Self::Whole;
        }
        let range = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="));
        let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let number = |text: &str| match text {
            "" => Ok(None),
            digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(|_| ())
            }
            _ => Err(()),
        };
        match (number(from), number(to)) {
            (Ok(from), Ok(to)) if from.is_some() || to.is_some() => Self::Part(from, to),
            // Several parts, or what is none: the whole file answers that too (RFC 9110 14.2).
            _ => Self::Whole,
        }
    }

    /// Which bytes of a file of that length are sent.
    pub(super) fn part(&self, length: u64) -> Part {
        let (from, to) = match *self {
            Self::Known | Self::Whole => return Part::Whole,
            Self::Part(Some(from), to) => (from, to.unwrap_or(u64::MAX)),
            Self::Part(None, last) => (length.saturating_sub(last.unwrap_or(0)), u64::MAX),
        };
        let end = to.saturating_add(1).min(length);
        match end.checked_sub(from) {
            Some(bytes) if bytes > 0 => Part::Of { from, bytes },
            _ => Part::Nothing,
        }
    }
}

/// What of a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All.
    Whole,
    /// So many bytes, from that one on.
    Of {
        /// Counted from 0.
        from: u64,
        /// At least one.
        bytes: u64,
    },
    /// What was asked for is not in the file.
    Nothing,
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TAG: &str = "\"abc\"";

    fn of(from: u64, bytes: u64) -> Part {
        Part::Of { from, bytes }
    }

    fn asked(headers: &[(HeaderName, &str)]) -> Asked {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        Asked::of(&headers.collect(), TAG)
    }

    #[test]
    fn one_part_of_a_file_is_sent_and_anything_else_is_the_whole() {
        use header::RANGE;
        let part = |range| asked(&[(RANGE, range)]).part(10);
        for (range, wanted) in [
            ("bytes=0-3", of(0, 4)),
            ("bytes=4-", of(4, 6)),
            ("bytes=4-99", of(4, 6)),
            ("bytes=-3", of(7, 3)),
            ("bytes=-99", of(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=18446744073709551615-", Part::Nothing),
            ("bytes=0-18446744073709551615", of(0, 10)),
            ("bytes=5-4", Part::Nothing),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
            ("lines=0-3", Part::Whole),
            ("bytes", Part::Whole),
        ] {
            assert_eq!(part(range), wanted, "{range}");
        }
        let part = |range| asked(&[(RANGE, range)]).part(0);
        assert_eq!(
            (part("bytes=0-"), part("bytes=-1")),
            (Part::Nothing, Part::Nothing)
        );
    }

    #[test]
    fn a_client_that_has_the_file_gets_nothing_and_one_that_began_another_the_whole() {
        use header::{IF_NONE_MATCH, IF_RANGE, RANGE};
        let range = (RANGE, "bytes=1-");
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"x\", W/\"abc\"")]), Asked::Known);
        assert_eq!(asked(&[(IF_NONE_MATCH, "*")]), Asked::Known);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"x\"")]), Asked::Whole);
        let begun = asked(&[range.clone(), (IF_RANGE, TAG)]);
        assert_eq!(begun, Asked::Part(Some(1), None));
        assert_eq!(asked(&[range, (IF_RANGE, "\"x\"")]), Asked::Whole);
    }
}
