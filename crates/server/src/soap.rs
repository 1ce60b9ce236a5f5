//! One SOAP request: bytes in, a decision, bytes out, and what the audit file tells of it
//! (MS-RMPR 3.1.4). Refusals leave as the exception's name; why is for the log alone.

use std::net::SocketAddr;

use axum::http::{HeaderValue, StatusCode};
use openrms_engine::context::check_not_decommissioned;
use openrms_engine::evaluate::Ground;
use openrms_engine::license::ItemRecord;
use openrms_engine::{
    Caller, Context, Observer, Refusal, certify, client_licensor, decommission, expansion, license,
    locate, precertify, prelicense, publish, republish, sub_enroll, templates,
};
use openrms_protocol::activation::{Activate, encode_message};
use openrms_protocol::certification::Certify;
use openrms_protocol::decommissioning::AcquireContentKey;
use openrms_protocol::enrollment::{self, Enroll, EnrollResponse, EnrolleeServerInformation};
use openrms_protocol::publishing::AcquireIssuanceLicense;
use openrms_protocol::sub_enrollment::{SubEnroll, SubEnrollResponse};
use openrms_protocol::{
    Fault, FaultClass, FaultCode, HttpHead, Operation, OperationName, Rejection, Request, Response,
    ResponseHead, Service, SoapVersion, dime, encode_fault, encode_response, parse_request,
};
use openrms_xrml::Guid;

use crate::activation;
use crate::audit::Event;
use crate::clock;
use crate::config::Enrollment;
use crate::http::Peer;
use crate::logging::Field;
use crate::logging::certificates::{self, Xrml};
use crate::provision::is_loopback_url;
use crate::remoting;
use crate::snapshot::Snapshot;
use crate::state::State;

/// A request as it came over HTTP.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'r> {
    pub(crate) service: Service,
    pub(crate) peer: Peer,
    pub(crate) head: HttpHead<'r>,
    pub(crate) body: &'r [u8],
    pub(crate) caller: &'r Caller,
    pub(crate) observer: &'r dyn Observer,
}

/// How a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// SOAP of that version.
    Soap(SoapVersion),
    /// The binary form of [`crate::remoting`].
    Binary,
}

/// An answer for HTTP.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) form: Form,
    pub(crate) is_fault: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) trace: Trace,
    /// What the caller is told in turn for having signed in.
    pub(crate) reply: Option<HeaderValue>,
    /// Where the answer is not in its form alone.
    pub(crate) carried: Option<Carried>,
}

/// Status and content type of an answer with attachments, or of one by another server.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
}

/// What the log and the counters are told about a request.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) operation: Option<OperationName>,
    /// One for the request, or one for each item of a batch.
    pub(crate) items: Vec<Item>,
}

/// What became of a request, or of one item of it.
#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) account: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) issued: Option<String>,
    pub(crate) ground: Option<&'static str>,
    /// Name of the fault and reason.
    pub(crate) refusal: Option<(&'static str, String)>,
    /// Certificates that came with it, as far as they are logged.
    pub(crate) received: Vec<Xrml>,
    /// Certificates that go with the answer, as far as they are logged.
    pub(crate) handed_out: Vec<Xrml>,
}

