//! Which class is the same: an id made from what the class consists of, the
//! same in every process.
//!
//! Two classes of one process that consist of the same things get different
//! ids; the first to be pickled gets the plain one.

use super::class::REGISTRY;
use super::code;
use crate::error::{Raised, display};
use crate::fast::{self, Obj, Own, TypePtr, function, instance};
use crate::types;
use pyo3::ffi;
use std::collections::HashMap;
use xxhash_rust::xxh3::Xxh3;

/// How deep values are looked at.
const DEEPEST: u32 = 40;
/// Under this name a class keeps its id in the registry of ids.
const IDS: &str = "__ferropickle_class_ids__";
const WEAK_KEYS: &str = "WeakKeyDictionary";
const WEAK_VALUES: &str = "WeakValueDictionary";

/// The class's id; it stays the same while the class lives.
pub fn id_of(class: Obj) -> Result<Own, Raised> {
    kept_id(class, |hasher| hasher.class(class, 0))
}

/// The id of a type variable or its like.
pub fn id_of_variable(variable: Obj) -> Result<Own, Raised> {
    kept_id(variable, |hasher| {
        hasher.named(variable.ty_obj())?;
        hasher.named(variable)?;
        hasher.tag(&crate::error::repr(variable));
        Ok(())
    })
}

fn kept_id(obj: Obj, hash: impl FnOnce(&mut Hasher) -> Result<(), Raised>) -> Result<Own, Raised> {
    let ids = registry(IDS, WEAK_KEYS)?;
    let known = call_method(ids.obj(), c"get", &[obj])?;
    if fast::is_str(known.ty()) {
        return Ok(known);
    }
    if let Some(id) = received_id(ids.obj(), obj)? {
        return Ok(id);
    }
    let mut hasher = Hasher::default();
    hash(&mut hasher)?;
    let name = obj.getattr(types::get().name.obj())?;
    let plain = format!("{}:{:032x}", display(name.obj()), hasher.xxh.digest128());
    let classes = registry(REGISTRY, WEAK_VALUES)?;
    let mut id = plain.clone();
    let mut number = 1;
    loop {
        let text = fast::new_str(&id)?;
        if keep(classes.obj(), text.obj(), obj)?.obj() == obj {
            call_method(ids.obj(), c"setdefault", &[obj, text.obj()])?;
            return Ok(text);
        }
        number += 1;
        id = format!("{plain}#{number}");
    }
}

/// The id of an object that came with one in a stream: plain pickle enters it
/// into the registry of classes alone.
fn received_id(ids: Obj, obj: Obj) -> Result<Option<Own>, Raised> {
    let classes = registry(REGISTRY, WEAK_VALUES)?;
    // SAFETY: live objects with a length; -1 with an error set.
    let (known, all) =
        unsafe { (ffi::PyObject_Size(ids.ptr()), ffi::PyObject_Size(classes.ptr())) };
    if known >= all {
        return Ok(None);
    }
    // A list, made in one step: other threads enter classes meanwhile.
    let kept = call_method(classes.obj(), c"valuerefs", &[])?;
    let kept = fast::iter(kept.obj())?;
    let mut found = None;
    while let Some(kept) = fast::iter_next(kept.obj())? {
        let class = kept.obj().call(&[])?;
        let Some(id) = kept.obj().getattr_opt(fast::intern(c"key")?.obj())? else { continue };
        if !class.obj().is_none() && fast::is_str(id.ty()) {
            call_method(ids, c"setdefault", &[class.obj(), id.obj()])?;
            if class.obj() == obj {
                found = Some(id);
            }
        }
    }
    Ok(found)
}

/// What the registry of classes has under an id: `obj` from now on if there was
/// none. Unlike `setdefault` of the registry it is one step to other threads.
fn keep(classes: Obj, id: Obj, obj: Obj) -> Result<Own, Raised> {
    let attribute = |of: Obj, name| of.getattr(fast::intern(name)?.obj());
    let weakref = types::import(fast::intern(c"weakref")?.obj())?;
    let (data, remove) = (attribute(classes, c"data")?, attribute(classes, c"_remove")?);
    let reference = attribute(weakref.obj(), c"KeyedRef")?.call(&[obj, remove.obj(), id])?;
    // From here on no Python code runs: a reference is called, and a dict looked up by a str.
    if let Some(old) = fast::dict_get(data.obj(), id).map(Obj::own) {
        let kept = old.call(&[])?;
        if !kept.obj().is_none() {
            return Ok(kept);
        }
    }
    // SAFETY: a dict and live objects; -1 with an error set.
    if unsafe { ffi::PyDict_SetItem(data.ptr(), id.ptr(), reference.ptr()) } < 0 {
        return Err(Raised::set());
    }
    Ok(obj.own())
}

