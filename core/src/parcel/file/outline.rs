//! The outline of a stream whose object is a dict: which bytes make which key
//! and which value, and which of them depend on others by the memo.
//!
//! The stack machine is run with places in the stream for objects. The bytes
//! that make an object are a *range*: from the end of what was made before it to
//! the last opcode that had it on top of the stack. Ranges of objects on the
//! stack lie side by side, those of their parts within them.

use crate::opcode::Op;
use crate::opcode::dis::{Step, steps};
use core::ops::Range;

/// An object on the stack.
#[derive(Clone, Copy)]
struct Slot {
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mark,
    /// Got from the memo.
    Got(u32),
    /// Made here, and not in the memo.
    Made,
    /// Made here, and in the memo.
    Kept(u32),
}

/// What is known of an entry of the memo: its object's range.
pub type Kept = Option<Range<usize>>;

/// The outline of a dict's stream.
#[derive(Debug, Default)]
pub struct Outline {
    /// Ranges of the keys and the values, in order.
    pub pairs: Vec<(Range<usize>, Range<usize>)>,
    /// Where a GET stands, and its index.
    pub gets: Vec<(usize, u32)>,
    /// Where each NEXT_BUFFER stands.
    pub buffers: Vec<usize>,
    /// Where an object is put into the memo, and under which index.
    pub puts: Vec<(usize, u32)>,
    /// The memo.
    pub memo: Vec<Kept>,
    /// Bytes that change an object that was made elsewhere, as far as can be
    /// told: what is called for its effect, what is set in an object of the memo.
    pub effects: Vec<Range<usize>>,
}

/// Something that the outline does not follow; such streams are read whole.
struct Lost;

struct Machine {
    stack: Vec<Slot>,
    outline: Outline,
    /// Number of objects in the memo: the index of the next MEMOIZE.
    count: usize,
    /// The object at the bottom is a dict, not one of a subclass.
    plain: bool,
}

/// An index further ahead of the memo than this is not followed.
const MEMO_SLACK: usize = 1 << 16;

/// The outline of a stream; `None` for other objects than dicts, for a faulty
/// stream, and where an opcode of old protocols makes ranges impossible.
pub fn outline(stream: &[u8]) -> Option<Outline> {
    let mut machine =
        Machine { stack: Vec::new(), outline: Outline::default(), count: 0, plain: false };
    let mut lost = false;
    let walked = steps(stream, |step, arg| {
        lost = lost || machine.step(step, arg).is_err();
    });
    let whole = walked.is_ok() && !lost && machine.stack.len() == 1;
    (whole && !machine.outline.pairs.is_empty()).then_some(machine.outline)
}

fn index_of(op: Op, arg: &[u8]) -> Result<u32, Lost> {
    match op {
        Op::Binget | Op::Binput => arg.first().map(|byte| u32::from(*byte)).ok_or(Lost),
        Op::LongBinget | Op::LongBinput => arg.try_into().map(u32::from_le_bytes).map_err(|_| Lost),
        _ => Err(Lost),
    }
}

impl Machine {
    fn push(&mut self, at: usize, end: usize, kind: Kind) {
        // What was done since the object below was complete belongs to this one.
        let start = self.stack.last().map_or(at, |below| below.end);
        self.stack.push(Slot { start, end, kind });
    }

    fn top(&mut self) -> Result<&mut Slot, Lost> {
        self.stack.last_mut().filter(|slot| slot.kind != Kind::Mark).ok_or(Lost)
    }

    fn pop(&mut self) -> Result<Slot, Lost> {
        self.top()?;
        self.stack.pop().ok_or(Lost)
    }

    /// Takes the objects above the last mark off, and the mark.
    fn pop_mark(&mut self) -> Result<(Slot, Vec<Slot>), Lost> {
        let mark = self.stack.iter().rposition(|slot| slot.kind == Kind::Mark).ok_or(Lost)?;
        let items = self.stack.split_off(mark + 1);
        Ok((self.stack.pop().ok_or(Lost)?, items))
    }

    /// The last `n` objects become one.
    fn join(&mut self, n: usize, end: usize) -> Result<(), Lost> {
        let mut start = 0;
        for _ in 0..n {
            start = self.pop()?.start;
        }
        self.stack.push(Slot { start, end, kind: Kind::Made });
        Ok(())
    }

    fn join_mark(&mut self, end: usize) -> Result<(), Lost> {
        let (mark, _) = self.pop_mark()?;
        self.stack.push(Slot { start: mark.start, end, kind: Kind::Made });
        Ok(())
    }

    /// The object on top has been worked on up to `end`.
    fn touch(&mut self, end: usize) -> Result<(), Lost> {
        let slot = self.top()?;
        slot.end = end;
        let slot = *slot;
        self.note(slot);
        Ok(())
    }

    fn note(&mut self, slot: Slot) {
        if let Kind::Kept(index) = slot.kind
            && let Some(Some(kept)) = self.outline.memo.get_mut(index as usize)
        {
            kept.end = slot.end;
        }
    }

    /// As [`Machine::touch`], for opcodes that change the object.
    fn change(&mut self, end: usize) -> Result<(), Lost> {
        let slot = *self.top()?;
        if let Kind::Got(_) = slot.kind {
            self.outline.effects.push(slot.start..end);
        }
        self.touch(end)
    }

