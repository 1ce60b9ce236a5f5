//! [`ForestSource`] over the network: the service connection point of the forest (MS-RMPR 3.8.3.2),
//! asked for with the Kerberos ticket of whoever is logged on. The controller proves with its own
//! key that it is one, and all it says is sealed.

use std::time::Duration;

use openrms_directory::dns::{HostName, NameServer, Resolver, Services, Target};
use openrms_directory::scp::{self, CertificationUrl, ScpError};
use openrms_directory::{LdapSecrets, LdapSettings, LdapSignIn};
use openrms_negotiate::{TicketSource, Tickets};

use super::search::{ForestError, ForestSource};
use crate::url::ServerUrl;

/// The forest of whoever is logged on.
#[derive(Debug, Clone)]
pub struct Forest {
    name_servers: Vec<NameServer>,
    tickets: TicketSource,
}

impl Forest {
    /// The forest of the person's own ticket. Its controllers are found by these name servers; by
    /// the machine's own when there are none.
    pub fn of_own_ticket(name_servers: &[NameServer]) -> Self {
        Self {
            name_servers: name_servers.to_vec(),
            tickets: TicketSource::Own,
        }
    }

    async fn find(&self, domain: &HostName) -> Result<Option<CertificationUrl>, ForestError> {
        let resolver = Resolver::new(&self.name_servers, LIMIT).map_err(reason)?;
        let controllers = resolver.services(CONTROLLERS, domain.as_str()).await;
        let Services::At(controllers) = controllers.map_err(reason)? else {
            return Err(reason(format!("DNS names no controllers of {domain}")));
        };
        // Kerberos goes by the name: no addresses here.
        let url = |target: &Target| format!("ldap://{}:{}", target.host, target.port);
        let servers = controllers.iter().take(MOST_TRIED);
        let servers: Result<Vec<_>, _> = servers.map(|target| url(target).parse()).collect();
        let settings = LdapSettings {
            forest: Some(domain.as_str().parse().map_err(reason)?),
            servers: servers.map_err(reason)?,
            ..LdapSettings::default()
        };
        let secrets = LdapSecrets {
            sign_in: LdapSignIn::Kerberos(self.tickets.clone()),
            roots: Vec::new(),
        };
        match scp::find(&settings, secrets).await {
            Ok(url) => Ok(Some(url)),
            Err(ScpError::None) => Ok(None),
            Err(error) => Err(reason(error)),
        }
    }
}

impl ForestSource for Forest {
    fn realm(&self) -> Option<HostName> {
        let principal = Tickets::new(self.tickets.clone()).ok()?.principal().ok()?;
        let (_, realm) = principal.rsplit_once('@')?;
        realm.parse().ok()
    }

    fn find_service_connection_point(
        &self,
        domain: &HostName,
    ) -> Result<Option<ServerUrl>, ForestError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(reason)?;
        let found = runtime.block_on(self.find(domain))?;
        found
            .map(|url| url.as_str().parse().map_err(reason))
            .transpose()
    }
}

fn reason(error: impl std::fmt::Display) -> ForestError {
    ForestError {
        reason: error.to_string(),
    }
}

/// MS-ADTS 6.3.2.3. Every controller has the configuration of the forest.
const CONTROLLERS: &str = "_ldap._tcp.dc._msdcs";
const LIMIT: Duration = Duration::from_secs(5);
const MOST_TRIED: usize = 5;
