//! Entries written one after the other, straight from the memory of buffers.

use super::super::checksum::crc32_of;
use super::super::codec;
use super::super::{Codec, Compression, Spec};
use super::zip::{self, Entry};
use super::{LARGE_BYTES, META, STREAM, alignment, buffer_name};
use core::ops::ControlFlow;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// Data is written, summed and reported in pieces of this length: about what a
/// processor's own cache holds.
const PIECE_BYTES: usize = 512 << 10;

/// Short buffers are compressed together, so many bytes at a time.
const GROUP_BYTES: usize = 16 << 20;

/// Small entries are gathered to this length before they are written.
const GATHER_BYTES: usize = 256 << 10;

/// Why a file was not written to its end.
#[derive(Debug)]
pub enum Stop {
    /// The system refused.
    System(io::Error),
    /// The caller's `tick` said so.
    Told,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::System(error)
    }
}

/// Told how many bytes of the object have been written; says whether to go on.
pub type Tick<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

struct Writer<'a> {
    file: &'a File,
    /// Offset at which `gathered` belongs.
    at: u64,
    gathered: Vec<u8>,
    entries: Vec<Entry>,
    done: u64,
    tick: Tick<'a>,
}

impl Writer<'_> {
    fn told(&mut self, bytes: u64) -> Result<(), Stop> {
        self.done += bytes;
        match (self.tick)(self.done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Told),
        }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        (&mut &*self.file).write_all(&self.gathered)?;
        self.at += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    fn entry(&mut self, name: String, data: &[u8]) -> Result<(), Stop> {
        self.stored(name, &[data], data.len() as u64)
    }

    /// An entry of bytes, in parts, that stand for `whole` bytes of the object.
    fn stored(&mut self, name: String, parts: &[impl AsRef<[u8]>], whole: u64) -> Result<(), Stop> {
        let header = self.at + self.gathered.len() as u64;
        let len = parts.iter().map(|part| part.as_ref().len() as u64).sum();
        let mut entry = Entry { name: name.into_bytes(), crc: 0, len, header };
        if entry.len < LARGE_BYTES {
            entry.crc = crc32_of(parts.iter().map(AsRef::as_ref));
            zip::local_header(&mut self.gathered, &entry, alignment(entry.len), false);
            parts.iter().for_each(|part| self.gathered.extend_from_slice(part.as_ref()));
            self.entries.push(entry);
            if self.gathered.len() >= GATHER_BYTES {
                self.flush()?;
            }
            return self.told(whole);
        }
        let mut left = whole;
        self.large(entry, |writer, sum| {
            for piece in parts.iter().flat_map(|part| part.as_ref().chunks(PIECE_BYTES)) {
                writer.piece(piece, sum)?;
                let now = left.min(piece.len() as u64);
                left -= now;
                writer.told(now)?;
            }
            writer.told(left)
        })
    }

    /// An entry whose sum, and maybe length, is known once it is written.
    fn large(
        &mut self,
        mut entry: Entry,
        write: impl FnOnce(&mut Self, &mut crc32fast::Hasher) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (align, wide) = (alignment(entry.len), entry.len >= u64::from(u32::MAX));
        zip::local_header(&mut self.gathered, &entry, align, wide);
        self.flush()?;
        let data = self.at;
        let mut sum = crc32fast::Hasher::new();
        write(self, &mut sum)?;
        entry.crc = sum.finalize();
        entry.len = self.at - data;
        let mut header = Vec::new();
        zip::local_header(&mut header, &entry, align, wide);
        debug_assert_eq!(entry.header + header.len() as u64, data);
        let mut file = self.file;
        file.seek(SeekFrom::Start(entry.header))?;
        file.write_all(&header)?;
        file.seek(SeekFrom::Start(self.at))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes bytes of a large entry, and sums them meanwhile.
    fn piece(&mut self, piece: &[u8], sum: &mut crc32fast::Hasher) -> Result<(), Stop> {
        // Summed first: then it is in the cache when it is written.
        sum.update(piece);
        (&mut &*self.file).write_all(piece)?;
        self.at += piece.len() as u64;
        Ok(())
    }

    fn compressed(&mut self, name: String, data: &[u8], how: Compression) -> Result<(), Stop> {
        let header = self.at + self.gathered.len() as u64;
        let entry = Entry { name: name.into_bytes(), crc: 0, len: data.len() as u64, header };
        self.large(entry, |writer, sum| {
            let mut before = 0;
            codec::compress(data, how, |bytes, done| {
                writer.piece(bytes, sum)?;
                writer.told((done - core::mem::replace(&mut before, done)) as u64)
            })
        })
    }

    /// Buffers that may be compressed: short ones several at a time.
    fn packed<'a>(
        &mut self,
        buffers: impl ExactSizeIterator<Item = &'a [u8]>,
        how: Compression,
    ) -> Result<(), Stop> {
        let count = buffers.len();
        let mut buffers = buffers.enumerate().peekable();
        let mut group = Vec::new();
        while let Some((number, data)) = buffers.next() {
            if data.len() > codec::CHUNK_BYTES {
                match codec::pays(data, how) {
                    true => self.compressed(buffer_name(number, count, how.codec()), data, how)?,
                    false => self.entry(buffer_name(number, count, Codec::Raw), data)?,
                }
                continue;
            }
            group.clear();
            group.push(data);
            let mut bytes = data.len();
            while let Some((_, next)) = buffers.next_if(|(_, next)| {
                next.len() <= codec::CHUNK_BYTES && bytes + next.len() <= GROUP_BYTES
            }) {
                bytes += next.len();
                group.push(next);
            }
            let packed = codec::compressed_all(&group, how);
            for (number, (data, packed)) in (number..).zip(group.iter().zip(packed)) {
                match packed? {
                    Some(made) => {
                        let name = buffer_name(number, count, how.codec());
                        self.stored(name, made.parts(), data.len() as u64)?;
                    }
                    None => self.entry(buffer_name(number, count, Codec::Raw), data)?,
                }
            }
        }
        Ok(())
    }
}

/// Writes a whole archive at the file's start: the stream and its buffers.
/// `about` is the text of the entry for people. Gives the file's length.
pub fn write<'a>(
    file: &File,
    stream: &[u8],
    buffers: impl ExactSizeIterator<Item = &'a [u8]>,
    spec: Spec,
    about: &str,
    tick: Tick<'_>,
) -> Result<u64, Stop> {
    let mut writer =
        Writer { file, at: 0, gathered: Vec::new(), entries: Vec::new(), done: 0, tick };
    writer.entry(STREAM.to_owned(), stream)?;
    match spec.compression {
        Some(how) => writer.packed(buffers, how)?,
        None => {
            let count = buffers.len();
            for (number, data) in buffers.enumerate() {
                writer.entry(buffer_name(number, count, Codec::Raw), data)?;
            }
        }
    }
    writer.entry(META.to_owned(), about.as_bytes())?;
    let at = writer.at + writer.gathered.len() as u64;
    let directory = zip::directory(&writer.entries, at);
    writer.gathered.extend_from_slice(&directory);
    writer.flush()?;
    Ok(writer.at)
}
