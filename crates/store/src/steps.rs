//! The steps by which a schema comes to be, and the rule for those of later releases: steps only
//! add, and each names in its file's name the oldest schema whose releases may go on serving:
//! `0004_service_levels_for_schema_3.sql`. A step that does not name one is for nobody else.

use sqlx::migrate::Migrator;

use crate::StoreError;
use crate::moving::GONE;
use crate::restoring::UNFINISHED;

/// A step that was made, as the history of a database has it.
pub(crate) struct Made {
    pub(crate) step: i64,
    pub(crate) description: String,
    pub(crate) checksum: Vec<u8>,
}

/// How far the schema of a cluster's database is: the steps that were made, and those of this release
/// that are missing, each in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// What was made, also by later releases.
    pub made: Vec<Step>,
    /// What this release adds.
    pub missing: Vec<Step>,
}

/// A step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its number, which is that of the schema it makes.
    pub number: i64,
    /// The oldest schema whose releases may serve a database in which it was made.
    pub oldest: i64,
}

impl Schema {
    /// The schema that a database has; 0 where nothing was made.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.made.iter().map(|step| step.number).max().unwrap_or(0)
    }

    /// The oldest schema whose releases may serve the database as it is.
    #[must_use]
    pub fn oldest(&self) -> i64 {
        self.made.iter().map(|step| step.oldest).max().unwrap_or(0)
    }

    /// Of a database that this release may serve, when what is missing is added.
    pub(crate) fn of(history: &[Made], steps: &Migrator) -> Result<Self, StoreError> {
        are_made(history, steps)?;
        let step = |number, description: &str| Step {
            number,
            oldest: oldest_schema(description).unwrap_or(number),
        };
        let is_made = |number| history.iter().any(|made| made.step == number);
        Ok(Self {
            made: history
                .iter()
                .map(|made| step(made.step, &made.description))
                .collect(),
            missing: steps
                .iter()
                .filter(|missing| !is_made(missing.version))
                .map(|missing| step(missing.version, &missing.description))
                .collect(),
        })
    }
}

/// Whether every step of this release was made, in a database that it may serve.
///
/// Fails with [`StoreError::SchemaTooNew`] for a step of a later release that this one may not see,
/// and with [`StoreError::Corrupt`] for one that is not what it should be.
pub(crate) fn are_made(history: &[Made], steps: &Migrator) -> Result<bool, StoreError> {
    let supported = steps.iter().map(|step| step.version).max().unwrap_or(0);
    let mut done = 0;
    for made in history {
        let found = made.step;
        match steps.iter().find(|step| step.version == found) {
            Some(step) if *step.checksum == made.checksum => done += 1,
            None if found == GONE => {
                let to = made.description.clone();
                return Err(StoreError::Moved { to });
            }
            None if found == UNFINISHED => {
                let backup = made.description.clone();
                return Err(StoreError::Unfinished { backup });
            }
            None if found > supported => match oldest_schema(&made.description) {
                Some(oldest) if oldest <= supported => {}
                _ => return Err(StoreError::SchemaTooNew { found, supported }),
            },
            _ => {
                return Err(StoreError::Corrupt {
                    what: format!("schema step {found} is not the one of this release"),
                });
            }
        }
    }
    Ok(done == steps.iter().count())
}

/// The oldest schema whose releases may serve a database in which a step was made.
fn oldest_schema(description: &str) -> Option<i64> {
    let (_, schema) = description.rsplit_once(OLDEST)?;
    schema.parse().ok()
}

const OLDEST: &str = " for schema ";

#[cfg(test)]
mod tests {
    use super::*;

    fn all_made(steps: &Migrator) -> Vec<Made> {
        let made = steps.iter().map(|step| Made {
            step: step.version,
            description: step.description.to_string(),
            checksum: step.checksum.to_vec(),
        });
        made.collect()
    }

    #[test]
    fn only_a_step_that_says_so_is_for_older_releases() {
        let steps = &crate::sqlite::MIGRATIONS;
        let mut history = all_made(steps);
        assert!(are_made(&history, steps).unwrap());
        let supported = crate::SCHEMA;
        let mut with = |description: &str| {
            history.truncate(steps.iter().count());
            history.push(Made {
                step: supported + 1,
                description: description.into(),
                checksum: vec![0],
            });
            are_made(&history, steps)
        };
        assert!(with(&format!("more for schema {supported}")).unwrap());
        assert!(with("more for schema 1").unwrap());
        for description in [
            format!("more for schema {}", supported + 1),
            "more".into(),
            "more for schema".into(),
            "more for schema x".into(),
            String::new(),
        ] {
            let refused = with(&description);
            assert!(
                matches!(refused, Err(StoreError::SchemaTooNew { found, .. }) if found > supported),
                "{description:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn the_schema_says_who_may_serve_it_before_and_after() {
        let steps = &crate::sqlite::MIGRATIONS;
        let mut history = all_made(steps);
        let step = |number, oldest| Step { number, oldest };
        let whole = Schema::of(&history, steps).unwrap();
        assert_eq!((whole.newest(), whole.oldest()), (crate::SCHEMA, 3));
        assert_eq!(whole.missing, []);
        history.truncate(3);
        let before = Schema::of(&history, steps).unwrap();
        assert_eq!((before.newest(), before.oldest()), (3, 3));
        assert_eq!(before.missing, [step(4, 3)]);
        history.push(Made {
            step: 99,
            description: "later for schema 4".into(),
            checksum: vec![0],
        });
        let later = Schema::of(&history, steps).unwrap();
        assert_eq!((later.newest(), later.oldest()), (99, 4));
    }

    #[test]
    fn every_step_from_the_fourth_says_for_whom_it_is() {
        let steps = crate::sqlite::MIGRATIONS.iter();
        for step in steps.filter(|step| step.version > 3) {
            let oldest = oldest_schema(&step.description);
            assert!(
                oldest.is_some_and(|oldest| (1..step.version).contains(&oldest)),
                "{}",
                step.description
            );
        }
    }
}
