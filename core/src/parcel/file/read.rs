//! A file's entries: where they are, and their bytes. Nothing that the file
//! says is believed before it is checked.

use super::super::checksum::crc32;
use super::super::codec;
use super::super::fault::{Fault, Kind, Part};
use super::super::{Checksum, Codec};
use super::zip::{self, Entry};
use super::{STREAM, parse_name};
use crate::buffer::{Block, Buffer};
use crate::threads;
use core::ops::ControlFlow;
use rayon::prelude::*;
use std::fs::File;
use std::io;

/// Bytes looked at first for the end of a file.
const FIRST_TAIL: usize = 8 << 10;

/// Bytes that one thread reads at a time.
const PIECE_BYTES: usize = 4 << 20;

/// Pieces read before the caller is told.
const BATCH_PIECES: usize = 8;

/// What can go wrong.
#[derive(Debug)]
pub enum ReadError {
    /// The system refused.
    System(io::Error),
    /// The file is faulty.
    Fault(Fault),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::System(error)
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> ReadError {
        ReadError::Fault(fault)
    }
}

/// A file that is open.
#[derive(Debug)]
pub struct Archive {
    file: File,
    len: u64,
    /// Where the directory begins, and data ends.
    limit: u64,
    stream: Entry,
    buffers: Vec<(Entry, Codec)>,
    others: Vec<Entry>,
}

/// Names an entry: the stream, or a buffer's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The stream.
    Stream,
    /// A buffer.
    Buffer(usize),
}

fn read_at(file: &File, at: u64, to: &mut [u8]) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, to, at);
    #[cfg(not(unix))]
    {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(to)
    }
}

/// The last bytes of a file, `most` at most.
fn tail(file: &File, len: u64, most: usize) -> io::Result<Vec<u8>> {
    let take = usize::try_from(len).unwrap_or(most).min(most);
    let mut bytes = vec![0; take];
    read_at(file, len - take as u64, &mut bytes)?;
    Ok(bytes)
}

impl Archive {
    /// Reads the directory of a file, and nothing else of it.
    pub fn open(file: File) -> Result<Archive, ReadError> {
        let len = file.metadata()?.len();
        let fault = |at| move |kind| Fault { part: Part::Directory, at, kind };
        let mut last = tail(&file, len, FIRST_TAIL)?;
        let mut end = zip::find_end(&last, len);
        if end.is_err() && len > FIRST_TAIL as u64 {
            last = tail(&file, len, zip::TAIL_BYTES)?;
            end = zip::find_end(&last, len);
        }
        let end = end.map_err(fault(len))?;
        let mut directory = Vec::new();
        // The directory lies within the file, so it is no longer than that.
        let bytes = usize::try_from(end.len).map_err(io::Error::other)?;
        let memory = Kind::OutOfMemory(end.len);
        directory.try_reserve_exact(bytes).map_err(|_| fault(end.at)(memory))?;
        let before = len - last.len() as u64;
        if end.at >= before {
            directory.extend_from_slice(&last[(end.at - before) as usize..][..bytes]);
        } else {
            directory.resize(bytes, 0);
            read_at(&file, end.at, &mut directory)?;
        }
        let entries = zip::entries(&directory, end.count, end.at).map_err(fault(end.at))?;
        Archive::of(file, len, end.at, entries).map_err(|kind| fault(end.at)(kind).into())
    }

    fn of(file: File, len: u64, limit: u64, entries: Vec<Entry>) -> Result<Archive, Kind> {
        let (mut stream, mut buffers, mut others) = (None, Vec::new(), Vec::new());
        buffers.try_reserve(entries.len()).map_err(|_| Kind::OutOfMemory(len))?;
        for entry in entries {
            if entry.name == STREAM.as_bytes() {
                stream = Some(entry);
            } else if let Some((number, codec)) = parse_name(&entry.name) {
                buffers.push((number, entry, codec));
            } else {
                others.push(entry);
            }
        }
        let stream =
            stream.ok_or(Kind::Field("there is no stream.pkl: the file is none of ours"))?;
        buffers.sort_by_key(|(number, ..)| *number);
        if buffers.iter().enumerate().any(|(wanted, (number, ..))| *number != wanted) {
            return Err(Kind::Field("the numbers of its buffers have gaps"));
        }
        let buffers = buffers.into_iter().map(|(_, entry, codec)| (entry, codec)).collect();
        Ok(Archive { file, len, limit, stream, buffers, others })
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty, which no archive is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How many buffers there are.
    pub fn buffers(&self) -> usize {
        self.buffers.len()
    }

    /// Names and lengths of all entries as they are stored.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let buffers = self.buffers.iter().map(|(entry, _)| entry);
        core::iter::once(&self.stream).chain(buffers).chain(&self.others)
    }

    fn entry(&self, which: Which) -> Option<(&Entry, Codec)> {
        match which {
            Which::Stream => Some((&self.stream, Codec::Raw)),
            Which::Buffer(number) => self.buffers.get(number).map(|(entry, codec)| (entry, *codec)),
        }
    }

    /// Length of an entry as it is stored, and how it is read; `None` if there
    /// is none of that number.
    pub fn stored(&self, which: Which) -> Option<(u64, Codec)> {
        self.entry(which).map(|(entry, codec)| (entry.len, codec))
    }

