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

use crate::strided::{Axis, Layout};
use core::ops::Range;
use std::collections::BTreeMap;

/// Comparisons of arrays with others around them, in one dump, after which no
/// more sharing is looked for: bounds what thousands of arrays between one
/// another's elements can cost.
const MOST_COMPARED: usize = 10_000_000;

/// Memory that the stream holds.
struct Written {
    start: usize,
    end: usize,
    /// Where the first element is, and where the others are. None if there is no
    /// byte between two of them.
    gaps: Option<Box<(usize, Layout)>>,
    /// Memo index of the buffer; none if the elements were gathered.
    index: Option<u32>,
    writable: bool,
    /// The one before that has the same lowest byte.
    same: Option<u32>,
}

impl Written {
    /// Whether it may share memory with an array whose first element is at `at`.
    fn may_meet(&self, layout: &Layout, at: usize) -> bool {
        match &self.gaps {
            Some(gaps) => layout.may_meet(at, &gaps.1, gaps.0),
            None => {
                let bytes = Axis { len: self.end - self.start, stride: 1 };
                let solid = Layout::new([bytes], 1);
                solid.is_none_or(|solid| layout.may_meet(at, &solid, self.start))
            }
        }
    }
}

/// More runs than this are not looked through one by one.
const MOST_RUNS: usize = 128;

/// Arrays in a row, each of which begins higher than the one before: as memory
/// lies that was got in order.
struct Run {
    /// Which ones of all.
    members: Range<usize>,
    start: usize,
    end: usize,
}

/// What was written, found by its lowest byte: by runs as long as these are few.
#[derive(Default)]
struct ByStart {
    all: Vec<Written>,
    runs: Vec<Run>,
    /// The last of `all` with this lowest byte, once there are too many runs.
    last: BTreeMap<usize, u32>,
}

impl ByStart {
    fn add(&mut self, written: Written) {
        // More than 2^32 arrays: sharing with those is not seen.
        let Ok(number) = u32::try_from(self.all.len()) else { return };
        let (start, end) = (written.start, written.end);
        let in_order = self.all.last().is_some_and(|last| last.start < start);
        self.all.push(written);
        if !self.last.is_empty() {
            self.link(number);
            return;
        }
        if in_order && let Some(run) = self.runs.last_mut() {
            run.members.end += 1;
            run.end = run.end.max(end);
        } else if self.runs.len() < MOST_RUNS {
            let members = self.all.len() - 1..self.all.len();
            self.runs.push(Run { members, start, end });
        } else {
            self.runs.clear();
            (0..=number).for_each(|number| self.link(number));
        }
    }

    fn link(&mut self, number: u32) {
        let written = &mut self.all[number as usize];
        written.same = self.last.insert(written.start, number);
    }

    /// Those with a byte from `low` up to `high`, none of which is longer than `longest`.
    fn near(&self, low: usize, high: usize, longest: usize) -> impl Iterator<Item = &Written> {
        let starts = low.saturating_sub(longest)..high;
        let runs = self.runs.iter().filter(move |run| run.start < high && low < run.end);
        let from = starts.start;
        let in_runs = runs.flat_map(move |run| {
            let all = &self.all[run.members.clone()];
            let first = all.partition_point(|written| written.start < from);
            all[first..].iter().take_while(move |written| written.start < high)
        });
        let linked = self.last.range(starts).flat_map(|(_, &last)| {
            core::iter::successors(Some(last), |i| self.all[*i as usize].same)
        });
        let linked = linked.map(|i| &self.all[i as usize]);
        in_runs.chain(linked).filter(move |written| written.end > low)
    }
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
    written: ByStart,
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
        for other in self.written.near(low, high, self.longest) {
            if let Some(index) = other.index
                && other.start <= low
                && high <= other.end
                && (other.writable || !writable)
            {
                let (start, writable) = (other.start, other.writable);
                return Place::Within { index, start, writable };
            }
            if !may_restart || self.compared >= MOST_COMPARED {
                continue;
            }
            self.compared += 1;
            if other.may_meet(layout, at) {
                meets = true;
                union_start = union_start.min(other.start);
                union.end = union.end.max(other.end);
                union.writable |= other.writable;
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
        let solid = layout.before() == 0 && layout.extent() == layout.len_bytes();
        let gaps = (!solid).then(|| Box::new((at, layout)));
        self.written.add(Written { start, end, gaps, index, writable, same: None });
    }

    /// Whether the walk should begin again: an array was found to reach over
    /// what was written.
    pub fn wants_again(&self) -> bool {
        self.again
    }

    /// Forgets what was written; what is wanted whole stays.
    pub fn begin_again(&mut self) {
        if !self.written.all.is_empty() {
            self.written = ByStart::default();
        }
        (self.longest, self.compared, self.again) = (0, 0, false);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.begin_again();
        if !self.wanted.is_empty() {
            self.wanted.clear();
        }
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
    #[test]
    fn order_does_not_matter() {
        let few = vec![5000, 1000, 3000, 1000, 7000, 2000];
        let upwards = (1..=200).map(|n| n * 500).collect();
        let downwards = (1..=200).rev().map(|n| n * 500).collect();
        for starts in [few, upwards, downwards] {
            let mut regions = Regions::default();
            for (index, &start) in (0..).zip(&starts) {
                // The second at the same place is longer.
                let len = if starts[..index as usize].contains(&start) { 20 } else { 10 };
                regions.note(start, part(len, 8), Some(index), true);
            }
            for start in &starts {
                let place = regions.place(start + 72, &part(1, 8), true, true);
                let Place::Within { index, start: found, .. } = place else {
                    panic!("{start}: {place:?}")
                };
                assert_eq!((found, starts[index as usize]), (*start, *start));
                assert_eq!(regions.place(start - 8, &part(1, 8), true, true), Place::Alone);
            }
            if starts.len() == 6 {
                let longer = regions.place(1000 + 152, &part(1, 8), true, true);
                assert!(matches!(longer, Place::Within { start: 1000, .. }));
            }
            assert_eq!(regions.place(200_000, &part(1, 8), true, true), Place::Alone);
        }
    }
}
