//! The body of a backup as it is after opening: records, rows of tables, events of a log. The
//! archive round it is authenticated; what a holder of the password wrote there is not trusted for
//! that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_server::backup::records::{Reader, Record};
use openrms_store::Table;
use openrms_store::logging::{Entry, LOG_TABLES};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let mut table: Option<&Table> = None;
    while let Ok(Some(record)) = reader.read() {
        match (record, table) {
            (Record::Table(begun), _) => table = Some(begun),
            (Record::Row(row), Some(table)) => {
                assert_eq!(row.len(), table.columns.len());
                let entry = Entry::read(table, row);
                assert!(entry.is_err() || LOG_TABLES.contains(table));
            }
            (Record::Row(_), None) => panic!("a row of no table"),
            _ => {}
        }
    }
});
