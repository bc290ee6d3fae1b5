//! The rules of the house, as tests. They read manifests and sources as text, so they hold on every machine and
//! need no interpreter and no device. `ARCHITECTURE.md` gives the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ferropickle_tests::{files, read, root, words};

/// The only files that may contain `unsafe`, each with what it is for. Everywhere else `deny(unsafe_code)` makes it
/// a compile error; this list makes the exceptions visible in one place. An entry that has become safe must go.
/// A path that ends in `/` stands for every file of that folder.
const UNSAFE_FILES: &[(&str, &str)] = &[
    // Memory of the core's own.
    ("core/src/buffer/owner.rs", "a region of memory and who frees it"),
    ("core/src/parcel/file/map.rs", "a file's bytes as memory"),
    ("core/src/threads.rs", "a pool that a forked child leaves to its parent"),
    ("core/src/copy.rs", "copies of strided memory between raw places"),
    ("core/src/out.rs", "the output buffer of the encoder, without a check for each byte"),
    ("core/src/shm/lease.rs", "slots as raw memory, filled and read by their holders alone"),
    ("core/src/shm/layout.rs", "the head of a segment seen as a table of atomics"),
    // Calls of the operating system.
    ("core/src/sys/memfile.rs", "memfd_create, shm_open, ftruncate, fallocate"),
    ("core/src/sys/memory.rs", "mmap and madvise"),
    ("core/src/sys/process.rs", "getpid, kill, clock_gettime"),
    ("core/src/sys/socket.rs", "sendmsg, recv, poll"),
    ("core/src/parts.rs", "threads that write to disjoint ranges of one output buffer"),
    // Calls of the CUDA driver.
    ("gpu/src/enabled/calls.rs", "the driver's C functions, looked up by name"),
    ("gpu/src/enabled/copy.rs", "copies by address, in the order of a stream"),
    ("gpu/src/enabled/device.rs", "calls on contexts"),
    ("gpu/src/enabled/event.rs", "calls on events"),
    ("gpu/src/enabled/import.rs", "waits for the work of the context"),
    ("gpu/src/enabled/ipc.rs", "events and allocations of other processes"),
    ("gpu/src/enabled/kernel.rs", "launches our kernels"),
    ("gpu/src/enabled/lane.rs", "copies between arrays, locked memory and our own"),
    ("gpu/src/enabled/memory.rs", "allocates device memory, orders streams after what fills it"),
    ("gpu/src/enabled/pinned.rs", "locked memory as bytes"),
    ("gpu/src/enabled/pointer.rs", "asks the driver about addresses"),
    ("gpu/src/enabled/probe.rs", "calls the driver's C functions before cudarc may be used"),
    ("gpu/src/enabled/shared.rs", "maps device memory that processes share"),
    ("gpu/src/enabled/staging.rs", "gives arrays that were checked to the copies"),
    ("gpu/src/enabled/stream.rs", "calls on streams"),
    ("gpu/src/enabled/within.rs", "gives arrays that were checked to the copies"),
    ("gpu/src/region.rs", "whoever names device memory vouches for it"),
    (
        "gpu/tests/simulated/user.rs",
        "copies by address and driver calls, as those who use the crate make them",
    ),
    ("benches/rust/memory.rs", "strided memory to measure the copies of, named by its address"),
    // The simulated driver is a library in C's terms; what that needs is in four files.
    ("tests/cudasim/src/api.rs", "exports the driver's C functions"),
    ("tests/cudasim/src/bytes.rs", "the memory of simulated devices, read and written by address"),
    ("tests/cudasim/src/raw.rs", "pointers that callers in C pass"),
    ("tests/cudasim/src/sys.rs", "memory files, mappings, descriptors of other processes"),
    // NumPy's structs and its C functions.
    ("numpy_ext/src/dtype.rs", "fields of dtypes"),
    ("numpy_ext/src/rebuild.rs", "arrays made over memory that another object keeps"),
    ("numpy_ext/src/scalar.rs", "the value of a scalar"),
    ("numpy_ext/src/view.rs", "fields of arrays"),
    // Raw layouts of CPython, each with the versions that it was read for.
    ("python/src/fast/datetime.rs", "fields of the datetime family"),
    ("python/src/fast/dict.rs", "the entries of a dict"),
    (
        "python/src/fast/function.rs",
        "fields of functions, contents of cells, what is kept with a code object",
    ),
    ("python/src/fast/instance.rs", "attribute dicts and slots where the interpreter keeps them"),
    ("python/src/fast/long.rs", "the digits of an int"),
    ("python/src/fast/mod.rs", "the handles `Obj` and `Own`, reference counts, type flags"),
    ("python/src/fast/private.rs", "functions that CPython exports and PyO3 does not declare"),
    ("python/src/fast/sequence.rs", "items of lists and tuples, moved in where they lie"),
    ("python/src/fast/set.rs", "the table of a set"),
    ("python/src/fast/storage.rs", "a bytes object that grows in place while it is written"),
    ("python/src/fast/text.rs", "the characters of a str"),
    ("python/src/fast/values.rs", "values of dicts and instances that share keys"),
    // CPython's C API while walking, on objects that the walker's state keeps alive.
    ("python/src/walk/buffer.rs", "PEP 3118 views, and the object behind a PickleBuffer"),
    ("python/src/byvalue/annotations.rs", "a function called with a keyword"),
    ("python/src/byvalue/class.rs", "types of metaclasses compared, the MRO read"),
    ("python/src/byvalue/code.rs", "parts of a complex constant"),
    ("python/src/byvalue/enums.rs", "dicts filled, classes compared"),
    ("python/src/byvalue/identity.rs", "the registries in `copyreg`"),
    ("python/src/byvalue/mod.rs", "a policy and a singleton as objects"),
    ("python/src/byvalue/parts.rs", "the type of a descriptor, as an object"),
    ("python/src/byvalue/rules.rs", "predicates of a policy called"),
    ("python/src/byvalue/typing.rs", "classes called with keywords"),
    ("python/src/walk/global.rs", "names looked up in modules without running code"),
    ("python/src/walk/instance.rs", "the type of a plain instance, as an object"),
    ("python/src/walk/elements.rs", "the elements of arrays of objects"),
    ("python/src/walk/linked.rs", "fields of the arrays below an array"),
    ("python/src/walk/numpy.rs", "memory of arrays, where their fields say that it is"),
    (
        "python/src/walk/memo.rs",
        "addresses in the memo turned into references when the pure state ends",
    ),
    ("python/src/walk/persistent.rs", "the text of a persistent id"),
    ("python/src/walk/ask.rs", "reducers looked up and called"),
    ("python/src/walk/reduce.rs", "reduce values checked, partial objects called for"),
    ("python/src/walk/replay.rs", "iterators of reduce values turned into lists"),
    ("python/src/walk/scalar.rs", "ints and floats as text, for protocol 0"),
    ("python/src/walk/set.rs", "items of sets, as a list"),
    ("python/src/walk/split.rs", "addresses that threads have met, turned into references"),
    ("python/src/walk/text.rs", "data of bytes and bytearrays"),
    ("python/src/walk/device.rs", "room for bytes that come from devices"),
    ("python/src/walk/worker.rs", "a walker handed to a thread, with a view of what types are"),
    // CPython's C API while building, on objects that the decoder's stack owns.
    ("python/src/build/buffer.rs", "a read-only view of a buffer"),
    ("python/src/build/global.rs", "module dicts, and the extension registry"),
    ("python/src/build/instance.rs", "instances made without their class being called"),
    ("python/src/build/known.rs", "the datetime family through its C API"),
    ("python/src/build/mapping.rs", "dicts filled in place"),
    ("python/src/build/numpy.rs", "arrays over the memory of bytes-like objects"),
    ("python/src/build/reduce.rs", "calls with a tuple of arguments"),
    ("python/src/build/scalar.rs", "ints and floats from their bytes or text"),
    ("python/src/build/sequence.rs", "empty lists and tuples made"),
    ("python/src/build/set.rs", "sets made and filled"),
    ("python/src/build/text.rs", "strings and bytes made at their size and filled in place"),
    // CPython's C API around them.
    ("python/src/arena.rs", "a descriptor that a caller names"),
    ("python/src/link/mod.rs", "a descriptor that a caller gives away"),
    ("python/src/arrays.rs", "what is known of NumPy, shared under the GIL"),
    ("python/src/buffers.rs", "memory of Python objects as buffers of the core, and back"),
    ("python/src/classify/known.rs", "fields of types"),
    ("python/src/classify/look.rs", "fields of types"),
    ("python/src/classify/mod.rs", "fields of types"),
    ("python/src/classify/plain.rs", "fields of types"),
    ("python/src/device/buffer.rs", "device memory that an object keeps, as a source of copies"),
    ("python/src/device/exchange.rs", "descriptors that a caller gives away"),
    ("python/src/device/staging.rs", "addresses of arrays"),
    ("python/src/error.rs", "the exception that is set, taken and put back"),
    ("python/src/gc.rs", "the collector's switch"),
    ("python/src/parcel/writev.rs", "a descriptor that stays the caller's, and waiting for it"),
    ("python/src/pickler.rs", "what a Pickler holds, shown to the collector, freed on any thread"),
    ("python/src/unpickler.rs", "what an Unpickler holds, freed on any thread"),
    ("python/src/policy/mod.rs", "a context variable, read without a call"),
    ("python/src/scratch.rs", "spare memory for the next call, exchanged by an atomic pointer"),
    ("python/src/signals.rs", "the interpreter's pending signals"),
    ("python/src/sink.rs", "the bytes given to `write`"),
    ("python/src/source.rs", "PEP 3118 views, and memory given to `readinto`"),
    ("python/src/types.rs", "names and classes looked up once, shared under the GIL"),
];

