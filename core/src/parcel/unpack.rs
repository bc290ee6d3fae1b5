//! The parts of a parcel's bytes. Nothing that they say is believed before it
//! is checked, and nothing is allocated on their word.

use super::fault::{Fault, Kind, Result};
use super::pack::{check_of, part_of};
use super::{Checksum, Codec, HEAD_BYTES, Head, MAGIC, ROW_BYTES, Row, VERSION, aligned, codec};
use crate::buffer::{Block, BufferDesc, Place};

/// Where a row's bytes are in a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What they are once they are read.
    pub desc: BufferDesc,
    /// Offset of the stored bytes.
    pub at: u64,
    /// Length of the stored bytes.
    pub stored: u64,
    /// How they are read.
    pub codec: Codec,
    /// Their checksum.
    pub checksum: u64,
}

/// A parcel's parts: the stream, then each buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the slots' checksums are.
    pub checksum: Checksum,
    /// One slot for each row.
    pub slots: Vec<Slot>,
    /// Length of the whole.
    pub total: u64,
}

fn truncated(needed: u64, have: usize) -> Fault {
    Fault::header(Kind::Truncated { needed, have: have as u64 })
}

fn read_head(data: &[u8]) -> Result<Head> {
    let known = data.len().min(MAGIC.len());
    if data[..known] != MAGIC[..known] {
        return Err(Fault::header(Kind::NoParcel));
    }
    let Some(head) = data.get(..HEAD_BYTES) else {
        return Err(truncated(HEAD_BYTES as u64, data.len()));
    };
    let head: Head = bytemuck::pod_read_unaligned(head);
    if head.version != VERSION {
        return Err(Fault::header(Kind::Version(head.version)));
    }
    if head.rows == 0 {
        return Err(Fault::header(Kind::Field("there is no row for the stream")));
    }
    Ok(head)
}

/// How many bytes head and rows take, by the first [`HEAD_BYTES`] of a parcel.
pub fn header_len(head: &[u8]) -> Result<u64> {
    read_head(head).map(|head| HEAD_BYTES as u64 + u64::from(head.rows) * ROW_BYTES as u64)
}

impl Layout {
    /// The layout that head and rows tell, whose bytes may be still to come.
    pub fn of_header(data: &[u8]) -> Result<Layout> {
        let head = read_head(data)?;
        let needed = header_len(data)?;
        let rows = usize::try_from(needed).ok().and_then(|end| data.get(HEAD_BYTES..end));
        let rows = rows.ok_or_else(|| truncated(needed, data.len()))?;
        let found = check_of(&head, rows);
        if found != head.check {
            let kind = Kind::Altered { by: Checksum::Xxh3, found, wanted: head.check };
            return Err(Fault::header(kind));
        }
        let Some(checksum) = Checksum::from_u16(head.checksum) else {
            return Err(Fault::header(Kind::Field("a kind of checksum that is not known")));
        };
        // The rows are there, so there is memory of that order.
        let mut slots = Vec::new();
        let memory = Kind::OutOfMemory(rows.len() as u64);
        slots.try_reserve_exact(head.rows as usize).map_err(|_| Fault::header(memory))?;
        let mut at = needed;
        for (number, row) in rows.chunks_exact(ROW_BYTES).enumerate() {
            let row: Row = bytemuck::pod_read_unaligned(row);
            let fault = |kind| Fault { part: part_of(number), at, kind };
            let slot = slot_of(&row, at).map_err(fault)?;
            at = slot.at + slot.stored;
            slots.push(slot);
        }
        if at != head.total {
            return Err(Fault::header(Kind::Field("its parts are not as long as the whole")));
        }
        Ok(Layout { checksum, slots, total: head.total })
    }

    /// The layout of a whole parcel. Bytes after its end are ignored.
    pub fn of(data: &[u8]) -> Result<Layout> {
        let layout = Layout::of_header(data)?;
        let have = data.len() as u64;
        if layout.total > have {
            let cut = layout.slots.iter().position(|slot| slot.at + slot.stored > have);
            let number = cut.unwrap_or_default();
            let slot = layout.slots[number];
            let kind = Kind::Truncated { needed: slot.at + slot.stored, have };
            return Err(Fault { part: part_of(number), at: slot.at, kind });
        }
        Ok(layout)
    }

    /// The stored bytes of a slot.
    pub fn stored<'a>(&self, data: &'a [u8], number: usize) -> &'a [u8] {
        let slot = &self.slots[number];
        &data[slot.at as usize..][..slot.stored as usize]
    }

    /// Compares the checksum of a slot's stored bytes.
    pub fn check(&self, stored: &[u8], number: usize) -> Result<()> {
        let (found, wanted) = (self.checksum.of(stored), self.slots[number].checksum);
        if found == wanted {
            return Ok(());
        }
        Err(self.fault(number, Kind::Altered { by: self.checksum, found, wanted }))
    }

    /// The data of a slot in memory of its own.
    pub fn read(&self, stored: &[u8], number: usize) -> Result<Block> {
        let slot = &self.slots[number];
        let block = match slot.codec {
            Codec::Raw => Block::copy_of(stored).ok_or(Kind::OutOfMemory(slot.stored)),
            codec => codec::decompress(stored, codec, slot.desc.len),
        };
        block.map_err(|kind| self.fault(number, kind))
    }

    /// A fault of a slot.
    pub fn fault(&self, number: usize, kind: Kind) -> Fault {
        Fault { part: part_of(number), at: self.slots[number].at, kind }
    }
}

fn slot_of(row: &Row, at: u64) -> core::result::Result<Slot, Kind> {
    let too_large = Kind::Field("its length is more than memory can be");
    let codec = Codec::from_u32(row.codec).ok_or(Kind::Field("a codec that is not known"))?;
    let at = aligned(at).ok_or(too_large.clone())?;
    let end = at.checked_add(row.stored).filter(|end| *end <= isize::MAX as u64);
    if end.is_none() || row.desc.len > isize::MAX as u64 {
        return Err(too_large);
    }
    if codec == Codec::Raw && row.stored != row.desc.len {
        return Err(Kind::Field("its length here is not its length"));
    }
    if row.desc.place != Place::Host as u32 {
        return Err(Kind::Field("its bytes are not in host memory"));
    }
    Ok(Slot { desc: row.desc, at, stored: row.stored, codec, checksum: row.checksum })
}
