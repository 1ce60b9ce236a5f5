//! A writer of `KERB_VALIDATION_INFO` ([MS-PAC] 2.5) as a domain controller sends it, which notes
//! where each field stands, so that tests can break it.

// Each test program uses another part of this, and helpers of tests may panic as tests do.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

/// The fields that a reader may care about; the rest is written as zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogonInfo {
    pub(crate) times: [u64; 6],
    pub(crate) account: String,
    /// `FullName` to `HomeDirectoryDrive`.
    pub(crate) profile: [String; 5],
    pub(crate) logon_count: u16,
    pub(crate) user: u32,
    pub(crate) primary_group: u32,
    pub(crate) groups: Vec<(u32, u32)>,
    pub(crate) user_flags: u32,
    pub(crate) logon_server: String,
    pub(crate) domain: String,
    pub(crate) domain_sid: Option<Sid>,
    pub(crate) account_control: u32,
    pub(crate) extra: Vec<(Sid, u32)>,
    pub(crate) resource_domain: Option<Sid>,
    pub(crate) resource: Vec<(u32, u32)>,
}

/// A SID before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sid {
    pub(crate) authority: u64,
    pub(crate) parts: Vec<u32>,
}

impl Sid {
    pub(crate) fn nt(parts: &[u32]) -> Self {
        Self {
            authority: 5,
            parts: parts.to_vec(),
        }
    }
}

/// Written bytes, and where fields begin in them.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    places: BTreeMap<&'static str, usize>,
}

impl Encoded {
    pub(crate) fn place(&self, field: &str) -> usize {
        let place = self.places.get(field);
        *place.unwrap_or_else(|| panic!("no field {field}"))
    }

    /// With other bytes at a field, `shift` bytes after its beginning.
    pub(crate) fn patched(&self, field: &str, shift: usize, with: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let at = self.place(field) + shift;
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    }

    /// Ending within a field, with a header that says so.
    pub(crate) fn cut(&self, field: &str, shift: usize) -> Vec<u8> {
        let mut bytes = self.bytes[..self.place(field) + shift].to_vec();
        seal(&mut bytes);
        bytes
    }
}

impl LogonInfo {
    /// An account in every kind of group.
    pub(crate) fn sample() -> Self {
        Self {
            account: "zoë".to_owned(),
            profile: [
                "Zoë Łukasz".to_owned(),
                String::new(),
                r"\\files\zoe".to_owned(),
                String::new(),
                "H:".to_owned(),
            ],
            user: 1_105,
            primary_group: 513,
            groups: vec![(513, 7), (1_110, 7), (1_111, 7)],
            user_flags: 0x220,
            logon_server: "DC1".to_owned(),
            domain: "CORP".to_owned(),
            domain_sid: Some(Sid::nt(&[21, 1, 2, 3])),
            extra: vec![
                (
                    Sid {
                        authority: 18,
                        parts: vec![1],
                    },
                    7,
                ),
                (Sid::nt(&[21, 7, 8, 9, 1_200]), 7),
            ],
            resource_domain: Some(Sid::nt(&[21, 4, 5, 6])),
            resource: vec![(1_300, 0x2000_0007), (1_301, 0x2000_0007)],
            ..Self::default()
        }
    }

    pub(crate) fn encode(&self) -> Encoded {
        let mut writer = Writer::default();
        writer.fixed(self);
        writer.referents(self);
        let length = writer.bytes.len().next_multiple_of(8);
        writer.bytes.resize(length, 0);
        seal(&mut writer.bytes);
        Encoded {
            bytes: writer.bytes,
            places: writer.places,
        }
    }
}

/// Writes the length of what follows into the header.
fn seal(bytes: &mut [u8]) {
    let length = u32::try_from(bytes.len() - 16).unwrap();
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    places: BTreeMap<&'static str, usize>,
    pointers: u32,
}

