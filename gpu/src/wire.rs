//! What processes tell each other about shared device memory: an [`ArenaNote`] once, a [`SlotNote`] with each message, a
//! [`BlockNote`] for memory of a user's own. Bytes of fixed length; what comes from another process is checked before it is used.

use crate::api::{DeviceId, GpuError};

/// The version of all of them: another does not know what the bytes mean.
const VERSION: u32 = 1;

/// Bytes of a driver's handle for another process.
pub const HANDLE: usize = 64;

/// No arena is larger: a size beyond it is a mistake, or worse.
const LARGEST: u64 = 1 << 44;

/// Writes fields one after another.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn new(kind: &[u8; 4]) -> Self {
        let mut writer = Self { bytes: [0; N], at: 0 };
        writer.put(kind);
        writer.put(&VERSION.to_le_bytes());
        writer
    }

    fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }

    fn done(self) -> [u8; N] {
        debug_assert_eq!(self.at, N);
        self.bytes
    }
}

/// Reads them again.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8], length: usize, kind: &[u8; 4]) -> Result<Self, GpuError> {
        let mut reader = Self(bytes);
        if bytes.len() != length || &reader.take()? != kind {
            return Err(GpuError::Damaged("a note about device memory is not one"));
        }
        match reader.u32()? {
            VERSION => Ok(reader),
            _ => Err(GpuError::Damaged("a note about device memory is of another version")),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], GpuError> {
        let short = GpuError::Damaged("a note about device memory is too short");
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(short)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, GpuError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GpuError> {
        self.take().map(u64::from_le_bytes)
    }
}

/// Describes an arena to those who shall import it; two descriptors travel with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaNote {
    /// Its device.
    pub device: DeviceId,
    /// Tells arenas apart.
    pub id: u64,
    /// Bytes of its memory.
    pub size: u64,
    /// The sizes of mappings are multiples of this.
    pub granule: u64,
    /// The process that made it: [`Stamp`](ferropickle_core::sys::process::Stamp), as a word.
    pub maker: u64,
}

impl ArenaNote {
    /// How long it is.
    pub const LEN: usize = 56;

    /// As bytes.
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut writer = Writer::new(b"fpda");
        writer.put(self.device.as_bytes());
        for field in [self.id, self.size, self.granule, self.maker] {
            writer.put(&field.to_le_bytes());
        }
        writer.done()
    }

    /// Reads and checks one.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if it is none of this version, or its numbers make no sense.
    pub fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let mut reader = Reader::new(bytes, Self::LEN, b"fpda")?;
        let device = DeviceId::from_bytes(reader.take()?);
        let (id, size) = (reader.u64()?, reader.u64()?);
        let (granule, maker) = (reader.u64()?, reader.u64()?);
        let sound = granule.is_power_of_two() && size > 0 && size <= LARGEST && maker != 0;
        if !sound || !size.is_multiple_of(granule) {
            return Err(GpuError::Damaged("an arena's size makes no sense"));
        }
        Ok(Self { device, id, size, granule, maker })
    }
}

/// Names a message in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotNote {
    /// The arena.
    pub arena: u64,
    /// Number and use of the slot.
    pub index: u32,
    /// Counts its uses.
    pub generation: u32,
    /// Bytes of the message.
    pub len: u64,
    /// The event after which the slot is filled; none if it was before the note was written.
    pub event: Option<[u8; HANDLE]>,
}

impl SlotNote {
    /// How long it is.
    pub const LEN: usize = 36 + HANDLE;

    /// As bytes.
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut writer = Writer::new(b"fpds");
        writer.put(&self.arena.to_le_bytes());
        writer.put(&self.index.to_le_bytes());
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.len.to_le_bytes());
        writer.put(&u32::from(self.event.is_some()).to_le_bytes());
        writer.put(&self.event.unwrap_or([0; HANDLE]));
        writer.done()
    }

    /// Reads one. Whether there is such a slot, only the arena can tell.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if it is none of this version.
    pub fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let mut reader = Reader::new(bytes, Self::LEN, b"fpds")?;
        let arena = reader.u64()?;
        let (index, generation) = (reader.u32()?, reader.u32()?);
        let len = reader.u64()?;
        let event = match reader.u32()? {
            0 => None,
            1 => Some(reader.take()?),
            _ => return Err(GpuError::Damaged("a note about a slot makes no sense")),
        };
        Ok(Self { arena, index, generation, len, event })
    }
}

