//! Globals by name, and the extension registry.

use super::Builder;
use crate::error::{OrNone, Raised, display};
use crate::fast::{self, Exc, Obj, Own};
use crate::peers;
use crate::types;
use crate::wording;
use pyo3::ffi;

impl Builder {
    /// A global, by the subclass's `find_class` if there is one.
    pub(super) fn find(&mut self, module: Own, name: Own) -> Result<Own, Raised> {
        let found = match &self.find_class {
            Some(hook) => hook.clone().call(&[module.obj(), name.obj()]),
            None => find_class(&module, &name, self.proto, self.fix_imports, self.stock),
        };
        found
            .or_else(|raised| self.absent(module.obj(), name.obj(), raised))
            .map_err(|raised| self.not_found(raised, module.obj(), name.obj()))
    }

    pub(super) fn build_extension(&mut self, code: i64) -> Result<Own, Raised> {
        let names = self.names();
        let key = fast::long::from_i64(code)?;
        if let Some(known) = fast::dict_get(names.extension_cache.obj(), key.obj()) {
            return Ok(known.own());
        }
        let Some(pair) = fast::dict_get(names.inverted_registry.obj(), key.obj()) else {
            let text = format!("unregistered extension code {code}");
            return Err(Raised::new(Exc::ValueError, &text));
        };
        let is_pair = fast::is_tuple(pair.ty())
            && fast::tuple_len(pair) == 2
            && fast::is_str(fast::tuple_get(pair, 0).ty())
            && fast::is_str(fast::tuple_get(pair, 1).ty());
        if !is_pair {
            let text = format!("_inverted_registry[{code}] isn't a 2-tuple of strings");
            return Err(Raised::new(Exc::ValueError, &text));
        }
        let found = self.find(fast::tuple_get(pair, 0).own(), fast::tuple_get(pair, 1).own())?;
        // SAFETY: a dict and live objects; -1 with an error set.
        unsafe {
            if ffi::PyDict_SetItem(names.extension_cache.ptr(), key.ptr(), found.ptr()) < 0 {
                return Err(Raised::set());
            }
        }
        Ok(found)
    }
}

/// `Unpickler.find_class`: imports the module if need be and follows the name.
///
/// stock: do no more than the standard library, which leaves the names of
/// packages that are not installed alone.
pub fn find_class(
    module: &Own,
    name: &Own,
    proto: u8,
    fix_imports: bool,
    stock: bool,
) -> Result<Own, Raised> {
    fast::audit_find_class(module.obj(), name.obj())?;
    let found = if proto < 3 && fix_imports {
        python3_name(module.clone(), name.clone())
            .and_then(|(module, name)| import_global(&module, &name, proto))
    } else {
        import_global(module, name, proto)
    };
    found.or_else(
        |raised| {
            if stock { Err(raised) } else { peers::find(module.obj(), name.obj(), raised) }
        },
    )
}

fn import_global(module: &Own, name: &Own, proto: u8) -> Result<Own, Raised> {
    if let Some(found) = in_loaded_module(module.obj(), name.obj(), proto >= 4) {
        return Ok(found);
    }
    let imported = types::import(module.obj())?;
    let target = types::loaded_module(module.obj()).map_or(imported, Obj::own);
    let path = display(name.obj());
    // From 3.14 on a name without dots fails as any look-up does.
    if proto < 4 || cfg!(Py_3_14) && !path.contains('.') {
        return target.getattr(name.obj());
    }
    follow(target.clone(), path.split('.'))?.map_err(|(found, part)| {
        let refuse = |_: &str| {
            let text = wording::unresolved_path(module.obj(), target.obj(), name.obj());
            Raised::new(Exc::AttributeError, &text)
        };
        match types::missing_attribute(found.obj(), &[part.as_bytes().to_vec()]) {
            Some(raised) => raised.replaced(refuse),
            None => refuse(""),
        }
    })
}

/// Follows names from attribute to attribute; or the object that lacks one, and
/// its name.
fn follow<'a>(
    from: Own,
    names: impl Iterator<Item = &'a str>,
) -> Result<Result<Own, (Own, &'a str)>, Raised> {
    let mut found = from;
    for part in names {
        let name = fast::text::interned(fast::new_str(part)?);
        let next = if part == "<locals>" { None } else { found.getattr_opt(name.obj())? };
        match next {
            Some(next) => found = next,
            None => return Ok(Err((found, part))),
        }
    }
    Ok(Ok(found))
}

/// A name in the dict of a module that is loaded, the usual case; with dots if
/// the protocol has them.
fn in_loaded_module(module: Obj, name: Obj, dots: bool) -> Option<Own> {
    if !fast::is_str(module.ty()) || !fast::is_str(name.ty()) {
        return None;
    }
    let module = types::loaded_module(module)?;
    let dict = fast::module_dict(module)?;
    if let Some(found) = fast::dict_get(dict, name) {
        return Some(found.own());
    }
    match fast::text::ascii(name) {
        b"__dict__" => Some(dict.own()),
        _ if !dots => None,
        // `dict.setdefault`: of a class in the module, looked up as it does.
        text => {
            let dot = text.iter().position(|c| *c == b'.')?;
            let first = core::str::from_utf8(&text[..dot]).ok()?;
            let found = fast::dict_get(dict, fast::new_str(first).or_none()?.obj())?.own();
            let rest = core::str::from_utf8(&text[dot + 1..]).ok()?;
            match follow(found, rest.split('.')) {
                Ok(found) => found.ok(),
                Err(raised) => {
                    raised.discard();
                    None
                }
            }
        }
    }
}

/// The name that Python 3 has for a global of Python 2.
fn python3_name(module: Own, name: Own) -> Result<(Own, Own), Raised> {
    let names = types::get();
    let key = fast::new_tuple(&[module.obj(), name.obj()])?;
    if let Some(pair) = fast::dict_get(names.name_mapping_2to3.obj(), key.obj())
        && fast::is_tuple(pair.ty())
        && fast::tuple_len(pair) == 2
    {
        return Ok((fast::tuple_get(pair, 0).own(), fast::tuple_get(pair, 1).own()));
    }
    match fast::dict_get(names.import_mapping_2to3.obj(), module.obj()) {
        Some(new) => Ok((new.own(), name)),
        None => Ok((module, name)),
    }
}
