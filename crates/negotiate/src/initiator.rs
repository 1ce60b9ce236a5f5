//! The client's side of Negotiate (RFC 4559 section 5): tokens for a service, made with the tickets
//! of whoever runs the program. Mutual authentication is required and nothing is delegated.

use std::path::Path;

use crate::NegotiateError;
use crate::acceptor::{check_length, end_point};
use crate::ffi::{Context, Credential, Name, Purpose};
use crate::tickets::{TicketSource, Tickets, check_target, refusal};

/// One exchange with a service.
pub struct Initiator {
    credential: Credential,
    target: Name,
    bindings: Option<Vec<u8>>,
    state: State,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to send in an `Authorization: Negotiate` field.
    pub token: Option<Vec<u8>>,
    /// The server has proved who it is, and the exchange is over. An answer of a server that came
    /// before is not to be believed.
    pub done: bool,
}

impl Initiator {
    /// Begins an exchange with a service, `HTTP@host.name`, with the person's own tickets
    /// (`KRB5CCNAME`, or the cache that `krb5.conf` names).
    pub fn new(target: &str) -> Result<Self, NegotiateError> {
        Self::with_tickets(target, &Tickets::new(TicketSource::Own)?)
    }

    /// The same with the tickets of a file that `kinit -c` made, for programs that act for
    /// somebody else than their account.
    pub fn with_ticket_file(target: &str, tickets: &Path) -> Result<Self, NegotiateError> {
        let tickets = Tickets::new(TicketSource::File(tickets.to_owned()))?;
        Self::with_tickets(target, &tickets)
    }

    /// The same with tickets of any source, for programs that sign in time and again: those got
    /// with a keytab are got once. Blocks on the KDC when a keytab's ticket is to be got.
    pub fn with_tickets(target: &str, tickets: &Tickets) -> Result<Self, NegotiateError> {
        check_target(target)?;
        Ok(Self {
            credential: tickets.credential(Purpose::Negotiate)?,
            target: tickets.target(target)?,
            bindings: None,
            state: State::New(tickets.context()),
        })
    }

    /// Ties the exchange to the TLS channel that it runs in: the hash of the server's certificate
    /// by the rule of `tls-server-end-point` (RFC 5929 section 4.1).
    #[must_use]
    pub fn bound_to(mut self, certificate_hash: &[u8]) -> Self {
        self.bindings = Some(end_point(certificate_hash));
        self
    }

    /// Makes the first token, of `None`, and the next of each decoded token in a `WWW-Authenticate:
    /// Negotiate` field of the server. After an error the exchange is over.
    pub fn step(&mut self, reply: Option<&[u8]>) -> Result<Step, NegotiateError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let ((State::New(mut context), None) | (State::Begun(mut context), Some(_))) =
            (state, reply)
        else {
            return Err(NegotiateError::OutOfOrder);
        };
        reply.map_or(Ok(()), check_length)?;
        let progress = context
            .step(
                &self.credential,
                &self.target,
                Purpose::Negotiate,
                reply,
                self.bindings.as_deref(),
            )
            .map_err(refusal)?;
        if progress.done && !progress.proved {
            return Err(NegotiateError::NotMutual);
        }
        if !progress.done {
            self.state = State::Begun(context);
        }
        Ok(Step {
            token: progress.token,
            done: progress.done,
        })
    }
}

enum State {
    New(Context),
    Begun(Context),
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_and_acceptors_go_from_thread_to_thread() {
        fn shared<T: Send + Sync>() {}
        shared::<Initiator>();
        shared::<crate::Acceptor>();
    }

    #[test]
    fn targets_are_services_on_hosts() {
        for bad in ["HTTP", "HTTP@", "HTTP@a b", "HTTP/a@REALM"] {
            let error = Initiator::new(bad).err().unwrap();
            assert!(matches!(error, NegotiateError::ServiceName { name } if name == bad));
        }
    }
}
