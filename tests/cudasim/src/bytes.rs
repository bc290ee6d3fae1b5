//! Memory that simulated devices work on: memory files with a header, and ranges of the host's that are locked.
//!
//! No reference to the bytes is ever made: other threads and other processes write them at the same time, as devices
//! do. Every access is checked against the length.

use std::fs::File;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::status::{Outcome, Status};
use crate::sys::{self, PAGE};

/// The first word of every memory file of ours.
const MAGIC: u64 = u64::from_le_bytes(*b"CUDASIM1");

/// Words of a memory file's header page, by number.
#[derive(Clone, Copy)]
pub enum Field {
    Magic = 0,
    /// What the file is: see `Kind` in `space.rs`.
    Kind = 1,
    /// Bytes of data after the header.
    Size = 2,
    /// The buffer id of the allocation.
    Id = 3,
    /// 1 once its owner has freed it.
    Freed = 4,
    /// The device, by the halves of its UUID.
    DeviceHigh = 5,
    DeviceLow = 6,
    /// Records asked for, of an event between processes.
    Recorded = 7,
    /// Records done.
    Completed = 8,
    /// The pool that the memory is of.
    Pool = 9,
}

enum Store {
    File(File),
    Host,
}

/// Bytes of a device, or of the host where a device works on them.
pub struct Bytes {
    store: Store,
    /// Where the simulator sees the first byte of data.
    data: u64,
    size: u64,
}

impl Bytes {
    /// A new memory file with a header.
    pub fn new(size: u64) -> Outcome<Self> {
        let total = size.checked_add(2 * PAGE).ok_or(Status::OUT_OF_MEMORY)? / PAGE * PAGE;
        let file = sys::memory_file(total)?;
        let bytes =
            Self { data: sys::map_file(&file, total)? + PAGE, store: Store::File(file), size };
        bytes.set(Field::Magic, MAGIC);
        bytes.set(Field::Size, size);
        Ok(bytes)
    }

    /// The memory file that another process, or another part of this one, has made. Anything else
    /// is `CUDA_ERROR_INVALID_VALUE`.
    pub fn from_file(file: File) -> Outcome<Self> {
        let length = file.metadata().map_err(|_| Status::INVALID_VALUE)?.len();
        if length < PAGE || length % PAGE != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let mut bytes = Self {
            data: sys::map_file(&file, length).map_err(|_| Status::INVALID_VALUE)? + PAGE,
            store: Store::File(file),
            size: length - PAGE,
        };
        let size = bytes.get(Field::Size);
        if bytes.get(Field::Magic) != MAGIC || size > bytes.size {
            return Err(Status::INVALID_VALUE);
        }
        bytes.size = size;
        Ok(bytes)
    }

    /// Memory of the host's that is locked in place. Its owner keeps it mapped until it is unlocked.
    pub fn of_host(at: u64, size: u64) -> Self {
        Self { store: Store::Host, data: at, size }
    }

    pub fn file(&self) -> Option<&File> {
        match &self.store {
            Store::File(file) => Some(file),
            Store::Host => None,
        }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    fn word(&self, field: Field) -> Option<&AtomicU64> {
        self.file()?;
        let at = (self.data - PAGE) as *const AtomicU64;
        // SAFETY: a memory file has a header page before its data, mapped as long as `self` lives and aligned as
        // pages are; all its users go through atomics.
        Some(unsafe { &*at.add(field as usize) })
    }

    /// A word of the header; 0 where there is none.
    pub fn get(&self, field: Field) -> u64 {
        self.word(field).map_or(0, |word| word.load(Ordering::SeqCst))
    }

    pub fn set(&self, field: Field, value: u64) {
        if let Some(word) = self.word(field) {
            word.store(value, Ordering::SeqCst);
        }
    }

    /// The address where the simulator sees these bytes, if all of them are there.
    fn at(&self, offset: u64, length: u64) -> Outcome<u64> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(self.data + offset),
            _ => Err(Status::ILLEGAL_ADDRESS),
        }
    }

    pub fn read(&self, offset: u64, into: &mut [u8]) -> Outcome {
        let at = self.at(offset, into.len() as u64)?;
        // SAFETY: the range was checked; the memory is mapped as long as `self` lives, and apart from the slice.
        unsafe { ptr::copy(at as *const u8, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    pub fn write(&self, offset: u64, from: &[u8]) -> Outcome {
        let at = self.at(offset, from.len() as u64)?;
        // SAFETY: as in `read`.
        unsafe { ptr::copy(from.as_ptr(), at as *mut u8, from.len()) };
        Ok(())
    }

    /// Sets bytes to one value, as far as there are so many.
    pub fn fill(&self, offset: u64, length: u64, value: u8) {
        let length = length.min(self.size.saturating_sub(offset));
        if let Ok(at) = self.at(offset, length) {
            // SAFETY: the range was checked; the memory is mapped as long as `self` lives.
            unsafe { ptr::write_bytes(at as *mut u8, value, length as usize) };
        }
    }

    /// Up to eight bytes as a number, little end first.
    pub fn load(&self, offset: u64, width: usize) -> Outcome<u64> {
        let at = self.at(offset, width as u64)? as *const u8;
        // SAFETY: the range was checked; the memory is mapped as long as `self` lives.
        unsafe {
            Ok(match width {
                1 => at.read().into(),
                2 => at.cast::<u16>().read_unaligned().into(),
                4 => at.cast::<u32>().read_unaligned().into(),
                _ => at.cast::<u64>().read_unaligned(),
            })
        }
    }

    /// Writes a number of up to eight bytes.
    pub fn store(&self, offset: u64, width: usize, value: u64) -> Outcome {
        let at = self.at(offset, width as u64)? as *mut u8;
        // SAFETY: as in `load`.
        unsafe {
            match width {
                1 => at.write(value as u8),
                2 => at.cast::<u16>().write_unaligned(value as u16),
                4 => at.cast::<u32>().write_unaligned(value as u32),
                _ => at.cast::<u64>().write_unaligned(value),
            }
        }
        Ok(())
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(length) = self.file().and_then(|file| file.metadata().ok()).map(|m| m.len()) {
            sys::unmap(self.data - PAGE, length);
        }
    }
}