/// Files that one of `walk` and `build` has alone, and why.
const WITHOUT_A_TWIN: &[(&str, &str)] = &[
    (
        "python/src/build/classes.rs",
        "what a walk knows of classes is kept between dumps: python/src/classify",
    ),
    (
        "python/src/build/shape.rs",
        "a walk reads keys one by one: it has nothing to gain from shapes",
    ),
    ("python/src/walk/ask.rs", "a load asks nobody: the stream says what is called"),
    ("python/src/walk/described.rs", "a load makes the views that the stream asks for"),
    ("python/src/walk/elements.rs", "arrays of objects are given their elements by NumPy"),
    (
        "python/src/walk/frame.rs",
        "the walker's own stack; the builder's is the decoder's, in core/src/decode",
    ),
    (
        "python/src/walk/items.rs",
        "a load finds items of iterators on the stack, as those of lists and dicts",
    ),
    ("python/src/walk/linked.rs", "a load makes the views that the stream asks for"),
    ("python/src/walk/memo.rs", "the memo of a load is the decoder's, in core/src/decode"),
    ("python/src/walk/notes.rs", "the standard library makes no notes when it loads"),
    ("python/src/walk/persistent.rs", "on load a persistent id is one call, in build/mod.rs"),
    ("python/src/walk/replay.rs", "a load never begins again"),
    ("python/src/walk/split.rs", "loads are not split: each opcode needs those before it"),
    ("python/src/walk/worker.rs", "as split.rs"),
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
fn objects_are_read_in_place_only_in_fast() {
    let is_layout = |word: &str| {
        let object = word.starts_with("Py") && word.ends_with("Object") && !word.contains('_');
        let datetime = word.strip_prefix("PyDateTime_").is_some_and(|name| name != "IMPORT");
        (object && !["PyObject", "PyTypeObject"].contains(&word)) || datetime
    };
    for path in files("python/src", "rs") {
        if text(&path).contains("python/src/fast/") {
            continue;
        }
        let named: Vec<_> = words(&read(&path)).into_iter().filter(|w| is_layout(w)).collect();
        assert!(named.is_empty(), "{} names layouts of objects: {named:?}", path.display());
    }
}

#[test]
fn walk_and_build_are_twins() {
    let alone: BTreeSet<&str> = WITHOUT_A_TWIN.iter().map(|(path, _)| *path).collect();
    let (walk, build) = (file_names("python/src/walk"), file_names("python/src/build"));
    assert!(!walk.is_empty(), "python/src/walk has no files");
    let found: Vec<String> =
        (walk.difference(&build).map(|name| format!("python/src/walk/{name}")))
            .chain(build.difference(&walk).map(|name| format!("python/src/build/{name}")))
            .collect();
    let unlisted: Vec<_> = found.iter().filter(|path| !alone.contains(path.as_str())).collect();
    assert!(unlisted.is_empty(), "files without a twin in walk or build: {unlisted:#?}");
    let stale: Vec<_> = alone.iter().filter(|&&path| !found.iter().any(|f| f == path)).collect();
    assert!(stale.is_empty(), "WITHOUT_A_TWIN lists files that have one: {stale:#?}");
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
    // The `pub use` lines of enabled/mod.rs are the list of what the enabled half offers: a module, then names, those
    // of functions in lower case.
    let source = read("gpu/src/enabled/mod.rs");
    let lines = source.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = lines.flat_map(|line| words(line).into_iter().skip(1));
    let enabled: BTreeSet<String> =
        names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    assert!(!enabled.is_empty(), "gpu/src/enabled/mod.rs offers nothing");
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
