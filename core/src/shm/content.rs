//! What is in a message: a table of lengths, then the parts, each aligned; and the few bytes that refer to it.
//!
//! The same bytes lie in a slot of an arena, or behind the reference itself where there is no arena or no
//! room in it.

use bytemuck::{Pod, Zeroable};

use super::error::ShmError;
use super::slots::SlotRef;
use crate::buffer::{ALIGN, Buffer};

/// The first byte of a reference; no opcode, so that no pickle stream begins with it.
const MAGIC: u32 = u32::from_le_bytes(*b"\xfbFP\x01");

/// Bit of a row: the receiver must not write to the part.
const READ_ONLY: u64 = 1 << 63;

/// Bit of [`Head::flags`]: the content follows.
const INLINE: u32 = 1;
/// Bit of [`Head::flags`]: the first part is a pickle stream, the others are its buffers.
const STREAM: u32 = 2;
/// Bit of [`Head::flags`]: there are parts that the receiver may write to.
const WRITABLE: u32 = 4;

/// A reference to a message's content, as it travels.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    magic: u32,
    flags: u32,
    slot: u32,
    generation: u32,
    arena: u64,
    rows: u64,
    len: u64,
    reserved: [u64; 3],
}

/// Bytes of a reference.
pub const HEAD: usize = size_of::<Head>();
const _: () = assert!(HEAD.is_multiple_of(ALIGN));

/// One part: its length, and whether it is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Length in bytes.
    pub len: u64,
    /// Whether the receiver must not write to it.
    pub read_only: bool,
}

/// Where each part goes.
#[derive(Debug)]
pub struct Plan {
    rows: Vec<u64>,
    len: u64,
}

impl Plan {
    /// The plan for parts in their order; `None` if they are too long.
    pub fn new(parts: impl ExactSizeIterator<Item = Row>) -> Option<Plan> {
        let mut rows = Vec::with_capacity(parts.len());
        let mut len = (parts.len() as u64 * 8).next_multiple_of(ALIGN as u64);
        for part in parts {
            if part.len >= READ_ONLY {
                return None;
            }
            rows.push(part.len | if part.read_only { READ_ONLY } else { 0 });
            len = len.checked_add(part.len)?.checked_next_multiple_of(ALIGN as u64)?;
        }
        Some(Plan { rows, len })
    }

    /// Bytes of the content.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no parts.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Gives each piece of the content to `write`, with its offset, in their order; what is between them is padding.
    pub fn place<'a>(
        &self,
        parts: impl Iterator<Item = &'a [u8]>,
        mut write: impl FnMut(usize, &[u8]),
    ) {
        let table: &[u8] = bytemuck::cast_slice(&self.rows);
        write(0, table);
        let mut at = table.len().next_multiple_of(ALIGN);
        for part in parts {
            write(at, part);
            at = (at + part.len()).next_multiple_of(ALIGN);
        }
    }

    /// The bytes that refer to this content in a slot.
    pub fn in_slot(&self, arena: u64, slot: SlotRef, stream: bool) -> [u8; HEAD] {
        let flags = if stream { STREAM } else { 0 };
        self.head(Head {
            flags,
            slot: slot.index,
            generation: slot.generation,
            arena,
            ..Head::zeroed()
        })
    }

    /// The bytes after which this content follows.
    pub fn inline(&self, stream: bool) -> [u8; HEAD] {
        let flags = INLINE | if stream { STREAM } else { 0 };
        self.head(Head { flags, ..Head::zeroed() })
    }

    fn head(&self, head: Head) -> [u8; HEAD] {
        let (rows, len) = (self.rows.len() as u64, self.len);
        let writable = self.rows.iter().any(|row| row & READ_ONLY == 0);
        let flags = head.flags | if writable { WRITABLE } else { 0 };
        bytemuck::cast(Head { magic: MAGIC, rows, len, flags, ..head })
    }
}

/// A message, read: where its content is.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    head: Head,
}

/// Where the content of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a slot of the arena of this id.
    Slot(u64, SlotRef),
    /// In the message, from this byte on.
    Inline(usize),
}

