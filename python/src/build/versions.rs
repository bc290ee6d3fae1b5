//! Which versions of packages the sender had, for errors about names that are
//! missing here: what `walk/versions.rs` tells.

use super::Builder;
use crate::error::{Raised, add_to_text, annotate, display};
use crate::fast::{self, Obj, Own};
use crate::packages;
use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError};
use pyo3::prelude::*;

/// How many texts are kept.
const MOST: usize = 256;
/// Longest text that may be one.
const LONGEST: usize = 256;

/// `name==version` and more of them, as far as a text has such.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(' ').filter_map(|pair| pair.split_once("=="))
}

impl Builder {
    /// Keeps a text that a stream throws away: it may tell of versions.
    #[inline]
    pub(super) fn note_version(&mut self, thrown_away: Own) {
        let text = thrown_away.obj();
        let short =
            fast::is_str(text.ty()) && (1..=LONGEST).contains(&fast::text::ascii(text).len());
        if short && self.told.len() < MOST {
            self.told.push(thrown_away);
        }
    }

    /// The sender's version of a package, and what there is of it here.
    fn versions(&self, package: &str) -> Option<String> {
        let texts: Vec<String> = self.told.iter().rev().map(|text| display(text.obj())).collect();
        let all = || texts.iter().flat_map(|text| pairs(text));
        let version =
            |name: &str| all().find(|(known, _)| *known == name).map(|(_, version)| version);
        let python = version("python").unwrap_or("of an unknown version");
        let senders = version(package)?;
        let here = here(package, senders);
        Some(format!("pickled with {package} {senders} on Python {python}; {here}"))
    }

    /// The error of a global that could not be found: what of the receiver's is
    /// not what the sender had.
    #[cold]
    pub(super) fn not_found(&self, raised: Raised, module: Obj, name: Obj) -> Raised {
        if !fast::is_str(module.ty()) || !fast::is_str(name.ty()) {
            return raised;
        }
        let module = display(module);
        self.explained(raised, &module, Some(&display(name)))
    }

    /// The error of a call that may be the import of a module.
    #[cold]
    pub(super) fn call_failed(&self, raised: Raised, args: Obj) -> Raised {
        let module = (fast::is_tuple(args.ty()) && fast::tuple_len(args) == 1)
            .then(|| fast::tuple_get(args, 0))
            .filter(|module| fast::is_str(module.ty()));
        match module {
            Some(module) if !self.told.is_empty() => self.explained(raised, &display(module), None),
            _ => raised,
        }
    }

    fn explained(&self, raised: Raised, module: &str, name: Option<&str>) -> Raised {
        Python::attach(|py| {
            let error = raised.into_py(py);
            if !is_about(py, &error, module, name.is_some()) {
                return Raised::from_py(error);
            }
            let package = module.split('.').next().unwrap_or(module);
            let versions = self.versions(package);
            // Of a missing module Python says no more than its name.
            let wanted = name
                .filter(|_| error.is_instance_of::<PyModuleNotFoundError>(py))
                .map(|name| format!("to load {module}.{name}"));
            if self.stock || self.find_class.is_some() {
                // The text is the standard library's, or the user's.
                let Some(text) = versions else { return Raised::from_py(error) };
                let note = format!("ferropickle: {text}");
                return Raised::from_py(annotate(py, Raised::from_py(error), &note, None));
            }
            let parts: Vec<String> = [wanted, versions].into_iter().flatten().collect();
            if !parts.is_empty() {
                add_to_text(py, &error, &format!(" ({})", parts.join(", ")));
            }
            Raised::from_py(error)
        })
    }
}

/// Whether an error says that the module is not there, or the name not in it,
/// and not that something failed while the module was imported.
fn is_about(py: Python<'_>, error: &PyErr, module: &str, has_name: bool) -> bool {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return has_name
            && error.is_instance_of::<PyAttributeError>(py)
            && error.traceback(py).is_none();
    }
    let missing = error.value(py).getattr("name").and_then(|name| name.extract::<String>());
    let rest = missing.ok().and_then(|missing| module.strip_prefix(missing.as_str()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What there is of a package in this process; of one that is missing, how it
/// is had in the sender's version.
fn here(package: &str, senders: &str) -> String {
    match packages::version(package) {
        Ok(Some(version)) => format!("here {package} is {version}"),
        Ok(None) if packages::is_loaded(package) => format!("here {package} says no version"),
        Ok(None) => match packages::command_to_install(package, senders) {
            Some(command) => format!("here {package} is not installed: {command}"),
            None => format!("here {package} is not installed"),
        },
        Err(raised) => {
            raised.discard();
            format!("here the version of {package} is not known")
        }
    }
}
