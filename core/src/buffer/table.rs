//! The buffers of one stream, in the order of its NEXT_BUFFER opcodes.

use super::{Buffer, BufferDesc};

/// Descriptions and bytes of a stream's out-of-band buffers.
#[derive(Debug, Default, Clone)]
pub struct BufferTable {
    rows: Vec<(BufferDesc, Buffer)>,
}

impl BufferTable {
    /// Adds a buffer at the end; returns its number.
    ///
    /// # Panics
    /// If the description's length is not the buffer's.
    pub fn push(&mut self, desc: BufferDesc, buffer: Buffer) -> usize {
        assert_eq!(desc.len, buffer.len() as u64, "a description must fit its buffer");
        self.rows.push((desc, buffer));
        self.rows.len() - 1
    }

    /// The buffer of a number.
    pub fn get(&self, number: usize) -> Option<&(BufferDesc, Buffer)> {
        self.rows.get(number)
    }

    /// Descriptions and buffers in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(BufferDesc, Buffer)> {
        self.rows.iter()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// How many buffers there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all buffers together.
    pub fn nbytes(&self) -> u64 {
        self.rows.iter().map(|(desc, _)| desc.len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_keep_their_order_and_sum() {
        let mut table = BufferTable::default();
        for n in [3usize, 0, 5] {
            table.push(BufferDesc::host(n, 1, false), Buffer::from_vec(vec![n as u8; n]));
        }
        assert_eq!((table.len(), table.nbytes()), (3, 8));
        assert_eq!(table.get(2).map(|(_, b)| b.as_slice().to_vec()), Some(vec![5; 5]));
        assert!(table.get(3).is_none());
    }
}
