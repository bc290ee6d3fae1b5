//! Our own kernels: loaded once for each device, launched in our streams.

use std::ffi::{CStr, c_void};

use super::calls::Handle;
use super::device::{Current, Device, Relaxed};
use super::stream::Stream;
use crate::api::GpuError;
use crate::plan::Table;

/// The kernels of `kernels/pack.cu`, as the driver takes them: with a zero behind.
const PACK: &str = concat!(include_str!("../../kernels/pack.ptx"), "\0");

/// The driver's statuses for a module that it will never take: no code for the device, PTX that is wrong or too new, no compiler.
const NEVER: [i32; 5] = [209, 218, 221, 222, 223];

/// Threads of a block.
const THREADS: u32 = 128;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From where they lie to side by side.
    Gather,
    /// Back.
    Scatter,
}

/// The kernels on one device.
pub(super) struct Kernels {
    gather: Handle,
    scatter: Handle,
}

impl Kernels {
    /// Those of a device, if the driver takes them. What it refuses for good is not tried again.
    pub fn of<'d>(device: &'d Device, current: &Current<'_>) -> Option<&'d Kernels> {
        let known = &device.kernels;
        if known.get().is_none() {
            match Kernels::load(current) {
                Ok(loaded) => drop(known.set(Some(loaded))),
                Err(GpuError::Failed { code, .. }) if NEVER.contains(&code) => {
                    drop(known.set(None))
                }
                Err(_) => return None,
            }
        }
        known.get()?.as_ref()
    }

    /// Loads the kernels. The driver compiles them, which takes a moment.
    fn load(current: &Current<'_>) -> Result<Self, GpuError> {
        let mut module = 0;
        let _relaxed = Relaxed::new(current.calls)?;
        // SAFETY: the image is text with a zero at its end; `module` is live. It stays loaded as long as the context.
        unsafe { current.calls.module_load(&mut module, PACK.as_ptr().cast()) }?;
        let function = |name: &CStr| -> Result<Handle, GpuError> {
            let mut function = 0;
            // SAFETY: the module has just been loaded; `function` is live.
            unsafe { current.calls.module_function(&mut function, module, name.as_ptr()) }?;
            Ok(function)
        };
        Ok(Self {
            gather: function(c"ferropickle_gather")?,
            scatter: function(c"ferropickle_scatter")?,
        })
    }

    /// Moves all pieces of the tables at this address.
    ///
    /// # Safety
    ///
    /// The tables are good, and they and what they name stay until the kernel has run.
    pub unsafe fn launch(
        &self,
        current: &Current<'_>,
        stream: &Stream,
        way: Way,
        at: u64,
        table: Table,
    ) -> Result<(), GpuError> {
        let function = match way {
            Way::Gather => self.gather,
            Way::Scatter => self.scatter,
        };
        let mut values = [at, at + table.axes_at as u64, at + table.units_at as u64, table.unit];
        let mut pointers =
            values.each_mut().map(|value| std::ptr::from_mut(value).cast::<c_void>());
        let (pointers, none) = (pointers.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: the kernels have four parameters of eight bytes; the caller vouches for the tables.
        unsafe {
            current.calls.launch(
                function,
                table.units,
                1,
                1,
                THREADS,
                1,
                1,
                0,
                stream.handle(),
                pointers,
                none,
            )
        }
    }
}