/// Answers a request.
pub(crate) async fn answer(state: &State, snapshot: &Snapshot, incoming: Incoming<'_>) -> Outgoing {
    let level = state.config.service_level;
    let request = match parse_request(incoming.head, incoming.body, &state.limits) {
        Ok(Request { soap, .. }) | Err(Rejection { soap, .. })
            if !level.soap_versions().contains(&soap) =>
        {
            return unknown_envelope(soap);
        }
        Ok(request) => request,
        Err(rejection) => {
            let code = rejection.fault().code;
            let code = code.map_or("fault", FaultCode::wire_name);
            return Outgoing {
                form: Form::Soap(rejection.soap),
                is_fault: true,
                body: rejection.encode().into_bytes(),
                trace: Trace::refused(None, code, rejection.error.to_string()),
                reply: None,
                carried: None,
            };
        }
    };
    let name = request.operation.name();
    if let Err(error) = request.check_version(level.highest_data_version()) {
        let fault = error.fault();
        let code = fault.code.map_or("fault", FaultCode::wire_name);
        return Outgoing {
            form: Form::Soap(request.soap),
            is_fault: true,
            body: encode_fault(&ResponseHead::fault(request.soap), &fault).into_bytes(),
            trace: Trace::refused(Some(name), code, error.to_string()),
            reply: None,
            carried: None,
        };
    }
    let base_url = snapshot.cluster.base_url();
    let mut attachments = Vec::new();
    let mut decision = match may_answer(state, incoming, base_url, request.contract, name) {
        Ok(()) if let Operation::Activate(machines) = &request.operation => {
            activate(state, snapshot, machines, &mut attachments).await
        }
        Ok(()) => {
            let now = clock::now();
            let context = state.context(snapshot, incoming.service, incoming.observer, now);
            decide(&context, snapshot, incoming.caller, &request.operation).await
        }
        Err(refusal) => Decision::no(refusal, Item::default()),
    };
    let received = logged(state, Field::ReceivedXrml, || {
        certificates::received(&request.operation)
    });
    note(&mut decision.items, received, |item| &mut item.received);
    let body = match &decision.outcome {
        Ok(response) => encode_response(&request.answer_head(level.data_versions()), response),
        Err(refusal) => encode_fault(&ResponseHead::fault(request.soap), &refusal.fault()),
    };
    if let Ok(response) = &decision.outcome {
        let issued = logged(state, Field::IssuedXrml, || certificates::issued(response));
        note(&mut decision.items, issued, |item| &mut item.handed_out);
    }
    let outgoing = Outgoing {
        form: Form::Soap(request.soap),
        is_fault: decision.outcome.is_err(),
        body: Vec::new(),
        trace: Trace {
            operation: Some(name),
            items: decision.items,
        },
        reply: None,
        carried: None,
    };
    outgoing.with_body(request.soap, body, attachments)
}

/// Activates machines; what goes beside the answer is put into `attachments`.
async fn activate(
    state: &State,
    snapshot: &Snapshot,
    machines: &Activate,
    attachments: &mut Vec<Vec<u8>>,
) -> Decision<'static> {
    let done = match check_not_decommissioned(&snapshot.cluster) {
        Ok(()) => activation::activate(state, snapshot, machines, clock::now()).await,
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(done) => {
            *attachments = done.packages;
            let item = |id: Guid| Item {
                issued: Some(id.to_string()),
                ..Item::default()
            };
            let items = done.certificates.into_iter().map(item);
            Decision::yes(done.response, items.collect())
        }
        Err(refusal) => Decision::no(refusal, Item::default()),
    }
}

/// Answers an envelope of SOAP 1.2 as one who knows SOAP 1.1 alone does, in the words of ASP.NET 1.1.
fn unknown_envelope(soap: SoapVersion) -> Outgoing {
    let known = SoapVersion::V11;
    let fault = Fault {
        class: FaultClass::VersionMismatch,
        code: None,
        message: format!(
            "Possible SOAP version mismatch: Envelope namespace {} was unexpected. Expecting {}.",
            soap.namespace(),
            known.namespace()
        ),
    };
    Outgoing {
        form: Form::Soap(known),
        is_fault: true,
        body: encode_fault(&ResponseHead::fault(known), &fault).into_bytes(),
        trace: Trace::refused(None, "version-mismatch", fault.message),
        reply: None,
        carried: None,
    }
}

/// Copies of certificates, where they are logged.
fn logged(
    state: &State,
    field: Field,
    certificates: impl FnOnce() -> Vec<Vec<Xrml>>,
) -> Vec<Vec<Xrml>> {
    if state.journal.wants(field) {
        certificates()
    } else {
        Vec::new()
    }
}

/// Puts certificates to their items; all to the first one, where the request failed as a whole.
fn note(items: &mut [Item], certificates: Vec<Vec<Xrml>>, field: fn(&mut Item) -> &mut Vec<Xrml>) {
    let is_each = items.len() == certificates.len();
    for (index, certificates) in certificates.into_iter().enumerate() {
        if let Some(item) = items.get_mut(if is_each { index } else { 0 }) {
            field(item).extend(certificates);
        }
    }
}

