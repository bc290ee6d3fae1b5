//! Compressed data: frames of zstd or LZ4, one for each chunk, and where they are.
//!
//! Each chunk of [`CHUNK_BYTES`] becomes a frame of its own, so several threads
//! write and read them. After the frames comes a skippable frame with their
//! lengths (the seek table of zstd's seekable format), so the whole is what
//! `zstd -d` and `lz4 -d` read as well.

use super::fault::Kind;
use crate::buffer::Block;
use crate::threads;
use rayon::prelude::*;

/// How data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// zstd with a level.
    Zstd(i32),
    /// LZ4.
    Lz4,
}

/// How stored bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Codec {
    /// They are the bytes.
    Raw = 0,
    /// Frames of zstd.
    Zstd = 1,
    /// Frames of LZ4.
    Lz4 = 2,
}

/// Bytes of data in each frame but the last.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Data shorter than this is not compressed.
pub const LEAST_BYTES: usize = 512;

/// A frame that says it holds more than this is refused.
const MOST_CHUNK_BYTES: u32 = 1 << 24;

/// A sample is this many pieces of that many bytes.
const SAMPLE_PIECES: usize = 4;
const SAMPLE_BYTES: usize = 16 << 10;

/// Data whose sample does not shrink to this share of it is left as it is.
const PAYS_PERCENT: usize = 92;

/// Frames compressed at a time, for each thread: they are held until written.
const BATCH_FRAMES: usize = 4;

const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;
const SKIPPABLE_HEAD: usize = 8;
const TABLE_FOOT: usize = 9;
const TABLE_ENTRY: usize = 8;

impl Compression {
    /// The levels that zstd has.
    pub const LEVELS: core::ops::RangeInclusive<i32> = -7..=22;

    /// What reads it.
    pub fn codec(self) -> Codec {
        match self {
            Compression::Zstd(_) => Codec::Zstd,
            Compression::Lz4 => Codec::Lz4,
        }
    }
}

impl Codec {
    /// The codec of a number in a row, if it names one.
    pub fn from_u32(value: u32) -> Option<Codec> {
        [Codec::Raw, Codec::Zstd, Codec::Lz4].into_iter().find(|known| *known as u32 == value)
    }

    /// The most bytes that a frame of `stored` bytes can hold.
    fn most_from(self, stored: usize) -> usize {
        match self {
            Codec::Raw => stored,
            // A block of 128 KiB takes four bytes at least.
            Codec::Zstd => (stored / 4).saturating_mul(128 << 10),
            Codec::Lz4 => stored.saturating_mul(255),
        }
    }
}

/// Whether a sample of the data says that compressing it pays.
pub fn pays(data: &[u8], compression: Compression) -> bool {
    if data.len() < LEAST_BYTES {
        return false;
    }
    let sample: Vec<u8> = if data.len() <= SAMPLE_PIECES * SAMPLE_BYTES {
        data.to_vec()
    } else {
        let step = (data.len() - SAMPLE_BYTES) / (SAMPLE_PIECES - 1);
        (0..SAMPLE_PIECES).flat_map(|n| &data[n * step..][..SAMPLE_BYTES]).copied().collect()
    };
    let quick = match compression {
        Compression::Zstd(_) => Compression::Zstd(1),
        Compression::Lz4 => Compression::Lz4,
    };
    Worker::new(quick)
        .frame(&sample)
        .is_ok_and(|frame| frame.len() * 100 < sample.len() * PAYS_PERCENT)
}

/// What a thread needs to compress, used again for each chunk.
struct Worker {
    compression: Compression,
    zstd: Option<std::io::Result<zstd::bulk::Compressor<'static>>>,
}

impl Worker {
    fn new(compression: Compression) -> Worker {
        let zstd = match compression {
            Compression::Zstd(level) => Some(zstd::bulk::Compressor::new(level)),
            Compression::Lz4 => None,
        };
        Worker { compression, zstd }
    }

