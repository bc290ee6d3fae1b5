//! NumPy arrays: the calls that their reductions and ours lead to, made through
//! NumPy's C functions. The twin of `walk/numpy.rs`.
//!
//! Only calls whose arguments are of exactly the types that a dump writes; all
//! others are made as the stream says, and so are those that must fail.

use crate::arrays;
use crate::buffers;
use crate::error::Raised;
use crate::fast::{self, Obj, Own};
use ferropickle_numpy::dtype::{self, Elements};
use ferropickle_numpy::rebuild::{self, Form, Memory};
use ferropickle_numpy::scalar;
use pyo3::Python;
use pyo3::ffi;

/// The array of a call, if it is one that makes an array over a buffer.
#[inline(always)]
pub fn make(callable: Obj, args: Obj) -> Result<Option<Own>, Raised> {
    match arrays::kit() {
        Some(Some(kit)) if callable == kit.from_buffer.obj() => of_block(args),
        Some(Some(kit)) if callable == kit.ndarray.obj() => of_view(args),
        Some(_) => Ok(None),
        None => make_first(callable, args),
    }
}

#[cold]
fn make_first(callable: Obj, args: Obj) -> Result<Option<Own>, Raised> {
    if !arrays::may_be_known(callable) {
        return Ok(None);
    }
    arrays::prepare()?;
    match arrays::kit() {
        Some(Some(_)) => make(callable, args),
        _ => Ok(None),
    }
}

/// `scalar(dtype, bytes)`, if the callable is NumPy's function of that name.
#[inline(always)]
pub fn make_scalar(callable: Obj, args: &[Own]) -> Result<Option<Own>, Raised> {
    match (arrays::kit(), args) {
        (Some(Some(kit)), [dtype, value])
            if callable == kit.scalar.obj() && fast::is_bytes(value.ty()) =>
        {
            let data = fast::bytes_data(value.obj());
            // SAFETY: live objects; NumPy was looked up. Builders run with the GIL. A new
            // reference or null with an error set.
            unsafe {
                let made = scalar::make(Python::assume_attached(), dtype.ptr(), data);
                made.map(|made| Own::from_new(made)).transpose()
            }
        }
        _ => Ok(None),
    }
}

/// Lengths or strides. Nearly all arrays have few axes: those need no memory.
#[derive(Default)]
struct Lengths {
    few: [isize; FEW_AXES],
    many: Vec<isize>,
    count: usize,
}

const FEW_AXES: usize = 6;

impl Lengths {
    fn as_slice(&self) -> &[isize] {
        if self.count <= FEW_AXES { &self.few[..self.count] } else { &self.many }
    }
}

/// `_frombuffer(buffer, dtype, shape, order)`.
fn of_block(args: Obj) -> Result<Option<Own>, Raised> {
    if !fast::is_tuple(args.ty()) || fast::tuple_len(args) != 4 {
        return Ok(None);
    }
    let [buffer, dtype, shape, order] = [0, 1, 2, 3].map(|i| fast::tuple_get(args, i));
    let (Some(item_bytes), Some(shape), true) =
        (bytes_of(dtype), lengths(shape), fast::is_str(order.ty()))
    else {
        return Ok(None);
    };
    let fortran = match fast::text::utf8(order, &mut Vec::new()) {
        b"C" => false,
        b"F" => true,
        _ => return Ok(None),
    };
    let Some((keeper, memory)) = memory_of(buffer)? else { return Ok(None) };
    let shape = shape.as_slice();
    // SAFETY: `bytes_of` found a dtype of plain elements; the keeper is held
    // until the array has a reference of its own. Builders run with the GIL.
    let made = unsafe {
        let py = Python::assume_attached();
        rebuild::block(py, dtype.ptr(), item_bytes, shape, fortran, &memory)
    };
    drop(keeper);
    // SAFETY: a new reference or null with an error set.
    made.map(|made| unsafe { Own::from_new(made) }).transpose()
}

