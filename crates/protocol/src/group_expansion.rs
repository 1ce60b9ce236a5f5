//! Membership across forests: one server asks another whether somebody is in a group that only
//! the other can look into ([MS-RMPRS] 3.5). Between servers both ends of `VersionData` are
//! 1.0.0.0 (note <9>), which is [`crate::VersionData::CLIENT`]. The same question and answer travel
//! in the binary form of earlier servers, see [`crate::binary_group_expansion`].

use std::fmt;

use crate::certification::{boolean, integer};
use crate::error::{ProtocolError, excerpt};
use crate::fault::{Fault, FaultCode};
use crate::limits::Limits;
use crate::operation::Message;
use crate::xml::{Element, Writer};

/// Asks whether somebody is a member of at least one of some groups (3.5.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsPrincipalMemberOf {
    /// Who it is about; a mail address, see [`PrincipalName::parse`].
    pub principal_name: String,
    /// The same name again (3.5.4.1.2.1). Nothing is decided by it.
    pub principal_cross_forest: String,
    /// The groups, by mail address like the principal. At least one.
    pub target_groups: Vec<String>,
    /// How many servers have been involved so far: 1 from the first that asks another, one more
    /// from each that passes the question on.
    pub cross_forest_calls_so_far: u32,
}

/// Whether the principal is a member of at least one of the groups.
///
/// False as well when the directory knows no such principal, or none of the groups (3.5.4.1): a
/// fault is for what could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsPrincipalMemberOfResponse {
    /// The answer.
    pub is_member: bool,
}

/// A name of a principal or group as servers write it: a kind, an equals sign, a value
/// (example 4.3), or a mail address alone (3.5.4.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalName<'n> {
    /// `mail=`: an address.
    Mail(&'n str),
    /// `id=`: a security identifier, such as `s-1-5-21-1-2-3-1340`.
    Id(&'n str),
}

/// A question that has gone through too many servers already: either a circle of groups over
/// several forests, or a chain so long that nobody would wait for its end (3.5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question has gone through {so_far} servers, the limit is {maximum}")]
pub struct TooManyCalls {
    /// What the request says.
    pub so_far: u32,
    /// The limit of this server.
    pub maximum: u32,
}

/// The limit that servers have unless configured otherwise (note <23>).
pub const MAX_CROSS_FOREST_CALLS: u32 = 10;

impl IsPrincipalMemberOf {
    /// The question as the first server asks it.
    pub fn new(principal: impl Into<String>, target_groups: Vec<String>) -> Self {
        let principal = principal.into();
        Self {
            principal_cross_forest: principal.clone(),
            principal_name: principal,
            target_groups,
            cross_forest_calls_so_far: 1,
        }
    }

    /// The question passed on to a server of a third forest, about groups of that forest: one
    /// more server is involved.
    #[must_use]
    pub fn passed_on(&self, target_groups: Vec<String>) -> Self {
        Self {
            target_groups,
            cross_forest_calls_so_far: self.cross_forest_calls_so_far.saturating_add(1),
            ..self.clone()
        }
    }

    /// Whether a server with this limit may still answer. Reaching the limit is too many: with
    /// [`MAX_CROSS_FOREST_CALLS`] a request that counts 9 is answered and one that counts 10 is
    /// not (note <23>).
    pub const fn check_calls(&self, maximum: u32) -> Result<(), TooManyCalls> {
        let so_far = self.cross_forest_calls_so_far;
        if so_far >= maximum {
            return Err(TooManyCalls { so_far, maximum });
        }
        Ok(())
    }
}

impl TooManyCalls {
    /// The fault a server answers with, of those in 2.2.9.1.
    pub fn fault(&self) -> Fault {
        Fault::new(FaultCode::ArgumentOutOfRange, self.to_string())
    }
}

impl<'n> PrincipalName<'n> {
    /// Reads a name. What begins with neither `mail=` nor `id=`, in whatever case, is a mail
    /// address as a whole: an address may hold an equals sign.
    pub fn parse(text: &'n str) -> Self {
        let text = text.trim();
        let after = |kind: &str| {
            let (head, value) = text.split_at_checked(kind.len())?;
            head.eq_ignore_ascii_case(kind).then(|| value.trim())
        };
        match (after("mail="), after("id=")) {
            (Some(address), _) => Self::Mail(address),
            (None, Some(id)) => Self::Id(id),
            (None, None) => Self::Mail(text),
        }
    }
}

impl fmt::Display for PrincipalName<'_> {
    /// With its kind, which is how example 4.3 has both principal and groups.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => write!(f, "mail={address}"),
            Self::Id(id) => write!(f, "id={id}"),
        }
    }
}

