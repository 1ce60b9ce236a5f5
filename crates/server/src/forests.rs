//! Servers of other forests, asked about groups that only they can look into (MS-RMPRS 3.5; the
//! binary form of 2.3 by servers before RMS 1.0 SP2, and of them), with the Kerberos ticket of this
//! server's account.
//!
//! ```toml
//! [forests]
//! max_cross_forest_calls = 10
//!
//! [[forests.other]]
//! forest = "partner.example"
//! group_expansion = "https://rms.partner.example/_wmcs/groupexpansion/GroupExpansion.asmx"
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use openrms_directory::{
    CacheSettings, CachedForests, DirectoryError, ForeignForests, ForeignQuestion, ForestName,
    SecondLevel,
};
use openrms_negotiate::{Initiator, NegotiateError};
use openrms_protocol::binary_group_expansion::{self as binary, ProductVersion};
use openrms_protocol::group_expansion::{
    IsPrincipalMemberOf, IsPrincipalMemberOfResponse, MAX_CROSS_FOREST_CALLS, PrincipalName,
};
use openrms_protocol::{
    Contract, Feature, Limits, Operation, OperationName, ServiceLevel, SoapVersion, VersionData,
    encode_request, parse_response,
};
use serde::Deserialize;

use crate::outbound::{self, OutboundError};

/// The other forests, and how far questions may go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForestsConfig {
    /// How many servers a question may go through (`MaxCrossForestCalls`); with 0 or 1 no other
    /// forest is asked.
    pub max_cross_forest_calls: u32,
    /// File with the Kerberos ticket that is shown to other servers; the one of the account that
    /// this server runs as when absent.
    pub tickets: Option<PathBuf>,
    /// PEM file with further authorities of the other servers' certificates.
    pub authorities: Option<PathBuf>,
    /// The forests whose servers are asked.
    pub other: Vec<OtherForest>,
}

/// A forest whose server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherForest {
    /// Its name.
    pub forest: ForestName,
    /// URL of the group expansion service of its root cluster.
    pub group_expansion: String,
    /// Whether it speaks the binary form alone, as servers before RMS 1.0 SP2 do.
    #[serde(default)]
    pub binary: bool,
}

/// Why other forests cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ForestsError {
    /// A file cannot be read.
    #[error("[forests] {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// HTTP cannot be set up.
    #[error("[forests] {0}")]
    Outbound(#[from] OutboundError),
    /// A URL by which passwords' equals would travel in the clear, or none at all.
    #[error("[forests] {0:?} is not an https URL")]
    NotHttps(String),
}

/// Asks over HTTP.
pub(crate) struct HttpForests {
    asking: Arc<Asking>,
    max_calls: u32,
    counters: Arc<ForestCounters>,
}

/// Questions to other forests since the start.
#[derive(Debug, Default)]
pub(crate) struct ForestCounters {
    pub(crate) asked: AtomicU64,
    pub(crate) failed: AtomicU64,
}

struct Asking {
    agent: ureq::Agent,
    tickets: Option<PathBuf>,
    servers: HashMap<ForestName, Server>,
}

/// A server of another forest, as it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    url: String,
    form: Form,
}

/// A way to ask, and to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Soap,
    Binary(ProductVersion),
}

/// What is sent.
struct Question {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Default for ForestsConfig {
    fn default() -> Self {
        Self {
            max_cross_forest_calls: MAX_CROSS_FOREST_CALLS,
            tickets: None,
            authorities: None,
            other: Vec::new(),
        }
    }
}

impl ForestsConfig {
    /// Paths that start at `base`.
    pub(crate) fn below(mut self, base: &Path) -> Self {
        for path in [&mut self.tickets, &mut self.authorities]
            .into_iter()
            .flatten()
        {
            *path = base.join(&path);
        }
        self
    }

    /// Prepares asking, with answers kept as those of the own directory are.
    pub(crate) fn open(
        &self,
        level: ServiceLevel,
        cache: &CacheSettings,
        second_level: Option<&Arc<SecondLevel>>,
        counters: &Arc<ForestCounters>,
    ) -> Result<CachedForests<HttpForests>, ForestsError> {
        for other in &self.other {
            if !other.group_expansion.starts_with("https://") {
                return Err(ForestsError::NotHttps(other.group_expansion.clone()));
            }
        }
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| ForestsError::File(path.clone(), error))
        };
        let further = self.authorities.as_ref().map(read).transpose()?;
        let servers = self
            .other
            .iter()
            .map(|other| (other.forest.clone(), Server::new(other, level)));
        let forests = HttpForests {
            asking: Arc::new(Asking {
                agent: outbound::agent(further.as_deref(), None, WHOLE_TIME)?,
                tickets: self.tickets.clone(),
                servers: servers.collect(),
            }),
            max_calls: self.max_cross_forest_calls,
            counters: Arc::clone(counters),
        };
        let forests = CachedForests::new(forests, cache);
        Ok(match second_level {
            Some(level) => forests.with_second_level(level),
            None => forests,
        })
    }
}

