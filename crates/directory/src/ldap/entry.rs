//! Entries of search results as raw octets (RFC 4511 4.5.2), with the ranges of long attributes
//! (MS-ADTS 3.1.1.3.1.3.3), and the syntaxes of the attributes that are asked for.

use ldap3::asn1::StructureTag;

use crate::address::lower_case;
use crate::{DirectoryError, Sid};

/// One entry. Every value stays the octets it came as: which of them are text is known only to
/// whoever asks for an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    /// Lower-case and without options.
    name: String,
    range: Option<Range>,
    values: Vec<Vec<u8>>,
}

/// Which of the values of a long attribute came: `member;range=0-1499`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    /// `None` when these are the last ones.
    pub(super) last: Option<u32>,
}

impl Entry {
    pub(super) fn read(tag: StructureTag) -> Result<Self, DirectoryError> {
        let wrong = || invalid("entry", "not a SearchResultEntry");
        let mut parts = tag.expect_constructed().ok_or_else(wrong)?.into_iter();
        let (Some(dn), Some(attributes), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let attributes = attributes.expect_constructed().ok_or_else(wrong)?;
        Ok(Self {
            dn: text(dn.expect_primitive().ok_or_else(wrong)?).ok_or_else(wrong)?,
            attributes: attributes
                .into_iter()
                .map(|attribute| Attribute::read(attribute).ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
        })
    }

    /// All values of an attribute, named in lower case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.name == name)
            .flat_map(|attribute| attribute.values.iter().map(Vec::as_slice))
    }

    /// The values of an attribute that are text.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// A number, which the directory writes in decimal.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<i64>, DirectoryError> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| invalid(name, "not a number")))
            .transpose()
    }

    pub(super) fn sids(&self, name: &'static str) -> Result<Vec<Sid>, DirectoryError> {
        self.values(name)
            .map(|value| Sid::from_bytes(value).map_err(|error| invalid(name, &error.to_string())))
            .collect()
    }

    pub(super) fn guid(&self, name: &'static str) -> Result<Guid, DirectoryError> {
        let value = self.values(name).next().unwrap_or_default();
        value
            .try_into()
            .map_err(|_| invalid(name, "not 16 octets long"))
    }

    /// Seconds since 1970 UTC.
    pub(super) fn instant(&self, name: &'static str) -> Result<Option<i64>, DirectoryError> {
        self.text(name)
            .map(|text| generalized_time(text).ok_or_else(|| invalid(name, "not a time")))
            .transpose()
    }

    /// The first value still missing of a long attribute.
    pub(super) fn missing_from(&self, name: &str) -> Result<Option<u32>, DirectoryError> {
        let parts = || self.attributes.iter().filter(|part| part.name == name);
        let ranges = || parts().filter_map(|part| part.range);
        if ranges().any(|range| range.last.is_none()) {
            return Ok(None);
        }
        match ranges().filter_map(|range| range.last).max() {
            None => Ok(None),
            Some(last) => match last.checked_add(1) {
                Some(next) => Ok(Some(next)),
                None => Err(invalid("range", "beyond the last value")),
            },
        }
    }

    /// Takes over the further values of a long attribute, which must begin at `from`.
    pub(super) fn add_values(
        &mut self,
        name: &str,
        from: u32,
        further: Self,
    ) -> Result<(), DirectoryError> {
        let continues = |part: &Attribute| {
            part.name == name && part.range.is_some_and(|range| range.first == from)
        };
        match further.attributes.into_iter().find(continues) {
            Some(part) => self.attributes.push(part),
            None => return Err(invalid("range", "not the one asked for")),
        }
        Ok(())
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.values(name).count()
    }
}

/// `objectGUID`: what stays the same when an object is renamed or moved within its domain.
pub(super) type Guid = [u8; 16];

