//! The versions of the packages that a stream names: before the first name of
//! a package, as a text that is thrown away at once. No reader is the wiser, but
//! an error of ours about a name that is missing can tell (`build/versions.rs`).
//!
//! `numpy==1.26.4 python==3.11.7`; Python's is told once. Nothing is told of
//! the standard library, nor of packages that say no version, nor in streams of
//! the first protocols and of the face of pickle, which are stock's.

use super::{Stop, Walker};
use crate::error::Raised;
use crate::packages;
use core::hash::{BuildHasherDefault, Hasher};
use ferropickle_core::opcode::Op;
use std::collections::HashMap;

/// How many packages are remembered.
const MOST: usize = 1024;

/// What is known of packages; kept between dumps. The dumps that it was told in
/// are told apart by the walker's epoch.
#[derive(Default)]
pub struct Versions {
    packages: HashMap<Box<[u8]>, Package, BuildHasherDefault<Fnv>>,
    python_told_in: u32,
}

struct Package {
    /// What to tell of it, Python's version last; empty for nothing.
    text: Box<str>,
    /// How much of it is its own.
    own: usize,
    told_in: u32,
}

impl Package {
    fn learn(name: &[u8]) -> Result<Package, Raised> {
        let name = core::str::from_utf8(name).unwrap_or_default();
        let known = match packages::is_of_python(name)? {
            true => None,
            false => packages::version(name)?,
        };
        let own = known.map_or(String::new(), |version| format!("{name}=={version}"));
        let text = match own.len() {
            0 => String::new(),
            _ => format!("{own} python=={}", packages::python_release()),
        };
        Ok(Package { text: text.into(), own: own.len(), told_in: 0 })
    }
}

impl Walker {
    /// Tells the version of a package, unless this stream has it.
    pub(super) fn tell_version(&mut self, package: &[u8]) -> Result<(), Stop> {
        if self.options.proto < 4 || !self.by_value.on() {
            return Ok(());
        }
        let versions = &mut self.versions;
        if !versions.packages.contains_key(package) {
            let learnt = Package::learn(package)?;
            if versions.packages.len() >= MOST {
                versions.packages.clear();
            }
            versions.packages.insert(package.into(), learnt);
        }
        let Some(known) = versions.packages.get_mut(package) else { return Ok(()) };
        if known.text.is_empty() || known.told_in == self.epoch {
            return Ok(());
        }
        known.told_in = self.epoch;
        let first = versions.python_told_in != self.epoch;
        versions.python_told_in = self.epoch;
        let text = if first { &*known.text } else { &known.text[..known.own] };
        self.enc.str(text.as_bytes())?;
        self.enc.op(Op::Pop);
        Ok(())
    }
}

/// FNV-1a: names are short, and the user's own.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
