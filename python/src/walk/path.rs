//! The path to the object that is being written, for errors.
//!
//! Read off the walker's stack when something failed; costs nothing before.

use super::Walker;
use super::frame::{Frame, Phase, Shape};
use crate::byvalue::Label;
use crate::error::repr;
use crate::fast::{self, Obj};

/// Parts shown at each end of a path that is longer than both together.
const SHOWN_PARTS: usize = 12;
/// Longest text of one key.
const KEY_CHARS: usize = 60;

/// The path from the root, as Python would spell it: `obj.cfg['a'][3]`.
pub fn of(walker: &Walker) -> String {
    let frames = &walker.frames;
    let parts =
        |range: core::ops::Range<usize>| -> String { range.map(|i| part(walker, i)).collect() };
    let n = frames.len();
    if n <= 2 * SHOWN_PARTS {
        return format!("obj{}", parts(0..n));
    }
    let (head, tail) = (parts(0..SHOWN_PARTS), parts(n - SHOWN_PARTS..n));
    format!("obj{head}<... {} more ...>{tail}", n - 2 * SHOWN_PARTS)
}

fn part(walker: &Walker, depth: usize) -> String {
    match &walker.frames[depth] {
        Frame::List { next, .. } | Frame::Tuple { next, .. } if *next > 0 => {
            format!("[{}]", next - 1)
        }
        Frame::List { .. } | Frame::Tuple { .. } => String::new(),
        Frame::Items { count, .. } => format!("[{}]", count.saturating_sub(1)),
        Frame::Set { .. } => "<element>".to_owned(),
        Frame::Slots { plan, next, .. } => {
            let slots = &walker.types.plans[*plan as usize].slots;
            match next.checked_sub(1).and_then(|i| slots.get(i)) {
                Some(slot) => format!(".{}", plain(slot.name.obj())),
                None => String::new(),
            }
        }
        Frame::Dict { obj, at, value, build, .. } => {
            let mut pos = *at;
            match fast::dict_next(*obj, &mut pos) {
                None => String::new(),
                Some((key, _)) if value.is_some() => format!("<key {}>", short(key)),
                Some((key, _)) if *build || is_state(walker, depth) => attribute(key),
                Some((key, _)) => format!("[{}]", short(key)),
            }
        }
        Frame::Inline { attributes, next, .. } => match next.checked_sub(1) {
            Some(at) if at >= 0 => attribute(attributes.get(at).0),
            _ => String::new(),
        },
        Frame::Pairs { pair, .. } => match pair {
            Some(pair) => format!("[{}]", short(fast::tuple_get(*pair, 0))),
            None => String::new(),
        },
        Frame::Reduce { shape, phase, .. } => reduce_part(*shape, *phase),
        Frame::Script { .. } => {
            let below = walker.frames[..depth].iter();
            let number = below.filter(|frame| matches!(frame, Frame::Script { .. })).count();
            script_part(walker.by_value.label(number))
        }
        Frame::Then { label, .. } => (*label).to_owned(),
        Frame::Dtype { .. } => ".dtype".to_owned(),
        Frame::Elements(elements) => match elements.next.checked_sub(1) {
            Some(index) => format!(".flat[{index}]"),
            None => String::new(),
        },
    }
}

/// What of a function, class or module by value.
fn script_part(label: &Label) -> String {
    match label {
        Label::None => String::new(),
        Label::Text(text) => (*text).to_owned(),
        Label::Attribute(name) => attribute(name.obj()),
        Label::Global(name) => format!(".__globals__[{}]", short(name.obj())),
        Label::Free(name) => format!(".__closure__[{}]", short(name.obj())),
    }
}

/// What of a reduce value is being written: the phase is that of what follows.
fn reduce_part(shape: Shape, phase: Phase) -> String {
    match phase {
        Phase::Arguments => "<class or callable>".to_owned(),
        Phase::Make | Phase::Keywords if shape == Shape::Partial => "<arguments>".to_owned(),
        Phase::Make if shape == Shape::NewObjEx => "<keyword arguments>".to_owned(),
        Phase::Make | Phase::Keywords => "<arguments>".to_owned(),
        Phase::SetterObject => "<state setter>".to_owned(),
        _ => String::new(),
    }
}

/// Whether a dict is the state of the object written by the frame below it, or
/// one half of such a state.
fn is_state(walker: &Walker, depth: usize) -> bool {
    let below = |n: usize| depth.checked_sub(n).map(|i| &walker.frames[i]);
    let builds = |frame: Option<&Frame>| {
        matches!(frame, Some(Frame::Reduce { phase: Phase::Build | Phase::SetterCall, .. }))
    };
    match below(1) {
        Some(Frame::Slots { .. }) => true,
        // `(dict, slots)`
        Some(Frame::Tuple { .. }) => builds(below(2)),
        frame => builds(frame),
    }
}

fn attribute(key: Obj) -> String {
    let text = plain(key);
    let is_name = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c == '_' || c.is_alphanumeric());
    if is_name { format!(".{text}") } else { format!(".__dict__[{}]", short(key)) }
}

/// A str as it is; nothing for other objects.
fn plain(key: Obj) -> String {
    if !fast::is_str(key.ty()) {
        return String::new();
    }
    String::from_utf8_lossy(fast::text::utf8(key, &mut Vec::new())).into_owned()
}

/// A key's `repr`, if its type is one whose `repr` runs no user code.
fn short(key: Obj) -> String {
    let ty = key.ty();
    let simple = fast::is_str(ty)
        || fast::is_int(ty)
        || fast::is_float(ty)
        || fast::is_bytes(ty)
        || fast::is_bool(ty)
        || key.is_none();
    if !simple {
        return format!("<{} key>", crate::error::type_name(key));
    }
    let text = repr(key);
    if text.chars().count() <= KEY_CHARS {
        return text;
    }
    let cut: String = text.chars().take(KEY_CHARS).collect();
    format!("{cut}...")
}
