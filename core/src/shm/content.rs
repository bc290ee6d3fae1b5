//! The few bytes that refer to a message's content, its table and parts as [`Plan`] lays them out.
//!
//! The same bytes lie in a slot of an arena, or behind the reference itself where there is no arena or no
//! room in it.

use bytemuck::{Pod, Zeroable};

use super::error::ShmError;
use super::slots::SlotRef;
use crate::buffer::plan::{ROW, Row, parts_from};
use crate::buffer::{ALIGN, Buffer, Plan};

/// The first byte of a reference; no opcode, so that no pickle stream begins with it.
const MAGIC: u32 = u32::from_le_bytes(*b"\xfbFP\x01");

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

/// The bytes that refer to a content in a slot.
pub fn in_slot(plan: &Plan, arena: u64, slot: SlotRef, stream: bool) -> [u8; HEAD] {
    let SlotRef { index, generation } = slot;
    head(plan, stream, Head { slot: index, generation, arena, ..Head::zeroed() })
}

/// The bytes after which a content follows.
pub fn inline(plan: &Plan, stream: bool) -> [u8; HEAD] {
    head(plan, stream, Head { flags: INLINE, ..Head::zeroed() })
}

fn head(plan: &Plan, stream: bool, head: Head) -> [u8; HEAD] {
    let (rows, len) = (plan.rows() as u64, plan.len());
    let writable = if plan.has_writable_parts() { WRITABLE } else { 0 };
    let flags = head.flags | writable | if stream { STREAM } else { 0 };
    bytemuck::cast(Head { magic: MAGIC, rows, len, flags, ..head })
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
        if head.rows.checked_mul(ROW as u64).is_none_or(|table| table > head.len) {
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
        Ok(Parts { content, rows, row: 0, at: parts_from(rows) })
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
        let faulty = || ShmError::Damaged("a part lies outside it");
        let bytes = self.content.as_slice().get(self.row * ROW..(self.row + 1) * ROW);
        let row = Row::read(bytes.and_then(|b| b.try_into().ok()).ok_or_else(faulty)?);
        let len = usize::try_from(row.len).map_err(|_| faulty())?;
        let part = self.content.part(self.at, len).ok_or_else(faulty)?;
        self.row += 1;
        self.at = (self.at + len).next_multiple_of(ALIGN);
        Ok(Some((part, row.read_only)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_of(parts: &[(&[u8], bool)], stream: bool) -> Vec<u8> {
        let rows = parts
            .iter()
            .map(|(part, read_only)| Row { len: part.len() as u64, read_only: *read_only });
        let plan = Plan::new(rows).expect("short parts");
        let mut bytes = super::inline(&plan, stream).to_vec();
        let start = bytes.len();
        bytes.resize(start + plan.len() as usize, 0);
        plan.copy_to(parts.iter().map(|(part, _)| *part), &mut bytes[start..]);
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
        let bytes = made_of(&parts, true);
        assert!(Message::is_message(&bytes) && !Message::is_message(b"\x80\x05N."));
        let message = Message::read(&bytes).expect("whole");
        assert!(message.has_stream() && message.has_writable_parts());
        let message = Message::read(&made_of(&[(b"x", true)], false)).expect("whole");
        assert!(!message.has_stream() && !message.has_writable_parts());
        let back = read(&bytes).expect("whole");
        assert_eq!(back.len(), 4);
        for ((part, read_only), (was, was_read_only)) in back.iter().zip(parts) {
            assert_eq!((part.as_slice(), *read_only), (was, was_read_only));
        }
        assert!(read(&made_of(&[], false)).expect("whole").is_empty());
    }

    #[test]
    fn damaged_messages_are_refused() {
        let whole = made_of(&[(b"stream", true), (&[1; 300], false)], true);
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
    }
}
