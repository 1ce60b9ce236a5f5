//! Objects as bytes, in the order and with the identifiers that .NET gives them (example 4.3):
//! an object's texts stand inside it, other objects follow in the order they were referred to,
//! and a class is described once ([MS-RMPRS] 2.3.4 to 2.3.6).

use std::collections::VecDeque;

use super::ProductVersion;
use super::class::{Class, LibraryKind, MemberKind, SYSTEM_LIBRARY};
use super::record::{RecordType, STRING_CODE};

/// A message under construction. `O` is what is written later under an identifier given now.
pub(super) struct Writer<O> {
    out: Vec<u8>,
    version: ProductVersion,
    last_id: i32,
    described: Vec<(Class, i32)>,
    libraries: Vec<(LibraryKind, i32)>,
    later: VecDeque<(i32, O)>,
}

impl<O> Writer<O> {
    /// A message whose root is the object with identifier 1 (2.3.1.1).
    pub(super) fn new(version: ProductVersion) -> Self {
        let mut writer = Self {
            out: Vec::with_capacity(TYPICAL),
            version,
            last_id: 0,
            described: Vec::new(),
            libraries: Vec::new(),
            later: VecDeque::new(),
        };
        writer.record(RecordType::SerializedStreamHeader);
        for number in [ROOT, RESERVED, MAJOR, MINOR] {
            writer.int32(number);
        }
        writer
    }

    /// Ends the message.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.record(RecordType::MessageEnd);
        self.out
    }

    /// An identifier nobody has.
    pub(super) fn id(&mut self) -> i32 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    /// The next of the objects that were referred to and not written.
    pub(super) fn next(&mut self) -> Option<(i32, O)> {
        self.later.pop_front()
    }

    pub(super) fn record(&mut self, record: RecordType) {
        self.byte(record.code());
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub(super) fn int32(&mut self, number: i32) {
        self.out.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn single(&mut self, number: f32) {
        self.out.extend_from_slice(&number.to_le_bytes());
    }

    /// A text with its length before it (2.3.3.4).
    pub(super) fn text(&mut self, text: &str) {
        let mut length = text.len();
        while length > 0x7f {
            // The lower seven bits: nothing is lost.
            self.byte(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        self.byte(u8::try_from(length).unwrap_or_default());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A text with the code of its type before it (2.3.3.3).
    pub(super) fn coded_text(&mut self, text: &str) {
        self.byte(STRING_CODE);
        self.text(text);
    }

    /// A text as an object of its own; answers with its identifier.
    pub(super) fn string(&mut self, text: &str) -> i32 {
        let id = self.id();
        self.record(RecordType::BinaryObjectString);
        self.int32(id);
        self.text(text);
        id
    }

    pub(super) fn optional_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.string(text);
            }
            None => self.nulls(1),
        }
    }

    /// So many nulls, in the shortest of three ways.
    pub(super) fn nulls(&mut self, count: usize) {
        match (u8::try_from(count), count) {
            (_, 0) => {}
            (_, 1) => self.record(RecordType::ObjectNull),
            (Ok(count), _) => {
                self.record(RecordType::ObjectNullMultiple256);
                self.byte(count);
            }
            (Err(_), _) => {
                self.record(RecordType::ObjectNullMultiple);
                self.count(count);
            }
        }
    }

    /// The begin of an array; its items are to follow.
    pub(super) fn array(&mut self, record: RecordType, id: i32, length: usize) {
        self.record(record);
        self.int32(id);
        self.count(length);
    }

    pub(super) fn reference(&mut self, id: i32) {
        self.record(RecordType::MemberReference);
        self.int32(id);
    }

    /// Refers to an object that is written later.
    pub(super) fn refer(&mut self, object: O) {
        let id = self.id();
        self.reference(id);
        self.later.push_back((id, object));
    }

    pub(super) fn refer_optional(&mut self, object: Option<O>) {
        match object {
            Some(object) => self.refer(object),
            None => self.nulls(1),
        }
    }

    /// The begin of an object; its members are to follow.
    pub(super) fn class(&mut self, class: Class, id: i32) {
        let known = self.described.iter().find(|(known, _)| *known == class);
        if let Some(&(_, description)) = known {
            self.record(RecordType::ClassWithId);
            self.int32(id);
            self.int32(description);
            return;
        }
        self.described.push((class, id));
        let members = class.members();
        let own = class.library().map(|library| self.library(library));
        for member in members {
            if let MemberKind::Class(other) = member.kind
                && let Some(library) = other.library()
            {
                self.library(library);
            }
        }
        self.record(match own {
            Some(_) => RecordType::ClassWithMembersAndTypes,
            None => RecordType::SystemClassWithMembersAndTypes,
        });
        self.int32(id);
        self.text(class.name());
        self.count(members.len());
        for member in members {
            self.text(member.name);
        }
        for member in members {
            self.byte(member.kind.binary_type().code());
        }
        for member in members {
            match member.kind {
                MemberKind::Primitive(kind) => self.byte(kind.code()),
                MemberKind::SystemClass(name) => self.text(name),
                MemberKind::Class(other) => {
                    self.text(other.name());
                    if let Some(library) = other.library() {
                        let id = self.library(library);
                        self.int32(id);
                    }
                }
                MemberKind::String | MemberKind::Object | MemberKind::ObjectArray => {}
            }
        }
        if let Some(library) = own {
            self.int32(library);
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        // Whoever writes more has filled memory long before.
        self.int32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// The identifier of a library, which is declared here the first time.
    fn library(&mut self, library: LibraryKind) -> i32 {
        let known = self.libraries.iter().find(|(known, _)| *known == library);
        if let Some(&(_, id)) = known {
            return id;
        }
        let id = self.id();
        self.libraries.push((library, id));
        self.record(RecordType::BinaryLibrary);
        self.int32(id);
        match library {
            LibraryKind::System => self.text(SYSTEM_LIBRARY),
            LibraryKind::DirectoryServices => self.text(&self.version.library_name()),
        }
        id
    }
}

/// Identifier of the root.
const ROOT: i32 = 1;
/// Version of the format, and what stands before it (2.3.1.1).
pub(super) const MAJOR: i32 = 1;
pub(super) const MINOR: i32 = 0;
const RESERVED: i32 = -1;
/// Capacity to start a message with: the answer of example 4.3.
const TYPICAL: usize = 2048;