    fn frame(&mut self, chunk: &[u8]) -> std::io::Result<Vec<u8>> {
        use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
        match (self.compression, &mut self.zstd) {
            (Compression::Zstd(_), Some(Ok(compressor))) => {
                let most = zstd::zstd_safe::compress_bound(chunk.len());
                let mut frame = Vec::with_capacity(most);
                compressor.compress_to_buffer(chunk, &mut frame)?;
                // Frames are held until they are written: no longer than they are.
                frame.shrink_to_fit();
                Ok(frame)
            }
            (Compression::Zstd(_), _) => Err(std::io::ErrorKind::OutOfMemory.into()),
            (Compression::Lz4, _) => {
                let info = FrameInfo::new()
                    .block_size(BlockSize::Max1MB)
                    .content_size(Some(chunk.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                std::io::Write::write_all(&mut encoder, chunk)?;
                Ok(encoder.finish()?)
            }
        }
    }
}

/// The frames of some chunks.
fn frames_of(part: &[u8], compression: Compression) -> std::io::Result<Vec<Vec<u8>>> {
    let worker = || Worker::new(compression);
    match threads::pool().filter(|_| part.len() > CHUNK_BYTES) {
        Some(pool) => {
            pool.install(|| part.par_chunks(CHUNK_BYTES).map_init(worker, Worker::frame).collect())
        }
        None => {
            let mut worker = worker();
            part.chunks(CHUNK_BYTES).map(|chunk| worker.frame(chunk)).collect()
        }
    }
}

/// The table after frames, by the length of each and of its chunk.
#[derive(Default)]
struct Table(Vec<u8>);

impl Table {
    fn add(&mut self, frame: &[u8], chunk: &[u8]) {
        self.0.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        self.0.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let count = (self.0.len() / TABLE_ENTRY) as u32;
        let mut table = SKIPPABLE.to_le_bytes().to_vec();
        table.extend_from_slice(&((self.0.len() + TABLE_FOOT) as u32).to_le_bytes());
        table.append(&mut self.0);
        table.extend_from_slice(&count.to_le_bytes());
        table.push(0);
        table.extend_from_slice(&SEEKABLE.to_le_bytes());
        table
    }
}

/// Compresses data; `write` gets the compressed bytes in order, and how many
/// bytes of the data have been done with them. Few frames are held at a time.
pub fn compress<E: From<std::io::Error>>(
    data: &[u8],
    compression: Compression,
    mut write: impl FnMut(&[u8], usize) -> Result<(), E>,
) -> Result<(), E> {
    let few = threads::pool().map_or(1, |pool| pool.current_num_threads() * BATCH_FRAMES);
    let (mut table, mut done) = (Table::default(), 0);
    for part in data.chunks(CHUNK_BYTES * few) {
        let frames = frames_of(part, compression)?;
        for (chunk, frame) in part.chunks(CHUNK_BYTES).zip(frames) {
            table.add(&frame, chunk);
            done += chunk.len();
            write(&frame, done)?;
        }
    }
    write(&table.finish(), done)
}

/// The compressed form of data: its frames and the table of them, each where it
/// was made.
#[derive(Debug)]
pub struct Compressed {
    parts: Vec<Vec<u8>>,
    len: usize,
}

impl Compressed {
    /// Bytes of all parts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none: never, as there is a table.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts, which one after the other are its bytes.
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }

    /// The parts, to keep.
    pub fn into_parts(self) -> Vec<Vec<u8>> {
        self.parts
    }
}

/// The compressed form of data, if it is smaller.
pub fn compressed(data: &[u8], compression: Compression) -> std::io::Result<Option<Compressed>> {
    if !pays(data, compression) {
        return Ok(None);
    }
    let mut parts = frames_of(data, compression)?;
    let mut table = Table::default();
    data.chunks(CHUNK_BYTES).zip(&parts).for_each(|(chunk, frame)| table.add(frame, chunk));
    parts.push(table.finish());
    let len = parts.iter().map(Vec::len).sum();
    Ok((len < data.len()).then_some(Compressed { parts, len }))
}

/// [`compressed`] of each, by several threads.
pub fn compressed_all(
    list: &[&[u8]],
    compression: Compression,
) -> Vec<std::io::Result<Option<Compressed>>> {
    let one = |data: &&[u8]| compressed(data, compression);
    match threads::pool().filter(|_| list.len() > 1) {
        Some(pool) => pool.install(|| list.par_iter().map(one).collect()),
        None => list.iter().map(one).collect(),
    }
}

/// Frames of stored bytes, by the table at their end.
struct Frames<'a> {
    /// Each with the bytes that it holds.
    list: Vec<(&'a [u8], usize)>,
    /// Bytes that all hold.
    len: u64,
}

fn faulty(what: &str) -> Kind {
    Kind::Compressed(what.to_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Reads the table, and believes nothing that it says.
fn frames(stored: &[u8], codec: Codec) -> Result<Frames<'_>, Kind> {
    let missing = || faulty("there is no table of frames at its end");
    let foot = stored.len().checked_sub(TABLE_FOOT).ok_or_else(missing)?;
    if u32_at(stored, foot + 5) != SEEKABLE || stored[foot + 4] != 0 {
        return Err(missing());
    }
    let count = u32_at(stored, foot) as usize;
    let entries = count.checked_mul(TABLE_ENTRY).ok_or_else(missing)?;
    let table = foot.checked_sub(entries).ok_or_else(missing)?;
    let end = table.checked_sub(SKIPPABLE_HEAD).ok_or_else(missing)?;
    if u32_at(stored, end) != SKIPPABLE || u32_at(stored, end + 4) as usize != entries + TABLE_FOOT
    {
        return Err(missing());
    }
    let mut found = Frames { list: Vec::new(), len: 0 };
    found.list.try_reserve_exact(count).map_err(|_| Kind::OutOfMemory(count as u64))?;
    let mut at = 0usize;
    for entry in stored[table..foot].chunks_exact(TABLE_ENTRY) {
        let (packed, holds) = (u32_at(entry, 0) as usize, u32_at(entry, 4));
        let frame = at.checked_add(packed).and_then(|to| stored[..end].get(at..to));
        let frame = frame.ok_or_else(|| faulty("a frame lies outside of it"))?;
        if holds > MOST_CHUNK_BYTES || holds as usize > codec.most_from(packed) {
            return Err(faulty("a frame says that it holds more than it can"));
        }
        found.list.push((frame, holds as usize));
        found.len += u64::from(holds);
        at += packed;
    }
    if at != end {
        return Err(faulty("there are bytes between its frames"));
    }
    Ok(found)
}

/// How many bytes compressed data says that it holds.
pub fn decompressed_len(stored: &[u8], codec: Codec) -> Result<u64, Kind> {
    frames(stored, codec).map(|frames| frames.len)
}

/// The data of stored bytes, which must be `len` bytes.
pub fn decompress(stored: &[u8], codec: Codec, len: u64) -> Result<Block, Kind> {
    let frames = frames(stored, codec)?;
    if frames.len != len {
        return Err(faulty("it holds another number of bytes"));
    }
    let too_large = || Kind::OutOfMemory(len);
    let mut block = usize::try_from(len).ok().and_then(Block::zeroed).ok_or_else(too_large)?;
    let mut work = Vec::new();
    work.try_reserve_exact(frames.list.len()).map_err(|_| too_large())?;
    let mut rest = block.as_mut_slice();
    for (frame, holds) in frames.list {
        let (to, after) = rest.split_at_mut(holds);
        work.push((frame, to));
        rest = after;
    }
    let one = |(frame, to): (&[u8], &mut [u8])| open_frame(frame, codec, to);
    match threads::pool().filter(|_| work.len() > 1) {
        Some(pool) => pool.install(|| work.into_par_iter().try_for_each(one))?,
        None => work.into_iter().try_for_each(one)?,
    }
    Ok(block)
}

fn open_frame(frame: &[u8], codec: Codec, to: &mut [u8]) -> Result<(), Kind> {
    let text = |error: std::io::Error| faulty(&error.to_string());
    let short = || faulty("a frame does not hold what the table says");
    match codec {
        Codec::Raw => Err(faulty("it is not compressed")),
        Codec::Zstd => {
            // Where a frame goes on over its place, zstd itself says so.
            let got = zstd::bulk::decompress_to_buffer(frame, to).map_err(text)?;
            if got == to.len() { Ok(()) } else { Err(short()) }
        }
        Codec::Lz4 => {
            let mut decoder = lz4_flex::frame::FrameDecoder::new(frame);
            std::io::Read::read_exact(&mut decoder, to).map_err(text)?;
            match std::io::Read::read(&mut decoder, &mut [0]).map_err(text)? {
                0 => Ok(()),
                _ => Err(short()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compression; 3] = [Compression::Zstd(3), Compression::Zstd(-1), Compression::Lz4];

    fn packed(data: &[u8], compression: Compression) -> Option<Vec<u8>> {
        compressed(data, compression).expect("memory").map(|made| made.parts().concat())
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|n| b"compress me, please "[n % 20] ^ (n / 5000) as u8).collect()
    }

    #[test]
    fn data_comes_back() {
        for compression in BOTH {
            for len in [LEAST_BYTES, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7] {
                let data = text(len);
                let stored = packed(&data, compression).expect("it pays");
                assert!(stored.len() < len / 2);
                let codec = compression.codec();
                assert_eq!(decompressed_len(&stored, codec), Ok(len as u64));
                let back = decompress(&stored, codec, len as u64).expect("what was written");
                assert!(back.as_slice() == data);
            }
        }
    }

    #[test]
    fn noise_is_left_as_it_is() {
        let hash = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()) as u8;
        let data: Vec<u8> = (0..300_000).map(hash).collect();
        for compression in BOTH {
            assert_eq!(packed(&data, compression), None);
            assert_eq!(packed(&data[..LEAST_BYTES - 1], compression), None);
        }
    }

    #[test]
    fn no_byte_can_be_changed_or_lost_and_nothing_panics() {
        let data = text(3000);
        for compression in BOTH {
            let codec = compression.codec();
            let stored = packed(&data, compression).expect("it pays");
            for len in 0..stored.len() {
                assert!(decompress(&stored[..len], codec, 3000).is_err());
            }
            for at in 0..stored.len() {
                for bit in 0..8 {
                    let mut other = stored.clone();
                    other[at] ^= 1 << bit;
                    if let Ok(block) = decompress(&other, codec, 3000) {
                        assert_eq!(block.as_slice().len(), 3000);
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_that_promises_too_much_allocates_nothing() {
        for codec in [Codec::Zstd, Codec::Lz4] {
            let mut stored = vec![0; 4];
            stored.extend_from_slice(&SKIPPABLE.to_le_bytes());
            stored.extend_from_slice(&17u32.to_le_bytes());
            stored.extend_from_slice(&4u32.to_le_bytes());
            stored.extend_from_slice(&MOST_CHUNK_BYTES.to_le_bytes());
            stored.extend_from_slice(&1u32.to_le_bytes());
            stored.push(0);
            stored.extend_from_slice(&SEEKABLE.to_le_bytes());
            let fault = decompressed_len(&stored, codec).expect_err("four bytes hold no 16 MiB");
            assert_eq!(fault, faulty("a frame says that it holds more than it can"));
        }
    }
}