fn call_method(obj: Obj, name: &core::ffi::CStr, args: &[Obj]) -> Result<Own, Raised> {
    obj.getattr(fast::intern(name)?.obj())?.call(args)
}

/// A weak dictionary in `copyreg`, made if it is not there.
fn registry(name: &str, kind: &str) -> Result<Own, Raised> {
    let copyreg = types::import(fast::intern(c"copyreg")?.obj())?;
    let key = fast::text::interned(fast::new_str(name)?);
    let Some(dict) = fast::module_dict(copyreg.obj()) else {
        return copyreg.getattr(key.obj());
    };
    if let Some(found) = fast::dict_get(dict, key.obj()) {
        return Ok(found.own());
    }
    let weakref = types::import(fast::intern(c"weakref")?.obj())?;
    let kind = fast::text::interned(fast::new_str(kind)?);
    let made = weakref.getattr(kind.obj())?.call(&[])?;
    // SAFETY: a dict and live objects; a borrowed reference or null.
    unsafe {
        match Obj::borrowed(ffi::PyDict_SetDefault(dict.ptr(), key.ptr(), made.ptr())) {
            Some(found) => Ok(found.own()),
            None => Err(Raised::set()),
        }
    }
}

#[derive(Default)]
struct Hasher {
    xxh: Xxh3,
    /// Objects met, by address: their number in the order of meeting.
    met: HashMap<usize, usize>,
}

impl Hasher {
    fn tag(&mut self, tag: &str) {
        self.xxh.update(tag.as_bytes());
        self.xxh.update(&[0]);
    }

    fn text(&mut self, text: Obj) {
        let mut scratch = Vec::new();
        let bytes = fast::text::utf8(text, &mut scratch);
        self.xxh.update(&(bytes.len() as u64).to_le_bytes());
        self.xxh.update(bytes);
    }

    /// Notes that an object is looked at; false if it was before.
    fn enter(&mut self, obj: Obj) -> bool {
        let number = self.met.len();
        match self.met.get(&obj.addr()) {
            Some(known) => {
                let known = *known as u64;
                self.tag("met");
                self.xxh.update(&known.to_le_bytes());
                false
            }
            None => {
                self.met.insert(obj.addr(), number);
                true
            }
        }
    }

    fn named(&mut self, obj: Obj) -> Result<(), Raised> {
        let names = types::get();
        for name in [&names.module, &names.qualname] {
            match obj.getattr_opt(name.obj())? {
                Some(text) if fast::is_str(text.ty()) => self.text(text.obj()),
                _ => self.tag("?"),
            }
        }
        Ok(())
    }

    fn class(&mut self, class: Obj, depth: u32) -> Result<(), Raised> {
        self.tag("class");
        self.named(class)?;
        if !self.enter(class) {
            return Ok(());
        }
        self.named(class.ty_obj())?;
        let ty: TypePtr = class.ptr().cast();
        for base in instance::mro(ty).skip(1) {
            self.named(base)?;
        }
        let dict = instance::class_dict(ty)?;
        // Metaclasses and representations have code of their own.
        for (key, value) in fast::dict_items(dict.obj()) {
            if !fast::is_str(key.ty()) {
                continue;
            }
            let mut scratch = Vec::new();
            // Where it was written, and what changes with use.
            match fast::text::utf8(key.obj(), &mut scratch) {
                b"__firstlineno__"
                | b"_abc_impl"
                | b"__annotations_cache__"
                | b"__weakref__"
                | b"__dict__" => continue,
                _ => {}
            }
            self.text(key.obj());
            self.value(value.obj(), depth + 1)?;
        }
        Ok(())
    }

    fn function(&mut self, obj: Obj, depth: u32) -> Result<(), Raised> {
        self.tag("function");
        if !self.enter(obj) {
            return Ok(());
        }
        let fields = function::fields(obj);
        self.text(fields.qualname);
        self.code(fields.code)?;
        for part in [fields.defaults, fields.kwdefaults].into_iter().flatten() {
            self.value(part, depth + 1)?;
        }
        if let Some(cells) = fields.closure {
            for i in 0..fast::tuple_len(cells) {
                match function::cell_contents(fast::tuple_get(cells, i)) {
                    Some(value) => self.value(value.obj(), depth + 1)?,
                    None => self.tag("empty"),
                }
            }
        }
        Ok(())
    }

    fn code(&mut self, code: Obj) -> Result<(), Raised> {
        let mut bytes = Vec::new();
        code::fingerprint(code, &mut bytes)?;
        self.xxh.update(&bytes);
        Ok(())
    }