/// `ndarray(shape, dtype, buffer, offset, strides)`.
fn of_view(args: Obj) -> Result<Option<Own>, Raised> {
    if !fast::is_tuple(args.ty()) || fast::tuple_len(args) != 5 {
        return Ok(None);
    }
    let [shape, dtype, buffer, offset, strides] = [0, 1, 2, 3, 4].map(|i| fast::tuple_get(args, i));
    let offset = fast::is_int(offset.ty()).then(|| fast::long::as_i64(offset)).flatten();
    let (Some(item_bytes), Some(shape), Some(strides), Some(offset)) = (
        bytes_of(dtype),
        lengths(shape),
        lengths(strides),
        offset.and_then(|offset| usize::try_from(offset).ok()),
    ) else {
        return Ok(None);
    };
    let (shape, strides) = (shape.as_slice(), strides.as_slice());
    if shape.len() != strides.len() {
        return Ok(None);
    }
    let Some((keeper, memory)) = memory_of(buffer)? else { return Ok(None) };
    let form = Form { descr: dtype.ptr(), item_bytes, shape, strides, offset };
    // SAFETY: as in `of_block`.
    let made = unsafe { rebuild::array(Python::assume_attached(), &form, &memory) };
    drop(keeper);
    // SAFETY: a new reference or null with an error set.
    made.map(|made| unsafe { Own::from_new(made) }).transpose()
}

/// Bytes of an element, if the object is a dtype of plain ones.
fn bytes_of(dtype: Obj) -> Option<usize> {
    // SAFETY: a live object; NumPy was looked up. Builders run with the GIL.
    unsafe {
        let py = Python::assume_attached();
        if !dtype::is_dtype(py, dtype.ptr()) {
            return None;
        }
        match dtype::elements(py, dtype.ptr()) {
            Elements::Bytes(n) => Some(n),
            Elements::Objects | Elements::Reduce => None,
        }
    }
}

fn lengths(tuple: Obj) -> Option<Lengths> {
    if !fast::is_tuple(tuple.ty()) {
        return None;
    }
    let one = |i: isize| {
        let item = fast::tuple_get(tuple, i);
        let value = fast::is_int(item.ty()).then(|| fast::long::as_i64(item)).flatten()?;
        isize::try_from(value).ok()
    };
    let count = fast::tuple_len(tuple);
    let mut lengths = Lengths { count: count as usize, ..Lengths::default() };
    if lengths.count > FEW_AXES {
        lengths.many = (0..count).map(one).collect::<Option<_>>()?;
        return Some(lengths);
    }
    for (place, i) in lengths.few.iter_mut().zip(0..count) {
        *place = one(i)?;
    }
    Some(lengths)
}

/// The memory of a bytes-like object, and what keeps it where it is: the object
/// itself, or a view that forbids it to move.
fn memory_of(buffer: Obj) -> Result<Option<(Own, Memory)>, Raised> {
    if fast::is_bytes(buffer.ty()) {
        let data = fast::bytes_data(buffer);
        let start = data.as_ptr().cast_mut();
        let memory = Memory { start, len: data.len(), read_only: true, keeper: buffer.ptr() };
        return Ok(Some((buffer.own(), memory)));
    }
    if let Some((start, len, read_only)) = buffers::memory_of(buffer) {
        let memory = Memory { start, len, read_only, keeper: buffer.ptr() };
        return Ok(Some((buffer.own(), memory)));
    }
    // SAFETY: live objects throughout; each result is checked.
    unsafe {
        let procs = (*buffer.ty()).tp_as_buffer;
        if procs.is_null() || (*procs).bf_getbuffer.is_none() {
            return Ok(None);
        }
        let keeper = if (*procs).bf_releasebuffer.is_none() {
            buffer.own()
        } else {
            Own::from_new(ffi::PyMemoryView_FromObject(buffer.ptr()))?
        };
        let mut view = core::mem::zeroed::<ffi::Py_buffer>();
        if ffi::PyObject_GetBuffer(keeper.ptr(), &mut view, ffi::PyBUF_SIMPLE) < 0 {
            Raised::set().discard();
            return Ok(None);
        }
        let memory = Memory {
            start: view.buf.cast(),
            len: view.len as usize,
            read_only: view.readonly != 0,
            keeper: keeper.ptr(),
        };
        // The keeper holds a view of its own, or never moves its memory.
        ffi::PyBuffer_Release(&mut view);
        Ok(Some((keeper, memory)))
    }
}
