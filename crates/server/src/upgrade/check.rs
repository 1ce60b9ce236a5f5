//! One rule, looked at.

use serde::Serialize;

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The requirement behind it, such as `S21`.
    pub id: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// Whether the rule is kept.
    pub verdict: Verdict,
    /// What was looked at, and found.
    pub found: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
}

/// Whether a rule is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It cannot be told, or somebody has to know.
    Warning,
    /// It is not: nothing is done.
    Refused,
    /// There is nothing here that it is about.
    NotApplicable,
}

/// A rule, before it was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
}

impl Rule {
    pub(super) fn ok(self, found: impl ToString) -> Check {
        self.judged(Verdict::Ok, found, None)
    }

    pub(super) fn warning(self, found: impl ToString, advice: &str) -> Check {
        self.judged(Verdict::Warning, found, Some(advice))
    }

    pub(super) fn refused(self, found: impl ToString, advice: &str) -> Check {
        self.judged(Verdict::Refused, found, Some(advice))
    }

    pub(super) fn not_applicable(self, found: impl ToString) -> Check {
        self.judged(Verdict::NotApplicable, found, None)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors and texts are both handed over"
    )]
    fn judged(self, verdict: Verdict, found: impl ToString, advice: Option<&str>) -> Check {
        Check {
            id: self.id,
            name: self.name,
            verdict,
            found: found.to_string(),
            advice: advice.map(str::to_owned),
        }
    }
}

/// Whether nothing is refused.
pub(super) fn is_allowed(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Refused)
}
