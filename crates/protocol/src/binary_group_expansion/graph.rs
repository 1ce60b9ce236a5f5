//! The objects of a message by their identifiers ([MS-RMPRS] 2.3.4 to 2.3.6), read in one pass
//! and asked for by whoever knows which object belongs where.
//!
//! Memory is bounded by the length of the message: texts stay in it, and a run of nulls is one
//! item however long it says it is.

use std::collections::HashMap;

use super::ProductVersion;
use super::class::{Class, LibraryKind, MemberKind, SYSTEM_LIBRARY};
use super::cursor::Cursor;
use super::error::BinaryError;
use super::record::{PrimitiveType, RecordType};
use crate::error::excerpt;
use crate::limits::Limits;

/// The objects of a message.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    objects: HashMap<i32, Object<'a>>,
    /// The version whose classes are in the message.
    pub(super) version: Option<ProductVersion>,
}

/// An object.
#[derive(Debug)]
enum Object<'a> {
    Text(&'a str),
    /// Texts, in `TargetGroups` alone.
    Texts(Array<'a>),
    Array(Array<'a>),
    Class(Class, Vec<Item<'a>>),
    /// Its class is known, its members are being read.
    Open(Class),
}

/// An array.
#[derive(Debug)]
pub(super) struct Array<'a> {
    /// Slots, nulls included. Only a number: nothing of this size was ever allocated.
    pub(super) length: u32,
    items: Vec<Item<'a>>,
}

/// What a member or a slot of an array holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'a> {
    /// So many slots of nothing, at least one; in a member exactly one.
    Nulls(u32),
    Boolean(bool),
    Byte(u8),
    Int32(i32),
    Single(f32),
    Text(&'a str),
    /// An object, by its identifier.
    Reference(i32),
}

impl<'a> Array<'a> {
    /// Every slot, nulls one by one. Bound what is taken.
    pub(super) fn slots(&self) -> impl Iterator<Item = Item<'a>> {
        self.items.iter().flat_map(|item| {
            let (item, times) = match *item {
                Item::Nulls(count) => (Item::Nulls(1), count),
                other => (other, 1),
            };
            (0..times).map(move |_| item)
        })
    }
}

impl Array<'_> {
    /// Whether anything stands behind the first null.
    pub(super) fn continues_after_null(&self) -> bool {
        let mut items = self.items.iter();
        items.any(|item| matches!(item, Item::Nulls(_))) && items.next().is_some()
    }
}

impl<'a> Graph<'a> {
    /// Reads all records up to and with the end of the message.
    pub(super) fn read(cursor: Cursor<'a>, limits: &Limits) -> Result<Self, BinaryError> {
        let mut reader = Reader {
            cursor,
            objects: HashMap::new(),
            libraries: HashMap::new(),
            version: None,
            records: 0,
            limits,
        };
        loop {
            let (record, at) = reader.record()?;
            match record {
                RecordType::MessageEnd => break,
                RecordType::BinaryLibrary => reader.library()?,
                RecordType::BinaryObjectString => {
                    reader.string()?;
                }
                RecordType::ArraySingleObject | RecordType::ArraySingleString => {
                    reader.array(record)?;
                }
                RecordType::ClassWithId
                | RecordType::ClassWithMembersAndTypes
                | RecordType::SystemClassWithMembersAndTypes => {
                    reader.class(record, 0)?;
                }
                found => {
                    let expected = "an object";
                    return Err(BinaryError::MisplacedRecord {
                        expected,
                        found,
                        at,
                    });
                }
            }
        }
        match reader.cursor.left() {
            0 => reader.finish(),
            count => Err(BinaryError::TrailingBytes { count }),
        }
    }

