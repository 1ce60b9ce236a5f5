//! Rights policy templates as administrators write them: a small TOML or JSON description, signed
//! with the server's key (MS-RMPR 2.2.9.10).
//!
//! ```toml
//! names = [{ lcid = 1033, name = "Staff only", description = "Staff may read this." }]
//! valid_days = 90
//!
//! [[grant]]
//! who = "staff@corp.example"
//! rights = ["VIEW", "REPLY"]
//! ```

use std::collections::BTreeMap;

use openrms_engine::Cluster;
use openrms_protocol::level::NotAtLevel;
use openrms_protocol::{Feature, ServiceLevel};
use openrms_store::{Change, Store, StoreError, Template, TemplateState};
use openrms_xrml::names::LocalizedName;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsData, TemplateRequest};
use openrms_xrml::{Guid, Interval, Time};
use serde::{Deserialize, Serialize};

/// A template as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Identifier; a new one when absent. The one of a template that is there replaces it.
    pub id: Option<String>,
    /// Names by language; at least one.
    pub names: Vec<Name>,
    /// Who may do what.
    #[serde(default, alias = "grants")]
    pub grant: Vec<GrantDescription>,
    /// Days after publishing from which content cannot be used any more.
    pub valid_days: Option<u32>,
    /// Instant from which content cannot be used any more, `YYYY-MM-DDTHH:MM`, UTC.
    pub valid_until: Option<String>,
    /// Where to ask for more rights: a URL or `mailto:`.
    pub referral: Option<String>,
    /// Use licenses are not kept: each opening asks the server (`NOLICCACHE`).
    #[serde(default)]
    pub ask_every_time: bool,
    /// Content may be viewed in trusted browsers (`VIEWER`).
    #[serde(default)]
    pub browsers: bool,
    /// Data for applications, by name.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Whether clients are offered it; archived otherwise.
    #[serde(default = "yes")]
    pub published: bool,
}

/// Name and description in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Windows language code; 1033 is English.
    #[serde(default = "english")]
    pub lcid: u32,
    /// Name.
    pub name: String,
    /// Description.
    #[serde(default)]
    pub description: String,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantDescription {
    /// A mail address of a person or group, a SID, or `everyone`.
    pub who: String,
    /// Names of rights, such as `VIEW`.
    pub rights: Vec<String>,
    /// Days for which a use license stays good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// A template of a cluster, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Identifier.
    pub id: String,
    /// Names by language.
    pub names: Vec<Name>,
    /// Who may do what.
    pub grants: Vec<GrantDescription>,
    /// Days after publishing from which content cannot be used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_days: Option<u32>,
    /// Instant from which content cannot be used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Whether clients are offered it.
    pub published: bool,
}