impl Attribute {
    fn read(tag: StructureTag) -> Option<Self> {
        let mut parts = tag.expect_constructed()?.into_iter();
        let (Some(kind), Some(values), None) = (parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let kind = text(kind.expect_primitive()?)?;
        let mut options = kind.split(';');
        let name = lower_case(options.next()?).into_owned();
        let range = options
            .find_map(|option| lower_case(option).strip_prefix("range=").map(Range::read))
            .map_or(Some(None), |range| range.map(Some))?;
        Some(Self {
            name,
            range,
            values: values
                .expect_constructed()?
                .into_iter()
                .map(StructureTag::expect_primitive)
                .collect::<Option<_>>()?,
        })
    }
}

impl Range {
    /// `0-1499` or `1500-*`.
    fn read(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let first = decimal(first)?;
        let last = match last {
            "*" => None,
            last => Some(decimal(last).filter(|&last| last >= first)?),
        };
        Some(Self { first, last })
    }
}

pub(super) fn invalid(field: &'static str, reason: &str) -> DirectoryError {
    DirectoryError::Invalid {
        field,
        reason: reason.to_owned(),
    }
}

fn text(octets: Vec<u8>) -> Option<String> {
    String::from_utf8(octets).ok()
}

fn decimal(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Seconds since 1970 UTC of a `GeneralizedTime` (RFC 4517 3.3.13). Fractions are cut off.
fn generalized_time(text: &str) -> Option<i64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at(digits_end);
    let field = |from: usize, to: usize| digits.get(from..to).and_then(decimal).map(i64::from);
    if !matches!(digits.len(), 10 | 12 | 14) {
        return None;
    }
    let (year, month, day) = (field(0, 4)?, field(4, 6)?, field(6, 8)?);
    let hour = field(8, 10)?;
    let minute = field(10, 12).unwrap_or(0);
    let second = field(12, 14).unwrap_or(0);
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second counts as the first one of the next minute.
        && second <= 60;
    // Of minutes and hours a fraction would count; no directory writes one.
    let zone = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if digits.len() == 14 => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        Some(_) => return None,
        None => rest,
    };
    let days = days_since_1970(year, month, day);
    let local = ((days * 24 + hour) * 60 + minute) * 60 + second;
    valid.then_some(local - offset(zone)?)
}

/// Seconds east of UTC: `Z`, `+hh` or `+hhmm`.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let number = i64::from(decimal(digits)?);
    let (hours, minutes) = match digits.len() {
        2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// In the Gregorian calendar, with years that begin in March so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_months = (153 * month + 2) / 5;
    of_years + of_months + day - 1 - DAYS_FROM_MARCH_0_TO_1970
}

