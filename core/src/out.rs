//! The growing output buffer that the encoder writes into.
//!
//! # Safety
//!
//! `Out` holds a pointer and a capacity that its [`Storage`] gave. The
//! invariants, kept by `Out` alone: `len <= cap`; bytes `0..len` are
//! initialised; the pointer is valid for writes of `cap` bytes until the next
//! `grow`. A storage keeps its memory alive as long as it lives and preserves
//! bytes `0..len` over `grow`.

use crate::copy::{self, PARALLEL_FROM_BYTES, Source};
use core::ptr::NonNull;

/// Memory that an [`Out`] writes into. The Python side gives one over a
/// `bytes` object, so that the finished stream is not copied.
///
/// # Safety
///
/// `grow` must return a pointer valid for writes of the returned capacity,
/// with the first `len` bytes equal to those before; both hold until the next
/// call or until the storage is dropped. The capacity is at least `needed`.
/// What `kept` returns is valid for as long, and `grow` may follow it.
pub unsafe trait Storage {
    /// Makes room for `needed` bytes in all; `None` if memory is out.
    fn grow(&mut self, len: usize, needed: usize) -> Option<(NonNull<u8>, usize)>;

    /// Memory that there is already for the next output, once this one is taken.
    fn kept(&mut self) -> Option<(NonNull<u8>, usize)> {
        None
    }
}

/// A storage on the Rust heap.
#[derive(Debug, Default)]
pub struct HeapStorage {
    bytes: Vec<u8>,
}

impl HeapStorage {
    /// The first `len` bytes; the storage is empty after it.
    pub fn take_vec(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = core::mem::take(&mut self.bytes);
        // SAFETY: `Out` has initialised the first `len` bytes.
        unsafe { bytes.set_len(len) };
        bytes
    }
}

// SAFETY: a Vec's buffer is valid for its capacity; `set_len(len)` before
// `try_reserve` makes the reallocation preserve the written bytes.
unsafe impl Storage for HeapStorage {
    fn grow(&mut self, len: usize, needed: usize) -> Option<(NonNull<u8>, usize)> {
        // SAFETY: `Out` has initialised the first `len` bytes.
        unsafe { self.bytes.set_len(len) };
        let target = needed.max(self.bytes.capacity() * 2).max(256);
        self.bytes.try_reserve_exact(target - len).ok()?;
        Some((NonNull::new(self.bytes.as_mut_ptr())?, self.bytes.capacity()))
    }
}

/// Bytes being written. A failed growth is remembered instead of returned, so
/// that the many small writes need no check; ask [`Out::failed`] now and then.
#[derive(Debug)]
pub struct Out<S: Storage> {
    ptr: NonNull<u8>,
    len: usize,
    cap: usize,
    failed: bool,
    storage: S,
}

impl<S: Storage> Out<S> {
    /// An empty buffer over `storage`; takes no memory before the first write.
    pub fn new(storage: S) -> Self {
        Out { ptr: NonNull::dangling(), len: 0, cap: 0, failed: false, storage }
    }

