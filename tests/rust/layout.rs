//! The rules of the house, as tests. They read manifests and sources as text, so they hold on every machine and
//! need no interpreter and no device. `ARCHITECTURE.md` gives the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ferropickle_tests::{files, read, root, words};

/// The only files that may contain `unsafe`, each with what it is for. Everywhere else `deny(unsafe_code)` makes it
/// a compile error; this list makes the exceptions visible in one place. An entry that has become safe must go.
/// A path that ends in `/` stands for every file of that folder.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("core/src/buffer/owner.rs", "a region of memory and who frees it"),
    ("core/src/out.rs", "the output buffer of the encoder, without a check for each byte"),
    ("gpu/src/enabled/probe.rs", "calls the driver's C functions before cudarc may be used"),
];

/// Rooms with Rust in them.
const RUST_ROOMS: &[&str] = &["core", "gpu", "numpy_ext", "python", "benches", "tests", "examples"];

/// Files longer than this are cut in two.
const MAX_LINES: usize = 800;

/// Crates that no Python may reach, not even through a dependency of a dependency.
const PURE_CRATES: &[&str] = &["ferropickle-core", "ferropickle-gpu"];

/// What makes a crate need an interpreter.
const PYTHON_CRATES: &[&str] = &["pyo3", "pyo3-ffi", "numpy"];

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").replace('\\', "/")
}

fn file_names(folder: &str) -> BTreeSet<String> {
    files(folder, "rs").iter().map(|p| text(p.strip_prefix(folder).expect("under it"))).collect()
}

/// Each package of `Cargo.lock` with the names of its direct dependencies, all features and kinds included.
fn lock() -> BTreeMap<String, Vec<String>> {
    let mut graph = BTreeMap::<String, Vec<String>>::new();
    let mut package = String::new();
    for line in read("Cargo.lock").lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            package = name.trim_matches('"').to_owned();
            graph.entry(package.clone()).or_default();
        } else if let Some(dependency) = line.strip_prefix(" \"") {
            let name = dependency.split(['"', ' ']).next().unwrap_or_default();
            graph.entry(package.clone()).or_default().push(name.to_owned());
        }
    }
    graph
}

#[test]
fn core_and_gpu_depend_on_no_python() {
    let graph = lock();
    for &pure in PURE_CRATES {
        let mut reached = BTreeSet::new();
        let mut open = vec![pure];
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                let dependencies =
                    graph.get(name).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
                open.extend(dependencies.iter().map(String::as_str));
            }
        }
        for &python in PYTHON_CRATES {
            assert!(!reached.contains(python), "{pure} reaches {python}");
        }
    }
}

#[test]
fn core_and_gpu_name_no_python() {
    for folder in ["core", "gpu"] {
        for path in files(folder, "rs") {
            let words = words(&read(&path));
            for name in ["pyo3", "Python", "PyObject", "PyErr"] {
                assert!(!words.iter().any(|w| w == name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn core_names_no_driver() {
    for path in files("core", "rs") {
        assert!(
            !words(&read(&path)).iter().any(|w| w == "cudarc"),
            "{} names cudarc",
            path.display()
        );
    }
}

/// Whether an entry of [`UNSAFE_FILES`] means this file.
fn covers(entry: &str, file: &str) -> bool {
    if entry.ends_with('/') { file.starts_with(entry) } else { file == entry }
}

#[test]
fn unsafe_is_only_where_listed() {
    let listed: BTreeSet<&str> = UNSAFE_FILES.iter().map(|(path, _)| *path).collect();
    assert_eq!(listed.len(), UNSAFE_FILES.len(), "an entry is listed twice");
    let found: BTreeSet<String> = RUST_ROOMS
        .iter()
        .flat_map(|room| files(room, "rs"))
        .filter(|path| words(&read(path)).iter().any(|w| w == "unsafe"))
        .map(|path| text(&path))
        .collect();
    let unlisted: Vec<_> =
        found.iter().filter(|path| !listed.iter().any(|entry| covers(entry, path))).collect();
    let stale: Vec<_> =
        listed.iter().filter(|&&path| !found.iter().any(|file| covers(path, file))).collect();
    assert!(
        unlisted.is_empty(),
        "unsafe code in files that UNSAFE_FILES does not list: {unlisted:#?}"
    );
    assert!(stale.is_empty(), "UNSAFE_FILES lists files without unsafe code: {stale:#?}");
}

#[test]
fn every_listed_unsafe_file_is_named_in_the_architecture() {
    let architecture = read("ARCHITECTURE.md");
    let missing: Vec<_> = UNSAFE_FILES
        .iter()
        .filter(|(path, _)| !architecture.contains(&format!("`{path}`")))
        .collect();
    assert!(missing.is_empty(), "not among the unsafe rooms of ARCHITECTURE.md: {missing:#?}");
}

#[test]
fn walk_and_build_are_twins() {
    let (walk, build) = (file_names("python/src/walk"), file_names("python/src/build"));
    assert_eq!(
        walk, build,
        "python/src/walk and python/src/build must have files of the same names"
    );
}

#[test]
fn every_opcode_is_documented() {
    for row in ferropickle_core::opcode::TABLE {
        assert!(
            !row.name.is_empty() && row.doc.len() > 10,
            "{} ({:?}) needs a documentation",
            row.name,
            row.op
        );
    }
}

#[test]
fn the_disabled_gpu_has_the_functions_of_the_enabled_one() {
    // `pub use` in enabled/mod.rs is the list of what the enabled half offers.
    let exported = |path: &str, before: &str| -> BTreeSet<String> {
        let words = words(&read(path));
        let start = words.iter().position(|w| w == before);
        words[start.map_or(words.len(), |i| i + 2)..].iter().cloned().collect()
    };
    let enabled = exported("gpu/src/enabled/mod.rs", "use");
    let source = words(&read("gpu/src/disabled.rs"));
    let disabled: BTreeSet<String> =
        source.windows(3).filter(|w| w[0] == "pub" && w[1] == "fn").map(|w| w[2].clone()).collect();
    assert_eq!(
        enabled, disabled,
        "gpu/src/enabled and gpu/src/disabled.rs must offer the same functions"
    );
}

#[test]
fn no_file_is_too_long() {
    let mut rooms = RUST_ROOMS.to_vec();
    rooms.push(".ci");
    for path in rooms.iter().flat_map(|room| [files(room, "rs"), files(room, "py")].concat()) {
        let lines = read(&path).lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines; more than {MAX_LINES} is two files",
            path.display()
        );
    }
}

#[test]
fn the_architecture_names_every_room() {
    let architecture = read("ARCHITECTURE.md");
    for entry in std::fs::read_dir(root()).expect("a readable root") {
        let entry = entry.expect("a readable root");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let made = name.starts_with('.') || name == "target" || name == "dist";
        if entry.path().is_dir() && !made {
            assert!(
                architecture.contains(&format!("`{name}/`")),
                "ARCHITECTURE.md does not name `{name}/`"
            );
        }
    }
}
