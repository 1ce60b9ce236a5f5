//! The library's types, prototypes and numbers, as `gssapi.h` (RFC 2744 appendix A) and
//! `gssapi_ext.h` of ABI version 2 have them. Structures that point to what callers lend them say
//! so; the calls that read them are in the module above.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::slice;

/// `gss_buffer_desc`.
#[repr(C)]
pub(super) struct Buffer {
    pub(super) length: usize,
    pub(super) value: *mut c_void,
}

impl Buffer {
    /// Lends bytes to a call that only reads them, in spite of the type of the pointer.
    pub(super) fn lend(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len(),
            value: bytes.as_ptr().cast_mut().cast(),
        }
    }
}

/// `gss_OID_desc`, of static bytes or the library's own.
#[repr(C)]
pub(super) struct Oid {
    length: u32,
    elements: *const c_void,
}

impl Oid {
    pub(super) fn new(bytes: &'static [u8]) -> Self {
        Self {
            // All are constants of a few bytes.
            length: u32::try_from(bytes.len()).unwrap_or(0),
            elements: bytes.as_ptr().cast(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.elements.is_null() {
            return &[];
        }
        // SAFETY: an OID is either made by `new`, of static bytes, or by the library, of bytes
        // that live as long as it is loaded; `length` counts them.
        unsafe { slice::from_raw_parts(self.elements.cast(), self.length as usize) }
    }
}

/// `gss_OID_set_desc`.
#[repr(C)]
pub(super) struct OidSet {
    pub(super) count: usize,
    pub(super) elements: *const Oid,
}

impl OidSet {
    /// Points into `oids`: the caller keeps them for as long.
    pub(super) fn new(oids: &[Oid]) -> Self {
        Self {
            count: oids.len(),
            elements: oids.as_ptr(),
        }
    }
}

/// `gss_key_value_element_desc`.
#[repr(C)]
pub(super) struct KeyValue {
    pub(super) key: *const c_char,
    pub(super) value: *const c_char,
}

impl KeyValue {
    /// Points to both: the caller keeps them for as long.
    pub(super) fn new(key: &'static CStr, value: &CStr) -> Self {
        Self {
            key: key.as_ptr(),
            value: value.as_ptr(),
        }
    }
}

/// `gss_key_value_set_desc`.
#[repr(C)]
pub(super) struct KeyValueSet {
    pub(super) count: u32,
    pub(super) elements: *const KeyValue,
}

/// `gss_channel_bindings_struct`, without addresses.
#[repr(C)]
pub(super) struct ChannelBindings {
    pub(super) initiator_address_type: u32,
    pub(super) initiator_address: Buffer,
    pub(super) acceptor_address_type: u32,
    pub(super) acceptor_address: Buffer,
    pub(super) application_data: Buffer,
}

impl ChannelBindings {
    /// Points to the data: the caller keeps it for as long.
    pub(super) fn new(application_data: &[u8]) -> Self {
        Self {
            initiator_address_type: 0,
            initiator_address: Buffer::lend(&[]),
            acceptor_address_type: 0,
            acceptor_address: Buffer::lend(&[]),
            application_data: Buffer::lend(application_data),
        }
    }
}

pub(super) type AcquireCredFrom = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    u32,
    *const OidSet,
    c_int,
    *const KeyValueSet,
    *mut *mut c_void,
    *mut *mut OidSet,
    *mut u32,
) -> u32;
pub(super) type SetNegMechs = unsafe extern "C" fn(*mut u32, *mut c_void, *const OidSet) -> u32;
pub(super) type AcceptSecContext = unsafe extern "C" fn(
    *mut u32,
    *mut *mut c_void,
    *mut c_void,
    *const Buffer,
    *const ChannelBindings,
    *mut *mut c_void,
    *mut *const Oid,
    *mut Buffer,
    *mut u32,
    *mut u32,
    *mut *mut c_void,
) -> u32;
pub(super) type InitSecContext = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    *mut *mut c_void,
    *mut c_void,
    *const Oid,
    u32,
    u32,
    *const ChannelBindings,
    *const Buffer,
    *mut *const Oid,
    *mut Buffer,
    *mut u32,
    *mut u32,
) -> u32;
pub(super) type InquireContext = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    *mut *mut c_void,
    *mut *mut c_void,
    *mut u32,
    *mut *const Oid,
    *mut u32,
    *mut c_int,
    *mut c_int,
) -> u32;
pub(super) type InquireCred = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    *mut *mut c_void,
    *mut u32,
    *mut c_int,
    *mut *mut OidSet,
) -> u32;
pub(super) type WrapSizeLimit =
    unsafe extern "C" fn(*mut u32, *mut c_void, c_int, u32, u32, *mut u32) -> u32;
