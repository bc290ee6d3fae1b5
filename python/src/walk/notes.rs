//! The notes that CPython 3.14's pickle adds to an exception: one for each
//! object that was being written, the innermost first.
//!
//! Read off the walker's stack when something failed, as the path is.

use super::Walker;
use super::frame::{Frame, IterState, Phase, Shape, TupleEnd};
use crate::error::{full_type_name, repr};
use crate::fast::{self, Obj, Own, instance};

/// The most frames that notes are made of, from the innermost on: the standard
/// library meets its recursion limit before.
const MOST_FRAMES: usize = 2000;

/// A note, or what one will be made of: the `repr` of a key may run code, which
/// must not happen while the stack is read.
enum Note {
    Text(String),
    Key(String, Own),
}

/// The texts of the notes.
pub fn of(walker: &Walker) -> Vec<String> {
    let mut notes = Vec::new();
    for depth in (0..walker.frames.len()).rev().take(MOST_FRAMES) {
        note(walker, depth, &mut notes);
    }
    let text = |note| match note {
        Note::Text(what) => format!("when serializing {what}"),
        Note::Key(kind, key) => format!("when serializing {kind} item {}", repr(key.obj())),
    };
    notes.into_iter().map(text).collect()
}

fn note(walker: &Walker, depth: usize, notes: &mut Vec<Note>) {
    let mut say = |what: String| notes.push(Note::Text(what));
    match &walker.frames[depth] {
        Frame::List { obj, next, .. } | Frame::Tuple { obj, next, .. } => {
            let by_reduction =
                matches!(walker.frames[depth], Frame::Tuple { end: TupleEnd::NewObj, .. });
            if *next > 0 {
                let kind = if by_reduction { "tuple".to_owned() } else { full_type_name(*obj) };
                say(format!("{kind} item {}", next - 1));
            }
            if by_reduction {
                let kind = full_type_name(*obj);
                say(format!("{kind} __new__ arguments"));
                say(format!("{kind} object"));
            }
        }
        Frame::Dict { obj, at, value, build, .. } => {
            let mut pos = *at;
            if value.is_none()
                && let Some((key, _)) = fast::dict_next(*obj, &mut pos)
            {
                notes.push(Note::Key(full_type_name(*obj), key.own()));
            }
            if *build && let Some(owner) = written_by(walker, depth) {
                notes.extend(["state", "object"].map(|part| of_type(owner, part)));
            }
        }
        Frame::Inline { obj, attributes, next, build, .. } => {
            if *next > 0 {
                notes.push(Note::Key("dict".to_owned(), attributes.get(next - 1).0.own()));
            }
            if *build {
                notes.extend(["state", "object"].map(|part| of_type(*obj, part)));
            }
        }
        Frame::Set { obj, .. } => say(format!("{} element", full_type_name(*obj))),
        Frame::Slots { obj, plan, next, started } => {
            if *started {
                let slots = &walker.types.plans[*plan as usize].slots;
                if let Some(slot) = next.checked_sub(1).and_then(|i| slots.get(i)) {
                    notes.push(Note::Key("dict".to_owned(), slot.name.clone()));
                }
            }
            notes.push(Note::Text(format!("tuple item {}", i32::from(*started))));
            notes.extend(["state", "object"].map(|part| of_type(*obj, part)));
        }
        Frame::Items { count, state: IterState::After, .. } => {
            if let Some(owner) = below(walker, depth) {
                say(format!("{} item {}", full_type_name(owner), count.saturating_sub(1)));
            }
        }
        Frame::Pairs { pair: Some(pair), state: IterState::After, .. } => {
            if let Some(owner) = below(walker, depth) {
                notes.push(Note::Key(full_type_name(owner), fast::tuple_get(*pair, 0).own()));
            }
        }
        Frame::Items { .. } | Frame::Pairs { .. } => {}
        Frame::Reduce { obj: Some(obj), shape, phase, .. } => {
            notes.extend(reduce_part(*shape, *phase).map(|part| of_type(*obj, part)));
            if !is_reduced_by_the_walker(*obj) {
                notes.push(of_type(*obj, "object"));
            }
        }
        // The standard library writes nothing by value.
        Frame::Reduce { obj: None, .. }
        | Frame::Script { .. }
        | Frame::Dtype { .. }
        | Frame::Elements(_) => {}
        Frame::Then { label, .. } => {
            let item = match *label {
                ".value" => 0,
                ".tzinfo" => 1,
                _ => return,
            };
            say(format!("tuple item {item}"));
            if let Some(obj) = written_by(walker, depth) {
                notes.extend(["reconstructor arguments", "object"].map(|part| of_type(obj, part)));
            }
        }
    }
}

