//! Type variables, parameter specifications, aliases and new types that no
//! name leads to: made again by calling their class.

use super::class::plan_made;
use super::script::{Label, Plan};
use super::{identity, text_is};
use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own, instance};
use crate::types;
use crate::walk::{Flow, PUSHED, Stop, Walker};
use ferropickle_core::opcode::Op;
use pyo3::ffi;

/// What the class is called with besides the name: keyword, attribute, and the
/// value that means "not given".
const KEYWORDS: &[(&core::ffi::CStr, &core::ffi::CStr)] = &[
    (c"bound", c"__bound__"),
    (c"covariant", c"__covariant__"),
    (c"contravariant", c"__contravariant__"),
    (c"infer_variance", c"__infer_variance__"),
    (c"type_params", c"__type_params__"),
];

/// Kinds of objects of `typing` that are made here.
pub(super) fn is_variable(ty: Obj) -> bool {
    let names = types::get();
    super::is_of(ty, &[b"typing", b"typing_extensions"])
        && ty.getattr_opt(names.name.obj()).or_none().flatten().is_some_and(|name| {
            [b"TypeVar".as_slice(), b"ParamSpec", b"TypeVarTuple", b"TypeAliasType", b"NewType"]
                .iter()
                .any(|known| text_is(name.obj(), known))
        })
}

fn attribute(obj: Obj, name: &core::ffi::CStr) -> Result<Option<Own>, Raised> {
    obj.getattr_opt(fast::intern(name)?.obj())
}

impl Walker {
    /// A type variable or its like by value; `None` for other objects, and where
    /// a name leads to it. Outside the pure state.
    pub(super) fn save_variable(&mut self, obj: Obj) -> Result<Option<bool>, Stop> {
        if !is_variable(obj.ty_obj()) {
            return Ok(None);
        }
        let names = types::get();
        let Some(name) = obj.getattr_opt(names.name.obj())? else { return Ok(None) };
        let module = obj.getattr_opt(names.module.obj())?;
        if let Some(module) = &module
            && fast::is_str(module.ty())
            && !self.goes_by_value(module.obj())?
            && super::global::resolved_without_code(obj, module.clone(), name.clone()).is_some()
        {
            return Ok(None);
        }
        self.plan_variable(obj, name, module).map(Some)
    }

    fn plan_variable(&mut self, obj: Obj, name: Own, module: Option<Own>) -> Flow {
        let mut args = vec![obj.ty_obj(), name.obj()];
        let supertype = attribute(obj, c"__supertype__")?;
        let is_alias = super::class::name_of(obj.ty_obj())
            .or_none()
            .is_some_and(|name| text_is(name.obj(), b"TypeAliasType"));
        let value = if is_alias { attribute(obj, c"__value__")? } else { None };
        args.extend(supertype.iter().chain(value.iter()).map(Own::obj));
        let constraints = attribute(obj, c"__constraints__")?;
        if let Some(constraints) = &constraints
            && fast::is_tuple(constraints.ty())
        {
            args.extend(
                (0..fast::tuple_len(constraints.obj()))
                    .map(|i| fast::tuple_get(constraints.obj(), i)),
            );
        }
        let keywords = fast::new_dict(0)?;
        for (keyword, source) in KEYWORDS {
            let Some(value) = attribute(obj, source)? else { continue };
            let absent = value.is_none()
                || fast::is_bool(value.ty()) && !fast::is_true(value.obj())
                || fast::is_tuple(value.ty()) && fast::tuple_len(value.obj()) == 0;
            if !absent {
                set(keywords.obj(), keyword, value.obj())?;
            }
        }
        if let Some(default) = default_of(obj)? {
            set(keywords.obj(), c"default", default.obj())?;
        }
        let args = fast::new_tuple(&args)?;
        // SAFETY: live objects; a new reference or null with an error set.
        let partial = unsafe {
            Own::from_new(ffi::PyObject_Call(
                types::get().partial.ptr(),
                args.ptr(),
                keywords.ptr(),
            ))?
        };
        let mut plan = Plan::default();
        let tracked = instance::has_weakrefs(obj.ty())
            && self.by_value.choices.identity != crate::policy::Identity::New;
        let id = if tracked { Some(identity::id_of_variable(obj)?) } else { None };
        self.plan_candidate(&mut plan, id.as_ref());
        plan.save(partial.obj(), Label::None).op(Op::EmptyTuple).op(Op::Reduce);
        plan_made(&mut plan, obj, tracked);
        if let Some(module) = module
            && instance::has_dict(obj.ty())
        {
            plan.save(fast::none(), Label::None).op(Op::EmptyDict);
            plan.text("__module__").save(module.obj(), Label::None);
            plan.op(Op::Setitem).op(Op::Tuple2).op(Op::Build);
        }
        self.play(obj, plan)?;
        PUSHED
    }
}

fn set(dict: Obj, key: &core::ffi::CStr, value: Obj) -> Result<(), Raised> {
    // SAFETY: a dict, a text that ends in NUL, a live object.
    match unsafe { ffi::PyDict_SetItemString(dict.ptr(), key.as_ptr(), value.ptr()) } {
        0 => Ok(()),
        _ => Err(Raised::set()),
    }
}

/// The default of a type variable (3.13 and later).
fn default_of(obj: Obj) -> Result<Option<Own>, Raised> {
    let Some(has) = attribute(obj, c"has_default")? else { return Ok(None) };
    let has = has.call(&[])?;
    if fast::is_true(has.obj()) { attribute(obj, c"__default__") } else { Ok(None) }
}
