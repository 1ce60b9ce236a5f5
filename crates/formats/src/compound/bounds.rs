//! Looks over the tables of a compound file (\[MS-CFB\] 2.2 to 2.5) before the library loads them.
//! The library reads every FAT sector the DIFAT lists, without asking whether it listed the same
//! one before; a small file could name one sector millions of times and fill the memory. Here it
//! is made sure that the FAT is at most as long as the file and that directory and mini FAT stay
//! within the limits. Memory: four bytes for each distinct FAT sector.

use std::io::{Read, Seek, SeekFrom};

use super::{Error, MAGIC};
use crate::Limits;

/// Checks the tables and returns the length of the file in bytes.
pub(super) fn check<R: Read + Seek>(reader: &mut R, limits: &Limits) -> Result<u64, Error> {
    let file_length = reader.seek(SeekFrom::End(0)).map_err(Error::Io)?;
    let mut header = [0; HEADER_LENGTH];
    reader.seek(SeekFrom::Start(0)).map_err(Error::Io)?;
    if file_length < HEADER_LENGTH as u64 {
        return Err(Error::NotCompound);
    }
    reader.read_exact(&mut header).map_err(Error::Io)?;
    if !header.starts_with(&MAGIC) {
        return Err(Error::NotCompound);
    }
    let sector_length = match header.get(0x1E..0x20) {
        Some([9, 0]) => 512,
        Some([12, 0]) => 4096,
        _ => return Err(bad("header", "has an impossible sector size")),
    };
    let mut tables = Tables {
        reader,
        sector_length,
        // The header takes the place of one sector.
        sectors: file_length.div_ceil(sector_length).saturating_sub(1),
        fat: Vec::new(),
    };
    tables.collect_fat(&header)?;
    let directory = u32_at(&header, 0x30);
    let mini_fat = u32_at(&header, 0x3C);
    tables.check_chain("directory", directory, limits)?;
    tables.check_chain("mini FAT", mini_fat, limits)?;
    tables.reader.seek(SeekFrom::Start(0)).map_err(Error::Io)?;
    Ok(file_length)
}

struct Tables<'a, R> {
    reader: &'a mut R,
    sector_length: u64,
    /// Sectors of the file, the header not counted, a cut one at the end included.
    sectors: u64,
    /// Sectors that hold the FAT, in order.
    fat: Vec<u32>,
}

impl<R: Read + Seek> Tables<'_, R> {
    /// Collects the FAT sectors listed in the header and in the DIFAT chain.
    fn collect_fat(&mut self, header: &[u8]) -> Result<(), Error> {
        for entry in 0..109 {
            let sector = u32_at(header, 0x4C + entry * 4);
            if sector == FREE {
                break;
            }
            self.push_fat(sector)?;
        }
        let mut difat = u32_at(header, 0x44);
        let mut steps = 0;
        let mut free_seen = false;
        let mut buffer = vec![0; usize::try_from(self.sector_length).unwrap_or(512)];
        while difat != END && difat != FREE {
            steps += 1;
            if steps > self.sectors {
                return Err(bad("DIFAT", "runs in a circle"));
            }
            self.seek(difat, 0, "DIFAT")?;
            self.reader
                .read_exact(&mut buffer)
                .map_err(Error::Damaged)?;
            let (words, _) = buffer.as_chunks::<4>();
            let Some((next, listed)) = words.split_last() else {
                break;
            };
            for &word in listed {
                let sector = u32::from_le_bytes(word);
                if sector == FREE {
                    free_seen = true;
                } else {
                    self.push_fat(sector)?;
                }
            }
            difat = u32::from_le_bytes(*next);
        }
        // Some writers fill the last DIFAT sector with zeros, which the library then takes off.
        let stated = usize::try_from(u32_at(header, 0x2C))
            .unwrap_or(usize::MAX)
            .max(109);
        while !free_seen && self.fat.len() > stated && self.fat.last() == Some(&0) {
            self.fat.pop();
        }
        let mut distinct = self.fat.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < self.fat.len() {
            return Err(bad("DIFAT", "lists a FAT sector twice"));
        }
        Ok(())
    }

    fn push_fat(&mut self, sector: u32) -> Result<(), Error> {
        if u64::from(sector) >= self.sectors {
            return Err(bad("DIFAT", "lists a FAT sector outside the file"));
        }
        if self.fat.len() as u64 > self.sectors {
            return Err(bad(
                "DIFAT",
                "lists more FAT sectors than the file has sectors",
            ));
        }
        self.fat.push(sector);
        Ok(())
    }

    /// Follows a chain that the library is going to load as a whole.
    fn check_chain(
        &mut self,
        table: &'static str,
        first: u32,
        limits: &Limits,
    ) -> Result<(), Error> {
        let limit = limits.directory / self.sector_length;
        let mut sector = first;
        let mut steps = 0;
        while sector != END && sector != FREE {
            steps += 1;
            if steps > self.sectors {
                return Err(bad(table, "runs in a circle"));
            }
            if steps > limit {
                return Err(bad(table, "is longer than the limit"));
            }
            sector = self.next(sector, table)?;
        }
        Ok(())
    }

    /// The FAT entry of a sector.
    fn next(&mut self, sector: u32, table: &'static str) -> Result<u32, Error> {
        let per_sector = self.sector_length / 4;
        let index = usize::try_from(u64::from(sector) / per_sector).unwrap_or(usize::MAX);
        let Some(&fat_sector) = self.fat.get(index) else {
            return Err(bad(table, "runs outside the FAT"));
        };
        self.seek(fat_sector, (u64::from(sector) % per_sector) * 4, "FAT")?;
        let mut entry = [0; 4];
        self.reader.read_exact(&mut entry).map_err(Error::Damaged)?;
        Ok(u32::from_le_bytes(entry))
    }

    fn seek(&mut self, sector: u32, within: u64, table: &'static str) -> Result<(), Error> {
        if u64::from(sector) >= self.sectors {
            return Err(bad(table, "runs outside the file"));
        }
        let position = (u64::from(sector) + 1) * self.sector_length + within;
        self.reader
            .seek(SeekFrom::Start(position))
            .map(|_| ())
            .map_err(Error::Io)
    }
}

fn bad(table: &'static str, problem: &'static str) -> Error {
    Error::BadTable { table, problem }
}

/// A number of the header; the header is there in full.
fn u32_at(header: &[u8], at: usize) -> u32 {
    header
        .get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(END, |bytes| u32::from_le_bytes(*bytes))
}

const HEADER_LENGTH: usize = 512;
const END: u32 = 0xFFFF_FFFE;
const FREE: u32 = 0xFFFF_FFFF;