/// A fault about a request that was not looked into.
pub(crate) fn refuse(form: Form, refusal: &Refusal) -> Outgoing {
    let Form::Soap(soap) = form else {
        return remoting::refuse(refusal);
    };
    Outgoing {
        form,
        is_fault: true,
        body: encode_fault(&ResponseHead::fault(soap), &refusal.fault()).into_bytes(),
        trace: Trace::refused(None, refusal.code.wire_name(), refusal.reason.clone()),
        reply: None,
        carried: None,
    }
}

/// Whether the endpoint is one that answers this.
fn may_answer(
    state: &State,
    incoming: Incoming<'_>,
    base_url: &str,
    contract: openrms_protocol::Contract,
    operation: OperationName,
) -> Result<(), Refusal> {
    let service = incoming.service;
    let refused = |code, reason: &str| Err(Refusal::new(code, reason));
    if !service.serves(contract, operation) {
        return refused(
            FaultCode::InvalidOperation,
            "the endpoint has no such operation",
        );
    }
    if service == Service::Enrollment {
        let open = match state.config.enrollment {
            Enrollment::Off => false,
            Enrollment::Loopback => is_here(incoming.peer, base_url),
            Enrollment::Any => true,
        };
        if !open {
            return refused(
                FaultCode::UnauthorizedAccess,
                "enrollment is closed to this peer",
            );
        }
    }
    Ok(())
}

/// Whether a program on this machine calls. Where clients come by another URL, they come through a
/// proxy on this machine, and then everybody seems to be on it.
pub(crate) fn is_here(peer: Peer, base_url: &str) -> bool {
    peer.is_loopback() && (peer.tls || is_loopback_url(base_url))
}

/// What was decided, and what is told of it.
struct Decision<'c> {
    outcome: Result<Response<'c>, Refusal>,
    items: Vec<Item>,
}

impl<'c> Decision<'c> {
    /// An answer, with what it was about.
    fn yes(response: impl Into<Response<'c>>, items: Vec<Item>) -> Self {
        Self {
            outcome: Ok(response.into()),
            items,
        }
    }

    /// A refusal, with what it was about.
    fn no(refusal: Refusal, item: Item) -> Self {
        let item = Item {
            refusal: Some(named(&refusal)),
            ..item
        };
        Self {
            outcome: Err(refusal),
            items: vec![item],
        }
    }

    /// An answer or a refusal of which nothing more is told.
    fn plain(outcome: Result<impl Into<Response<'c>>, Refusal>) -> Self {
        match outcome {
            Ok(response) => Self::yes(response, vec![Item::default()]),
            Err(refusal) => Self::no(refusal, Item::default()),
        }
    }
}

async fn decide<'c>(
    context: &Context<'c>,
    snapshot: &'c Snapshot,
    caller: &Caller,
    operation: &Operation<'_>,
) -> Decision<'c> {
    match operation {
        Operation::Certify(request) => certify(context, caller, request).await,
        Operation::AcquireLicense(request) => {
            match license::acquire_license(context, request).await {
                Ok(done) => Decision::yes(
                    done.response,
                    done.items.into_iter().map(Item::from).collect(),
                ),
                Err((refusal, record)) => Decision::no(refusal, record.into()),
            }
        }
        Operation::AcquireIssuanceLicense(request) => publish(context, request),
        Operation::GetClientLicensorCert(request) => {
            let item = |(account, id): (String, Guid)| Item {
                account: Some(account),
                issued: Some(id.to_string()),
                ..Item::default()
            };
            match client_licensor::get_client_licensor_cert(context, request).await {
                Ok(done) => Decision::yes(
                    done.response,
                    done.certificates.into_iter().map(item).collect(),
                ),
                Err(refusal) => Decision::no(refusal, Item::default()),
            }
        }
        Operation::AcquireTemplateInformation(_) => {
            Decision::plain(templates::acquire_template_information(context))
        }
        Operation::AcquireTemplates(request) => {
            Decision::plain(templates::acquire_templates(context, request))
        }
        Operation::GetLicensorCertificate(_) => {
            Decision::plain(locate::get_licensor_certificate(context))
        }
        Operation::FindServiceLocationsForUser(request) => {
            Decision::plain(locate::find_service_locations(context, caller, request).await)
        }
        Operation::FindServiceLocations(request) => {
            Decision::plain(locate::find_locations_for_server(context, request))
        }
        Operation::GetServerInfo(request) => {
            Decision::plain(locate::get_server_info(context, request))
        }
        Operation::IsPrincipalMemberOf(request) => {
            Decision::plain(expansion::is_principal_member_of(context, request).await)
        }
        Operation::Enroll(request) => {
            let outcome = enroll(context, snapshot, request).await;
            certified(&request.enrollee, &request.guid, outcome)
        }
        Operation::SubEnroll(request) => {
            let outcome = sub_enroll(context, snapshot, request).await;
            certified(&request.enrollee, &request.guid, outcome)
        }
        Operation::Precertify(request) => {
            match precertify::precertify(context, caller, request).await {
                Ok(done) => {
                    let item = Item {
                        account: Some(done.account),
                        issued: Some(done.certificate.to_string()),
                        ..Item::default()
                    };
                    Decision::yes(done.response, vec![item])
                }
                Err(refusal) => Decision::no(refusal, Item::default()),
            }
        }
        Operation::AcquirePreLicense(request) => {
            match prelicense::acquire_prelicense(context, caller, request).await {
                Ok(done) => Decision::yes(
                    done.response,
                    done.items.into_iter().map(Item::from).collect(),
                ),
                Err(refusal) => Decision::no(refusal, Item::default()),
            }
        }
        Operation::EditIssuanceLicense(request) => {
            match republish::edit_issuance_license(context, caller, request).await {
                Ok(done) => {
                    let item = Item {
                        content: Some(done.content),
                        ground: Some(named_ground(done.ground)),
                        ..Item::default()
                    };
                    Decision::yes(done.response, vec![item])
                }
                Err(refusal) => Decision::no(refusal, Item::default()),
            }
        }
        Operation::AcquireContentKey(request) => surrender(context, caller, request),
        _ => {
            let refusal = Refusal::new(FaultCode::InvalidOperation, "unknown operation");
            Decision::no(refusal, Item::default())
        }
    }
}

