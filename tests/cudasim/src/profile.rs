//! Which functions a driver of some version has, and how a program finds them.

use std::ffi::c_int;

use crate::api::Entry;
use crate::raw::{Code, Out, Static, Text};
use crate::status::Status;

/// The versions that can be installed; 12000 is 12.0.
pub const PROFILES: &[i32] = &[12000, 12020, 12040, 12080, 13000, 13020];

/// The version of this library, in text, so that a copy of the file can be given another.
static VERSION: [u8; 24] = *b"cudasim version 13020 \0\0";

/// Where the digits start in [`VERSION`].
const DIGITS: usize = 16;

/// The version of the driver that this library is.
pub fn version() -> i32 {
    // Read past the optimizer: the file may have been changed after it was compiled.
    let text = std::hint::black_box(&VERSION);
    text[DIGITS..DIGITS + 5].iter().fold(0, |n, digit| n * 10 + i32::from(digit - b'0'))
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        ENTRIES,
        crate::device::ENTRIES,
        crate::context::ENTRIES,
        crate::stream::ENTRIES,
        crate::event::ENTRIES,
        crate::memory::ENTRIES,
        crate::pinned::ENTRIES,
        crate::pointer::ENTRIES,
        crate::pool::ENTRIES,
        crate::copy::ENTRIES,
        crate::ipc::ENTRIES,
        crate::virtual_memory::ENTRIES,
        crate::module::ENTRIES,
        crate::launch::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

/// Makes the library of another version out of this one's file: the version is written in, and functions that it
/// lacks lose their names, so that no look-up finds them.
///
/// # Errors
///
/// A text if the file is not this library.
pub fn specialize(library: &mut [u8], version: i32) -> Result<(), String> {
    let at = find(library, &VERSION[..DIGITS]).ok_or("this is not the simulated driver")?;
    library[at + DIGITS..at + DIGITS + 5].copy_from_slice(format!("{version:05}").as_bytes());
    for entry in entries().filter(|entry| entry.since > version) {
        let name = [b"\0", entry.name.as_bytes(), b"\0"].concat();
        let at = find(library, &name).ok_or_else(|| format!("{} is not exported", entry.name))?;
        library[at + 1..at + 3].copy_from_slice(b"__");
    }
    Ok(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The name without what tells its variants apart: `cuMemAlloc` of `cuMemAlloc_v2`.
fn base(name: &str) -> (&str, u32, bool) {
    let own = name.ends_with("_ptsz") || name.ends_with("_ptds");
    let name = if own { &name[..name.len() - 5] } else { name };
    match name.rsplit_once("_v") {
        Some((base, digits)) if digits.bytes().all(|c| c.is_ascii_digit()) => {
            (base, digits.parse().unwrap_or(1), own)
        }
        _ => (name, 1, own),
    }
}

const FOUND: c_int = 0;
const NO_SUCH_SYMBOL: c_int = 1;
const VERSION_TOO_LOW: c_int = 2;

/// The newest variant of a function that a program of version `wanted` may have.
fn look_up(symbol: &str, wanted: i32, flags: u64) -> (c_int, Option<&'static Entry>) {
    let own = flags & 2 != 0;
    let variants = || entries().filter(|e| base(e.name).0 == symbol && e.since <= version());
    let fits = |e: &&Entry| {
        e.since <= wanted && base(e.name).2 == (own && variants().any(|v| base(v.name).2))
    };
    match variants().filter(fits).max_by_key(|e| base(e.name).1) {
        Some(entry) => (FOUND, Some(entry)),
        None if variants().next().is_some() => (VERSION_TOO_LOW, None),
        None => (NO_SUCH_SYMBOL, None),
    }
}

crate::api::functions! {
    0 fn cuGetProcAddress(_d, symbol: Text, function: Out<Code>, wanted: c_int, flags: u64) {
        match look_up(&symbol.get()?, wanted, flags).1 {
            Some(entry) => function.set(Code::new((entry.address)())),
            None => { function.set(Code::NONE)?; Err(Status::NOT_FOUND) }
        }
    }

    0 fn cuGetProcAddress_v2(_d, symbol: Text, function: Out<Code>, wanted: c_int, flags: u64, found: Out<c_int>) {
        let (state, entry) = look_up(&symbol.get()?, wanted, flags);
        found.set_if(state);
        match entry {
            Some(entry) => function.set(Code::new((entry.address)())),
            // With a place for the reason, not finding is no error.
            None => { function.set(Code::NONE)?; if found.is_null() { Err(Status::NOT_FOUND) } else { Ok(()) } }
        }
    }

    0 fn cuDriverGetVersion(_d, number: Out<c_int>) {
        number.set(version())
    }

    0 fn cuGetErrorName(_d, code: c_int, text: Out<Static>) {
        let known = Status::describe(code);
        text.set(known.map_or(Static::NONE, |(name, _)| Static::new(name)))?;
        known.map(drop).ok_or(Status::INVALID_VALUE)
    }

    0 fn cuGetErrorString(_d, code: c_int, text: Out<Static>) {
        let known = Status::describe(code);
        text.set(known.map_or(Static::NONE, |(_, string)| Static::new(string)))?;
        known.map(drop).ok_or(Status::INVALID_VALUE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(base("cuMemAlloc_v2"), ("cuMemAlloc", 2, false));
        assert_eq!(base("cuMemcpyAsync_ptsz"), ("cuMemcpyAsync", 1, true));
        assert_eq!(base("cuMemcpyHtoDAsync_v2_ptsz"), ("cuMemcpyHtoDAsync", 2, true));
        assert_eq!(base("cuInit"), ("cuInit", 1, false));
    }

    #[test]
    fn no_name_is_exported_twice() {
        let mut names: Vec<_> = entries().map(|e| e.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