    /// Bytes written so far.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether memory ran out. What was written is then lost.
    #[inline(always)]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: bytes 0..len are initialised and the pointer is valid.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// Appends a few bytes of a size known at compile time.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if self.cap - self.len < N && !self.reserve_cold(N) {
            return;
        }
        // SAFETY: room for N bytes was made sure above.
        unsafe {
            self.ptr.as_ptr().add(self.len).cast::<[u8; N]>().write_unaligned(bytes);
        }
        self.len += N;
    }

    /// Appends one byte and a number's bytes: two stores.
    #[inline(always)]
    pub fn put_tagged<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        if self.cap - self.len < N + 1 && !self.reserve_cold(N + 1) {
            return;
        }
        // SAFETY: room for N + 1 bytes was made sure above.
        unsafe {
            let at = self.ptr.as_ptr().add(self.len);
            *at = tag;
            at.add(1).cast::<[u8; N]>().write_unaligned(bytes);
        }
        self.len += N + 1;
    }

    /// Appends a number in a form that differs from number to number.
    #[inline(always)]
    pub fn put_number(&mut self, form: Form, body: [u8; 8]) {
        if self.cap - self.len < Form::MOST && !self.reserve_cold(Form::MOST) {
            return;
        }
        // SAFETY: room for the longest form was made sure above.
        unsafe { form.write(body, self.ptr.as_ptr().add(self.len)) };
        self.len += usize::from(form.total);
    }

    /// Room for `most` bytes of short forms, none if memory is out. The place is
    /// kept out of memory meanwhile.
    #[inline(always)]
    pub fn run(&mut self, most: usize) -> Run<'_, S> {
        let room = self.cap - self.len >= most || self.reserve_cold(most);
        let at = self.len;
        Run { last: if room { at + most } else { at }, at, out: self }
    }

    /// Appends bytes.
    #[inline(always)]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        let n = bytes.len();
        if self.cap - self.len < n && !self.reserve_cold(n) {
            return;
        }
        // SAFETY: room for n bytes was made sure above; `bytes` cannot overlap
        // memory that only this buffer writes.
        unsafe {
            let to = self.ptr.as_ptr().add(self.len);
            if n < PARALLEL_FROM_BYTES { copy_long(bytes, to) } else { copy::copy(bytes, to) }
        }
        self.len += n;
    }

    /// Appends the elements of strided memory.
    pub fn put_source(&mut self, source: &Source<'_>) {
        let n = source.len_bytes();
        if self.cap - self.len < n && !self.reserve_cold(n) {
            return;
        }
        // SAFETY: room was made sure above; nobody else's memory is there.
        unsafe { source.write_to(self.ptr.as_ptr().add(self.len)) };
        self.len += n;
    }

    /// Appends `n` zeros.
    pub fn put_zeros(&mut self, n: usize) {
        if self.cap - self.len < n && !self.reserve_cold(n) {
            return;
        }
        // SAFETY: room for n bytes was made sure above.
        unsafe { self.ptr.as_ptr().add(self.len).write_bytes(0, n) };
        self.len += n;
    }

    /// Bytes written before, to be written again; `None` if memory ran out.
    pub fn written_mut(&mut self, at: usize, n: usize) -> Option<&mut [u8]> {
        let end = at.checked_add(n)?;
        if self.failed || end > self.len {
            return None;
        }
        // SAFETY: the range is within the written bytes, and borrowed from us.
        Some(unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr().add(at), n) })
    }

    /// Appends a header and a short text in one step: the hot path of keys.
    #[inline(always)]
    pub fn put_pair<const N: usize>(&mut self, head: [u8; N], tail: &[u8]) {
        let n = N + tail.len();
        if self.cap - self.len < n && !self.reserve_cold(n) {
            return;
        }
        // SAFETY: room for both parts was made sure above.
        unsafe {
            let at = self.ptr.as_ptr().add(self.len);
            at.cast::<[u8; N]>().write_unaligned(head);
            copy_short(tail, at.add(N));
        }
        self.len += n;
    }

    /// Makes room for `n` more bytes at once, exactly if that is much.
    pub fn reserve(&mut self, n: usize) {
        if self.cap - self.len < n {
            self.reserve_cold(n);
        }
    }

    /// The room after what is written.
    pub fn spare_mut(&mut self) -> &mut [core::mem::MaybeUninit<u8>] {
        // SAFETY: valid for writes up to the capacity, and borrowed from us.
        unsafe {
            let start = self.ptr.as_ptr().add(self.len).cast();
            core::slice::from_raw_parts_mut(start, self.cap - self.len)
        }
    }

    /// Counts `n` more bytes as written.
    ///
    /// # Safety
    /// The first `n` bytes of [`Out::spare_mut`] must have been written.
    pub unsafe fn advance(&mut self, n: usize) {
        assert!(n <= self.cap - self.len, "advance beyond the capacity");
        self.len += n;
    }

    /// Overwrites bytes written before.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if self.failed {
            return;
        }
        assert!(at + bytes.len() <= self.len, "patch outside the written bytes");
        // SAFETY: the range is within the written bytes, checked above.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.ptr.as_ptr().add(at), bytes.len());
        }
    }

    /// Removes bytes `at..at + n`, moving what follows down.
    pub fn remove(&mut self, at: usize, n: usize) {
        if self.failed {
            return;
        }
        assert!(at + n <= self.len, "remove outside the written bytes");
        // SAFETY: both ranges are within the written bytes, checked above.
        unsafe {
            let base = self.ptr.as_ptr();
            core::ptr::copy(base.add(at + n), base.add(at), self.len - at - n);
        }
        self.len -= n;
    }

    /// Forgets all bytes after `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Gives the storage and the number of bytes written to `take`, and begins
    /// again, empty.
    pub fn take<T>(&mut self, take: impl FnOnce(&mut S, usize) -> T) -> T {
        let len = core::mem::take(&mut self.len);
        self.failed = false;
        let taken = take(&mut self.storage, len);
        (self.ptr, self.cap) = self.storage.kept().unwrap_or((NonNull::dangling(), 0));
        taken
    }

    /// Makes room for `n` more bytes; false, and all forgotten, if it cannot.
    #[cold]
    #[inline(never)]
    fn reserve_cold(&mut self, n: usize) -> bool {
        if self.failed {
            return false;
        }
        let grown = self.len.checked_add(n).and_then(|need| self.storage.grow(self.len, need));
        match grown {
            Some((ptr, cap)) => {
                debug_assert!(cap - self.len >= n);
                self.ptr = ptr;
                self.cap = cap;
                true
            }
            None => {
                // The storage may have given up its memory: nothing is written
                // from here on.
                self.failed = true;
                self.len = 0;
                self.cap = 0;
                self.ptr = NonNull::dangling();
                false
            }
        }
    }
}