/// Names memory of a user's own, as part of the allocation that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockNote {
    /// Its device.
    pub device: DeviceId,
    /// The process that has it, as a word.
    pub maker: u64,
    /// Where its allocation begins in that process.
    pub base: u64,
    /// Bytes of the allocation.
    pub size: u64,
    /// The driver's number of the allocation, which no other has or will have.
    pub buffer: u64,
    /// Where the memory begins in the allocation.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
    /// The handle of the allocation.
    pub handle: [u8; HANDLE],
}

impl BlockNote {
    /// How long it is.
    pub const LEN: usize = 72 + HANDLE;

    /// As bytes.
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut writer = Writer::new(b"fpdb");
        writer.put(self.device.as_bytes());
        for field in [self.maker, self.base, self.size, self.buffer, self.offset, self.len] {
            writer.put(&field.to_le_bytes());
        }
        writer.put(&self.handle);
        writer.done()
    }

    /// Reads and checks one.
    ///
    /// # Errors
    ///
    /// [`GpuError::Damaged`] if it is none of this version, or the memory does not lie in the allocation.
    pub fn read(bytes: &[u8]) -> Result<Self, GpuError> {
        let mut reader = Reader::new(bytes, Self::LEN, b"fpdb")?;
        let device = DeviceId::from_bytes(reader.take()?);
        let (maker, base, size) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (buffer, offset, len) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let within = offset.checked_add(len).is_some_and(|end| end <= size) && size <= LARGEST;
        if !within || maker == 0 || base.checked_add(size).is_none() {
            return Err(GpuError::Damaged("shared memory does not lie in its allocation"));
        }
        Ok(Self { device, maker, base, size, buffer, offset, len, handle: reader.take()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::from_bytes([7; 16]);

    fn arena() -> ArenaNote {
        ArenaNote { device: DEVICE, id: 1, size: 4 << 20, granule: 2 << 20, maker: 9 }
    }

    fn slot() -> SlotNote {
        SlotNote { arena: 1, index: 2, generation: 3, len: 4, event: Some([5; HANDLE]) }
    }

    fn block() -> BlockNote {
        let (base, size, offset, len) = (1 << 40, 1000, 10, 990);
        BlockNote {
            device: DEVICE,
            maker: 9,
            base,
            size,
            buffer: 3,
            offset,
            len,
            handle: [4; HANDLE],
        }
    }

    #[test]
    fn notes_are_read_as_written() {
        assert_eq!(ArenaNote::read(&arena().bytes()), Ok(arena()));
        assert_eq!(SlotNote::read(&slot().bytes()), Ok(slot()));
        let none = SlotNote { event: None, ..slot() };
        assert_eq!(SlotNote::read(&none.bytes()), Ok(none));
        assert_eq!(BlockNote::read(&block().bytes()), Ok(block()));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        type Refused = fn(&[u8]) -> bool;
        let all: [(&[u8], Refused); 3] = [
            (&arena().bytes(), |bytes| ArenaNote::read(bytes).is_err()),
            (&slot().bytes(), |bytes| SlotNote::read(bytes).is_err()),
            (&block().bytes(), |bytes| BlockNote::read(bytes).is_err()),
        ];
        for (bytes, refused) in all {
            for length in 0..bytes.len() {
                assert!(refused(&bytes[..length]), "cut at {length}");
            }
            assert!(refused(&[bytes, &[0]].concat()), "longer");
            for wrong in 0..8 {
                let mut other = bytes.to_vec();
                other[wrong] ^= 1;
                assert!(refused(&other), "kind or version");
            }
        }
        assert!(SlotNote::read(&arena().bytes()).is_err());
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for wrong in [
            ArenaNote { size: 0, ..arena() },
            ArenaNote { size: (2 << 20) + 1, ..arena() },
            ArenaNote { size: u64::MAX << 21, ..arena() },
            ArenaNote { granule: 0, ..arena() },
            ArenaNote { granule: 3, ..arena() },
            ArenaNote { maker: 0, ..arena() },
        ] {
            assert!(ArenaNote::read(&wrong.bytes()).is_err(), "{wrong:?}");
        }
        for wrong in [
            BlockNote { len: 991, ..block() },
            BlockNote { offset: u64::MAX, ..block() },
            BlockNote { size: u64::MAX, ..block() },
            BlockNote { base: u64::MAX, ..block() },
            BlockNote { maker: 0, ..block() },
        ] {
            assert!(BlockNote::read(&wrong.bytes()).is_err(), "{wrong:?}");
        }
        let mut flag = slot().bytes();
        flag[32] = 2;
        assert!(SlotNote::read(&flag).is_err());
    }
}
