//! The calls of MIT's GSS-API library that both sides need (RFC 2744; `gssapi_ext.h` for
//! credentials from a store; RFC 6680 for name attributes; RFC 4178 appendix B for
//! `gss_set_neg_mechs`). The only unsafe code of the crate; what it hands out is safe.
//!
//! Every object of the library has one owner here, whose `Drop` gives it back, on every path.

#![expect(unsafe_code, reason = "a C library stands behind this module")]

mod context;
mod raw;

use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::OnceLock;

use libloading::Library;

pub(crate) use self::context::{Context, Progress, Purpose};
use self::raw::{
    ACCEPT, ANONYMOUS, AcceptSecContext, AcquireCredFrom, Buffer, CHANNEL_BOUND, CONTINUE_NEEDED,
    ChannelBindings, DeleteSecContext, DisplayName, DisplayStatus, ERRORS, FAILURE, FIRST_VALUE,
    GENERAL, GetNameAttribute, HOST_BASED_SERVICE, INDEFINITE, INITIATE, ImportName,
    InitSecContext, InquireContext, InquireCred, KeyValue, KeyValueSet, MECHANISM, Oid, OidSet,
    PRINCIPAL_NAME, ROUTINE, ReleaseBuffer, ReleaseHandle, SetNegMechs, Unwrap, Wrap,
    WrapSizeLimit,
};
use crate::NegotiateError;
use crate::token::{KERBEROS, KERBEROS_MICROSOFT, SPNEGO};

/// A failed call: its major status, and the library's text for it and for the mechanism's reason.
#[derive(Debug)]
pub(crate) struct Status {
    /// The routine error, one of `GSS_S_*`.
    pub(crate) routine: u32,
    /// For people, of bounded length and without control characters.
    pub(crate) text: String,
}

impl Status {
    pub(crate) const NO_CREDENTIAL: u32 = 7 << 16;
    pub(crate) const CREDENTIALS_EXPIRED: u32 = 11 << 16;
    pub(crate) const BAD_BINDINGS: u32 = 4 << 16;
    pub(crate) const UNAVAILABLE: u32 = 16 << 16;
}

/// The library, opened once and never closed.
pub(crate) struct Gss {
    acquire_cred_from: AcquireCredFrom,
    set_neg_mechs: SetNegMechs,
    accept_sec_context: AcceptSecContext,
    init_sec_context: InitSecContext,
    inquire_context: InquireContext,
    inquire_cred: InquireCred,
    wrap_size_limit: WrapSizeLimit,
    wrap: Wrap,
    unwrap: Unwrap,
    import_name: ImportName,
    display_name: DisplayName,
    get_name_attribute: GetNameAttribute,
    display_status: DisplayStatus,
    release_buffer: ReleaseBuffer,
    release_name: ReleaseHandle,
    release_cred: ReleaseHandle,
    delete_sec_context: DeleteSecContext,
    // Last: the functions above are in it.
    _library: Library,
}