fn of_type(obj: Obj, part: &str) -> Note {
    Note::Text(format!("{} {part}", full_type_name(obj)))
}

/// What of a reduce value is being written: the phase is that of what follows.
fn reduce_part(shape: Shape, phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Arguments if matches!(shape, Shape::NewObj | Shape::NewObjEx) => Some("class"),
        Phase::Arguments => Some("reconstructor"),
        Phase::Keywords => Some("__new__ arguments"),
        Phase::Make if matches!(shape, Shape::NewObj | Shape::NewObjEx) => {
            Some("__new__ arguments")
        }
        Phase::Make => Some("reconstructor arguments"),
        Phase::SetterObject => Some("state setter"),
        Phase::SetterCall | Phase::Build => Some("state"),
        Phase::Check
        | Phase::Callable
        | Phase::ListItems
        | Phase::DictItems
        | Phase::State
        | Phase::SetterState => None,
    }
}

/// Objects whose reduce value is no answer of theirs: the walker makes it where
/// a protocol has no opcode.
fn is_reduced_by_the_walker(obj: Obj) -> bool {
    let ty = obj.ty();
    fast::is_set(ty)
        || fast::is_frozenset(ty)
        || fast::is_bytes(ty)
        || fast::is_bytearray(ty)
        || fast::is_type(ty)
}

/// The object whose items the frame writes: that of the frame below.
fn below(walker: &Walker, depth: usize) -> Option<Obj> {
    match walker.frames[..depth].last()? {
        Frame::Reduce { obj, .. } => *obj,
        _ => None,
    }
}

/// The object that a frame was pushed for, as the frame below has it.
fn written_by(walker: &Walker, depth: usize) -> Option<Obj> {
    let Some(frame) = walker.frames[..depth].last() else { return walker.root };
    match frame {
        Frame::List { obj, next, .. } => {
            (1..=fast::list_len(*obj)).contains(next).then(|| fast::list_get(*obj, next - 1))
        }
        Frame::Tuple { obj, next, .. } => (*next > 0).then(|| fast::tuple_get(*obj, next - 1)),
        Frame::Dict { obj, at, value, .. } => {
            let mut pos = *at;
            let (key, item) = fast::dict_next(*obj, &mut pos)?;
            Some(if value.is_some() { key } else { item })
        }
        Frame::Inline { attributes, next, .. } => (*next > 0).then(|| attributes.get(next - 1).1),
        Frame::Set { obj, pos, .. } => {
            let (mut at, mut last) = (0, None);
            while at < *pos {
                last = Some(fast::set_next(*obj, &mut at)?);
            }
            last
        }
        Frame::Slots { obj, plan, next, .. } => {
            let slots = &walker.types.plans[*plan as usize].slots;
            instance::slot(*obj, slots.get(next.checked_sub(1)?)?.offset)
        }
        // Without a memo nothing keeps what an iterator gave.
        Frame::Items { item, .. } => item.filter(|_| !walker.options.fast),
        Frame::Pairs { pair, state, .. } => {
            pair.map(|pair| fast::tuple_get(pair, isize::from(*state != IterState::Value)))
        }
        Frame::Reduce { value, obj, shape, phase } => match phase {
            Phase::Arguments if *shape == Shape::Call => Some(fast::tuple_get(*value, 0)),
            Phase::SetterObject => Some(fast::tuple_get(*value, 5)),
            Phase::SetterState => *obj,
            Phase::SetterCall | Phase::Build => Some(fast::tuple_get(*value, 2)),
            _ => None,
        },
        Frame::Then { keep, .. } => Some(*keep),
        Frame::Script { .. } => None,
        Frame::Dtype { array } => Some(*array),
        Frame::Elements(_) => None,
    }
}
