//! The directory services database, put behind what this server remembers of directories.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use openrms_directory::{
    AnswerKind, AnswerSeal, AnswerStore, AnswerStoreError, FoundAnswer, KeptAnswer, MAX_SEALED,
    SecondLevel, StoredAnswer, WallClock,
};
use openrms_store::{
    DirectoryCache, Location, NewAnswer, PostgresDirectoryCache, SqliteDirectoryCache, StoreError,
};
use tokio::runtime::Handle;

use crate::clock;
use crate::config::Config;
use crate::directory::DirectoryConfig;
use crate::events::Event;
use crate::open::{OpenError, Opened};

/// Opens the database. A server can do without: what is wrong is logged, and then the directory
/// alone is asked.
pub(crate) async fn open(
    directory: &DirectoryConfig,
    config: &Config,
    opened: &Opened,
    runtime: &Handle,
) -> Option<Arc<SecondLevel>> {
    if !directory.cache.database {
        return None;
    }
    let seal = AnswerSeal::new(&*opened.answers, &whose_answers(directory, config))
        .inspect_err(|error| {
            Event::PartFailed.emit(format_args!(
                "answers of the directory cannot be sealed: {error}"
            ));
        })
        .ok()?;
    let database = connect(config)
        .await
        .inspect_err(|error| {
            Event::PartFailed.emit(format_args!(
                "answers of the directory are kept in memory only: {error}"
            ));
        })
        .ok()?;
    let clock = WallClock::new(clock::since_1970, Arc::new(Instant::now));
    let store = Arc::new(Database(database));
    Some(SecondLevel::start(store, seal, clock, runtime))
}

/// Beside the database of the cluster: in a file of this server's own, or at the database server,
/// where all servers of the cluster share it.
async fn connect(config: &Config) -> Result<Box<dyn DirectoryCache>, OpenError> {
    if let Location::Postgres(location) = config.database.location()? {
        return Ok(Box::new(PostgresDirectoryCache::open(&location).await?));
    }
    let path = config.data.directory_database();
    let opened = SqliteDirectoryCache::open(&path).await?;
    if let Some((aside, why)) = &opened.set_aside {
        let (path, aside) = (path.display(), aside.display());
        tracing::warn!(%path, %why, %aside, "set aside: the directory is asked anew");
    }
    Ok(Box::new(opened.cache))
}

/// Says whom is asked for answers, as whom and within which bounds: after another word about it
/// in the configuration file, earlier answers are none.
fn whose_answers(directory: &DirectoryConfig, config: &Config) -> String {
    let ldap = &directory.ldap;
    let asked = (
        &ldap.forest,
        &ldap.base_dn,
        &ldap.domain,
        &directory.service_account,
    );
    let bounds = (ldap.nesting_depth, ldap.groups_of_one);
    let forests = config.forests.as_ref().map(|forests| &forests.other);
    format!("{asked:?} {bounds:?} {forests:?}")
}

/// The database of the store, as the directory's cache wants it.
struct Database(Box<dyn DirectoryCache>);

#[async_trait]
impl AnswerStore for Database {
    async fn find(
        &self,
        kind: AnswerKind,
        question: &[u8; 32],
    ) -> Result<FoundAnswer, AnswerStoreError> {
        let found = self.0.find(kind.as_str(), question, MAX_SEALED).await;
        let (generation, answer) = found.map_err(failed)?;
        let answer = answer.map(|answer| StoredAnswer {
            asked: answer.asked,
            expires: answer.expires,
            sealed: answer.sealed,
        });
        Ok(FoundAnswer { generation, answer })
    }

    async fn keep(&self, answers: &[KeptAnswer]) -> Result<(), AnswerStoreError> {
        let answers = answers.iter().map(|kept| NewAnswer {
            kind: kept.kind.as_str(),
            question: &kept.question,
            generation: kept.generation,
            asked: kept.answer.asked,
            expires: kept.answer.expires,
            sealed: &kept.answer.sealed,
        });
        let answers: Vec<_> = answers.collect();
        self.0.keep(&answers).await.map_err(failed)
    }

    async fn prune(&self, kind: AnswerKind, most: u64, now: i64) -> Result<(), AnswerStoreError> {
        let pruned = self.0.prune(kind.as_str(), most, now).await;
        pruned.map_err(failed)
    }

    async fn forget(&self) -> Result<(), AnswerStoreError> {
        self.0.forget().await.map_err(failed)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

fn failed(error: StoreError) -> AnswerStoreError {
    AnswerStoreError(Box::new(error))
}
