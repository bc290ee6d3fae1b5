//! The memo while decoding: index to object.

use crate::error::{Error, Result};
use crate::limits::MEMO_DENSE_SLACK;
use std::collections::HashMap;

/// Objects by memo index. Indices near those in use live in an array; an index
/// far ahead lives in a map, so that its size costs nothing.
#[derive(Debug)]
pub struct MemoSlots<T> {
    dense: Vec<Option<T>>,
    sparse: HashMap<u64, T>,
    filled: usize,
}

impl<T> Default for MemoSlots<T> {
    fn default() -> Self {
        MemoSlots { dense: Vec::new(), sparse: HashMap::new(), filled: 0 }
    }
}

impl<T> MemoSlots<T> {
    /// The object under an index.
    #[inline(always)]
    pub fn get(&self, index: u64) -> Option<&T> {
        match self.dense.get(index as usize) {
            Some(Some(object)) => Some(object),
            _ if self.sparse.is_empty() => None,
            _ => self.sparse.get(&index),
        }
    }

    /// Stores an object under the number of entries so far (MEMOIZE).
    #[inline(always)]
    pub fn push(&mut self, object: T) -> Result<()> {
        if self.filled == self.dense.len() && self.sparse.is_empty() {
            if self.dense.len() == self.dense.capacity() {
                self.dense.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
            }
            self.dense.push(Some(object));
            self.filled += 1;
            Ok(())
        } else {
            self.put(self.filled as u64, object)
        }
    }

    /// Stores an object under an index (PUT).
    pub fn put(&mut self, index: u64, object: T) -> Result<()> {
        let reach = (self.filled * 2 + MEMO_DENSE_SLACK) as u64;
        if self.sparse.contains_key(&index) {
            self.sparse.insert(index, object);
        } else if index < reach.max(self.dense.len() as u64) {
            let at = index as usize;
            if at >= self.dense.len() {
                let more = at + 1 - self.dense.len();
                self.dense.try_reserve(more).map_err(|_| Error::OutOfMemory)?;
                self.dense.resize_with(at + 1, || None);
            }
            if self.dense[at].replace(object).is_none() {
                self.filled += 1;
            }
        } else {
            self.sparse.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
            self.sparse.insert(index, object);
            self.filled += 1;
        }
        Ok(())
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets all objects; keeps memory for `keep` of them at most.
    pub fn clear(&mut self, keep: usize) {
        self.dense.clear();
        if self.dense.capacity() > keep {
            self.dense.shrink_to(keep);
        }
        self.sparse.clear();
        self.filled = 0;
    }

    /// Every index with its object, in rising order of the dense ones.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let dense = self.dense.iter().enumerate();
        let dense = dense.filter_map(|(index, slot)| slot.as_ref().map(|o| (index as u64, o)));
        dense.chain(self.sparse.iter().map(|(index, object)| (*index, object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_index_costs_one_entry() {
        let mut memo = MemoSlots::default();
        memo.push('a').expect("memory");
        memo.put(u64::from(u32::MAX), 'z').expect("memory");
        memo.put(1, 'b').expect("memory");
        assert!(memo.dense.capacity() < 10_000);
        assert_eq!(memo.get(u64::from(u32::MAX)), Some(&'z'));
        assert_eq!((memo.get(0), memo.get(1), memo.get(2)), (Some(&'a'), Some(&'b'), None));
        assert_eq!(memo.len(), 3);
        memo.push('c').expect("memory");
        assert_eq!(memo.get(3), Some(&'c'));
    }

    #[test]
    fn the_last_put_wins_in_both_tables() {
        let mut memo = MemoSlots::default();
        let far = 10_000_000;
        memo.put(far, 1).expect("memory");
        memo.put(far, 2).expect("memory");
        memo.put(5, 3).expect("memory");
        memo.put(5, 4).expect("memory");
        assert_eq!((memo.get(far), memo.get(5), memo.len()), (Some(&2), Some(&4), 2));
        assert_eq!(memo.iter().count(), 2);
        memo.clear(16);
        assert!(memo.is_empty() && memo.get(far).is_none());
    }
}
