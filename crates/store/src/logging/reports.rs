//! What the log is asked: how much was done and how fast, by whom, about which content, what was
//! refused and why (the reports and the viewing page of the original). Every query reads one day's
//! table at a time, so a longer range costs more time and not more memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use uuid::Uuid;

use super::statements::{self, COLUMNS, Row};
use super::{Day, Digest, LogEvent, LoggingDatabase, event};
use crate::{StoreError, Value};

/// The reports of a range of time.
#[derive(Clone, Copy)]
pub struct Reports<'d> {
    database: &'d dyn LoggingDatabase,
    range: Chosen,
}

/// A range of time, in milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The first instant in it.
    pub from: i64,
    /// The first instant after it.
    pub until: i64,
}

/// What was asked on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationReport {
    /// The day.
    pub day: String,
    /// The operation; `None` for requests that could not be read.
    pub operation: Option<String>,
    /// How often: items of batches count one by one.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Microseconds of one, on average.
    pub mean_micros: u64,
    /// Microseconds of the longest.
    pub max_micros: u64,
}

/// What was asked by an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccountReport {
    /// The mail address in the RAC.
    pub account: String,
    /// How often.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// RACs that were issued to it.
    pub certifications: u64,
    /// Use licenses that were issued to it.
    pub licenses: u64,
}

/// Use licenses for a content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContentReport {
    /// The content.
    pub content: String,
    /// Use licenses that were issued.
    pub licenses: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// How many accounts asked; of a range of several days at most their sum.
    pub accounts: u64,
}

/// Refusals of a sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalReport {
    /// The operation; `None` for requests that could not be read.
    pub operation: Option<String>,
    /// The name of the fault.
    pub outcome: String,
    /// Why, in words.
    pub reason: Option<String>,
    /// How often.
    pub refusals: u64,
}

/// A use license that was given to a super user (event 49).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuperUserUse {
    /// When, in milliseconds since 1970 UTC.
    pub time: i64,
    /// To whom.
    pub account: Option<String>,
    /// For which content.
    pub content: Option<String>,
    /// The license.
    pub issued: Option<String>,
    /// The request.
    pub request: String,
}

/// Which events are wanted. Absent means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Mail address in the RAC.
    pub account: Option<String>,
    /// The account that signed in.
    pub user: Option<String>,
    /// Identifier of the content.
    pub content: Option<String>,
    /// The request's name.
    pub request: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// `ok`, or the name of a fault.
    pub outcome: Option<String>,
    /// Failures alone.
    pub failed: bool,
}

/// A certificate that an event names, when it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedCertificate {
    /// SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// What kind it is.
    pub kind: String,
    /// The XrML.
    pub text: String,
}

impl<'d> Reports<'d> {
    /// Reports of a range.
    pub fn new(database: &'d dyn LoggingDatabase, range: Chosen) -> Self {
        Self { database, range }
    }

    /// Requests, failures and times, by day and operation.
    pub async fn operations(&self) -> Result<Vec<OperationReport>, StoreError> {
        let mut found = Vec::new();
        for day in self.days().await? {
            let rows = self.rows(
                day,
                "operation, COUNT(*), CAST(SUM(CASE WHEN outcome <> 'ok' THEN 1 ELSE 0 END) AS \
                 BIGINT), CAST(SUM(micros) AS BIGINT), MAX(micros)",
                "",
                "GROUP BY operation ORDER BY operation",
                Vec::new(),
            );
            for row in rows.await? {
                let mut row = Row::new(row);
                let operation = row.optional_text("operation")?.map(Into::into);
                let requests = row.count("requests")?;
                let failures = row.count("failures")?;
                let sum = row.count("micros")?;
                found.push(OperationReport {
                    day: day.to_string(),
                    operation,
                    requests,
                    failures,
                    mean_micros: sum / requests.max(1),
                    max_micros: row.count("micros")?,
                });
            }
        }
        Ok(found)
    }