impl Writer {
    fn fixed(&mut self, info: &LogonInfo) {
        self.mark("header");
        self.bytes.extend([
            1, 0x10, 8, 0, 0xCC, 0xCC, 0xCC, 0xCC, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        self.mark("top");
        self.pointer(true);
        for time in info.times {
            self.bytes.extend(time.to_le_bytes());
        }
        self.mark("account");
        self.name_header(&info.account, 0);
        for name in &info.profile {
            self.name_header(name, 0);
        }
        self.bytes.extend(info.logon_count.to_le_bytes());
        self.bytes.extend([0; 2]);
        self.mark("user");
        self.u32(info.user);
        self.u32(info.primary_group);
        self.mark("groups");
        self.array_header(info.groups.len());
        self.u32(info.user_flags);
        self.bytes.extend([0; 16]);
        self.name_header(&info.logon_server, 1);
        self.mark("domain");
        self.name_header(&info.domain, 1);
        self.mark("domain sid");
        self.pointer(info.domain_sid.is_some());
        self.bytes.extend([0; 8]);
        self.u32(info.account_control);
        self.bytes.extend([0; 4 + 16 + 8]);
        self.mark("extra");
        self.array_header(info.extra.len());
        self.mark("resource domain");
        self.pointer(info.resource_domain.is_some());
        self.mark("resource");
        self.array_header(info.resource.len());
    }

    fn referents(&mut self, info: &LogonInfo) {
        self.mark("account text");
        self.name(&info.account, 0);
        for name in &info.profile {
            self.name(name, 0);
        }
        self.mark("groups array");
        self.memberships(&info.groups);
        self.name(&info.logon_server, 1);
        self.name(&info.domain, 1);
        self.mark("domain sid value");
        if let Some(sid) = &info.domain_sid {
            self.sid(sid);
        }
        self.mark("extra array");
        if !info.extra.is_empty() {
            self.count(info.extra.len());
            for (_, attributes) in &info.extra {
                self.pointer(true);
                self.u32(*attributes);
            }
            self.mark("extra sid");
            for (sid, _) in &info.extra {
                self.sid(sid);
            }
        }
        self.mark("resource domain value");
        if let Some(sid) = &info.resource_domain {
            self.sid(sid);
        }
        self.mark("resource array");
        self.memberships(&info.resource);
    }

    fn mark(&mut self, field: &'static str) {
        self.places.insert(field, self.bytes.len());
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap());
    }

    /// Numbered as Samba numbers them.
    fn pointer(&mut self, present: bool) {
        let value = if present {
            self.pointers += 1;
            0x0002_0000 + 4 * (self.pointers - 1)
        } else {
            0
        };
        self.u32(value);
    }

    fn array_header(&mut self, count: usize) {
        self.count(count);
        self.pointer(count != 0);
    }

    fn name_header(&mut self, text: &str, spare: usize) {
        let units = text.encode_utf16().count();
        for length in [units, units + spare] {
            let bytes = u16::try_from(length * 2).unwrap();
            self.bytes.extend(bytes.to_le_bytes());
        }
        self.pointer(true);
    }

    fn name(&mut self, text: &str, spare: usize) {
        let units: Vec<u16> = text.encode_utf16().collect();
        self.count(units.len() + spare);
        self.u32(0);
        self.count(units.len());
        self.bytes
            .extend(units.into_iter().flat_map(u16::to_le_bytes));
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }

    fn memberships(&mut self, memberships: &[(u32, u32)]) {
        if memberships.is_empty() {
            return;
        }
        self.count(memberships.len());
        for (relative_id, attributes) in memberships {
            self.u32(*relative_id);
            self.u32(*attributes);
        }
    }

    fn sid(&mut self, sid: &Sid) {
        self.count(sid.parts.len());
        self.bytes
            .extend([1, u8::try_from(sid.parts.len()).unwrap()]);
        self.bytes.extend(&sid.authority.to_be_bytes()[2..]);
        for part in &sid.parts {
            self.u32(*part);
        }
    }
}