    fn value(&mut self, value: Obj, depth: u32) -> Result<(), Raised> {
        if depth > DEEPEST {
            self.tag("deep");
            return Ok(());
        }
        let ty = value.ty();
        if value.is_none() {
            self.tag("none");
        } else if fast::is_bool(ty) {
            self.tag(if fast::is_true(value) { "true" } else { "false" });
        } else if fast::is_str(ty) {
            self.tag("str");
            self.text(value);
        } else if fast::is_int(ty) {
            self.tag("int");
            let mut bytes = Vec::new();
            fast::long::to_bytes(value, &mut bytes)?;
            self.xxh.update(&bytes);
        } else if fast::is_float(ty) {
            self.tag("float");
            self.xxh.update(&fast::float_value(value).to_bits().to_le_bytes());
        } else if fast::is_bytes(ty) {
            self.tag("bytes");
            self.xxh.update(fast::bytes_data(value));
        } else if fast::is_function(ty) {
            self.function(value, depth)?;
        } else if value.is_class() {
            if super::is_python_class(value) && depth < 3 {
                self.class(value, depth)?;
            } else {
                self.tag("class");
                self.named(value)?;
            }
        } else if fast::is_tuple(ty) || fast::is_list(ty) {
            self.sequence(value, depth)?;
        } else if fast::is_dict(ty) {
            self.mapping(value, depth)?;
        } else {
            self.other(value, depth)?;
        }
        Ok(())
    }

    fn sequence(&mut self, value: Obj, depth: u32) -> Result<(), Raised> {
        let is_list = fast::is_list(value.ty());
        self.tag(if is_list { "list" } else { "tuple" });
        if !self.enter(value) {
            return Ok(());
        }
        let len = if is_list { fast::list_len(value) } else { fast::tuple_len(value) };
        self.xxh.update(&(len as u64).to_le_bytes());
        let item = |i| if is_list { fast::list_get(value, i) } else { fast::tuple_get(value, i) };
        let items: Vec<Own> = (0..len).map(|i| item(i).own()).collect();
        for item in items {
            self.value(item.obj(), depth + 1)?;
        }
        Ok(())
    }

    fn mapping(&mut self, value: Obj, depth: u32) -> Result<(), Raised> {
        self.tag("dict");
        if !self.enter(value) {
            return Ok(());
        }
        for (key, item) in fast::dict_items(value) {
            self.value(key.obj(), depth + 1)?;
            self.value(item.obj(), depth + 1)?;
        }
        self.tag("end");
        Ok(())
    }

    /// Descriptors by what is in them, plain instances by their attributes,
    /// type hints by their text. Of others nothing is known: no two are alike.
    fn other(&mut self, value: Obj, depth: u32) -> Result<(), Raised> {
        let ty = value.ty();
        self.tag("object");
        self.named(value.ty_obj())?;
        if !self.enter(value) {
            return Ok(());
        }
        let parts: &[&core::ffi::CStr] = if ty == &raw mut ffi::PyProperty_Type {
            &[c"fget", c"fset", c"fdel"]
        } else if ty == &raw mut ffi::PyStaticMethod_Type || ty == &raw mut ffi::PyClassMethod_Type
        {
            &[c"__func__"]
        } else if ty == &raw mut ffi::PyMemberDescr_Type || ty == &raw mut ffi::PyGetSetDescr_Type {
            &[c"__name__"]
        } else if fast::is_set(ty) || fast::is_frozenset(ty) {
            return self.set(value, depth);
        } else if of_typing(value.ty_obj()) {
            self.tag(&crate::error::repr(value));
            return Ok(());
        } else if instance::is_python_made(ty)
            && instance::reads_plainly(ty)
            && instance::has_dict(ty)
        {
            let dict = instance::dict(value)?;
            return self.mapping(dict.obj(), depth + 1);
        } else {
            self.tag(&unique());
            return Ok(());
        };
        for part in parts {
            let found = value.getattr(fast::intern(part)?.obj())?;
            self.value(found.obj(), depth + 1)?;
        }
        Ok(())
    }

    /// A set, whatever its order.
    fn set(&mut self, set: Obj, depth: u32) -> Result<(), Raised> {
        let mut sum: u128 = 0;
        let mut position = 0;
        let items = core::iter::from_fn(|| fast::set_next(set, &mut position).map(Obj::own));
        for item in items.collect::<Vec<Own>>() {
            let mut one = Hasher::default();
            one.value(item.obj(), depth + 1)?;
            sum = sum.wrapping_add(one.xxh.digest128());
        }
        self.xxh.update(&sum.to_le_bytes());
        Ok(())
    }
}

fn of_typing(class: Obj) -> bool {
    super::is_of(class, &[b"typing", b"types", b"typing_extensions"])
}

/// A text that no other object of any process has.
fn unique() -> String {
    use core::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |since| since.as_nanos());
    format!("{}:{nanos}:{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
