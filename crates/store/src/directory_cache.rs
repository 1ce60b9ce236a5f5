//! The directory services database: answers of a directory, kept for all servers of a cluster
//! (`DRMS_DirectoryServices` of the original, which keeps objects instead of answers).

use async_trait::async_trait;

use crate::StoreError;

/// A database of answers, every one of which can be lost.
///
/// Nothing is decided here, and nothing of an answer is known: questions come as digests, and
/// answers encrypted. Instants are seconds since 1970 UTC and always handed in.
#[async_trait]
pub trait DirectoryCache: Send + Sync {
    /// The generation in use, and the answer of this generation to a question. One that is longer
    /// than `longest` bytes is none.
    async fn find(
        &self,
        kind: &str,
        question: &[u8],
        longest: usize,
    ) -> Result<(i64, Option<CachedAnswer>), StoreError>;

    /// Puts down all `answers`, or none of them, in the place of earlier ones to the same
    /// questions. Those of another generation than the one in use are passed over.
    async fn keep(&self, answers: &[NewAnswer<'_>]) -> Result<(), StoreError>;

    /// Removes answers that have ended at `now`, and of one kind those from a time after it and the
    /// oldest beyond `most`: some hundred of each, which is more than is kept at a time.
    async fn prune(&self, kind: &str, most: u64, now: i64) -> Result<(), StoreError>;

    /// Begins a new generation, and removes what was kept.
    async fn forget(&self) -> Result<(), StoreError>;

    /// Waits for statements under way and closes the database.
    async fn close(&self);
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedAnswer {
    /// When the question was asked.
    pub asked: i64,
    /// When the answer ends.
    pub expires: i64,
    /// The answer, encrypted.
    pub sealed: Vec<u8>,
}

/// An answer to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAnswer<'a> {
    /// What kind of question it answers.
    pub kind: &'a str,
    /// Digest of the question.
    pub question: &'a [u8],
    /// The generation that was in use before the question was asked.
    pub generation: i64,
    /// When the question was asked.
    pub asked: i64,
    /// When the answer ends.
    pub expires: i64,
    /// The answer, encrypted.
    pub sealed: &'a [u8],
}
