//! Buffers laid out one after another: a table of their lengths, then each at a multiple of [`ALIGN`].

use super::{ALIGN, Copies};

/// Bit of a row: the receiver must not write to the part.
const READ_ONLY: u64 = 1 << 63;

/// Bytes of a row.
pub const ROW: usize = 8;

/// One part: its length, and whether it is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Length in bytes.
    pub len: u64,
    /// Whether the receiver must not write to it.
    pub read_only: bool,
}

impl Row {
    /// Reads a row of a table.
    pub fn read(bytes: [u8; ROW]) -> Row {
        let word = u64::from_le_bytes(bytes);
        Row { len: word & !READ_ONLY, read_only: word & READ_ONLY != 0 }
    }

    fn bytes(self) -> [u8; ROW] {
        (self.len | if self.read_only { READ_ONLY } else { 0 }).to_le_bytes()
    }
}

/// Where the parts begin after a table of so many rows.
pub fn parts_from(rows: usize) -> usize {
    (rows * ROW).next_multiple_of(ALIGN)
}

/// Where each part goes.
#[derive(Debug)]
pub struct Plan {
    table: Vec<u8>,
    len: u64,
    writable: bool,
}

impl Plan {
    /// The plan for parts in their order; `None` if they are too long.
    pub fn new(parts: impl ExactSizeIterator<Item = Row>) -> Option<Plan> {
        let mut table = Vec::with_capacity(parts.len() * ROW);
        let (mut len, mut writable) = (parts_from(parts.len()) as u64, false);
        for part in parts {
            if part.len >= READ_ONLY {
                return None;
            }
            table.extend_from_slice(&part.bytes());
            writable |= !part.read_only;
            len = len.checked_add(part.len)?.checked_next_multiple_of(ALIGN as u64)?;
        }
        Some(Plan { table, len, writable })
    }

    /// Bytes of all of it.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no parts.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many parts there are.
    pub fn rows(&self) -> usize {
        self.table.len() / ROW
    }

    /// Whether there are parts that the receiver may write to.
    pub fn has_writable_parts(&self) -> bool {
        self.writable
    }

    /// The bytes of the table.
    pub fn table(&self) -> &[u8] {
        &self.table
    }

    /// Copies the table and each part to where they belong; what is between them is left
    /// as it was.
    ///
    /// # Panics
    /// If the place is shorter than the plan, or the parts are others than planned.
    pub fn copy_to<'a>(&'a self, parts: impl Iterator<Item = &'a [u8]>, place: &mut [u8]) {
        let mut copies = Copies::of_bytes(place.len());
        let (mut at, mut rest) = (0usize, place);
        for part in core::iter::once(self.table.as_slice()).chain(parts) {
            let skipped = at.next_multiple_of(ALIGN) - at;
            let (here, after) = rest[skipped..].split_at_mut(part.len());
            copies.add(part, here);
            at += skipped + part.len();
            rest = after;
        }
        copies.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_do_not_overlap() {
        let parts: [&[u8]; 4] = [&[1; 100], &[], &[2; 64], &[3]];
        let rows =
            parts.iter().map(|part| Row { len: part.len() as u64, read_only: part.len() == 1 });
        let plan = Plan::new(rows).expect("short parts");
        assert!(plan.has_writable_parts() && plan.rows() == 4);
        let mut place = [9; 320];
        plan.copy_to(parts.into_iter(), &mut place);
        assert_eq!((&place[..32], &place[32..64]), (plan.table(), &[9; 32][..]));
        let mut wanted = vec![1; 100];
        wanted.extend([9; 28]);
        wanted.extend([2; 64]);
        wanted.push(3);
        wanted.resize(256, 9);
        assert_eq!(place[64..], wanted);
        assert_eq!(plan.len(), 320);
        let last = plan.table()[24..].try_into().expect("a row");
        assert_eq!(Row::read(last), Row { len: 1, read_only: true });
    }

    #[test]
    fn what_is_too_long_has_no_plan() {
        let too_long = Row { len: 1 << 63, read_only: false };
        assert!(Plan::new([too_long].into_iter()).is_none());
        let long = Row { len: (1 << 63) - 1, read_only: false };
        assert!(Plan::new([long; 3].into_iter()).is_none());
    }
}
