//! Rights, who holds them and when (MS-RMPR 2.2.9.8.4, 2.2.9.8.5.3, 2.2.9.9.6).

use std::borrow::Cow;

use crate::error::XrmlError;
use crate::time::{Interval, Time};
use crate::tree::Element;
use crate::values::{EnablingBits, Object, attribute, one, read_interval};

/// A RIGHT element: its name, its holders and its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightEntry {
    /// The right.
    pub right: Right,
    /// PRINCIPAL elements of ACCESS.
    pub holders: Vec<Holder>,
    /// TIME.
    pub time: TimeCondition,
    /// Conditions this library does not know; such a right is never granted.
    pub unknown_conditions: Vec<String>,
}

/// PRINCIPAL inside ACCESS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who, in rights data; `None` where `internal-id` refers to the issued principal.
    pub object: Option<Object>,
    /// The key sealed to the holder, in a UL or CLC.
    pub enabling_bits: Option<EnablingBits>,
}

/// TIME: an interval, or a number of days, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeCondition {
    /// RANGETIME.
    pub range: Option<Interval>,
    /// INTERVALTIME days: counted from the issued time of what carries it.
    pub days: Option<u32>,
}

/// The name of a right. Any name is possible; these are the ones with a meaning of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right(Cow<'static, str>);

impl Right {
    /// Everything, without conditions.
    pub const OWNER: &'static str = "OWNER";
    /// Issue certificates (issuing certificates and CLCs).
    pub const ISSUE: &'static str = "ISSUE";

    /// A right by name; names are compared without regard to case and kept in upper case.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = name.trim();
        let known = KNOWN_RIGHTS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        Self(known.map_or_else(
            || Cow::Owned(name.to_ascii_uppercase()),
            |known| Cow::Borrowed(*known),
        ))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether this is OWNER.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.0 == Self::OWNER
    }

    /// Whether the right is written as an element of its own instead of `<RIGHT name="..">`.
    #[must_use]
    pub fn has_element(&self) -> bool {
        ELEMENT_RIGHTS.contains(&self.name())
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl RightEntry {
    pub(crate) fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let right = match element.name() {
            "RIGHT" => {
                let name = element.attribute("name");
                Right::new(&name.ok_or(XrmlError::Missing("RIGHT name"))?)
            }
            name => Right::new(name),
        };
        let mut entry = Self {
            right,
            holders: Vec::new(),
            time: TimeCondition::default(),
            unknown_conditions: Vec::new(),
        };
        // Owner licenses of Microsoft's client write ACCESS without a CONDITIONLIST round it.
        let conditions = one(element, "CONDITIONLIST")?.unwrap_or(element);
        for condition in conditions.children() {
            match condition.name() {
                "ACCESS" => {
                    for principal in condition.children() {
                        if principal.name() == "PRINCIPAL" {
                            entry.holders.push(Holder::read(principal)?);
                        } else {
                            entry.unknown_conditions.push(principal.name().to_owned());
                        }
                    }
                }
                "TIME" => entry.time.add(condition, &mut entry.unknown_conditions)?,
                other => entry.unknown_conditions.push(other.to_owned()),
            }
        }
        if conditions.name() == "CONDITIONLIST" {
            let beside = element
                .children()
                .filter(|child| child.name() != "CONDITIONLIST");
            entry
                .unknown_conditions
                .extend(beside.map(|child| child.name().to_owned()));
        }
        Ok(entry)
    }
}

impl Holder {
    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        Ok(Self {
            object: one(element, "OBJECT")?.map(Object::read).transpose()?,
            enabling_bits: one(element, "ENABLINGBITS")?
                .map(EnablingBits::read)
                .transpose()?,
        })
    }
}

impl TimeCondition {
    /// Whether there is no condition.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.range.is_none() && self.days.is_none()
    }

    /// The interval this condition leaves open when days are counted from `issued`.
    #[must_use]
    pub fn window(&self, issued: Time) -> Option<Interval> {
        let days = self.days.map(|days| Interval {
            from: issued,
            until: issued.plus_days(days),
        });
        match (self.range, days) {
            (Some(range), Some(days)) => Some(range.intersect(days)),
            (range, days) => range.or(days),
        }
    }

    pub(crate) fn read_from(
        list: Element<'_>,
        unknown: &mut Vec<String>,
    ) -> Result<Self, XrmlError> {
        let mut condition = Self::default();
        for time in list.children_named("TIME") {
            condition.add(time, unknown)?;
        }
        Ok(condition)
    }

    /// Takes one TIME element in; several narrow each other.
    fn add(&mut self, time: Element<'_>, unknown: &mut Vec<String>) -> Result<(), XrmlError> {
        if time.children().next().is_none() {
            unknown.push("TIME".to_owned());
        }
        for child in time.children() {
            match child.name() {
                "RANGETIME" => {
                    let range = read_interval(child)?;
                    self.range = Some(self.range.map_or(range, |old| old.intersect(range)));
                }
                "INTERVALTIME" => {
                    let days =
                        attribute(child, "days").ok_or(XrmlError::Missing("INTERVALTIME days"))?;
                    let days: u32 = days
                        .trim()
                        .parse()
                        .map_err(|error| XrmlError::invalid("INTERVALTIME days", error))?;
                    // Finer units beside days occur in REFRESH only.
                    for unit in ["hours", "minutes", "seconds"] {
                        if child.attribute(unit).is_some() {
                            unknown.push(format!("INTERVALTIME {unit}"));
                        }
                    }
                    self.days = Some(self.days.map_or(days, |old| old.min(days)));
                }
                other => unknown.push(other.to_owned()),
            }
        }
        Ok(())
    }
}

/// Names that need no memory of their own; any other is as good.
const KNOWN_RIGHTS: [&str; 15] = [
    "VIEW",
    "EDIT",
    "PRINT",
    "EXTRACT",
    "EXPORT",
    "OWNER",
    "ISSUE",
    "DOCEDIT",
    "OBJMODEL",
    "FORWARD",
    "REPLY",
    "REPLYALL",
    "VIEWRIGHTSDATA",
    "COMMENT",
    "SIGN",
];
/// Rights that real licenses write as elements of their own; all others as `<RIGHT name="..">`.
const ELEMENT_RIGHTS: [&str; 5] = ["VIEW", "EDIT", "PRINT", "EXPORT", "EXTRACT"];
