//! What a policy says of modules, types and names: `by_value`, `reducers` and `main`.

use crate::error::{OrNone, display};
use crate::fast::{self, Obj, Own, TypePtr};
use crate::types;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The choices of a policy that need Python objects.
pub struct Rules {
    /// Names of modules; submodules are meant too.
    modules: Vec<String>,
    /// Called with a module.
    predicates: Vec<Py<PyAny>>,
    /// The user's own tree.
    project: bool,
    /// From types to reducers.
    pub reducers: Option<Py<PyAny>>,
    /// From names to what the receiver's `__main__` has under them: a dict.
    main: Option<Py<PyAny>>,
}

/// What is known of a module without running code.
pub enum Verdict {
    Known(bool),
    /// Predicates have to be asked.
    Ask,
}

impl Rules {
    /// Reads the arguments of `Policy`; `None` if they say nothing.
    pub fn of(
        by_value: Option<&Bound<'_, PyAny>>,
        reducers: Option<&Bound<'_, PyAny>>,
        main: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<Rules>> {
        let mut rules = Rules {
            modules: Vec::new(),
            predicates: Vec::new(),
            project: false,
            reducers: reducers.map(|given| given.clone().unbind()),
            main: main.map(|given| given.clone().unbind().into_any()),
        };
        if let Some(given) = by_value {
            let is_sequence = given.is_instance_of::<pyo3::types::PyTuple>()
                || given.is_instance_of::<pyo3::types::PyList>()
                || given.is_instance_of::<pyo3::types::PySet>()
                || given.is_instance_of::<pyo3::types::PyFrozenSet>();
            if is_sequence {
                for one in given.try_iter()? {
                    rules.add(&one?)?;
                }
            } else {
                rules.add(given)?;
            }
        }
        let says_something =
            rules.lists_modules() || rules.reducers.is_some() || rules.main.is_some();
        Ok(says_something.then_some(rules))
    }

    fn add(&mut self, given: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = given.cast::<pyo3::types::PyString>() {
            match text.to_str()? {
                "project" => self.project = true,
                name => self.modules.push(name.to_owned()),
            }
        } else if given.is_instance_of::<pyo3::types::PyModule>() {
            self.modules.push(given.getattr("__name__")?.extract()?);
        } else if given.is_callable() {
            self.predicates.push(given.clone().unbind());
        } else {
            let name = given.get_type().name()?;
            let text = format!(
                "by_value must be a module, the name of one, a predicate, 'project', or a sequence of these, not {name}"
            );
            return Err(PyTypeError::new_err(text));
        }
        Ok(())
    }

    /// Whether `by_value` was given.
    pub fn lists_modules(&self) -> bool {
        !self.modules.is_empty() || !self.predicates.is_empty() || self.project
    }

    /// Whether `main` lists names.
    pub fn lists_main(&self) -> bool {
        self.main.is_some()
    }

    /// Whether the receiver's `__main__` has what a name leads to here: `main`
    /// has the first part of the name with the object that is still there.
    pub fn receiver_has(&self, main: Obj, qualname: Obj) -> Result<bool, crate::error::Raised> {
        let Some(names) = &self.main else { return Ok(false) };
        let Some(first) = crate::walk::global::split(qualname).into_iter().next() else {
            return Ok(false);
        };
        let first = fast::new_str(&String::from_utf8_lossy(&first))?;
        // SAFETY: a live object, held by the policy.
        let names = unsafe { Obj::new(names.as_ptr()) };
        let Some(known) = fast::dict_get(names, first.obj()) else { return Ok(false) };
        let dict = types::loaded_module(main).and_then(fast::module_dict);
        Ok(dict.and_then(|dict| fast::dict_get(dict, first.obj())) == Some(known))
    }

    /// Whether functions and classes of a module go by value.
    pub fn judge(&self, name: Obj) -> Verdict {
        let text = display(name);
        let listed = self.modules.iter().any(|module| {
            text.strip_prefix(module.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        if listed || self.project && is_of_project(name) {
            return Verdict::Known(true);
        }
        if self.predicates.is_empty() { Verdict::Known(false) } else { Verdict::Ask }
    }

    /// Asks the predicates. Runs Python code.
    pub fn ask(&self, name: Obj) -> Result<bool, crate::error::Raised> {
        let Some(module) = types::loaded_module(name) else { return Ok(false) };
        let module = module.own();
        for predicate in &self.predicates {
            // SAFETY: a live object, held by the policy.
            let predicate = unsafe { Obj::new(predicate.as_ptr()) };
            let said = predicate.call(&[module.obj()])?;
            // SAFETY: a live object; -1 with an error set.
            match unsafe { pyo3::ffi::PyObject_IsTrue(said.ptr()) } {
                0 => {}
                1 => return Ok(true),
                _ => return Err(crate::error::Raised::set()),
            }
        }
        Ok(false)
    }

    /// Whether there may be a reducer for a type. Runs no code: what only code
    /// could tell is true.
    pub fn may_have_reducer(&self, ty: TypePtr) -> bool {
        let Some(reducers) = &self.reducers else { return false };
        // SAFETY: live objects; the reducers are held by the policy. Types are
        // found by their address unless their metaclass says otherwise.
        unsafe {
            let reducers = Obj::new(reducers.as_ptr());
            let meta = pyo3::ffi::Py_TYPE(ty.cast());
            let hash = |ty: TypePtr| (*ty).tp_hash.map(|hash| hash as usize);
            let by_address = hash(meta) == hash(&raw mut pyo3::ffi::PyType_Type);
            !by_address
                || !fast::is_dict(reducers.ty())
                || fast::dict_get(reducers, Obj::new(ty.cast())).is_some()
        }
    }

    /// The reducer that the policy has for a type.
    pub fn reducer(&self, ty: Obj) -> Result<Option<Own>, crate::error::Raised> {
        let Some(reducers) = &self.reducers else { return Ok(None) };
        // SAFETY: a live object, held by the policy.
        let reducers = unsafe { Obj::new(reducers.as_ptr()) };
        crate::walk::ask::lookup_mapping(reducers.own(), ty)
    }
}

/// Whether a module is of the user's own tree: it has a file, which is neither
/// the standard library's nor installed.
fn is_of_project(name: Obj) -> bool {
    let file_of = |module: Obj| -> Option<String> {
        let dict = fast::module_dict(module)?;
        let file = fast::dict_get(dict, fast::intern(c"__file__").or_none()?.obj())?;
        fast::is_str(file.ty()).then(|| display(file))
    };
    let Some(file) = types::loaded_module(name).and_then(file_of) else { return false };
    let installed = ["site-packages", "dist-packages"];
    if file.split(['/', '\\']).any(|part| installed.contains(&part)) {
        return false;
    }
    let stdlib = fast::intern(c"os")
        .or_none()
        .and_then(|os| types::loaded_module(os.obj()))
        .and_then(file_of)
        .and_then(|os| os.rfind(['/', '\\']).map(|end| os[..=end].to_owned()));
    stdlib.is_none_or(|stdlib| !file.starts_with(&stdlib))
}