impl Message {
    /// Whether bytes begin as a message does. A pickle stream does not.
    pub fn is_message(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC.to_ne_bytes())
    }

    /// Reads the bytes of a message.
    pub fn read(bytes: &[u8]) -> Result<Message, ShmError> {
        let head = bytes.get(..HEAD).ok_or(ShmError::Damaged("it is too short"))?;
        let head: Head = bytemuck::pod_read_unaligned(head);
        if head.magic != MAGIC {
            return Err(ShmError::Damaged("it does not begin as a message"));
        }
        if head.flags & INLINE != 0 && (bytes.len() - HEAD) as u64 != head.len {
            return Err(ShmError::Damaged("its length is not what it says"));
        }
        if head.rows.checked_mul(8).is_none_or(|table| table > head.len) {
            return Err(ShmError::Damaged("its table is longer than all of it"));
        }
        Ok(Message { head })
    }

    /// Whether the first part is a pickle stream.
    pub fn has_stream(&self) -> bool {
        self.head.flags & STREAM != 0
    }

    /// Whether there are parts that the receiver may write to.
    pub fn has_writable_parts(&self) -> bool {
        self.head.flags & WRITABLE != 0
    }

    /// Where the content is.
    pub fn place(&self) -> Place {
        if self.head.flags & INLINE != 0 {
            return Place::Inline(HEAD);
        }
        let slot = SlotRef { index: self.head.slot, generation: self.head.generation };
        Place::Slot(self.head.arena, slot)
    }

    /// The parts of the content that a buffer holds.
    pub fn parts(&self, content: Buffer) -> Result<Parts, ShmError> {
        if (content.len() as u64) < self.head.len {
            return Err(ShmError::Damaged("it is longer than its memory"));
        }
        let rows = self.head.rows as usize;
        Ok(Parts { content, rows, row: 0, at: (rows * 8).next_multiple_of(ALIGN) })
    }
}

/// The parts of a message, one by one. Each keeps the whole content.
pub struct Parts {
    content: Buffer,
    rows: usize,
    row: usize,
    at: usize,
}

impl Parts {
    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.rows
    }

    /// The next part and whether it is read-only.
    pub fn next_part(&mut self) -> Result<Option<(Buffer, bool)>, ShmError> {
        if self.row == self.rows {
            return Ok(None);
        }
        let faulty = ShmError::Damaged("a part lies outside it");
        let row = self.content.as_slice().get(self.row * 8..self.row * 8 + 8);
        let row = row.and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
        let Some(row) = row else { return Err(faulty) };
        let len = usize::try_from(row & !READ_ONLY).unwrap_or(usize::MAX);
        let Some(part) = self.content.part(self.at, len) else { return Err(faulty) };
        self.row += 1;
        self.at = (self.at + len).next_multiple_of(ALIGN);
        Ok(Some((part, row & READ_ONLY != 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(parts: &[(&[u8], bool)], stream: bool) -> Vec<u8> {
        let rows = parts
            .iter()
            .map(|(part, read_only)| Row { len: part.len() as u64, read_only: *read_only });
        let plan = Plan::new(rows).expect("short parts");
        let mut bytes = plan.inline(stream).to_vec();
        let start = bytes.len();
        bytes.resize(start + plan.len() as usize, 0);
        let content = &mut bytes[start..];
        plan.place(parts.iter().map(|(part, _)| *part), |at, piece| {
            content[at..at + piece.len()].copy_from_slice(piece);
        });
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, bool)>, ShmError> {
        let message = Message::read(bytes)?;
        let Place::Inline(start) = message.place() else { return Ok(Vec::new()) };
        let mut parts = message.parts(Buffer::from_vec(bytes[start..].to_vec()))?;
        let mut read = Vec::new();
        while let Some((part, read_only)) = parts.next_part()? {
            read.push((part.as_slice().to_vec(), read_only));
        }
        Ok(read)
    }

    #[test]
    fn parts_come_back_as_they_were() {
        let long = vec![5; 1000];
        let parts: [(&[u8], bool); 4] =
            [(b"stream", true), (b"", false), (&long, false), (b"x", true)];
        let bytes = inline(&parts, true);
        assert!(Message::is_message(&bytes) && !Message::is_message(b"\x80\x05N."));
        let message = Message::read(&bytes).expect("whole");
        assert!(message.has_stream() && message.has_writable_parts());
        let message = Message::read(&inline(&[(b"x", true)], false)).expect("whole");
        assert!(!message.has_stream() && !message.has_writable_parts());
        let back = read(&bytes).expect("whole");
        assert_eq!(back.len(), 4);
        for ((part, read_only), (was, was_read_only)) in back.iter().zip(parts) {
            assert_eq!((part.as_slice(), *read_only), (was, was_read_only));
        }
        assert!(read(&inline(&[], false)).expect("whole").is_empty());
    }

    #[test]
    fn damaged_messages_are_refused() {
        let whole = inline(&[(b"stream", true), (&[1; 300], false)], true);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..(HEAD + 64) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Any answer but a panic, and never a part that is not there.
            if let Ok(parts) = read(&bytes) {
                assert!(parts.iter().map(|(part, _)| part.len()).sum::<usize>() <= whole.len());
            }
        }
        let too_long = Row { len: 1 << 63, read_only: false };
        assert!(Plan::new([too_long].into_iter()).is_none());
        let long = Row { len: (1 << 63) - 1, read_only: false };
        assert!(Plan::new([long; 3].into_iter()).is_none());
    }
}
