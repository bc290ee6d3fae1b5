//! Transfers in the order of the streams of those whose arrays they are.

use ferropickle_gpu::{GpuError, Region, Stager, StreamRef};

use crate::staging::stager;
use crate::{EVERYWHERE, HELD, tests, user};

const OLD: &[u8] = &[b'o'; 64];
const NEW: &[u8] = &[b'n'; 64];

/// Arrays with old bytes in them, of which the first will have new ones late.
struct Scene {
    stager: Stager,
    addresses: Vec<u64>,
    fresh: u64,
    producer: u64,
}

fn scene() -> Scene {
    let scene = Scene {
        stager: stager(),
        addresses: (0..5).map(|_| user::device_memory(OLD)).collect(),
        fresh: user::locked(NEW),
        producer: user::stream(),
    };
    // What is made once is made before time matters.
    scene.down(None).unwrap();
    scene
}

impl Scene {
    fn regions(&self, stream: Option<StreamRef>) -> Vec<Region> {
        self.addresses.iter().map(|&address| user::bytes(address, 64, stream)).collect()
    }

    fn write_late(&self) {
        user::write_late(self.addresses[0], self.fresh, 64, self.producer);
    }

    fn down(&self, stream: Option<StreamRef>) -> Result<Vec<u8>, GpuError> {
        let mut made = [[0u8; 64]; 5];
        let mut into = made.each_mut().map(|bytes| bytes.as_mut_slice());
        self.stager.download(&self.regions(stream), &mut into, None)?;
        Ok(made[0].to_vec())
    }

    /// What is in the first array when the producer's stream has done its work.
    fn in_the_end(&self) -> Vec<u8> {
        user::ok("cuStreamSynchronize", &[self.producer]);
        user::read(self.addresses[0], 64)
    }
}

