//! A stream and its buffers, made ready to be written.

use super::fault::{Fault, Kind, Part, Result};
use super::{
    Codec, HEAD_BYTES, Head, MAGIC, ROW_BYTES, Row, Spec, VERSION, aligned, checksum, codec,
};
use crate::buffer::{ALIGN, BufferDesc, gather};
use bytemuck::Zeroable;

/// The bytes of one row.
#[derive(Debug)]
pub enum Stored<'a> {
    /// As they lie in memory.
    Raw(&'a [u8]),
    /// Compressed.
    Packed(codec::Compressed),
}

impl Stored<'_> {
    /// How many they are.
    pub fn stored_len(&self) -> usize {
        match self {
            Stored::Raw(bytes) => bytes.len(),
            Stored::Packed(made) => made.len(),
        }
    }

    /// The bytes, in pieces that follow each other.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let (raw, parts) = match self {
            Stored::Raw(bytes) => (Some(*bytes), &[][..]),
            Stored::Packed(made) => (None, made.parts()),
        };
        raw.into_iter().chain(parts.iter().map(Vec::as_slice))
    }
}

/// A parcel ready to be written: [`Packed::segments`] in order are its bytes.
#[derive(Debug)]
pub struct Packed<'a> {
    /// Head, rows and the zeros up to the stream.
    pub header: Vec<u8>,
    /// What is stored of the stream and of each buffer.
    pub parts: Vec<Stored<'a>>,
    /// Length of the whole.
    pub total: u64,
}

/// One segment of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Head and rows.
    Header(&'a [u8]),
    /// A piece of a part, by the part's number.
    Part(usize, &'a [u8]),
    /// Zeros, fewer than [`ALIGN`].
    Padding(usize),
}

/// Zeros for a [`Segment::Padding`].
pub static ZEROS: [u8; ALIGN] = [0; ALIGN];

impl<'a> Segment<'a> {
    /// The bytes.
    pub fn as_slice(self) -> &'a [u8] {
        match self {
            Segment::Header(bytes) | Segment::Part(_, bytes) => bytes,
            Segment::Padding(len) => &ZEROS[..len],
        }
    }
}

impl Packed<'_> {
    /// How many zeros follow a part: none after the last.
    pub fn padding(&self, number: usize) -> usize {
        let last = number + 1 == self.parts.len();
        if last { 0 } else { self.parts[number].stored_len().wrapping_neg() % ALIGN }
    }

    /// The segments in order; empty ones are left out.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let parts = self.parts.iter().enumerate().flat_map(|(number, part)| {
            let pieces = part.pieces().map(move |piece| Segment::Part(number, piece));
            pieces.chain([Segment::Padding(self.padding(number))])
        });
        core::iter::once(Segment::Header(&self.header))
            .chain(parts)
            .filter(|segment| !segment.as_slice().is_empty())
    }

    /// The bytes one after the other, into a place of `self.total` bytes.
    pub fn copy_to(&self, place: &mut [u8]) {
        gather(self.segments().map(Segment::as_slice), place);
    }
}

/// Makes a parcel of a stream and its buffers. Bytes that are not compressed
/// are not copied; they must not change until they are written.
pub fn pack<'a>(
    stream: &'a [u8],
    buffers: impl ExactSizeIterator<Item = (BufferDesc, &'a [u8])>,
    spec: Spec,
) -> Result<Packed<'a>> {
    let count = buffers.len().checked_add(1).and_then(|count| u32::try_from(count).ok());
    let count = count.ok_or(Fault::header(Kind::Field("more buffers than a parcel can hold")))?;
    let stream_desc = BufferDesc::host(stream.len(), ALIGN as u32, true);
    let rows: Vec<_> = core::iter::once((stream_desc, stream)).chain(buffers).collect();
    let table = count as usize * ROW_BYTES;
    let start = (HEAD_BYTES + table).next_multiple_of(ALIGN);
    let mut header = Vec::with_capacity(start);
    header.resize(HEAD_BYTES, 0);
    let mut parts = Vec::with_capacity(count as usize);
    let mut total = start as u64;
    for (number, ((desc, bytes), packed)) in rows.iter().zip(compress(&rows, spec)).enumerate() {
        total = aligned(total).ok_or(Fault::header(Kind::Field("larger than 2^64 bytes")))?;
        let packed = packed.map_err(|error| Fault {
            part: part_of(number),
            at: total,
            kind: Kind::Compressed(error.to_string()),
        })?;
        let part = packed.map_or(Stored::Raw(bytes), Stored::Packed);
        let codec = match (&part, spec.compression) {
            (Stored::Packed(_), Some(chosen)) => chosen.codec(),
            _ => Codec::Raw,
        };
        let stored = part.stored_len();
        let row = Row {
            desc: *desc,
            stored: stored as u64,
            checksum: spec.checksum.of_pieces(part.pieces()),
            codec: codec as u32,
            reserved: 0,
        };
        header.extend_from_slice(bytemuck::bytes_of(&row));
        total += stored as u64;
        parts.push(part);
    }
    let mut head = Head { magic: MAGIC, version: VERSION, total, rows: count, ..Head::zeroed() };
    head.checksum = spec.checksum as u16;
    head.check = check_of(&head, &header[HEAD_BYTES..]);
    header[..HEAD_BYTES].copy_from_slice(bytemuck::bytes_of(&head));
    header.resize(start, 0);
    Ok(Packed { header, parts, total })
}

/// What is compressed of each row.
fn compress(
    rows: &[(BufferDesc, &[u8])],
    spec: Spec,
) -> Vec<std::io::Result<Option<codec::Compressed>>> {
    match spec.compression {
        Some(compression) => {
            let list: Vec<&[u8]> = rows.iter().map(|(_, bytes)| *bytes).collect();
            codec::compressed_all(&list, compression)
        }
        None => rows.iter().map(|_| Ok(None)).collect(),
    }
}

/// The part of a row.
pub(super) fn part_of(row: usize) -> Part {
    if row == 0 { Part::Stream } else { Part::Buffer(row - 1) }
}

/// The checksum of a head and its rows.
pub(super) fn check_of(head: &Head, rows: &[u8]) -> u64 {
    let head = Head { check: 0, ..*head };
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 8);
    bytes.extend_from_slice(bytemuck::bytes_of(&head));
    bytes.extend_from_slice(&checksum::xxh3(rows).to_le_bytes());
    checksum::xxh3(&bytes)
}
