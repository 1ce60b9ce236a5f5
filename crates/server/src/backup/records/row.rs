//! A row of a table as bytes: for each value its kind, then what it is.

use std::io;

use openrms_store::{Table, Value};
use zeroize::Zeroizing;

/// Writes a row.
pub(super) fn write(row: &[Value]) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    for value in row {
        match value {
            Value::Null => content.push(NULL),
            Value::Integer(number) => {
                content.push(INTEGER);
                content.extend_from_slice(&number.to_le_bytes());
            }
            Value::Text(text) => put(&mut content, TEXT, text.as_bytes())?,
            Value::Bytes(bytes) => put(&mut content, BYTES, bytes)?,
        }
    }
    Ok(content)
}

/// Reads a row that has a value for each of the columns that its table had when it was written; none
/// when it has more or fewer. Those that came later are null.
pub(super) fn read(mut content: &[u8], table: &Table, width: usize) -> Option<Vec<Value>> {
    let mut row = Vec::with_capacity(table.columns.len());
    for _ in table.columns.iter().take(width) {
        let (&kind, rest) = content.split_first()?;
        let (value, rest) = match kind {
            NULL => (Value::Null, rest),
            INTEGER => {
                let (number, rest) = rest.split_first_chunk()?;
                (Value::Integer(i64::from_le_bytes(*number)), rest)
            }
            TEXT => {
                let (bytes, rest) = take(rest)?;
                let text = std::str::from_utf8(bytes).ok()?;
                (Value::Text(text.to_owned()), rest)
            }
            BYTES => {
                let (bytes, rest) = take(rest)?;
                (Value::Bytes(bytes.to_vec()), rest)
            }
            _ => return None,
        };
        row.push(value);
        content = rest;
    }
    row.resize(table.columns.len(), Value::Null);
    content.is_empty().then_some(row)
}

fn put(content: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    content.push(kind);
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(bytes);
    Ok(())
}

fn take(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = content.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;
