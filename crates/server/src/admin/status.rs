//! The state of a cluster, gathered for people and programs.

use openrms_engine::Cluster;
use openrms_engine::cluster::server_version;
use openrms_protocol::{CertificateChain, Service};
use openrms_store::StoreError;
use openrms_xrml::{Node, Time};
use serde::Serialize;

use crate::access::Access;
use crate::decommission;
use crate::http::Core;
use crate::repo::ChannelStatus;
use crate::slc::{self, Notice};
use crate::template::{self, Summary};

/// The state of a cluster.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) name: String,
    pub(super) version: &'static str,
    /// As which version of RMS this server behaves.
    pub(super) service_level: &'static str,
    pub(super) server_version: String,
    pub(super) mode: u8,
    pub(super) decommissioned: bool,
    /// What is left, once the cluster is decommissioned.
    pub(super) decommission: Option<Decommission>,
    pub(super) configuration_version: u32,
    pub(super) urls: Urls,
    /// Base URL of the root cluster, where this is a licensing cluster.
    pub(super) root_cluster: Option<String>,
    pub(super) slc: Slc,
    /// The server, then who certified it, up to the root.
    pub(super) hierarchy: Vec<String>,
    pub(super) certified_users: u64,
    /// The forest the directory answers for.
    pub(super) forest: String,
    /// People in the list; absent where an organisation's directory is asked.
    pub(super) people: Option<usize>,
    pub(super) groups: Option<usize>,
    pub(super) templates: Vec<Summary>,
    pub(super) caches: Caches,
    /// How the private keys are kept.
    pub(super) key_protection: &'static str,
    pub(super) key_pool: usize,
    pub(super) connections: usize,
    pub(super) log: bool,
    /// The packages that are handed out.
    pub(super) channel: Option<ChannelStatus>,
}

#[derive(Debug, Serialize)]
pub(super) struct Urls {
    pub(super) base: String,
    pub(super) certification: String,
    pub(super) licensing: String,
}

/// What a decommissioned cluster still does.
#[derive(Debug, Serialize)]
pub(super) struct Decommission {
    pub(super) since: Option<String>,
    pub(super) url: String,
    /// Who gets content keys.
    pub(super) open_to: String,
    /// Whose content: the cluster's own keys first, then trusted publishing domains.
    pub(super) keys: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Slc {
    pub(super) enrolled: bool,
    pub(super) id: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) valid_until: Option<String>,
    pub(super) valid_now: bool,
    /// Negative when it has ended.
    pub(super) days_left: Option<i64>,
    /// Number of the event by which administrators are told (16, 17 or 18).
    pub(super) event: Option<u16>,
}

#[derive(Debug, Serialize)]
pub(super) struct Caches {
    pub(super) certificates: Cache,
    pub(super) licenses: Cache,
}

#[derive(Debug, Serialize)]
pub(super) struct Cache {
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Slc {
    fn of(cluster: &Cluster, now: Time) -> Self {
        let server = cluster.server().ok();
        let range = server.and_then(|server| server.slc.range());
        Self {
            enrolled: server.is_some(),
            id: server.map(|server| server.identity().object().id.clone()),
            fingerprint: server.map(|server| server.slc.key().fingerprint_hex()),
            valid_until: range.map(|range| range.until.to_string()),
            valid_now: cluster.may_issue(now),
            days_left: slc::days_left(cluster, now),
            event: Notice::of(cluster, now).map(Notice::event),
        }
    }
}

impl Status {
    /// Gathers it.
    pub(super) async fn gather(core: &Core) -> Result<Self, StoreError> {
        let state = &core.state;
        let snapshot = state.snapshot();
        let (cluster, level) = (&snapshot.cluster, state.config.service_level);
        let people = snapshot.accounts.list().map(|list| list.builtin.people());
        let cache = |(hits, misses)| Cache { hits, misses };
        Ok(Self {
            name: cluster.policies.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            service_level: level.name(),
            server_version: server_version(level, &cluster.policies).to_owned(),
            mode: cluster.mode.number(),
            decommissioned: cluster.policies.decommissioned,
            decommission: Decommission::gather(core).await?,
            configuration_version: cluster.version.number(),
            urls: Urls {
                base: cluster.base_url().to_owned(),
                certification: cluster.certification_url(),
                licensing: cluster.licensing_url(),
            },
            root_cluster: cluster.root.as_ref().map(|root| root.base_url.clone()),
            slc: Slc::of(cluster, crate::clock::now()),
            hierarchy: cluster
                .server()
                .map_or_else(|_| Vec::new(), |server| hierarchy(&server.chain)),
            certified_users: state.opened.store.certified_users().await?,
            forest: snapshot.accounts.directory().home_forest().to_string(),
            people: people.map(|people| people.people().len()),
            groups: people.map(|people| people.groups().len()),
            templates: template::list(cluster),
            caches: Caches {
                certificates: cache(state.caches.certificates.counts()),
                licenses: cache(state.caches.licenses.counts()),
            },
            key_protection: state.opened.protection.name(),
            key_pool: state.keys.level(),
            connections: state.connections.count(),
            log: state.config.logging.enabled,
            // What cannot be read is logged by whoever wanted a file of it.
            channel: state
                .repo
                .channel()
                .ok()
                .flatten()
                .map(|channel| channel.status(crate::clock::now())),
        })
    }
}

impl Decommission {
    async fn gather(core: &Core) -> Result<Option<Self>, StoreError> {
        let snapshot = core.state.snapshot();
        let cluster = &snapshot.cluster;
        if !cluster.policies.decommissioned {
            return Ok(None);
        }
        let stored = core.state.opened.store.snapshot().await?;
        let own = stored.licensor_keys.iter().map(|key| key.id.clone());
        let domains = stored.trusted_publishing_domains.iter();
        let open_to = match core.state.access(&snapshot, Service::Decommission) {
            Access::Closed => "nobody".to_owned(),
            Access::Here => "programs on this machine".to_owned(),
            Access::Anyone | Access::SignedIn => "whoever signs in".to_owned(),
            Access::Members(groups) => {
                let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
                format!("members of {}", groups.join(", "))
            }
        };
        Ok(Some(Self {
            since: decommission::since(&stored).map(|since| since.to_string()),
            url: Service::Decommission.url(cluster.base_url()),
            open_to,
            keys: own
                .chain(domains.map(|domain| domain.friendly_name.clone()))
                .collect(),
        }))
    }
}

/// Names from the SLC up to the root.
fn hierarchy(chain: &CertificateChain<'_>) -> Vec<String> {
    let nodes: Vec<_> = chain
        .iter()
        .filter_map(|text| Node::parse(text.as_str()).ok())
        .collect();
    let name = |object: &openrms_xrml::Object| object.name.clone().unwrap_or(object.id.clone());
    let principals = nodes
        .iter()
        .filter_map(|node| node.content().principal.as_ref());
    let mut names: Vec<_> = principals
        .map(|principal| name(&principal.object))
        .collect();
    let root = nodes.last().and_then(openrms_xrml::Identity::of_issuer);
    names.extend(root.map(|root| name(root.object())));
    names
}
