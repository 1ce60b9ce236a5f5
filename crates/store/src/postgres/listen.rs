//! Hearing from other servers of a cluster that the configuration has changed: LISTEN and NOTIFY.
//! Nobody relies on it, as not every database has it and a connection may be lost.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::fault::database;
use super::{Connection, PATIENCE, pool};
use crate::StoreError;

pub(super) struct Listening {
    /// Of one connection, which hears.
    pool: PgPool,
    supported: bool,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    listener: Option<PgListener>,
    /// Something may have been said since a connection was lost.
    missed: bool,
}

impl Listening {
    pub(super) async fn new(options: PgConnectOptions, connection: &mut Connection) -> Self {
        // Found out now: within a transaction it would end the transaction.
        let tried = sqlx::query("SELECT pg_notify('openrms_try', '')");
        let supported = tried.execute(connection).await.is_ok();
        Self {
            pool: pool(1, options),
            supported,
            heard: Mutex::default(),
        }
    }

    pub(super) async fn announce(&self, transaction: &mut Connection) -> Result<(), StoreError> {
        if self.supported {
            sqlx::query("SELECT pg_notify('openrms_changed', '')")
                .execute(transaction)
                .await
                .map_err(|error| database(&error))?;
        }
        Ok(())
    }

    /// Returns when something was announced, or when that may have been missed. Loses nothing when
    /// it is dropped before.
    pub(super) async fn wait(&self) {
        let mut heard = self.heard.lock().await;
        while self.supported && !self.pool.is_closed() {
            if heard.listener.is_none() {
                let Ok(listener) = self.listen().await else {
                    sleep(RETRY).await;
                    continue;
                };
                heard.listener = Some(listener);
                if std::mem::take(&mut heard.missed) {
                    return;
                }
            }
            if let Some(listener) = &mut heard.listener {
                if let Ok(Some(_)) = listener.try_recv().await {
                    while listener.next_buffered().is_some() {}
                    return;
                }
                *heard = Heard {
                    listener: None,
                    missed: true,
                };
            }
        }
        std::future::pending::<()>().await;
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.eager_reconnect(false);
        listener.listen("openrms_changed").await?;
        Ok(listener)
    }

    pub(super) async fn close(&self) {
        // Whoever waits is told by the pool, and drops the connection.
        let closed = self.pool.close();
        if let Ok(mut heard) = self.heard.try_lock() {
            heard.listener = None;
        }
        let _ = timeout(PATIENCE, closed).await;
    }
}

/// How long it takes to try again, after a connection was lost.
const RETRY: Duration = Duration::from_secs(2);
