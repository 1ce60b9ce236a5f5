//! Group expansion for servers before RMS 1.0 SP2, in their binary form (MS-RMPRS 2.1.1.2, 3.6):
//! bytes in, the decision of the SOAP form, bytes out. There are no faults in it: what goes wrong
//! travels as an exception.

use openrms_engine::{Observer, Refusal, expansion};
use openrms_protocol::binary_group_expansion::{
    Answer, Principal, RemotingException, Response, encode_response, parse_request,
};
use openrms_protocol::{OperationName, Service};

use crate::clock;
use crate::snapshot::Snapshot;
use crate::soap::{Form, Item, Outgoing, Trace};
use crate::state::State;

/// Answers a question.
pub(crate) async fn answer(
    state: &State,
    snapshot: &Snapshot,
    observer: &dyn Observer,
    body: &[u8],
) -> Outgoing {
    let request = match parse_request(body, &state.limits) {
        Ok(request) => request,
        Err(error) => {
            let trace = Trace::refused(None, "malformed", error.to_string());
            return outgoing(&Response::Exception(error.exception()), trace);
        }
    };
    let now = clock::now();
    let context = state.context(snapshot, Service::GroupExpansion, observer, now);
    let operation = Some(OperationName::IsPrincipalMemberOf);
    let question = &request.question;
    match expansion::is_principal_member_of(&context, question).await {
        Ok(response) => {
            let answer = Answer {
                version: request.version,
                is_member: response.is_member,
                principal: Principal::named(&*question.principal_name, response.is_member),
            };
            let trace = Trace {
                operation,
                items: vec![Item::default()],
            };
            outgoing(&Response::Answer(answer), trace)
        }
        Err(refusal) => Outgoing {
            trace: Trace::refused(operation, refusal.code.wire_name(), refusal.reason.clone()),
            ..refuse(&refusal)
        },
    }
}

/// An exception about a question that was not looked into.
pub(crate) fn refuse(refusal: &Refusal) -> Outgoing {
    let exception = RemotingException::new(refusal.fault().fault_string());
    let code = refusal.code.wire_name();
    outgoing(
        &Response::Exception(exception),
        Trace::refused(None, code, refusal.reason.clone()),
    )
}

fn outgoing(response: &Response<'_>, trace: Trace) -> Outgoing {
    Outgoing {
        form: Form::Binary,
        is_fault: matches!(response, Response::Exception(_)),
        body: encode_response(response),
        trace,
        reply: None,
        carried: None,
    }
}