impl Gss {
    /// The library, by its soname: the dynamic linker's search, no path of ours.
    pub(crate) fn load() -> Result<&'static Self, NegotiateError> {
        static LOADED: OnceLock<Gss> = OnceLock::new();
        if let Some(gss) = LOADED.get() {
            return Ok(gss);
        }
        // Windows would look for it in the current folder as well.
        if !cfg!(unix) {
            return Err(NegotiateError::NotOnThisSystem);
        }
        let gss = Self::open(SONAME)?;
        Ok(LOADED.get_or_init(|| gss))
    }

    fn open(soname: &str) -> Result<Self, NegotiateError> {
        // SAFETY: opening runs the library's initialisers. The soname is that of MIT's library of
        // this system, which is trusted as the C library is; its initialisers have no conditions.
        let library = unsafe { Library::new(soname) }.map_err(|error| missing(&error))?;
        // SAFETY: each type below is the prototype that gssapi.h and gssapi_ext.h of this soname
        // (ABI version 2) give the function of that name. `library` is moved in beside them.
        unsafe {
            Ok(Self {
                acquire_cred_from: symbol(&library, "gss_acquire_cred_from")?,
                set_neg_mechs: symbol(&library, "gss_set_neg_mechs")?,
                accept_sec_context: symbol(&library, "gss_accept_sec_context")?,
                init_sec_context: symbol(&library, "gss_init_sec_context")?,
                inquire_context: symbol(&library, "gss_inquire_context")?,
                inquire_cred: symbol(&library, "gss_inquire_cred")?,
                wrap_size_limit: symbol(&library, "gss_wrap_size_limit")?,
                wrap: symbol(&library, "gss_wrap")?,
                unwrap: symbol(&library, "gss_unwrap")?,
                import_name: symbol(&library, "gss_import_name")?,
                display_name: symbol(&library, "gss_display_name")?,
                get_name_attribute: symbol(&library, "gss_get_name_attribute")?,
                display_status: symbol(&library, "gss_display_status")?,
                release_buffer: symbol(&library, "gss_release_buffer")?,
                release_name: symbol(&library, "gss_release_name")?,
                release_cred: symbol(&library, "gss_release_cred")?,
                delete_sec_context: symbol(&library, "gss_delete_sec_context")?,
                _library: library,
            })
        }
    }

    /// A credential to accept with: keys of a keytab (`FILE:path`), and a replay cache of its own
    /// (`file2:path`), which goes before everything the environment says of replay caches.
    pub(crate) fn acceptor_credential(
        &'static self,
        service: &Name,
        keytab: &CStr,
        replay_cache: &CStr,
    ) -> Result<Credential, Status> {
        let store = [
            KeyValue::new(c"keytab", keytab),
            KeyValue::new(c"rcache", replay_cache),
        ];
        self.credential(service.handle, ACCEPT, Purpose::Negotiate, &store)
    }

    /// The credential of whoever runs this program, from their default cache or the one named.
    pub(crate) fn initiator_credential(
        &'static self,
        cache: Option<&CStr>,
        purpose: Purpose,
    ) -> Result<Credential, Status> {
        let named = cache.map(|cache| [KeyValue::new(c"ccache", cache)]);
        let store = named.as_ref().map_or(&[][..], |named| named);
        self.credential(null_mut(), INITIATE, purpose, store)
    }

    /// The credential of a principal whose keys are in a keytab (`FILE:path`). Its tickets are in
    /// `memory` (`MEMORY:word`); one that is there is taken again until half its time is over.
    pub(crate) fn keytab_credential(
        &'static self,
        principal: &Name,
        keytab: &CStr,
        memory: &CStr,
        purpose: Purpose,
    ) -> Result<Credential, Status> {
        let store = [
            KeyValue::new(c"client_keytab", keytab),
            KeyValue::new(c"ccache", memory),
        ];
        self.credential(principal.handle, INITIATE, purpose, &store)
    }

    fn credential(
        &'static self,
        name: *mut c_void,
        usage: c_int,
        purpose: Purpose,
        store: &[KeyValue],
    ) -> Result<Credential, Status> {
        let oids = [Oid::new(KERBEROS), Oid::new(SPNEGO)];
        // SPNEGO is left out where it is not needed: its own errors would hide those of Kerberos.
        let needed = match purpose {
            Purpose::Negotiate => &oids[..],
            Purpose::SignIn | Purpose::Seal => &oids[..1],
        };
        let mechanisms = OidSet::new(needed);
        let store = KeyValueSet {
            // At most two, see above.
            count: u32::try_from(store.len()).unwrap_or(0),
            elements: store.as_ptr(),
        };
        let mut credential = Credential {
            gss: self,
            handle: null_mut(),
        };
        let mut minor = 0;
        // SAFETY: `name` is null or a live name; the sets and what they point to (static OIDs,
        // C strings of the callers) outlive the call, which copies them; the out-pointers are
        // valid, and null where the answer is not wanted.
        let major = unsafe {
            (self.acquire_cred_from)(
                &raw mut minor,
                name,
                INDEFINITE,
                &raw const mechanisms,
                usage,
                &raw const store,
                &raw mut credential.handle,
                null_mut(),
                null_mut(),
            )
        };
        self.check(major, minor)?;
        if purpose != Purpose::Negotiate {
            return Ok(credential);
        }
        // Without this call SPNEGO also negotiates whatever plugin is installed, NTLM for one,
        // and code that nobody here has chosen then reads what strangers send.
        let kerberos = [Oid::new(KERBEROS)];
        let only = OidSet::new(&kerberos);
        // SAFETY: the credential is live and not yet shared; the set outlives the call, which
        // copies it.
        let major =
            unsafe { (self.set_neg_mechs)(&raw mut minor, credential.handle, &raw const only) };
        self.check(major, minor)?;
        Ok(credential)
    }

    /// A host-based service name, `HTTP@host.name` (RFC 2744 4.1).
    pub(crate) fn service_name(&'static self, name: &str) -> Result<Name, Status> {
        self.name(name, HOST_BASED_SERVICE)
    }

    /// A principal, `svc-rms@CORP.EXAMPLE` (RFC 1964 2.1.1).
    pub(crate) fn principal_name(&'static self, name: &str) -> Result<Name, Status> {
        self.name(name, PRINCIPAL_NAME)
    }

    fn name(&'static self, name: &str, kind: &'static [u8]) -> Result<Name, Status> {
        let mut imported = Name {
            gss: self,
            handle: null_mut(),
        };
        let text = Buffer::lend(name.as_bytes());
        let kind = Oid::new(kind);
        let mut minor = 0;
        // SAFETY: the buffer and the OID outlive the call, which copies them; the out-pointer is
        // valid.
        let major = unsafe {
            (self.import_name)(
                &raw mut minor,
                &raw const text,
                &raw const kind,
                &raw mut imported.handle,
            )
        };
        self.check(major, minor)?;
        Ok(imported)
    }

    /// Whether the call succeeded; if not, its texts, which the library keeps per thread and only
    /// until the next failure.
    fn check(&'static self, major: u32, minor: u32) -> Result<(), Status> {
        if major & ERRORS == 0 {
            return Ok(());
        }
        let general = self.text(major, GENERAL);
        let reason = if minor == 0 {
            String::new()
        } else {
            self.text(minor, MECHANISM)
        };
        let text = match (major & ROUTINE, reason.as_str()) {
            (_, "") => general,
            // Its own text is only that there is a reason.
            (FAILURE, _) => reason,
            _ => format!("{general}: {reason}"),
        };
        Err(Status {
            routine: major & ROUTINE,
            text,
        })
    }

    fn text(&'static self, code: u32, kind: c_int) -> String {
        let mut out = self.buffer();
        let (mut minor, mut context) = (0, 0);
        // SAFETY: the out-pointers are valid; no mechanism is named, so the library finds the one
        // that the code came from. Only the first of several texts is asked for, so `context`
        // starts and stays ours.
        let major = unsafe {
            (self.display_status)(
                &raw mut minor,
                code,
                kind,
                null(),
                &raw mut context,
                &raw mut out.raw,
            )
        };
        if major & ERRORS != 0 {
            return format!("status {code:#x}");
        }
        String::from_utf8_lossy(out.bytes())
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_TEXT)
            .collect()
    }

    fn buffer(&'static self) -> OwnedBuffer {
        OwnedBuffer {
            gss: self,
            raw: Buffer {
                length: 0,
                value: null_mut(),
            },
        }
    }
}

