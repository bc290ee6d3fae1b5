//! Classes: made with what must be there at once, memoized, then given their
//! attributes by BUILD.
//!
//! The metaclass's own Python `__new__` and `__init__` are not run again, nor
//! is `__init_subclass__` of a base, nor `__set_name__`: what they did is among
//! the attributes. Attributes that have code come first, so that an instance
//! of the class among the rest finds its methods.

use super::identity;
use super::named::{
    ABC_NEW, ABC_REGISTER, COPYREG_DICT, DICT_SETDEFAULT, DICT_TYPE, TYPE, TYPE_NEW, TYPE_SETATTR,
    WEAK_SETDEFAULT, WEAK_VALUES,
};
use super::script::{Label, Place, Plan, Step};
use super::{is_python_class, text_is};
use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own, TypePtr, instance, none};
use crate::policy::Identity;
use crate::types;
use crate::walk::{Flow, PUSHED, Stop, Walker};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// Where the receiver keeps the classes it has made or sent: in `copyreg`, by
/// this name, a WeakValueDictionary from ids to classes.
pub const REGISTRY: &str = "__ferropickle_classes__";

/// Attributes of a class, sorted into what to do with them.
/// How many containers may have been left out of the memo for a walk to begin
/// again once a class has its id, rather than to go on in the Foreign state.
const CHEAP_IDENTIFY: usize = 4096;

#[derive(Default)]
struct Attributes {
    /// Needed when the class is made.
    early: Vec<(Own, Own)>,
    /// Functions and descriptors.
    methods: Vec<(Own, Own)>,
    rest: Vec<(Own, Own)>,
}

impl Walker {
    /// A class by value. It must not have been met.
    pub(super) fn save_class_by_value(&mut self, class: Obj) -> Flow {
        if super::enums::is_enum(class) {
            return self.save_enum_class(class);
        }
        if !instance::is_plain_class(class) {
            // Its metaclass has a say in what its attributes are.
            self.leave_pure()?;
        }
        let ty: TypePtr = class.ptr().cast();
        let mut plan = Plan::default();
        let bases = instance::bases(ty)?;
        self.plan_dependencies(&mut plan, class, bases.obj());
        let id = self.class_id(class)?;
        self.plan_candidate(&mut plan, id.as_ref());
        if has_late_annotations(class)? {
            self.leave_pure()?;
        }
        let attributes = attributes(class)?;
        let stand_in = needs_stand_in(ty);
        self.plan_maker(&mut plan, class)?;
        plan.push(Step::Key(name_of(class)?));
        if stand_in {
            plan_bases_with_stand_in(&mut plan, ty, bases.obj());
        } else {
            plan.save(bases.obj(), Label::Text(".__bases__"));
        }
        plan.op(Op::EmptyDict);
        if !attributes.early.is_empty() {
            plan.set_items(|plan| plan_items(plan, &attributes.early));
        }
        plan.op(Op::Tuple).op(Op::Reduce);
        plan_made(&mut plan, class, id.is_some());
        if stand_in {
            plan.named(&TYPE_SETATTR).push(Step::Get(Place::Candidate)).text("__bases__");
            plan.save(bases.obj(), Label::Text(".__bases__"));
            plan.op(Op::Tuple3).op(Op::Reduce).op(Op::Pop);
        }
        let target = self.state_target();
        plan_attributes(&mut plan, class, target, &attributes.methods);
        plan_attributes(&mut plan, class, target, &attributes.rest);
        for registered in abc_registry(class)? {
            // With the class that the receiver keeps: it may not know this one.
            plan.named(&ABC_REGISTER).push(Step::Get(Place::Made));
            plan.save(registered.obj(), Label::Text(".<registered>"));
            plan.op(Op::Tuple2).op(Op::Reduce).op(Op::Pop);
        }
        self.play(class, plan)?;
        PUSHED
    }

    /// Which of the two gets the attributes: the class just made, which the
    /// receiver may have thrown away for one of its own, or the one it keeps.
    pub(super) fn state_target(&self) -> Place {
        match self.by_value.choices.identity {
            Identity::Refresh => Place::Made,
            Identity::First | Identity::New => Place::Candidate,
        }
    }

    /// The id under which the receiver keeps the class, if it is to keep it.
    pub(super) fn class_id(&mut self, class: Obj) -> Result<Option<Own>, Stop> {
        if self.by_value.choices.identity == Identity::New || !instance::has_weakrefs(class.ty()) {
            return Ok(None);
        }
        // Kept with what is known of the type, which a change of it makes new.
        let number = self.types.plan(class.ptr().cast()) as usize;
        if let Some(id) = &self.types.plans[number].class_id {
            return Ok(Some(id.clone()));
        }
        // The registries are Python code.
        if self.pure && self.has_elided_at_most(CHEAP_IDENTIFY) && self.by_value.may_identify() {
            return Err(Stop::Identify(class.own()));
        }
        self.leave_pure()?;
        Ok(self.identify(class)?)
    }

