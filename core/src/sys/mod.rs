//! The operating system: the only calls of libc in this crate.
//!
//! | to change | open |
//! |---|---|
//! | mapped memory, advice to the kernel about it | [`memory`] |
//! | files that exist in memory only, with a name or without | [`memfile`] |
//! | who a process is, whether it lives | [`process`] |
//! | bytes over a socket, waiting for one | [`socket`] |
//!
//! Everything above this module is free of raw system calls. Where Linux has a call that
//! other systems lack, the function says what it does there.

#[allow(unsafe_code, reason = "memfd_create, shm_open, ftruncate: descriptors made by C")]
pub mod memfile;
#[allow(unsafe_code, reason = "mmap, madvise: memory that the kernel gives")]
pub mod memory;
#[allow(unsafe_code, reason = "getpid, kill, clock_gettime")]
pub mod process;
#[allow(unsafe_code, reason = "sendmsg, recv, poll: slices given to C")]
pub mod socket;

use std::io;

/// The result of a call that answers -1 with `errno` set.
fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