/// What one token of a client led to.
pub(crate) enum Leg {
    /// The client is known.
    Complete(Peer),
    /// The library wants another token.
    More,
}

/// An authenticated client.
pub(crate) struct Peer {
    /// Who it is.
    pub(crate) name: Name,
    /// The server's proof for the client, if it asked for one.
    pub(crate) reply: Option<Vec<u8>>,
    /// The ticket is of nobody.
    pub(crate) anonymous: bool,
    /// The client and this side named the same TLS channel.
    pub(crate) channel_bound: bool,
    /// The mechanism that was negotiated is Kerberos.
    pub(crate) kerberos: bool,
}

/// A credential of either side.
pub(crate) struct Credential {
    gss: &'static Gss,
    handle: *mut c_void,
}

// SAFETY: the handle is not bound to a thread. MIT's acceptor and initiator hold a mutex of the
// credential (`_krb5_gss_cred_id_rec.lock`) from its first use to their end; the SPNEGO part around
// it is written only by `gss_set_neg_mechs`, before the credential is shared. Keytabs and replay
// caches "may happen in multiple threads simultaneously" (MIT, doc/threads.txt); the replay cache
// file is locked per open file description.
unsafe impl Send for Credential {}
// SAFETY: as above; through a shared reference a credential is only used, never changed.
unsafe impl Sync for Credential {}