tests! {
    [HELD, EVERYWHERE] => fn a_download_sees_what_was_queued_before_it() {
        let scene = scene();
        scene.write_late();
        assert_eq!(scene.down(Some(user::named(scene.producer))).unwrap(), NEW);
    }

    [HELD] => fn without_the_stream_it_does_not() {
        let scene = scene();
        scene.write_late();
        assert_eq!(scene.down(None).unwrap(), OLD);
    }

    [HELD] => fn a_kept_download_too() {
        let scene = scene();
        scene.stager.pool().warm(1, 1).unwrap();
        for stream in [None, Some(user::named(scene.producer))] {
            scene.write_late();
            let kept = scene.stager.download_kept(&scene.regions(stream)).unwrap();
            assert_eq!(kept[0].as_slice(), if stream.is_none() { OLD } else { NEW });
        }
    }

    [HELD, EVERYWHERE] => fn a_download_is_done_when_it_returns() {
        let scene = scene();
        let read = scene.down(Some(user::named(scene.producer))).unwrap();
        scene.write_late();
        assert_eq!(scene.in_the_end(), NEW);
        assert_eq!(read, OLD);
    }

    [HELD] => fn an_upload_is_seen_by_what_is_queued_after_it() {
        let scene = scene();
        let streams = [Some(user::named(scene.producer)), None];
        for (stream, expected) in streams.into_iter().zip([b'1', b'2']) {
            scene.stager.upload(&[&[expected; 64][..]; 5], &scene.regions(stream)).unwrap();
            let read = user::locked(OLD);
            user::ok("cuMemcpyDtoHAsync_v2", &[read, scene.addresses[0], 64, scene.producer]);
            user::ok("cuStreamSynchronize", &[scene.producer]);
            assert_eq!(user::host(read, 64), [expected; 64]);
        }
    }

    [HELD] => fn an_upload_for_another_stream_is_not() {
        let scene = scene();
        let other = user::named(user::stream());
        scene.stager.upload(&[&[b'1'; 64][..]; 5], &scene.regions(Some(other))).unwrap();
        let read = user::locked(NEW);
        user::ok("cuMemcpyDtoHAsync_v2", &[read, scene.addresses[0], 64, scene.producer]);
        user::ok("cuStreamSynchronize", &[scene.producer]);
        assert_eq!(user::host(read, 64), OLD);
    }

    [HELD, EVERYWHERE] => fn an_upload_comes_after_what_was_queued_before_it() {
        let scene = scene();
        scene.write_late();
        let stream = Some(user::named(scene.producer));
        scene.stager.upload(&[&[b'3'; 64][..]; 5], &scene.regions(stream)).unwrap();
        assert_eq!(scene.in_the_end(), [b'3'; 64]);
    }

    [HELD, EVERYWHERE] => fn an_upload_that_is_waited_for_is_seen_by_every_stream() {
        let scene = scene();
        scene.write_late();
        let stream = Some(user::named(scene.producer));
        scene.stager.upload_waited(&[&[b'4'; 64][..]; 5], &scene.regions(stream)).unwrap();
        let (read, other) = (user::locked(NEW), user::stream());
        user::ok("cuMemcpyDtoHAsync_v2", &[read, scene.addresses[0], 64, other]);
        user::ok("cuStreamSynchronize", &[other]);
        assert_eq!(user::host(read, 64), [b'4'; 64]);
        assert_eq!(scene.in_the_end(), [b'4'; 64]);
    }

    [HELD, EVERYWHERE] => fn a_snapshot_is_of_the_time_when_it_was_taken() {
        let scene = scene();
        let stream = user::named(scene.producer);
        let copies = scene.stager.snapshot(&scene.regions(Some(stream))).unwrap();
        scene.write_late();
        assert_eq!(scene.in_the_end(), NEW);
        copies[0].wait().unwrap();
        assert_eq!(user::read(copies[0].address(), 64), OLD);
    }

    [HELD] => fn without_the_edge_back_a_snapshot_is_of_a_later_time() {
        let scene = scene();
        let other = user::named(user::stream());
        let copies = scene.stager.snapshot(&scene.regions(Some(other))).unwrap();
        scene.write_late();
        assert_eq!(scene.in_the_end(), NEW);
        copies[0].wait().unwrap();
        assert_eq!(user::read(copies[0].address(), 64), NEW);
    }

    [HELD, EVERYWHERE] => fn a_snapshot_of_nobody_s_stream_is_done_when_it_returns() {
        let scene = scene();
        let copies = scene.stager.snapshot(&scene.regions(None)).unwrap();
        scene.write_late();
        assert_eq!(scene.in_the_end(), NEW);
        assert_eq!(user::read(copies[0].address(), 64), OLD);
    }

    [HELD] => fn streams_come_after_what_fills_a_buffer() {
        let scene = scene();
        for ordered in [true, false] {
            let buffers = scene.stager.upload_new(&[NEW]).unwrap();
            let reader = user::stream();
            if ordered {
                buffers[0].before(user::named(reader)).unwrap();
            }
            let read = user::locked(OLD);
            user::ok("cuMemcpyDtoHAsync_v2", &[read, buffers[0].address(), 64, reader]);
            user::ok("cuStreamSynchronize", &[reader]);
            assert_eq!(user::host(read, 64) == NEW, ordered);
        }
    }

    [HELD, EVERYWHERE] => fn a_fetch_comes_after_what_fills_a_buffer() {
        let scene = scene();
        let buffers = scene.stager.upload_new(&[NEW, OLD, NEW]).unwrap();
        let mut made = [[0u8; 64]; 3];
        scene.stager.fetch(&buffers, &mut made.each_mut().map(|bytes| bytes.as_mut_slice())).unwrap();
        assert_eq!([&made[0], &made[1], &made[2]], [NEW, OLD, NEW]);
        let copies = scene.stager.copy_out(&scene.stager.upload_new(&[NEW]).unwrap()).unwrap();
        assert_eq!(user::read(copies[0].address(), 64), NEW);
    }

    [EVERYWHERE] => fn a_capture_refuses_and_goes_on() {
        let scene = scene();
        user::ok("cuStreamBeginCapture_v2", &[scene.producer, 0]);
        let stream = Some(user::named(scene.producer));
        let regions = scene.regions(stream);
        assert_eq!(scene.down(stream), Err(GpuError::Capturing));
        assert_eq!(scene.stager.upload(&[OLD; 5], &regions), Err(GpuError::Capturing));
        assert_eq!(scene.stager.snapshot(&regions).err(), Some(GpuError::Capturing));
        // Arrays of other streams travel meanwhile, new memory and new threads included.
        assert_eq!(scene.down(Some(user::named(user::stream()))).unwrap(), OLD);
        drop(scene.stager.upload_new(&[NEW]).unwrap());
        let mut graph = 0u64;
        user::ok("cuStreamEndCapture", &[scene.producer, &raw mut graph as u64]);
        assert_eq!(scene.down(stream).unwrap(), OLD);
    }
}
