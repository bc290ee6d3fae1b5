//! Memory of our own for a buffer, aligned as parcels align theirs.

use super::{Buffer, Owner, gather};

/// Alignment of buffers in parcels and files, and of memory made for them.
pub const ALIGN: usize = 64;

/// Memory of this length and more asks for huge pages.
#[cfg(unix)]
const HUGE_FROM_BYTES: usize = 4 << 20;

/// A region of `len` bytes that begins at a multiple of [`ALIGN`].
pub struct Block {
    /// The region lies in it; longer by what aligning takes. Zeros that the
    /// allocator has from the system are pages only once they are written to.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Owner for Block {}

impl Block {
    /// A region of zeros; `None` if there is no memory for it.
    pub fn zeroed(len: usize) -> Option<Block> {
        let room = len.checked_add(ALIGN - 1)?;
        let bytes: Vec<u8> = bytemuck::allocation::try_zeroed_vec(room).ok()?;
        let start = bytes.as_ptr().align_offset(ALIGN);
        let mut block = Block { bytes, start, len };
        #[cfg(unix)]
        if len >= HUGE_FROM_BYTES {
            crate::sys::memory::prefer_huge_pages(block.as_mut_slice());
        }
        Some(block)
    }

    /// A copy of some bytes; `None` if there is no memory for it.
    pub fn copy_of(bytes: &[u8]) -> Option<Block> {
        let mut block = Block::zeroed(bytes.len())?;
        gather(core::iter::once(bytes), block.as_mut_slice());
        Some(block)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    /// The bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

impl core::fmt::Debug for Block {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Block").field("len", &self.len).finish_non_exhaustive()
    }
}

impl From<Block> for Buffer {
    fn from(block: Block) -> Buffer {
        Buffer::from_block(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned_and_of_its_length() {
        for len in [0, 1, 63, 64, 65, 100_000] {
            let mut block = Block::zeroed(len).expect("memory");
            block.as_mut_slice().fill(7);
            let buffer = Buffer::from(block);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % ALIGN, 0);
            assert!(buffer.as_slice().iter().all(|b| *b == 7));
        }
    }

    #[test]
    fn memory_that_is_not_there_is_no_panic() {
        assert!(Block::zeroed(isize::MAX as usize - ALIGN).is_none());
    }
}
