//! The core of ferropickle: pickle opcodes, encoder, decoder and buffers.
//!
//! No Python here: everything builds, tests, fuzzes and benches with no
//! interpreter on the machine. Two seams lead to Python:
//!
//! * **encode**: the walker calls [`encode::Encoder`], which writes opcodes and
//!   knows an object only as an opaque identity ([`memo::Memo`]).
//! * **decode**: [`decode::Decoder`] runs the stack machine and calls a
//!   [`decode::Build`] for every object to be made.
//!
//! | to change | open |
//! |---|---|
//! | an opcode, its argument, its documentation | [`opcode`] |
//! | how a value becomes opcodes | [`encode`] |
//! | the stack machine | [`decode`] |
//! | identity of objects while encoding | [`memo`] |
//! | parts of a stream encoded by themselves | [`parts`] |
//! | bounds on untrusted input | [`limits`] |
//! | who owns a buffer and who frees it | [`buffer`] |
//! | memory that processes share | `shm` (Unix) |
//! | messages over sockets | [`transport`] |
//! | calls of the operating system | `sys` (Unix) |
//! | a stream with its buffers, as bytes and as a file | [`parcel`] |
//! | threads for work on large memory | [`threads`] |
//! | which arrays share memory in a stream | [`regions`] |
//! | how strided memory is packed | [`strided`], [`copy`] |

pub mod buffer;
#[allow(unsafe_code, reason = "copies between raw places")]
pub mod copy;
pub mod decode;
pub mod encode;
pub mod error;
pub mod limits;
pub mod memo;
pub mod opcode;
#[allow(unsafe_code, reason = "raw output buffer behind a bounds-checked surface")]
pub mod out;
pub mod parcel;
#[allow(unsafe_code, reason = "threads write to disjoint ranges of one output buffer")]
pub mod parts;
pub mod regions;
#[cfg(unix)]
pub mod shm;
pub mod strided;
#[cfg(unix)]
pub mod sys;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[allow(unsafe_code, reason = "a pool that a forked child leaves to its parent")]
pub mod threads;
pub mod transport;

pub use error::{Error, Result};
