//! What kind of object is it? Exact built-in types are told apart by the
//! walker itself; everything else has a [`Plan`] here, made once per type.
//!
//! A plan is kept under the type's address and version, so that any change of
//! the class (or of a base) makes a new one. What a plan cannot know by the
//! version (is the class still what its module says? is it in copyreg's
//! table?) is looked at again once per dump: see `walk/instance.rs`.

mod known;
mod look;
mod plain;

pub use known::{path_parts, uuid_slots};
pub use look::{
    attribute, bare_function, has_flag, is_from_module, is_named, is_of_module, is_text,
};

use crate::fast::{self, Obj, Own, TypePtr};
use crate::types;
use known::known_kind;
use look::{class_text, qualname};
use plain::{asked, is_marker, is_only_seemingly_plain, is_plain_instance, offers_memory};
use std::collections::HashMap;

/// How instances of a type are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By the general protocol: hooks, `__reduce_ex__`. May run user code.
    Foreign,
    /// A marker object of `dataclasses`, of which there is one: by its name
    /// there, unless the face is pickle's.
    Marker,
    /// A plain instance: class, `__dict__` and slots.
    Instance,
    /// A reduce method that is C code of the standard library and runs no
    /// Python code: called without leaving the pure state.
    CReduce,
    /// `datetime.date`.
    Date,
    /// `datetime.time`.
    Time,
    /// `datetime.datetime`.
    DateTime,
    /// `datetime.timedelta`.
    TimeDelta,
    /// `uuid.UUID` as the standard library has it.
    Uuid,
    /// An enum member whose class keeps `Enum.__reduce_ex__`.
    Enum,
    /// `decimal.Decimal` in C.
    Decimal,
    /// `PurePath` and its standard subclasses, as of 3.10 and 3.11.
    Path,
    /// A NumPy scalar of a fixed type.
    NumpyScalar,
    /// `numpy.ndarray`.
    NumpyArray,
    /// A namedtuple or other plain tuple subclass with its own `__getnewargs__`.
    NamedTuple,
}

/// What `obj.__reduce_ex__(protocol)` comes down to, so that it need not be
/// called, as long as no name in the instance's dict gets in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Not known.
    ReduceEx,
    /// `object.__reduce_ex__` calls the type's `__reduce__`.
    Reduce,
    /// From protocol 2 on it makes NEWOBJ of the class alone, and the state is
    /// what the type's `__getstate__` gives, a Python function.
    GetState,
}

/// A slot: its name and the byte offset in the instance.
pub struct Slot {
    pub name: Own,
    pub offset: isize,
}

/// What is known of a type.
pub struct Plan {
    pub kind: Kind,
    pub ty: TypePtr,
    version: u32,
    /// Instances have a `__dict__`.
    pub has_dict: bool,
    pub slots: Vec<Slot>,
    /// `__module__` and `__qualname__`, for kinds that write their class.
    pub module: Option<Own>,
    pub qualname: Option<Own>,
    /// What the reduction of a NumPy type showed.
    pub shown: Option<crate::walk::numpy::Shown>,
    /// The dump in which the class was last found to be what its module says.
    pub verified_in: u64,
    /// Which methods a foreign type is asked by.
    pub asked: Asked,
    /// No function of the by-value room is for its instances: neither parts of
    /// classes nor type variables. False of unknown types as long as nobody has looked.
    pub ordinary: bool,
    /// The package's own reducer for a foreign type, or None; not asked yet.
    pub reducer: Option<Own>,
    /// The id of the class by value, once it was needed.
    pub class_id: Option<Own>,
    /// As was found then: the class goes by value.
    pub by_value: bool,
}

/// Plans by type. Kept with the thread's scratch memory.
#[derive(Default)]
pub struct TypeCache {
    by_type: HashMap<usize, u32, AddressHash>,
    pub plans: Vec<Plan>,
    last: (usize, u32),
}

/// Types known before the cache is emptied: bounds what programs that make
/// classes without end can cost.
const MOST_PLANS: usize = 2048;

/// For keys that are addresses.
pub type AddressHash = core::hash::BuildHasherDefault<AddressHasher>;

/// Hash of an address.
#[derive(Default)]
pub struct AddressHasher(u64);

impl core::hash::Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    fn write_usize(&mut self, value: usize) {
        self.0 = (value as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(20);
    }
}