#[async_trait]
impl ForeignForests for HttpForests {
    async fn is_member(&self, question: ForeignQuestion<'_>) -> Result<bool, DirectoryError> {
        let Some(server) = self.asking.servers.get(question.forest) else {
            tracing::debug!(forest = %question.forest, "a forest that is not asked");
            return Ok(false);
        };
        let (asking, server) = (Arc::clone(&self.asking), server.clone());
        let name = |address: &openrms_directory::Address| {
            PrincipalName::Mail(address.as_str()).to_string()
        };
        let groups = question.groups.iter().map(name).collect();
        let asked = IsPrincipalMemberOf {
            cross_forest_calls_so_far: question.calls,
            ..IsPrincipalMemberOf::new(name(question.who), groups)
        };
        let directory = question.forest.to_string();
        self.counters.asked.fetch_add(1, Relaxed);
        let answer = tokio::task::spawn_blocking(move || asking.ask(&server, asked)).await;
        if !matches!(answer, Ok(Ok(_))) {
            self.counters.failed.fetch_add(1, Relaxed);
        }
        match answer {
            Ok(Ok(is_member)) => Ok(is_member),
            Ok(Err(reason)) => {
                tracing::warn!(forest = directory, reason, "another forest did not answer");
                Err(DirectoryError::Unreachable { directory, reason })
            }
            Err(error) => Err(DirectoryError::Unreachable {
                directory,
                reason: error.to_string(),
            }),
        }
    }

    fn max_calls(&self) -> u32 {
        self.max_calls
    }
}

impl Server {
    /// As a server of that level asks: one that does not know the SOAP form asks in the other one,
    /// which every server answers.
    fn new(other: &OtherForest, level: ServiceLevel) -> Self {
        let url = other.group_expansion.clone();
        let binary = Form::Binary(ProductVersion::of_level(level));
        if other.binary {
            Self { url, form: binary }
        } else if level.has(Feature::SoapGroupExpansion) {
            let form = Form::Soap;
            Self { url, form }
        } else {
            let url = binary_beside(&url);
            Self { url, form: binary }
        }
    }
}

impl Form {
    fn question(self, question: IsPrincipalMemberOf) -> Question {
        match self {
            Self::Binary(version) => Question {
                headers: vec![
                    ("Content-Type", binary::http::CONTENT_TYPE.to_owned()),
                    ("User-Agent", binary::http::USER_AGENT.to_owned()),
                ],
                body: binary::encode_request(&binary::Request { version, question }),
            },
            Self::Soap => {
                let contract = Contract::GroupExpansion;
                let action = contract.soap_action(OperationName::IsPrincipalMemberOf);
                let kind = SoapVersion::V11.request_content_type(&action);
                let operation = Operation::IsPrincipalMemberOf(question);
                let version = Some(VersionData::CLIENT);
                let body = encode_request(SoapVersion::V11, contract, version, &operation);
                Question {
                    headers: vec![
                        ("Content-Type", kind),
                        ("SOAPAction", format!("\"{action}\"")),
                    ],
                    body: body.into_bytes(),
                }
            }
        }
    }

    /// Whether somebody is a member; else, in words, why that is not known.
    fn answer(self, body: &[u8]) -> Result<bool, String> {
        let limits = Limits::client();
        if let Self::Binary(_) = self {
            return match binary::parse_response(body, &limits) {
                Ok(binary::Response::Answer(answer)) => Ok(answer.is_member),
                Ok(binary::Response::Exception(exception)) => Err(exception.text()),
                Err(error) => Err(error.to_string()),
            };
        }
        let parsed = parse_response(OperationName::IsPrincipalMemberOf, body, &limits)
            .map_err(|error| error.to_string())?;
        let response = parsed.outcome.map_err(|fault| fault.fault_string())?;
        IsPrincipalMemberOfResponse::try_from(response)
            .map(|response| response.is_member)
            .map_err(|error| error.to_string())
    }
}

/// The endpoint of the binary form at the server that has the SOAP form at this URL.
fn binary_beside(url: &str) -> String {
    let below = url.to_ascii_lowercase().find("/_wmcs/");
    match below.and_then(|at| url.get(..at)) {
        Some(base) => binary::http::url(base),
        None => url.to_owned(),
    }
}

impl Asking {
    /// Whether somebody is a member; else, in words, why that is not known.
    fn ask(&self, server: &Server, question: IsPrincipalMemberOf) -> Result<bool, String> {
        let answer = self.post(&server.url, &server.form.question(question))?;
        server.form.answer(&answer)
    }

    /// Posts with a ticket, and believes no server that cannot prove with it who it is.
    fn post(&self, url: &str, question: &Question) -> Result<Vec<u8>, String> {
        let ticket = |error: NegotiateError| error.to_string();
        let mut initiator = self.initiator(url).map_err(ticket)?;
        let mut request = self.agent.post(url);
        for (name, value) in &question.headers {
            request = request.header(*name, value);
        }
        let mut answer = request
            .header("Authorization", initiator.authorization().map_err(ticket)?)
            .send(&question.body[..])
            .map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if !matches!(status, 200 | 500) {
            return Err(format!("HTTP status {status}"));
        }
        let fields = answer.headers().get_all("www-authenticate").iter();
        initiator
            .check_proof(fields.filter_map(|value| value.to_str().ok()))
            .map_err(ticket)?;
        outbound::read(&mut answer, MAX_ANSWER).map_err(|error| error.to_string())
    }

    fn initiator(&self, url: &str) -> Result<Initiator, NegotiateError> {
        let target = format!("HTTP@{}", outbound::host(url));
        match &self.tickets {
            Some(tickets) => Initiator::with_ticket_file(&target, tickets),
            None => Initiator::new(&target),
        }
    }
}

const WHOLE_TIME: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests;
