//! The body of a backup as it is after opening: records, and rows of tables. The archive round it is
//! authenticated; what a holder of the password wrote there is not trusted for that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openrms_server::backup::records::{Reader, Record};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let mut columns = 0;
    while let Ok(Some(record)) = reader.read() {
        match record {
            Record::Table(table) => columns = table.columns.len(),
            Record::Row(row) => assert_eq!(row.len(), columns),
            _ => {}
        }
    }
});
