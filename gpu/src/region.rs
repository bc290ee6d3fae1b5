//! Arrays in device memory, as whoever sends or receives them names them.

use ferropickle_core::strided::{Axis, Layout};

use crate::api::StreamRef;

/// Elements of device memory: where, in which layout, and in which stream their producer works on them (or their consumer
/// will).
#[derive(Clone, Debug)]
pub struct Region {
    address: u64,
    layout: Layout,
    stream: Option<StreamRef>,
    vouched: bool,
}

impl Region {
    /// The elements of a layout. `address` is that of the element whose indices are all 0. With no stream there is nothing to
    /// wait for before the memory is used, and nobody to hold back: calls return when they are done with it.
    ///
    /// # Safety
    ///
    /// As long as the region is used, the memory stays allocated and the stream alive. For a region that is written to, nobody
    /// else uses the memory but in the order of that stream.
    pub const unsafe fn new(address: u64, layout: Layout, stream: Option<StreamRef>) -> Region {
        Region { address, layout, stream, vouched: false }
    }

    /// As [`Region::new`], for a shape and strides in bytes; `None` if the array reaches further than memory can, or they
    /// are not of one length.
    ///
    /// # Safety
    ///
    /// As [`Region::new`].
    pub unsafe fn strided(
        address: u64,
        shape: &[usize],
        strides: &[isize],
        item_bytes: usize,
        stream: Option<StreamRef>,
    ) -> Option<Region> {
        let axes = shape.iter().zip(strides).map(|(&len, &stride)| Axis { len, stride });
        let layout = Layout::new(axes, item_bytes).filter(|_| shape.len() == strides.len())?;
        Some(Region { address, layout, stream, vouched: false })
    }

    /// As [`Region::new`], for bytes that lie together; `None` if they are more than memory can hold.
    ///
    /// # Safety
    ///
    /// As [`Region::new`].
    pub unsafe fn bytes(address: u64, len: usize, stream: Option<StreamRef>) -> Option<Region> {
        let layout = Layout::new([], len).filter(|_| len <= isize::MAX as usize)?;
        Some(Region { address, layout, stream, vouched: false })
    }

    /// The same, for an array that its own library describes: the driver is not asked whether the memory is there and of this
    /// device, which takes about a microsecond for each allocation.
    ///
    /// # Safety
    ///
    /// All elements lie in memory that the device of whoever is given the region can use.
    pub unsafe fn vouched(self) -> Region {
        Region { vouched: true, ..self }
    }

    /// Whether the driver need not be asked about the memory.
    pub fn is_vouched(&self) -> bool {
        self.vouched
    }

    /// The address of the element whose indices are all 0.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Where the elements are from there.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The stream of those who use the memory.
    pub fn stream(&self) -> Option<StreamRef> {
        self.stream
    }

    /// Bytes of all elements together.
    pub fn len_bytes(&self) -> usize {
        self.layout.len_bytes()
    }

    /// The lowest address and how many bytes from there to the end of the highest element; `None` if they do not fit into the
    /// space of addresses.
    pub fn span(&self) -> Option<(u64, u64)> {
        let low = self.address.checked_sub(self.layout.before() as u64)?;
        let len = self.layout.extent() as u64;
        low.checked_add(len).map(|_| (low, len))
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "regions that nobody uses")]
mod tests {
    use super::*;

    #[test]
    fn spans_stay_within_addresses() {
        // SAFETY: nobody uses them.
        let span = |address, shape: &[usize], strides: &[isize]| unsafe {
            Region::strided(address, shape, strides, 4, None).and_then(|region| region.span())
        };
        assert_eq!(span(1000, &[3, 2], &[8, 4]), Some((1000, 24)));
        assert_eq!(span(1000, &[3], &[-8]), Some((984, 20)));
        assert_eq!(span(8, &[3], &[-8]), None);
        assert_eq!(span(u64::MAX - 3, &[2], &[4]), None);
        assert_eq!(span(1000, &[3, 2], &[8]), None);
        assert_eq!(span(1000, &[usize::MAX], &[8]), None);
        assert_eq!(span(1000, &[0], &[isize::MIN]), Some((1000, 0)));
        // SAFETY: nobody uses it.
        assert!(unsafe { Region::bytes(0, usize::MAX, None) }.is_none());
    }
}
