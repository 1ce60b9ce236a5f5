//! Writing the body of an archive.

use std::io::{self, Read, Write};

use openrms_store::{Table, Value};
use zeroize::Zeroizing;

use super::{END, FILE, FILE_PIECE, MANIFEST, MASTER_KEY, PIECE, ROW, TABLE, longest, row};
use crate::backup::manifest::{FileName, Manifest};

/// Writes records, in the order in which they are read.
pub(crate) struct Writer<W> {
    out: W,
    table: Option<&'static Table>,
    count: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with what the backup is of.
    pub(crate) fn new(out: W, manifest: &Manifest) -> io::Result<Self> {
        let mut writer = Self {
            out,
            table: None,
            count: 0,
        };
        writer.put(MANIFEST, &serde_json::to_vec(manifest)?)?;
        Ok(writer)
    }

    pub(crate) fn master_key(&mut self, key: &[u8; 32]) -> io::Result<()> {
        self.put(MASTER_KEY, key)
    }

    /// Writes a file of any length.
    pub(crate) fn file(&mut self, name: FileName, mut content: impl Read) -> io::Result<()> {
        self.table = None;
        self.put(FILE, name.as_str().as_bytes())?;
        let mut piece = Zeroizing::new(Vec::with_capacity(PIECE as usize));
        loop {
            piece.clear();
            (&mut content).take(PIECE.into()).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.put(FILE_PIECE, &piece)?;
        }
    }

    pub(crate) fn row(&mut self, table: &'static Table, row: &[Value]) -> io::Result<()> {
        if self.table != Some(table) {
            let names = std::iter::once(table.name).chain(table.columns.iter().copied());
            self.put(TABLE, names.collect::<Vec<_>>().join("\n").as_bytes())?;
            self.table = Some(table);
        }
        self.put(ROW, &row::write(row)?)
    }

    /// Writes the end and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let count = self.count;
        self.put(END, &count.to_le_bytes())?;
        Ok(self.out)
    }

    fn put(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        // What could not be read again is not written.
        let length = u32::try_from(content.len())
            .ok()
            .filter(|&length| length <= longest(kind))
            .ok_or_else(|| io::Error::other("a value is too long for a backup"))?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(content)?;
        self.count += 1;
        Ok(())
    }
}
