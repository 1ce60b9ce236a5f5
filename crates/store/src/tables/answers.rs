//! The statements of the directory services database, which are the same for every back end: see
//! the module beside it.

use async_trait::async_trait;
use sqlx::Row as _;

use super::Backend;
use super::fault::database;
use crate::{CachedAnswer, DirectoryCache, NewAnswer, StoreError};

#[async_trait]
impl DirectoryCache for Backend {
    async fn find(
        &self,
        kind: &str,
        question: &[u8],
        longest: usize,
    ) -> Result<(i64, Option<CachedAnswer>), StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            let row = sqlx::query(
                "SELECT generation.number, answer.asked, answer.expires, answer.sealed
             FROM generation LEFT JOIN answer
             ON answer.kind = $1 AND answer.question = $2
             AND answer.generation = generation.number AND CAST(length(answer.sealed) AS BIGINT) <= $3",
            )
            .bind(kind)
            .bind(question)
            .bind(i64::try_from(longest).unwrap_or(i64::MAX))
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| database(&error))?
            .ok_or_else(|| StoreError::Corrupt {
                what: "generation: no row".to_owned(),
            })?;
            let read = || {
                let generation = row.try_get(0)?;
                let sealed: Option<Vec<u8>> = row.try_get(3)?;
                let Some(sealed) = sealed else {
                    return Ok((generation, None));
                };
                let answer = CachedAnswer {
                    asked: row.try_get(1)?,
                    expires: row.try_get(2)?,
                    sealed,
                };
                Ok((generation, Some(answer)))
            };
            read().map_err(|error| database(&error))
        })
        .await
    }

    async fn keep(&self, answers: &[NewAnswer<'_>]) -> Result<(), StoreError> {
        self.run(move || async move {
            let mut writing = self.begin_writing().await?;
            for answer in answers {
                sqlx::query(
                    "INSERT INTO answer (kind, question, generation, asked, expires, sealed)
                 SELECT $1, $2, number, $4, $5, $6 FROM generation WHERE number = $3
                 ON CONFLICT (kind, question) DO UPDATE SET generation = excluded.generation,
                 asked = excluded.asked, expires = excluded.expires, sealed = excluded.sealed",
                )
                .bind(answer.kind)
                .bind(answer.question)
                .bind(answer.generation)
                .bind(answer.asked)
                .bind(answer.expires)
                .bind(answer.sealed)
                .execute(&mut *writing)
                .await
                .map_err(|error| database(&error))?;
            }
            writing.commit().await.map_err(|error| database(&error))
        })
        .await
    }

    async fn prune(&self, kind: &str, most: u64, now: i64) -> Result<(), StoreError> {
        self.run(move || async move {
            let mut writing = self.begin_writing().await?;
            sqlx::query(
                "DELETE FROM answer WHERE (kind, question) IN (SELECT kind, question FROM answer
             WHERE expires <= $1 ORDER BY expires LIMIT $2)",
            )
            .bind(now)
            .bind(BATCH)
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
            // Left when a clock was set back. They would seem to be the youngest.
            sqlx::query(
                "DELETE FROM answer WHERE kind = $1 AND question IN (SELECT question FROM answer
             WHERE kind = $1 AND asked > $2 LIMIT $3)",
            )
            .bind(kind)
            .bind(now.saturating_add(SKEW))
            .bind(BATCH)
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
            let kept: i64 = sqlx::query("SELECT COUNT(*) FROM answer WHERE kind = $1")
                .bind(kind)
                .fetch_one(&mut *writing)
                .await
                .and_then(|row| row.try_get(0))
                .map_err(|error| database(&error))?;
            let excess = kept.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
            if excess > 0 {
                sqlx::query(
                "DELETE FROM answer WHERE kind = $1 AND question IN (SELECT question FROM answer
                 WHERE kind = $1 ORDER BY asked LIMIT $2)",
            )
            .bind(kind)
            .bind(excess.min(BATCH))
            .execute(&mut *writing)
            .await
            .map_err(|error| database(&error))?;
            }
            writing.commit().await.map_err(|error| database(&error))
        })
        .await
    }

    async fn forget(&self) -> Result<(), StoreError> {
        self.run(move || async move {
            let mut writing = self.begin_writing().await?;
            for statement in [
                "UPDATE generation SET number = number + 1",
                "DELETE FROM answer",
            ] {
                sqlx::query(statement)
                    .execute(&mut *writing)
                    .await
                    .map_err(|error| database(&error))?;
            }
            writing.commit().await.map_err(|error| database(&error))
        })
        .await
    }

    async fn close(&self) {
        self.close_all().await;
    }
}

/// How many answers of a sort are removed at a time.
const BATCH: i64 = 512;
/// By how many seconds the clocks of servers may differ.
const SKEW: i64 = 60;
