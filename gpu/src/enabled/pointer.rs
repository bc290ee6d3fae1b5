//! What a pointer is: one question for all that decides how its memory can travel.

use std::ffi::c_void;

use super::device::{Current, Device, devices};
use crate::api::{Export, GpuError, Memory, PointerInfo};

/// `CUpointer_attribute`, in the order of the answers.
const ASKED: [u32; 9] = [
    2,  // memory type
    8,  // is managed
    9,  // device ordinal
    7,  // buffer id
    11, // start of the range
    12, // size of the range
    10, // has a legacy handle
    14, // types of handles that it may be exported as
    17, // pool
];

/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`.
const DESCRIPTOR: u64 = 1;

/// `CU_MEMORYTYPE_HOST`; 0 is memory that the driver does not know.
const UNKNOWN: u32 = 0;
const HOST: u32 = 1;

/// The driver's answer about an address.
pub(super) struct Answer {
    pub memory: Memory,
    pub ordinal: u32,
    pub base: u64,
    pub size: u64,
    pub buffer: u64,
    pub export: Export,
}

/// Asks the driver about an address; nothing if it does not know it.
pub(super) fn ask(current: &Current<'_>, address: u64) -> Result<Option<Answer>, GpuError> {
    // Some answers are narrower than the place for them: the rest stays 0.
    let mut answers = [0u64; ASKED.len()];
    let mut names = ASKED;
    let mut places = [std::ptr::null_mut::<c_void>(); ASKED.len()];
    for (place, answer) in places.iter_mut().zip(&mut answers) {
        *place = std::ptr::from_mut(answer).cast();
    }
    let count = ASKED.len() as u32;
    // SAFETY: as many names as places, and each place has room for the widest answer.
    unsafe {
        current.calls.pointer_attributes(count, names.as_mut_ptr(), places.as_mut_ptr(), address)
    }?;
    let [kind, managed, ordinal, buffer, base, size, legacy, handles, pool] = answers;
    let memory = match (kind as u32, managed as u8) {
        (UNKNOWN, _) => return Ok(None),
        (_, 1) => Memory::Managed,
        (HOST, _) => Memory::Pinned,
        _ => Memory::Device,
    };
    let export = match (legacy as u8, handles & DESCRIPTOR, pool) {
        _ if memory != Memory::Device => Export::None,
        (1, _, _) => Export::Legacy,
        (_, DESCRIPTOR, 0) => Export::Descriptor,
        (_, DESCRIPTOR, _) => Export::Pool,
        _ => Export::None,
    };
    Ok(Some(Answer { memory, ordinal: ordinal as u32, base, size, buffer, export }))
}

impl Device {
    /// What the memory at this address is, as the driver knows it. Any address may be asked about.
    ///
    /// # Errors
    ///
    /// [`GpuError::Forked`]; a call that fails.
    pub fn classify(&self, address: u64) -> Result<PointerInfo, GpuError> {
        let Some(answer) = ask(&self.enter()?, address)? else { return Ok(PointerInfo::unknown()) };
        let Answer { memory, ordinal, base, size, buffer, export } = answer;
        let device = devices()?.get(ordinal as usize).copied();
        Ok(PointerInfo { memory, device, base, size, buffer, export })
    }
}
