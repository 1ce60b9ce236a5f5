//! A security context (RFC 2744 5.19, 5.21, 5.29 to 5.36): establishing it as a client, and sealing
//! messages with it.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use super::raw::{
    Buffer, CONFIDENTIAL, CONTINUE_NEEDED, ChannelBindings, INTEGRITY, MUTUAL, OUT_OF_ORDER, Oid,
    REPLAY_DETECTED, SEQUENCE_KEPT,
};
use super::{Credential, Gss, Name, Status};
use crate::token::{KERBEROS, SPNEGO};

/// One exchange, half done or done.
pub(crate) struct Context {
    pub(super) gss: &'static Gss,
    pub(super) handle: *mut c_void,
}

// SAFETY: the handle is not bound to a thread, and has one owner.
unsafe impl Send for Context {}
// SAFETY: a shared reference gives no access to the handle.
unsafe impl Sync for Context {}

/// What a client's context is for. Mutual authentication is always wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To sign in with SPNEGO.
    Negotiate,
    /// To sign in with Kerberos alone; what follows is protected by other means.
    SignIn,
    /// To sign in with Kerberos alone and to seal what follows, in order.
    Seal,
}

impl Purpose {
    fn mechanism(self) -> Oid {
        Oid::new(match self {
            Self::Negotiate => SPNEGO,
            Self::SignIn | Self::Seal => KERBEROS,
        })
    }

    fn flags(self) -> u32 {
        match self {
            Self::Negotiate | Self::SignIn => MUTUAL,
            Self::Seal => MUTUAL | REPLAY_DETECTED | SEQUENCE_KEPT | CONFIDENTIAL | INTEGRITY,
        }
    }
}

/// What one step of a client led to.
pub(crate) struct Progress {
    /// What to send.
    pub(crate) token: Option<Vec<u8>>,
    /// No further token of the server is needed.
    pub(crate) done: bool,
    /// The server has proved who it is, and all else that the purpose needs is there; of meaning
    /// when done.
    pub(crate) proved: bool,
}

/// What a wrapped message held.
pub(crate) struct Unwrapped {
    pub(crate) message: Vec<u8>,
    /// It was encrypted, not only signed.
    pub(crate) sealed: bool,
}

impl Gss {
    /// An exchange that has not begun.
    pub(crate) fn context(&'static self) -> Context {
        Context {
            gss: self,
            handle: null_mut(),
        }
    }
}

impl Context {
    /// Makes the client's next token out of the server's last.
    pub(crate) fn step(
        &mut self,
        credential: &Credential,
        target: &Name,
        purpose: Purpose,
        reply: Option<&[u8]>,
        bindings: Option<&[u8]>,
    ) -> Result<Progress, Status> {
        let gss = self.gss;
        let mut token = gss.buffer();
        let mechanism = purpose.mechanism();
        let input = Buffer::lend(reply.unwrap_or_default());
        let bindings = bindings.map(ChannelBindings::new);
        let (mut minor, mut flags) = (0, 0);
        // SAFETY: credential and name are live; the context is null at first and then what the
        // library left there, always owned by its guard; the buffers, the OID and the bindings
        // outlive the call, which only reads them; the out-pointers are valid, and null where the
        // answer is not wanted.
        let major = unsafe {
            (gss.init_sec_context)(
                &raw mut minor,
                credential.handle,
                &raw mut self.handle,
                target.handle,
                &raw const mechanism,
                purpose.flags(),
                0,
                bindings.as_ref().map_or(null(), |b| &raw const *b),
                &raw const input,
                null_mut(),
                &raw mut token.raw,
                &raw mut flags,
                null_mut(),
            )
        };
        gss.check(major, minor)?;
        Ok(Progress {
            token: token.to_vec(),
            done: major & CONTINUE_NEEDED == 0,
            proved: flags & purpose.flags() == purpose.flags(),
        })
    }

    /// Who began the exchange: the principal of the credential.
    pub(crate) fn initiator(&mut self) -> Result<Name, Status> {
        let gss = self.gss;
        let mut name = Name {
            gss,
            handle: null_mut(),
        };
        let mut minor = 0;
        // SAFETY: the context is live, or null, which the call refuses; the name is owned by its
        // guard; the other out-pointers are null, since those answers are not wanted.
        let major = unsafe {
            (gss.inquire_context)(
                &raw mut minor,
                self.handle,
                &raw mut name.handle,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        gss.check(major, minor)?;
        Ok(name)
    }

    /// The longest message that is at most `limit` bytes long when it is sealed.
    pub(crate) fn longest_sealed(&mut self, limit: u32) -> Result<u32, Status> {
        let (mut minor, mut longest) = (0, 0);
        // SAFETY: the context is live, or null, which the call refuses; the out-pointers are valid.
        let major = unsafe {
            (self.gss.wrap_size_limit)(
                &raw mut minor,
                self.handle,
                1,
                DEFAULT_QUALITY,
                limit,
                &raw mut longest,
            )
        };
        self.gss.check(major, minor)?;
        Ok(longest)
    }

    /// Signs a message, and encrypts it when it is to be sealed: `None` when the library did not
    /// encrypt what it was to.
    pub(crate) fn wrap(&mut self, message: &[u8], seal: bool) -> Result<Option<Vec<u8>>, Status> {
        let gss = self.gss;
        let mut token = gss.buffer();
        let input = Buffer::lend(message);
        let (mut minor, mut sealed) = (0, 0);
        // SAFETY: the context is live, or null, which the call refuses; the input outlives the
        // call, which only reads it; the out-pointers are valid.
        let major = unsafe {
            (gss.wrap)(
                &raw mut minor,
                self.handle,
                seal.into(),
                DEFAULT_QUALITY,
                &raw const input,
                &raw mut sealed,
                &raw mut token.raw,
            )
        };
        gss.check(major, minor)?;
        Ok((sealed != 0 || !seal).then(|| token.bytes().to_vec()))
    }

    /// Checks the server's next message. One that was seen before, or is not the next, is refused.
    pub(crate) fn unwrap(&mut self, token: &[u8]) -> Result<Unwrapped, Status> {
        let gss = self.gss;
        let mut message = gss.buffer();
        let input = Buffer::lend(token);
        let (mut minor, mut sealed) = (0, 0);
        // SAFETY: the context is live, or null, which the call refuses; the input outlives the
        // call, which only reads it; the out-pointers are valid, and null where the answer is not
        // wanted.
        let major = unsafe {
            (gss.unwrap)(
                &raw mut minor,
                self.handle,
                &raw const input,
                &raw mut message.raw,
                &raw mut sealed,
                null_mut(),
            )
        };
        gss.check(major, minor)?;
        if major & OUT_OF_ORDER != 0 {
            return Err(Status {
                routine: 0,
                text: "a message is not the next one".to_owned(),
            });
        }
        Ok(Unwrapped {
            message: message.bytes().to_vec(),
            sealed: sealed != 0,
        })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        let mut minor = 0;
        // SAFETY: the handle is owned and not used again; no last token is wanted.
        unsafe {
            (self.gss.delete_sec_context)(&raw mut minor, &raw mut self.handle, null_mut());
        }
    }
}

/// `GSS_C_QOP_DEFAULT`.
const DEFAULT_QUALITY: u32 = 0;
