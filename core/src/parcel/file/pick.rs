//! A stream that makes some parts of another stream's dict, and nothing else.
//!
//! Parts refer to one another by the memo: what a wanted part refers to, and it
//! does not make itself, is made before it by the bytes that make it in the whole
//! stream. Objects of other parts are never made. Where that is not enough (the
//! part refers to something that holds it, or code of another part changes what
//! it refers to), there is no such stream: the whole has to be read.

use super::outline::Outline;
use crate::opcode::Op;
use crate::opcode::dis::steps;
use core::ops::Range;

/// A stream for some parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Picked {
    /// It makes a tuple of them.
    pub stream: Vec<u8>,
    /// Which buffers of the whole it asks for, in order.
    pub buffers: Vec<usize>,
}

/// Ranges of the whole stream, none within another, by where they begin.
#[derive(Default)]
struct Ranges(Vec<(Range<usize>, bool)>);

impl Ranges {
    /// The range that holds a place.
    fn holding(&self, at: usize) -> Option<&Range<usize>> {
        let next = self.0.partition_point(|(range, _)| range.start <= at);
        next.checked_sub(1).map(|i| &self.0[i].0).filter(|range| at < range.end)
    }

    /// Adds a range in the place of those that lie within it. False where it
    /// would cut into a wanted one, which it then holds.
    fn add(&mut self, range: Range<usize>, wanted: bool) -> bool {
        let from = self.0.partition_point(|(other, _)| other.start < range.start);
        let to = self.0.partition_point(|(other, _)| other.start < range.end);
        if self.0[from..to].iter().any(|(_, wanted)| *wanted) {
            return false;
        }
        self.0.splice(from..to, [(range, wanted)]);
        true
    }
}

/// The places of a sorted list that lie in a range.
fn within<T: Copy>(list: &[T], range: &Range<usize>, place: impl Fn(T) -> usize) -> Range<usize> {
    let from = list.partition_point(|item| place(*item) < range.start);
    let to = list.partition_point(|item| place(*item) < range.end);
    from..to
}

/// A stream that makes the parts of `wanted`, which are keys or values of the
/// outline in order; `None` if the whole is needed.
pub fn pick(stream: &[u8], outline: &Outline, wanted: &[Range<usize>]) -> Option<Picked> {
    let mut ranges = Ranges::default();
    for range in wanted {
        if range.is_empty() || !ranges.add(range.clone(), true) {
            return None;
        }
    }
    let mut open: Vec<Range<usize>> = wanted.to_vec();
    while let Some(range) = open.pop() {
        for (at, index) in &outline.gets[within(&outline.gets, &range, |get| get.0)] {
            let kept = outline.memo.get(*index as usize)?.clone()?;
            if ranges.holding(kept.start).is_some_and(|held| kept.end <= held.end) {
                continue;
            }
            // What is not complete where it is referred to holds the reference.
            if kept.end > *at || !ranges.add(kept.clone(), false) {
                return None;
            }
            open.push(kept);
        }
    }
    let concerned = |effect: &Range<usize>| {
        let gets = &outline.gets[within(&outline.gets, effect, |get| get.0)];
        gets.iter().any(|(_, index)| {
            let kept = outline.memo.get(*index as usize).and_then(Option::as_ref);
            kept.is_none_or(|kept| ranges.holding(kept.start).is_some())
        })
    };
    let elsewhere = |effect: &Range<usize>| {
        ranges.holding(effect.start).is_none_or(|held| effect.end > held.end)
    };
    if outline.effects.iter().any(|effect| elsewhere(effect) && concerned(effect)) {
        return None;
    }
    emit(stream, outline, &ranges)
}

fn emit(stream: &[u8], outline: &Outline, ranges: &Ranges) -> Option<Picked> {
    let bytes = ranges.0.iter().map(|(range, _)| range.len()).sum::<usize>();
    let mut picked = Picked { stream: Vec::new(), buffers: Vec::new() };
    picked.stream.try_reserve(bytes + 16).ok()?;
    picked.stream.extend_from_slice(&[Op::Proto as u8, 5, Op::Mark as u8]);
    for (range, wanted) in &ranges.0 {
        copy(stream, outline, range, &mut picked.stream)?;
        if !wanted {
            picked.stream.push(Op::Pop as u8);
        }
        picked.buffers.extend(within(&outline.buffers, range, |at| at));
    }
    picked.stream.extend_from_slice(&[Op::Tuple as u8, Op::Stop as u8]);
    Some(picked)
}

