//! Kernels, read from PTX and run by interpretation. PTX ISA 8.0, as far as plain kernels need it.
//!
//! A module is refused when it is loaded if it has anything that is not interpreted: a kernel that was accepted is
//! never half run. Every access to memory is checked for bounds and alignment, a barrier that can't open ends the kernel.

mod alu;
mod convert;
mod decode;
mod ir;
mod lex;
mod memory;
mod parse;
mod run;
mod warp;

pub use ir::{Kernel, Module};
pub use memory::View;
pub use parse::parse;
pub use run::{Launch, launch};

/// Why a module is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The line of the PTX.
    pub line: u32,
    pub why: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.why)
    }
}
