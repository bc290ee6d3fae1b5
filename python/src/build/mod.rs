//! The builder: makes Python objects for the decoder.
//!
//! Twin of `walk`: what a file of that name writes, the file of the same name
//! here makes. The stack and the memo are the decoder's and own their objects,
//! so user code that runs while something is built can free nothing of ours.

pub mod buffer;
pub mod classes;
pub mod device;
pub mod global;
pub mod instance;
pub mod known;
pub mod mapping;
pub mod numpy;
pub mod path;
pub mod reduce;
pub mod scalar;
pub mod sequence;
pub mod set;
mod shape;
pub mod text;
pub mod versions;

use crate::error::Raised;
use crate::fast::Own;
use crate::policy::Face;
use crate::types;
use ferropickle_core::decode::{Build, Cause, Decoder, Step, TextContext};
use ferropickle_core::opcode::Op;
use std::cell::Cell;
use std::rc::Rc;

/// Memory kept between loads.
#[derive(Default)]
pub struct BuildScratch {
    pub decoder: Decoder<Own>,
}

/// The choices and hooks of one load.
#[derive(Default)]
pub struct Builder {
    pub fix_imports: bool,
    /// Encoding of Python 2 strings; `None` stands for "bytes".
    pub encoding: Option<String>,
    pub errors: String,
    /// Do no more than the standard library: see `global::find_class`.
    pub stock: bool,
    /// State in the stream for a module that is loaded changes nothing in it.
    pub spares_modules: bool,
    /// `find_class` of a subclass.
    pub find_class: Option<Own>,
    pub persistent_load: Option<Own>,
    /// Out-of-band buffers.
    pub buffers: buffer::Given,
    /// Protocol of the stream: says whether names are Python 2's.
    pub proto: u8,
    /// The same, for an Unpickler whose `find_class` is called meanwhile.
    pub shared_proto: Option<Rc<Cell<u8>>>,
    /// Texts about the sender's versions: see `versions.rs`.
    pub told: Vec<Own>,
    /// Where arrays on devices go.
    pub landing: device::Landing,
    /// What is known of classes met in this load.
    pub classes: classes::Classes,
    /// Dicts met in this load, by their keys.
    pub shapes: shape::Shapes,
}

type R<T> = Step<T, Raised>;

impl From<Raised> for Cause<Raised> {
    fn from(raised: Raised) -> Self {
        Cause::Build(raised)
    }
}

impl Build for Builder {
    type Obj = Own;
    type Error = Raised;
    const STRICT: bool = cfg!(Py_3_14);

