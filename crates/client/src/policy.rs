//! What an author asks for: who may do what, until when; or the name of a template.

use std::num::NonZeroU32;
use std::str::FromStr;

use openrms_xrml::names::LocalizedName;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant};
use openrms_xrml::{Guid, Interval, Time};

use crate::error::{Class, Coded};

/// The policy of new content.
#[derive(Debug, Clone)]
pub enum Policy {
    /// The author's own. A template cannot be changed, so the two do not mix.
    Own(OwnPolicy),
    /// An official template, which the server's administrator wrote and signed.
    Template(TemplateName),
}

/// A policy of the author's own.
#[derive(Debug, Clone, Default)]
pub struct OwnPolicy {
    /// Who may do what. The author may always do everything.
    pub grants: Vec<Grant>,
    /// When the content may no longer be used by anybody but the author.
    pub expiry: Option<Expiry>,
    /// How often a use license must be renewed.
    pub renewal: Renewal,
    /// Name and description for people.
    pub names: Vec<LocalizedName>,
    /// Where to ask for more rights: display name, and URL or mail address.
    pub referral: Option<(String, String)>,
}

/// Rights for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub who: Who,
    /// Which rights.
    pub rights: Vec<Right>,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everyone who can sign in.
    Everyone,
    /// A person or group by mail address.
    Address(String),
}

/// When content expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At that instant.
    At(Time),
    /// That many days after it was published.
    Days(NonZeroU32),
}

/// How often the server must be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renewal {
    /// Once.
    #[default]
    Never,
    /// After that many days.
    Days(NonZeroU32),
    /// Each time the content is opened: its use licenses are not kept.
    EveryUse,
}

/// A template by GUID or by its name in any language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateName {
    /// Its GUID.
    Id(Guid),
    /// Its name; case does not count.
    Name(String),
}

/// What makes no sense in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not of the form `WHO:RIGHT,RIGHT`.
    #[error("{0:?} is not of the form WHO:RIGHT[,RIGHT…]")]
    NotAGrant(String),
    /// Not a mail address, nor `everyone`.
    #[error("{0:?} is neither a mail address nor `everyone`")]
    NotAnAddress(String),
    /// Not the name of a right.
    #[error("{0:?} is not the name of a right")]
    NotARight(String),
    /// Neither a date nor a number of days.
    #[error("{0:?} is neither a date (2027-12-31) nor a number of days (30d)")]
    NotAnExpiry(String),
    /// Over before it begins.
    #[error("the content would have expired at {0} already")]
    ExpiryPast(Time),
    /// Nobody gets anything.
    #[error("the policy grants nobody anything")]
    Empty,
}

impl Coded for PolicyError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAGrant(_) => "grant-malformed",
            Self::NotAnAddress(_) => "grant-address-malformed",
            Self::NotARight(_) => "grant-right-malformed",
            Self::NotAnExpiry(_) => "expiry-malformed",
            Self::ExpiryPast(_) => "expiry-past",
            Self::Empty => "policy-empty",
        }
    }

    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAGrant(_) | Self::NotAnAddress(_) | Self::NotARight(_) | Self::Empty => {
                Some("for example bob@example.com:VIEW,PRINT or everyone:VIEW".into())
            }
            Self::NotAnExpiry(_) | Self::ExpiryPast(_) => None,
        }
    }
}