/// Why there is no such template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The description cannot be read.
    #[error("not a template description: {0}")]
    Syntax(String),
    /// A field of it is wrong.
    #[error("{field}: {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Servers of this level have templates in one language alone.
    #[error("names: {0}")]
    Level(#[from] NotAtLevel),
    /// There is no template of that identifier.
    #[error("there is no template {0}")]
    Unknown(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Signing failed.
    #[error("the template cannot be signed: {0}")]
    Sign(String),
}

impl Description {
    /// Reads a description from TOML, or from JSON when it begins with `{`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let syntax = |error: String| TemplateError::Syntax(error);
        if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| syntax(error.to_string()))
        } else {
            toml::from_str(text).map_err(|error| syntax(error.to_string()))
        }
    }

    /// Application data: the two controls the specification knows (MS-RMPR 2.2.9.8.6), then others.
    fn app_data(&self) -> Vec<(String, String)> {
        let controls = [
            ("NOLICCACHE", self.ask_every_time),
            ("VIEWER", self.browsers),
        ];
        let on = controls.into_iter().filter(|(_, on)| *on);
        let pair = |(name, _): (&str, bool)| (name.to_owned(), "1".to_owned());
        let others = self
            .data
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        on.map(pair).chain(others).collect()
    }

    fn request(
        &self,
        id: Guid,
        cluster: &Cluster,
        now: Time,
    ) -> Result<TemplateRequest, TemplateError> {
        if self.names.is_empty() || self.names.iter().any(|name| name.name.trim().is_empty()) {
            return Err(wrong("names", "a template needs a name"));
        }
        // The form of names on the wire knows no way to write these.
        let unwritable = |text: &str| {
            text.contains(char::is_control) || MARKERS.iter().any(|marker| text.contains(marker))
        };
        if self
            .names
            .iter()
            .any(|n| unwritable(&n.name) || unwritable(&n.description))
        {
            return Err(wrong(
                "names",
                "holds a line break, or words that separate names",
            ));
        }
        let until = match &self.valid_until {
            Some(text) => Some(
                text.parse::<Time>()
                    .map_err(|error| wrong("valid_until", error))?,
            ),
            None => None,
        };
        if until.is_some() && self.valid_days.is_some() {
            return Err(wrong(
                "valid_until",
                "give valid_days or valid_until, not both",
            ));
        }
        let mut grants = Vec::new();
        for grant in &self.grant {
            let holder = grantee(&grant.who)?;
            if grant.rights.is_empty() {
                return Err(wrong(
                    "grant.rights",
                    format!("{} is granted nothing", grant.who),
                ));
            }
            for right in &grant.rights {
                let time = TimeCondition {
                    range: None,
                    days: grant.days,
                };
                let plain = RightGrant::new(parse_right(right)?, holder.clone());
                grants.push(RightGrant { time, ..plain });
            }
        }
        let start = now.floor_minute().plus(-86_400);
        Ok(TemplateRequest {
            id,
            issued: now.floor_minute(),
            names: self
                .names
                .iter()
                .map(|name| LocalizedName {
                    lcid: name.lcid,
                    name: name.name.trim().to_owned(),
                    description: name.description.trim().to_owned(),
                })
                .collect(),
            publishing_url: cluster.licensing_url(),
            referral: self.referral.clone(),
            precondition: TimeCondition {
                range: until.map(|until| Interval { from: start, until }),
                days: self.valid_days,
            },
            grants,
            app_data: self.app_data(),
        })
    }
}

/// Signs a template and stores it. Answers with its identifier.
pub async fn put(
    store: &dyn Store,
    cluster: &Cluster,
    level: ServiceLevel,
    description: &Description,
    now: Time,
) -> Result<Guid, TemplateError> {
    if description.names.len() > 1 {
        level.require(Feature::MultilingualTemplates)?;
    }
    let id = match &description.id {
        Some(id) => id.parse().map_err(|error| wrong("id", error))?,
        None => Guid::from_random(
            openrms_crypto::random::guid_bytes().map_err(|e| TemplateError::Sign(e.to_string()))?,
        ),
    };
    let server = cluster
        .server()
        .map_err(|error| TemplateError::Sign(error.to_string()))?;
    let xrml = description
        .request(id, cluster, now)?
        .sign(server.identity(), server.key.as_ref(), cluster.mode.hash())
        .map_err(|error| TemplateError::Sign(error.to_string()))?;
    // What would not be readable must not be stored: it would keep the cluster from starting.
    RightsData::parse(&xrml).map_err(|error| TemplateError::Sign(error.to_string()))?;
    let state = state(description.published);
    let template = Template {
        guid: id.0,
        xrml,
        state,
        updated: now.unix(),
    };
    store.apply(&[Change::PutTemplate(template)], None).await?;
    Ok(id)
}

/// Offers a template to clients, or not any more. Content published with it is licensed either
/// way.
pub async fn set_published(
    store: &dyn Store,
    id: &str,
    published: bool,
    now: Time,
) -> Result<(), TemplateError> {
    let mut template = find(store, id).await?;
    template.state = state(published);
    template.updated = now.unix();
    store.apply(&[Change::PutTemplate(template)], None).await?;
    Ok(())
}

