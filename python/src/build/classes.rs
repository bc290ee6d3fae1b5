//! What a load knows of the classes that it met: how their instances are made
//! and given their state without the calls that the stream names.
//!
//! Everything here comes from the dictionaries of types and holds as long as the
//! type's version does, so that a change of a class is seen.

use super::known;
use crate::error::Raised;
use crate::fast::{self, Obj, Own, TypePtr, instance};
use crate::types;
use pyo3::ffi;

/// Names remembered per class.
pub const MOST_NAMES: usize = 64;
/// Classes remembered.
const MOST_CLASSES: usize = 64;
/// Places for the classes met last.
const RECENT: usize = 8;

/// What is known of classes met in a load.
#[derive(Default)]
pub struct Classes {
    /// Where in `types` a class was found last, by its address.
    recent: [u8; RECENT],
    types: Vec<usize>,
    classes: Vec<Class>,
    /// The class that is forgotten next.
    oldest: usize,
    /// Memory for names and values of a state; empty between calls.
    pairs: Vec<Own>,
}

/// What is known of a class.
#[derive(Default)]
pub struct Class {
    version: u32,
    /// How its instances are made.
    pub how: How,
    /// BUILD with a dict may set attributes by the generic function: there is no
    /// `__setstate__`, and nothing special about getting or setting attributes.
    pub takes_dict: bool,
    /// BUILD with the state of slots may set those that are plain where they lie.
    pub takes_slots: bool,
    /// Attribute names, in the order of the last instance, that no data
    /// descriptor of the class shadows.
    pub clear: Vec<Own>,
    /// Where instances keep them.
    pub places: Vec<u8>,
    /// Names and offsets of slots, in the order of the last instance.
    pub slots: Vec<(Own, isize)>,
}

/// How instances of a class are made.
#[derive(Default)]
pub enum How {
    /// As the stream says.
    #[default]
    Called,
    /// By the `__new__` that `collections.namedtuple` writes, with so many fields.
    NamedTuple(usize),
    /// `uuid.UUID` as the standard library has it.
    Uuid(known::Uuid),
    /// A path of the POSIX kind as of 3.10 and 3.11.
    Path(known::Path),
}

impl Classes {
    /// What is known of a class; it is looked at if need be.
    #[inline(always)]
    pub fn of(&mut self, class: Obj) -> &mut Class {
        let at = self.find(class);
        &mut self.classes[at]
    }

    /// As [`Classes::of`], with memory for the pairs of a state.
    #[inline(always)]
    pub fn with_pairs(&mut self, class: Obj) -> (&mut Class, &mut Vec<Own>) {
        let at = self.find(class);
        (&mut self.classes[at], &mut self.pairs)
    }

    #[inline(always)]
    fn find(&mut self, class: Obj) -> usize {
        let address = class.addr();
        let place = (address >> 4 ^ address >> 10) % RECENT;
        let at = usize::from(self.recent[place]);
        let is_known = self.types.get(at) == Some(&address) && {
            let version = fast::type_version(class.ptr().cast());
            version != 0 && self.classes[at].version == version
        };
        if is_known { at } else { self.find_cold(class, place) }
    }

    #[inline(never)]
    fn find_cold(&mut self, class: Obj, place: usize) -> usize {
        let address = class.addr();
        let at = match self.types.iter().position(|known| *known == address) {
            Some(at) => at,
            None if self.types.len() < MOST_CLASSES => {
                self.types.push(address);
                self.classes.push(Class::default());
                self.types.len() - 1
            }
            None => {
                let at = self.oldest;
                self.oldest = (at + 1) % MOST_CLASSES;
                self.types[at] = address;
                self.classes[at] = Class::default();
                at
            }
        };
        self.recent[place] = at as u8;
        let known = &mut self.classes[at];
        let version = fast::type_version(class.ptr().cast());
        if version == 0 || known.version != version {
            *known = look(class);
        }
        at
    }

    /// Whether an object's state is set without running code of the user's: a dict, or none,
    /// for a class that takes attributes plainly.
    pub fn takes_plainly(&mut self, object: Obj, state: Obj) -> Result<bool, Raised> {
        let plain =
            self.of(object.ty_obj()).takes_dict && (fast::is_dict(state.ty()) || state.is_none());
        Ok(plain && object.getattr_opt(types::get().setstate.obj())?.is_none())
    }
}

fn look(class: Obj) -> Class {
    let (ty, names): (TypePtr, _) = (class.ptr().cast(), types::get());
    let stateless = instance::is_heap_type(ty)
        && fast::type_lookup(ty, names.setstate.obj()).is_none()
        && instance::reads_plainly(ty);
    let takes_dict = stateless
        && instance::has_dict(ty)
        && fast::type_lookup(ty, names.dict.obj())
            .is_some_and(|found| found.ty() == &raw mut ffi::PyGetSetDescr_Type);
    Class {
        how: if fast::is_type(class.ty()) { how(ty) } else { How::Called },
        takes_dict,
        takes_slots: stateless && instance::sets_plainly(ty),
        // Last: a look-up gives the type a version, if it can have one.
        version: fast::type_version(ty),
        ..Class::default()
    }
}

fn how(ty: TypePtr) -> How {
    let named_tuple = known::named_tuple_fields(ty).map(How::NamedTuple);
    named_tuple
        .or_else(|| known::Uuid::of(ty).map(How::Uuid))
        .or_else(|| known::Path::of(ty).map(How::Path))
        .unwrap_or_default()
}