    /// Makes the id of a class, which runs Python code; `None` if the class has
    /// no hash.
    pub fn identify(&mut self, class: Obj) -> Result<Option<Own>, Raised> {
        // SAFETY: a live object; -1 with an error set if it has no hash.
        if unsafe { ffi::PyObject_Hash(class.ptr()) } == -1 {
            Raised::set().discard();
            return Ok(None);
        }
        let id = identity::id_of(class)?;
        let number = self.types.plan(class.ptr().cast()) as usize;
        self.types.plans[number].class_id = Some(id.clone());
        Ok(Some(id))
    }

    /// Bases and metaclass by value may lead back to the class: written first,
    /// and thrown away again.
    pub(super) fn plan_dependencies(&mut self, plan: &mut Plan, class: Obj, bases: Obj) {
        let all = (0..fast::tuple_len(bases)).map(|i| fast::tuple_get(bases, i));
        let mut needed: Vec<Obj> = Vec::new();
        for one in all.chain([class.ty_obj()]) {
            if self.memo.get(one.addr()).is_none() && self.may_go_by_value(one) {
                needed.push(one);
            }
        }
        if needed.is_empty() {
            return;
        }
        plan.op(Op::Mark);
        for one in needed {
            plan.save(one, Label::Text(".__bases__"));
        }
        plan.push(Step::Recheck(class.own()));
    }

    /// `WeakValueDictionary.setdefault(registry, id,` ..., to be closed by
    /// [`plan_made`].
    pub(super) fn plan_candidate(&mut self, plan: &mut Plan, id: Option<&Own>) {
        let Some(id) = id else { return };
        plan.named(&WEAK_SETDEFAULT).push(Step::Registry).save(id.obj(), Label::None);
    }

    /// The registry of classes, made in the receiver if it has none.
    pub(super) fn save_registry(&mut self) -> Result<(), Stop> {
        if let Some(index) = self.by_value.registry {
            self.enc.get(index);
            return Ok(());
        }
        self.save_named(&DICT_SETDEFAULT)?;
        self.save_named(&COPYREG_DICT)?;
        self.write_literal(REGISTRY)?;
        self.save_named(&WEAK_VALUES)?;
        for op in [Op::EmptyTuple, Op::Reduce, Op::Tuple3, Op::Reduce] {
            self.enc.op(op);
        }
        self.by_value.registry = Some(self.enc.memoize());
        Ok(())
    }

    /// What makes the class, up to its name: `type(`, or the `__new__` of the
    /// nearest metaclass that is not the user's and the metaclass itself.
    fn plan_maker(&mut self, plan: &mut Plan, class: Obj) -> Result<(), Raised> {
        let meta = class.ty();
        if fast::is_type(meta) {
            plan.named(&TYPE).op(Op::Mark);
            return Ok(());
        }
        match made_by(meta)? {
            MadeBy::Type => plan.named(&TYPE_NEW),
            MadeBy::Abc => plan.named(&ABC_NEW),
            MadeBy::Other(make) => plan.push(Step::Save(make, Label::Text(".__class__.__new__"))),
        };
        plan.op(Op::Mark).save(class.ty_obj(), Label::Text(".__class__"));
        Ok(())
    }
}

/// The class is made: its memo entries, candidate and kept one.
pub(super) fn plan_made(plan: &mut Plan, class: Obj, tracked: bool) {
    if tracked {
        plan.push(Step::Mark(Place::Candidate)).op(Op::Tuple3).op(Op::Reduce);
        plan.push(Step::Made(class.own()));
    } else {
        plan.push(Step::Made(class.own())).push(Step::SameAsMade(Place::Candidate));
    }
}

/// Sets attributes on the class at `target`; what is on top stays there.
pub(super) fn plan_attributes(
    plan: &mut Plan,
    class: Obj,
    target: Place,
    attributes: &[(Own, Own)],
) {
    if attributes.is_empty() {
        return;
    }
    if builds_plainly(class) {
        plan.push(Step::Get(target)).save(none(), Label::None).op(Op::EmptyDict);
        plan.set_items(|plan| plan_items(plan, attributes));
        plan.op(Op::Tuple2).op(Op::Build).op(Op::Pop);
        return;
    }
    for (name, value) in attributes {
        plan.named(&TYPE_SETATTR).push(Step::Get(target)).push(Step::Key(name.clone()));
        plan.push(Step::Save(value.clone(), Label::Attribute(name.clone())));
        plan.op(Op::Tuple3).op(Op::Reduce).op(Op::Pop);
    }
}