/// Removes a template. Content published with it is licensed to nobody from now on; licenses given
/// before stay good until they end.
pub async fn remove(store: &dyn Store, id: &str) -> Result<(), TemplateError> {
    let template = find(store, id).await?;
    store
        .apply(&[Change::RemoveTemplate(template.guid)], None)
        .await?;
    Ok(())
}

/// The templates of a cluster, by name.
pub fn list(cluster: &Cluster) -> Vec<Summary> {
    let mut all: Vec<_> = cluster
        .templates()
        .map(|(id, template)| summary(*id, &template.rights, template.published))
        .collect();
    let key = |summary: &Summary| {
        (
            summary.names.first().map(|name| name.name.to_lowercase()),
            summary.id.clone(),
        )
    };
    all.sort_by_key(key);
    all
}

fn summary(id: Guid, rights: &RightsData, published: bool) -> Summary {
    let mut grants: Vec<GrantDescription> = Vec::new();
    for grant in rights.grants() {
        let who = match &grant.holder {
            Grantee::Anyone => "everyone".to_owned(),
            Grantee::Owner => "the author".to_owned(),
            Grantee::Sid(text) | Grantee::Address(text) | Grantee::Unknown(text) => text.clone(),
        };
        let (right, days) = (grant.right.name().to_owned(), grant.time.days);
        match grants
            .iter_mut()
            .find(|known| known.who == who && known.days == days)
        {
            Some(known) => known.rights.push(right),
            None => grants.push(GrantDescription {
                who,
                rights: vec![right],
                days,
            }),
        }
    }
    let precondition = rights.precondition();
    let name = |name: LocalizedName| Name {
        lcid: name.lcid,
        name: name.name,
        description: name.description,
    };
    Summary {
        id: id.to_string(),
        names: rights.names().into_iter().map(name).collect(),
        grants,
        valid_days: precondition.days,
        valid_until: precondition.range.map(|range| range.until.to_string()),
        published,
    }
}

async fn find(store: &dyn Store, id: &str) -> Result<Template, TemplateError> {
    let unknown = || TemplateError::Unknown(id.to_owned());
    let guid: Guid = id.parse().map_err(|_| unknown())?;
    let templates = store.snapshot().await?.templates;
    templates
        .into_iter()
        .find(|template| template.guid == guid.0)
        .ok_or_else(unknown)
}

fn grantee(who: &str) -> Result<Grantee, TemplateError> {
    let who = who.trim();
    if who.eq_ignore_ascii_case("everyone") || who.eq_ignore_ascii_case("anyone") {
        return Ok(Grantee::Anyone);
    }
    if who.contains('@') {
        let address: openrms_directory::Address =
            who.parse().map_err(|error| wrong("grant.who", error))?;
        return Ok(Grantee::Address(address.to_string()));
    }
    let Ok(sid) = who.parse::<openrms_directory::Sid>() else {
        let reason = format!("{who:?} is neither a mail address, a SID nor `everyone`");
        return Err(wrong("grant.who", reason));
    };
    Ok(Grantee::Sid(sid.to_string()))
}

fn parse_right(name: &str) -> Result<Right, TemplateError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = name.trim();
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(wrong(
            "grant.rights",
            format!("{name:?} is not the name of a right"),
        ));
    }
    Ok(Right::new(name))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "errors and texts are both handed over"
)]
fn wrong(field: &'static str, reason: impl ToString) -> TemplateError {
    TemplateError::Field {
        field,
        reason: reason.to_string(),
    }
}

fn state(published: bool) -> TemplateState {
    if published {
        TemplateState::Published
    } else {
        TemplateState::Archived
    }
}

const fn yes() -> bool {
    true
}

const fn english() -> u32 {
    1033
}

/// What separates names and descriptions of several languages on the wire.
const MARKERS: [&str; 3] = ["LCID ", ":NAME ", ":DESCRIPTION "];
