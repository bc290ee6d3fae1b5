//! Files that exist in memory only.
//!
//! # Safety
//!
//! Each descriptor that C returns is wrapped into its owner at once; strings given to C end in a NUL.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// A descriptor that C returned.
fn own(fd: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: a descriptor that was made for us just now; nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A file without a name, which is gone with its last descriptor and mapping. Its size is fixed for
/// ever: no process that has the descriptor can cut it short under the others.
pub fn anonymous(label: &CStr, size: u64) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a string that ends in a NUL.
        let made = unsafe {
            libc::memfd_create(label.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
        };
        let file = own(made)?;
        resize(&file, size)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: a live descriptor and an integer.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        Ok(file)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (label, size);
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn named(name: &str) -> io::Result<CString> {
    CString::new(format!("/{name}")).map_err(io::Error::other)
}

/// A new POSIX segment of a name; an error if there is one.
pub fn create_named(name: &str, size: u64) -> io::Result<OwnedFd> {
    let path = named(name)?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    // SAFETY: a string that ends in a NUL, and integers.
    let file = own(unsafe { libc::shm_open(path.as_ptr(), flags, 0o600) })?;
    if let Err(error) = resize(&file, size) {
        let _ = unlink_named(name);
        return Err(error);
    }
    Ok(file)
}

/// The POSIX segment of a name.
pub fn open_named(name: &str) -> io::Result<OwnedFd> {
    let path = named(name)?;
    // SAFETY: a string that ends in a NUL, and integers.
    own(unsafe { libc::shm_open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0) })
}

/// Takes away the name of a POSIX segment; who has it open keeps it.
pub fn unlink_named(name: &str) -> io::Result<()> {
    let path = named(name)?;
    // SAFETY: a string that ends in a NUL.
    check(unsafe { libc::shm_unlink(path.as_ptr()) }).map(drop)
}

fn resize(file: &OwnedFd, size: u64) -> io::Result<()> {
    let size = libc::off_t::try_from(size).map_err(io::Error::other)?;
    // SAFETY: a live descriptor and an integer.
    check(unsafe { libc::ftruncate(file.as_raw_fd(), size) }).map(drop)
}

/// Size in bytes.
pub fn size(file: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: `stat` is plain data, filled in by the call.
    let stat = unsafe {
        let mut stat: libc::stat = core::mem::zeroed();
        check(libc::fstat(file.as_raw_fd(), &mut stat))?;
        stat
    };
    u64::try_from(stat.st_size).map_err(io::Error::other)
}

/// Sets memory aside for a range of the file, so that a write cannot fail later.
pub fn allocate(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
        // SAFETY: a live descriptor and integers.
        check(unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, len) }).map(drop)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, len);
        Ok(())
    }
}

/// Gives the memory of a range back; it reads as zeros then.
pub fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a live descriptor and integers.
        check(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, len) }).map(drop)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, len);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Bytes that the folder of POSIX segments can still take; `None` where there is no such folder.
pub fn free_in_segments() -> Option<u64> {
    // SAFETY: `statvfs` is plain data, filled in by the call; the string ends in a NUL.
    unsafe {
        let mut stat: libc::statvfs = core::mem::zeroed();
        check(libc::statvfs(c"/dev/shm".as_ptr(), &mut stat)).ok()?;
        Some(stat.f_bavail as u64 * stat.f_frsize as u64)
    }
}
