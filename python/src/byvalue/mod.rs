//! Functions, classes and modules by value: what no name leads to, or what a
//! policy says.
//!
//! Streams need nothing but the standard library to be loaded: what is made is
//! made by `types.FunctionType` and its like, and filled by BUILD.
//!
//! | to change | open |
//! |---|---|
//! | which objects go by value | this file |
//! | functions, cells | `function.rs`; their globals: `namespace.rs` |
//! | modules | `module.rs` |
//! | code objects | `code.rs`; the names they use: `scan.rs` |
//! | classes | `class.rs`; enums: `enums.rs`; which class is the same: `identity.rs` |
//! | properties, methods and the like | `parts.rs` |
//! | type variables | `typing.rs`; annotations of 3.14: `annotations.rs` |
//! | names of the standard library in streams | `named.rs` |
//! | how a plan of steps is written | `script.rs` |

mod annotations;
mod class;
mod code;
mod enums;
mod function;
mod identity;
mod module;
mod named;
mod namespace;
mod parts;
mod rules;
mod scan;
mod script;
mod typing;

use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own, TypePtr, instance};
use crate::policy::{Choices, Face, Main};
use crate::types;
use crate::walk::global::{self, Resolved};
use crate::walk::{Flow, Stop, WRITTEN, Walker};
use namespace::Namespace;
pub use rules::{Rules, Verdict};
pub use script::Label;
use script::{Plan, Running, Step};
use std::collections::{HashMap, HashSet};

/// How often one dump begins again for the id of a class.
const MOST_IDENTIFIED: u32 = 16;

/// What a dump knows of things by value.
pub struct ByValue {
    /// Something below was used.
    dirty: bool,
    steps: Vec<Option<Step>>,
    /// An empty plan, whose memory the next one takes.
    spare: Plan,
    scripts: Vec<Running>,
    /// Memo indices of the objects of `named.rs`.
    named: [Option<u32>; named::COUNT],
    /// By the address of the module's dict.
    namespaces: HashMap<usize, Namespace>,
    /// Modules by value in this stream: their dict's address and their own.
    modules: HashMap<usize, usize>,
    imported: HashSet<String>,
    /// The check of Python's version is written.
    guarded: bool,
    /// The memo index of the registry of classes.
    registry: Option<u32>,
    /// The memo index of what makes code objects from bytecode or source.
    receiver: Option<u32>,
    /// What the policy says of modules asked about, by the name's address.
    verdicts: HashMap<usize, (Own, bool)>,
    /// What took more than `max_captured`, for warnings once the dump is done.
    pub oversized: Vec<String>,
    /// Walks begun again for the id of a class, in this dump.
    identified: u32,
    choices: Choices,
}

impl Default for ByValue {
    fn default() -> Self {
        ByValue {
            dirty: false,
            steps: Vec::new(),
            spare: Plan::default(),
            scripts: Vec::new(),
            named: [None; named::COUNT],
            namespaces: HashMap::new(),
            modules: HashMap::new(),
            imported: HashSet::new(),
            guarded: false,
            registry: None,
            receiver: None,
            verdicts: HashMap::new(),
            oversized: Vec::new(),
            identified: 0,
            choices: Choices::default(),
        }
    }
}

impl ByValue {
    /// Whether anything goes by value at all: not with the face of pickle.
    #[inline(always)]
    pub fn on(&self) -> bool {
        self.choices.face != Face::Pickle
    }

    /// The choices of a dump that begins.
    pub fn begin(&mut self, choices: &Choices) {
        self.choices = choices.clone();
        self.identified = 0;
    }

    /// Whether the walk may begin again for one more class: not without end.
    fn may_identify(&mut self) -> bool {
        self.identified += 1;
        self.identified <= MOST_IDENTIFIED
    }

    /// Gives up what belongs to the caller.
    pub fn end(&mut self) {
        self.reset();
        self.choices.let_go();
    }

    /// A plan of nothing yet.
    fn new_plan(&mut self) -> Plan {
        core::mem::take(&mut self.spare)
    }

    /// Forgets one stream. Frames of scripts must be gone.
    pub fn reset(&mut self) {
        if !self.dirty {
            return;
        }
        debug_assert!(self.scripts.is_empty());
        let mut steps = core::mem::take(&mut self.steps);
        steps.clear();
        let choices = core::mem::take(&mut self.choices);
        let (identified, spare) = (self.identified, self.new_plan());
        *self = ByValue { choices, steps, spare, identified, ..ByValue::default() };
    }

    /// What the path of an error calls the step of a script; 0 is the outermost.
    pub fn label(&self, script: usize) -> &Label {
        self.scripts.get(script).map_or(&Label::None, |running| &running.label)
    }

