//! Classes and functions by name.
//!
//! A name is resolved without running code wherever that can be done (the
//! module is loaded, the path leads through module dicts and classes), so that
//! a class in a graph does not end the pure state.

use super::{Flow, PUSHED, Stop, WRITTEN, Walker};
use crate::error::{OrNone, Raised, display, repr};
use crate::fast::{self, Obj, Own};
use crate::packages;
use crate::types;
use crate::wording;
use ferropickle_core::memo::Found;
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// A name that was found to lead to the object.
pub struct Resolved {
    pub module: Own,
    pub qualname: Own,
    /// The object that holds the last part of the name, if it is no module.
    pub parent: Option<Own>,
}

impl Walker {
    /// A class: the types of three singletons by a call, others by name, or by
    /// value.
    pub(super) fn save_class(&mut self, obj: Obj) -> Flow {
        let made_in_python = self.by_value.on() && crate::byvalue::is_python_class(obj);
        let met = if made_in_python { self.write_if_made(obj)? } else { self.write_if_met(obj)? };
        if met {
            return WRITTEN;
        }
        if made_in_python {
            return self.save_python_class(obj);
        }
        // SAFETY: reads the addresses of singletons.
        let singletons = unsafe { [ffi::Py_None(), ffi::Py_Ellipsis(), ffi::Py_NotImplemented()] };
        for singleton in singletons {
            // SAFETY: singletons are alive.
            let singleton = unsafe { Obj::new(singleton) };
            if singleton.ty_obj() == obj {
                let args = fast::new_tuple(&[singleton])?;
                let value = fast::new_tuple(&[obj.ty_obj(), args.obj()])?;
                self.begin_reduce(value, Some(obj))?;
                return PUSHED;
            }
        }
        if let Some(resolved) = self.resolve_pure(obj, None)? {
            return self.write_global(obj, resolved);
        }
        if self.by_value.on() {
            if let Some(alias) = crate::byvalue::types_alias(obj) {
                return self.write_global(obj, alias);
            }
            if let Some(pushed) = self.save_class_on_demand(obj)? {
                return Ok(pushed);
            }
        }
        self.leave_pure()?;
        let resolved = self.resolve(obj, None)?;
        self.write_global(obj, resolved)
    }

