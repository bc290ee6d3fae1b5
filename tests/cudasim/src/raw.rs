//! Pointers that callers in C pass. Each type has the size of a pointer and stands in the signature of a driver
//! function, so only such a caller makes one. What it promises is the C interface's contract: null, or valid for the use
//! that the function's documentation names, for the time of the call.

use std::ffi::{CStr, c_char, c_void};

use crate::status::{Outcome, Status};

/// A pointer that the function writes through.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// Writes the result; null is `CUDA_ERROR_INVALID_VALUE`.
    pub fn set(self, value: T) -> Outcome {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        self.set_if(value);
        Ok(())
    }

    /// Writes the result unless the caller does not want it.
    pub fn set_if(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not null, so the caller of the C function has made it valid for a write.
            unsafe { self.0.write_unaligned(value) }
        }
    }

    /// Reads what the caller has put there.
    pub fn get(self) -> Outcome<T> {
        In(self.0.cast_const()).get()
    }

    /// Whether the caller wants no result.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Writes element `i` of an array whose length the caller has passed along.
    pub fn set_at(self, i: usize, value: T) {
        // SAFETY: the caller of the C function says that the array has more than `i` elements.
        unsafe { self.0.add(i).write_unaligned(value) }
    }
}

/// A pointer that the function reads through.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct In<T>(*const T);

impl<T: Copy> In<T> {
    /// The value; null is `CUDA_ERROR_INVALID_VALUE`.
    pub fn get(self) -> Outcome<T> {
        if self.0.is_null() { Err(Status::INVALID_VALUE) } else { Ok(self.at(0)) }
    }

    /// Element `i` of an array whose length the caller has passed along.
    pub fn at(self, i: usize) -> T {
        // SAFETY: the caller of the C function says that the array has more than `i` elements.
        unsafe { self.0.add(i).read_unaligned() }
    }

    /// Whether nothing was passed.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }
}

/// A pointer to memory of no type: an address of the host.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Host(*mut c_void);

// SAFETY: it is an address; who reads or writes there says why that is allowed on its thread.
unsafe impl Send for Host {}

impl Host {
    /// The address.
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// As a pointer to values of `T`, where the documentation says that it is one.
    pub fn typed<T>(self) -> Out<T> {
        Out(self.0.cast())
    }

    /// As a text that ends in a zero byte, where the documentation says that it is one.
    pub fn text(self) -> Text {
        Text(self.0.cast_const().cast())
    }

    /// As a pointer to read values of `T` from, where the documentation says that it is one.
    pub fn readable<T>(self) -> In<T> {
        In(self.0.cast())
    }
}

/// A C string.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(*const c_char);

impl Text {
    /// The string; null or other than UTF-8 is `CUDA_ERROR_INVALID_VALUE`.
    pub fn get(self) -> Outcome<String> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: not null, so the caller of the C function has passed a string that ends in a zero byte.
        let text = unsafe { CStr::from_ptr(self.0) };
        Ok(text.to_str().map_err(|_| Status::INVALID_VALUE)?.to_owned())
    }
}

/// A callback of the host's, `void (*)(void *)`.
pub type HostFunction = extern "C" fn(Host);

/// A function that the driver exports, as `cuGetProcAddress` gives it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Code(*const c_void);

impl Code {
    /// No function.
    pub const NONE: Code = Code(std::ptr::null());

    /// The function at this address.
    pub fn new(address: *const ()) -> Self {
        Self(address.cast())
    }
}

/// A pointer to a text that is never freed.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Static(*const c_char);

impl Static {
    /// No text.
    pub const NONE: Static = Static(std::ptr::null());

    /// This text.
    pub fn new(text: &'static CStr) -> Self {
        Self(text.as_ptr())
    }
}
