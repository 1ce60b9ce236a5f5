//! One connection to a directory, and the search for service connection points in the configuration
//! of its forest (MS-RMPR 3.1.4.4).

use std::sync::Arc;
use std::time::Duration;

use ldap3::Scope;

use super::{ATTRIBUTES, KEYWORDS, SERVICE_CONNECTION_POINT, Scp, ScpError};
use crate::DirectoryError;
use crate::ldap::connection::{Change, Connection, Connector, Failure, Search};
use crate::ldap::entry::{Entry, invalid};
use crate::ldap::layout::search;
use crate::ldap::secrets::LdapSecrets;
use crate::ldap::settings::{LdapSettings, LdapSettingsError, ServerUrl};

/// One connection, and where the forest keeps its configuration.
pub(super) struct Session {
    connection: Arc<Connection>,
    server: ServerUrl,
    limit: Duration,
    page_size: u16,
    pub(super) configuration: String,
}

impl Session {
    pub(super) async fn open(
        settings: &LdapSettings,
        servers: Vec<ServerUrl>,
        secrets: LdapSecrets,
    ) -> Result<Self, ScpError> {
        settings.check()?;
        let name = secrets.sign_in.name().to_owned();
        let connector = Arc::new(Connector::new(settings, secrets)?);
        let mut last = None;
        for server in servers {
            match connector.connect(&server).await {
                Ok(connection) => {
                    let mut session = Self {
                        connection: Arc::new(connection),
                        server,
                        limit: Duration::from_secs(settings.ldap_time_out),
                        page_size: settings.page_size,
                        configuration: String::new(),
                    };
                    session.configuration = session.read_configuration().await?;
                    return Ok(session);
                }
                // Trying the same password everywhere would lock the account out.
                Err(Failure::Refused) => return Err(ScpError::SignIn { name }),
                Err(failure) => {
                    tracing::warn!(%server, ?failure, "directory server failed");
                    last = Some(directory_error(&server, failure));
                }
            }
        }
        let none = LdapSettingsError::TooFewServers { least: 1 };
        Err(last.map_or(none.into(), ScpError::Directory))
    }

    async fn read_configuration(&self) -> Result<String, ScpError> {
        let attribute = ["configurationNamingContext"];
        let any = "(objectClass=*)";
        let root = self
            .search(search("", Scope::Base, any, &attribute, 1))
            .await?;
        let name = root
            .first()
            .and_then(|root| root.text("configurationnamingcontext"));
        let missing = || invalid("rootDSE", "without a configuration naming context");
        Ok(name.ok_or_else(missing)?.to_owned())
    }

    /// As clients search. Not in the domains: there any computer may make such an object below its
    /// own, and lead people astray.
    pub(super) async fn found(&self) -> Result<Vec<Scp>, ScpError> {
        let [keyword, version] = KEYWORDS;
        let class = SERVICE_CONNECTION_POINT;
        let filter = format!(
            "(&(|(objectClass={class})(objectCategory={class}))\
             (keywords={keyword})(keywords={version}))"
        );
        let base = &self.configuration;
        let found = self
            .search(search(
                base,
                Scope::Subtree,
                &filter,
                &ATTRIBUTES,
                MOST_FOUND + 1,
            ))
            .await?;
        if found.len() > MOST_FOUND {
            let what = "service connection points of a forest";
            return Err(DirectoryError::LimitExceeded { what }.into());
        }
        Ok(found.iter().map(Scp::read).collect())
    }

    pub(super) async fn search(&self, search: Search) -> Result<Vec<Entry>, ScpError> {
        self.connection
            .search(&search, self.page_size, self.limit)
            .await
            .map_err(|failure| self.error(&search.base, failure))
    }

    pub(super) async fn change(&self, dn: &str, change: Change) -> Result<u32, ScpError> {
        self.connection
            .change(dn, change, self.limit)
            .await
            .map_err(|failure| self.error(dn, failure))
    }

    fn error(&self, dn: &str, failure: Failure) -> ScpError {
        match failure {
            Failure::Refused => self.denied(dn),
            failure => directory_error(&self.server, failure).into(),
        }
    }

    pub(super) fn denied(&self, dn: &str) -> ScpError {
        ScpError::Denied {
            name: self.connection.name().to_owned(),
            dn: dn.to_owned(),
        }
    }
}

fn directory_error(server: &ServerUrl, failure: Failure) -> DirectoryError {
    let directory = server.to_string();
    match failure {
        Failure::Connect(reason) | Failure::Lost(reason) | Failure::Unwilling(reason) => {
            DirectoryError::Unreachable { directory, reason }
        }
        Failure::Timeout => DirectoryError::Timeout { directory },
        Failure::Refused => DirectoryError::Refused { directory },
        Failure::SignIn(reason) => DirectoryError::SignIn { directory, reason },
        Failure::Answer(error) => error,
    }
}

const MOST_FOUND: usize = 100;