    /// By name, or a GET.
    pub fn save_global_once(&mut self, obj: Obj, name: Option<Obj>) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        self.save_global(obj, name)
    }

    /// By name: `name` is the qualified name if a reducer gave one.
    pub(super) fn save_global(&mut self, obj: Obj, name: Option<Obj>) -> Flow {
        let resolved = match self.resolve_pure(obj, name)? {
            Some(resolved) => resolved,
            None => {
                self.leave_pure()?;
                self.resolve(obj, name)?
            }
        };
        self.write_global(obj, resolved)
    }

    /// Writes the class of a plan that was verified in this dump.
    #[inline(always)]
    pub(super) fn save_plan_class(&mut self, number: u32) -> Result<(), Stop> {
        let plan = &self.types.plans[number as usize];
        // SAFETY: an instance of the type is being written, so it is alive.
        #[allow(unsafe_code, reason = "a plan's type is alive while an instance is walked")]
        let class = unsafe { Obj::new(plan.ty.cast()) };
        if let Some(index) = self.cached_key(class) {
            self.enc.get(index);
            return Ok(());
        }
        // A class by value is in the memo in `fast` mode too.
        if (!self.options.fast || plan.by_value)
            && let Found::Yes(entry) = self.memo.find(class.addr())
        {
            let index = entry.as_index().ok_or(Stop::Restart)?;
            self.enc.get(index);
            self.cache_key(class, index);
            return Ok(());
        }
        self.save_plan_class_cold(number, class)
    }

    /// Whether the plan's class has no memo entry yet.
    pub(super) fn class_is_new(&self, number: u32) -> bool {
        self.memo.get(self.types.plans[number as usize].ty as usize).is_none()
    }

    #[cold]
    fn save_plan_class_cold(&mut self, number: u32, class: Obj) -> Result<(), Stop> {
        if self.worker {
            return Err(Stop::Restart);
        }
        let plan = &self.types.plans[number as usize];
        let (Some(module), Some(qualname)) = (plan.module.clone(), plan.qualname.clone()) else {
            unreachable!("a plan of a known kind has names")
        };
        let Some(resolved) = resolved_without_code(class, module, qualname) else {
            // It was verified, so code has changed it since.
            return Err(Stop::Restart);
        };
        self.write_global(class, resolved)?;
        Ok(())
    }

    /// Resolves without running code; `None` if that cannot be done.
    fn resolve_pure(&mut self, obj: Obj, name: Option<Obj>) -> Result<Option<Resolved>, Stop> {
        let names = types::get();
        let plain = fast::instance::is_plain_class(obj)
            || fast::is_function(obj.ty())
            || obj.ty() == &raw mut ffi::PyCFunction_Type;
        if !plain {
            return Ok(None);
        }
        let qualname = match name {
            Some(name) => name.own(),
            None => obj.getattr(names.qualname.obj())?,
        };
        let Some(module) = obj.getattr_opt(names.module.obj())? else { return Ok(None) };
        if !fast::is_str(qualname.ty()) || !fast::is_str(module.ty()) {
            return Ok(None);
        }
        Ok(resolved_without_code(obj, module, qualname))
    }

    /// Resolves as stock does, importing the module if need be.
    fn resolve(&mut self, obj: Obj, name: Option<Obj>) -> Result<Resolved, Stop> {
        let names = types::get();
        let qualname = match name {
            Some(name) => name.own(),
            None => match obj.getattr_opt(names.qualname.obj())? {
                Some(found) => found,
                None => obj.getattr(names.name.obj())?,
            },
        };
        let path = split(qualname.obj());
        if path.iter().any(|part| part == b"<locals>") {
            let text = wording::local_object(obj, qualname.obj());
            // 3.14 made it a PicklingError.
            return Err(if cfg!(Py_3_14) {
                Raised::pickling(&text)
            } else {
                Raised::new(fast::Exc::AttributeError, &text)
            }
            .into());
        }
        let module_name = which_module(obj, &path)?;
        let module = match types::import(module_name.obj()) {
            Ok(module) => module,
            Err(raised) => {
                let refuse = |why: &str| {
                    Raised::pickling(&wording::not_imported(obj, module_name.obj(), why))
                };
                return Err(raised.replaced(refuse).into());
            }
        };
        // An import gives the top package; the module itself is in sys.modules.
        let module = types::loaded_module(module_name.obj()).map_or(module, Obj::own);
        let Some((found, parent)) = deep_attribute(module.obj(), &path)? else {
            let (shown, place) = (display(qualname.obj()), display(module_name.obj()));
            let refuse = |_: &str| Raised::pickling(&wording::not_found(obj, &place, &shown));
            return Err(match types::missing_attribute(module.obj(), &path) {
                Some(raised) => raised.replaced(refuse),
                None => refuse(""),
            }
            .into());
        };
        if found.obj() != obj {
            let text = format!(
                "Can't pickle {}: it's not the same object as {}.{}",
                repr(obj),
                display(module_name.obj()),
                display(qualname.obj())
            );
            return Err(Raised::pickling(&text).into());
        }
        let parent = (parent.obj() != module.obj()).then_some(parent);
        Ok(Resolved { module: module_name, qualname, parent })
    }

    pub fn write_global(&mut self, obj: Obj, resolved: Resolved) -> Flow {
        let Resolved { module, qualname, parent } = resolved;
        self.name_module(module.obj(), obj)?;
        if self.options.proto >= 2
            && let Some(code) = extension_code(module.obj(), qualname.obj())?
        {
            self.enc.extension(code);
            return WRITTEN;
        }
        if self.options.proto >= 4 {
            self.save_name(&module)?;
            self.save_name(&qualname)?;
            self.op(Op::StackGlobal);
            self.memoize(obj);
            return WRITTEN;
        }
        // Before protocol 4 a name has no dots. Up to 3.12 a name with dots is
        // getattr(parent, last), since then its first part by name, the others
        // by getattr.
        if cfg!(not(Py_3_13))
            && let Some(parent) = parent
        {
            let last = split(qualname.obj()).pop().unwrap_or_default();
            let last = fast::text::from_utf8(&last)?;
            let args = fast::new_tuple(&[parent.obj(), last.obj()])?;
            let value = fast::new_tuple(&[types::get().getattr_function.obj(), args.obj()])?;
            self.begin_reduce(value, Some(obj))?;
            return PUSHED;
        }
        // A path that leads back to the module is the name of its last part.
        let mut path = split(qualname.obj());
        if parent.is_none() {
            path.drain(..path.len() - 1);
        }
        let attributes = path.split_off(1);
        for _ in &attributes {
            let function = types::get().getattr_function.obj();
            if self.hooks.asks_for_everything() {
                self.save_whole(function)?;
            } else {
                self.save_global_once(function, None)?;
            }
            if self.options.proto < 2 {
                self.op(Op::Mark);
            }
        }
        let first = fast::text::from_utf8(&path[0])?;
        self.write_toplevel(module, first)?;
        for attribute in attributes {
            let attribute = fast::text::from_utf8(&attribute)?;
            self.save_name(&attribute)?;
            self.op(if self.options.proto < 2 { Op::Tuple } else { Op::Tuple2 });
            self.op(Op::Reduce);
        }
        self.memoize(obj);
        WRITTEN
    }

    /// To be called before anything is written for which the receiver imports a
    /// module: tells the version of its package, and refuses this package if the
    /// receiver may not have it.
    pub fn name_module(&mut self, module: Obj, obj: Obj) -> Result<(), Stop> {
        if !fast::is_str(module.ty()) {
            return Ok(());
        }
        let mut scratch = Vec::new();
        let package = packages::root(fast::text::utf8(module, &mut scratch));
        if !self.options.choices.require_stock || package != b"ferropickle" {
            return self.tell_version(package);
        }
        let text =
            format!("Can't pickle {}: to load it takes ferropickle (require_stock)", repr(obj));
        Err(Raised::pickling(&text).into())
    }

    /// GLOBAL, under the name that the protocol's readers know.
    fn write_toplevel(&mut self, mut module: Own, mut name: Own) -> Result<(), Stop> {
        if self.options.fix_imports && self.options.proto < 3 {
            (module, name) = python2_name(module, name)?;
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let module_text = fast::text::utf8(module.obj(), &mut a);
        let name_text = fast::text::utf8(name.obj(), &mut b);
        for (kind, part, text) in [("module", &module, module_text), ("global", &name, name_text)] {
            let fits =
                text.is_ascii() || (self.options.proto == 3 && core::str::from_utf8(text).is_ok());
            if !fits {
                let proto = self.options.proto;
                let refuse =
                    |_: &str| Raised::pickling(&wording::not_encodable(kind, part.obj(), proto));
                let encoding = if proto < 3 { c"ascii" } else { c"utf-8" };
                return Err(match fast::text::encode(part.obj(), encoding) {
                    Err(raised) => raised.replaced(refuse),
                    Ok(_) => refuse(""),
                }
                .into());
            }
        }
        self.enc.global(module_text, name_text);
        Ok(())
    }

    /// A module's or class's name as a str of the stream. Pinned: the name may
    /// be a temporary, and its memo entry must not outlive it.
    fn save_name(&mut self, name: &Own) -> Result<(), Stop> {
        if self.hooks.has_persistent_id {
            self.save_whole(name.obj())?;
        } else {
            self.save_str(name.obj())?;
        }
        self.pin(name.clone());
        Ok(())
    }
}

