//! Enum classes: members made again by `EnumMeta` from their values, in a
//! namespace that its `__prepare__` gives; then methods and what else members
//! carry.

use super::class::{name_of, plan_attributes, plan_made};
use super::named::{ENUM_META, ENUM_NEW, ENUM_PREPARE, GETATTR};
use super::script::{Label, Plan, Step};
use crate::error::{OrNone, Raised, display};
use crate::fast::{self, Obj, Own, TypePtr, instance, none};
use crate::types;
use crate::walk::{Flow, PUSHED, Walker};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// What `EnumMeta` itself puts into the class (`Lib/enum.py`, 3.10 to 3.14).
const MADE_BY_META: &[&str] = &[
    "_member_names_",
    "_member_map_",
    "_value2member_map_",
    "_unhashable_values_",
    "_unhashable_values_map_",
    "_hashable_values_",
    "_member_type_",
    "_value_repr_",
    "_new_member_",
    "_use_args_",
    "_flag_mask_",
    "_all_bits_",
    "_singles_mask_",
    "_inverted_",
    "_boundary_",
    "__new__",
    "__new_member__",
    "__module__",
    "__qualname__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__slots__",
];

/// Attributes that every member has of its class.
const MEMBER_STATE: &[&str] =
    &["_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_", "_hashable_values_"];

fn enum_meta() -> Option<TypePtr> {
    let module = types::loaded_module(fast::intern(c"enum").or_none()?.obj())?;
    let meta =
        fast::dict_get(fast::module_dict(module)?, fast::intern(c"EnumMeta").or_none()?.obj())?;
    meta.is_class().then(|| meta.ptr().cast())
}

/// Whether a metaclass is `EnumMeta` itself, whose `__setattr__` only guards
/// the members.
pub(super) fn is_exact_meta(meta: TypePtr) -> bool {
    enum_meta() == Some(meta)
}

/// Whether a class is an enum.
pub(super) fn is_enum(class: Obj) -> bool {
    if fast::is_type(class.ty()) {
        return false;
    }
    // SAFETY: both are live classes.
    enum_meta().is_some_and(|meta| unsafe { ffi::PyType_IsSubtype(class.ty(), meta) != 0 })
}

fn get(obj: Obj, name: &str) -> Result<Option<Own>, Raised> {
    obj.getattr_opt(fast::text::interned(fast::new_str(name)?).obj())
}

/// How values become members.
struct Making {
    /// A `__new__` of the user's made the members: their data is not their value.
    custom: bool,
    /// The type whose data the members have, if it is not `object`.
    data: Option<Own>,
}

fn making(class: Obj) -> Result<Making, Raised> {
    let made_by = match get(class, "_new_member_")? {
        Some(found) => Some(found),
        None => get(class, "__new_member__")?,
    };
    let custom = made_by.is_some_and(|made_by| fast::is_function(made_by.ty()));
    let data = get(class, "_member_type_")?
        .filter(|data| data.ptr() != (&raw mut ffi::PyBaseObject_Type).cast());
    Ok(Making { custom, data })
}

impl Walker {
    pub(super) fn save_enum_class(&mut self, class: Obj) -> Flow {
        // Values may have code of their own.
        self.leave_pure()?;
        let names = types::get();
        let making = making(class)?;
        let bases = instance::bases(class.ptr().cast())?;
        let members = match get(class, "_member_map_")? {
            Some(found) if fast::is_dict(found.ty()) => fast::dict_items(found.obj()),
            _ => Vec::new(),
        };
        let mut plan = Plan::default();
        self.plan_dependencies(&mut plan, class, bases.obj());
        let id = self.class_id(class)?;
        self.plan_candidate(&mut plan, id.as_ref());
        let exact = is_exact_meta(class.ty());
        let boundary = own_boundary(class)?;
        let meta_comes_first = !exact || boundary.is_some();
        let name = name_of(class)?;
        if meta_comes_first {
            plan.named(if boundary.is_some() { &super::named::PARTIAL } else { &ENUM_NEW });
        } else {
            plan.named(&ENUM_META);
        }
        if let Some(boundary) = &boundary {
            plan_with_boundary(&mut plan, boundary);
        }
        plan.op(Op::Mark);
        if meta_comes_first {
            plan.save(class.ty_obj(), Label::Text(".__class__"));
        }
        plan.push(Step::Key(name.clone()));
        plan.save(bases.obj(), Label::Text(".__bases__"));
        plan.call(&ENUM_PREPARE, |plan| {
            plan.push(Step::Key(name.clone()));
            plan.save(bases.obj(), Label::None);
        });
        let dict = instance::class_dict(class.ptr().cast())?;
        let qualname = class.getattr(names.qualname.obj())?;
        plan.set_items(|plan| {
            for key in [&names.module, &names.doc] {
                if let Some(value) = fast::dict_get(dict.obj(), key.obj()) {
                    plan.push(Step::Key(key.clone()));
                    plan.push(match key.obj() == names.module.obj() {
                        true => Step::Key(value.own()),
                        false => Step::Save(value.own(), Label::None),
                    });
                }
            }
            plan.push(Step::Key(names.qualname.clone()));
            plan.push(Step::Key(qualname));
        });
        if making.custom {
            // The data type's own, in the place of the user's.
            let data = making.data.clone().unwrap_or_else(object_type);
            plan.text("__new__").named(&GETATTR).push(Step::Save(data, Label::None));
            plan.text("__new__").op(Op::Tuple2).op(Op::Reduce).op(Op::Setitem);
        }
        for (key, member) in &members {
            plan.push(Step::Key(key.clone()));
            plan.push(Step::Save(made_from(&making, member.obj())?, Label::Attribute(key.clone())));
            plan.op(Op::Setitem);
        }
        plan.op(Op::Tuple).op(Op::Reduce);
        plan_made(&mut plan, class, id.is_some());
        let target = self.state_target();
        let attributes = attributes(class, &making, dict.obj(), &members);
        plan_attributes(&mut plan, class, target, &attributes);
        let mut values = Vec::new();
        for (key, member) in &members {
            let Some(state) = member_state(&making, member.obj())? else { continue };
            if making.custom {
                values.push((get(member.obj(), "_value_")?, key));
            }
            plan.named(&GETATTR).push(Step::Get(target)).push(Step::Key(key.clone()));
            plan.op(Op::Tuple2).op(Op::Reduce);
            plan.push(Step::Save(state, Label::Attribute(key.clone())));
            plan.op(Op::Build).op(Op::Pop);
        }
        plan_values(&mut plan, target, values);
        self.play(class, plan)?;
        PUSHED
    }
}

