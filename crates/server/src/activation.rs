//! Activation of clients of version 1.0 (MS-RMPR 3.2): done by this cluster's own authority, or passed
//! on as it is to the service of another one.
//!
//! ```toml
//! [activation]
//! service = "https://rms.example.com/_wmcs/certification/Activation.asmx"
//! ```

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{Mode, SoftwareKey};
use openrms_engine::Refusal;
use openrms_engine::activation::Activation;
use openrms_engine::keys::KeySource;
use openrms_protocol::activation::Activate;
use openrms_protocol::{FaultCode, HttpHead, OperationName, Service};
use openrms_xrml::Time;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::key_pool::KeyPool;
use crate::outbound::{self, OutboundError};
use crate::snapshot::Snapshot;
use crate::soap::{Carried, Form, Item, Outgoing, Trace, refuse};
use crate::state::{Gauge, State};

/// Where machines are activated, in a cluster without an authority of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationConfig {
    /// URL of the service that is asked.
    pub service: String,
    /// PEM file with further authorities of that server's certificate.
    pub authorities: Option<PathBuf>,
}

/// Why nobody can be activated by the service of another authority.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// Private keys would travel in the clear.
    #[error("[activation] {0:?} is not an https URL")]
    NotHttps(String),
    /// A file cannot be read.
    #[error("[activation] {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// HTTP cannot be set up.
    #[error("[activation] {0}")]
    Outbound(#[from] OutboundError),
}

/// Passes requests on.
pub(crate) struct ActivationProxy {
    agent: ureq::Agent,
    url: String,
    /// Bounded, so that two servers that name one another do not ask for ever.
    under_way: Gauge,
}

/// Bounds on activations that are done here, which anybody may ask for and which cost time.
pub(crate) struct Activations {
    admitted: Gauge,
    working: Semaphore,
}

impl ActivationConfig {
    /// Paths that start at `base`.
    pub(crate) fn below(mut self, base: &Path) -> Self {
        self.authorities = self.authorities.map(|path| base.join(path));
        self
    }

    /// Prepares asking, through `proxy` where there is one.
    pub(crate) fn open(&self, proxy: Option<&str>) -> Result<ActivationProxy, ActivationError> {
        if !is_private(&self.service) {
            return Err(ActivationError::NotHttps(self.service.clone()));
        }
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| ActivationError::File(path.clone(), error))
        };
        let further = self.authorities.as_ref().map(read).transpose()?;
        Ok(ActivationProxy {
            agent: outbound::agent(further.as_deref(), proxy, WHOLE_TIME)?,
            url: self.service.clone(),
            under_way: Gauge::new(PASSED_ON),
        })
    }
}

impl Default for Activations {
    fn default() -> Self {
        Self {
            admitted: Gauge::new(ADMITTED),
            working: Semaphore::new(WORKING),
        }
    }
}

/// Makes security processors.
pub(crate) async fn activate(
    state: &State,
    snapshot: &Snapshot,
    request: &Activate,
    now: Time,
) -> Result<Activation, Refusal> {
    let service = snapshot.activation.clone().ok_or_else(none_here)?;
    let busy = || Refusal::new(FaultCode::UnspecifiedError, "too many activations");
    let _admitted = state.activations.admitted.begin().ok_or_else(busy)?;
    let working = state.activations.working.acquire().await;
    let _working = working.map_err(|_| busy())?;
    let keys = Keys {
        pool: Arc::clone(&state.keys),
        mode: snapshot.cluster.mode,
    };
    let url = Service::Activation.url(snapshot.cluster.base_url());
    let request = request.clone();
    let work = move || service.activate(&request, &keys, &url, now);
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::new(FaultCode::UnspecifiedError, error)))
}