impl Credential {
    /// Takes a client's first token.
    pub(crate) fn accept(&self, token: &[u8], bindings: Option<&[u8]>) -> Result<Leg, Status> {
        let gss = self.gss;
        let mut context = gss.context();
        let mut name = Name {
            gss,
            handle: null_mut(),
        };
        let mut reply = gss.buffer();
        let input = Buffer::lend(token);
        let bindings = bindings.map(ChannelBindings::new);
        let (mut minor, mut flags, mut mechanism) = (0, 0, null());
        // SAFETY: the credential is live; context and name start as null and are owned by their
        // guards whatever happens; `input` and `bindings` outlive the call, which only reads them;
        // the out-pointers are valid, and null where the answer is not wanted: a delegated
        // credential is then not kept.
        let major = unsafe {
            (gss.accept_sec_context)(
                &raw mut minor,
                &raw mut context.handle,
                self.handle,
                &raw const input,
                bindings.as_ref().map_or(null(), |b| &raw const *b),
                &raw mut name.handle,
                &raw mut mechanism,
                &raw mut reply.raw,
                &raw mut flags,
                null_mut(),
                null_mut(),
            )
        };
        gss.check(major, minor)?;
        if major & CONTINUE_NEEDED != 0 {
            return Ok(Leg::More);
        }
        // SAFETY: on success the library answers a pointer to an OID of its own that lives as long
        // as it is loaded, or null, which `as_ref` sees.
        let mechanism = unsafe { mechanism.as_ref() }.map_or(&[][..], Oid::bytes);
        Ok(Leg::Complete(Peer {
            name,
            reply: reply.to_vec(),
            anonymous: flags & ANONYMOUS != 0,
            channel_bound: flags & CHANNEL_BOUND != 0,
            kerberos: mechanism == KERBEROS || mechanism == KERBEROS_MICROSOFT,
        }))
    }
}