/// `partial(EnumMeta.__new__, boundary=...)`, whose callable is on the stack.
fn plan_with_boundary(plan: &mut Plan, boundary: &Own) {
    plan.named(&ENUM_NEW).op(Op::Tuple1).op(Op::Reduce);
    // The state of a partial: function, arguments, keywords, attributes.
    plan.op(Op::Mark).named(&ENUM_NEW).op(Op::EmptyTuple).op(Op::EmptyDict);
    plan.text("boundary").push(Step::Save(boundary.clone(), Label::Text("._boundary_")));
    plan.op(Op::Setitem).save(none(), Label::None).op(Op::Tuple).op(Op::Build);
}

/// The values under which the class finds its members, where they are not what
/// the members were made from.
fn plan_values(plan: &mut Plan, target: super::script::Place, values: Vec<(Option<Own>, &Own)>) {
    for (value, key) in values {
        let Some(value) = value else { continue };
        // SAFETY: a live object; -1 with an error set if it has no hash.
        if unsafe { ffi::PyObject_Hash(value.ptr()) } == -1 {
            Raised::set().discard();
            continue;
        }
        plan.named(&GETATTR).push(Step::Get(target)).text("_value2member_map_");
        plan.op(Op::Tuple2).op(Op::Reduce);
        plan.push(Step::Save(value, Label::None));
        plan.named(&GETATTR).push(Step::Get(target)).push(Step::Key(key.clone()));
        plan.op(Op::Tuple2).op(Op::Reduce).op(Op::Setitem).op(Op::Pop);
    }
}

fn object_type() -> Own {
    // SAFETY: `object` lives as long as the interpreter.
    unsafe { Obj::new((&raw mut ffi::PyBaseObject_Type).cast()) }.own()
}

/// What to give `EnumMeta` for a member: its value, or the data it consists of.
fn made_from(making: &Making, member: Obj) -> Result<Own, Raised> {
    match &making.data {
        Some(data) if making.custom => data.call(&[member]),
        _ => Ok(get(member, "_value_")?.unwrap_or_else(|| none().own())),
    }
}

/// What a member's `__dict__` has besides what `EnumMeta` gives it.
fn member_state(making: &Making, member: Obj) -> Result<Option<Own>, Raised> {
    let Some(dict) = get(member, "__dict__")? else { return Ok(None) };
    let state = fast::new_dict(0)?;
    for (key, value) in fast::dict_items(dict.obj()) {
        let name = display(key.obj());
        let changed = making.custom && name == "_value_";
        if !changed && MEMBER_STATE.contains(&name.as_str()) {
            continue;
        }
        // SAFETY: a dict and live objects; -1 with an error set.
        if unsafe { ffi::PyDict_SetItem(state.ptr(), key.ptr(), value.ptr()) } != 0 {
            return Err(Raised::set());
        }
    }
    Ok((fast::dict_len(state.obj()) > 0).then_some(state))
}

/// The boundary of a flag that differs from its base's.
fn own_boundary(class: Obj) -> Result<Option<Own>, Raised> {
    let Some(boundary) = get(class, "_boundary_")? else { return Ok(None) };
    if boundary.is_none() {
        return Ok(None);
    }
    for base in instance::mro(class.ptr().cast()).skip(1) {
        if is_enum(base) {
            let inherited = get(base, "_boundary_")?;
            let same = inherited.is_some_and(|inherited| inherited.obj() == boundary.obj());
            return Ok((!same).then_some(boundary));
        }
    }
    Ok(None)
}

/// Attributes that are the user's.
fn attributes(class: Obj, making: &Making, dict: Obj, members: &[(Own, Own)]) -> Vec<(Own, Own)> {
    let mut found = fast::dict_items(dict);
    found.retain(|(key, value)| {
        let name = display(key.obj());
        let of_new = ["_new_member_", "__new_member__", "_use_args_"].contains(&name.as_str());
        if making.custom && of_new {
            return true;
        }
        let is_member = members.iter().any(|(known, _)| display(known.obj()) == name);
        !is_member
            && !MADE_BY_META.contains(&name.as_str())
            && !is_inherited(class, key.obj(), value.obj())
    });
    found
}

/// Whether a base has the very same attribute: `EnumMeta` copies some.
fn is_inherited(class: Obj, name: Obj, value: Obj) -> bool {
    instance::mro(class.ptr().cast()).skip(1).any(|base| {
        instance::class_dict(base.ptr().cast())
            .or_none()
            .is_some_and(|dict| fast::dict_get(dict.obj(), name) == Some(value))
    })
}