    /// Whether things of a module go by value although they could be imported;
    /// `None` if code has to run to know.
    fn takes_module(&mut self, name: Obj) -> Option<bool> {
        if text_is(name, b"__main__") {
            return Some(self.choices.main == Main::Value || self.choices.face == Face::Dill);
        }
        let Some(rules) = &self.choices.rules else { return Some(false) };
        if let Some((_, known)) = self.verdicts.get(&name.addr()) {
            return Some(*known);
        }
        match rules.judge(name) {
            Verdict::Known(known) => {
                self.note_verdict(name, known);
                Some(known)
            }
            Verdict::Ask => None,
        }
    }

    /// As `takes_module`, for what bears a name: what the receiver's `__main__`
    /// has goes by that name.
    fn takes(&mut self, module: Obj, qualname: Obj) -> Result<Option<bool>, Raised> {
        if let Some(rules) = &self.choices.rules
            && rules.lists_main()
            && text_is(module, b"__main__")
            && rules.receiver_has(module, qualname)?
        {
            return Ok(Some(false));
        }
        Ok(self.takes_module(module))
    }

    /// Whether the policy has a reducer for a type, or may have: that is asked
    /// where code may run.
    pub fn may_have_reducer(&self, ty: TypePtr) -> bool {
        self.choices.rules.as_ref().is_some_and(|rules| rules.may_have_reducer(ty))
    }

    /// The policy's reducer for a type.
    pub fn reducer(&self, ty: Obj) -> Result<Option<Own>, Raised> {
        match &self.choices.rules {
            Some(rules) => rules.reducer(ty),
            None => Ok(None),
        }
    }

    fn note_verdict(&mut self, name: Obj, verdict: bool) {
        self.dirty = true;
        self.verdicts.insert(name.addr(), (name.own(), verdict));
    }
}

/// Whether no object of this one's type is what [`Walker::save_part`] or
/// `save_variable` are for.
fn is_ordinary(obj: Obj) -> bool {
    !fast::function::is_code(obj)
        && !fast::function::is_cell(obj)
        && !fast::is_module(obj.ty())
        && !parts::is_part(obj)
        && !typing::is_variable(obj.ty_obj())
}

/// Whether a class was made by a class statement, or by calling `type`: only
/// such can be made again.
pub fn is_python_class(class: Obj) -> bool {
    instance::is_python_made(class.ptr().cast())
}

/// Whether a class says that it is of one of these modules; what its metaclass raises says no.
fn is_of(class: Obj, modules: &[&[u8]]) -> bool {
    let module = class.getattr_opt(types::get().module.obj()).or_none().flatten();
    module.is_some_and(|module| modules.iter().any(|known| text_is(module.obj(), known)))
}

fn text_is(text: Obj, expected: &[u8]) -> bool {
    fast::is_str(text.ty()) && fast::text::utf8(text, &mut Vec::new()) == expected
}

impl Walker {
    /// A function: by name if its name leads to it, else by value.
    pub fn save_function(&mut self, obj: Obj) -> Flow {
        if !self.by_value.on() {
            return self.save_global_once(obj, None);
        }
        if self.write_if_made(obj)? {
            return WRITTEN;
        }
        match self.importable(obj)? {
            Some(resolved) => self.write_global(obj, resolved),
            None => self.save_function_by_value(obj),
        }
    }

    /// A class made in Python that is not in the memo: by name or by value.
    pub fn save_python_class(&mut self, class: Obj) -> Flow {
        match self.importable(class)? {
            Some(resolved) => self.write_global(class, resolved),
            None => match self.save_class_on_demand(class)? {
                Some(pushed) => Ok(pushed),
                None => self.save_class_by_value(class),
            },
        }
    }

    /// A class that its library makes on demand, or keeps under another name
    /// than it says: `ferropickle.reducers` has the call that leads to it.
    pub fn save_class_on_demand(&mut self, class: Obj) -> Result<Option<bool>, Stop> {
        if fast::is_type(class.ty()) && is_python_class(class) {
            return Ok(None);
        }
        self.leave_pure()?;
        match self.ask_by_value(class)? {
            Ok(Some(value)) => self.save_reduced(class, value).map(Some),
            Ok(None) => Ok(None),
            Err(pushed) => Ok(Some(pushed)),
        }
    }

    /// Whether a class goes by value, if that can be told without running code.
    pub fn is_class_by_value(&mut self, class: Obj) -> bool {
        self.by_value.on()
            && is_python_class(class)
            && matches!(self.importable_pure(class), Ok(Some(None)))
    }

