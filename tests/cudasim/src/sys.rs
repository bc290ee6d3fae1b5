//! Calls of the operating system: memory files, mappings, other processes' descriptors.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use crate::status::{Outcome, Status};

/// The size of a page.
pub const PAGE: u64 = 4096;

fn mapped(at: *mut c_void) -> Outcome<u64> {
    if at == libc::MAP_FAILED { Err(Status::OUT_OF_MEMORY) } else { Ok(at as u64) }
}

/// Reserves addresses that nobody can read or write.
pub fn reserve(size: u64) -> Outcome<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address that the system picks touches no memory in use.
    mapped(unsafe {
        libc::mmap(std::ptr::null_mut(), size as usize, libc::PROT_NONE, flags, -1, 0)
    })
}

/// Memory of the host's, filled with zeros.
pub fn host_memory(size: u64) -> Outcome<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the system picks touches no memory in use.
    mapped(unsafe { libc::mmap(std::ptr::null_mut(), size as usize, access, flags, -1, 0) })
}

/// Maps a memory file from its start, for reading and writing by the simulator.
pub fn map_file(file: &File, size: u64) -> Outcome<u64> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the system picks touches no memory in use.
    mapped(unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size as usize,
            access,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    })
}

/// Maps part of a memory file over reserved addresses, so that the host may use them (managed memory).
/// `at` must lie in a range from [`reserve`].
pub fn map_over(file: &File, offset: u64, size: u64, at: u64) -> Outcome {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    // SAFETY: only addresses of our own reservation are replaced, where nothing lives.
    mapped(unsafe {
        libc::mmap(at as *mut c_void, size as usize, access, flags, file.as_raw_fd(), offset as i64)
    })
    .map(drop)
}

/// Takes the host's access to reserved addresses away again.
pub fn close_over(at: u64, size: u64) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: only addresses of our own reservation are replaced; their use has ended.
    unsafe { libc::mmap(at as *mut c_void, size as usize, libc::PROT_NONE, flags, -1, 0) };
}

/// Unmaps what [`map_file`] or [`host_memory`] gave.
pub fn unmap(at: u64, size: u64) {
    // SAFETY: the mapping is ours and its owner is being dropped, so nobody uses it.
    unsafe { libc::munmap(at as *mut c_void, size as usize) };
}

/// A new memory file of this size.
pub fn memory_file(size: u64) -> Outcome<File> {
    // SAFETY: the name is a C string that lives as long as the program.
    let descriptor = unsafe { libc::memfd_create(c"cudasim".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(Status::OPERATING_SYSTEM);
    }
    // SAFETY: the descriptor was just made and has no other owner.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(size).map_err(|_| Status::OUT_OF_MEMORY)?;
    Ok(file)
}

/// A second descriptor of the file, for the caller to own, as an export gives it.
pub fn give_descriptor(file: &File) -> Outcome<i32> {
    file.try_clone().map(IntoRawFd::into_raw_fd).map_err(|_| Status::OPERATING_SYSTEM)
}

/// The file behind a descriptor that a caller passed and goes on to own.
pub fn borrow_descriptor(descriptor: i32) -> Outcome<File> {
    // SAFETY: a descriptor that is not open gives an error; nothing is closed.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: the duplicate was just made and has no other owner.
    Ok(unsafe { File::from_raw_fd(copy) })
}

/// The memory file behind a descriptor of another process.
pub fn open_of(process: u32, descriptor: i32) -> Outcome<File> {
    File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{process}/fd/{descriptor}"))
        .map_err(|_| Status::INVALID_HANDLE)
}

/// A copy of host memory; false where some of it is not mapped. No signal is raised, unlike by a plain read.
pub fn read_host(at: u64, into: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: at as *mut c_void, iov_len: into.len() };
    // SAFETY: the local part is the slice; the system checks every page of the other.
    let done =
        unsafe { libc::process_vm_readv(std::process::id() as i32, &local, 1, &remote, 1, 0) };
    if done >= 0 || !is_refused() {
        return done == into.len() as isize;
    }
    // SAFETY: where the system does not offer checked reads, the caller of the driver vouches for the
    // address, as with a real driver.
    unsafe { std::ptr::copy_nonoverlapping(at as *const u8, into.as_mut_ptr(), into.len()) };
    true
}

/// Writes to host memory; false where some of it is not mapped.
pub fn write_host(at: u64, from: &[u8]) -> bool {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: at as *mut c_void, iov_len: from.len() };
    // SAFETY: the local part is the slice, only read; the system checks every page of the other.
    let done =
        unsafe { libc::process_vm_writev(std::process::id() as i32, &local, 1, &remote, 1, 0) };
    if done >= 0 || !is_refused() {
        return done == from.len() as isize;
    }
    // SAFETY: as in `read_host`.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), at as *mut u8, from.len()) };
    true
}

/// Whether the system does not offer reads of process memory, as some sandboxes do not.
fn is_refused() -> bool {
    let error = std::io::Error::last_os_error().raw_os_error();
    matches!(error, Some(libc::ENOSYS | libc::EPERM))
}

/// Calls `at_exit` when the process ends in order.
pub fn on_exit(at_exit: extern "C" fn()) {
    // SAFETY: the function takes nothing and does not unwind.
    unsafe { libc::atexit(at_exit) };
}

/// This thread's number, which no other thread of the system has.
pub fn thread_id() -> u64 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::gettid() as u64 }
}
