//! Memory of our own for a buffer, aligned as parcels align theirs.

use super::{Buffer, Owner};
use bytemuck::{Pod, Zeroable};

/// Alignment of buffers in parcels and files, and of memory made for them.
pub const ALIGN: usize = 64;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGN]);

const _: () = assert!(size_of::<Line>() == ALIGN && align_of::<Line>() == ALIGN);

/// A region of `len` bytes that begins at a multiple of [`ALIGN`].
pub struct Block {
    lines: Vec<Line>,
    len: usize,
}

impl Owner for Block {}

impl Block {
    /// A region of zeros; `None` if there is no memory for it.
    pub fn zeroed(len: usize) -> Option<Block> {
        let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(ALIGN)).ok()?;
        Some(Block { lines, len })
    }

    /// A copy of some bytes; `None` if there is no memory for it.
    pub fn copy_of(bytes: &[u8]) -> Option<Block> {
        let mut block = Block::zeroed(bytes.len())?;
        block.as_mut_slice().copy_from_slice(bytes);
        Some(block)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
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
