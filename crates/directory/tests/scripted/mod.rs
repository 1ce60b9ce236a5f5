//! A directory for tests of what stands in front of one.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use openrms_directory::{
    Account, AccountRef, Address, BuiltIn, Directory, DirectoryError, ForeignGroup, ForestName,
    Identity, Memberships,
};
use tokio::sync::watch;

/// A directory that can be changed, broken and held up, and counts what it is asked.
pub(crate) struct Scripted {
    people: Mutex<BuiltIn>,
    broken: Mutex<Option<DirectoryError>>,
    /// While true, answers wait.
    pub(crate) held: watch::Sender<bool>,
    asked: AtomicUsize,
    forest: ForestName,
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            people: Mutex::new(BuiltIn::from_toml(LIST).unwrap()),
            broken: Mutex::new(None),
            held: watch::Sender::new(false),
            asked: AtomicUsize::new(0),
            forest: "corp.example".parse().unwrap(),
        })
    }

    pub(crate) fn load(&self, list: &str) {
        *self.people.lock().unwrap() = BuiltIn::from_toml(list).unwrap();
    }

    pub(crate) fn break_with(&self, error: Option<DirectoryError>) {
        *self.broken.lock().unwrap() = error;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The answer is the one at the time of the question.
    async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, DirectoryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let broken = self.broken.lock().unwrap().clone();
        let answer = answer.await;
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        broken.map_or(Ok(answer), Err)
    }
}

/// The orphan rule keeps `Arc<Scripted>` from being a directory.
pub(crate) struct Shared(pub(crate) Arc<Scripted>);

/// The built-in list never waits.
fn now<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the built-in list answers at once"),
    }
}

#[async_trait]
impl Directory for Shared {
    async fn account(&self, who: &AccountRef) -> Result<Option<Account>, DirectoryError> {
        let answer = now(self.0.people.lock().unwrap().account(who))?;
        self.0.answer(async { answer }).await
    }

    async fn memberships(&self, who: &Identity) -> Result<Arc<Memberships>, DirectoryError> {
        let answer = now(self.0.people.lock().unwrap().memberships(who))?;
        self.0.answer(async { answer }).await
    }

    fn home_forest(&self) -> &ForestName {
        &self.0.forest
    }

    async fn forest_of(&self, who: &AccountRef) -> Result<Option<ForestName>, DirectoryError> {
        let answer = now(self.0.people.lock().unwrap().forest_of(who))?;
        self.0.answer(async { answer }).await
    }

    async fn foreign_groups_in(
        &self,
        group: &Address,
    ) -> Result<Arc<[ForeignGroup]>, DirectoryError> {
        let answer = now(self.0.people.lock().unwrap().foreign_groups_in(group))?;
        self.0.answer(async { answer }).await
    }
}

pub(crate) fn who(text: &str) -> AccountRef {
    AccountRef::parse(text).unwrap()
}

pub(crate) fn alice() -> Identity {
    Identity::of_address("alice@corp.example".parse().unwrap())
}

pub(crate) const LIST: &str = r#"
forest = "corp.example"
domain = "CORP"
domain_sid = "S-1-5-21-1-2-3"
next_rid = 1110

[[person]]
account = "alice"
sid = "S-1-5-21-1-2-3-1101"
mail = "alice@corp.example"

[[group]]
address = "staff@corp.example"
sid = "S-1-5-21-1-2-3-1105"
members = ["alice"]
"#;

/// Without alice.
pub(crate) const NOBODY: &str = r#"
forest = "corp.example"
domain = "CORP"
domain_sid = "S-1-5-21-1-2-3"
next_rid = 1110
"#;