fn plan_items(plan: &mut Plan, items: &[(Own, Own)]) {
    for (name, value) in items {
        plan.push(Step::Key(name.clone()));
        plan.push(match is_name_of_name(name.obj()) {
            true => Step::Key(value.clone()),
            false => Step::Save(value.clone(), Label::Attribute(name.clone())),
        });
    }
}

/// Whether the value of the attribute is itself a name.
fn is_name_of_name(attribute: Obj) -> bool {
    text_is(attribute, b"__qualname__") || text_is(attribute, b"__module__")
}

/// Whether BUILD does no more to the class than set attributes: it would call
/// a `__setstate__` of the instances, and the metaclass's `__setattr__`.
fn builds_plainly(class: Obj) -> bool {
    let setstate = types::get().setstate.obj();
    let meta = class.ty();
    // SAFETY: live types.
    let sets_plainly = unsafe {
        (*meta).tp_setattro.map(|f| f as usize) == ffi::PyType_Type.tp_setattro.map(|f| f as usize)
    };
    (sets_plainly || super::enums::is_exact_meta(meta))
        && instance::is_plain_class(class)
        && fast::type_lookup(meta, types::get().getattr_hook.obj()).is_none()
        && fast::type_lookup(class.ptr().cast(), setstate).is_none()
        && fast::type_lookup(meta, setstate).is_none()
}

pub(super) fn name_of(class: Obj) -> Result<Own, Raised> {
    // The name that `type` has, whatever a metaclass answers.
    let ty: TypePtr = class.ptr().cast();
    let found = class.getattr(types::get().name.obj())?;
    if fast::is_str(found.ty()) {
        return Ok(found);
    }
    // SAFETY: a class's name is NUL-terminated.
    let text = unsafe { core::ffi::CStr::from_ptr((*ty).tp_name) };
    fast::new_str(&text.to_string_lossy())
}

fn attributes(class: Obj) -> Result<Attributes, Raised> {
    let names = types::get();
    let ty: TypePtr = class.ptr().cast();
    let mut found = Attributes::default();
    let qualname = class.getattr(names.qualname.obj())?;
    found.early.push((names.qualname.clone(), qualname));
    let generic = inherits_generic(ty);
    let dict = instance::class_dict(ty)?;
    for pair in fast::dict_items(dict.obj()) {
        let (key, value) = (pair.0.obj(), pair.1.obj());
        if !fast::is_str(key.ty()) {
            continue;
        }
        let mut scratch = Vec::new();
        match fast::text::utf8(key, &mut scratch) {
            b"__module__" | b"__doc__" => found.early.push(pair),
            b"__orig_bases__" if generic => found.early.push(pair),
            b"__slots__" => found.early.push((key.own(), slots(value, dict.obj())?)),
            b"_abc_impl" | b"__annotations_cache__" => {}
            b"__annotate_func__" if value.is_none() => {}
            b"__annotate_func__" => {
                let computed = super::annotations::computed(class)?;
                found.rest.push((fast::intern(c"__annotations__")?, computed));
            }
            b"__dict__" | b"__weakref__" if is_getset(value) => {}
            // Made again by `typing` itself, with closures over the class.
            b"__subclasshook__" | b"__init__" if generic && is_typing_local(value) => {}
            _ if is_own_slot(value, class) => {}
            b"__abstractmethods__" => found.rest.push(pair),
            _ if has_code(value) => found.methods.push(pair),
            _ => found.rest.push(pair),
        }
    }
    Ok(found)
}

/// Whether the class has annotations that are computed when they are asked for.
fn has_late_annotations(class: Obj) -> Result<bool, Raised> {
    if cfg!(not(Py_3_14)) {
        return Ok(false);
    }
    let dict = instance::class_dict(class.ptr().cast())?;
    Ok(fast::dict_get(dict.obj(), fast::intern(c"__annotate_func__")?.obj()).is_some())
}

/// The value of `__slots__`; an iterator is used up by now, so the names are
/// taken from the slots themselves.
fn slots(declared: Obj, dict: Obj) -> Result<Own, Raised> {
    let ty = declared.ty();
    if fast::is_str(ty) || fast::is_tuple(ty) || fast::is_list(ty) || fast::is_dict(ty) {
        return Ok(declared.own());
    }
    let mut names = Vec::new();
    let mut position = 0;
    while let Some((key, value)) = fast::dict_next(dict, &mut position) {
        if value.ty() == &raw mut ffi::PyMemberDescr_Type || is_getset(value) {
            names.push(key);
        }
    }
    fast::new_tuple(&names)
}

fn is_getset(value: Obj) -> bool {
    value.ty() == &raw mut ffi::PyGetSetDescr_Type
}

