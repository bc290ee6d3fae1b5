//! What a buffer is: plain data, fit to be written as bytes.

use bytemuck::{Pod, Zeroable};

/// Where a buffer's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Place {
    /// Ordinary host memory.
    Host = 0,
    /// Host memory that a device can read directly.
    Pinned = 1,
    /// Host memory that another process can map.
    Shared = 2,
    /// Device memory.
    Device = 3,
}

impl Place {
    /// The place of a number in a [`BufferDesc`], if it names one.
    pub fn from_u32(value: u32) -> Option<Place> {
        [Place::Host, Place::Pinned, Place::Shared, Place::Device]
            .into_iter()
            .find(|p| *p as u32 == value)
    }
}

/// Bit of [`BufferDesc::flags`]: the receiver must not write to the buffer.
pub const READ_ONLY: u32 = 1;

/// Description of one buffer. `#[repr(C)]`, no padding: it can be sent as is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BufferDesc {
    /// Length in bytes.
    pub len: u64,
    /// Alignment in bytes that the bytes had, and should have again.
    pub align: u32,
    /// [`Place`] as a number.
    pub place: u32,
    /// [`READ_ONLY`] or 0.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

impl BufferDesc {
    /// A host buffer of `len` bytes.
    pub fn host(len: usize, align: u32, read_only: bool) -> BufferDesc {
        let flags = if read_only { READ_ONLY } else { 0 };
        BufferDesc { len: len as u64, align, place: Place::Host as u32, flags, reserved: 0 }
    }

    /// Whether the receiver must not write to the buffer.
    pub fn read_only(&self) -> bool {
        self.flags & READ_ONLY != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_as_bytes() {
        let desc = BufferDesc::host(12, 64, true);
        let bytes = bytemuck::bytes_of(&desc).to_vec();
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytemuck::pod_read_unaligned::<BufferDesc>(&bytes), desc);
        assert!(desc.read_only());
        assert_eq!(Place::from_u32(desc.place), Some(Place::Host));
        assert_eq!(Place::from_u32(9), None);
    }
}
