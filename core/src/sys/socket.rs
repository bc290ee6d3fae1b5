//! Bytes over a socket, and waiting for one.
//!
//! No call blocks but [`wait`], and none changes a flag of the descriptor, which other processes may share.
//!
//! # Safety
//!
//! The slices that are given to C live across the call and are as long as C is told.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Slices taken by one call; every system takes at least 16, Linux and macOS 1024.
pub const MAX_SLICES: usize = 1024;

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// Elsewhere a socket option does it, or the program ignores SIGPIPE, as Python does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_SIGNAL: libc::c_int = 0;

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;
/// Elsewhere there is no such flag.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOSE_ON_EXEC: libc::c_int = 0;

/// Sends what the socket takes now of the first [`MAX_SLICES`] slices.
pub fn send(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    send_with(socket, slices, &[])
}

/// Descriptors that go with the first byte of a call.
pub const MAX_DESCRIPTORS: usize = 2;

/// Room for a head and [`MAX_DESCRIPTORS`], aligned as the system wants it.
type Control = [u64; 8];

/// As [`send`], on a unix socket, with descriptors: they arrive with the first byte that is taken now.
pub fn send_with(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    descriptors: &[OwnedFd],
) -> io::Result<usize> {
    let count = slices.len().min(MAX_SLICES);
    let given = descriptors.len().min(MAX_DESCRIPTORS);
    let len = (given * size_of::<libc::c_int>()) as libc::c_uint;
    let mut control: Control = [0; 8];
    // SAFETY: `IoSlice` has the layout of `iovec`; C only reads from where they point. The control block has room for a
    // head and all descriptors, and is aligned for both.
    let sent = unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = slices.as_ptr().cast_mut().cast();
        message.msg_iovlen = count as _;
        if given > 0 {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(len) as _;
            let head = libc::CMSG_FIRSTHDR(&message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(len) as _;
            let data = libc::CMSG_DATA(head).cast::<libc::c_int>();
            for (place, descriptor) in descriptors[..given].iter().enumerate() {
                data.add(place).write_unaligned(descriptor.as_raw_fd());
            }
        }
        libc::sendmsg(socket.as_raw_fd(), &message, NO_SIGNAL | libc::MSG_DONTWAIT)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// As [`receive`], on a unix socket; what descriptors come are added to `descriptors`, [`MAX_DESCRIPTORS`] at most.
pub fn receive_with(
    socket: BorrowedFd<'_>,
    space: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let most = (MAX_DESCRIPTORS * size_of::<libc::c_int>()) as libc::c_uint;
    let mut control: Control = [0; 8];
    let mut slice = libc::iovec { iov_base: space.as_mut_ptr().cast(), iov_len: space.len() };
    // SAFETY: room for as many bytes and for the descriptors; each that the system tells of is new, open, and nobody
    // else's in this process.
    let got = unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = &mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(most) as _;
        let got =
            libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT | CLOSE_ON_EXEC);
        let mut head = if got < 0 { core::ptr::null_mut() } else { libc::CMSG_FIRSTHDR(&message) };
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(head).cast::<libc::c_int>();
                for place in 0..bytes / size_of::<libc::c_int>() {
                    descriptors.push(OwnedFd::from_raw_fd(data.add(place).read_unaligned()));
                }
            }
            head = libc::CMSG_NXTHDR(&message, head);
        }
        got
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_the_first_byte_and_not_before() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut writer, reader) = UnixStream::pair().expect("a pair");
        send(here.as_fd(), &[IoSlice::new(b"before")]).expect("there is room");
        let sent = send_with(here.as_fd(), &[IoSlice::new(b"with")], &[reader.into()]);
        assert_eq!(sent.expect("there is room"), 4);
        let (mut space, mut got) = ([0; 6], Vec::new());
        assert_eq!(receive_with(there.as_fd(), &mut space, &mut got).expect("it is there"), 6);
        assert!(got.is_empty());
        assert_eq!(receive_with(there.as_fd(), &mut space[..1], &mut got).expect("it is there"), 1);
        writer.write_all(b"!").expect("there is room");
        let mut file = File::from(got.pop().expect("a descriptor"));
        file.read_exact(&mut space[..1]).expect("it is there");
        assert_eq!(space[0], b'!');
        assert_eq!(receive_with(there.as_fd(), &mut space, &mut got).expect("it is there"), 3);
        assert!(got.is_empty());
    }
}
