//! Everything a database holds as rows of plain values, to move it to another database or into a
//! backup.

use crate::StoreError;
use crate::logging::LOG_TABLES;

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// None.
    Null,
    /// A number, an instant, or a truth value.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes. Private keys are among them, sealed.
    Bytes(Vec<u8>),
}

/// A table, and how its rows are written.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The names of its columns, those of the key first.
    pub columns: &'static [&'static str],
    pub(crate) kinds: &'static [Kind],
    /// How many columns the key has.
    pub(crate) key: usize,
    /// How many columns the first release had. Those that came later may be null.
    first: usize,
}

impl Table {
    /// The table of this name, of a cluster's database or of its log.
    pub fn named(name: &str) -> Option<&'static Self> {
        let mut all = TABLES.iter().chain(LOG_TABLES);
        all.find(|table| table.name == name)
    }

    /// How many columns it had in a release that named them like this; none when no release did.
    pub fn width<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<usize> {
        let names: Vec<_> = names.take(self.columns.len() + 1).collect();
        let is_one = names.len() >= self.first && self.columns.starts_with(&names);
        is_one.then_some(names.len())
    }

    /// Refuses a row that cannot be one of this table.
    pub(crate) fn check(&self, row: &[Value]) -> Result<(), StoreError> {
        let fits = |(kind, value): (&Kind, &Value)| {
            matches!(
                (kind, value),
                (_, Value::Null)
                    | (Kind::Integer, Value::Integer(_))
                    | (Kind::Text, Value::Text(_))
                    | (Kind::Bytes, Value::Bytes(_))
            )
        };
        if row.len() == self.kinds.len() && self.kinds.iter().zip(row).all(fits) {
            Ok(())
        } else {
            Err(StoreError::Invalid {
                field: self.name,
                reason: "the row is not one of this table",
            })
        }
    }
}

/// What the values of a column are, when they are not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Text,
    Bytes,
}

/// Takes rows, see [`Store::export`](crate::Store::export) and [`logging::export`](crate::logging::export).
pub trait RowSink: Send {
    /// Takes one row. An error ends the export and is its outcome.
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError>;
}

/// Gives rows, see [`Store::import`](crate::Store::import) and [`logging::import`](crate::logging::import).
pub trait RowSource: Send {
    /// The next row; none after the last one.
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError>;
}

pub(crate) const fn table(
    name: &'static str,
    key: usize,
    columns: &'static [&'static str],
    kinds: &'static [Kind],
) -> Table {
    assert!(columns.len() == kinds.len() && key > 0 && key <= columns.len());
    Table {
        name,
        columns,
        kinds,
        key,
        first: columns.len(),
    }
}

/// The tables of a cluster's database, each before those that refer to it.
pub const TABLES: &[Table] = &[
    table("configuration", 1, &["id", "version"], &[Integer, Integer]),
    table("policy", 1, &["name", "value"], &[Text, Text]),
    table("setting", 1, &["name", "value"], &[Text, Text]),
    table(
        "licensor_key",
        1,
        &[
            "id",
            "ordinal",
            "guid",
            "mode",
            "sealed_private_key",
            "slc_chain",
            "created",
            "retired",
        ],
        &[Text, Integer, Text, Integer, Bytes, Text, Integer, Integer],
    ),
    table(
        "template",
        1,
        &["guid", "xrml", "state", "updated"],
        &[Text, Text, Text, Integer],
    ),
    table(
        "trusted_user_domain",
        1,
        &[
            "id",
            "slc_chain",
            "friendly_name",
            "allow_sid",
            "allow_federated",
            "email_domains",
        ],
        &[Text, Text, Text, Integer, Integer, Text],
    ),
    table(
        "trusted_publishing_domain",
        1,
        &["id", "friendly_name", "slc_chain", "sealed_private_key"],
        &[Text, Text, Text, Bytes],
    ),
    table(
        "trusted_publishing_template",
        2,
        &["domain_id", "ordinal", "xrml"],
        &[Text, Integer, Text],
    ),
    table(
        "trusted_spc_ca_key",
        1,
        &["modulus", "exponent", "name"],
        &[Bytes, Integer, Text],
    ),
    table(
        "application_exclusion",
        1,
        &[
            "id",
            "filename",
            "minimum_version",
            "maximum_version",
            "description",
        ],
        &[Text, Text, Text, Text, Text],
    ),
    table(
        "rac_exclusion",
        1,
        &["modulus", "account", "expires", "created"],
        &[Bytes, Text, Integer, Integer],
    ),
    table(
        "revocation_authority",
        1,
        &["public_key", "name"],
        &[Bytes, Text],
    ),
    table(
        "user_key",
        1,
        &[
            "account",
            "sealed",
            "public_modulus",
            "sealed_by",
            "created",
        ],
        &[Text, Bytes, Bytes, Text, Integer],
    ),
    table(
        "client_key",
        2,
        &[
            "account",
            "rac_key",
            "sealed",
            "public_modulus",
            "sealed_by",
            "created",
        ],
        &[Text, Bytes, Bytes, Bytes, Text, Integer],
    ),
    table(
        "issued_certificate",
        1,
        &[
            "guid",
            "kind",
            "account",
            "body_text",
            "digest",
            "issued_at",
            "expires_at",
        ],
        &[Text, Text, Text, Text, Bytes, Integer, Integer],
    ),
    table(
        "authority_role",
        1,
        &["role", "sealed_private_key", "certificate", "created"],
        &[Text, Bytes, Text, Integer],
    ),
    table(
        "key_protection",
        1,
        &["id", "document", "version"],
        &[Integer, Text, Integer],
    ),
    Table {
        first: 5,
        ..table(
            "cluster_server",
            1,
            &[
                "name",
                "joined",
                "last_seen",
                "version",
                "address",
                "service_level",
                "upgraded_from",
                "upgraded_to",
                "upgraded_at",
            ],
            &[
                Text, Integer, Integer, Text, Text, Text, Text, Text, Integer,
            ],
        )
    },
];

use Kind::{Bytes, Integer, Text};
