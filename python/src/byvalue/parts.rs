//! What classes are made of besides functions: properties, static and class
//! methods; and methods bound to an object.
//!
//! Each is a reduce value that is made without running code.

use crate::error::{OrNone, Raised};
use crate::fast::{self, Obj, Own, TypePtr, function, instance};
use crate::types;
use crate::walk::{Flow, PUSHED, WRITTEN, Walker};
use pyo3::ffi;

enum Part {
    Property,
    StaticMethod,
    ClassMethod,
    Method,
}

fn part_of(obj: Obj) -> Option<Part> {
    let ty = plain_kind(obj.ty())?;
    if ty == &raw mut ffi::PyProperty_Type {
        Some(Part::Property)
    } else if ty == &raw mut ffi::PyStaticMethod_Type {
        Some(Part::StaticMethod)
    } else if ty == &raw mut ffi::PyClassMethod_Type {
        Some(Part::ClassMethod)
    } else if function::is_method(obj) {
        Some(Part::Method)
    } else {
        None
    }
}

/// Whether an object's type is one of these kinds.
pub(super) fn is_part(obj: Obj) -> bool {
    part_of(obj).is_some()
}

/// The built-in kind that a class of descriptors is, or differs from in ways
/// that its call brings back.
fn plain_kind(ty: TypePtr) -> Option<TypePtr> {
    if !instance::is_python_made(ty) {
        return Some(ty);
    }
    let base: TypePtr = instance::base(ty)?.ptr().cast();
    let kinds = [
        &raw mut ffi::PyProperty_Type,
        &raw mut ffi::PyStaticMethod_Type,
        &raw mut ffi::PyClassMethod_Type,
    ];
    if !kinds.contains(&base) {
        return None;
    }
    let names = types::get();
    let same =
        |name: &Own| fast::type_lookup(ty, name.obj()) == fast::type_lookup(base, name.obj());
    let of_abc = super::is_of(ty_object(ty), &[b"abc"]);
    let called_alike = of_abc || same(&names.init) && same(&names.new);
    (called_alike && same(&names.reduce_ex) && same(&names.reduce)).then_some(base)
}

fn ty_object(ty: TypePtr) -> Obj {
    // SAFETY: the type of a live object.
    unsafe { Obj::new(ty.cast()) }
}

impl Walker {
    /// `None` for what is not of these kinds, and for methods that the name of
    /// their function leads to: they say so themselves.
    pub(super) fn save_descriptor(&mut self, obj: Obj) -> Option<Flow> {
        let value = match part_of(obj)? {
            Part::Property => property(obj),
            Part::StaticMethod | Part::ClassMethod => wrapper(obj),
            Part::Method => bound_method(obj).transpose()?,
        };
        Some(match value {
            Ok(value) => self.save_made_by(obj, value),
            Err(raised) => Err(raised.into()),
        })
    }

    fn save_made_by(&mut self, obj: Obj, value: Own) -> Flow {
        if self.write_if_met(obj)? {
            return WRITTEN;
        }
        self.begin_reduce(value, Some(obj))?;
        PUSHED
    }
}

/// `property(fget, fset, fdel, doc)`.
fn property(obj: Obj) -> Result<Own, Raised> {
    let get = |name: &core::ffi::CStr| obj.getattr(fast::intern(name)?.obj());
    let (fget, fset, fdel) = (get(c"fget")?, get(c"fset")?, get(c"fdel")?);
    // The getter's own docstring is found again by `property` itself; told
    // apart by `__doc__` being the same object.
    let mut parts = vec![fget.obj(), fset.obj(), fdel.obj()];
    let doc = get(c"__doc__")?;
    let inherited = fast::is_function(fget.ty())
        && function::fields(fget.obj()).doc.is_some_and(|own| own == doc.obj());
    if !doc.is_none() && !inherited {
        parts.push(doc.obj());
    }
    let args = fast::new_tuple(&parts)?;
    fast::new_tuple(&[obj.ty_obj(), args.obj()])
}

/// `staticmethod(function)` or `classmethod(function)`. Attributes copied from
/// the function come again by themselves.
fn wrapper(obj: Obj) -> Result<Own, Raised> {
    let inner = obj.getattr(fast::intern(c"__func__")?.obj())?;
    let args = fast::new_tuple(&[inner.obj()])?;
    fast::new_tuple(&[obj.ty_obj(), args.obj()])
}

/// `types.MethodType(function, self)`, where the name of the function does not
/// lead from the object to the method; else `None`.
fn bound_method(obj: Obj) -> Result<Option<Own>, Raised> {
    let Some((inner, this)) = function::method_parts(obj) else { return Ok(None) };
    if fast::is_function(inner.ty()) {
        let fields = function::fields(inner);
        let by_name = if this.is_class() {
            let name = fast::text::interned(fields.name.own());
            fast::type_lookup(this.ptr().cast(), name.obj()).is_some_and(|found| {
                found.ty() == &raw mut ffi::PyClassMethod_Type
                    && wrapped(found).is_some_and(|wrapped| wrapped.obj() == inner)
            })
        } else {
            fast::type_lookup(this.ty(), fast::text::interned(fields.name.own()).obj())
                == Some(inner)
        };
        if by_name {
            return Ok(None);
        }
    }
    let args = fast::new_tuple(&[inner, this])?;
    fast::new_tuple(&[obj.ty_obj(), args.obj()]).map(Some)
}

fn wrapped(method: Obj) -> Option<Own> {
    let name = fast::intern(c"__func__").or_none()?;
    method.getattr(name.obj()).or_none()
}