/// Copies opcodes, those of the memo with their indices, frames left out.
fn copy(stream: &[u8], outline: &Outline, range: &Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    let mut puts = outline.puts[within(&outline.puts, range, |put| put.0)].iter();
    let part = &stream[range.clone()];
    // Not a stream of its own: the end of its bytes is no fault.
    let _ = steps(part, |step, arg| match step.op {
        Op::Frame | Op::Proto => {}
        Op::Memoize | Op::Binput | Op::LongBinput => {
            if let Some((_, index)) = puts.next() {
                out.push(Op::LongBinput as u8);
                out.extend_from_slice(&index.to_le_bytes());
            }
        }
        op => {
            out.push(op as u8);
            out.extend_from_slice(arg);
        }
    });
    puts.next().is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::outline::outline;
    use super::*;
    use crate::decode::verify;

    /// The values of a stream's dict picked one by one.
    fn values(stream: &[u8]) -> Vec<Option<Picked>> {
        let outline = outline(stream).expect("a dict");
        let one =
            |(_, value): &(_, Range<usize>)| pick(stream, &outline, core::slice::from_ref(value));
        let picked: Vec<_> = outline.pairs.iter().map(one).collect();
        for picked in picked.iter().flatten() {
            verify(&picked.stream).expect("a stream of its own");
        }
        picked
    }

    #[test]
    fn a_value_takes_what_it_refers_to() {
        let stream = b"\x80\x05}\x94(\x8c\x01a\x94](\x97\x94K\x01e\x8c\x01b\x94(h\x02\x97h\x01tu.";
        let picked = values(stream);
        let first = picked[0].as_ref().expect("it stands alone");
        assert_eq!(first.stream, b"\x80\x05(](\x97r\x02\x00\x00\x00K\x01et.");
        assert_eq!(first.buffers, [0]);
        let second = picked[1].as_ref().expect("it needs two others");
        let wanted =
            b"\x80\x05(\x8c\x01ar\x01\x00\x00\x000\x97r\x02\x00\x00\x000(h\x02\x97h\x01tt.";
        assert_eq!(second.stream, wanted);
        assert_eq!(second.buffers, [0, 1]);
    }

    #[test]
    fn keys_come_together() {
        let stream = b"\x80\x05}(\x8c\x01a\x94h\x00\x8c\x01bK\x02u.";
        let outline = outline(stream).expect("a dict");
        let keys: Vec<_> = outline.pairs.iter().map(|(key, _)| key.clone()).collect();
        let picked = pick(stream, &outline, &keys).expect("two strings");
        assert_eq!(picked.stream, b"\x80\x05(\x8c\x01ar\x00\x00\x00\x00\x8c\x01bt.");
    }

    #[test]
    fn what_holds_it_or_changes_elsewhere_needs_the_whole() {
        // The first value is a list that holds the dict; the second holds the first.
        let stream = b"\x80\x05}\x94(\x8c\x01a]\x94h\x00a\x8c\x01bh\x01u.";
        assert!(values(stream).iter().all(Option::is_none));
        // The second value appends to the first.
        let stream = b"\x80\x05}(\x8c\x01a]\x94\x8c\x01bh\x00K\x01a\x8c\x01cNu.";
        let picked = values(stream);
        assert!(picked[0].is_none() && picked[1].is_some() && picked[2].is_some());
        // A call for its effect on the first value.
        let stream = b"\x80\x05}(\x8c\x01a]\x94\x8c\x01bcm\nf\nh\x00\x85R0Nu.";
        assert!(values(stream)[0].is_none());
    }
    #[test]
    fn what_is_made_for_the_memo_alone_changes_nothing() {
        // The second value is made with the class of the first, popped and got again.
        let stream = b"\x80\x05}(\x8c\x01acm\nf\n\x94\x8c\x01bh\x00)R\x940(h\x01tu.";
        assert!(values(stream).iter().all(Option::is_some));
    }
}
