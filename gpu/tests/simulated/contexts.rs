//! Devices by UUID, and contexts that are left as they were found.

use std::sync::Arc;

use ferropickle_gpu::{GpuError, PinnedPool, Stream, devices, open_device, probe};

use crate::{EVERYWHERE, tests, user};

tests! {
    [("CUDASIM_DEVICES", "2")] => fn the_caller_s_context_is_left_as_it_was() {
        let own = user::use_device(1);
        let device = open_device(devices().unwrap()[0]).unwrap();
        assert_eq!((device.ordinal(), user::current()), (0, own));
        {
            let _entered = device.enter().unwrap();
            assert_ne!(user::current(), own);
            let _again = device.enter().unwrap();
        }
        assert_eq!(user::current(), own);
        let stream = Stream::new(&device).unwrap();
        stream.wait().unwrap();
        drop(stream);
        assert_eq!(user::current(), own);
    }

    [EVERYWHERE] => fn a_thread_without_a_context_needs_none() {
        let device = open_device(devices().unwrap()[0]).unwrap();
        let thread = std::thread::spawn(move || {
            assert_eq!(user::current(), 0);
            Stream::new(&device).unwrap().wait().unwrap();
            user::current()
        });
        assert_eq!(thread.join().unwrap(), 0);
    }

    [] => fn a_device_is_opened_once_and_shares_its_context() {
        let id = devices().unwrap()[0];
        let device = open_device(id).unwrap();
        assert!(Arc::ptr_eq(&device, &open_device(id).unwrap()));
        assert_eq!(user::reported("cuDevicePrimaryCtxRetain"), 1);
        let own = user::use_device(0);
        let _entered = device.enter().unwrap();
        assert_eq!(user::current(), own, "the primary context is one");
    }

    [("CUDASIM_UUIDS", "GPU-00000000-0000-0000-0000-0000000000aa,MIG-00000000-0000-0000-0000-0000000000bb"),
     ("CUDA_VISIBLE_DEVICES", "1,0")] => fn devices_are_told_by_their_uuid() {
        let found: Vec<String> = devices().unwrap().iter().map(|id| id.to_string()).collect();
        assert_eq!(found[0], "GPU-00000000-0000-0000-0000-0000000000bb", "a partition by its own");
        assert_eq!(found[1], "GPU-00000000-0000-0000-0000-0000000000aa");
        let id = found[1].parse().unwrap();
        assert_eq!(open_device(id).unwrap().ordinal(), 1);
        let hidden = "GPU-00000000-0000-0000-0000-0000000000cc".parse().unwrap();
        assert_eq!(open_device(hidden).err(), Some(GpuError::NotVisible(hidden)));
    }

    [EVERYWHERE] => fn a_forked_child_is_refused_and_ends_nothing() {
        let device = open_device(devices().unwrap()[0]).unwrap();
        let pool = PinnedPool::new(&device, 1 << 20);
        pool.warm(1, 2).unwrap();
        let (buffer, stream) = (pool.take(1).unwrap().unwrap(), Stream::new(&device).unwrap());
        let turn = stream.after(None).unwrap();
        let forked = |error: Option<GpuError>| matches!(error, Some(GpuError::Forked { .. }));
        let parent = std::process::id();
        let refused = user::in_fork(|| {
            let refused = forked(devices().err())
                && forked(open_device(device.id()).err())
                && forked(Stream::new(&device).err())
                && forked(pool.take(1).err())
                && forked(pool.grow().err())
                && probe() == Err(GpuError::Forked { started_by: parent });
            // Objects of the parent's end quietly.
            drop((turn, buffer));
            refused
        });
        assert!(refused);
        stream.wait().unwrap();
        assert!(pool.take(1).unwrap().is_some());
    }

    [("CUDASIM_FAULTS", "cuDevicePrimaryCtxRetain:1=4242")] => fn a_status_without_a_name_is_an_error() {
        let id = devices().unwrap()[0];
        let error = open_device(id).err().unwrap();
        assert_eq!(error, GpuError::Failed { call: "cuDevicePrimaryCtxRetain", code: 4242 });
        assert_eq!(error.to_string(), "the GPU driver's cuDevicePrimaryCtxRetain failed with status 4242");
        assert!(open_device(id).is_ok(), "a device that could not be opened is not kept");
    }
}

/// Every version of the driver has what the crate calls.
#[test]
fn all_drivers_will_do() {
    for version in ["12.0", "12.2", "12.4", "12.8", "13.0", "13.2"] {
        let name = concat!(module_path!(), "::all_drivers_will_do");
        if crate::is_child(name, version, &[]) {
            let device = open_device(devices().unwrap()[0]).unwrap();
            user::use_device(0);
            let address = user::device_memory(b"as it was");
            let pool = PinnedPool::new(&device, 1 << 20);
            assert_eq!(pool.warm(1, 1).unwrap(), 1);
            let mut buffer = pool.take(9).unwrap().unwrap();
            let stream = Stream::new(&device).unwrap();
            user::copy_to_host(&stream, address, &mut buffer, 9).unwrap();
            assert_eq!(buffer.bytes().unwrap(), b"as it was");
            buffer.bytes().unwrap().copy_from_slice(b"is better");
            user::copy_to_device(&stream, address, &mut buffer, 9).unwrap();
            stream.wait().unwrap();
            assert_eq!(user::read(address, 9), b"is better");
            assert_eq!(device.classify(address).unwrap().size, 9);
            return;
        }
    }
}
