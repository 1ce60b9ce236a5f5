//! What an author writes on the command line: `WHO:RIGHT[,RIGHT…]`, dates and numbers of days.
//! The client reads them; here mistakes are turned into what was meant.

use std::num::NonZeroU32;

use openrms_client::{Coded as _, Expiry, Grant, policy::PolicyError};
use openrms_xrml::rights::Right;

/// `--grant WHO:RIGHT[,RIGHT…]`.
pub(crate) fn parse_grant(text: &str) -> Result<Grant, String> {
    let mut grant: Grant = text.parse().map_err(|error| explain(&error))?;
    for right in &grant.rights {
        check_right(right)?;
    }
    let mut seen = Vec::new();
    grant.rights.retain(|right| {
        let new = !seen.contains(right);
        seen.push(right.clone());
        new
    });
    Ok(grant)
}

/// `--expires DATE|Nd`.
pub(crate) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    match text.parse().map_err(|error| explain(&error))? {
        Expiry::Days(days) if days.get() > MOST_DAYS => Err(too_long(text)),
        expiry => Ok(expiry),
    }
}

/// `--renew Nd`.
pub(crate) fn parse_days(text: &str) -> Result<NonZeroU32, String> {
    let days: Option<NonZeroU32> = text
        .trim()
        .strip_suffix(['d', 'D'])
        .and_then(|number| number.parse().ok());
    match days {
        Some(days) if days.get() <= MOST_DAYS => Ok(days),
        Some(_) => Err(too_long(text)),
        None => Err(format!("`{text}` is not a number of days such as 30d")),
    }
}

fn explain(error: &PolicyError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

fn too_long(text: &str) -> String {
    format!("`{text}` is more than {MOST_DAYS} days")
}

/// Whether a right is one that applications share; what was meant, where it is none.
fn check_right(right: &Right) -> Result<(), String> {
    if RIGHTS.contains(&right.name()) {
        return Ok(());
    }
    let meant = MEANT
        .iter()
        .find(|(said, _)| *said == right.name())
        .map(|(_, meant)| *meant);
    let close = || {
        let near = RIGHTS
            .iter()
            .map(|known| (distance(known, right.name()), *known))
            .min();
        near.filter(|(steps, _)| *steps <= 2)
            .map(|(_, known)| known)
    };
    Err(match meant.or_else(close) {
        Some(known) => format!(
            "there is no right `{}`; did you mean {known}?",
            right.name()
        ),
        None => format!(
            "there is no right `{}`; rights are {}",
            right.name(),
            RIGHTS.join(", ")
        ),
    })
}

/// Fewest insertions, deletions and substitutions from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (right, above) in b.chars().zip(row.iter_mut().skip(1)) {
            let here = (last + 1)
                .min(*above + 1)
                .min(diagonal + usize::from(left != right));
            diagonal = std::mem::replace(above, here);
            last = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The rights with a meaning that applications share.
const RIGHTS: [&str; 14] = [
    "VIEW",
    "EDIT",
    "DOCEDIT",
    "PRINT",
    "EXPORT",
    "EXTRACT",
    "FORWARD",
    "REPLY",
    "REPLYALL",
    "OBJMODEL",
    "VIEWRIGHTSDATA",
    "EDITRIGHTSDATA",
    "SIGN",
    "OWNER",
];

/// What people say, and what they mean.
const MEANT: [(&str, &str); 9] = [
    ("READ", "VIEW"),
    ("OPEN", "VIEW"),
    ("WRITE", "EDIT"),
    ("SAVE", "EDIT"),
    ("SAVEAS", "EXPORT"),
    ("COPY", "EXTRACT"),
    ("MACROS", "OBJMODEL"),
    ("FULL", "OWNER"),
    ("VIEWRIGHT", "VIEWRIGHTSDATA"),
];

/// Two centuries, and far from any overflow.
const MOST_DAYS: u32 = 73_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_granted_once_in_any_case() {
        let grant = parse_grant("bob@example.com:view,Print,VIEW").unwrap();
        let names: Vec<_> = grant.rights.iter().map(Right::name).collect();
        assert_eq!(names, ["VIEW", "PRINT"]);
    }

    #[test]
    fn a_typo_gets_the_right_that_was_meant() {
        let pairs = [
            ("VEIW", "VIEW"),
            ("read", "VIEW"),
            ("PRNT", "PRINT"),
            ("copy", "EXTRACT"),
        ];
        for (typo, meant) in pairs {
            let error = parse_grant(&format!("a@b:{typo}")).unwrap_err();
            assert!(error.contains(&format!("did you mean {meant}?")), "{error}");
        }
        let error = parse_grant("a@b:SOMETHING").unwrap_err();
        assert!(error.contains("rights are VIEW"), "{error}");
        assert!(parse_grant("bob").unwrap_err().contains("for example"));
    }

    #[test]
    fn days_have_a_bound() {
        assert_eq!(parse_days("30d").map(NonZeroU32::get), Ok(30));
        for text in ["", "30", "0d", "-1d", "99999999999d", "100000d"] {
            assert!(parse_days(text).is_err(), "{text}");
        }
        assert!(parse_expiry("100000d").is_err());
        assert!(parse_expiry("2030-12-31").is_ok());
    }
}