    /// The text of an item, `None` for null.
    pub(super) fn text(
        &self,
        field: &'static str,
        item: Item<'a>,
    ) -> Result<Option<&'a str>, BinaryError> {
        let expected = "a text";
        match item {
            Item::Text(text) => Ok(Some(text)),
            Item::Nulls(_) => Ok(None),
            Item::Reference(id) => match self.object(id)? {
                Object::Text(text) => Ok(Some(text)),
                other => Err(unexpected(field, other.kind(), expected)),
            },
            other => Err(unexpected(field, other.kind(), expected)),
        }
    }

    /// The members of an object of this class, `None` for null.
    pub(super) fn class(
        &self,
        field: &'static str,
        class: Class,
        item: Item<'a>,
    ) -> Result<Option<&[Item<'a>]>, BinaryError> {
        match item {
            Item::Nulls(_) => Ok(None),
            Item::Reference(id) => match self.object(id)? {
                Object::Class(found, members) if *found == class => Ok(Some(members)),
                other => Err(unexpected(field, other.kind(), class.name())),
            },
            other => Err(unexpected(field, other.kind(), class.name())),
        }
    }

    /// The class of the object an item stands for, where several may.
    pub(super) fn class_of(&self, item: Item<'a>) -> Result<Option<Class>, BinaryError> {
        match item {
            Item::Reference(id) => match self.object(id)? {
                Object::Class(class, _) => Ok(Some(*class)),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// An array of anything. Null is not an array.
    pub(super) fn array(
        &self,
        field: &'static str,
        item: Item<'a>,
    ) -> Result<&Array<'a>, BinaryError> {
        let expected = "an array";
        match item {
            Item::Reference(id) => match self.object(id)? {
                Object::Array(array) => Ok(array),
                other => Err(unexpected(field, other.kind(), expected)),
            },
            other => Err(unexpected(field, other.kind(), expected)),
        }
    }

    /// An array of texts. Null is not an array.
    pub(super) fn texts(
        &self,
        field: &'static str,
        item: Item<'a>,
    ) -> Result<&Array<'a>, BinaryError> {
        let expected = "an array of texts";
        match item {
            Item::Reference(id) => match self.object(id)? {
                Object::Texts(array) => Ok(array),
                other => Err(unexpected(field, other.kind(), expected)),
            },
            other => Err(unexpected(field, other.kind(), expected)),
        }
    }

    /// How many objects there are: a walk of more steps has come back to where it was.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    fn object(&self, id: i32) -> Result<&Object<'a>, BinaryError> {
        self.objects
            .get(&id)
            .ok_or(BinaryError::DanglingReference { id })
    }
}

impl Item<'_> {
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Nulls(_) => "null",
            Self::Boolean(_) => "a boolean",
            Self::Byte(_) | Self::Int32(_) | Self::Single(_) => "a number",
            Self::Text(_) => "a text",
            Self::Reference(_) => "another object",
        }
    }
}

impl Object<'_> {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Texts(_) => "an array of texts",
            Self::Array(_) => "an array",
            Self::Class(class, _) | Self::Open(class) => class.name(),
        }
    }
}

/// A member or slot that holds something else than belongs there.
pub(super) const fn unexpected(
    field: &'static str,
    found: &'static str,
    expected: &'static str,
) -> BinaryError {
    BinaryError::Unexpected {
        field,
        found,
        expected,
    }
}

/// A message while it is read.
struct Reader<'a, 'l> {
    cursor: Cursor<'a>,
    objects: HashMap<i32, Object<'a>>,
    libraries: HashMap<i32, Library>,
    version: Option<ProductVersion>,
    records: usize,
    limits: &'l Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    System,
    DirectoryServices(ProductVersion),
}