impl<'a> Message<'a> for IsPrincipalMemberOf {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        let name = |name: &'static str| -> Result<String, ProtocolError> {
            non_empty(name, element.required(name)?, limits)
        };
        let mut target_groups = Vec::new();
        let groups = element.required("targetGroups")?;
        for group in groups.items("string", limits)? {
            target_groups.push(non_empty("string", group, limits)?);
        }
        let calls = integer(element, CALLS, limits)?;
        Ok(Self {
            principal_name: name("principalName")?,
            principal_cross_forest: name("principalCrossForest")?,
            target_groups,
            cross_forest_calls_so_far: u32::try_from(calls).map_err(|_| {
                ProtocolError::BadValue {
                    element: CALLS,
                    value: excerpt(&calls.to_string()),
                    expected: "a count",
                }
            })?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.leaf("principalName", &self.principal_name);
        out.leaf("principalCrossForest", &self.principal_cross_forest);
        out.element("targetGroups", |out| {
            for group in &self.target_groups {
                out.leaf("string", group);
            }
        });
        out.leaf(
            CALLS,
            &wire_count(self.cross_forest_calls_so_far).to_string(),
        );
    }
}

impl<'a> Message<'a> for IsPrincipalMemberOfResponse {
    fn decode(element: &Element<'a>, limits: &Limits) -> Result<Self, ProtocolError> {
        Ok(Self {
            is_member: boolean(element, RESULT, limits)?,
        })
    }

    fn encode(&self, out: &mut Writer) {
        out.leaf(RESULT, if self.is_member { "true" } else { "false" });
    }
}

/// The count as the signed number it is on the wire. One that does not fit is far beyond any
/// limit and stays so.
pub(crate) fn wire_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Text that must say something (3.5.4.1: "valid data for each of these elements").
fn non_empty(
    name: &'static str,
    element: &Element<'_>,
    limits: &Limits,
) -> Result<String, ProtocolError> {
    let text = element.short_text(limits)?.trim();
    if text.is_empty() {
        return Err(ProtocolError::BadValue {
            element: name,
            value: String::new(),
            expected: "a name",
        });
    }
    Ok(text.to_owned())
}

const CALLS: &str = "crossForestCallsSoFar";
const RESULT: &str = "IsPrincipalMemberOfResult";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_server_answers_no_more() {
        let mut question = IsPrincipalMemberOf::new("mail=ann@a.example", vec!["g".to_owned()]);
        let mut answered = 0;
        while question.check_calls(MAX_CROSS_FOREST_CALLS).is_ok() {
            answered += 1;
            question = question.passed_on(vec!["h".to_owned()]);
        }
        assert_eq!(answered, 9);
        assert_eq!(question.target_groups, ["h"]);
        let refusal = question.check_calls(MAX_CROSS_FOREST_CALLS).unwrap_err();
        assert_eq!(refusal.fault().code, Some(FaultCode::ArgumentOutOfRange));
    }

    #[test]
    fn a_limit_of_zero_closes_the_door() {
        let question = IsPrincipalMemberOf::new("ann@a.example", vec!["g".to_owned()]);
        assert!(question.check_calls(0).is_err());
    }

    #[test]
    fn a_name_has_a_kind_or_is_an_address() {
        for (text, name) in [
            ("mail=ann@a.example", PrincipalName::Mail("ann@a.example")),
            (" MAIL= ann@a.example", PrincipalName::Mail("ann@a.example")),
            ("ann@a.example", PrincipalName::Mail("ann@a.example")),
            ("b=ann@a.example", PrincipalName::Mail("b=ann@a.example")),
            ("id=s-1-5-21-7", PrincipalName::Id("s-1-5-21-7")),
            ("\u{e9}", PrincipalName::Mail("\u{e9}")),
        ] {
            assert_eq!(PrincipalName::parse(text), name, "{text:?}");
        }
        let name = PrincipalName::Mail("ann@a.example").to_string();
        assert_eq!(name, "mail=ann@a.example");
    }
}