    /// The first instance of a class by value: the class first.
    #[cold]
    pub fn save_class_and_instance(&mut self, obj: Obj, plan: u32) -> Flow {
        let mut script = script::Plan::default();
        script.save(obj.ty_obj(), Label::Text(".__class__"));
        script.push(Step::Instance { obj: obj.own(), plan });
        self.play(obj, script)?;
        crate::walk::PUSHED
    }

    /// Whether a class may go by value: the answer may need code to be run.
    fn may_go_by_value(&mut self, class: Obj) -> bool {
        is_python_class(class) && !matches!(self.importable_pure(class), Ok(Some(Some(_))))
    }

    /// A marker object by its name in the module of its class.
    pub fn save_marker(&mut self, obj: Obj, plan: u32) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        let module = self.types.plans[plan as usize].module.clone();
        let found = module.and_then(|module| named_in(module, obj));
        match found {
            Some(resolved) => self.write_global(obj, resolved),
            None => self.save_instance(obj, plan),
        }
    }

    /// Objects that only by-value dumps can write; `None` for all others.
    pub fn save_part(&mut self, obj: Obj) -> Option<Flow> {
        let ty = obj.ty();
        if fast::function::is_code(obj) {
            let depth = self.frames.len();
            return Some(self.save_code(obj).map(|()| self.frames.len() > depth));
        }
        if fast::function::is_cell(obj) {
            return Some(self.save_cell(obj));
        }
        if fast::is_module(ty) {
            return Some(self.save_module(obj));
        }
        self.save_descriptor(obj)
    }

    /// The long tail: types for which the package has a reducer of its own
    /// (`ferropickle.reducers`). `Ok(Err(pushed))`: written already.
    pub fn ask_by_value(&mut self, obj: Obj) -> Result<Result<Option<Own>, bool>, Stop> {
        let number = self.types.plan(obj.ty()) as usize;
        if !self.types.plans[number].ordinary {
            if let Some(pushed) = self.save_variable(obj)? {
                return Ok(Err(pushed));
            }
            let ordinary = is_ordinary(obj);
            // Looking may have run code that made other plans.
            let number = self.types.plan(obj.ty()) as usize;
            self.types.plans[number].ordinary = ordinary;
        }
        let number = self.types.plan(obj.ty()) as usize;
        if self.types.plans[number].reducer.is_none() {
            let find = types::import_attribute(c"ferropickle.reducers", c"find")?;
            let found = find.call(&[obj.ty_obj()])?;
            // The search may have run code that made other plans.
            let number = self.types.plan(obj.ty()) as usize;
            self.types.plans[number].reducer = Some(found);
        }
        let number = self.types.plan(obj.ty()) as usize;
        let Some(reducer) = self.types.plans[number].reducer.clone() else { return Ok(Ok(None)) };
        if reducer.is_none() {
            return Ok(Ok(None));
        }
        let policy = self.by_value.choices.policy.clone();
        let policy_obj = policy.as_ref().map_or_else(fast::none, |policy| {
            // SAFETY: a live object, held by the clone.
            unsafe { Obj::new(policy.as_ptr()) }
        });
        let value = reducer.call(&[obj, policy_obj])?;
        drop(policy);
        // SAFETY: reads the address of a singleton.
        if value.ptr() == unsafe { pyo3::ffi::Py_NotImplemented() } {
            return Ok(Ok(None));
        }
        Ok(Ok(Some(value)))
    }

    /// The way by name, or `None`: by value.
    fn importable(&mut self, obj: Obj) -> Result<Option<Resolved>, Stop> {
        if let Some(known) = self.importable_pure(obj)? {
            return Ok(known);
        }
        self.leave_pure()?;
        let names = types::get();
        let Some(qualname) = obj.getattr_opt(names.qualname.obj())? else { return Ok(None) };
        let path = global::split(qualname.obj());
        let module_name = global::which_module(obj, &path)?;
        let known = self.by_value.takes(module_name.obj(), qualname.obj())?;
        let by_value = match known {
            Some(by_value) => by_value,
            None => self.goes_by_value(module_name.obj())?,
        };
        if by_value {
            return Ok(None);
        }
        let Some(module) = types::loaded_module(module_name.obj()).map(Obj::own) else {
            return Ok(None);
        };
        match global::deep_attribute(module.obj(), &path) {
            Ok(Some((found, parent))) if found.obj() == obj => {
                let parent = (parent.obj() != module.obj()).then_some(parent);
                Ok(Some(Resolved { module: module_name, qualname, parent }))
            }
            Ok(_) => Ok(None),
            Err(raised) => {
                raised.discard();
                Ok(None)
            }
        }
    }

    /// As [`Walker::importable`] with no code run; the outer `None` means that
    /// it cannot be told.
    fn importable_pure(&mut self, obj: Obj) -> Result<Option<Option<Resolved>>, Raised> {
        let names = types::get();
        if obj.is_class() && !instance::is_plain_class(obj) {
            // The metaclass may answer for the class; its dict does not lie.
            let dict = instance::class_dict(obj.ptr().cast())?;
            let module = fast::dict_get(dict.obj(), names.module.obj());
            let by_value = match module.filter(|module| fast::is_str(module.ty())) {
                Some(module) if text_is(module, b"__main__") => {
                    let qualname = obj.getattr(names.qualname.obj())?;
                    self.by_value.takes(module, qualname.obj())? == Some(true)
                }
                Some(module) => self.by_value.takes_module(module) == Some(true),
                None => false,
            };
            return Ok(by_value.then_some(None));
        }
        let (module, qualname) = if fast::is_function(obj.ty()) {
            let fields = fast::function::fields(obj);
            (fields.module.map(Obj::own), fields.qualname.own())
        } else {
            (obj.getattr_opt(names.module.obj())?, obj.getattr(names.qualname.obj())?)
        };
        let Some(module) = module.filter(|module| fast::is_str(module.ty())) else {
            return Ok(None);
        };
        if !fast::is_str(qualname.ty()) {
            return Ok(None);
        }
        match self.by_value.takes(module.obj(), qualname.obj())? {
            Some(true) if !self.is_dill_namedtuple(obj)? => return Ok(Some(None)),
            Some(_) => {}
            None => return Ok(None),
        }
        let Some(loaded) = types::loaded_module(module.obj()) else { return Ok(Some(None)) };
        if let Some(found) = global::resolved_without_code(obj, module.clone(), qualname.clone()) {
            return Ok(Some(Some(found)));
        }
        // No name leads there, unless the module or a class on the way answers
        // by code of its own.
        let mut scratch = Vec::new();
        let text = fast::text::utf8(qualname.obj(), &mut scratch);
        if text.contains(&b'<') {
            return Ok(Some(None));
        }
        let first = text.split(|c| *c == b'.').next().unwrap_or(text);
        let plain_module = fast::is_module(loaded.ty());
        if plain_module && let Ok(first) = core::str::from_utf8(first) {
            let first = fast::new_str(first)?;
            let dict = fast::module_dict(loaded);
            if let Some(dict) = dict
                && fast::dict_get(dict, first.obj()).is_none()
                && fast::dict_get(dict, names.getattr_hook.obj()).is_none()
            {
                return Ok(Some(None));
            }
        }
        Ok(None)
    }

    /// Whether a class goes by name where others go by value: named tuples, with
    /// the face of dill, unless the policy lists modules.
    fn is_dill_namedtuple(&self, class: Obj) -> Result<bool, Raised> {
        let choices = &self.by_value.choices;
        let listed = choices.rules.as_ref().is_some_and(|rules| rules.lists_modules());
        if choices.face != Face::Dill || listed || !class.is_class() {
            return Ok(false);
        }
        let ty = class.ptr().cast();
        let fields = fast::intern(c"_fields")?;
        Ok(crate::classify::has_flag(ty, pyo3::ffi::Py_TPFLAGS_TUPLE_SUBCLASS)
            && fast::dict_get(instance::class_dict(ty)?.obj(), fields.obj()).is_some())
    }

    /// As `takes_module`, the policy's predicates asked. Outside the pure state.
    fn goes_by_value(&mut self, module: Obj) -> Result<bool, Raised> {
        if let Some(known) = self.by_value.takes_module(module) {
            return Ok(known);
        }
        let Some(rules) = self.by_value.choices.rules.clone() else { return Ok(false) };
        let verdict = rules.ask(module)?;
        self.by_value.note_verdict(module, verdict);
        Ok(verdict)
    }
}

/// What makes a built-in class reachable that has no name in `builtins`: its
/// name in `types`.
pub fn types_alias(class: Obj) -> Option<Resolved> {
    named_in(fast::new_str("types").or_none()?, class)
}

/// The first name that an object has in a module.
fn named_in(module: Own, obj: Obj) -> Option<Resolved> {
    let dict = fast::module_dict(types::loaded_module(module.obj())?)?;
    let mut position = 0;
    while let Some((name, value)) = fast::dict_next(dict, &mut position) {
        if value == obj && fast::is_str(name.ty()) {
            return Some(Resolved { module, qualname: name.own(), parent: None });
        }
    }
    None
}
