//! Bytes over a socket, and waiting for one.
//!
//! No call blocks but [`wait`], and none changes a flag of the descriptor, which other processes may share.
//!
//! # Safety
//!
//! The slices that are given to C live across the call and are as long as C is told.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Slices taken by one call; every system takes at least 16, Linux and macOS 1024.
pub const MAX_SLICES: usize = 1024;

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// Elsewhere a socket option does it, or the program ignores SIGPIPE, as Python does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_SIGNAL: libc::c_int = 0;

/// Sends what the socket takes now of the first [`MAX_SLICES`] slices.
pub fn send(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = slices.len().min(MAX_SLICES);
    // SAFETY: `IoSlice` has the layout of `iovec`; C only reads from where they point.
    let sent = unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = slices.as_ptr().cast_mut().cast();
        message.msg_iovlen = count as _;
        libc::sendmsg(socket.as_raw_fd(), &message, NO_SIGNAL | libc::MSG_DONTWAIT)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives what is there, up to the length of `space`; 0 when the other end is closed.
pub fn receive(socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    // SAFETY: room for `len` bytes.
    let got = unsafe {
        let (start, len) = (space.as_mut_ptr().cast(), space.len());
        libc::recv(socket.as_raw_fd(), start, len, libc::MSG_DONTWAIT)
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Bytes have come, or the other end is closed.
    Readable,
    /// There is room for bytes.
    Writable,
}

/// Waits for a socket; false if nothing happened within the time. A signal is an error
/// of kind `Interrupted`.
pub fn wait(socket: BorrowedFd<'_>, event: Event, time: Duration) -> io::Result<bool> {
    let events = match event {
        Event::Readable => libc::POLLIN,
        Event::Writable => libc::POLLOUT,
    };
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // Rounded up: a wait of a part of a millisecond must not become a busy loop.
    let time = time.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
    // SAFETY: one entry, which C fills in.
    Ok(super::check(unsafe { libc::poll(&mut entry, 1, time) })? > 0)
}
