//! The statements of the configuration database, which are the same for every back end: this
//! module is compiled once for each, with the types of its driver. What differs is in the module
//! above: how a connection is had, what a transaction is, and what errors are called.

mod change;
mod cluster;
mod configuration;
mod records;
mod transfer;

use async_trait::async_trait;
use sqlx::Transaction;
use uuid::Uuid;

use super::{Arguments, Backend, Connection, Db, LOCKED_VERSION, Row, fault, part};
use crate::{
    AuthorityRole, Change, ClusterServer, ConfigurationSnapshot, ConfigurationVersion,
    IssuedCertificate, KeyProtection, RowSink, RowSource, Store, StoreError, StoredKey, Upgrade,
};

#[async_trait]
impl Store for Backend {
    async fn configuration_version(&self) -> Result<ConfigurationVersion, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            configuration::version(&mut connection).await
        })
        .await
    }

    async fn snapshot(&self) -> Result<ConfigurationSnapshot, StoreError> {
        self.run(move || async move {
            let mut transaction = self.begin_reading().await?;
            let done = configuration::read(&mut transaction).await?;
            commit(transaction).await?;
            Ok(done)
        })
        .await
    }

    async fn apply(
        &self,
        changes: &[Change],
        expected: Option<ConfigurationVersion>,
    ) -> Result<ConfigurationVersion, StoreError> {
        self.run(move || async move {
            let mut transaction = self.begin_writing().await?;
            let found = configuration::locked_version(&mut transaction).await?;
            if let Some(expected) = expected.filter(|&expected| expected != found) {
                return Err(StoreError::VersionConflict { expected, found });
            }
            if changes.is_empty() {
                return Ok(found);
            }
            for change in changes {
                change::apply(&mut transaction, change).await?;
            }
            let version = found.next();
            change::set_version(&mut transaction, version).await?;
            self.announce(&mut transaction).await?;
            commit(transaction).await?;
            Ok(version)
        })
        .await
    }

    async fn user_key(&self, account: &str) -> Result<Option<StoredKey>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            records::user_key(&mut connection, account).await
        })
        .await
    }

    async fn insert_user_key(
        &self,
        account: &str,
        key: StoredKey,
    ) -> Result<StoredKey, StoreError> {
        let key = &key;
        self.run(move || async move {
            let mut connection = self.writer().await?;
            records::insert_user_key(&mut connection, account, key).await
        })
        .await
    }

    async fn delete_user_keys(&self, account: &str) -> Result<bool, StoreError> {
        self.run(move || async move {
            let mut transaction = self.begin_writing().await?;
            let done = records::delete_user_keys(&mut transaction, account).await?;
            commit(transaction).await?;
            Ok(done)
        })
        .await
    }

    async fn client_key(
        &self,
        account: &str,
        rac_key: &[u8],
    ) -> Result<Option<StoredKey>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            records::client_key(&mut connection, account, rac_key).await
        })
        .await
    }

    async fn insert_client_key(
        &self,
        account: &str,
        rac_key: &[u8],
        key: StoredKey,
    ) -> Result<StoredKey, StoreError> {
        let key = &key;
        self.run(move || async move {
            let mut connection = self.writer().await?;
            records::insert_client_key(&mut connection, account, rac_key, key).await
        })
        .await
    }

    async fn record_issued(&self, certificate: &IssuedCertificate) -> Result<(), StoreError> {
        self.run(move || async move {
            let mut connection = self.writer().await?;
            records::record_issued(&mut connection, certificate).await
        })
        .await
    }

    async fn issued(&self, guid: Uuid) -> Result<Option<IssuedCertificate>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            records::issued(&mut connection, guid).await
        })
        .await
    }

    async fn certified_users(&self) -> Result<u64, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            records::certified_users(&mut connection).await
        })
        .await
    }

    async fn authority_roles(&self) -> Result<Vec<AuthorityRole>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            records::authority_roles(&mut connection).await
        })
        .await
    }

    async fn key_protection(&self) -> Result<Option<KeyProtection>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            cluster::key_protection(&mut connection).await
        })
        .await
    }

    async fn set_key_protection(
        &self,
        document: &str,
        replaces: Option<i64>,
    ) -> Result<KeyProtection, StoreError> {
        self.run(move || async move {
            let mut transaction = self.begin_writing().await?;
            let done = cluster::set_key_protection(&mut transaction, document, replaces).await?;
            self.announce(&mut transaction).await?;
            commit(transaction).await?;
            Ok(done)
        })
        .await
    }

    async fn register_server(&self, server: &ClusterServer) -> Result<(), StoreError> {
        self.run(move || async move {
            let mut connection = self.writer().await?;
            cluster::register_server(&mut connection, server).await
        })
        .await
    }

    async fn servers(&self) -> Result<Vec<ClusterServer>, StoreError> {
        self.run(move || async move {
            let mut connection = self.reader().await?;
            cluster::servers(&mut connection, self.schema).await
        })
        .await
    }

    async fn record_upgrade(
        &self,
        name: &str,
        service_level: Option<&str>,
        upgrade: Option<&Upgrade>,
    ) -> Result<bool, StoreError> {
        self.run(move || async move {
            let mut connection = self.writer().await?;
            cluster::record_upgrade(&mut connection, name, service_level, upgrade).await
        })
        .await
    }

    async fn remove_server(&self, name: &str) -> Result<bool, StoreError> {
        self.run(move || async move {
            let mut connection = self.writer().await?;
            cluster::remove_server(&mut connection, name).await
        })
        .await
    }

    async fn changed(&self) {
        self.wait_for_change().await;
    }

    async fn export(&self, sink: &mut dyn RowSink) -> Result<(), StoreError> {
        let mut transaction = part(self.begin_reading()).await?;
        part(self.take_time(&mut transaction)).await?;
        transfer::export(&mut transaction, sink).await?;
        part(commit(transaction)).await
    }

    async fn import(&self, source: &mut dyn RowSource) -> Result<(), StoreError> {
        let mut transaction = part(self.begin_writing()).await?;
        part(self.take_time(&mut transaction)).await?;
        transfer::import(&mut transaction, source).await?;
        part(self.announce(&mut transaction)).await?;
        part(commit(transaction)).await
    }

    async fn close(&self) {
        self.close_all().await;
    }
}

async fn commit(transaction: Transaction<'_, Db>) -> Result<(), StoreError> {
    let committed = transaction.commit().await;
    committed.map_err(|error| fault::database(&error))
}
