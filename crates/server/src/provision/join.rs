//! One more server for a cluster that is there. Everything it needs to know is in the database, but
//! for what opens the keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use openrms_protocol::ServiceLevel;
use openrms_store::Found;
use serde::Serialize;

use super::url::BaseUrl;
use super::{OneServer, ProvisionError, prepare_folder};
use crate::config::{Config, Tls};
use crate::credential::Credential;
use crate::data_dir::DataDir;
use crate::database::{Database, DatabaseServer};
use crate::key_protection::{self, KeyAccess};
use crate::open::{OpenError, blocking};

/// What a further server is made of.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The data directory; it is made.
    pub data: PathBuf,
    /// The cluster's database.
    pub database: DatabaseServer,
    /// What opens the keys.
    pub credential: Credential,
    /// The security module's library, where it is another one than where the cluster was set up.
    pub library: Option<PathBuf>,
    /// Addresses for the configuration file; chosen after the URL when empty.
    pub listen: Vec<SocketAddr>,
    /// HTTPS for the configuration file.
    pub tls: Option<Tls>,
    /// The HTTP proxy by which this server asks others.
    pub proxy: Option<String>,
    /// What this server is called among those of the cluster; as the machine when absent.
    pub server_name: Option<String>,
    /// The version of RMS as which it behaves.
    pub service_level: ServiceLevel,
}

/// What joining did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// The cluster's base URL.
    pub url: String,
    /// The cluster's name.
    pub name: String,
    /// Where this server keeps what is its own.
    pub data: PathBuf,
    /// Whether it was of the cluster already, and nothing was done.
    pub already: bool,
}

/// Makes the data directory of one more server. It is tried first whether the keys open.
pub fn join(options: &JoinOptions) -> Result<Joined, ProvisionError> {
    let data = DataDir::new(&options.data);
    blocking(async || {
        let database = Database::Server(options.database.clone());
        let location = database.location().map_err(OpenError::Password)?;
        if location.inspect().await? != Found::Cluster {
            return Err(ProvisionError::NothingToJoin(location.to_string()));
        }
        let store = location.open().await?;
        let access = KeyAccess {
            key_file: data.master_key(),
            credential: options.credential.clone(),
            library: options.library.clone(),
        };
        let stored = store.snapshot().await?;
        let url = match (&stored.policies.base_url, stored.current_licensor_key()) {
            (Some(url), Some(_)) => BaseUrl::parse(url)?,
            _ => return Err(ProvisionError::NothingToJoin(location.to_string())),
        };
        key_protection::unlock(&*store, &access).await?;
        store.close().await;
        let done = |already| Joined {
            url: url.base.clone(),
            name: stored.policies.name.clone(),
            data: options.data.clone(),
            already,
        };
        if data.config().exists() {
            let there = Config::load(&data.config())?;
            if there.url.as_ref() == Some(&url.base) && there.database == database {
                return Ok(done(true));
            }
            return Err(ProvisionError::OtherServer {
                data: options.data.clone(),
                url: there.url.unwrap_or_default(),
            });
        }
        let _held = prepare_folder(&data)?;
        let file = |error| ProvisionError::File(data.admin_token(), error);
        data.make_admin_token().map_err(file)?;
        let server = OneServer {
            listen: &options.listen,
            tls: options.tls.as_ref(),
            database: Some(&options.database),
            credential: &options.credential,
            library: options.library.as_deref(),
            proxy: options.proxy.as_deref(),
            server_name: options.server_name.as_deref(),
            service_level: options.service_level,
            root_cluster: None,
        };
        server.write(&data, &url)?;
        Ok(done(false))
    })
}
