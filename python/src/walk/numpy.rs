//! NumPy arrays and scalars, written as their own reductions have them.
//!
//! The first of a kind in a dump is written by calling its reduction, which is
//! C code; that puts the rebuilding function and the dtype into the memo. All
//! that follow are written from those two and the array's bytes.

use super::{Flow, Stop, WRITTEN, Walker};
use crate::fast::{self, Obj, Own, numpy};
use crate::types;
use ferropickle_core::memo::Entry;
use ferropickle_core::opcode::Op;

/// What the reduction of a NumPy type showed: kept with the type's plan.
pub struct Shown {
    /// The function that rebuilds.
    function: Own,
    /// The dtype of all scalars of the type, and the bytes of their value.
    scalar: Option<(Own, usize)>,
}

impl Walker {
    fn index_of(&self, obj: Obj) -> Option<u32> {
        self.memo.get(obj.addr()).and_then(Entry::as_index)
    }

    /// A scalar: function, `(dtype, bytes)`, REDUCE.
    pub(super) fn save_numpy_scalar(&mut self, obj: Obj, number: u32) -> Flow {
        if let Some(shown) = &self.types.plans[number as usize].shown
            && let Some((dtype, len)) = &shown.scalar
            && let Some(function) = self.index_of(shown.function.obj())
            && let Some(dtype) = self.index_of(dtype.obj())
            && self.options.proto >= 3
        {
            let len = *len;
            if self.write_if_met(obj)? {
                return WRITTEN;
            }
            self.enc.get(function);
            self.enc.get(dtype);
            self.enc.bytes(numpy::scalar_bytes(obj, len))?;
            self.op(Op::Tuple2);
            self.op(Op::Reduce);
            if !(self.pure && obj.refcnt() == 1) {
                self.memoize(obj);
            }
            return WRITTEN;
        }
        self.learn(obj, number)?;
        self.save_c_reduced(obj)
    }

    /// An array in band: function, `(bytes, dtype, shape, 'C')`, REDUCE.
    pub(super) fn save_numpy_array(&mut self, obj: Obj, number: u32) -> Flow {
        let in_band = self.options.proto >= 5 && !self.hooks.out_of_band() && !self.sink.is_file();
        if in_band
            && let Some(shown) = &self.types.plans[number as usize].shown
            && let Some(function) = self.index_of(shown.function.obj())
            && let Some(block) = numpy::block(obj, item_bytes)
            && let Some(dtype) = self.index_of(block.descr)
        {
            if self.write_if_met(obj)? {
                return WRITTEN;
            }
            self.enc.get(function);
            self.op(Op::Mark);
            if block.writable {
                self.enc.bytearray(block.data);
            } else {
                self.enc.bytes(block.data)?;
            }
            self.enc.get(dtype);
            if block.shape.len() > 3 {
                self.op(Op::Mark);
            }
            block.shape.iter().for_each(|n| self.enc.int(*n as i64));
            self.op(match block.shape.len() {
                0 => Op::EmptyTuple,
                1 => Op::Tuple1,
                2 => Op::Tuple2,
                3 => Op::Tuple3,
                _ => Op::Tuple,
            });
            self.enc.str(b"C")?;
            self.op(Op::Tuple);
            self.op(Op::Reduce);
            if !(self.pure && obj.refcnt() == 1) {
                self.memoize(obj);
            }
            return WRITTEN;
        }
        if in_band && numpy::block(obj, item_bytes).is_some() {
            self.learn(obj, number)?;
        }
        self.save_c_reduced(obj)
    }

    /// Notes what the type's own reduction gives, once.
    fn learn(&mut self, obj: Obj, number: u32) -> Result<(), Stop> {
        if self.types.plans[number as usize].shown.is_some() || self.options.proto < 5 {
            return Ok(());
        }
        let value = self.c_reduce(obj)?;
        if !fast::is_tuple(value.ty()) || fast::tuple_len(value.obj()) != 2 {
            return Ok(());
        }
        let (function, args) = (fast::tuple_get(value.obj(), 0), fast::tuple_get(value.obj(), 1));
        let first = (fast::is_tuple(args.ty()) && fast::tuple_len(args) > 0)
            .then(|| fast::tuple_get(args, 0));
        let Some(first) = first else { return Ok(()) };
        let len = numpy_scalar_len(obj);
        // The rebuilding function of a block takes a buffer first, that of a
        // scalar its dtype.
        let scalar = len.map(|len| (first.own(), len));
        if scalar.is_some() || super::buffer::is_pickle_buffer(first.ty()) {
            let shown = Shown { function: function.own(), scalar };
            self.types.plans[number as usize].shown = Some(shown);
        }
        Ok(())
    }
}

/// `dtype.itemsize`, read by its C getter.
fn item_bytes(dtype: Obj) -> Option<usize> {
    let size = dtype.getattr(types::get().itemsize.obj());
    match size {
        Ok(size) if fast::is_int(size.ty()) => {
            fast::long::as_i64(size.obj()).and_then(|n| usize::try_from(n).ok())
        }
        Ok(_) => None,
        Err(raised) => {
            raised.discard();
            None
        }
    }
}

fn numpy_scalar_len(obj: Obj) -> Option<usize> {
    let name = crate::error::type_name(obj);
    numpy::scalar_len(name.strip_prefix("numpy.")?.as_bytes())
}
