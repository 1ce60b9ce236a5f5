//! What an answer tells of the principal ([MS-RMPRS] 2.3.6.2 to 2.3.6.8). A client makes sure
//! that it can be read and does nothing by it (4.3).

use std::borrow::Cow;

use super::Text;
use super::class::Class;
use super::error::BinaryError;
use super::graph::{Graph, Item, unexpected};

/// The principal as the server knows it. What the specification does not explain has the names
/// it has there.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal<'a> {
    /// Names of the principal, such as `mail=user1@contoso.com`, each with a value of true.
    pub identifiers: Option<ListDictionary<'a>>,
    /// `_GroupMembership`, empty in the example.
    pub group_membership: Option<HashTable<'a>>,
    /// `_ForeignMembers`.
    pub foreign_members: Option<ListDictionary<'a>>,
    /// `_parsingDictionary`.
    pub parsing_dictionary: Option<AnyDictionary<'a>>,
    /// Identifiers of the groups the principal is in, as 32 hexadecimal digits.
    pub container_object_guids: Option<StringCollection<'a>>,
    /// Identifier of the principal in the directory, as 32 hexadecimal digits.
    pub object_guid: Text<'a>,
    /// `_strOriginationForest`: the forest a contact stands for somebody of.
    pub origination_forest: Text<'a>,
    /// `_explicitParse`, 0 in the example.
    pub explicit_parse: i32,
    /// `_exists`: whether the directory has the principal.
    pub exists: bool,
    /// `_exists` of the class below, `DirectoryLookupXML`.
    pub lookup_exists: bool,
}

/// Entries in an order (2.3.6.4, 2.3.6.7).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListDictionary<'a>(pub Vec<Entry<'a>>);

/// Entries in no order of meaning (2.3.6.5).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HashTable<'a>(pub Vec<Entry<'a>>);