impl TypeCache {
    /// The number of the type's plan.
    #[inline(always)]
    pub fn plan(&mut self, ty: TypePtr) -> u32 {
        if self.last.0 == ty as usize {
            let number = self.last.1;
            // A free build holds the GIL, so a version only changes when code
            // runs; still it is one load.
            if self.plans[number as usize].version == fast::type_version(ty) {
                return number;
            }
        }
        self.plan_cold(ty)
    }

    /// The number of the type's plan if there is one: nothing is made.
    pub fn known(&self, ty: TypePtr) -> Option<u32> {
        let number = match self.last {
            (last, number) if last == ty as usize => number,
            _ => *self.by_type.get(&(ty as usize))?,
        };
        let version = fast::type_version(ty);
        (version != 0 && self.plans[number as usize].version == version).then_some(number)
    }

    /// The number of the type's plan if it is the one asked for last, and says
    /// that instances are plain.
    #[inline(always)]
    pub fn plan_of_instance(&self, ty: TypePtr) -> Option<u32> {
        let (last, number) = self.last;
        if last != ty as usize {
            return None;
        }
        let plan = &self.plans[number as usize];
        let plain = plan.kind == Kind::Instance && plan.version == fast::type_version(ty);
        plain.then_some(number)
    }

    #[inline(never)]
    fn plan_cold(&mut self, ty: TypePtr) -> u32 {
        let version = fast::type_version(ty);
        let known = self.by_type.get(&(ty as usize)).copied();
        if let Some(number) = known
            && version != 0
            && self.plans[number as usize].version == version
        {
            self.last = (ty as usize, number);
            return number;
        }
        let plan = make(ty);
        match known {
            Some(number) => {
                self.plans[number as usize] = plan;
                self.last = (ty as usize, number);
                number
            }
            None => {
                let number = self.plans.len() as u32;
                self.plans.push(plan);
                self.by_type.insert(ty as usize, number);
                self.last = (ty as usize, number);
                number
            }
        }
    }

    /// Empties the cache if it has grown large. Only between dumps.
    pub fn trim(&mut self) {
        if self.plans.len() > MOST_PLANS {
            *self = TypeCache::default();
        }
    }
}

fn foreign(ty: TypePtr) -> Plan {
    Plan {
        kind: Kind::Foreign,
        ty,
        version: fast::type_version(ty),
        has_dict: false,
        slots: Vec::new(),
        module: None,
        qualname: None,
        shown: None,
        verified_in: 0,
        asked: Asked::ReduceEx,
        ordinary: false,
        reducer: None,
        class_id: None,
        by_value: false,
    }
}

/// Makes the plan of a type. Looks only at type dictionaries along the MRO:
/// runs no code.
fn make(ty: TypePtr) -> Plan {
    let names = types::get();
    // A look-up gives the type a version, if it can have one.
    let _ = fast::type_lookup(ty, names.reduce_ex.obj());
    let mut plan = foreign(ty);
    if plan.version == 0 {
        return plan;
    }
    // SAFETY: a type is alive while one of its instances is walked.
    let class = unsafe { Obj::new(ty.cast()) };
    plan.kind = known_kind(ty, class).unwrap_or_else(|| {
        if is_plain_instance(ty, class, &mut plan) { Kind::Instance } else { Kind::Foreign }
    });
    if plan.kind == Kind::Instance {
        if is_marker(ty) {
            plan.kind = Kind::Marker;
        } else if is_only_seemingly_plain(ty) || offers_memory(ty) {
            plan.kind = Kind::Foreign;
        }
    }
    if plan.kind != Kind::Foreign {
        match (class_text(ty, names.module.obj()), qualname(ty)) {
            (Some(module), Some(qualname)) => {
                plan.module = Some(module);
                plan.qualname = Some(qualname);
            }
            _ => plan.kind = Kind::Foreign,
        }
    }
    plan.ordinary = matches!(
        plan.kind,
        Kind::Date
            | Kind::Time
            | Kind::DateTime
            | Kind::TimeDelta
            | Kind::Decimal
            | Kind::Uuid
            | Kind::Path
            | Kind::NumpyScalar
            | Kind::NumpyArray
    );
    if plan.kind == Kind::Foreign {
        plan.asked = asked(ty, class);
    }
    plan
}