/// Short forms, appended one after another. They count as written when it goes.
#[derive(Debug)]
pub struct Run<'a, S: Storage> {
    out: &'a mut Out<S>,
    at: usize,
    /// There is room up to here.
    last: usize,
}

impl<S: Storage> Run<'_, S> {
    /// Whether there is room for one more.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.last - self.at >= Form::MOST
    }

    /// Appends a form and the number in it.
    #[inline(always)]
    pub fn put(&mut self, form: Form, body: [u8; 8]) {
        assert!(self.has_room(), "a run beyond its room");
        // SAFETY: room for the longest form, by the check.
        unsafe { form.write(body, self.out.ptr.as_ptr().add(self.at)) };
        self.at += usize::from(form.total);
    }
}

impl<S: Storage> Drop for Run<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.out.len = self.at;
    }
}

/// How a number is written: an opcode, maybe its number of bytes, its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    head: [u8; 2],
    /// Bytes of the head that stand before the number.
    skip: u8,
    total: u8,
}

impl Form {
    /// Bytes of the longest.
    pub const MOST: usize = 10;

    /// An opcode and `n` bytes of a number, 8 at most; with `counted` the
    /// opcode is followed by `n`.
    #[inline(always)]
    pub const fn new(op: u8, n: u8, counted: bool) -> Form {
        assert!(n <= 8);
        let skip = 1 + counted as u8;
        Form { head: [op, n], skip, total: skip + n }
    }

    /// Stores head and number whole, without a branch on their sizes: what is
    /// too much is written over next.
    ///
    /// # Safety
    /// `to` must be valid for writes of [`Form::MOST`] bytes.
    #[inline(always)]
    unsafe fn write(self, body: [u8; 8], to: *mut u8) {
        // SAFETY: `skip` is 2 at most, by `new`, and the contract.
        unsafe {
            to.cast::<[u8; 2]>().write_unaligned(self.head);
            to.add(self.skip.into()).cast::<[u8; 8]>().write_unaligned(body);
        }
    }
}

impl Out<HeapStorage> {
    /// The bytes written, as a vector.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.storage.take_vec(self.len)
    }
}