    /// Who asked, those who asked most first.
    pub async fn accounts(&self, most: usize) -> Result<Vec<AccountReport>, StoreError> {
        let mut all: BTreeMap<String, AccountReport> = BTreeMap::new();
        for day in self.days().await? {
            let rows = self.rows(
                day,
                "account, COUNT(*), CAST(SUM(CASE WHEN outcome <> 'ok' THEN 1 ELSE 0 END) AS \
                 BIGINT), CAST(SUM(CASE WHEN outcome = 'ok' AND operation IN ('Certify', \
                 'Precertify') THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM(CASE WHEN outcome = 'ok' \
                 AND operation IN ('AcquireLicense', 'AcquirePreLicense') THEN 1 ELSE 0 END) AS \
                 BIGINT)",
                "AND account IS NOT NULL",
                "GROUP BY account",
                Vec::new(),
            );
            for row in rows.await? {
                let mut row = Row::new(row);
                let account = row.text("account")?.into_owned();
                let sum = all.entry(account).or_default();
                sum.requests += row.count("requests")?;
                sum.failures += row.count("failures")?;
                sum.certifications += row.count("certifications")?;
                sum.licenses += row.count("licenses")?;
            }
        }
        let named = all
            .into_iter()
            .map(|(account, sum)| AccountReport { account, ..sum });
        Ok(most_first(named.collect(), most, |sum| sum.requests))
    }

    /// Accounts that were certified, with how often.
    pub async fn certified(&self, most: usize) -> Result<Vec<AccountReport>, StoreError> {
        let mut all = self.accounts(usize::MAX).await?;
        all.retain(|account| account.certifications > 0);
        Ok(most_first(all, most, |account| account.certifications))
    }

    /// Use licenses by content, those with most first.
    pub async fn contents(&self, most: usize) -> Result<Vec<ContentReport>, StoreError> {
        let mut all: BTreeMap<String, ContentReport> = BTreeMap::new();
        for day in self.days().await? {
            let rows = self.rows(
                day,
                "content, CAST(SUM(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END) AS BIGINT), \
                 CAST(SUM(CASE WHEN outcome <> 'ok' THEN 1 ELSE 0 END) AS BIGINT), \
                 COUNT(DISTINCT account)",
                "AND content IS NOT NULL AND operation IN ('AcquireLicense', \
                 'AcquirePreLicense')",
                "GROUP BY content",
                Vec::new(),
            );
            for row in rows.await? {
                let mut row = Row::new(row);
                let content = row.text("content")?.into_owned();
                let sum = all.entry(content).or_default();
                sum.licenses += row.count("licenses")?;
                sum.refusals += row.count("refusals")?;
                sum.accounts += row.count("accounts")?;
            }
        }
        let named = all
            .into_iter()
            .map(|(content, sum)| ContentReport { content, ..sum });
        Ok(most_first(named.collect(), most, |sum| sum.licenses))
    }

    /// What was refused and why, the most frequent first.
    pub async fn refusals(&self, most: usize) -> Result<Vec<RefusalReport>, StoreError> {
        type Sort = (Option<String>, String, Option<String>);
        let mut all: BTreeMap<Sort, u64> = BTreeMap::new();
        for day in self.days().await? {
            let rows = self.rows(
                day,
                "operation, outcome, reason, COUNT(*)",
                "AND outcome <> 'ok'",
                "GROUP BY operation, outcome, reason",
                Vec::new(),
            );
            for row in rows.await? {
                let mut row = Row::new(row);
                let sort = (
                    row.optional_text("operation")?.map(Into::into),
                    row.text("outcome")?.into(),
                    row.optional_text("reason")?.map(Into::into),
                );
                *all.entry(sort).or_default() += row.count("refusals")?;
            }
        }
        let named = all
            .into_iter()
            .map(|((operation, outcome, reason), refusals)| RefusalReport {
                operation,
                outcome,
                reason,
                refusals,
            });
        Ok(most_first(named.collect(), most, |sort| sort.refusals))
    }

    /// Use licenses that were given to super users, the latest first.
    pub async fn super_users(&self, most: usize) -> Result<Vec<SuperUserUse>, StoreError> {
        let mut found = Vec::new();
        for day in self.days().await?.into_iter().rev() {
            if found.len() >= most {
                break;
            }
            let limit = i64::try_from(most - found.len()).unwrap_or(i64::MAX);
            let rows = self.rows(
                day,
                "time, account, content, issued, request",
                "AND ground = 'super-user' AND outcome = 'ok'",
                "ORDER BY id DESC LIMIT $3",
                vec![Value::Integer(limit)],
            );
            for row in rows.await? {
                let mut row = Row::new(row);
                found.push(SuperUserUse {
                    time: row.integer("time")?,
                    account: row.optional_text("account")?.map(Into::into),
                    content: row.optional_text("content")?.map(Into::into),
                    issued: row.optional_text("issued")?.map(Into::into),
                    request: row.text("request")?.into(),
                });
            }
        }
        Ok(found)
    }