/// The parts of a qualified name, as UTF-8 with surrogates passed.
pub fn split(qualname: Obj) -> Vec<Vec<u8>> {
    let mut scratch = Vec::new();
    let shown;
    let text = if fast::is_str(qualname.ty()) {
        fast::text::utf8(qualname, &mut scratch)
    } else {
        shown = display(qualname);
        shown.as_bytes()
    };
    text.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect()
}

/// Follows a qualified name through module dicts and classes, running no code.
/// `None` if the way leads elsewhere or not to the object.
pub fn resolved_without_code(obj: Obj, module_name: Own, qualname: Own) -> Option<Resolved> {
    let module = types::loaded_module(module_name.obj())?;
    let dict = fast::module_dict(module)?;
    // The common case first: a name without dots.
    if let Some(found) = fast::dict_get(dict, qualname.obj()) {
        return (found == obj).then_some(Resolved { module: module_name, qualname, parent: None });
    }
    let mut scratch = Vec::new();
    let text = core::str::from_utf8(fast::text::utf8(qualname.obj(), &mut scratch)).ok()?;
    let mut parts = text.split('.');
    let first = fast::new_str(parts.next()?).or_none()?;
    let mut found = fast::dict_get(dict, first.obj())?;
    let mut parent = None;
    for part in parts {
        if part == "<locals>" || !fast::is_type(found.ty()) {
            return None;
        }
        let name = fast::text::interned(fast::new_str(part).or_none()?);
        parent = Some(found.own());
        found = fast::type_lookup(found.ptr().cast(), name.obj())?;
        // Anything but a class might be bound when it is looked up.
        if !fast::is_type(found.ty()) {
            return None;
        }
    }
    (found == obj).then_some(Resolved { module: module_name, qualname, parent })
}