    /// An entry's stored bytes as a part of the file's memory.
    pub fn part(&self, map: &Buffer, which: Which) -> Result<Buffer, Fault> {
        let Some((entry, _)) = self.entry(which) else { return Err(self.missing(which)) };
        self.part_of(map, entry)
    }

    fn part_of(&self, map: &Buffer, entry: &Entry) -> Result<Buffer, Fault> {
        let header = usize::try_from(entry.header).unwrap_or(usize::MAX);
        let bytes = map.as_slice().get(header..).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(zip::local_len(entry))];
        let data = zip::data_offset(bytes, entry, self.limit);
        let data = data.map_err(|kind| fault(entry, entry.header, kind))?;
        let part = map.part(data as usize, entry.len as usize);
        part.ok_or_else(|| fault(entry, data, Kind::Field("it lies outside of the file")))
    }

    fn missing(&self, which: Which) -> Fault {
        let part = match which {
            Which::Stream => Part::Stream,
            Which::Buffer(number) => Part::Buffer(number),
        };
        Fault { part, at: self.limit, kind: Kind::Field("it is not in the file") }
    }

    /// A fault of an entry.
    pub fn fault(&self, which: Which, kind: Kind) -> Fault {
        match self.entry(which) {
            Some((entry, _)) => fault(entry, entry.header, kind),
            None => self.missing(which),
        }
    }

    /// Compares the checksum of an entry's stored bytes.
    pub fn check(&self, stored: &[u8], which: Which) -> Result<(), Fault> {
        let Some((entry, _)) = self.entry(which) else { return Err(self.missing(which)) };
        compare(entry, crc32(stored))
    }

    /// Compares the checksums of all entries; `tick` is told how many bytes
    /// have been looked at. False if it broke off.
    pub fn check_all(
        &self,
        map: &Buffer,
        mut tick: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<bool, Fault> {
        let mut done = 0;
        for entry in self.entries() {
            let part = self.part_of(map, entry)?;
            let mut sum = crc32fast::Hasher::new();
            for piece in part.as_slice().chunks(PIECE_BYTES) {
                let here = crc32(piece);
                sum.combine(&crc32fast::Hasher::new_with_initial_len(here, piece.len() as u64));
                done += piece.len() as u64;
                if tick(done).is_break() {
                    return Ok(false);
                }
            }
            compare(entry, sum.finalize())?;
        }
        Ok(true)
    }

    /// The data of stored bytes that are compressed.
    pub fn decompress(&self, stored: &[u8], which: Which) -> Result<Block, Fault> {
        let Some((entry, codec)) = self.entry(which) else { return Err(self.missing(which)) };
        let len = codec::decompressed_len(stored, codec);
        let block = len.and_then(|len| codec::decompress(stored, codec, len));
        block.map_err(|kind| fault(entry, entry.header, kind))
    }

    /// An entry's stored bytes in memory of their own, read from the file, their
    /// checksum compared if `check` says so. `tick` is told how many bytes have
    /// been read; what it breaks with ends it.
    pub fn read<B>(
        &self,
        which: Which,
        check: bool,
        mut tick: impl FnMut(u64) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, Block>, ReadError> {
        let Some((entry, _)) = self.entry(which) else { return Err(self.missing(which).into()) };
        let mut header = vec![0; zip::local_len(entry)];
        read_at(&self.file, entry.header, &mut header)?;
        let data = zip::data_offset(&header, entry, self.limit);
        let data = data.map_err(|kind| fault(entry, entry.header, kind))?;
        // The entry lies within the file, so memory of its length is no surprise.
        let block = usize::try_from(entry.len).ok().and_then(Block::zeroed);
        let memory = || fault(entry, data, Kind::OutOfMemory(entry.len));
        let mut block = block.ok_or_else(memory)?;
        let mut sum = crc32fast::Hasher::new();
        let mut at = data;
        for batch in block.as_mut_slice().chunks_mut(BATCH_PIECES * PIECE_BYTES) {
            let one = |(number, piece): (usize, &mut [u8])| -> io::Result<crc32fast::Hasher> {
                read_at(&self.file, at + (number * PIECE_BYTES) as u64, piece)?;
                let mut sum = crc32fast::Hasher::new();
                if check {
                    sum.update(piece);
                }
                Ok(sum)
            };
            let len = batch.len();
            let pool = threads::pool().filter(|_| len > PIECE_BYTES);
            let sums: io::Result<Vec<_>> = match pool {
                Some(pool) => pool
                    .install(|| batch.par_chunks_mut(PIECE_BYTES).enumerate().map(one).collect()),
                None => batch.chunks_mut(PIECE_BYTES).enumerate().map(one).collect(),
            };
            sums?.iter().for_each(|piece| sum.combine(piece));
            at += len as u64;
            if let ControlFlow::Break(stop) = tick(at - data) {
                return Ok(ControlFlow::Break(stop));
            }
        }
        if check {
            compare(entry, sum.finalize())?;
        }
        Ok(ControlFlow::Continue(block))
    }
}

fn fault(entry: &Entry, at: u64, kind: Kind) -> Fault {
    let name = String::from_utf8_lossy(&entry.name).into_owned();
    Fault { part: Part::Entry(name), at, kind }
}

fn compare(entry: &Entry, found: u32) -> Result<(), Fault> {
    if found == entry.crc {
        return Ok(());
    }
    let (found, wanted) = (found.into(), entry.crc.into());
    Err(fault(entry, entry.header, Kind::Altered { by: Checksum::Crc32, found, wanted }))
}
