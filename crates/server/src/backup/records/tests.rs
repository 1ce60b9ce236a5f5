use openrms_store::TABLES;
use openrms_store::logging::LOG_TABLES;
use proptest::prelude::*;

use super::*;
use crate::backup::archive::ArchiveError;

fn manifest() -> Manifest {
    Manifest {
        release: "0.1.0".to_owned(),
        created: 1_800_000_000,
        name: "Test".to_owned(),
        url: "https://rms.example/_wmcs".to_owned(),
        keys: Keeping::KeyFile,
    }
}

fn read(body: &[u8]) -> Result<Vec<Record>, RecordError> {
    let mut reader = Reader::new(body);
    let mut records = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return Ok(records),
            Err(ArchiveError::Record(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
    }
}

fn certificate() -> [Value; 4] {
    let text = |text: &str| Value::Text(text.to_owned());
    [
        Value::Bytes(vec![1; 32]),
        text("ul"),
        Value::Integer(20_777),
        text("<XrML/>"),
    ]
}

/// A body of all kinds of records.
fn body() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &manifest()).unwrap();
    writer.master_key(&[3; 32]).unwrap();
    writer.file(FileName::People, b"people".as_slice()).unwrap();
    writer
        .file(FileName::Audit, vec![7; PIECE as usize + 1].as_slice())
        .unwrap();
    let setting = Table::named("setting").unwrap();
    for name in ["a", "b"] {
        let row = [Value::Text(name.to_owned()), Value::Text("c".to_owned())];
        writer.row(setting, &row).unwrap();
    }
    let [_, certificates] = LOG_TABLES;
    writer.row(certificates, &certificate()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn records_come_back_in_their_order() {
    let records = read(&body()).unwrap();
    let setting = Table::named("setting").unwrap();
    let row = |name: &str| {
        Record::Row(vec![
            Value::Text(name.to_owned()),
            Value::Text("c".to_owned()),
        ])
    };
    let expected = [
        Record::Manifest(manifest()),
        Record::MasterKey(Zeroizing::new([3; 32])),
        Record::File(FileName::People),
        Record::Piece(Zeroizing::new(b"people".to_vec())),
        Record::File(FileName::Audit),
        Record::Piece(Zeroizing::new(vec![7; PIECE as usize])),
        Record::Piece(Zeroizing::new(vec![7])),
        Record::Table(setting),
        row("a"),
        row("b"),
        Record::Table(&LOG_TABLES[1]),
        Record::Row(certificate().to_vec()),
    ];
    assert!(records == expected);
    let shown = format!("{records:?}");
    assert!(!shown.contains("[3"), "{shown}");
}

#[test]
fn a_body_that_ends_anywhere_else_is_refused() {
    let whole = body();
    for length in (0..400).chain((400..whole.len()).step_by(211)) {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
    let mut longer = whole;
    longer.push(0);
    assert_eq!(read(&longer), Err(RecordError::Trailing));
}

#[test]
fn what_is_not_of_this_release_is_named() {
    let record = |kind: u8, content: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
        bytes
    };
    let first = record(MANIFEST, &serde_json::to_vec(&manifest()).unwrap());
    let after = |more: Vec<u8>| read(&[first.clone(), more].concat()).unwrap_err();
    let table = |text: &str| after(record(TABLE, text.as_bytes()));
    let other = |name: &str| RecordError::OtherTable(name.to_owned());
    assert_eq!(table("shoes\nsize"), other("shoes"));
    assert_eq!(table("setting\nname"), other("setting"));
    assert_eq!(table("setting\nname\nvalue\nmore"), other("setting"));
    assert_eq!(after(record(99, b"")), RecordError::Kind(99));
    assert_eq!(
        after(record(FILE, b"../../etc/passwd")),
        RecordError::Malformed("file")
    );
    assert_eq!(after(record(ROW, b"")), RecordError::Misplaced("row"));
    assert_eq!(
        after(record(FILE_PIECE, b"")),
        RecordError::Misplaced("piece of a file")
    );
    assert_eq!(
        after(record(MASTER_KEY, &[1; 31])),
        RecordError::Malformed("master key")
    );
    assert_eq!(after(first.clone()), RecordError::Misplaced("manifest"));
    assert_eq!(
        after(record(END, &7_u64.to_le_bytes())),
        RecordError::Count {
            expected: 7,
            found: 1
        }
    );
    let mut long = vec![ROW];
    long.extend_from_slice(&u32::MAX.to_le_bytes());
    let (name, length) = ("row", u32::MAX);
    assert_eq!(after(long), RecordError::TooLong { name, length });
    let opened = [record(TABLE, b"setting\nname\nvalue"), record(ROW, &[0])];
    assert_eq!(after(opened.concat()), RecordError::Malformed("row"));
    assert_eq!(
        read(&record(TABLE, b"setting")),
        Err(RecordError::Misplaced("table"))
    );
}

#[test]
fn every_hostile_body_gives_the_error_in_its_name() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in std::fs::read_dir(root.join("tests/testdata/backup")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let Some((wanted, _)) = name.split_once("--") else {
            continue;
        };
        let error = read(&std::fs::read(&path).unwrap()).expect_err(name);
        let found = match &error {
            RecordError::Kind(_) => "kind",
            RecordError::TooLong { .. } => "too-long",
            RecordError::Malformed(_) => "malformed",
            RecordError::Misplaced(_) => "misplaced",
            RecordError::OtherTable(_) => "other-table",
            RecordError::Log(_) => "log",
            RecordError::Count { .. } => "count",
            RecordError::NoEnd => "no-end",
            RecordError::Trailing => "trailing",
        };
        assert_eq!(found, wanted, "{name}: {error}");
        assert!(error.to_string().len() < 200, "{name}: a long error");
        seen += 1;
    }
    assert!(seen > 40, "only {seen} files");
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        ".{0,40}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
    ]
}