async fn certify<'c>(
    context: &Context<'c>,
    caller: &Caller,
    request: &Certify<'_>,
) -> Decision<'c> {
    let item = Item {
        account: caller.mail().map(ToString::to_string),
        ..Item::default()
    };
    match certify::certify(context, caller, request).await {
        Ok(done) => {
            let issued = Some(done.certificate.to_string());
            Decision::yes(done.response, vec![Item { issued, ..item }])
        }
        Err(refusal) => Decision::no(refusal, item),
    }
}

fn publish<'c>(context: &Context<'c>, request: &AcquireIssuanceLicense<'_>) -> Decision<'c> {
    let item = |content| Item {
        content: Some(content),
        ..Item::default()
    };
    match publish::acquire_issuance_license(context, request) {
        Ok(done) => Decision::yes(done.response, done.contents.into_iter().map(item).collect()),
        Err(refusal) => Decision::no(refusal, Item::default()),
    }
}

fn surrender<'c>(
    context: &Context<'c>,
    caller: &Caller,
    request: &AcquireContentKey<'_>,
) -> Decision<'c> {
    let item = Item {
        account: caller.mail().map(ToString::to_string),
        ..Item::default()
    };
    match decommission::acquire_content_key(context, caller, request) {
        Ok(done) => {
            let item = Item {
                content: Some(done.content),
                ground: Some("decommissioned"),
                ..item
            };
            Decision::yes(done.response, vec![item])
        }
        Err(refusal) => Decision::no(refusal, item),
    }
}

async fn enroll<'c>(
    context: &Context<'_>,
    snapshot: &'c Snapshot,
    request: &Enroll,
) -> Result<EnrollResponse<'c>, Refusal> {
    check_not_decommissioned(context.cluster)?;
    let service = snapshot.enrollment.as_ref().ok_or_else(|| {
        let reason = "this cluster has no trust anchor of its own";
        Refusal::new(FaultCode::UnspecifiedError, reason)
    })?;
    let days = snapshot.slc_days;
    service
        .enroll(context.store, request, days, context.now)
        .await
}

async fn sub_enroll<'c>(
    context: &Context<'c>,
    snapshot: &Snapshot,
    request: &SubEnroll,
) -> Result<SubEnrollResponse<'c>, Refusal> {
    let (days, now) = (snapshot.slc_days, context.now);
    sub_enroll::sub_enroll(context.cluster, context.store, request, days, now)
        .await
        .map_err(|refusal| refusal.telling(snapshot.contact.clone()))
}