    fn put(&mut self, at: usize, end: usize, index: u32) -> Result<(), Lost> {
        let place = index as usize;
        let memo = &mut self.outline.memo;
        if place > memo.len() + MEMO_SLACK || memo.get(place).is_some_and(Option::is_some) {
            return Err(Lost);
        }
        if place >= memo.len() {
            memo.resize(place + 1, None);
        }
        self.count += 1;
        self.outline.puts.push((at, index));
        let slot = self.top()?;
        if slot.kind != Kind::Made {
            return Err(Lost);
        }
        slot.kind = Kind::Kept(index);
        slot.end = end;
        let range = slot.start..end;
        self.outline.memo[place] = Some(range);
        Ok(())
    }

    /// Keys and values of the dict at the bottom.
    fn pairs(&mut self, items: &[Slot], at: usize) -> Result<(), Lost> {
        if self.stack.len() != 1 || !self.plain {
            return Ok(());
        }
        let ends = items.iter().skip(1).map(|next| next.start).chain([at]);
        let ranges: Vec<_> = items.iter().zip(ends).map(|(item, end)| item.start..end).collect();
        for pair in ranges.chunks_exact(2) {
            self.outline.pairs.push((pair[0].clone(), pair[1].clone()));
        }
        if ranges.len() % 2 == 0 { Ok(()) } else { Err(Lost) }
    }

    fn step(&mut self, step: Step, arg: &[u8]) -> Result<(), Lost> {
        let at = step.at as usize;
        let end = at + 1 + step.arg_bytes as usize;
        match step.op {
            Op::Proto | Op::Frame | Op::Stop => Ok(()),
            Op::Mark => {
                self.push(at, end, Kind::Mark);
                Ok(())
            }
            Op::Binget | Op::LongBinget => {
                let index = index_of(step.op, arg)?;
                self.outline.gets.push((at, index));
                self.push(at, end, Kind::Got(index));
                Ok(())
            }
            Op::Memoize => self.put(at, end, u32::try_from(self.count).map_err(|_| Lost)?),
            Op::Binput | Op::LongBinput => self.put(at, end, index_of(step.op, arg)?),
            Op::NextBuffer => {
                self.outline.buffers.push(at);
                self.push(at, end, Kind::Made);
                Ok(())
            }
            Op::EmptyDict => {
                self.plain = self.plain || self.stack.is_empty();
                self.push(at, end, Kind::Made);
                Ok(())
            }
            Op::ReadonlyBuffer => self.touch(end),
            Op::Append => {
                self.pop()?;
                self.change(end)
            }
            Op::Appends | Op::Additems => {
                self.pop_mark()?;
                self.change(end)
            }
            Op::Setitem => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.pairs(&[key, value], at)?;
                self.change(end)
            }
            Op::Setitems => {
                let (_, items) = self.pop_mark()?;
                self.pairs(&items, at)?;
                self.change(end)
            }
            Op::Build => {
                self.pop()?;
                self.change(end)
            }
            Op::Tuple1 | Op::Binpersid => self.join(1, end),
            Op::Tuple2 | Op::Reduce | Op::Newobj | Op::StackGlobal => self.join(2, end),
            Op::Tuple3 | Op::NewobjEx => self.join(3, end),
            Op::Tuple | Op::List | Op::Dict | Op::Frozenset | Op::Inst | Op::Obj => {
                self.join_mark(end)
            }
            Op::Pop => {
                let slot = self.stack.pop().ok_or(Lost)?;
                // What has an entry was made to be referred to.
                if !matches!(slot.kind, Kind::Kept(_)) {
                    self.outline.effects.push(slot.start..end);
                }
                Ok(())
            }
            Op::PopMark => {
                let (mark, _) = self.pop_mark()?;
                self.outline.effects.push(mark.start..end);
                Ok(())
            }
            // Protocols 0 and 1, whose arguments are lines of text.
            Op::Dup | Op::Get | Op::Put => Err(Lost),
            _ => {
                self.push(at, end, Kind::Made);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(stream: &'a [u8], outline: &Outline) -> Vec<(&'a [u8], &'a [u8])> {
        let cut = |range: &Range<usize>| &stream[range.clone()];
        outline.pairs.iter().map(|(key, value)| (cut(key), cut(value))).collect()
    }

    #[test]
    fn keys_and_values_lie_side_by_side() {
        let stream = b"\x80\x05}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94](h\x01K\x02e\x94u.";
        let outline = outline(stream).expect("a dict");
        let wanted: [(&[u8], &[u8]); 2] =
            [(b"\x8c\x01a\x94", b"K\x01"), (b"\x8c\x01b\x94", b"](h\x01K\x02e\x94")];
        assert_eq!(texts(stream, &outline), wanted);
        assert_eq!(outline.gets, [(17, 1)]);
        assert_eq!(outline.memo[3], Some(15..23));
        assert!(outline.effects.is_empty());
    }

    #[test]
    fn what_is_popped_belongs_to_what_follows() {
        let stream = b"\x80\x05}(\x8c\x01aK\x010N\x8c\x01bN0K\x02u.";
        let outline = outline(stream).expect("a dict");
        let wanted: [(&[u8], &[u8]); 2] = [(b"\x8c\x01a", b"K\x010N"), (b"\x8c\x01b", b"N0K\x02")];
        assert_eq!(texts(stream, &outline), wanted);
        assert_eq!(outline.effects.len(), 2);
    }

    #[test]
    fn other_objects_and_faulty_streams_have_none() {
        for stream in
            [&b"\x80\x05]."[..], b"\x80\x05}.", b"}(K\x01u.", b"}(K\x01K\x02", b"}u.", b"0."]
        {
            assert!(outline(stream).is_none(), "{}", stream.escape_ascii());
        }
        assert!(outline(b"cm\nf\n)R(K\x01K\x02u.").is_none());
        assert!(outline(b"}K\x01K\x02s.").is_some());
    }
}
