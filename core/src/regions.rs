//! Which memory a stream holds by now: so that arrays that share memory share
//! it in the copy as well.
//!
//! A stream is written in one pass. An array whose memory lies within a buffer
//! that was written becomes a view of that buffer. Where an array reaches over
//! the end of what was written, both need a larger buffer that should have come
//! first: [`Regions`] then wants the whole, and the walk begins again
//! ([`Regions::begin_again`]) with that knowledge.
//!
//! Addresses stand for memory; whoever calls keeps what is noted alive.

use crate::strided::Layout;
use std::collections::BTreeMap;

/// Comparisons of arrays with others around them, in one dump, after which no
/// more sharing is looked for: bounds what thousands of arrays between one
/// another's elements can cost.
const MOST_COMPARED: usize = 10_000_000;

/// Memory that the stream holds.
struct Written {
    end: usize,
    /// Where the array's first element is.
    at: usize,
    layout: Layout,
    /// Memo index of the buffer; none if the elements were gathered.
    index: Option<u32>,
    writable: bool,
}

#[derive(Clone, Copy)]
struct Wanted {
    end: usize,
    writable: bool,
}

/// How an array is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its memory is in no buffer.
    Alone,
    /// As a view of a buffer with this memo index, which begins at `start`.
    Within {
        /// Memo index.
        index: u32,
        /// Address of its first byte.
        start: usize,
        /// Whether the buffer can be written to.
        writable: bool,
    },
    /// As a view of a buffer that is to be written first, from `start` to `end`.
    Whole {
        /// Address of its first byte.
        start: usize,
        /// Address behind its last byte.
        end: usize,
        /// Whether the buffer can be written to.
        writable: bool,
    },
}

/// The memory of one stream.
#[derive(Default)]
pub struct Regions {
    written: BTreeMap<usize, Vec<Written>>,
    /// Bytes of the longest of `written`.
    longest: usize,
    wanted: BTreeMap<usize, Wanted>,
    compared: usize,
    again: bool,
}

impl Regions {
    /// Decides how an array is written whose first element is at `at`.
    ///
    /// writable: whether its elements may be written to. may_restart: whether
    /// the walk can begin again.
    pub fn place(
        &mut self,
        at: usize,
        layout: &Layout,
        writable: bool,
        may_restart: bool,
    ) -> Place {
        let low = at - layout.before();
        let high = low + layout.extent();
        if high == low {
            return Place::Alone;
        }
        let mut union = Wanted { end: high, writable };
        let mut union_start = low;
        let mut meets = false;
        let nearby = low.saturating_sub(self.longest)..high;
        for (&start, all) in self.written.range(nearby) {
            for other in all.iter().filter(|other| other.end > low) {
                if let Some(index) = other.index
                    && start <= low
                    && high <= other.end
                    && (other.writable || !writable)
                {
                    return Place::Within { index, start, writable: other.writable };
                }
                if !may_restart || self.compared >= MOST_COMPARED {
                    continue;
                }
                self.compared += 1;
                if layout.may_meet(at, &other.layout, other.at) {
                    meets = true;
                    union_start = union_start.min(start);
                    union.end = union.end.max(other.end);
                    union.writable |= other.writable;
                }
            }
        }
        let known = self.wanted.range(..=low).next_back().map(|(start, wanted)| (*start, *wanted));
        if let Some((start, wanted)) = known
            && high <= wanted.end
            && (wanted.writable || !writable)
        {
            return Place::Whole { start, end: wanted.end, writable: wanted.writable };
        }
        if meets {
            self.want(union_start, union);
            self.again = true;
        }
        Place::Alone
    }

    /// Notes an array that was written, and the memo index of its buffer if that
    /// holds all bytes from the lowest to the highest.
    pub fn note(&mut self, at: usize, layout: Layout, index: Option<u32>, writable: bool) {
        let start = at - layout.before();
        let end = start + layout.extent();
        self.longest = self.longest.max(end - start);
        let entry = Written { end, at, layout, index, writable };
        self.written.entry(start).or_default().push(entry);
    }

    /// Whether the walk should begin again: an array was found to reach over
    /// what was written.
    pub fn wants_again(&self) -> bool {
        self.again
    }

    /// Forgets what was written; what is wanted whole stays.
    pub fn begin_again(&mut self) {
        self.written.clear();
        (self.longest, self.compared, self.again) = (0, 0, false);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.begin_again();
        self.wanted.clear();
    }

    /// Wants a region whole, and those that it overlaps with it.
    fn want(&mut self, mut start: usize, mut wanted: Wanted) {
        while let Some((&other_start, &other)) = self.wanted.range(..wanted.end).next_back()
            && other.end > start
        {
            self.wanted.remove(&other_start);
            start = start.min(other_start);
            wanted.end = wanted.end.max(other.end);
            wanted.writable |= other.writable;
        }
        self.wanted.insert(start, wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strided::Axis;

    fn part(len: usize, stride: isize) -> Layout {
        Layout::new([Axis { len, stride }], 8).expect("fits")
    }

    #[test]
    fn what_lies_within_is_a_view() {
        let mut regions = Regions::default();
        assert_eq!(regions.place(1000, &part(10, 8), true, true), Place::Alone);
        regions.note(1000, part(10, 8), Some(3), true);
        let within = Place::Within { index: 3, start: 1000, writable: true };
        assert_eq!(regions.place(1016, &part(2, 8), true, true), within);
        assert_eq!(regions.place(1072, &part(5, -16), false, true), within);
        assert_eq!(regions.place(1080, &part(1, 8), true, true), Place::Alone);
        assert_eq!(regions.place(1000, &part(0, 8), true, true), Place::Alone);
        assert!(!regions.wants_again());
    }

    #[test]
    fn what_reaches_over_makes_the_walk_begin_again() {
        let mut regions = Regions::default();
        regions.note(1000, part(5, 8), Some(0), false);
        regions.note(1056, part(5, 8), Some(1), false);
        assert_eq!(regions.place(1024, &part(5, 8), true, false), Place::Alone);
        assert!(!regions.wants_again());
        assert_eq!(regions.place(1024, &part(5, 8), true, true), Place::Alone);
        assert!(regions.wants_again());
        regions.begin_again();
        let whole = Place::Whole { start: 1000, end: 1096, writable: true };
        assert_eq!(regions.place(1000, &part(5, 8), false, true), whole);
        regions.note(
            1000,
            Layout::new([Axis { len: 96, stride: 1 }], 1).expect("fits"),
            Some(7),
            true,
        );
        let within = Place::Within { index: 7, start: 1000, writable: true };
        assert_eq!(regions.place(1024, &part(5, 8), true, true), within);
        assert!(!regions.wants_again());
        regions.clear();
        assert_eq!(regions.place(1000, &part(5, 8), false, true), Place::Alone);
    }

    #[test]
    fn a_writable_array_over_a_read_only_buffer_wants_another() {
        let mut regions = Regions::default();
        regions.note(1000, part(5, 8), Some(0), false);
        assert_eq!(regions.place(1000, &part(5, 8), true, true), Place::Alone);
        assert!(regions.wants_again());
    }

    #[test]
    fn columns_of_one_table_are_strangers() {
        let mut regions = Regions::default();
        for column in 0..4 {
            let at = 1000 + column * 8;
            assert_eq!(regions.place(at, &part(50, 32), true, true), Place::Alone);
            regions.note(at, part(50, 32), None, true);
        }
        assert!(!regions.wants_again());
        assert_eq!(regions.place(1008, &part(20, 32), true, true), Place::Alone);
        assert!(regions.wants_again());
    }
}