const DAYS_FROM_MARCH_0_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use ldap3::asn1::{PL, TagClass, parse_tag};
    use proptest::prelude::*;

    use super::*;

    fn octets(bytes: &[u8]) -> StructureTag {
        tag(4, PL::P(bytes.to_vec()))
    }

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag {
            class: TagClass::Universal,
            id,
            payload,
        }
    }

    fn entry(attributes: &[(&str, &[&[u8]])]) -> Result<Entry, DirectoryError> {
        let attributes = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| octets(value)).collect();
            tag(
                16,
                PL::C(vec![octets(name.as_bytes()), tag(17, PL::C(values))]),
            )
        });
        let attributes = tag(16, PL::C(attributes.collect()));
        Entry::read(tag(4, PL::C(vec![octets(b"CN=x"), attributes])))
    }

    #[test]
    fn octets_are_read_the_same_whether_they_happen_to_be_text_or_not() {
        let guid_that_is_text = b"sixteen letters.";
        let sid = [1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];
        let entry = entry(&[
            ("objectGUID", &[guid_that_is_text]),
            ("objectSid", &[&sid]),
            ("displayName", &["Zo\u{eb}".as_bytes()]),
        ])
        .unwrap();
        assert_eq!(entry.guid("objectguid").unwrap(), *guid_that_is_text);
        assert_eq!(entry.sids("objectsid").unwrap()[0].as_str(), "S-1-5-11");
        assert_eq!(entry.text("displayname"), Some("Zo\u{eb}"));
        assert_eq!(entry.text("mail"), None);
        assert!(entry.guid("objectsid").is_err());
        assert!(entry.sids("objectguid").is_err());
        assert!(entry.number("displayname").is_err());
    }

    #[test]
    fn a_long_attribute_is_put_together_from_its_ranges() {
        let mut long = entry(&[("memberOf;range=0-1", &[b"a", b"b"]), ("cn", &[b"x"])]).unwrap();
        assert_eq!(long.missing_from("cn").unwrap(), None);
        assert_eq!(long.missing_from("memberof").unwrap(), Some(2));
        let wrong = entry(&[("memberOf;range=1-3", &[b"b", b"c"])]).unwrap();
        assert!(long.clone().add_values("memberof", 2, wrong).is_err());
        let rest = entry(&[("memberOf;range=2-*", &[b"c"])]).unwrap();
        long.add_values("memberof", 2, rest).unwrap();
        assert_eq!(long.missing_from("memberof").unwrap(), None);
        assert!(long.texts("memberof").eq(["a", "b", "c"]));
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        let range = |text: &str| Range::read(text);
        assert_eq!(
            range("5-9"),
            Some(Range {
                first: 5,
                last: Some(9)
            })
        );
        assert_eq!(
            range("5-*"),
            Some(Range {
                first: 5,
                last: None
            })
        );
        for wrong in ["", "5", "-", "*-5", "9-5", "+1-5", "5-4294967296", "5-*x"] {
            assert_eq!(range(wrong), None, "{wrong}");
            assert!(entry(&[(&format!("member;range={wrong}"), &[])]).is_err());
        }
        let last = format!("member;Range=0-{}", u32::MAX);
        assert!(
            entry(&[(&last, &[])])
                .unwrap()
                .missing_from("member")
                .is_err()
        );
    }

    #[test]
    fn times_are_read_as_directories_write_them() {
        assert_eq!(generalized_time("19700101000000.0Z"), Some(0));
        assert_eq!(generalized_time("20061231235960Z"), Some(1_167_609_600));
        assert_eq!(generalized_time("20000229120000.0Z"), Some(951_825_600));
        assert_eq!(generalized_time("200002291200+0130"), Some(951_820_200));
        assert_eq!(generalized_time("2000022912-01"), Some(951_829_200));
        assert_eq!(generalized_time("16010101000000.0Z"), Some(-11_644_473_600));
        for wrong in [
            "",
            "Z",
            "20000229120000",
            "20010229120000Z",
            "20001301000000Z",
            "20000101240000Z",
            "20000101000000.Z",
            "2000010100.5Z",
            "20000101000000z",
            "20000101000000+2400",
            "20000101000000+1",
            "200001010000000Z",
            "2000-01-01",
        ] {
            assert_eq!(generalized_time(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_refused_or_an_entry(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, tag)) = parse_tag(&octets) {
                let _ = Entry::read(tag);
            }
        }

        #[test]
        fn any_attribute_is_read_without_trouble(
            name in "(objectSid|objectGUID|whenCreated|member)(;range=[0-9*-]{0,12})?",
            value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(entry) = entry(&[(&name, &[&value])]) {
                let _ = entry.sids("objectsid");
                let _ = entry.guid("objectguid");
                let _ = entry.instant("whencreated");
                let _ = entry.number("member");
                let _ = entry.missing_from("member");
            }
        }

        #[test]
        fn a_time_counts_as_the_calendar_does(
            (year, month) in (1601_i64..9999, 1_i64..=12),
            day in 1_i64..=31,
            text in "\\PC{0,20}",
        ) {
            let written = format!("{year:04}{month:02}{day:02}000000.0Z");
            let valid = day <= days_in_month(year, month);
            prop_assert_eq!(generalized_time(&written).is_some(), valid);
            if valid && day > 1 {
                let before = format!("{year:04}{month:02}{:02}000000.0Z", day - 1);
                let difference = generalized_time(&written).unwrap() - generalized_time(&before).unwrap();
                prop_assert_eq!(difference, 86_400);
            }
            let _ = generalized_time(&text);
        }
    }
}
