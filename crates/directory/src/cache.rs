//! Answers of a directory, kept for a while: in memory, and behind it in a database that the
//! servers of a cluster share. The tables, their sizes and their times are those of the original
//! server's directory-services cache.

mod answer_store;
mod form;
mod seal;
mod second_level;
mod settings;
mod table;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use self::table::Table;
use crate::{
    Account, AccountRef, Address, Directory, DirectoryError, ForeignForests, ForeignGroup,
    ForeignQuestion, ForestName, Identity, Memberships,
};

pub use self::answer_store::{
    AnswerKind, AnswerStore, AnswerStoreError, FoundAnswer, KeptAnswer, MAX_SEALED, StoredAnswer,
};
pub use self::seal::AnswerSeal;
pub use self::second_level::{SecondLevel, SecondLevelCounters, WallClock};
pub use self::settings::CacheSettings;
pub use self::table::TableCounters;

/// A directory with memory in front of it, and perhaps a database between.
///
/// What is asked by several at once is asked of the directory once. Answers count as old as the
/// question. Errors are never kept, so that the first question after an outage is asked anew;
/// during one, whoever is known goes on being answered until the time is over.
pub struct CachedDirectory<D> {
    directory: D,
    accounts: Table<AccountRef, Option<Account>>,
    forests: Table<AccountRef, Option<ForestName>>,
    memberships: Table<Identity, Arc<Memberships>>,
    foreign_groups: Table<Address, Arc<[ForeignGroup]>>,
    second_level: Option<Arc<SecondLevel>>,
    now: Clock,
}

/// Other forests with a memory in front of them, as long as that of group memberships.
pub struct CachedForests<F> {
    forests: F,
    answers: Table<(ForestName, Address, Vec<Address>), bool>,
    second_level: Option<Arc<SecondLevel>>,
    now: Clock,
}

/// Tells the present instant.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How often memory had the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Of [`Directory::account`].
    pub accounts: TableCounters,
    /// Of [`Directory::forest_of`].
    pub forests: TableCounters,
    /// Of [`Directory::memberships`].
    pub memberships: TableCounters,
}

impl<D: Directory> CachedDirectory<D> {
    /// Puts memory in front of `directory`.
    pub fn new(directory: D, settings: &CacheSettings) -> Self {
        Self::with_clock(directory, settings, Arc::new(Instant::now))
    }

    /// As [`CachedDirectory::new`], with a given clock, which must not go backwards.
    pub fn with_clock(directory: D, settings: &CacheSettings, now: Clock) -> Self {
        Self {
            directory,
            accounts: Table::new(settings.principals()),
            forests: Table::new(settings.groups()),
            memberships: Table::new(settings.group_memberships()),
            foreign_groups: Table::new(settings.group_memberships()),
            second_level: None,
            now,
        }
    }

    /// Asks a database before the directory.
    #[must_use]
    pub fn with_second_level(mut self, level: &Arc<SecondLevel>) -> Self {
        self.accounts.set_shelf(level, AnswerKind::Account);
        self.forests.set_shelf(level, AnswerKind::Forest);
        self.memberships.set_shelf(level, AnswerKind::Memberships);
        self.foreign_groups
            .set_shelf(level, AnswerKind::ForeignGroups);
        self.second_level = Some(Arc::clone(level));
        self
    }

    /// Forgets everything, in the database as well. Answers that are on their way are not kept
    /// either: whoever asks from now on is told how things are from now on. Other servers of the
    /// cluster go on with what is in their memory.
    ///
    /// Waits for the database, but not for long: until it has forgotten it is not asked.
    pub async fn flush(&self) {
        // First the database: what is read from it after memory is emptied would stay there.
        let flush = self.second_level.as_ref().map(|level| level.flush());
        self.accounts.flush();
        self.forests.flush();
        self.memberships.flush();
        self.foreign_groups.flush();
        if let Some(flush) = flush {
            flush.done().await;
        }
    }

    /// Counted since the start; a flush does not reset them.
    pub fn counters(&self) -> CacheCounters {
        CacheCounters {
            accounts: self.accounts.counters(),
            forests: self.forests.counters(),
            memberships: self.memberships.counters(),
        }
    }

    /// The directory behind the memory.
    pub fn directory(&self) -> &D {
        &self.directory
    }
}

#[async_trait]
impl<D: Directory> Directory for CachedDirectory<D> {
    async fn account(&self, who: &AccountRef) -> Result<Option<Account>, DirectoryError> {
        let ask = || self.directory.account(who);
        self.accounts
            .get(who, &*self.now, Option::is_some, ask)
            .await
    }

    async fn memberships(&self, who: &Identity) -> Result<Arc<Memberships>, DirectoryError> {
        let ask = || self.directory.memberships(who);
        // That somebody is in no group may also mean that nobody knows them.
        let known = |answer: &Arc<Memberships>| answer.is_in_any_group();
        self.memberships.get(who, &*self.now, known, ask).await
    }

    fn home_forest(&self) -> &ForestName {
        self.directory.home_forest()
    }

    async fn forest_of(&self, who: &AccountRef) -> Result<Option<ForestName>, DirectoryError> {
        let ask = || self.directory.forest_of(who);
        self.forests
            .get(who, &*self.now, Option::is_some, ask)
            .await
    }

    async fn foreign_groups_in(
        &self,
        group: &Address,
    ) -> Result<Arc<[ForeignGroup]>, DirectoryError> {
        let ask = || self.directory.foreign_groups_in(group);
        self.foreign_groups
            .get(group, &*self.now, |_| true, ask)
            .await
    }
}

impl<F: ForeignForests> CachedForests<F> {
    /// Puts memory in front of `forests`.
    pub fn new(forests: F, settings: &CacheSettings) -> Self {
        Self {
            forests,
            answers: Table::new(settings.group_memberships()),
            second_level: None,
            now: Arc::new(Instant::now),
        }
    }

    /// Asks a database before the other forests.
    #[must_use]
    pub fn with_second_level(mut self, level: &Arc<SecondLevel>) -> Self {
        self.answers.set_shelf(level, AnswerKind::ForeignMember);
        self.second_level = Some(Arc::clone(level));
        self
    }

    /// Forgets everything, as [`CachedDirectory::flush`].
    pub async fn flush(&self) {
        let flush = self.second_level.as_ref().map(|level| level.flush());
        self.answers.flush();
        if let Some(flush) = flush {
            flush.done().await;
        }
    }
}

#[async_trait]
impl<F: ForeignForests> ForeignForests for CachedForests<F> {
    async fn is_member(&self, question: ForeignQuestion<'_>) -> Result<bool, DirectoryError> {
        // Whoever is asked in a circle must not wait for the answer to the same question: only
        // what is asked first is kept.
        if question.calls > 1 {
            return self.forests.is_member(question).await;
        }
        let key = (
            question.forest.clone(),
            question.who.clone(),
            question.groups.to_vec(),
        );
        let ask = || self.forests.is_member(question);
        self.answers
            .get(&key, &*self.now, |is_member| *is_member, ask)
            .await
    }

    fn max_calls(&self) -> u32 {
        self.forests.max_calls()
    }
}