impl<'a> Reader<'a, '_> {
    fn finish(self) -> Result<Graph<'a>, BinaryError> {
        let graph = Graph {
            objects: self.objects,
            version: self.version,
        };
        // References in objects that nobody asks for must lead somewhere as well (2.3.5.3).
        for object in graph.objects.values() {
            let items = match object {
                Object::Texts(array) | Object::Array(array) => array.items.as_slice(),
                Object::Class(_, members) => members,
                Object::Text(_) | Object::Open(_) => &[],
            };
            for item in items {
                if let Item::Reference(id) = item {
                    graph.object(*id)?;
                }
            }
        }
        Ok(graph)
    }

    fn record(&mut self) -> Result<(RecordType, usize), BinaryError> {
        let limit = self.limits.elements;
        if self.records >= limit {
            let what = "records";
            return Err(BinaryError::TooMany { what, limit });
        }
        self.records += 1;
        self.cursor.record()
    }

    fn library(&mut self) -> Result<(), BinaryError> {
        let id = positive(self.cursor.int32()?)?;
        let name = self.cursor.text()?;
        let library = if name == SYSTEM_LIBRARY {
            Library::System
        } else {
            let version = ProductVersion::from_library_name(name).ok_or_else(|| {
                let name = excerpt(name);
                BinaryError::UnknownLibrary { name }
            })?;
            if self.version.is_some_and(|known| known != version) {
                return Err(BinaryError::MixedVersions);
            }
            self.version = Some(version);
            Library::DirectoryServices(version)
        };
        // The product repeats a library's record for each class of it (note <4>).
        match self.libraries.insert(id, library) {
            Some(before) if before != library => Err(BinaryError::DuplicateId { id }),
            _ => Ok(()),
        }
    }

    /// A text, which others may refer to by its identifier.
    fn string(&mut self) -> Result<&'a str, BinaryError> {
        let id = positive(self.cursor.int32()?)?;
        let text = self.cursor.text()?;
        self.put(id, Object::Text(text))?;
        Ok(text)
    }

    fn array(&mut self, record: RecordType) -> Result<(), BinaryError> {
        let id = positive(self.cursor.int32()?)?;
        let length = self.cursor.int32()?;
        let length = u32::try_from(length).map_err(|_| bad_length(length))?;
        let mut items = Vec::new();
        let mut filled = 0_u32;
        while filled < length {
            let item = self.item(1)?;
            let slots = match item {
                Item::Nulls(count) => count,
                _ => 1,
            };
            filled = filled
                .checked_add(slots)
                .filter(|filled| *filled <= length)
                .ok_or_else(|| bad_length(slots))?;
            match (items.last_mut(), item) {
                (Some(Item::Nulls(run)), Item::Nulls(more)) => *run = run.saturating_add(more),
                _ => items.push(item),
            }
        }
        let array = Array { length, items };
        let object = match record {
            RecordType::ArraySingleString => Object::Texts(array),
            _ => Object::Array(array),
        };
        self.put(id, object)
    }

    /// An object of a class, with all that stands inside it; answers with its identifier.
    fn class(&mut self, record: RecordType, depth: usize) -> Result<i32, BinaryError> {
        let limit = self.limits.depth;
        if depth > limit {
            return Err(BinaryError::TooDeep { limit });
        }
        let id = self.cursor.int32()?;
        if id == 0 {
            return Err(BinaryError::BadId { id });
        }
        let class = match record {
            RecordType::ClassWithId => self.described_before()?,
            _ => self.description(record)?,
        };
        self.put(id, Object::Open(class))?;
        let mut members = Vec::with_capacity(class.members().len());
        for member in class.members() {
            let item = match member.kind {
                MemberKind::Primitive(kind) => self.primitive(kind)?,
                _ => self.item(depth + 1)?,
            };
            if let Item::Nulls(2..) = item {
                return Err(unexpected(member.name, "several nulls", "one value"));
            }
            members.push(item);
        }
        self.objects.insert(id, Object::Class(class, members));
        Ok(id)
    }

    fn described_before(&mut self) -> Result<Class, BinaryError> {
        let id = self.cursor.int32()?;
        match self.objects.get(&id) {
            Some(Object::Class(class, _) | Object::Open(class)) => Ok(*class),
            _ => Err(BinaryError::DanglingReference { id }),
        }
    }

    /// What a record says of its class, which must be what the tables say.
    fn description(&mut self, record: RecordType) -> Result<Class, BinaryError> {
        let name = self.cursor.text()?;
        let class = Class::from_name(name).ok_or_else(|| {
            let name = excerpt(name);
            BinaryError::UnknownClass { name }
        })?;
        let same = |what, equal: bool| {
            let class = class.name();
            let error = BinaryError::ClassMismatch { class, what };
            if equal { Ok(()) } else { Err(error) }
        };
        let in_library = record == RecordType::ClassWithMembersAndTypes;
        same("type of record", in_library == class.library().is_some())?;
        let members = class.members();
        let count = self.cursor.int32()?;
        same(
            "number of members",
            usize::try_from(count) == Ok(members.len()),
        )?;
        for member in members {
            same("name of a member", self.cursor.text()? == member.name)?;
        }
        for member in members {
            let code = member.kind.binary_type().code();
            same("kind of a member", self.cursor.byte()? == code)?;
        }
        for member in members {
            match member.kind {
                MemberKind::Primitive(kind) => {
                    same("type of a member", self.cursor.byte()? == kind.code())?;
                }
                MemberKind::SystemClass(name) => {
                    same("class of a member", self.cursor.text()? == name)?;
                }
                MemberKind::Class(other) => {
                    same("class of a member", self.cursor.text()? == other.name())?;
                    self.in_library(other)?;
                }
                MemberKind::String | MemberKind::Object | MemberKind::ObjectArray => {}
            }
        }
        if in_library {
            self.in_library(class)?;
        }
        Ok(class)
    }

    /// The identifier of a library, which must be declared and that of the class.
    fn in_library(&mut self, class: Class) -> Result<(), BinaryError> {
        let id = self.cursor.int32()?;
        let right = match self.libraries.get(&id) {
            Some(Library::System) => class.library() == Some(LibraryKind::System),
            Some(Library::DirectoryServices(_)) => {
                class.library() == Some(LibraryKind::DirectoryServices)
            }
            None => false,
        };
        let class = class.name();
        if right {
            Ok(())
        } else {
            Err(BinaryError::WrongLibrary { class, id })
        }
    }

    /// What stands in the place of a value.
    fn item(&mut self, depth: usize) -> Result<Item<'a>, BinaryError> {
        loop {
            let (record, at) = self.record()?;
            return match record {
                RecordType::BinaryLibrary => {
                    self.library()?;
                    continue;
                }
                RecordType::BinaryObjectString => self.string().map(Item::Text),
                RecordType::MemberPrimitiveTyped => {
                    let at = self.cursor.at();
                    let code = self.cursor.byte()?;
                    match PrimitiveType::from_code(code) {
                        Some(kind) => self.primitive(kind),
                        None => Err(BinaryError::UnknownPrimitive { code, at }),
                    }
                }
                RecordType::MemberReference => positive(self.cursor.int32()?).map(Item::Reference),
                RecordType::ObjectNull => Ok(Item::Nulls(1)),
                RecordType::ObjectNullMultiple256 => nulls(i32::from(self.cursor.byte()?)),
                RecordType::ObjectNullMultiple => nulls(self.cursor.int32()?),
                RecordType::ClassWithId
                | RecordType::ClassWithMembersAndTypes
                | RecordType::SystemClassWithMembersAndTypes => {
                    self.class(record, depth).map(Item::Reference)
                }
                found => {
                    let expected = "a value";
                    Err(BinaryError::MisplacedRecord {
                        expected,
                        found,
                        at,
                    })
                }
            };
        }
    }

    fn primitive(&mut self, kind: PrimitiveType) -> Result<Item<'a>, BinaryError> {
        Ok(match kind {
            PrimitiveType::Boolean => Item::Boolean(self.cursor.boolean()?),
            PrimitiveType::Byte => Item::Byte(self.cursor.byte()?),
            PrimitiveType::Int32 => Item::Int32(self.cursor.int32()?),
            PrimitiveType::Single => Item::Single(self.cursor.single()?),
        })
    }

    fn put(&mut self, id: i32, object: Object<'a>) -> Result<(), BinaryError> {
        match self.objects.insert(id, object) {
            None => Ok(()),
            Some(_) => Err(BinaryError::DuplicateId { id }),
        }
    }
}

/// An identifier that may be referred to (2.3.5.3).
fn positive(id: i32) -> Result<i32, BinaryError> {
    if id > 0 {
        Ok(id)
    } else {
        Err(BinaryError::BadId { id })
    }
}

/// A run of nulls. One of none would let a message say nothing for ever, so it is refused
/// although 2.3.5.6 allows the number 0.
fn nulls(count: i32) -> Result<Item<'static>, BinaryError> {
    match u32::try_from(count) {
        Ok(count @ 1..) => Ok(Item::Nulls(count)),
        _ => Err(BinaryError::BadValue {
            field: "NullCount",
            value: count.to_string(),
            expected: "a positive number",
        }),
    }
}

fn bad_length(length: impl Into<i64>) -> BinaryError {
    BinaryError::BadValue {
        field: "Length",
        value: length.into().to_string(),
        expected: "the number of items",
    }
}