impl Credential {
    /// Whose it is.
    pub(crate) fn owner(&self) -> Result<Name, Status> {
        let gss = self.gss;
        let mut name = Name {
            gss,
            handle: null_mut(),
        };
        let mut minor = 0;
        // SAFETY: the credential is live; the name is owned by its guard; the other out-pointers
        // are null, since those answers are not wanted.
        let major = unsafe {
            (gss.inquire_cred)(
                &raw mut minor,
                self.handle,
                &raw mut name.handle,
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        gss.check(major, minor)?;
        Ok(name)
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the handle is null, which the call allows, or owned and not used again.
        unsafe { (self.gss.release_cred)(&raw mut minor, &raw mut self.handle) };
    }
}

/// A name of the library's: a service, or an authenticated client with their attributes.
pub(crate) struct Name {
    gss: &'static Gss,
    handle: *mut c_void,
}

// SAFETY: the handle is not bound to a thread, and has one owner.
unsafe impl Send for Name {}
// SAFETY: the functions that take a name by shared reference only read it.
unsafe impl Sync for Name {}

impl Name {
    /// The name as text, `alice@CORP.EXAMPLE`.
    pub(crate) fn display(&self) -> Result<Vec<u8>, Status> {
        let mut text = self.gss.buffer();
        let mut minor = 0;
        // SAFETY: the name is live; the out-pointers are valid, the name's type is not wanted.
        let major = unsafe {
            (self.gss.display_name)(&raw mut minor, self.handle, &raw mut text.raw, null_mut())
        };
        self.gss.check(major, minor)?;
        Ok(text.bytes().to_vec())
    }

    /// An attribute, if the name has it and the library vouches for it: for those of the PAC, it
    /// has checked the signature made with the service's key.
    pub(crate) fn authenticated_attribute(&self, urn: &str) -> Result<Option<Vec<u8>>, Status> {
        let (mut value, mut display) = (self.gss.buffer(), self.gss.buffer());
        let urn = Buffer::lend(urn.as_bytes());
        let (mut minor, mut authenticated, mut complete, mut more) = (0, 0, 0, FIRST_VALUE);
        // SAFETY: the name is live; `urn` outlives the call; the out-pointers are valid.
        let major = unsafe {
            (self.gss.get_name_attribute)(
                &raw mut minor,
                self.handle,
                &raw const urn,
                &raw mut authenticated,
                &raw mut complete,
                &raw mut value.raw,
                &raw mut display.raw,
                &raw mut more,
            )
        };
        match self.gss.check(major, minor) {
            Err(status) if status.routine == Status::UNAVAILABLE => return Ok(None),
            outcome => outcome?,
        }
        Ok((authenticated != 0).then(|| value.bytes().to_vec()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        let mut minor = 0;
        // SAFETY: the handle is owned and not used again.
        unsafe { (self.gss.release_name)(&raw mut minor, &raw mut self.handle) };
    }
}

/// A buffer that the library filled.
struct OwnedBuffer {
    gss: &'static Gss,
    raw: Buffer,
}

impl OwnedBuffer {
    fn bytes(&self) -> &[u8] {
        if self.raw.value.is_null() || self.raw.length == 0 {
            return &[];
        }
        // SAFETY: the library filled the buffer with `length` bytes at `value`, which belong to
        // this guard until its `Drop`; the slice borrows the guard.
        unsafe { slice::from_raw_parts(self.raw.value.cast(), self.raw.length) }
    }

    fn to_vec(&self) -> Option<Vec<u8>> {
        Some(self.bytes().to_vec()).filter(|bytes| !bytes.is_empty())
    }
}

impl Drop for OwnedBuffer {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the buffer is empty, which the call allows, or was allocated by the library and
        // is not used again.
        unsafe { (self.gss.release_buffer)(&raw mut minor, &raw mut self.raw) };
    }
}

/// The dynamic linker's own words are behind the error.
fn missing(error: &libloading::Error) -> NegotiateError {
    let linker = std::error::Error::source(error).map(ToString::to_string);
    NegotiateError::NoLibrary {
        reason: linker.unwrap_or_else(|| error.to_string()),
    }
}

/// A function of the library.
///
/// # Safety
/// `F` is the type of a C function pointer with the prototype of the function of that name, and
/// the answer is not used once `library` is closed.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Result<F, NegotiateError> {
    // SAFETY: the caller vouches for the type.
    Ok(*unsafe { library.get::<F>(name) }.map_err(|error| missing(&error))?)
}

const SONAME: &str = "libgssapi_krb5.so.2";
/// The longest text of a status, in characters: file and principal names are in it.
const MAX_TEXT: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_package_to_install() {
        let Err(error) = Gss::open("libgssapi_of_nobody.so.2") else {
            panic!("there is no such library");
        };
        assert!(matches!(error, NegotiateError::NoLibrary { .. }));
        let text = error.to_string();
        assert!(text.contains("libgssapi-krb5-2"), "{text}");
        assert!(text.contains("libgssapi_of_nobody.so.2"), "{text}");
    }

    #[test]
    fn a_library_without_the_functions_is_as_good_as_none() {
        let Err(error) = Gss::open("libc.so.6") else {
            panic!("the C library has no GSS-API");
        };
        assert!(
            error.to_string().contains("gss_acquire_cred_from"),
            "{error}"
        );
    }
}
