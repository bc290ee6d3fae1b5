//! The path to the object that is being written, for errors.
//!
//! Read off the walker's stack when something failed; costs nothing before.

use super::Walker;
use super::frame::{Frame, Phase, Shape};
use crate::byvalue::Label;
use crate::error::repr;
use crate::fast::{self, Obj, Own};
use std::fmt;

/// Parts shown at each end of a path that is longer than both together.
const SHOWN_PARTS: usize = 12;
/// Longest text of one key.
const KEY_CHARS: usize = 60;

/// A path, read off the stack: its text is made where it is wanted.
pub struct Path {
    parts: Vec<Part>,
    /// Parts that are left out in the middle.
    left_out: usize,
}

/// What one frame of the stack adds to a path.
enum Part {
    Text(&'static str),
    Index(isize),
    /// Of an array's elements.
    Flat(usize),
    Key(Own),
    /// A key itself.
    AtKey(Own),
    Attribute(Own),
    /// An attribute that has a slot.
    Slot(Own),
    Global(Own),
    Free(Own),
}

/// The path from the root, as Python would spell it: `obj.cfg['a'][3]`.
pub fn of(walker: &Walker) -> String {
    Path::new(walker, walker.frames.len()).to_string()
}

impl Path {
    /// The path to what the lowest `n` frames are writing.
    pub fn new(walker: &Walker, n: usize) -> Path {
        let n = n.min(walker.frames.len());
        let part = |depth| part(walker, depth);
        if n <= 2 * SHOWN_PARTS {
            return Path { parts: (0..n).map(part).collect(), left_out: 0 };
        }
        let shown = (0..SHOWN_PARTS).chain(n - SHOWN_PARTS..n);
        Path { parts: shown.map(part).collect(), left_out: n - 2 * SHOWN_PARTS }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("obj")?;
        for (i, part) in self.parts.iter().enumerate() {
            if i == SHOWN_PARTS && self.left_out > 0 {
                write!(f, "<... {} more ...>", self.left_out)?;
            }
            f.write_str(&part.text())?;
        }
        Ok(())
    }
}

impl Part {
    fn text(&self) -> String {
        match self {
            Part::Text(text) => (*text).to_owned(),
            Part::Index(index) => format!("[{index}]"),
            Part::Flat(index) => format!(".flat[{index}]"),
            Part::Key(key) => format!("[{}]", short(key.obj())),
            Part::AtKey(key) => format!("<key {}>", short(key.obj())),
            Part::Attribute(name) => attribute(name.obj()),
            Part::Slot(name) => format!(".{}", plain(name.obj())),
            Part::Global(name) => format!(".__globals__[{}]", short(name.obj())),
            Part::Free(name) => format!(".__closure__[{}]", short(name.obj())),
        }
    }
}

fn part(walker: &Walker, depth: usize) -> Part {
    match &walker.frames[depth] {
        Frame::List { next, .. } | Frame::Tuple { next, .. } if *next > 0 => Part::Index(next - 1),
        Frame::List { .. } | Frame::Tuple { .. } => Part::Text(""),
        Frame::Items { count, .. } => Part::Index(count.saturating_sub(1) as isize),
        Frame::Set { .. } => Part::Text("<element>"),
        Frame::Slots { plan, next, .. } => {
            let slots = &walker.types.plans[*plan as usize].slots;
            match next.checked_sub(1).and_then(|i| slots.get(i)) {
                Some(slot) => Part::Slot(slot.name.clone()),
                None => Part::Text(""),
            }
        }
        Frame::Dict { obj, at, value, build, .. } => {
            let mut pos = *at;
            match fast::dict_next(*obj, &mut pos) {
                None => Part::Text(""),
                Some((key, _)) if value.is_some() => Part::AtKey(key.own()),
                Some((key, _)) if *build || is_state(walker, depth) => Part::Attribute(key.own()),
                Some((key, _)) => Part::Key(key.own()),
            }
        }
        Frame::Inline { attributes, next, .. } => match next.checked_sub(1) {
            Some(at) if at >= 0 => Part::Attribute(attributes.get(at).0.own()),
            _ => Part::Text(""),
        },
        Frame::Pairs { pair, .. } => match pair {
            Some(pair) => Part::Key(fast::tuple_get(*pair, 0).own()),
            None => Part::Text(""),
        },
        Frame::Reduce { shape, phase, .. } => Part::Text(reduce_part(*shape, *phase)),
        Frame::Script { .. } => {
            let below = walker.frames[..depth].iter();
            let number = below.filter(|frame| matches!(frame, Frame::Script { .. })).count();
            script_part(walker.by_value.label(number))
        }
        Frame::Then { label, .. } => Part::Text(label),
        Frame::Dtype { .. } => Part::Text(".dtype"),
        Frame::Elements(elements) => match elements.next.checked_sub(1) {
            Some(index) => Part::Flat(index),
            None => Part::Text(""),
        },
    }
}

/// What of a function, class or module by value.
fn script_part(label: &Label) -> Part {
    match label {
        Label::None => Part::Text(""),
        Label::Text(text) => Part::Text(text),
        Label::Attribute(name) => Part::Attribute(name.clone()),
        Label::Global(name) => Part::Global(name.clone()),
        Label::Free(name) => Part::Free(name.clone()),
    }
}

/// What of a reduce value is being written: the phase is that of what follows.
fn reduce_part(shape: Shape, phase: Phase) -> &'static str {
    match phase {
        Phase::Arguments => "<class or callable>",
        Phase::Make | Phase::Keywords if shape == Shape::Partial => "<arguments>",
        Phase::Make if shape == Shape::NewObjEx => "<keyword arguments>",
        Phase::Make | Phase::Keywords => "<arguments>",
        Phase::SetterObject => "<state setter>",
        _ => "",
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