impl OwnPolicy {
    /// A policy of grants without anything else.
    pub fn of(grants: impl IntoIterator<Item = Grant>) -> Self {
        Self {
            grants: grants.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn right_grants(&self) -> Result<Vec<RightGrant>, PolicyError> {
        let days = match self.renewal {
            Renewal::Days(days) => Some(days.get()),
            Renewal::Never | Renewal::EveryUse => None,
        };
        // The author's right, as every client writes it.
        let mut all = vec![RightGrant::new(Right::new(Right::OWNER), Grantee::Owner)];
        for grant in &self.grants {
            let holder = match &grant.who {
                Who::Everyone => Grantee::Anyone,
                Who::Address(address) => Grantee::Address(address.clone()),
            };
            for right in &grant.rights {
                let mut entry = RightGrant::new(right.clone(), holder.clone());
                entry.time = TimeCondition { range: None, days };
                all.push(entry);
            }
        }
        if all.len() == 1 {
            Err(PolicyError::Empty)
        } else {
            Ok(all)
        }
    }

    pub(crate) fn precondition(&self, now: Time) -> Result<TimeCondition, PolicyError> {
        Ok(match self.expiry {
            None => TimeCondition::default(),
            Some(Expiry::Days(days)) => TimeCondition {
                range: None,
                days: Some(days.get()),
            },
            Some(Expiry::At(until)) => {
                let until = until.floor_minute();
                if until <= now {
                    return Err(PolicyError::ExpiryPast(until));
                }
                // A day back, for clocks that differ.
                let from = now.floor_minute().plus(-86_400);
                TimeCondition {
                    range: Some(Interval { from, until }),
                    days: None,
                }
            }
        })
    }
}

impl FromStr for Grant {
    type Err = PolicyError;

    /// `WHO:RIGHT[,RIGHT…]`.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (who, rights) = text
            .rsplit_once(':')
            .ok_or_else(|| PolicyError::NotAGrant(text.to_owned()))?;
        let who = who.parse()?;
        let rights = rights
            .split(',')
            .map(parse_right)
            .collect::<Result<_, _>>()?;
        Ok(Self { who, rights })
    }
}

impl FromStr for Who {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("everyone") || text.eq_ignore_ascii_case("anyone") {
            return Ok(Self::Everyone);
        }
        let fits = match text.split_once('@') {
            Some((local, domain)) => {
                !local.is_empty()
                    && !domain.is_empty()
                    && !domain.contains('@')
                    && text.len() <= 320
                    && !text.chars().any(|c| c.is_whitespace() || c.is_control())
            }
            None => false,
        };
        if fits {
            Ok(Self::Address(text.to_owned()))
        } else {
            Err(PolicyError::NotAnAddress(text.to_owned()))
        }
    }
}

impl FromStr for Expiry {
    type Err = PolicyError;

    /// `30d`; or a date, whose first minute (UTC) is the end; or a date and time (UTC).
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim();
        let error = || PolicyError::NotAnExpiry(text.to_owned());
        if let Some(days) = text.strip_suffix(['d', 'D']) {
            return days.trim().parse().map(Self::Days).map_err(|_| error());
        }
        let time: Result<Time, _> = match text.len() {
            10 => format!("{text}T00:00").parse(),
            _ => text.parse(),
        };
        time.map(Self::At).map_err(|_| error())
    }
}

impl FromStr for TemplateName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

fn parse_right(text: &str) -> Result<Right, PolicyError> {
    let right = Right::new(text);
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let name = right.name();
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) || name == Right::ISSUE {
        return Err(PolicyError::NotARight(text.trim().to_owned()));
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_somebody_and_rights() {
        let grant: Grant = " Bob@example.com :view,Print".parse().unwrap();
        assert_eq!(grant.who, Who::Address("Bob@example.com".into()));
        assert_eq!(grant.rights, [Right::new("VIEW"), Right::new("PRINT")]);
        assert_eq!("everyone:VIEW".parse::<Grant>().unwrap().who, Who::Everyone);
    }

    #[test]
    fn what_is_no_grant_is_named() {
        for text in [
            "",
            "bob@example.com",
            "bob:VIEW",
            "a@b@c:VIEW",
            "@b:VIEW",
            "a b@c:VIEW",
            "a@b:",
            "a@b:VIEW,",
            "a@b:<X>",
            "a@b:ISSUE",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_expiry_is_a_date_or_days() {
        let days = NonZeroU32::new(30).unwrap();
        assert_eq!("30d".parse(), Ok(Expiry::Days(days)));
        let at = "2027-12-31T00:00".parse().unwrap();
        assert_eq!("2027-12-31".parse(), Ok(Expiry::At(at)));
        assert_eq!("2027-12-31T00:00".parse(), Ok(Expiry::At(at)));
        for text in ["", "0d", "-1d", "soon", "2027-13-01"] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_policy_or_one_that_is_over_is_refused() {
        let now = Time::from_unix(1_800_000_000);
        assert_eq!(OwnPolicy::default().right_grants(), Err(PolicyError::Empty));
        let over = OwnPolicy {
            expiry: Some(Expiry::At(now)),
            ..OwnPolicy::default()
        };
        assert!(matches!(
            over.precondition(now),
            Err(PolicyError::ExpiryPast(_))
        ));
    }
}