/// What became of a server that asked for an SLC.
fn certified<'c>(
    server: &EnrolleeServerInformation,
    guid: &enrollment::Guid,
    outcome: Result<impl Into<Response<'c>>, Refusal>,
) -> Decision<'c> {
    let item = Item {
        account: server.url.clone(),
        ..Item::default()
    };
    match outcome {
        Ok(response) => {
            let issued = Some(guid.braced());
            Decision::yes(response, vec![Item { issued, ..item }])
        }
        Err(refusal) => Decision::no(refusal, item),
    }
}

impl Outgoing {
    /// The same with an envelope, and with what stands beside it where there is anything.
    fn with_body(self, soap: SoapVersion, envelope: String, attachments: Vec<Vec<u8>>) -> Self {
        if attachments.is_empty() {
            let body = envelope.into_bytes();
            return Self { body, ..self };
        }
        match encode_message(soap, envelope, attachments) {
            Ok(body) => Self {
                body,
                carried: Some(Carried {
                    status: StatusCode::OK,
                    content_type: Some(HeaderValue::from_static(dime::CONTENT_TYPE)),
                }),
                ..self
            },
            Err(error) => refuse(
                Form::Soap(soap),
                &Refusal::new(FaultCode::UnspecifiedError, error),
            ),
        }
    }
}

impl Form {
    /// Its name in the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Soap(SoapVersion::V11) => "SOAP 1.1",
            Self::Soap(SoapVersion::V12) => "SOAP 1.2",
            Self::Binary => "binary",
        }
    }
}

impl Trace {
    /// What is told of a request that failed before it was decided on.
    pub(crate) fn refused(
        operation: Option<OperationName>,
        code: &'static str,
        reason: String,
    ) -> Self {
        let item = Item {
            refusal: Some((code, reason)),
            ..Item::default()
        };
        Self {
            operation,
            items: vec![item],
        }
    }

    /// Whether anything failed.
    pub(crate) fn failed(&self) -> bool {
        self.items.iter().any(|item| item.refusal.is_some())
    }

    /// `ok`, or the name of the first fault.
    pub(crate) fn outcome(&self) -> &'static str {
        let refusals = self.items.iter().filter_map(|item| item.refusal.as_ref());
        refusals.map(|(code, _)| *code).next().unwrap_or("ok")
    }

    /// How many items were granted to super users.
    pub(crate) fn super_user_grants(&self) -> u64 {
        let granted = self.items.iter().filter(|item| {
            item.ground == Some(SUPER_USER) && item.issued.is_some() && item.refusal.is_none()
        });
        granted.count() as u64
    }

    /// The lines of the audit file.
    pub(crate) fn events<'e>(
        &'e self,
        (time, request): (&'e str, &'e str),
        (peer, user): (SocketAddr, Option<&'e str>),
        endpoint: &'e str,
        micros: u64,
    ) -> Vec<Event<'e>> {
        let batch = self.items.len() > 1;
        let event = |(index, item): (usize, &'e Item)| Event {
            time,
            request,
            peer: Some(peer),
            user,
            endpoint,
            operation: self.operation.map(OperationName::as_str),
            item: batch.then_some(index),
            outcome: item.refusal.as_ref().map_or("ok", |(code, _)| code),
            reason: item.refusal.as_ref().map(|(_, reason)| reason.as_str()),
            account: item.account.as_deref(),
            content: item.content.as_deref(),
            issued: item.issued.as_deref(),
            ground: item.ground,
            micros,
        };
        self.items.iter().enumerate().map(event).collect()
    }
}

impl From<ItemRecord> for Item {
    fn from(record: ItemRecord) -> Self {
        let (issued, ground) = record.issued.unzip();
        Self {
            account: record.account,
            content: record.content,
            issued: issued.map(|id| id.to_string()),
            ground: ground.map(named_ground),
            refusal: record.refusal.as_ref().map(named),
            ..Self::default()
        }
    }
}

fn named_ground(ground: Ground) -> &'static str {
    match ground {
        Ground::RightsData => "rights",
        Ground::Author => "author",
        Ground::SuperUser => SUPER_USER,
    }
}

fn named(refusal: &Refusal) -> (&'static str, String) {
    (refusal.code.wire_name(), refusal.reason.clone())
}

const SUPER_USER: &str = "super-user";