    #[inline(always)]
    fn none(&mut self) -> R<Own> {
        Ok(scalar::none())
    }
    #[inline(always)]
    fn bool(&mut self, value: bool) -> R<Own> {
        Ok(scalar::bool(value))
    }
    #[inline(always)]
    fn int(&mut self, value: i64) -> R<Own> {
        Ok(crate::fast::long::from_i64(value)?)
    }
    fn int_bytes(&mut self, bytes: &[u8]) -> R<Own> {
        Ok(crate::fast::long::from_bytes(bytes)?)
    }
    fn int_text(&mut self, text: &[u8]) -> R<Own> {
        Ok(scalar::int_text(text)?)
    }
    #[inline(always)]
    fn float(&mut self, value: f64) -> R<Own> {
        Ok(scalar::float(value)?)
    }
    fn float_text(&mut self, text: &[u8]) -> R<Own> {
        Ok(scalar::float_text(text)?)
    }
    #[inline(always)]
    fn str(&mut self, utf8: &[u8], context: TextContext<'_, Own>) -> R<Own> {
        Ok(text::str(utf8, &context)?)
    }
    fn str_escaped(&mut self, text: &[u8]) -> R<Own> {
        Ok(text::str_escaped(text)?)
    }
    fn string(&mut self, bytes: &[u8]) -> R<Own> {
        Ok(self.build_string(bytes)?)
    }
    fn string_literal(&mut self, literal: &[u8]) -> R<Own> {
        Ok(self.build_string_literal(literal)?)
    }
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) -> R<Own> {
        Ok(text::bytes(bytes)?)
    }
    fn bytearray(&mut self, bytes: &[u8]) -> R<Own> {
        Ok(text::bytearray(bytes)?)
    }
    fn large(
        &mut self,
        len: usize,
        mutable: bool,
        fill: &mut dyn FnMut(&mut [u8]) -> R<()>,
    ) -> R<Own> {
        if mutable { text::large_bytearray(len, fill) } else { text::large_bytes_read(len, fill) }
    }
    fn next_buffer(&mut self) -> R<Own> {
        Ok(self.build_next_buffer()?)
    }
    fn readonly_buffer(&mut self, buffer: Own) -> R<Own> {
        Ok(buffer::read_only(buffer)?)
    }
    #[inline(always)]
    fn empty_tuple(&mut self) -> R<Own> {
        Ok(sequence::empty_tuple()?)
    }
    #[inline(always)]
    fn tuple(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        Ok(sequence::tuple(stack, from)?)
    }
    #[inline(always)]
    fn call_with_items(&mut self, stack: &mut Vec<Own>, from: usize, op: Op) -> R<bool> {
        // Not while arrays land: elements that wait must not be looked at.
        if self.is_landing() {
            return Ok(false);
        }
        Ok(known::call_with_items(&mut self.classes, stack, from, op)?)
    }
    #[inline(always)]
    fn empty_list(&mut self) -> R<Own> {
        Ok(sequence::empty_list()?)
    }
    fn list(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        Ok(sequence::list(stack, from)?)
    }
    #[inline(always)]
    fn append(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        if self.waits() && !crate::fast::is_list(stack[from - 1].ty()) {
            self.settle()?;
        }
        Ok(sequence::append(stack, from)?)
    }
    #[inline(always)]
    fn empty_dict(&mut self) -> R<Own> {
        Ok(mapping::empty_dict()?)
    }
    fn dict(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        if self.waits() {
            self.settle_for_keys(true, stack[from..].iter().step_by(2))?;
        }
        Ok(mapping::dict(stack, from)?)
    }
    #[inline(always)]
    fn set_items(&mut self, stack: &mut Vec<Own>, from: usize, next: Option<Op>) -> R<bool> {
        Ok(self.build_items(stack, from, next)?)
    }
    #[inline(always)]
    fn set_slots(&mut self, stack: &mut Vec<Own>, from: usize) -> R<bool> {
        if self.waits() {
            return Ok(false);
        }
        Ok(instance::fill_slots(&mut self.classes, stack, from)?)
    }
    fn empty_set(&mut self) -> R<Own> {
        Ok(set::empty_set()?)
    }
    fn add_items(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        if self.waits() {
            let plain = crate::fast::is_set(stack[from - 1].ty());
            self.settle_for_keys(plain, stack[from..].iter())?;
        }
        Ok(set::add_items(stack, from)?)
    }
    fn frozenset(&mut self, stack: &mut Vec<Own>, from: usize) -> R<()> {
        if self.waits() {
            self.settle_for_keys(true, stack[from..].iter())?;
        }
        Ok(set::frozenset(stack, from)?)
    }
    fn global(&mut self, module: &[u8], name: &[u8]) -> R<Own> {
        let (module, name) = (text::plain(module)?, text::plain(name)?);
        Ok(self.find(module, name)?)
    }
    fn stack_global(&mut self, module: Own, name: Own) -> R<Own> {
        Ok(self.find_named(module, name)?)
    }
    fn extension(&mut self, code: i64) -> R<Own> {
        Ok(self.build_extension(code)?)
    }
    fn persistent(&mut self, id: Own) -> R<Own> {
        Ok(self.build_persistent(id)?)
    }
    fn persistent_text(&mut self, id: &[u8]) -> R<Own> {
        if !id.is_ascii() {
            let text = "persistent IDs in protocol 0 must be ASCII strings";
            return Err(Raised::unpickling(text).into());
        }
        let id = crate::fast::text::from_utf8(id)?;
        Ok(self.build_persistent(id)?)
    }
    #[inline(always)]
    fn reduce(&mut self, callable: Own, args: Own) -> R<Own> {
        let made = if self.is_landing() {
            self.land(callable.obj(), args.obj())
        } else {
            reduce::call(&callable, &args)
        };
        Ok(made.map_err(|raised| self.call_failed(raised, args.obj()))?)
    }
    fn instance(&mut self, class: Own, stack: &mut Vec<Own>, from: usize) -> R<Own> {
        if self.waits() {
            self.settle()?;
        }
        Ok(reduce::instance(class, stack, from)?)
    }
    #[inline(always)]
    fn newobj(&mut self, class: Own, args: Own) -> R<Own> {
        if self.waits() && !instance::is_made_plainly(&class, &args) {
            self.settle()?;
        }
        Ok(instance::newobj(&class, &args)?)
    }
    fn newobj_ex(&mut self, class: Own, args: Own, kwargs: Own) -> R<Own> {
        if self.waits() {
            self.settle()?;
        }
        Ok(instance::newobj_ex(&class, &args, &kwargs)?)
    }
    #[inline(always)]
    fn build(&mut self, object: &Own, state: Own) -> R<()> {
        if self.spares_modules && instance::is_loaded_module(object.obj()) {
            return Ok(());
        }
        if self.waits() && !self.classes.takes_plainly(object.obj(), state.obj())? {
            self.settle_for_state(object.obj())?;
        }
        Ok(instance::build(&mut self.classes, object.obj(), state.obj())?)
    }
    #[inline(always)]
    fn share(&mut self, object: &Own) -> Own {
        object.clone()
    }
    fn discard(&mut self, object: Own) {
        if self.waits() && !crate::fast::is_str(object.ty()) {
            self.settle_for_end();
        }
        self.note_device(&object);
        self.note_version(object);
    }
    fn tick(&mut self) -> R<()> {
        Ok(crate::signals::check()?)
    }
    #[inline(always)]
    fn call_with_bytes(&mut self, callable: &Own, data: &[u8]) -> R<Option<Own>> {
        Ok(known::make_from_bytes(callable.obj(), data)?)
    }
    #[inline(always)]
    fn proto(&mut self, proto: u8) {
        self.proto = proto;
        if let Some(shared) = &self.shared_proto {
            shared.set(proto);
        }
    }
}

impl Builder {
    /// Takes the face whose contract holds.
    pub fn set_face(&mut self, face: Face) {
        self.stock = face == Face::Pickle;
        self.spares_modules = face == Face::Own;
    }

    /// The builder of a plain `loads`.
    pub fn plain() -> Builder {
        Builder { fix_imports: true, encoding: Some(String::new()), ..Builder::default() }
    }

    fn build_persistent(&mut self, id: Own) -> Result<Own, Raised> {
        if self.waits() {
            self.settle()?;
        }
        match &self.persistent_load {
            Some(load) => load.clone().call(&[id.obj()]),
            None => {
                let text = "A load persistent id instruction was encountered, but no \
                            persistent_load function was specified.";
                Err(Raised::unpickling(text))
            }
        }
    }

    fn find_named(&mut self, module: Own, name: Own) -> Result<Own, Raised> {
        let exact = crate::fast::is_str(module.ty()) && crate::fast::is_str(name.ty());
        if !exact {
            return Err(Raised::unpickling("STACK_GLOBAL requires str"));
        }
        self.find(module, name)
    }

    /// The names table, for files of this folder.
    fn names(&self) -> &'static types::Types {
        types::get()
    }
}