/// Passes a request on, and the answer back, be it a fault: neither is looked into.
pub(crate) async fn pass_on(
    state: &State,
    head: HttpHead<'_>,
    body: &[u8],
    form: Form,
) -> Outgoing {
    let failed = |refusal: &Refusal| {
        let mut outgoing = refuse(form, refusal);
        outgoing.trace.operation = Some(OperationName::Activate);
        outgoing
    };
    let Some(proxy) = &state.activation_proxy else {
        return failed(&none_here());
    };
    let unanswered = |reason: String| {
        let reason = format!("{}: {reason}", proxy.url);
        failed(&Refusal::new(FaultCode::UnspecifiedError, reason))
    };
    let Some(_under_way) = proxy.under_way.begin() else {
        return unanswered("too many requests are passed on already".into());
    };
    let asked = Asked {
        agent: proxy.agent.clone(),
        url: proxy.url.clone(),
        headers: [
            ("content-type", head.content_type),
            ("soapaction", head.soap_action),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())))
        .collect(),
        body: body.to_vec(),
    };
    let (carried, body) = match tokio::task::spawn_blocking(move || asked.ask()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => return unanswered(reason),
        Err(error) => return unanswered(error.to_string()),
    };
    let is_fault = !carried.status.is_success();
    let operation = Some(OperationName::Activate);
    let trace = if is_fault {
        let reason = format!("{} answers with status {}", proxy.url, carried.status);
        Trace::refused(operation, FaultCode::UnspecifiedError.wire_name(), reason)
    } else {
        Trace {
            operation,
            items: vec![Item::default()],
        }
    };
    Outgoing {
        form,
        is_fault,
        body,
        trace,
        reply: None,
        carried: Some(carried),
    }
}

/// Whether nobody on the way reads what is sent there.
fn is_private(url: &str) -> bool {
    let host = outbound::host(url);
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.starts_with("https://") || (url.starts_with("http://") && is_here)
}

fn none_here() -> Refusal {
    let reason = "this cluster has no activation service";
    Refusal::new(FaultCode::UnspecifiedError, reason).telling(Some(reason.into()))
}

/// A request on its way to the other service.
struct Asked {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Asked {
    /// The answer, or in words why there is none.
    fn ask(self) -> Result<(Carried, Vec<u8>), String> {
        let mut request = self.agent.post(&self.url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(&self.body).map_err(|e| e.to_string())?;
        let carried = Carried {
            status: answer.status(),
            content_type: answer.headers().get("content-type").cloned(),
        };
        let body = outbound::read(&mut answer, MOST_BYTES).map_err(|error| error.to_string())?;
        Ok((carried, body))
    }
}

/// Keys from stock, which is of the cluster's mode; others are made.
struct Keys {
    pool: Arc<KeyPool>,
    mode: Mode,
}

impl KeySource for Keys {
    fn take(&self, mode: Mode) -> Result<SoftwareKey, KeyError> {
        if mode == self.mode {
            self.pool.take(mode)
        } else {
            SoftwareKey::generate(mode)
        }
    }
}

/// Of an answer that is passed on; the package of the original had 159 KB.
const MOST_BYTES: usize = 32 << 20;
const WHOLE_TIME: Duration = Duration::from_mins(1);
const PASSED_ON: usize = 16;
const ADMITTED: usize = 64;
const WORKING: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_travel_over_tls_or_on_this_machine_alone() {
        let open = |service: &str| {
            let config = ActivationConfig {
                service: service.into(),
                authorities: None,
            };
            config.open(None).map(|_| ())
        };
        for good in [
            "https://rms.example/_wmcs/certification/Activation.asmx",
            "http://127.0.0.1:8080/Activation.asmx",
            "http://[::1]/Activation.asmx",
            "http://localhost/",
        ] {
            assert!(open(good).is_ok(), "{good}");
        }
        for bad in [
            "http://rms.example/",
            "http://127.0.0.1.example/",
            "rms",
            "",
        ] {
            let error = open(bad).unwrap_err();
            assert!(matches!(error, ActivationError::NotHttps(_)), "{bad}");
        }
    }
}