    /// Events after one that was seen, in their order, at most so many.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<LogEvent<'static>>, StoreError> {
        let mut found = Vec::new();
        for day in self.days().await? {
            if found.len() >= most {
                break;
            }
            let mut values = Vec::new();
            let mut conditions = String::new();
            let mut add = |condition: &str, value| {
                values.push(value);
                let number = values.len() + RANGE_VALUES;
                // Writing to a string cannot fail.
                let _ = write!(conditions, " AND {condition} ${number}");
            };
            for (column, wanted) in [
                ("account =", &filter.account),
                ("user_name =", &filter.user),
                ("content =", &filter.content),
                ("request =", &filter.request),
                ("operation =", &filter.operation),
                ("outcome =", &filter.outcome),
            ] {
                if let Some(wanted) = wanted {
                    add(column, Value::Text(wanted.clone()));
                }
            }
            if let Some(after) = after {
                add("id >", Value::Bytes(after.as_bytes().to_vec()));
            }
            if filter.failed {
                conditions += " AND outcome <> 'ok'";
            }
            let limit = i64::try_from(most - found.len()).unwrap_or(i64::MAX);
            values.push(Value::Integer(limit));
            let end = format!("ORDER BY id LIMIT ${}", values.len() + RANGE_VALUES);
            for row in self.rows(day, COLUMNS, &conditions, &end, values).await? {
                found.push(statements::event(row)?);
            }
        }
        Ok(found)
    }

    /// The certificates of these digests that are stored, in the order of the digests.
    pub async fn certificates(
        &self,
        digests: &[Digest],
    ) -> Result<Vec<AuditedCertificate>, StoreError> {
        let mut found = Vec::new();
        for digest in digests {
            let sql = "SELECT digest, kind, text FROM log_certificate WHERE digest = $1";
            let values = vec![Value::Bytes(digest.to_vec())];
            for row in self
                .database
                .select(sql.to_owned(), values)
                .await?
                .unwrap_or_default()
            {
                let (digest, kind, text) = statements::certificate(row)?;
                found.push(AuditedCertificate {
                    digest: event::hex(&digest),
                    kind,
                    text,
                });
            }
        }
        Ok(found)
    }

    /// How many events there are.
    pub async fn count(&self) -> Result<u64, StoreError> {
        let mut sum = 0;
        for day in self.days().await? {
            for row in self.rows(day, "COUNT(*)", "", "", Vec::new()).await? {
                sum += Row::new(row).count("count")?;
            }
        }
        Ok(sum)
    }

    /// The days that the range touches.
    async fn days(&self) -> Result<Vec<Day>, StoreError> {
        let Chosen { from, until } = self.range;
        let mut days = self.database.days().await?;
        days.retain(|day| {
            let start = day.start_millis();
            start < until && start.saturating_add(DAY_MILLIS) > from
        });
        Ok(days)
    }

    /// Rows of a day's table within the range. Values after the first two are the caller's.
    async fn rows(
        &self,
        day: Day,
        columns: &str,
        conditions: &str,
        end: &str,
        more: Vec<Value>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let table = day.table();
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE time >= $1 AND time < $2 {conditions} {end}"
        );
        let Chosen { from, until } = self.range;
        let mut values = vec![Value::Integer(from), Value::Integer(until)];
        values.extend(more);
        // A day that was dropped meanwhile has none.
        Ok(self.database.select(sql, values).await?.unwrap_or_default())
    }
}

impl Chosen {
    /// All time.
    pub const EVER: Self = Self {
        from: i64::MIN,
        until: i64::MAX,
    };

    /// The days from the first to the last, both included.
    pub fn days(first: Day, last: Day) -> Self {
        Self {
            from: first.start_millis(),
            until: last.start_millis().saturating_add(DAY_MILLIS),
        }
    }
}

fn most_first<T>(mut all: Vec<T>, most: usize, figure: impl Fn(&T) -> u64) -> Vec<T> {
    all.sort_by_key(|one| std::cmp::Reverse(figure(one)));
    all.truncate(most);
    all
}

const DAY_MILLIS: i64 = 86_400_000;
/// The bounds of the range come first.
const RANGE_VALUES: usize = 2;
