//! Buffers: bytes with an owner, described by plain data.
//!
//! [`desc`] says what a buffer is, [`owner`] who keeps it alive and frees it,
//! [`block`] is memory of our own, [`plan`] how several lie one after another,
//! [`table`] which buffers belong to one stream, in the order of its
//! NEXT_BUFFER opcodes (PEP 574).

pub mod block;
pub mod desc;
mod gather;
#[allow(unsafe_code, reason = "a buffer is a raw region that its owner keeps alive")]
pub mod owner;
pub mod plan;
pub mod table;

pub use block::{ALIGN, Block};
pub use desc::{BufferDesc, Place};
pub use gather::{Copies, gather};
pub use owner::{Buffer, Owner};
pub use plan::Plan;
pub use table::BufferTable;
