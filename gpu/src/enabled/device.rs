//! Devices of this process, by UUID, and their primary contexts.

use std::collections::HashMap;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

#[cfg(unix)]
use super::blocks::Blocks;
use super::calls::{Calls, Handle, driver, started};
use super::event::EventPool;
#[cfg(unix)]
use super::import::Peers;
use super::kernel::Kernels;
use super::staging::Stager;
use crate::api::{DeviceId, GpuError};

/// A device whose primary context this process holds: the one that every library of the process shares.
///
/// The context is held as long as the process lives, as other libraries do, so that handles of objects that outlive
/// a call stay good.
pub struct Device {
    id: DeviceId,
    ordinal: c_int,
    context: Handle,
    pub(super) events: EventPool,
    pub(super) stager: OnceLock<Stager>,
    /// Empty where the driver does not take them: rows are copied one set at a time then.
    pub(super) kernels: OnceLock<Option<Kernels>>,
    #[cfg(unix)]
    pub(super) blocks: Blocks,
    #[cfg(unix)]
    pub(super) peers: Peers,
}

/// The UUIDs of the devices that this process sees, by ordinal.
///
/// # Errors
///
/// What [`probe`](crate::probe) says; a call that fails.
pub fn devices() -> Result<Vec<DeviceId>, GpuError> {
    let calls = driver()?;
    let mut count = 0;
    // SAFETY: `count` is a live int.
    unsafe { calls.device_count(&mut count) }?;
    (0..count).map(|ordinal| identify(calls, ordinal)).collect()
}

fn identify(calls: &Calls, ordinal: c_int) -> Result<DeviceId, GpuError> {
    let (mut device, mut uuid) = (0, [0; 16]);
    // SAFETY: both are live and of the sizes that the driver writes.
    unsafe {
        calls.device_get(&mut device, ordinal)?;
        calls.device_uuid(&mut uuid, device)?;
    }
    Ok(DeviceId::from_bytes(uuid))
}

/// The device with this UUID. The first call for a device makes its primary context, or shares the one that is there; later
/// ones give the same object. The caller's current context stays as it was.
///
/// # Errors
///
/// [`GpuError::NotVisible`] if this process does not see the device; else as [`devices`].
pub fn open_device(id: DeviceId) -> Result<Arc<Device>, GpuError> {
    static OPEN: OnceLock<Mutex<HashMap<DeviceId, Arc<Device>>>> = OnceLock::new();
    // Before the lock: a forked child is refused here, and never waits for a thread that it does not have.
    let calls = driver()?;
    let mut open = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&id) {
        return Ok(device.clone());
    }
    let found =
        devices()?.iter().position(|device| *device == id).ok_or(GpuError::NotVisible(id))?;
    let (mut device, mut context) = (0, 0);
    // SAFETY: both are live; the ordinal is one of this process's.
    unsafe {
        calls.device_get(&mut device, found as c_int)?;
        calls.primary_retain(&mut context, device)?;
    }
    let device = Arc::new(Device {
        id,
        ordinal: found as c_int,
        context,
        events: EventPool::default(),
        stager: OnceLock::new(),
        kernels: OnceLock::new(),
        #[cfg(unix)]
        blocks: Blocks::default(),
        #[cfg(unix)]
        peers: Peers::default(),
    });
    open.insert(id, device.clone());
    Ok(device)
}

impl Device {
    /// Its UUID.
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Its number in this process, which means nothing in another.
    pub fn ordinal(&self) -> usize {
        self.ordinal as usize
    }

    /// Makes the device's context current in this thread until the guard is dropped; then what was current is again.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails.
    pub fn enter(&self) -> Result<Current<'_>, GpuError> {
        let calls = driver()?;
        // SAFETY: the context is held as long as the process lives.
        unsafe { calls.context_push(self.context) }?;
        Ok(Current { calls, device: self, thread: PhantomData })
    }
}

/// A device whose context is current in this thread.
pub struct Current<'d> {
    pub(super) calls: &'static Calls,
    pub(super) device: &'d Device,
    /// Contexts are current in one thread: the guard stays there.
    thread: PhantomData<*const ()>,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let mut popped = 0;
        if let Some(calls) = started() {
            // SAFETY: `popped` is live. What was pushed in `enter` is on top, since guards of a thread end in
            // reverse order; a failure has nobody to go to, and leaves nothing of ours behind.
            let _ = unsafe { calls.context_pop(&mut popped) };
        }
    }
}

/// While it lives, calls of this thread do not spoil captures of the user's: allocations have no place in a graph, and
/// no order to keep with it.
pub(super) struct Relaxed {
    calls: &'static Calls,
    before: u32,
}

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: u32 = 2;

impl Relaxed {
    pub fn new(calls: &'static Calls) -> Result<Self, GpuError> {
        let mut before = RELAXED;
        // SAFETY: `before` is live; it is exchanged with the thread's mode.
        unsafe { calls.capture_mode(&mut before) }?;
        Ok(Self { calls, before })
    }
}

impl Drop for Relaxed {
    fn drop(&mut self) {
        // SAFETY: the mode is the thread's own from before.
        let _ = unsafe { self.calls.capture_mode(&mut self.before) };
    }
}
