//! `KERB_VALIDATION_INFO` ([MS-PAC] 2.5): what a domain controller says of an account, in NDR
//! (C706 chapter 14) with the header of type serialization ([MS-RPCE] 2.2.6). SIDs are those of
//! [MS-DTYP] 2.4.2.
//!
//! Only bytes whose signature the library has checked come here, but the domain that made them may
//! be another company's: every length and count is held against what is there before it is used.

use std::collections::HashSet;

use thiserror::Error;

/// An account as its domain controller described it when the ticket was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logon {
    /// The SID of the account, `S-1-5-21-...`.
    pub user_sid: String,
    /// The SIDs of its groups, nested ones included, each once: global, universal, and those local
    /// to the service's domain; never distribution groups. Groups that may only deny are left out.
    pub group_sids: Vec<String>,
    /// The account's name (`sAMAccountName`).
    pub account: String,
    /// The short (`NetBIOS`) name of the account's domain.
    pub domain: String,
}

/// Why the description cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacError {
    /// Longer than a token can carry.
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The header is not that of little-endian NDR, or counts more bytes than there are.
    #[error("the header of the serialization is wrong")]
    Header,
    /// The bytes end within a field.
    #[error("cut off in {0}")]
    CutOff(&'static str),
    /// A count and the array that it counts disagree.
    #[error("the count of {0} and the array disagree")]
    Count(&'static str),
    /// A pointer that must lead somewhere does not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// More groups than any account can be in.
    #[error("more than {MAX_GROUPS} {0}")]
    TooMany(&'static str),
    /// A name is not UTF-16, or its lengths disagree.
    #[error("{0} is not a well-formed name")]
    Name(&'static str),
    /// A SID has another revision than 1 or too many parts.
    #[error("{0} is not a SID")]
    Sid(&'static str),
}

impl Logon {
    /// Reads the buffer `PAC_LOGON_INFO` of a PAC.
    pub fn read(bytes: &[u8]) -> Result<Self, PacError> {
        if bytes.len() > MAX_BYTES {
            return Err(PacError::TooLong);
        }
        let mut ndr = Ndr::open(bytes)?;
        let fixed = Fixed::read(&mut ndr)?;
        Self::referents(&fixed, &mut ndr)
    }

    /// What the pointers of the structure lead to follows it, in their order.
    fn referents(fixed: &Fixed, ndr: &mut Ndr) -> Result<Self, PacError> {
        let account = ndr.name(fixed.account, "EffectiveName")?;
        for (name, field) in fixed.profile.iter().zip(PROFILE) {
            ndr.name(*name, field)?;
        }
        let global = ndr.memberships(fixed.groups, "GroupIds")?;
        ndr.name(fixed.logon_server, "LogonServer")?;
        let domain = ndr.name(fixed.domain, "LogonDomainName")?;
        let domain_sid = ndr.optional_sid(fixed.has_domain_sid, "LogonDomainId")?;
        let extra = ndr.extra_sids(fixed.extra, "ExtraSids")?;
        let resource_domain =
            ndr.optional_sid(fixed.has_resource_domain, "ResourceGroupDomainSid")?;
        let resource = ndr.memberships(fixed.resource, "ResourceGroupIds")?;

        let mut extra = extra.into_iter();
        let user_sid = if fixed.user == 0 {
            // The account is not of the logon domain: the first extra SID is its own.
            extra.next().ok_or(PacError::Missing("UserId"))?.sid.text()
        } else {
            of_domain(domain_sid.as_ref(), fixed.user, "LogonDomainId")?
        };
        let mut groups = Groups::default();
        if fixed.primary_group != 0 && fixed.user != 0 {
            groups.add(of_domain(
                domain_sid.as_ref(),
                fixed.primary_group,
                "LogonDomainId",
            )?);
        }
        groups.add_members(&global, domain_sid.as_ref(), "LogonDomainId")?;
        for group in extra.filter(|group| allows(group.attributes)) {
            groups.add(group.sid.text());
        }
        groups.add_members(
            &resource,
            resource_domain.as_ref(),
            "ResourceGroupDomainSid",
        )?;
        Ok(Self {
            user_sid,
            group_sids: groups.sids,
            account,
            domain,
        })
    }
}

/// The part of the structure that has a fixed length: numbers, and whether pointers lead anywhere.
struct Fixed {
    account: Name,
    profile: [Name; PROFILE.len()],
    user: u32,
    primary_group: u32,
    groups: Array,
    logon_server: Name,
    domain: Name,
    has_domain_sid: bool,
    extra: Array,
    has_resource_domain: bool,
    resource: Array,
}

impl Fixed {
    fn read(ndr: &mut Ndr) -> Result<Self, PacError> {
        ndr.skip(6 * FILETIME, "LogonTime")?;
        let account = ndr.name_header("EffectiveName")?;
        let mut profile = [Name::default(); PROFILE.len()];
        for (name, field) in profile.iter_mut().zip(PROFILE) {
            *name = ndr.name_header(field)?;
        }
        ndr.skip(4, "LogonCount")?;
        let user = ndr.u32("UserId")?;
        let primary_group = ndr.u32("PrimaryGroupId")?;
        let groups = ndr.array_header("GroupIds")?;
        ndr.skip(4, "UserFlags")?;
        ndr.skip(16, "UserSessionKey")?;
        let logon_server = ndr.name_header("LogonServer")?;
        let domain = ndr.name_header("LogonDomainName")?;
        let has_domain_sid = ndr.pointer("LogonDomainId")?;
        ndr.skip(8, "Reserved1")?;
        ndr.skip(8, "UserAccountControl")?;
        ndr.skip(2 * FILETIME, "LastSuccessfulILogon")?;
        ndr.skip(8, "FailedILogonCount")?;
        Ok(Self {
            account,
            profile,
            user,
            primary_group,
            groups,
            logon_server,
            domain,
            has_domain_sid,
            extra: ndr.array_header("ExtraSids")?,
            has_resource_domain: ndr.pointer("ResourceGroupDomainSid")?,
            resource: ndr.array_header("ResourceGroupIds")?,
        })
    }
}

/// `RPC_UNICODE_STRING` without its characters.
#[derive(Clone, Copy, Default)]
struct Name {
    /// In UTF-16 units.
    length: usize,
    present: bool,
}

/// A count and a pointer to an array.
#[derive(Clone, Copy)]
struct Array {
    count: usize,
    present: bool,
}

/// `GROUP_MEMBERSHIP` ([MS-PAC] 2.2.2).
struct Membership {
    relative_id: u32,
    attributes: u32,
}

/// `KERB_SID_AND_ATTRIBUTES` ([MS-PAC] 2.2.1).
struct ExtraSid {
    sid: Sid,
    attributes: u32,
}

/// `RPC_SID` ([MS-DTYP] 2.4.2.3).
struct Sid {
    authority: u64,
    sub_authorities: Vec<u32>,
}

impl Sid {
    /// The text form ([MS-DTYP] 2.4.2.1).
    fn text(&self) -> String {
        let authority = if self.authority > u64::from(u32::MAX) {
            format!("0x{:012X}", self.authority)
        } else {
            self.authority.to_string()
        };
        let parts = self.sub_authorities.iter().map(u32::to_string);
        let parts: Vec<String> = ["S-1".to_owned(), authority]
            .into_iter()
            .chain(parts)
            .collect();
        parts.join("-")
    }
}

/// The SID of an account or group of a domain.
fn of_domain(
    domain: Option<&Sid>,
    relative_id: u32,
    field: &'static str,
) -> Result<String, PacError> {
    let domain = domain.ok_or(PacError::Missing(field))?;
    if domain.sub_authorities.len() >= MAX_SUB_AUTHORITIES {
        return Err(PacError::Sid(field));
    }
    Ok(format!("{}-{relative_id}", domain.text()))
}

/// Whether a membership may grant anything: enabled, and not there only to deny.
fn allows(attributes: u32) -> bool {
    attributes & GROUP_ENABLED != 0 && attributes & GROUP_USE_FOR_DENY_ONLY == 0
}

/// SIDs in the order in which they came, each once.
#[derive(Default)]
struct Groups {
    sids: Vec<String>,
    seen: HashSet<String>,
}

impl Groups {
    fn add(&mut self, sid: String) {
        if self.seen.insert(sid.clone()) {
            self.sids.push(sid);
        }
    }

    fn add_members(
        &mut self,
        memberships: &[Membership],
        domain: Option<&Sid>,
        field: &'static str,
    ) -> Result<(), PacError> {
        for membership in memberships.iter().filter(|m| allows(m.attributes)) {
            self.add(of_domain(domain, membership.relative_id, field)?);
        }
        Ok(())
    }
}

/// A walk over NDR. Alignment counts from the start of the structure, at a multiple of 8.
struct Ndr<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Ndr<'a> {
    /// Reads the headers of type serialization and the pointer to the structure.
    fn open(bytes: &'a [u8]) -> Result<Self, PacError> {
        let (common, rest) = bytes.split_first_chunk::<8>().ok_or(PacError::Header)?;
        let (private, rest) = rest.split_first_chunk::<8>().ok_or(PacError::Header)?;
        let [version, endianness, l0, l1, ..] = *common;
        let [o0, o1, o2, o3, ..] = *private;
        let length = u32::from_le_bytes([o0, o1, o2, o3]) as usize;
        if version != 1 || endianness != LITTLE_ENDIAN || u16::from_le_bytes([l0, l1]) != 8 {
            return Err(PacError::Header);
        }
        let bytes = rest.get(..length).ok_or(PacError::Header)?;
        let mut ndr = Self { bytes, position: 0 };
        if ndr.pointer("KERB_VALIDATION_INFO")? {
            Ok(ndr)
        } else {
            Err(PacError::Missing("KERB_VALIDATION_INFO"))
        }
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], PacError> {
        let end = self.position.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.position..end));
        let taken = taken.ok_or(PacError::CutOff(field))?;
        self.position += length;
        Ok(taken)
    }

    fn skip(&mut self, length: usize, field: &'static str) -> Result<(), PacError> {
        self.take(length, field).map(|_| ())
    }

    /// To the next multiple of 4, where all numbers here stand; past the end is nobody's concern
    /// until something is read there.
    fn align(&mut self) {
        self.position = self.position.next_multiple_of(4);
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, PacError> {
        let bytes = self.take(2, field)?.first_chunk();
        Ok(u16::from_le_bytes(*bytes.ok_or(PacError::CutOff(field))?))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, PacError> {
        let bytes = self.take(4, field)?.first_chunk();
        Ok(u32::from_le_bytes(*bytes.ok_or(PacError::CutOff(field))?))
    }

    /// A number of elements; what they are held against is in bytes of at most 64 KiB.
    fn size(&mut self, field: &'static str) -> Result<usize, PacError> {
        usize::try_from(self.u32(field)?).map_err(|_| PacError::Count(field))
    }

    /// Whether a unique pointer leads anywhere; its value has no meaning.
    fn pointer(&mut self, field: &'static str) -> Result<bool, PacError> {
        Ok(self.u32(field)? != 0)
    }

    fn name_header(&mut self, field: &'static str) -> Result<Name, PacError> {
        let length = self.u16(field)?;
        let maximum = self.u16(field)?;
        if length % 2 != 0 || length > maximum {
            return Err(PacError::Name(field));
        }
        Ok(Name {
            length: usize::from(length / 2),
            present: self.pointer(field)?,
        })
    }

    /// The characters of a name: a conformant varying array that begins at 0.
    fn name(&mut self, name: Name, field: &'static str) -> Result<String, PacError> {
        if !name.present {
            return if name.length == 0 {
                Ok(String::new())
            } else {
                Err(PacError::Missing(field))
            };
        }
        self.align();
        let maximum = self.size(field)?;
        let offset = self.size(field)?;
        let count = self.size(field)?;
        if offset != 0 || count != name.length || count > maximum {
            return Err(PacError::Name(field));
        }
        // At most 65,534 bytes, since the length had 16 bits.
        let bytes = self.take(count * 2, field)?;
        let units = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|unit| u16::from_le_bytes(*unit));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or(PacError::Name(field))
    }

    fn array_header(&mut self, field: &'static str) -> Result<Array, PacError> {
        let count = self.size(field)?;
        if count > MAX_GROUPS {
            return Err(PacError::TooMany(field));
        }
        Ok(Array {
            count,
            present: self.pointer(field)?,
        })
    }

    /// The elements of a conformant array of pairs of numbers, `count` times 8 bytes.
    fn pairs(
        &mut self,
        array: Array,
        field: &'static str,
    ) -> Result<impl Iterator<Item = [u32; 2]> + use<'a>, PacError> {
        let bytes = if array.present {
            self.align();
            if self.size(field)? != array.count {
                return Err(PacError::Count(field));
            }
            // At most MAX_GROUPS times 8.
            self.take(array.count * 8, field)?
        } else if array.count == 0 {
            &[]
        } else {
            return Err(PacError::Missing(field));
        };
        let (numbers, _) = bytes.as_chunks::<4>();
        let (pairs, _) = numbers.as_chunks::<2>();
        Ok(pairs.iter().map(|pair| pair.map(u32::from_le_bytes)))
    }

    fn memberships(
        &mut self,
        array: Array,
        field: &'static str,
    ) -> Result<Vec<Membership>, PacError> {
        let pairs = self.pairs(array, field)?;
        Ok(pairs
            .map(|[relative_id, attributes]| Membership {
                relative_id,
                attributes,
            })
            .collect())
    }

    /// Pointers to SIDs with their attributes, and then the SIDs.
    fn extra_sids(&mut self, array: Array, field: &'static str) -> Result<Vec<ExtraSid>, PacError> {
        self.pairs(array, field)?
            .map(|[pointer, attributes]| {
                if pointer == 0 {
                    return Err(PacError::Missing(field));
                }
                Ok(ExtraSid {
                    sid: self.sid(field)?,
                    attributes,
                })
            })
            .collect()
    }

    fn optional_sid(
        &mut self,
        present: bool,
        field: &'static str,
    ) -> Result<Option<Sid>, PacError> {
        present.then(|| self.sid(field)).transpose()
    }

    /// A conformant structure: the number of sub-authorities stands before it as well.
    fn sid(&mut self, field: &'static str) -> Result<Sid, PacError> {
        self.align();
        let size = self.size(field)?;
        let head = self.take(8, field)?.first_chunk();
        let &[revision, count, ref authority @ ..]: &[u8; 8] =
            head.ok_or(PacError::CutOff(field))?;
        if revision != 1 || !(1..=MAX_SUB_AUTHORITIES).contains(&usize::from(count)) {
            return Err(PacError::Sid(field));
        }
        if size != usize::from(count) {
            return Err(PacError::Count(field));
        }
        let parts = self.take(size * 4, field)?;
        Ok(Sid {
            authority: authority
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            sub_authorities: parts
                .as_chunks::<4>()
                .0
                .iter()
                .map(|part| u32::from_le_bytes(*part))
                .collect(),
        })
    }
}

/// Names of the structure that are passed over, in their order.
const PROFILE: [&str; 5] = [
    "FullName",
    "LogonScript",
    "ProfilePath",
    "HomeDirectory",
    "HomeDirectoryDrive",
];

/// No token is longer, so no description is.
const MAX_BYTES: usize = crate::MAX_TOKEN;
/// In each of the three lists. Windows gives nobody a token with more than 1,024 SIDs.
const MAX_GROUPS: usize = 1_024;
const MAX_SUB_AUTHORITIES: usize = 15;
const FILETIME: usize = 8;
const LITTLE_ENDIAN: u8 = 0x10;
/// `SE_GROUP_ENABLED` and `SE_GROUP_USE_FOR_DENY_ONLY` of an access token; domain controllers set
/// the first and, so far, never the second.
const GROUP_ENABLED: u32 = 0x4;
const GROUP_USE_FOR_DENY_ONLY: u32 = 0x10;