/// Either of the two, where the specification leaves open which (`System.Collections.IDictionary`).
#[derive(Debug, Clone, PartialEq)]
pub enum AnyDictionary<'a> {
    /// Entries in an order.
    List(ListDictionary<'a>),
    /// Entries in no order.
    Hash(HashTable<'a>),
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// Its key.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

/// Texts (2.3.6.6, 2.3.6.8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StringCollection<'a>(pub Vec<Cow<'a, str>>);

/// The value of an entry: the kinds that 2.3.2.3 has. An entry that holds an object is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A number of eight bits.
    Byte(u8),
    /// A number of 32 bits.
    Int32(i32),
    /// A floating-point number.
    Single(f32),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> Principal<'a> {
    /// A principal of whom no more is told than a name, such as `mail=user1@contoso.com`, and
    /// whether the directory has it: all that a careful server gives away.
    pub fn named(name: impl Into<Cow<'a, str>>, exists: bool) -> Self {
        let entry = Entry {
            key: name.into(),
            value: Value::Boolean(true),
        };
        Self {
            identifiers: Some(ListDictionary(vec![entry])),
            group_membership: Some(HashTable::default()),
            foreign_members: None,
            parsing_dictionary: None,
            container_object_guids: Some(StringCollection::default()),
            object_guid: None,
            origination_forest: None,
            explicit_parse: 0,
            exists,
            lookup_exists: exists,
        }
    }

    pub(super) fn read(graph: &Graph<'a>, item: Item<'a>) -> Result<Self, BinaryError> {
        let members = graph
            .class("Principal", Class::Principal, item)?
            .ok_or_else(|| unexpected("Principal", "null", "a principal"))?;
        let &[
            identifiers,
            membership,
            foreign,
            parsing,
            containers,
            object_guid,
            forest,
            explicit,
            exists,
            lookup_exists,
        ] = members
        else {
            return Err(incomplete(Class::Principal));
        };
        let parsing_dictionary = match graph.class_of(parsing)? {
            Some(Class::HashTable) => {
                HashTable::read(graph, "_parsingDictionary", parsing)?.map(AnyDictionary::Hash)
            }
            _ => {
                ListDictionary::read(graph, "_parsingDictionary", parsing)?.map(AnyDictionary::List)
            }
        };
        Ok(Self {
            identifiers: ListDictionary::read(graph, "_PrincipalIdentifiers", identifiers)?,
            group_membership: HashTable::read(graph, "_GroupMembership", membership)?,
            foreign_members: ListDictionary::read(graph, "_ForeignMembers", foreign)?,
            parsing_dictionary,
            container_object_guids: StringCollection::read(graph, containers)?,
            object_guid: graph.text("_strObjectGuid", object_guid)?.map(Cow::from),
            origination_forest: graph.text("_strOriginationForest", forest)?.map(Cow::from),
            explicit_parse: explicit_parse(graph, explicit)?,
            exists: boolean("_exists", exists)?,
            lookup_exists: boolean("DirectoryLookupXML+_exists", lookup_exists)?,
        })
    }
}

impl<'a> ListDictionary<'a> {
    fn read(
        graph: &Graph<'a>,
        field: &'static str,
        item: Item<'a>,
    ) -> Result<Option<Self>, BinaryError> {
        let Some(members) = graph.class(field, Class::ListDictionary, item)? else {
            return Ok(None);
        };
        let &[head, _version, count, comparer] = members else {
            return Err(incomplete(Class::ListDictionary));
        };
        null("comparer", comparer)?;
        let mut entries = Vec::new();
        let mut next = head;
        while let Some(node) = graph.class("head or next", Class::DictionaryNode, next)? {
            let &[key, value, after] = node else {
                return Err(incomplete(Class::DictionaryNode));
            };
            if entries.len() >= graph.len() {
                let what = Class::ListDictionary.name();
                return Err(BinaryError::Cycle { what });
            }
            entries.push(Entry {
                key: key_of(graph, key)?,
                value: Value::read(graph, value)?,
            });
            next = after;
        }
        counted("count", count, entries.len())?;
        Ok(Some(Self(entries)))
    }
}

impl<'a> HashTable<'a> {
    fn read(
        graph: &Graph<'a>,
        field: &'static str,
        item: Item<'a>,
    ) -> Result<Option<Self>, BinaryError> {
        let Some(members) = graph.class(field, Class::HashTable, item)? else {
            return Ok(None);
        };
        let &[load, _version, comparer, provider, _size, keys, values] = members else {
            return Err(incomplete(Class::HashTable));
        };
        match load {
            Item::Single(load) if load.to_bits() == LOAD_FACTOR.to_bits() => {}
            _ => {
                return Err(BinaryError::BadValue {
                    field: "LoadFactor",
                    value: "another number".to_owned(),
                    expected: "0.72",
                });
            }
        }
        null("Comparer", comparer)?;
        null("HashCodeProvider", provider)?;
        let keys = graph.array("Keys", keys)?;
        let values = graph.array("Values", values)?;
        if keys.length != values.length {
            return Err(BinaryError::BadValue {
                field: "Values",
                value: format!("{} items", values.length),
                expected: "as many as there are keys",
            });
        }
        let mut entries = Vec::new();
        for (key, value) in keys.slots().zip(values.slots()) {
            entries.push(Entry {
                key: key_of(graph, key)?,
                value: Value::read(graph, value)?,
            });
        }
        Ok(Some(Self(entries)))
    }
}

impl<'a> StringCollection<'a> {
    fn read(graph: &Graph<'a>, item: Item<'a>) -> Result<Option<Self>, BinaryError> {
        let field = "_ContainerObjectGuids";
        let Some(members) = graph.class(field, Class::StringCollection, item)? else {
            return Ok(None);
        };
        let &[data] = members else {
            return Err(incomplete(Class::StringCollection));
        };
        let list = graph
            .class("data", Class::ArrayList, data)?
            .ok_or_else(|| unexpected("data", "null", "a list"))?;
        let &[items, size, _version] = list else {
            return Err(incomplete(Class::ArrayList));
        };
        let items = graph.array("_items", items)?;
        let mut texts = Vec::new();
        for slot in items.slots() {
            match graph.text("_items", slot)? {
                Some(text) => texts.push(Cow::from(text)),
                // The rest is room for more.
                None => break,
            }
        }
        if items.continues_after_null() {
            return Err(unexpected("_items", "null", "a text"));
        }
        counted("_size", size, texts.len())?;
        Ok(Some(Self(texts)))
    }
}

impl<'a> Value<'a> {
    fn read(graph: &Graph<'a>, item: Item<'a>) -> Result<Self, BinaryError> {
        Ok(match item {
            Item::Nulls(_) => Self::Null,
            Item::Boolean(value) => Self::Boolean(value),
            Item::Byte(value) => Self::Byte(value),
            Item::Int32(value) => Self::Int32(value),
            Item::Single(value) => Self::Single(value),
            Item::Text(_) | Item::Reference(_) => graph
                .text("a value", item)?
                .map_or(Self::Null, |text| Self::Text(text.into())),
        })
    }
}

/// A null key would be none.
fn key_of<'a>(graph: &Graph<'a>, item: Item<'a>) -> Result<Cow<'a, str>, BinaryError> {
    match graph.text("a key", item)? {
        Some(key) => Ok(key.into()),
        None => Err(unexpected("a key", "null", "a text")),
    }
}

/// The enumeration is an object with one number in it.
fn explicit_parse<'a>(graph: &Graph<'a>, item: Item<'a>) -> Result<i32, BinaryError> {
    let field = "_explicitParse";
    match graph.class(field, Class::ExplicitParse, item)? {
        Some(&[Item::Int32(value)]) => Ok(value),
        _ => Err(unexpected(field, "null", "a number")),
    }
}

fn boolean(field: &'static str, item: Item<'_>) -> Result<bool, BinaryError> {
    match item {
        Item::Boolean(value) => Ok(value),
        other => Err(unexpected(field, other.kind(), "a boolean")),
    }
}

/// Members for which the specification has no class that could stand there.
fn null(field: &'static str, item: Item<'_>) -> Result<(), BinaryError> {
    match item {
        Item::Nulls(_) => Ok(()),
        other => Err(unexpected(field, other.kind(), "null")),
    }
}

fn counted(field: &'static str, item: Item<'_>, count: usize) -> Result<(), BinaryError> {
    match item {
        Item::Int32(said) if usize::try_from(said) == Ok(count) => Ok(()),
        Item::Int32(said) => Err(BinaryError::BadValue {
            field,
            value: said.to_string(),
            expected: "the number of items",
        }),
        other => Err(unexpected(field, other.kind(), "a number")),
    }
}

/// The reader of classes gives every member, so this is for the compiler's peace.
fn incomplete(class: Class) -> BinaryError {
    BinaryError::ClassMismatch {
        class: class.name(),
        what: "number of members",
    }
}

/// How full a hash table may be before it grows (2.3.6.5).
pub(super) const LOAD_FACTOR: f32 = 0.72;