/// Copies bytes, however many.
///
/// In pieces: a large copy in one call goes past the caches, and fresh memory
/// is in the cache just after the kernel has cleared it.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes and not overlap `from`.
#[inline(always)]
pub unsafe fn copy_long(from: &[u8], to: *mut u8) {
    const PIECE: usize = 256 * 1024;
    let mut at = 0;
    loop {
        let n = (from.len() - at).min(PIECE);
        // SAFETY: the piece is within both.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr().add(at), to.add(at), n) };
        at += n;
        if at == from.len() {
            return;
        }
    }
}

/// Copies a text that is mostly shorter than 32 bytes without calling memcpy.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes and not overlap `from`.
#[inline(always)]
unsafe fn copy_short(from: &[u8], to: *mut u8) {
    let n = from.len();
    let src = from.as_ptr();
    // SAFETY: each branch reads and writes within n bytes: two overlapping
    // blocks, the first at the start, the second ending at n.
    unsafe {
        if n > 32 {
            core::ptr::copy_nonoverlapping(src, to, n);
        } else if n >= 16 {
            let (a, b) = (read::<16>(src), read::<16>(src.add(n - 16)));
            write(to, a);
            write(to.add(n - 16), b);
        } else if n >= 8 {
            let (a, b) = (read::<8>(src), read::<8>(src.add(n - 8)));
            write(to, a);
            write(to.add(n - 8), b);
        } else if n >= 4 {
            let (a, b) = (read::<4>(src), read::<4>(src.add(n - 4)));
            write(to, a);
            write(to.add(n - 4), b);
        } else if n > 0 {
            *to = *src;
            *to.add(n / 2) = *src.add(n / 2);
            *to.add(n - 1) = *src.add(n - 1);
        }
    }
}

/// # Safety
/// `from` must be valid for reads of N bytes.
#[inline(always)]
unsafe fn read<const N: usize>(from: *const u8) -> [u8; N] {
    // SAFETY: the caller's contract; unaligned reads of bytes are fine.
    unsafe { from.cast::<[u8; N]>().read_unaligned() }
}

/// # Safety
/// `to` must be valid for writes of N bytes.
#[inline(always)]
unsafe fn write<const N: usize>(to: *mut u8, block: [u8; N]) {
    // SAFETY: the caller's contract; unaligned writes of bytes are fine.
    unsafe { to.cast::<[u8; N]>().write_unaligned(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_length_is_copied_whole() {
        let text: Vec<u8> = (0..100u8).collect();
        for n in 0..text.len() {
            let mut out = Out::new(HeapStorage::default());
            out.put_pair([7, 8], &text[..n]);
            let bytes = out.into_vec();
            assert_eq!(&bytes[..2], &[7, 8]);
            assert_eq!(&bytes[2..], &text[..n]);
        }
    }

    #[test]
    fn growth_keeps_what_was_written() {
        let mut out = Out::new(HeapStorage::default());
        let mut expected = Vec::new();
        for i in 0..10_000u32 {
            out.put(i.to_le_bytes());
            expected.extend_from_slice(&i.to_le_bytes());
        }
        out.remove(0, 4);
        out.patch(0, &[9, 9]);
        expected.drain(..4);
        expected[0] = 9;
        expected[1] = 9;
        assert_eq!(out.into_vec(), expected);
    }

    #[test]
    fn a_storage_that_cannot_grow_is_remembered() {
        struct Fixed([u8; 16]);
        // SAFETY: the array is valid for 16 bytes and does not move: the test
        // keeps the buffer in place.
        unsafe impl Storage for Fixed {
            fn grow(&mut self, _len: usize, needed: usize) -> Option<(NonNull<u8>, usize)> {
                (needed <= 16).then(|| (NonNull::from(&mut self.0).cast(), 16))
            }
        }
        let mut out = Out::new(Fixed([0; 16]));
        for _ in 0..5 {
            out.put([1, 2, 3, 4]);
        }
        assert!(out.failed());
    }
}
