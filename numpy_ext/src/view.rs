//! An array's fields, read where they lie.
//!
//! The struct is that of NumPy's public headers (`PyArrayObject_fields` in
//! `ndarraytypes.h`), the same in 1.x and 2.x.

use core::ffi::c_int;
use ferropickle_core::strided::{Axis, Layout};
use numpy::npyffi::{
    NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_F_CONTIGUOUS, NPY_ARRAY_OWNDATA, NPY_ARRAY_WRITEABLE,
    PyArrayObject,
};
use pyo3::ffi::PyObject;

/// What an array consists of. Borrowed: good as long as the array lives and
/// nothing changes it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The element whose indices are all 0; it need not be the lowest in memory.
    pub data: *mut u8,
    /// Length of each axis.
    pub shape: &'a [isize],
    /// Bytes from one element to the next along each axis.
    pub strides: &'a [isize],
    /// The dtype.
    pub descr: *mut PyObject,
    /// What keeps the memory; null where the array does.
    pub base: *mut PyObject,
    flags: c_int,
}

/// The fields of an array.
///
/// # Safety
/// `array` must be a live instance of `ndarray`, and live and unchanged as long
/// as the view is used.
#[inline(always)]
pub unsafe fn of<'a>(array: *mut PyObject) -> View<'a> {
    // SAFETY: by the contract; an array without axes may have null pointers.
    unsafe {
        let fields = &(*array.cast::<PyArrayObject>()).fields;
        let axes = fields.nd as usize;
        let slice = |first: *mut isize| {
            if axes == 0 { &[][..] } else { core::slice::from_raw_parts(first, axes) }
        };
        View {
            data: fields.data.cast(),
            shape: slice(fields.dimensions),
            strides: slice(fields.strides),
            descr: fields.descr.cast(),
            base: fields.base,
            flags: fields.flags,
        }
    }
}

impl View<'_> {
    /// Whether the elements lie in one block, the last index fastest.
    #[inline(always)]
    pub fn is_c_contiguous(&self) -> bool {
        self.flags & NPY_ARRAY_C_CONTIGUOUS != 0
    }

    /// Whether the elements lie in one block, the first index fastest.
    #[inline(always)]
    pub fn is_f_contiguous(&self) -> bool {
        self.flags & NPY_ARRAY_F_CONTIGUOUS != 0
    }

    /// Whether the elements may be written to.
    #[inline(always)]
    pub fn is_writable(&self) -> bool {
        self.flags & NPY_ARRAY_WRITEABLE != 0
    }

    /// Whether the array itself frees the memory.
    #[inline(always)]
    pub fn owns_memory(&self) -> bool {
        self.flags & NPY_ARRAY_OWNDATA != 0 && self.base.is_null()
    }

    /// Bytes of all elements together; `None` if memory cannot be that large.
    #[inline(always)]
    pub fn len_bytes(&self, item_bytes: usize) -> Option<usize> {
        self.shape.iter().try_fold(item_bytes, |n, &len| n.checked_mul(usize::try_from(len).ok()?))
    }

    /// Where the elements lie; `None` if memory cannot be that large.
    pub fn layout(&self, item_bytes: usize) -> Option<Layout> {
        layout(self.shape, self.strides, item_bytes)
    }
}

/// The layout of an array of these lengths and strides, which must be as many;
/// `None` if a length is negative or memory cannot be that large.
pub fn layout(shape: &[isize], strides: &[isize], item_bytes: usize) -> Option<Layout> {
    if shape.len() != strides.len() || shape.iter().any(|&len| len < 0) {
        return None;
    }
    let axes = shape.iter().zip(strides);
    Layout::new(axes.map(|(&len, &stride)| Axis { len: len as usize, stride }), item_bytes)
}
