//! Versions of the packages that are loaded: what they say themselves, or what
//! their installer has noted beside them. Runs no Python code.

use crate::error::{OrNone, Raised, display};
use crate::fast::{self, Obj};
use crate::types;
use std::path::Path;

/// Packages whose distributions have another name.
const DISTRIBUTIONS: [(&str, &str); 9] = [
    ("Bio", "biopython"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("yaml", "PyYAML"),
];

/// Longest text that counts as a version.
const LONGEST: usize = 64;

/// The package that a module is of: the first part of its name.
pub fn root(module: &[u8]) -> &[u8] {
    module.split(|byte| *byte == b'.').next().unwrap_or(module)
}

/// Whether a package comes with Python, or is the program itself.
pub fn is_of_python(package: &str) -> Result<bool, Raised> {
    let name = fast::new_str(package)?;
    Ok(package == "__main__" || fast::set_contains(types::get().stdlib_names.obj(), name.obj())?)
}

/// Whether a package is loaded.
pub fn is_loaded(package: &str) -> bool {
    fast::new_str(package).or_none().is_some_and(|name| types::loaded_module(name.obj()).is_some())
}

/// The version of a package that is loaded, if it can be told.
pub fn version(package: &str) -> Result<Option<String>, Raised> {
    let name = fast::new_str(package)?;
    let Some(dict) = types::loaded_module(name.obj()).and_then(fast::module_dict) else {
        return Ok(None);
    };
    let said = fast::dict_get(dict, types::get().version.obj());
    let version = match said.filter(|said| fast::is_str(said.ty())) {
        Some(said) => Some(display(said)),
        None => place(dict).and_then(|place| installed(Path::new(&place), package)),
    };
    Ok(version.filter(|version| is_version(version)))
}

fn is_version(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The file or folder of a module.
fn place(dict: Obj) -> Option<String> {
    let names = types::get();
    let first = |path: Obj| {
        let known = fast::is_list(path.ty()) && fast::list_len(path) > 0;
        known.then(|| fast::list_get(path, 0))
    };
    let found = match fast::dict_get(dict, names.path.obj()) {
        Some(path) => first(path),
        None => fast::dict_get(dict, names.file.obj()),
    };
    found.filter(|found| fast::is_str(found.ty())).map(display)
}

/// The version in the name of the folder of metadata beside a module
/// (`name-1.2.dist-info`).
fn installed(place: &Path, package: &str) -> Option<String> {
    let folder = place.parent()?;
    if !["site-packages", "dist-packages"].iter().any(|name| folder.ends_with(name)) {
        return None;
    }
    let package = normalized(package);
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let entry = entry.file_name();
        let (name, version) = entry.to_str()?.strip_suffix(".dist-info")?.split_once('-')?;
        (normalized(name) == package).then(|| version.to_owned())
    })
}

fn normalized(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

/// The line that installs a package in a version. Both may come from a stream
/// of anybody's: there is none but for names and versions that are ones.
pub fn command_to_install(package: &str, version: &str) -> Option<String> {
    let known = DISTRIBUTIONS.iter().find(|(name, _)| *name == package);
    let name = known.map_or(package, |(_, distribution)| distribution);
    // What follows a plus is of one build, and no index has it.
    let version = version.split('+').next().unwrap_or(version);
    let is_made_of = |text: &str, marks: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
    };
    let sound = is_made_of(name, "_-.") && is_made_of(version, ".!_-");
    sound.then(|| format!("pip install '{name}=={version}'"))
}

/// The running Python's version: "3.11.7".
pub fn python_release() -> &'static str {
    let text = types::python_version_text();
    text.split(' ').next().unwrap_or(text)
}
