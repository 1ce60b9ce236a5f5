//! What a database must do to keep answers of a directory for all servers of a cluster: the
//! *directory services database* of the original server.

use async_trait::async_trait;

/// A database of answers. It may lose what it holds at any time, and is told nothing that it
/// could read: questions come as digests and answers sealed.
///
/// Instants are seconds since 1970 UTC.
#[async_trait]
pub trait AnswerStore: Send + Sync {
    /// The generation that the database is in, and the answer to a question, if there is one of
    /// this generation.
    async fn find(
        &self,
        kind: AnswerKind,
        question: &[u8; 32],
    ) -> Result<FoundAnswer, AnswerStoreError>;

    /// Keeps answers in the place of earlier ones to the same questions.
    async fn keep(&self, answers: &[KeptAnswer]) -> Result<(), AnswerStoreError>;

    /// Removes answers that have ended at `now`, and of one kind the oldest beyond `most`.
    async fn prune(&self, kind: AnswerKind, most: u64, now: i64) -> Result<(), AnswerStoreError>;

    /// Begins a new generation: no answer of an earlier one is found from now on, also when it
    /// is kept only now.
    async fn forget(&self) -> Result<(), AnswerStoreError>;

    /// Waits for what is under way and closes the database.
    async fn close(&self);
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// [`crate::Directory::account`].
    Account,
    /// [`crate::Directory::forest_of`].
    Forest,
    /// [`crate::Directory::memberships`].
    Memberships,
    /// [`crate::Directory::foreign_groups_in`].
    ForeignGroups,
    /// [`crate::ForeignForests::is_member`].
    ForeignMember,
}

/// What a database has for a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAnswer {
    /// The generation that the database is in.
    pub generation: i64,
    /// The answer.
    pub answer: Option<StoredAnswer>,
}

/// An answer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// When the question was asked.
    pub asked: i64,
    /// When the answer ends.
    pub expires: i64,
    /// The answer, encrypted; at most [`MAX_SEALED`] bytes.
    pub sealed: Vec<u8>,
}

/// An answer to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What the question is about.
    pub kind: AnswerKind,
    /// The question.
    pub question: [u8; 32],
    /// The generation that the database was in before the question was asked.
    pub generation: i64,
    /// The answer.
    pub answer: StoredAnswer,
}

/// Why a database could not do what was asked of it; for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AnswerStoreError(pub Box<dyn std::error::Error + Send + Sync>);

impl AnswerKind {
    /// The name that a database keeps it under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Forest => "forest",
            Self::Memberships => "memberships",
            Self::ForeignGroups => "foreign-groups",
            Self::ForeignMember => "foreign-member",
        }
    }
}

/// The longest answer that is kept, in bytes: somebody in 2,000 groups with long names.
pub const MAX_SEALED: usize = 256 << 10;
