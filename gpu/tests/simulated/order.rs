//! The two edges between a producer's stream and ours, and captures, which must not be spoilt.

use std::sync::Arc;

use ferropickle_gpu::{
    Device, GpuError, Pinned, PinnedPool, Stream, StreamRef, devices, open_device,
};

use crate::{EVERYWHERE, HELD, tests, user};

const OLD: &[u8; 4] = b"old ";
const NEW: &[u8; 4] = b"new!";

/// A device with old bytes on it, what is needed to read them, and new ones to be written there late.
struct Scene {
    device: Arc<Device>,
    stream: Stream,
    buffer: Pinned,
    address: u64,
    fresh: u64,
}

fn scene() -> Scene {
    let device = open_device(devices().unwrap()[0]).unwrap();
    user::use_device(0);
    let pool = PinnedPool::new(&device, 1 << 20);
    pool.warm(4, 1).unwrap();
    Scene {
        stream: Stream::new(&device).unwrap(),
        buffer: pool.take(4).unwrap().unwrap(),
        address: user::device_memory(OLD),
        fresh: user::locked(NEW),
        device,
    }
}

impl Scene {
    fn write_late(&self, stream: u64) {
        user::write_late(self.address, self.fresh, 4, stream);
    }

    /// What our stream reads, between the edges to and from a producer.
    fn read_after(&mut self, producer: Option<StreamRef>) -> Result<Vec<u8>, GpuError> {
        let turn = self.stream.after(producer)?;
        user::copy_to_host(&self.stream, self.address, &mut self.buffer, 4)?;
        turn.give_back()?;
        Ok(self.buffer.bytes()?.to_vec())
    }
}

tests! {
    [HELD, EVERYWHERE] => fn what_the_producer_has_written_is_seen() {
        let mut scene = scene();
        let producer = user::stream();
        scene.write_late(producer);
        assert_eq!(scene.read_after(Some(user::named(producer))).unwrap(), NEW);
    }

    [HELD] => fn without_the_edge_it_is_not() {
        let mut scene = scene();
        scene.write_late(user::stream());
        assert_eq!(scene.read_after(None).unwrap(), OLD);
    }

    [HELD, EVERYWHERE] => fn default_streams_are_producers_too() {
        for producer in [StreamRef::Default, StreamRef::PerThread] {
            let mut scene = scene();
            scene.write_late(if producer == StreamRef::Default { 1 } else { 2 });
            assert_eq!(scene.read_after(Some(producer)).unwrap(), NEW);
        }
    }

    [HELD, EVERYWHERE] => fn the_producer_is_held_back_until_we_have_read() {
        let mut scene = scene();
        let producer = user::stream();
        let turn = scene.stream.after(Some(user::named(producer))).unwrap();
        user::copy_to_host(&scene.stream, scene.address, &mut scene.buffer, 4).unwrap();
        turn.give_back().unwrap();
        scene.write_late(producer);
        user::ok("cuStreamSynchronize", &[producer]);
        assert_eq!(scene.buffer.bytes().unwrap(), OLD);
        assert_eq!(user::read(scene.address, 4), NEW);
    }

    [HELD, EVERYWHERE] => fn a_turn_that_is_dropped_holds_the_producer_back() {
        let mut scene = scene();
        let producer = user::stream();
        {
            let _turn = scene.stream.after(Some(user::named(producer))).unwrap();
            user::copy_to_host(&scene.stream, scene.address, &mut scene.buffer, 4).unwrap();
        }
        scene.write_late(producer);
        user::ok("cuStreamSynchronize", &[producer]);
        assert_eq!(scene.buffer.bytes().unwrap(), OLD);
    }

    [HELD] => fn without_the_second_edge_it_writes_too_early() {
        let mut scene = scene();
        let producer = user::stream();
        std::mem::forget(scene.stream.after(Some(user::named(producer))).unwrap());
        user::copy_to_host(&scene.stream, scene.address, &mut scene.buffer, 4).unwrap();
        scene.write_late(producer);
        user::ok("cuStreamSynchronize", &[producer]);
        assert_eq!(scene.buffer.bytes().unwrap(), NEW);
    }

    [HELD, EVERYWHERE] => fn where_nobody_can_be_held_back_the_call_waits() {
        let mut scene = scene();
        let turn = scene.stream.after(None).unwrap();
        user::copy_to_host(&scene.stream, scene.address, &mut scene.buffer, 4).unwrap();
        turn.give_back().unwrap();
        scene.write_late(user::stream());
        user::ok("cuCtxSynchronize", &[]);
        assert_eq!(scene.buffer.bytes().unwrap(), OLD);
    }

    [EVERYWHERE] => fn a_captured_stream_is_refused_and_its_capture_goes_on() {
        let mut scene = scene();
        let producer = user::stream();
        user::ok("cuStreamBeginCapture_v2", &[producer, 0]);
        scene.write_late(producer);
        assert_eq!(scene.read_after(Some(user::named(producer))), Err(GpuError::Capturing));
        let mut graph = 0u64;
        user::ok("cuStreamEndCapture", &[producer, &raw mut graph as u64]);
        assert_eq!(user::read(scene.address, 4), OLD);
        assert_eq!(scene.read_after(Some(user::named(producer))).unwrap(), OLD);
    }

    [] => fn the_default_stream_is_refused_while_a_stream_it_orders_is_captured() {
        let mut scene = scene();
        let blocking = user::get("cuStreamCreate", &[0]);
        user::ok("cuStreamBeginCapture_v2", &[blocking, 2]);
        assert_eq!(scene.read_after(Some(StreamRef::Default)), Err(GpuError::Capturing));
        let mut graph = 0u64;
        user::ok("cuStreamEndCapture", &[blocking, &raw mut graph as u64]);
    }

    [EVERYWHERE] => fn what_we_make_spoils_no_capture() {
        let scene = scene();
        let captured = user::stream();
        user::ok("cuStreamBeginCapture_v2", &[captured, 0]);
        drop(Stream::new(&scene.device).unwrap());
        assert_eq!(PinnedPool::new(&scene.device, 1 << 20).warm(1, 1).unwrap(), 1);
        let mut graph = 0u64;
        user::ok("cuStreamEndCapture", &[captured, &raw mut graph as u64]);
    }

    [] => fn events_are_used_again() {
        let mut scene = scene();
        let producer = user::stream();
        for _ in 0..200 {
            scene.read_after(Some(user::named(producer))).unwrap();
        }
        assert!(user::reported("cuEventRecord") >= 600);
        assert!(user::reported("cuEventCreate") <= 4, "{}", user::reported("cuEventCreate"));
    }

    [HELD] => fn a_call_that_fails_says_which() {
        let mut scene = scene();
        let producer = user::stream();
        user::control("fault cuStreamWaitEvent:2=4242");
        let error = scene.read_after(Some(user::named(producer))).unwrap_err();
        assert_eq!(error, GpuError::Failed { call: "cuStreamWaitEvent", code: 4242 });
        user::control("nofaults");
        user::control("fault cuEventRecord:1=700");
        let lost = scene.read_after(Some(user::named(producer))).unwrap_err();
        assert!(lost.to_string().contains("context is lost"), "{lost}");
        assert!(scene.read_after(Some(user::named(producer))).is_err(), "and stays so");
    }
}