pub(super) type Wrap = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    c_int,
    u32,
    *const Buffer,
    *mut c_int,
    *mut Buffer,
) -> u32;
pub(super) type Unwrap = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    *const Buffer,
    *mut Buffer,
    *mut c_int,
    *mut u32,
) -> u32;
pub(super) type ImportName =
    unsafe extern "C" fn(*mut u32, *const Buffer, *const Oid, *mut *mut c_void) -> u32;
pub(super) type DisplayName =
    unsafe extern "C" fn(*mut u32, *mut c_void, *mut Buffer, *mut *const Oid) -> u32;
pub(super) type GetNameAttribute = unsafe extern "C" fn(
    *mut u32,
    *mut c_void,
    *const Buffer,
    *mut c_int,
    *mut c_int,
    *mut Buffer,
    *mut Buffer,
    *mut c_int,
) -> u32;
pub(super) type DisplayStatus =
    unsafe extern "C" fn(*mut u32, u32, c_int, *const Oid, *mut u32, *mut Buffer) -> u32;
pub(super) type ReleaseBuffer = unsafe extern "C" fn(*mut u32, *mut Buffer) -> u32;
pub(super) type ReleaseHandle = unsafe extern "C" fn(*mut u32, *mut *mut c_void) -> u32;
pub(super) type DeleteSecContext =
    unsafe extern "C" fn(*mut u32, *mut *mut c_void, *mut Buffer) -> u32;

/// 1.2.840.113554.1.2.1.4, `GSS_C_NT_HOSTBASED_SERVICE`.
pub(super) const HOST_BASED_SERVICE: &[u8] =
    &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x01, 0x04];
/// 1.2.840.113554.1.2.2.1, `GSS_KRB5_NT_PRINCIPAL_NAME`.
pub(super) const PRINCIPAL_NAME: &[u8] =
    &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02, 0x01];

// gss_cred_usage_t, code types of gss_display_status, `more` of gss_get_name_attribute.
pub(super) const INITIATE: c_int = 1;
pub(super) const ACCEPT: c_int = 2;
pub(super) const GENERAL: c_int = 1;
pub(super) const MECHANISM: c_int = 2;
pub(super) const FIRST_VALUE: c_int = -1;
pub(super) const INDEFINITE: u32 = u32::MAX;

// Fields of a major status (RFC 2744 3.9.1).
// While a context is established, a duplicate (2) and an old token (4) are fatal too (5.1).
pub(super) const ERRORS: u32 = 0xFFFF_0000 | 2 | 4;
pub(super) const ROUTINE: u32 = 0x00FF_0000;
pub(super) const FAILURE: u32 = 13 << 16;
pub(super) const CONTINUE_NEEDED: u32 = 1;
/// Duplicate, old, out of sequence, after a gap: on a stream none of them can happen by itself.
pub(super) const OUT_OF_ORDER: u32 = 2 | 4 | 8 | 16;

// Flags of a context; the last is MIT's of version 1.19.
pub(super) const MUTUAL: u32 = 2;
pub(super) const REPLAY_DETECTED: u32 = 4;
pub(super) const SEQUENCE_KEPT: u32 = 8;
pub(super) const CONFIDENTIAL: u32 = 16;
pub(super) const INTEGRITY: u32 = 32;
pub(super) const ANONYMOUS: u32 = 64;
pub(super) const CHANNEL_BOUND: u32 = 2048;
