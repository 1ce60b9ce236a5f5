//! One question to one service: SOAP out, a typed answer or a named failure back. Here alone it is
//! decided whether credentials go with a request.

use openrms_protocol::activation::{Activate, ActivateResponse, parse_message};
use openrms_protocol::dime::DimeError;
use openrms_protocol::{
    Contract, Fault, FaultCode, Limits, Operation, OperationName, ProtocolError, Response,
    SoapVersion, VersionData, encode_request, parse_response,
};
use openrms_xrml::Time;

use crate::check::ProbeOutcome;
use crate::credentials::{CredentialSource, Credentials, Scheme};
use crate::error::{Class, Coded};
use crate::transport::{self, Transport, TransportError};
use crate::url::{Origin, ServerUrl};

/// Why a service did not answer what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The service wants to know who asks, and nobody said.
    #[error("{url} wants credentials, and there are none")]
    CredentialsNeeded {
        /// Which service.
        url: String,
    },
    /// The service wants to know who asks, but it is not the configured server, or others could
    /// read what is sent.
    #[error("{url} wants credentials, which are sent to the configured server over TLS only")]
    CredentialsWithheld {
        /// Which service.
        url: String,
    },
    /// The credentials were not accepted.
    #[error("{url} does not accept the credentials")]
    SignInRefused {
        /// Which service.
        url: String,
        /// What was shown to it.
        shown: Option<Scheme>,
    },
    /// The service sends the client elsewhere, which it does not follow.
    #[error("{url} redirects to {to}")]
    Redirected {
        /// Which service.
        url: String,
        /// Where to.
        to: String,
    },
    /// The server has no such service. Servers before RMS 2.0 have fewer.
    #[error("the server has no service at {url}")]
    Missing {
        /// Which service.
        url: String,
    },
    /// An answer that is not the service's.
    #[error("{url} answers with HTTP status {status}")]
    Status {
        /// Which service.
        url: String,
        /// The status.
        status: u16,
    },
    /// An answer that cannot be read.
    #[error("the answer of {url} cannot be read: {source}")]
    Protocol {
        /// Which service.
        url: String,
        /// What is wrong.
        source: ProtocolError,
    },
    /// What stands beside an answer cannot be read.
    #[error("the answer of {url} cannot be read: {source}")]
    Attachments {
        /// Which service.
        url: String,
        /// What is wrong.
        source: DimeError,
    },
    /// The service refuses.
    #[error("{}", refusal(fault))]
    Fault {
        /// Which service.
        url: String,
        /// Its refusal.
        fault: Fault,
    },
    /// An answer without what was asked for.
    #[error("the answer of {url} holds no {what}")]
    Empty {
        /// Which service.
        url: String,
        /// What is missing.
        what: &'static str,
    },
}

impl Coded for ServiceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Transport(error) => match error {
                TransportError::BadUrl(_) => "url-malformed",
                TransportError::HostNotFound { .. } => "server-not-found",
                TransportError::Connect { .. } => "server-not-reachable",
                TransportError::Tls { .. } => "tls-failed",
                TransportError::Timeout { .. } => "server-timeout",
                TransportError::TooLarge { .. } => "answer-too-large",
                TransportError::Kerberos { .. } => "kerberos-failed",
                TransportError::Broken { .. } => "connection-broken",
            },
            Self::CredentialsNeeded { .. } => "credentials-needed",
            Self::CredentialsWithheld { .. } => "credentials-withheld",
            Self::SignInRefused { .. } => "sign-in-refused",
            Self::Redirected { .. } => "server-redirects",
            Self::Missing { .. } => "service-missing",
            Self::Status { .. } => "server-error",
            Self::Protocol { .. } | Self::Attachments { .. } => "answer-malformed",
            Self::Fault { fault, .. } => fault_code(fault).0,
            Self::Empty { .. } => "answer-incomplete",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Transport(TransportError::Tls { .. }) | Self::CredentialsWithheld { .. } => {
                Class::NotTrusted
            }
            Self::Transport(TransportError::BadUrl(_)) => Class::Usage,
            Self::Transport(TransportError::TooLarge { .. })
            | Self::Protocol { .. }
            | Self::Attachments { .. }
            | Self::Empty { .. } => Class::Malformed,
            Self::Transport(TransportError::Kerberos { .. })
            | Self::CredentialsNeeded { .. }
            | Self::SignInRefused { .. } => Class::Denied,
            Self::Missing { .. } => Class::Failed,
            Self::Transport(_) | Self::Redirected { .. } | Self::Status { .. } => {
                Class::Unreachable
            }
            Self::Fault { fault, .. } => fault_code(fault).1,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Transport(TransportError::Tls { .. }) => {
                Some("the server's TLS certificate must lead to a root this machine trusts".into())
            }
            Self::Transport(TransportError::Kerberos { .. }) => {
                Some("get a ticket with kinit, or name an account: rms sign-in --user NAME".into())
            }
            Self::Transport(_) => Some("rms check tells which service fails and why".into()),
            Self::CredentialsNeeded { .. } => {
                Some("sign in: rms sign-in --user NAME, or rms sign-in --issuer URL".into())
            }
            Self::SignInRefused { .. } => Some("check user name and password or token".into()),
            Self::CredentialsWithheld { .. } => {
                Some("use https for the server, or configure the server that asks".into())
            }
            Self::Redirected { to, .. } => Some(format!("configure {to} if it is the right one")),
            Self::Missing { .. } => Some(
                "rms check shows what the server has; one before RMS 2.0 hands out no templates"
                    .into(),
            ),
            Self::Status { .. } => Some("check the server's URL and its log".into()),
            Self::Fault { fault, .. } => fault_code(fault).2.map(str::to_owned),
            _ => None,
        }
    }
}

