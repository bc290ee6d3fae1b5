//! Frames of the walker's stack: one for each object that is being written.

use super::elements::Elements;
use crate::fast::Obj;
use crate::fast::instance::Inline;
use ferropickle_core::opcode::Op;

/// How items follow a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Batch {
    /// Protocol 0: an opcode after each item.
    Each,
    /// One item only: an opcode after it, no mark.
    Single,
    /// A mark, up to a thousand items, an opcode.
    Marked,
}

/// When a tuple gets its memo entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Late {
    /// Never: it was elided.
    Never,
    /// After its items, unless it turns out to contain itself.
    After,
}

/// What a tuple frame writes after its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TupleEnd {
    /// The tuple itself.
    Tuple,
    /// Arguments of NEWOBJ: the object is an instance of a tuple subclass.
    NewObj,
}

/// How the object of a reduce value is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Callable, arguments, REDUCE.
    Call,
    /// Class, arguments, NEWOBJ.
    NewObj,
    /// Class, arguments, keywords, NEWOBJ_EX.
    NewObjEx,
    /// As NewObjEx before protocol 4: a partial object called with nothing.
    Partial,
}

/// Where a reduce frame stands: what it does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing: the value is being checked.
    Check,
    Callable,
    Arguments,
    Keywords,
    Make,
    ListItems,
    DictItems,
    State,
    SetterObject,
    SetterState,
    SetterCall,
    Build,
}

/// One object that is being written. `Obj` fields are owned outside the pure
/// state (see `walk/mod.rs`).
#[derive(Debug)]
pub enum Frame {
    List {
        obj: Obj,
        next: isize,
        in_batch: u32,
        batch: Batch,
    },
    Tuple {
        obj: Obj,
        next: isize,
        late: Late,
        end: TupleEnd,
    },
    Dict {
        obj: Obj,
        pos: isize,
        /// The position of the entry being written: for the path.
        at: isize,
        size: isize,
        in_batch: u32,
        batch: Batch,
        /// The value of the key that is being written.
        value: Option<Obj>,
        /// The dict is an instance's state.
        build: bool,
    },
    /// The attributes of an instance that has no dict. In the pure state only:
    /// leaving it makes the dict.
    Inline {
        obj: Obj,
        attributes: Inline,
        next: isize,
        /// The value before `next` is due: its key is written.
        due: bool,
        build: bool,
    },
    /// The slots of an instance, after its `__dict__` or None.
    Slots {
        obj: Obj,
        plan: u32,
        next: usize,
        started: bool,
    },
    /// A set (`frozen` false) or frozenset.
    Set {
        obj: Obj,
        pos: isize,
        size: isize,
        in_batch: u32,
        frozen: bool,
        late: Late,
    },
    /// Items of an iterator, appended to the object below.
    Items {
        iter: Obj,
        ahead: Option<Obj>,
        in_batch: u32,
        batch: Batch,
        count: usize,
        /// The item being written, for notes: alive as long as a frame above
        /// writes it, but for `fast` mode.
        item: Option<Obj>,
        state: IterState,
    },
    /// Pairs of an iterator, set in the object below.
    Pairs {
        iter: Obj,
        ahead: Option<Obj>,
        pair: Option<Obj>,
        in_batch: u32,
        batch: Batch,
        state: IterState,
    },
    Reduce {
        value: Obj,
        obj: Option<Obj>,
        shape: Shape,
        phase: Phase,
    },
    /// A script of the by-value room, which keeps what it refers to alive.
    Script {
        subject: Obj,
    },
    /// The elements of an array of objects.
    Elements(Elements),
    /// An array whose dtype is being written, to be known when the array is.
    Dtype {
        array: Obj,
    },
    /// Opcodes to write once the object above is written.
    Then {
        keep: Obj,
        ops: [Option<Op>; 3],
        memoize: Option<Obj>,
        label: &'static str,
    },
}

/// Where an iterator frame stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IterState {
    /// Before a batch, or while the iterator is asked.
    Begin,
    /// An item was written.
    After,
    /// The key of a pair was written.
    Value,
}

impl Frame {
    /// The object that the frame writes, where meeting it again on the way
    /// down means no progress: an object being reduced, or in `fast` mode (no
    /// memo) any container.
    pub fn subject(&self, fast: bool) -> Option<Obj> {
        match self {
            Frame::Reduce { obj, .. } => *obj,
            Frame::Script { subject } => Some(*subject),
            Frame::List { obj, .. } | Frame::Dict { obj, .. } | Frame::Tuple { obj, .. }
                if fast =>
            {
                Some(*obj)
            }
            Frame::Elements(elements) if fast => Some(elements.array),
            _ => None,
        }
    }

    /// Calls `f` with every object that the frame refers to.
    #[inline(always)]
    pub fn each_ref(&self, f: impl Fn(Obj)) {
        match self {
            Frame::List { obj, .. }
            | Frame::Tuple { obj, .. }
            | Frame::Inline { obj, .. }
            | Frame::Slots { obj, .. }
            | Frame::Set { obj, .. } => f(*obj),
            Frame::Dict { obj, value, .. } => {
                f(*obj);
                value.iter().for_each(|v| f(*v));
            }
            Frame::Items { iter, ahead, .. } => {
                f(*iter);
                ahead.iter().for_each(|a| f(*a));
            }
            Frame::Pairs { iter, ahead, pair, .. } => {
                f(*iter);
                ahead.iter().for_each(|a| f(*a));
                pair.iter().for_each(|p| f(*p));
            }
            Frame::Reduce { value, obj, .. } => {
                f(*value);
                obj.iter().for_each(|o| f(*o));
            }
            Frame::Script { .. } => {}
            Frame::Dtype { array } | Frame::Elements(Elements { array, .. }) => f(*array),
            Frame::Then { keep, memoize, .. } => {
                f(*keep);
                memoize.iter().for_each(|o| f(*o));
            }
        }
    }
}