proptest! {
    #[test]
    fn any_row_of_any_table_comes_back(
        at in 0..TABLES.len() + LOG_TABLES.len(),
        values in proptest::collection::vec(value(), 22)
    ) {
        let table = TABLES.iter().chain(LOG_TABLES).nth(at).unwrap();
        let row = &values[..table.columns.len()];
        let mut writer = Writer::new(Vec::new(), &manifest()).unwrap();
        writer.row(table, row).unwrap();
        let records = read(&writer.finish().unwrap()).unwrap();
        prop_assert!(records[1..] == [Record::Table(table), Record::Row(row.to_vec())]);
    }

    #[test]
    fn damaged_bodies_never_panic(
        at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = body();
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        let _ = read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read(&bytes);
    }
}

#[test]
fn a_table_of_an_older_release_comes_with_nothing_in_what_was_added_since() {
    let table = Table::named("cluster_server").unwrap();
    let body = |columns: &[&str], row: &[Value]| {
        let names = std::iter::once(table.name).chain(columns.iter().copied());
        let names = names.collect::<Vec<_>>().join("\n");
        let mut body = Vec::new();
        let manifest = serde_json::to_vec(&manifest()).unwrap();
        let row = row::write(row).unwrap();
        let records = [
            (MANIFEST, manifest.as_slice()),
            (TABLE, names.as_bytes()),
            (ROW, &row),
        ];
        for (kind, content) in records {
            body.push(kind);
            body.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
            body.extend(content);
        }
        body.push(END);
        body.extend(8_u32.to_le_bytes());
        body.extend(3_u64.to_le_bytes());
        body
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let row = [
        text("a"),
        Value::Integer(1),
        Value::Integer(2),
        text("0.1.0"),
        text("b"),
    ];
    let (old, columns) = (&table.columns[..5], table.columns);
    let records = read(&body(old, &row)).unwrap();
    let whole = [&row[..], &[const { Value::Null }; 4]].concat();
    assert_eq!(records[2], Record::Row(whole.clone()));
    assert_eq!(read(&body(columns, &whole)).unwrap(), records);
    let other = Err(RecordError::OtherTable("cluster_server".to_owned()));
    for columns in [
        &columns[..4],
        &["name"],
        &[],
        &[columns, &["more"]].concat(),
    ] {
        assert_eq!(read(&body(columns, &row)), other);
    }
    let mut swapped = old.to_vec();
    swapped.swap(1, 2);
    assert_eq!(read(&body(&swapped, &row)), other);
    for row in [&row[..4], &whole] {
        assert_eq!(read(&body(old, row)), Err(RecordError::Malformed("row")));
    }
}