/// The module that an object says it is from, else the first loaded one that
/// has it under its name, else `__main__` (`whichmodule` in `_pickle.c`).
pub fn which_module(obj: Obj, path: &[Vec<u8>]) -> Result<Own, Raised> {
    let names = types::get();
    if let Some(module) = obj.getattr_opt(names.module.obj())?
        && !module.is_none()
    {
        return Ok(module);
    }
    // SAFETY: the GIL is held; a borrowed reference.
    let Some(modules) = (unsafe { Obj::borrowed(ffi::PyImport_GetModuleDict()) }) else {
        return Ok(names.main.clone());
    };
    // A copy: attributes of lazy modules may import others.
    // SAFETY: a live mapping; a new reference or null with an error set.
    let modules = unsafe { Own::from_new(ffi::PyMapping_Items(modules.ptr()))? };
    for i in 0..fast::list_len(modules.obj()) {
        let pair = fast::list_get(modules.obj(), i);
        let (name, module) = (fast::tuple_get(pair, 0), fast::tuple_get(pair, 1));
        let is_main =
            fast::is_str(name.ty()) && fast::text::utf8(name, &mut Vec::new()) == b"__main__";
        if is_main || module.is_none() || !fast::is_str(name.ty()) {
            continue;
        }
        match deep_attribute(module, path) {
            Ok(Some((found, _))) if found.obj() == obj => return Ok(name.own()),
            Ok(_) => {}
            Err(raised) => raised.discard(),
        }
    }
    Ok(names.main.clone())
}

/// The attribute at the end of a path, and the object that has it.
pub fn deep_attribute(from: Obj, path: &[Vec<u8>]) -> Result<Option<(Own, Own)>, Raised> {
    let mut parent = from.own();
    let mut found = from.own();
    for part in path {
        if part == b"<locals>" {
            return Ok(None);
        }
        let name = fast::text::from_utf8(part)?;
        let Some(next) = found.getattr_opt(name.obj())? else { return Ok(None) };
        parent = core::mem::replace(&mut found, next);
    }
    Ok(Some((found, parent)))
}

/// The code of `copyreg`'s extension registry, if the name is in it.
fn extension_code(module: Obj, name: Obj) -> Result<Option<u32>, Raised> {
    let registry = types::get().extension_registry.obj();
    if fast::dict_len(registry) == 0 {
        return Ok(None);
    }
    let key = fast::new_tuple(&[module, name])?;
    let Some(code) = fast::dict_get(registry, key.obj()) else { return Ok(None) };
    if !fast::is_int(code.ty()) {
        let text = format!("Can't pickle: extension code {} isn't an integer", repr(code));
        // 3.13 made it a TypeError.
        return Err(if cfg!(Py_3_13) {
            Raised::new(fast::Exc::TypeError, &text)
        } else {
            Raised::pickling(&text)
        });
    }
    match fast::long::as_i64(code) {
        Some(code @ 1..=0x7fff_ffff) => Ok(Some(code as u32)),
        code => {
            let text = "Can't pickle: an extension code is out of range";
            let kind =
                if code.is_none() { fast::Exc::OverflowError } else { fast::Exc::RuntimeError };
            Err(Raised::new(kind, text))
        }
    }
}

/// The name that Python 2 has for a global of Python 3.
fn python2_name(module: Own, name: Own) -> Result<(Own, Own), Raised> {
    let names = types::get();
    let key = fast::new_tuple(&[module.obj(), name.obj()])?;
    if let Some(pair) = fast::dict_get(names.name_mapping_3to2.obj(), key.obj())
        && fast::is_tuple(pair.ty())
        && fast::tuple_len(pair) == 2
    {
        return Ok((fast::tuple_get(pair, 0).own(), fast::tuple_get(pair, 1).own()));
    }
    match fast::dict_get(names.import_mapping_3to2.obj(), module.obj()) {
        Some(old) => Ok((old.own(), name)),
        None => Ok((module, name)),
    }
}

/// Whether the names of a plan still lead to its class, found without code.
pub(super) fn leads_to(class: Obj, module: &Own, qualname: &Own) -> bool {
    resolved_without_code(class, module.clone(), qualname.clone()).is_some()
}
