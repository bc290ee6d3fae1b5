//! Texts of pickling errors that CPython 3.14 changed, as the running version
//! words them.

use crate::error::{full_type_name, repr, type_name};
use crate::fast::Obj;

/// Whether the running version is 3.14 or later.
const NEW: bool = cfg!(Py_3_14);

/// `__reduce__` returned neither a name nor a tuple.
pub fn reduce_result(found: Obj) -> String {
    let text = "__reduce__ must return a string or tuple";
    if NEW { format!("{text}, not {}", full_type_name(found)) } else { text.to_owned() }
}

/// An item of a reduce value (`which`: "first" or "second") must be `what`.
pub fn reduce_item(which: &str, what: &str, found: Obj) -> String {
    let text = format!("{which} item of the tuple returned by __reduce__ must be {what}");
    if NEW { format!("{text}, not {}", full_type_name(found)) } else { text }
}

/// The fourth or fifth item of a reduce value is no iterator.
pub fn reduce_iterator(which: &str, found: Obj) -> String {
    let rest = "of the tuple returned by __reduce__ must be an iterator, not";
    if NEW {
        format!("{which} item {rest} {}", full_type_name(found))
    } else {
        format!("{which} element {rest} {}", type_name(found))
    }
}

/// The sixth item of a reduce value cannot be called.
pub fn reduce_setter(found: Obj) -> String {
    if NEW {
        return reduce_item("sixth", "callable", found);
    }
    let text = "sixth element of the tuple returned by __reduce__ must be a function, not";
    format!("{text} {}", type_name(found))
}

/// No arguments for `__newobj__`.
pub fn newobj_empty() -> &'static str {
    if NEW {
        "__newobj__ expected at least 1 argument, got 0"
    } else {
        "__newobj__ arglist is empty"
    }
}

/// Another number of arguments for `__newobj_ex__` than three.
pub fn newobj_ex_len(len: isize) -> String {
    if NEW {
        format!("__newobj_ex__ expected 3 arguments, got {len}")
    } else {
        format!("length of the NEWOBJ_EX argument tuple must be exactly 3, not {len}")
    }
}

/// An argument of `__newobj_ex__` (`which`: "first" to "third") must be `what`.
pub fn newobj_ex_argument(which: &str, what: &str, found: Obj) -> String {
    if NEW {
        let found = full_type_name(found);
        format!("{which} argument to __newobj_ex__() must be {what}, not {found}")
    } else {
        let found = type_name(found);
        format!("{which} item from NEWOBJ_EX argument tuple must be {what}, not {found}")
    }
}

/// The class for `__newobj__` or `__newobj_ex__` (`label`) has no `__new__`.
pub fn no_new(label: &str, class: Obj) -> String {
    if !NEW {
        format!("args[0] from {label} args has no __new__")
    } else if class.is_class() {
        format!("first argument to {label}() has no __new__")
    } else {
        format!("first argument to {label}() must be a class, not {}", full_type_name(class))
    }
}

/// The class for `__newobj__` is not the object's.
pub fn wrong_class(label: &str, own: Obj, found: Obj) -> String {
    if NEW {
        format!("first argument to {label}() must be {}, not {}", repr(own), repr(found))
    } else {
        format!("args[0] from {label} args has the wrong class")
    }
}

/// The object has no method that reduces it.
pub fn not_reducible(obj: Obj) -> String {
    if NEW {
        format!("Can't pickle {} object", full_type_name(obj))
    } else {
        format!("can't pickle '{}' object: {}", type_name(obj), repr(obj))
    }
}

/// A name with `<locals>` in it.
pub fn local_object(obj: Obj, qualname: Obj) -> String {
    if NEW {
        format!("Can't pickle local object {}", repr(obj))
    } else {
        let verb = if cfg!(Py_3_13) { "get" } else { "pickle" };
        format!("Can't {verb} local object {}", repr(qualname))
    }
}

/// The module that an object is from cannot be imported; `why` is the text of
/// the exception.
pub fn not_imported(obj: Obj, module: Obj, why: &str) -> String {
    if NEW {
        format!("Can't pickle {}: {why}", repr(obj))
    } else {
        format!("Can't pickle {}: import of module {} failed", repr(obj), repr(module))
    }
}

/// The name of an object leads nowhere.
pub fn not_found(obj: Obj, module: &str, name: &str) -> String {
    if NEW {
        format!("Can't pickle {}: it's not found as {module}.{name}", repr(obj))
    } else {
        format!("Can't pickle {}: attribute lookup {name} on {module} failed", repr(obj))
    }
}

/// A module's or global's name (`kind`) that the protocol cannot hold.
pub fn not_encodable(kind: &str, name: Obj, proto: u8) -> String {
    let shown = if NEW { repr(name) } else { format!("'{}'", crate::error::display(name)) };
    format!("can't pickle {kind} identifier {shown} using pickle protocol {proto}")
}

/// A global's dotted name that leads nowhere on load.
pub fn unresolved_path(module_name: Obj, module: Obj, name: Obj) -> String {
    if NEW {
        format!("Can't resolve path {} on module {}", repr(name), repr(module_name))
    } else {
        format!("Can't get attribute {} on {}", repr(name), repr(module))
    }
}
