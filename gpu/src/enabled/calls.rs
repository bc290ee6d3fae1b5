//! The driver's functions as this crate calls them: by name, with integer statuses.
//!
//! They are looked up once, from the library that cudarc has loaded. A function that some supported driver lacks
//! is optional.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys;

use super::probe::probe;
use crate::api::GpuError;
use crate::wire::HANDLE;

/// A context, a stream, an event: what the driver gives to be given back.
pub type Handle = usize;

/// `CUipcMemHandle`, `CUipcEventHandle`: sixty-four bytes, by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle(pub [u8; HANDLE]);

/// `CUmemLocation`: a device.
#[repr(C)]
pub struct Location {
    kind: c_uint,
    ordinal: c_int,
}

impl Location {
    /// The device with this ordinal.
    pub fn device(ordinal: c_int) -> Self {
        Self { kind: 1, ordinal }
    }
}

/// `CUmemAllocationProp`.
#[repr(C)]
pub struct Properties {
    kind: c_uint,
    handles: c_uint,
    location: Location,
    windows: usize,
    flags: [u8; 8],
}

/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`.
pub const DESCRIPTOR: c_uint = 1;

impl Properties {
    /// Memory of a device's own that can be exported as a descriptor.
    pub fn exportable(ordinal: c_int) -> Self {
        let location = Location::device(ordinal);
        Self { kind: 1, handles: DESCRIPTOR, location, windows: 0, flags: [0; 8] }
    }
}

/// `CUmemAccessDesc`.
#[repr(C)]
pub struct Access {
    location: Location,
    flags: c_uint,
}

impl Access {
    /// The device with this ordinal reads and writes.
    pub fn full(ordinal: c_int) -> Self {
        Self { location: Location::device(ordinal), flags: 3 }
    }
}

/// `CUDA_MEMCPY2D`: rows of bytes, from one side to the other.
#[repr(C)]
pub struct CopyRows {
    /// Where the rows are read.
    pub from: Side,
    /// Where they are written.
    pub to: Side,
    /// Bytes of a row.
    pub width: usize,
    /// How many rows.
    pub height: usize,
}

/// One side of a [`CopyRows`].
#[repr(C)]
pub struct Side {
    x: usize,
    y: usize,
    kind: c_uint,
    host: usize,
    device: c_ulonglong,
    array: usize,
    pitch: usize,
}

impl Side {
    /// Rows in memory that the driver knows: it finds out whose it is.
    pub fn known(address: u64, pitch: usize) -> Self {
        const UNIFIED: c_uint = 4;
        Self { x: 0, y: 0, kind: UNIFIED, host: 0, device: address, array: 0, pitch }
    }
}

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident = $symbol:literal ($($arg:ident: $kind:ty),*);)*) => {
        /// The functions that every supported driver has.
        pub struct Calls {
            $($name: unsafe extern "C" fn($($kind),*) -> c_int,)*
        }

        impl Calls {
            fn load() -> Result<Self, GpuError> {
                // SAFETY: `driver` has probed the library, so `culib` does not panic.
                let library = unsafe { sys::culib() };
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is that of the function in the driver's header, with the status,
                        // an enum of C, as the int that it is.
                        let symbol = unsafe { library.get::<unsafe extern "C" fn($($kind),*) -> c_int>($symbol) };
                        *symbol.map_err(|_| GpuError::MissingSymbol($symbol))?
                    },)*
                })
            }

            $(
                $(#[$meta])*
                ///
                /// # Safety
                ///
                /// Handles are the driver's and alive, pointers are valid for what the driver's reference says.
                #[allow(clippy::too_many_arguments, reason = "the driver's functions have what they have")]
                pub unsafe fn $name(&self, $($arg: $kind),*) -> Result<(), GpuError> {
                    // SAFETY: the caller vouches for the arguments.
                    match unsafe { (self.$name)($($arg),*) } {
                        0 => Ok(()),
                        code => Err(GpuError::Failed { call: $symbol, code }),
                    }
                }
            )*
        }
    };
}

calls! {
    /// The number of devices that this process sees.
    device_count = "cuDeviceGetCount" (count: *mut c_int);
    /// The handle of the device with this ordinal.
    device_get = "cuDeviceGet" (device: *mut c_int, ordinal: c_int);
    /// A device's UUID; of a partition its own.
    device_uuid = "cuDeviceGetUuid_v2" (uuid: *mut [u8; 16], device: c_int);
    /// A reference to the primary context of a device.
    primary_retain = "cuDevicePrimaryCtxRetain" (context: *mut Handle, device: c_int);
    /// Makes a context current, on top of the one that was.
    context_push = "cuCtxPushCurrent_v2" (context: Handle);
    /// Takes the current context off.
    context_pop = "cuCtxPopCurrent_v2" (context: *mut Handle);
    /// A new stream.
    stream_create = "cuStreamCreate" (stream: *mut Handle, flags: c_uint);
    /// Ends a stream once its work is done.
    stream_destroy = "cuStreamDestroy_v2" (stream: Handle);
    /// Waits for a stream.
    stream_synchronize = "cuStreamSynchronize" (stream: Handle);
    /// Makes later work of a stream wait for an event.
    stream_wait = "cuStreamWaitEvent" (stream: Handle, event: Handle, flags: c_uint);
    /// Whether a stream is being captured.
    stream_capturing = "cuStreamIsCapturing" (stream: Handle, status: *mut c_uint);
    /// Exchanges what this thread may do while streams are captured.
    capture_mode = "cuThreadExchangeStreamCaptureMode" (mode: *mut c_uint);
    /// A new event.
    event_create = "cuEventCreate" (event: *mut Handle, flags: c_uint);
    /// Ends an event.
    event_destroy = "cuEventDestroy_v2" (event: Handle);
    /// Puts an event into a stream.
    event_record = "cuEventRecord" (event: Handle, stream: Handle);
    /// Success once the event has happened, 600 before.
    event_query = "cuEventQuery" (event: Handle);
    /// Waits for an event.
    event_synchronize = "cuEventSynchronize" (event: Handle);
    /// Host memory that is locked in place.
    host_alloc = "cuMemHostAlloc" (pointer: *mut *mut c_void, size: usize, flags: c_uint);
    /// Gives it back.
    host_free = "cuMemFreeHost" (pointer: *mut c_void);
    /// Copies to the host, in the order of a stream.
    copy_to_host = "cuMemcpyDtoHAsync_v2" (to: *mut c_void, from: c_ulonglong, size: usize, stream: Handle);
    /// Copies to the device, in the order of a stream.
    copy_to_device = "cuMemcpyHtoDAsync_v2" (to: c_ulonglong, from: *const c_void, size: usize, stream: Handle);
    /// Device memory.
    memory_alloc = "cuMemAlloc_v2" (address: *mut c_ulonglong, size: usize);
    /// Gives it back, once the work of the context is done.
    memory_free = "cuMemFree_v2" (address: c_ulonglong);
    /// Copies within a device, in the order of a stream.
    copy_within = "cuMemcpyDtoDAsync_v2" (to: c_ulonglong, from: c_ulonglong, size: usize, stream: Handle);
    /// Copies rows, in the order of a stream.
    copy_rows = "cuMemcpy2DAsync_v2" (what: *const CopyRows, stream: Handle);
    /// A module from the text of its kernels.
    module_load = "cuModuleLoadData" (module: *mut Handle, image: *const c_void);
    /// A kernel of a module.
    module_function = "cuModuleGetFunction" (function: *mut Handle, module: Handle, name: *const c_char);
    /// Launches a kernel, in the order of a stream.
    launch = "cuLaunchKernel" (function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint, block_z: c_uint, shared: c_uint, stream: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void);
    /// A number that describes a device.
    device_attribute = "cuDeviceGetAttribute" (value: *mut c_int, attribute: c_uint, device: c_int);
    /// Waits for all work of the current context.
    context_synchronize = "cuCtxSynchronize" ();
    /// What the sizes of shared memory are multiples of.
    granularity = "cuMemGetAllocationGranularity" (size: *mut usize, properties: *const Properties, option: c_uint);
    /// Memory without an address.
    shared_create = "cuMemCreate" (memory: *mut c_ulonglong, size: usize, properties: *const Properties, flags: c_ulonglong);
    /// Lets go of it: it lives on where it is mapped.
    shared_release = "cuMemRelease" (memory: c_ulonglong);
    /// A descriptor of it for other processes.
    shared_export = "cuMemExportToShareableHandle" (descriptor: *mut c_void, memory: c_ulonglong, kind: c_uint, flags: c_ulonglong);
    /// The memory of a descriptor.
    shared_import = "cuMemImportFromShareableHandle" (memory: *mut c_ulonglong, descriptor: *mut c_void, kind: c_uint);
    /// Addresses with nothing behind them.
    address_reserve = "cuMemAddressReserve" (address: *mut c_ulonglong, size: usize, align: usize, wanted: c_ulonglong, flags: c_ulonglong);
    /// Gives them back.
    address_free = "cuMemAddressFree" (address: c_ulonglong, size: usize);
    /// Puts memory behind addresses.
    map = "cuMemMap" (address: c_ulonglong, size: usize, offset: usize, memory: c_ulonglong, flags: c_ulonglong);
    /// Takes it away.
    unmap = "cuMemUnmap" (address: c_ulonglong, size: usize);
    /// Says which devices may use it, and how.
    set_access = "cuMemSetAccess" (address: c_ulonglong, size: usize, access: *const Access, count: usize);
    /// The handle of an event for other processes.
    event_export = "cuIpcGetEventHandle" (handle: *mut IpcHandle, event: Handle);
    /// The event of another process.
    event_import = "cuIpcOpenEventHandle" (event: *mut Handle, handle: IpcHandle);
    /// The handle of an allocation for other processes.
    memory_export = "cuIpcGetMemHandle" (handle: *mut IpcHandle, address: c_ulonglong);
    /// An allocation of another process.
    memory_import = "cuIpcOpenMemHandle_v2" (address: *mut c_ulonglong, handle: IpcHandle, flags: c_uint);
    /// Ends its use here, once the work of the context is done.
    memory_close = "cuIpcCloseMemHandle" (address: c_ulonglong);
    /// Several facts about a pointer at once.
    pointer_attributes = "cuPointerGetAttributes" (count: c_uint, names: *mut c_uint, values: *mut *mut c_void, pointer: c_ulonglong);
}

static CALLS: OnceLock<Result<Calls, GpuError>> = OnceLock::new();

/// The functions of a driver that works. Starts it if it has not been started.
///
/// # Errors
///
/// What [`probe`] says, [`GpuError::Forked`] among it, or the function that the driver lacks.
pub fn driver() -> Result<&'static Calls, GpuError> {
    probe()?;
    CALLS.get_or_init(Calls::load).as_ref().map_err(Clone::clone)
}

/// The functions for what ends an object: nothing where no driver was started, and in a forked child, where the objects
/// are not this process's to end.
pub fn started() -> Option<&'static Calls> {
    CALLS.get()?;
    driver().ok()
}