/// Whether a request goes with credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    /// At once, where it is known which: the service answers nobody it does not know.
    Always,
    /// Only when the service asks for them.
    OnDemand,
}

/// A licensing cluster of its own.
pub(crate) struct Licensing {
    pub(crate) server: ServerUrl,
    /// Whether a person or an administrator set it: then no other does in its place.
    pub(crate) is_override: bool,
}

/// Asks services.
pub(crate) struct Caller<'a> {
    pub(crate) transport: &'a dyn Transport,
    /// The configured server: the only one that gets credentials.
    pub(crate) server: Option<&'a ServerUrl>,
    /// The licensing cluster that it vouches for, or that overrides name.
    pub(crate) licensing: Option<Licensing>,
    pub(crate) source: &'a dyn CredentialSource,
    pub(crate) user: Option<&'a str>,
}

impl Caller<'_> {
    /// Asks; `take` picks the answer apart while it still borrows from the message.
    pub(crate) fn call<T>(
        &self,
        url: &str,
        contract: Contract,
        operation: &Operation<'_>,
        auth: Auth,
        take: impl FnOnce(Response<'_>) -> Result<T, ProtocolError>,
    ) -> Result<T, ServiceError> {
        let answer = self.post(url, contract, operation, auth)?;
        let body = &answer.body;
        taken(url, operation.name(), answer.status, body, take)
    }

    /// Asks for security processors: an answer, and as many attachments as machines at most.
    pub(crate) fn activate<T>(
        &self,
        url: &str,
        request: Activate,
        take: impl FnOnce(ActivateResponse<'_>) -> T,
    ) -> Result<(T, Vec<Vec<u8>>), ServiceError> {
        let most = request.machines.len();
        let operation = request.into();
        let answer = self.post(url, Contract::Activation, &operation, Auth::OnDemand)?;
        let (envelope, attachments) = match parse_message(&answer.body, most) {
            Ok(parts) => parts,
            Err(source) if answer.status == 200 => {
                return Err(ServiceError::Attachments {
                    url: url.to_owned(),
                    source,
                });
            }
            // An answer that is not the service's is told by its status.
            Err(_) => (answer.body, Vec::new()),
        };
        let take = |response: Response<'_>| ActivateResponse::try_from(response).map(take);
        let response = taken(url, operation.name(), answer.status, &envelope, take)?;
        Ok((response, attachments))
    }

    fn post(
        &self,
        url: &str,
        contract: Contract,
        operation: &Operation<'_>,
        auth: Auth,
    ) -> Result<transport::Response, ServiceError> {
        let action = contract.soap_action(operation.name());
        let body = encode_request(
            SoapVersion::V11,
            contract,
            Some(VersionData::CLIENT),
            operation,
        );
        let content_type = SoapVersion::V11.request_content_type(&action);
        self.send(url, auth, |credentials| {
            self.transport
                .post(url, &action, &content_type, body.as_bytes(), credentials)
        })
    }

    /// Gets a document, without credentials unless they are asked for.
    pub(crate) fn get(&self, url: &str) -> Result<transport::Response, ServiceError> {
        self.send(url, Auth::OnDemand, |credentials| {
            self.transport.get(url, credentials)
        })
    }

    /// Asks for a document without ever sending credentials; what became of it, and the server's time.
    pub(crate) fn probe(&self, url: &str) -> (ProbeOutcome, Option<Time>) {
        let url_text = url.to_owned();
        let answer = self.transport.get(url, None);
        let date = answer.as_ref().ok().and_then(|answer| answer.date);
        let outcome = match answer {
            Ok(answer) => match (answer.status, answer.location) {
                (200..=299, _) => ProbeOutcome::Answers,
                (401 | 403, _) => ProbeOutcome::WantsSignIn,
                (300..=399, to) => ProbeOutcome::Fails(ServiceError::Redirected {
                    url: url_text,
                    to: to.unwrap_or_default(),
                }),
                (NOT_FOUND, _) => ProbeOutcome::Fails(ServiceError::Missing { url: url_text }),
                (status, _) => ProbeOutcome::Fails(ServiceError::Status {
                    url: url_text,
                    status,
                }),
            },
            Err(error) => ProbeOutcome::Fails(error.into()),
        };
        (outcome, date)
    }

    fn send(
        &self,
        url: &str,
        auth: Auth,
        send: impl Fn(Option<&Credentials>) -> Result<transport::Response, TransportError>,
    ) -> Result<transport::Response, ServiceError> {
        let first = match auth {
            Auth::Always => self.credentials(url, None)?,
            Auth::OnDemand => None,
        };
        let mut answer = send(first.as_ref())?;
        let mut shown = first.as_ref().map(Credentials::scheme);
        if answer.status == 401 && first.is_none() {
            let found = self.credentials(url, Some(&answer.offered))?;
            let credentials = found.ok_or_else(|| ServiceError::CredentialsNeeded {
                url: url.to_owned(),
            })?;
            answer = send(Some(&credentials))?;
            shown = Some(credentials.scheme());
        }
        let url = url.to_owned();
        match (answer.status, answer.location) {
            (401 | 403, _) => Err(ServiceError::SignInRefused { url, shown }),
            (300..=399, to) => Err(ServiceError::Redirected {
                url,
                to: to.unwrap_or_default(),
            }),
            (status, location) => Ok(transport::Response {
                status,
                location,
                offered: answer.offered,
                date: answer.date,
                body: answer.body,
            }),
        }
    }

    /// The one door through which credentials leave.
    fn credentials(
        &self,
        url: &str,
        offered: Option<&[Scheme]>,
    ) -> Result<Option<Credentials>, ServiceError> {
        let origin =
            Origin::of(url).map_err(|_| TransportError::BadUrl(url.chars().take(200).collect()))?;
        let configured = self.server.is_some_and(|server| *server.origin() == origin);
        if !configured || !origin.is_private() {
            return Err(ServiceError::CredentialsWithheld {
                url: url.to_owned(),
            });
        }
        Ok(self.source.credentials(&origin, self.user, offered))
    }
}

/// Reads an answer.
fn taken<T>(
    url: &str,
    operation: OperationName,
    status: u16,
    body: &[u8],
    take: impl FnOnce(Response<'_>) -> Result<T, ProtocolError>,
) -> Result<T, ServiceError> {
    let url = || url.to_owned();
    let protocol = |source| ServiceError::Protocol { url: url(), source };
    // A fault has status 500; anything else that is not SOAP is told by its status.
    let parsed = match parse_response(operation, body, &Limits::client()) {
        Ok(parsed) => parsed,
        Err(source) if status == 200 => return Err(protocol(source)),
        Err(_) if status == NOT_FOUND => return Err(ServiceError::Missing { url: url() }),
        Err(_) => return Err(ServiceError::Status { url: url(), status }),
    };
    match parsed.outcome {
        Ok(response) => take(response).map_err(protocol),
        Err(fault) => Err(ServiceError::Fault { url: url(), fault }),
    }
}

/// Stable code, class and hint of a server's refusal.
fn fault_code(fault: &Fault) -> (&'static str, Class, Option<&'static str>) {
    use Class::{Denied, Failed, NotTrusted};
    let Some(code) = fault.code else {
        return ("server-fault", Failed, None);
    };
    match code {
        FaultCode::NoRightsForRequestedPrincipal => (
            "no-rights",
            Denied,
            Some("ask the author of the content; rms inspect shows who that is"),
        ),
        FaultCode::UnauthorizedAccess => (
            "unauthorized",
            Denied,
            Some("check user name and password or token"),
        ),
        FaultCode::ADEntrySearchFailed | FaultCode::VerifyEmailAddressFailed => (
            "account-unknown",
            Denied,
            Some("the account needs a mail address in the directory"),
        ),
        FaultCode::IssuanceLicenseIsNotWithinValidTimeRange => ("content-expired", Denied, None),
        FaultCode::CredentialCreationTime => ("account-too-young", Denied, None),
        FaultCode::OnlinePublishingDisabled => (
            "online-publishing-disabled",
            Denied,
            Some("publish off line"),
        ),
        FaultCode::DrmacIsExcluded => ("account-excluded", Denied, Some("sign in again")),
        FaultCode::BlackBoxIsInvalid => (
            "lockbox-excluded",
            Denied,
            Some(
                "update this client; one that behaves as an older version (rms status) must be newer",
            ),
        ),
        FaultCode::VerifyMachineCertificateChainFailed => (
            "machine-untrusted",
            NotTrusted,
            Some("the server does not know the hierarchy that activated this machine"),
        ),
        FaultCode::InvalidPersonaCertTime => (
            "account-certificate-expired",
            NotTrusted,
            Some("sign in again; check the clock"),
        ),
        FaultCode::InvalidPersonaCertSignature
        | FaultCode::UnexpectedPersonaCert
        | FaultCode::UntrustedPersonaCert => (
            "account-untrusted",
            NotTrusted,
            Some("sign in again at this server"),
        ),
        FaultCode::UnsupportedCryptographicSet => (
            "mode-unsupported",
            NotTrusted,
            Some("the server is of the other cryptographic mode; rms init joins it anew"),
        ),
        FaultCode::InvalidRightsLabelSignature => ("license-signature-invalid", NotTrusted, None),
        FaultCode::RightsLabelNoMatchingIssuedPrincipal
        | FaultCode::UnsignedIssuanceLicenseNoMatchingIssuedPrincipal
        | FaultCode::ContentKeyNoMatchingIssuedPrincipal => (
            "license-of-other-server",
            NotTrusted,
            Some("the content was protected for another server"),
        ),
        FaultCode::EnablingBitsHashDoesNotMatch => ("license-binding-invalid", NotTrusted, None),
        FaultCode::InvalidOfficialRightsTemplate => {
            ("template-untrusted", NotTrusted, Some("rms templates sync"))
        }
        FaultCode::ClusterDecommissioned => (
            "server-decommissioned",
            Failed,
            Some("whoever is let in there may free what it protected: rms free FILE"),
        ),
        FaultCode::ClusterNotDecommissioned => (
            "server-in-service",
            Denied,
            Some("it licenses content to those who have rights in it: rms open FILE"),
        ),
        FaultCode::UnsupportedDataVersion | FaultCode::MalformedDataVersion => {
            ("version-unsupported", Failed, None)
        }
        FaultCode::ArgumentNull | FaultCode::InvalidOperation => ("request-refused", Failed, None),
        _ => ("server-fault", Failed, Some("the server's log says more")),
    }
}

fn refusal(fault: &Fault) -> String {
    let what = match fault_code(fault).0 {
        "no-rights" => "you have no rights in this content",
        "unauthorized" => "the server does not let this account in",
        "content-expired" => "the content has expired",
        "online-publishing-disabled" => "the server does not sign licenses on line",
        "account-excluded" => "the account's certificate is excluded",
        "lockbox-excluded" => "the server excludes this version of the client",
        "machine-untrusted" => "the server does not trust this machine's certificate",
        "account-untrusted" => "the server does not trust the account's certificate",
        "license-of-other-server" => "the content is protected for another server",
        "server-decommissioned" => "the server was decommissioned",
        "server-in-service" => "the server is in service and gives no content key away",
        _ => "the server refuses",
    };
    format!("{what} ({})", fault.fault_string())
}

const NOT_FOUND: u16 = 404;
