//! The pool of locked memory: bounded, nothing locked while a message waits, no buffer given out while work is on it.

use std::sync::Arc;

use ferropickle_gpu::{Device, GpuError, PinnedPool, Stream, devices, open_device};

use crate::{EVERYWHERE, HELD, tests, user};

const KIB: usize = 1 << 10;

fn device() -> Arc<Device> {
    open_device(devices().unwrap()[0]).unwrap()
}

tests! {
    [] => fn nothing_is_locked_while_somebody_waits() {
        let pool = PinnedPool::new(&device(), 1 << 20);
        assert!(pool.take(100).unwrap().is_none());
        assert!(pool.take(100 * KIB).unwrap().is_none());
        assert_eq!(user::reported("cuMemHostAlloc"), 0);
        assert_eq!(pool.grow().unwrap(), 2, "what was missed");
        assert_eq!(pool.locked(), (64 + 128) * KIB);
        let small = pool.take(100).unwrap().unwrap();
        assert_eq!((small.len(), small.is_empty()), (100, false));
        assert!(pool.take(100 * KIB).unwrap().is_some());
        assert_eq!(user::reported("cuMemHostAlloc"), 2);
        assert_eq!(pool.grow().unwrap(), 0, "nothing was missed");
    }

    [EVERYWHERE] => fn the_bound_holds() {
        let pool = PinnedPool::new(&device(), 600 * KIB);
        assert_eq!(pool.warm(256 * KIB, 5).unwrap(), 2);
        assert_eq!(pool.locked(), 512 * KIB);
        assert_eq!(pool.warm(128 * KIB, 1).unwrap(), 0);
        let both = (pool.take(256 * KIB).unwrap(), pool.take(200 * KIB).unwrap());
        assert!(both.0.is_some() && both.1.is_some());
        assert!(pool.take(256 * KIB).unwrap().is_none());
        assert_eq!(pool.grow().unwrap(), 0);
        drop(both);
        assert!(pool.take(1).unwrap().is_none(), "much too large for it");
        assert!(pool.take(65 * KIB).unwrap().is_some(), "the next larger class will do");
        assert!(pool.take(1 << 40).unwrap().is_none());
    }

    [] => fn memory_can_be_read_at_full_speed_and_goes_back() {
        let device = device();
        user::use_device(0);
        let pool = PinnedPool::new(&device, 1 << 20);
        pool.warm(1, 3).unwrap();
        let mut buffer = pool.take(10).unwrap().unwrap();
        let at = buffer.bytes().unwrap().as_ptr() as u64;
        assert_eq!(user::get("cuMemHostGetFlags", &[at]), 1, "for every context, not write-combined");
        assert_eq!(user::reported("pinned"), 3);
        drop(pool);
        assert_eq!(user::reported("pinned"), 3, "a buffer keeps its pool");
        drop(buffer);
        assert_eq!(user::reported("pinned"), 0);
    }

    [HELD] => fn a_buffer_with_work_on_it_is_not_given_out() {
        let device = device();
        user::use_device(0);
        let (stream, address) = (Stream::new(&device).unwrap(), user::device_memory(b"data"));
        let pool = PinnedPool::new(&device, 1 << 20);
        pool.warm(4, 1).unwrap();
        let mut buffer = pool.take(4).unwrap().unwrap();
        buffer.bytes().unwrap().fill(0);
        user::copy_to_host(&stream, address, &mut buffer, 4).unwrap();
        drop(buffer);
        assert!(pool.take(4).unwrap().is_none(), "the copy has not been done");
        stream.wait().unwrap();
        let mut buffer = pool.take(4).unwrap().unwrap();
        assert_eq!(buffer.bytes().unwrap(), b"data");
    }

    [HELD] => fn copies_of_two_streams_into_one_buffer_are_in_order() {
        let device = device();
        user::use_device(0);
        let (first, second) = (Stream::new(&device).unwrap(), Stream::new(&device).unwrap());
        let (one, two) = (user::device_memory(b"one!"), user::device_memory(b"two!"));
        let pool = PinnedPool::new(&device, 1 << 20);
        pool.warm(4, 1).unwrap();
        let mut buffer = pool.take(4).unwrap().unwrap();
        user::copy_to_host(&first, one, &mut buffer, 4).unwrap();
        user::copy_to_host(&second, two, &mut buffer, 4).unwrap();
        assert_eq!(buffer.bytes().unwrap(), b"two!");
        first.wait().unwrap();
        assert_eq!(buffer.bytes().unwrap(), b"two!", "the first copy does not come after all");
    }

    [EVERYWHERE] => fn a_copy_stays_in_its_buffer() {
        let device = device();
        user::use_device(0);
        let (stream, address) = (Stream::new(&device).unwrap(), user::device_memory(&[7; 100]));
        let pool = PinnedPool::new(&device, 1 << 20);
        pool.warm(1, 1).unwrap();
        let mut buffer = pool.take(50).unwrap().unwrap();
        assert_eq!(user::copy_to_host(&stream, address, &mut buffer, 51), Err(GpuError::TooSmall));
        assert_eq!(user::copy_to_device(&stream, address, &mut buffer, 51), Err(GpuError::TooSmall));
        assert_eq!(user::reported("cuMemcpyDtoHAsync_v2"), 0);
    }

    [("CUDASIM_FAULTS", "cuMemHostAlloc:2=2")] => fn memory_that_could_not_be_locked_is_not_counted() {
        let pool = PinnedPool::new(&device(), 1 << 20);
        let error = pool.warm(1, 3).unwrap_err();
        assert_eq!(error.to_string(), "the GPU driver's cuMemHostAlloc failed with status 2 (out of memory)");
        assert_eq!(pool.locked(), 64 * KIB);
        assert_eq!(pool.warm(1, 1).unwrap(), 1);
    }
}
