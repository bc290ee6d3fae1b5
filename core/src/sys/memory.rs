//! Mapped memory.
//!
//! # Safety
//!
//! A [`Mapping`] owns its range of addresses: nothing else unmaps it, and it stays mapped until the
//! value is dropped. What is in the range can be changed by every process that maps the same file, so
//! it is handed out as a pointer, never as a slice; who reads or writes there keeps to the rules of
//! `shm`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// Size of a page. Every system this runs on has pages of this size or a multiple of it that
/// [`page_size`] tells.
pub fn page_size() -> usize {
    // SAFETY: a call without arguments that touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// A range of mapped memory, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: its methods only read the two fields, or ask the kernel.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file; writes are seen by all who map it.
    pub fn shared(file: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        Mapping::new(file, 0, len, libc::MAP_SHARED)
    }

    /// Maps a part of a file; a page that is written becomes a copy of this process's own.
    /// `offset` must be a multiple of the page size.
    pub fn copy_on_write(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Mapping> {
        Mapping::new(file, offset, len, libc::MAP_PRIVATE)
    }

    fn new(file: BorrowedFd<'_>, offset: u64, len: usize, flags: i32) -> io::Result<Mapping> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = flags | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses the address, so no mapping of anyone's is replaced.
        let start = unsafe {
            libc::mmap(core::ptr::null_mut(), len, access, flags, file.as_raw_fd(), offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Mapping { start, len })
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped; the kernel refuses that, so it is never so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of an offset.
    ///
    /// # Panics
    /// If the offset is beyond the end.
    pub fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len, "an offset beyond the mapping");
        // SAFETY: in the range or one past it, by the assertion.
        unsafe { self.start.add(offset) }
    }

    /// Gets the pages of a range ready to be written, in one call in place of a fault for each page.
    /// Memory that cannot be had (a full file system, a limit) is an error here, where a write would
    /// end the process with SIGBUS. Unsupported where the kernel does not know the call (Linux before
    /// 5.14, other systems).
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return self.advise(offset, len, libc::MADV_POPULATE_WRITE).map_err(|error| {
            // Where a write would raise SIGBUS.
            let full = error.raw_os_error() == Some(libc::EFAULT);
            if full { io::Error::from_raw_os_error(libc::ENOSPC) } else { error }
        });
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, len);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// As [`Self::populate`] for pages that exist and are going to be read.
    pub fn populate_for_reading(&self, offset: usize, len: usize) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return self.advise(offset, len, libc::MADV_POPULATE_READ);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, len);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Asks for huge pages. A wish: systems that have none for files in memory ignore it.
    pub fn prefer_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.advise(0, self.len, libc::MADV_HUGEPAGE);
    }

    #[cfg(target_os = "linux")]
    fn advise(&self, offset: usize, len: usize, advice: i32) -> io::Result<()> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        let first = offset & !(page_size() - 1);
        // SAFETY: inside the mapping. None of the advices that are passed here changes what the
        // range holds.
        let answer = unsafe { libc::madvise(self.at(first).as_ptr().cast(), end - first, advice) };
        super::check(answer).map(drop)
    }
}

/// Asks for huge pages under the whole pages of some memory. A wish, as for a mapping.
pub fn prefer_huge_pages<T>(memory: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        let page = page_size();
        let range = memory.as_mut_ptr_range();
        let first = (range.start as usize).next_multiple_of(page);
        let len = (range.end as usize & !(page - 1)).saturating_sub(first);
        if len > 0 {
            // SAFETY: within memory that is borrowed for writing; the advice changes no content.
            unsafe { libc::madvise(first as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range that mmap gave, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
