//! The releases of this program, and what each brought that the one before cannot serve with.

use openrms_store::ProductVersion;

pub(super) use crate::servers::RELEASE;

/// A release that may have been there before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) name: &'static str,
    /// The newest schema that it knows by itself.
    pub(super) schema: i64,
    /// Keys of `rmsd.toml` that came after it, at which it does not start.
    pub(super) unknown_keys: &'static [&'static str],
}

impl Earlier {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        EARLIER.iter().find(|release| release.name == name)
    }
}

/// A release by its number, without what is said of drafts of it.
pub(super) fn number(release: &str) -> Option<ProductVersion> {
    let number = release.split(['-', '+']).next().unwrap_or_default();
    number.parse().ok()
}

/// Whether a release came before this one; none where it is no number.
pub(super) fn is_older(release: &str) -> Option<bool> {
    Some(number(release)? < number(RELEASE)?)
}

/// Whether a release comes after this one; none where it is no number.
pub(super) fn is_newer(release: &str) -> Option<bool> {
    Some(number(release)? > number(RELEASE)?)
}

/// All before this one, the newest last.
pub(super) const EARLIER: &[Earlier] = &[Earlier {
    name: "0.1.0",
    schema: 3,
    unknown_keys: &["activation", "crypto", "repo", "service_level"],
}];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        assert_eq!(is_older("0.1.0"), Some(true));
        assert_eq!(
            (is_older(RELEASE), is_newer(RELEASE)),
            (Some(false), Some(false))
        );
        assert_eq!(is_newer("10.0.0-rc1"), Some(true));
        assert_eq!(is_newer("unknown"), None);
        for pair in EARLIER.windows(2) {
            assert!(number(pair[0].name) < number(pair[1].name));
            assert!(pair[0].schema <= pair[1].schema);
        }
        for release in EARLIER {
            assert_eq!(is_older(release.name), Some(true));
        }
    }
}