fn is_own_slot(value: Obj, class: Obj) -> bool {
    value.ty() == &raw mut ffi::PyMemberDescr_Type && instance::descriptor_class(value) == class
}

/// Functions and the descriptors around them.
fn has_code(value: Obj) -> bool {
    let ty = value.ty();
    fast::is_function(ty)
        || ty == &raw mut ffi::PyProperty_Type
        || ty == &raw mut ffi::PyStaticMethod_Type
        || ty == &raw mut ffi::PyClassMethod_Type
}

fn is_typing_local(value: Obj) -> bool {
    let inner = if fast::is_function(value.ty()) {
        Some(value.own())
    } else {
        fast::intern(c"__func__")
            .or_none()
            .and_then(|name| value.getattr_opt(name.obj()).or_none().flatten())
    };
    inner.is_some_and(|inner| {
        fast::is_function(inner.ty())
            && fast::function::fields(inner.obj()).module.is_some_and(|m| text_is(m, b"typing"))
    })
}

enum MadeBy {
    Type,
    Abc,
    /// The `__new__` of a metaclass written in C.
    Other(Own),
}

/// The nearest `__new__` on the metaclass's MRO that is not Python code of the
/// user's.
fn made_by(meta: TypePtr) -> Result<MadeBy, Raised> {
    let names = types::get();
    for class in instance::mro(meta) {
        let dict = instance::class_dict(class.ptr().cast())?;
        let Some(make) = fast::dict_get(dict.obj(), names.new.obj()) else { continue };
        if fast::is_type(class.ptr().cast()) {
            break;
        }
        if is_abc_meta(class) {
            return Ok(MadeBy::Abc);
        }
        if !is_python_class(class) {
            return Ok(MadeBy::Other(make.own()));
        }
    }
    Ok(MadeBy::Type)
}

fn is_abc_meta(class: Obj) -> bool {
    let Ok(name) = fast::intern(c"abc") else { return false };
    let Ok(attribute) = fast::intern(c"ABCMeta") else { return false };
    types::loaded_module(name.obj())
        .and_then(fast::module_dict)
        .and_then(|dict| fast::dict_get(dict, attribute.obj()))
        == Some(class)
}

/// Whether a base has an `__init_subclass__` of the user's, which would run.
fn needs_stand_in(ty: TypePtr) -> bool {
    let names = types::get();
    for class in instance::mro(ty).skip(1) {
        let Ok(dict) = instance::class_dict(class.ptr().cast()) else { return false };
        if fast::dict_get(dict.obj(), names.init_subclass.obj()).is_some() {
            return is_python_class(class) && !super::is_of(class, &[b"typing"]);
        }
    }
    false
}

fn inherits_generic(ty: TypePtr) -> bool {
    instance::mro(ty).any(|class| {
        super::is_of(class, &[b"typing"])
            && name_of(class).or_none().is_some_and(|name| text_is(name.obj(), b"Generic"))
    })
}

/// The bases, behind a class of the same layout whose `__init_subclass__` takes
/// anything and does nothing (`dict`); it goes when `__bases__` is set.
fn plan_bases_with_stand_in(plan: &mut Plan, ty: TypePtr, bases: Obj) {
    plan.op(Op::Mark);
    plan.call(&TYPE, |plan| {
        plan.text("_").op(Op::EmptyTuple).op(Op::EmptyDict).set_items(|plan| {
            plan.text("__init_subclass__").named(&DICT_TYPE);
            plan.text("__slots__").op(Op::Mark);
            let base = instance::base(ty);
            if base.is_some_and(|base| instance::has_dict(base.ptr().cast())) {
                plan.text("__dict__");
            }
            if base.is_some_and(instance::instances_have_weakrefs) {
                plan.text("__weakref__");
            }
            plan.op(Op::Tuple);
        });
    });
    for i in 0..fast::tuple_len(bases) {
        plan.save(fast::tuple_get(bases, i), Label::Text(".__bases__"));
    }
    plan.op(Op::Tuple);
}

/// The classes registered with an abstract base class.
fn abc_registry(class: Obj) -> Result<Vec<Own>, Raised> {
    let dict = instance::class_dict(class.ptr().cast())?;
    if fast::dict_get(dict.obj(), types::get().abc_impl.obj()).is_none() {
        return Ok(Vec::new());
    }
    let Some(module) = types::loaded_module(fast::intern(c"_abc")?.obj()) else {
        return Ok(Vec::new());
    };
    let dump = module.getattr(fast::intern(c"_get_dump")?.obj())?.call(&[class])?;
    let registry = fast::tuple_get(dump.obj(), 0);
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(reference) = fast::set_next(registry, &mut position) {
        let referent = reference.call(&[])?;
        if !referent.is_none() {
            found.push(referent);
        }
    }
    Ok(found)
}
