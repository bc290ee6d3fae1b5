//! Arrays to the host and back: their bytes, whatever their layout, in few copies.

use std::sync::Arc;

use ferropickle_core::strided::{Axis, Layout};
use ferropickle_gpu::plan::LARGE;
use ferropickle_gpu::{Device, GpuError, Region, Stager, devices, open_device};

use crate::{EVERYWHERE, tests, user};

pub fn stager() -> Stager {
    let device = open_device(devices().unwrap()[0]).unwrap();
    user::use_device(0);
    Stager::of(&device)
}

/// A generator of numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// A layout, and where in `room` bytes its first element is.
    fn layout(&mut self, room: usize) -> (Layout, usize) {
        loop {
            let item = [1, 2, 3, 4, 8, 16, 12][self.below(7)];
            let dimensions = self.below(6);
            let mut axes: Vec<Axis> = Vec::new();
            for _ in 0..dimensions {
                let len = [0, 1, 2, 3, 5, 9, 17][self.below(30).clamp(1, 6)];
                let unit = if self.below(3) == 0 { 1 } else { item as isize };
                let stride = (self.below(40) as isize - 8) * unit;
                axes.push(Axis { len: if self.below(30) == 0 { 0 } else { len }, stride });
            }
            let layout = Layout::new(axes, item).unwrap();
            if layout.extent() <= room && layout.len_bytes() <= 4 * room {
                let at = layout.before() + self.below(room - layout.extent() + 1);
                return (layout, at);
            }
        }
    }
}

fn down(stager: &Stager, from: &[Region]) -> Result<Vec<Vec<u8>>, GpuError> {
    let mut made: Vec<Vec<u8>> = from.iter().map(|region| vec![0; region.len_bytes()]).collect();
    let mut into: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();
    stager.download(from, &mut into, None)?;
    Ok(made)
}

fn up(stager: &Stager, from: &[Vec<u8>], into: &[Region]) -> Result<(), GpuError> {
    let from: Vec<&[u8]> = from.iter().map(Vec::as_slice).collect();
    stager.upload(&from, into)
}

/// Arrays of every kind go down and come up as a copy in the host's memory says they must.
fn any_layout(rounds: usize) {
    let stager = stager();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds {
        let memory = numbers.bytes(1500);
        let address = user::device_memory(&memory);
        let forms: Vec<(Layout, usize)> =
            (0..numbers.below(12)).map(|_| numbers.layout(1500)).collect();
        let region = |(layout, at): &(Layout, usize)| {
            let shape: Vec<usize> = layout.axes().iter().map(|axis| axis.len).collect();
            let strides: Vec<isize> = layout.axes().iter().map(|axis| axis.stride).collect();
            user::region(address + *at as u64, &shape, &strides, layout.item_bytes(), None)
        };
        let regions: Vec<Region> = forms.iter().map(region).collect();
        let expected: Vec<Vec<u8>> =
            forms.iter().map(|(layout, at)| user::packed(&memory, *at, layout)).collect();
        let found = down(&stager, &regions);
        assert_eq!(found.unwrap(), expected, "round {round}: {forms:?}");
        let kept = stager.download_kept(&regions).unwrap();
        assert!(kept.iter().zip(&expected).all(|(kept, bytes)| kept.as_slice() == bytes));
        let copies = stager.snapshot(&regions).unwrap();
        for (copy, expected) in copies.iter().zip(&expected) {
            copy.wait().unwrap();
            assert_eq!(&user::read(copy.address(), copy.len()), expected);
        }

        // One after another, as they may lie across each other.
        for (region, (layout, at)) in regions.iter().zip(&forms) {
            let fresh = vec![numbers.bytes(layout.len_bytes())];
            let one = std::slice::from_ref(region);
            if !layout.is_nested() {
                assert_eq!(up(&stager, &fresh, one), Err(GpuError::Overlapping));
                continue;
            }
            up(&stager, &fresh, one).unwrap();
            assert_eq!(down(&stager, one).unwrap(), fresh);
            // What is beside the elements stays: a second array over all of the memory tells.
            let all = user::read(address, 1500);
            assert_eq!(user::packed(&all, *at, layout), fresh[0]);
        }
        user::ok("cuMemFree_v2", &[address]);
    }
    assert_eq!(user::reported("violations"), 0);
}

fn blocks(count: usize, size: usize) -> (Vec<Vec<u8>>, Vec<Region>) {
    let data: Vec<Vec<u8>> =
        (0..count).map(|i| (0..size).map(|k| (i * 31 + k * 7 + k / 251) as u8).collect()).collect();
    let region = |bytes: &Vec<u8>| user::bytes(user::device_memory(bytes), size, None);
    let regions = data.iter().map(region).collect();
    (data, regions)
}

tests! {
    [] => fn a_thousand_small_arrays_are_one_launch_and_one_copy() {
        let stager = stager();
        let (data, regions) = blocks(1000, 4096);
        assert_eq!(down(&stager, &regions).unwrap(), data);
        user::control("reset");
        assert_eq!(down(&stager, &regions).unwrap(), data);
        assert_eq!(user::copies("DtoH"), (1, 1000 * 4096));
        assert_eq!(user::copies("HtoD"), (0, 0));
        assert_eq!(user::log(), ["cuLaunchKernel", "cuMemcpyDtoHAsync_v2", "cuEventSynchronize"]);
        for call in ["cuEventCreate", "cuStreamCreate", "cuModuleLoadData"] {
            assert_eq!(user::reported(call), 0, "{call}");
        }
    }

    [] => fn and_up_again_without_a_wait() {
        let stager = stager();
        let (data, _) = blocks(1000, 4096);
        let stream = user::named(user::stream());
        let to: Vec<u64> = (0..1000).map(|_| user::device_memory(&[0; 4096])).collect();
        let regions: Vec<Region> =
            to.iter().map(|&address| user::bytes(address, 4096, Some(stream))).collect();
        up(&stager, &data, &regions).unwrap();
        up(&stager, &data, &regions).unwrap();
        user::ok("cuCtxSynchronize", &[]);
        user::control("reset");
        up(&stager, &data, &regions).unwrap();
        user::ok("cuCtxSynchronize", &[]);
        assert_eq!(user::copies("HtoD"), (1, 1000 * 4096));
        let log = user::log();
        assert!(log.ends_with(&["cuMemcpyHtoDAsync_v2".into(), "cuLaunchKernel".into()]), "{log:?}");
        assert!(!log.iter().any(|call| call.contains("Alloc") || call.contains("Host")), "{log:?}");
        assert_eq!(down(&stager, &regions).unwrap(), data);
    }

    [EVERYWHERE] => fn layouts_of_every_kind() {
        any_layout(40);
        assert!(crate::is_real() || user::reported("cuLaunchKernel") > 0);
    }

    [("CUDASIM_FAULTS", "cuModuleLoadData:1=218")] => fn layouts_of_every_kind_without_a_kernel() {
        any_layout(6);
        assert_eq!(user::reported("cuLaunchKernel"), 0);
        assert!(user::reported("cuMemcpy2DAsync_v2") > 0);
    }

    [] => fn rows_at_a_distance_are_one_copy_without_a_kernel() {
        user::ok("cuInit", &[0]);
        user::control("fault cuModuleLoadData:1=218");
        let stager = stager();
        let memory: Vec<u8> = (0..64 * 100).map(|i| (i % 251) as u8).collect();
        let address = user::device_memory(&memory);
        let found = down(&stager, &[user::region(address + 8, &[100, 4], &[64, 4], 4, None)]).unwrap();
        let rows: Vec<u8> = memory.chunks(64).flat_map(|row| row[8..24].to_vec()).collect();
        assert_eq!(found, [rows]);
        assert_eq!(user::copies("DtoH"), (1, 1600));
    }

    [EVERYWHERE] => fn what_is_large_comes_in_pieces_while_the_next_is_on_its_way() {
        let stager = stager();
        let size = 20 << 20;
        let data: Vec<u8> = (0..size).map(|i| (i * 7 + i / 4096) as u8).collect();
        let address = user::device_memory(&data);
        let regions = [
            user::bytes(address, size, None),
            user::bytes(address + 5, LARGE, None),
            // More strided bytes than a chunk holds.
            user::region(address, &[9 << 16], &[32], 16, None),
        ];
        assert!(down(&stager, &regions).is_ok());
        user::control("reset");
        let mut made: Vec<Vec<u8>> = regions.iter().map(|r| vec![0; r.len_bytes()]).collect();
        let mut into: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();
        let mut seen: Vec<Vec<u8>> = vec![Vec::new(); 3];
        let mut tell = |array: usize, from: usize, bytes: &[u8]| {
            assert_eq!(seen[array].len(), from, "in order");
            seen[array].extend_from_slice(bytes);
        };
        stager.download(&regions, &mut into, Some(&mut tell)).unwrap();
        assert_eq!(made, seen);
        assert!(made[0] == data && made[1] == data[5..LARGE + 5]);
        assert!(made[2].chunks(16).zip(data.chunks(32)).all(|(found, row)| found == &row[..16]));
        if crate::is_real() {
            return;
        }
        let log = user::log();
        let waits: Vec<usize> = (0..log.len()).filter(|&i| log[i] == "cuEventSynchronize").collect();
        let copies: Vec<usize> = (0..log.len()).filter(|&i| log[i].contains("DtoH")).collect();
        assert!(copies.len() >= 5 && waits.len() >= 4, "{log:?}");
        assert!(waits[0] > copies[1], "the second copy is queued before the first is waited for: {log:?}");
        assert!(!log.iter().any(|call| call.contains("Alloc")), "{log:?}");
    }

    [] => fn kept_buffers_are_locked_memory_if_there_is_some() {
        let stager = stager();
        let (data, regions) = blocks(40, 100_000);
        let first = stager.download_kept(&regions).unwrap();
        let pinned = |address: u64| stager.device().classify(address).unwrap().memory == ferropickle_gpu::Memory::Pinned;
        assert!(!pinned(first[0].as_ptr() as u64), "nothing is locked while somebody waits");
        assert!(stager.pool().grow().unwrap() > 0);
        user::control("reset");
        let kept = stager.download_kept(&regions).unwrap();
        assert!(kept.iter().all(|buffer| pinned(buffer.as_ptr() as u64)));
        assert!(kept.iter().all(|buffer| (buffer.as_ptr() as usize).is_multiple_of(64)));
        assert!(kept.iter().zip(&data).all(|(kept, data)| kept.as_slice() == data));
        assert_eq!(user::copies("DtoH").0, 1, "{:?}", user::log());
        let again = stager.download_kept(&regions).unwrap();
        assert!(!pinned(again[0].as_ptr() as u64), "the buffers are in use");
        drop(kept);
        let again = stager.download_kept(&regions).unwrap();
        assert!(pinned(again[0].as_ptr() as u64), "they went back");
    }

    [EVERYWHERE] => fn kept_buffers_of_several_chunks() {
        let stager = stager();
        stager.pool().warm(32 << 20, 1).unwrap();
        let (mut data, mut regions) = blocks(1100, 7000);
        let size = 9 << 20;
        data.push((0..size).map(|i| (i % 255) as u8).collect());
        regions.push(user::bytes(user::device_memory(data.last().unwrap()), size, None));
        let kept = stager.download_kept(&regions).unwrap();
        assert!(kept.iter().zip(&data).all(|(kept, data)| kept.as_slice() == data));
        assert!(crate::is_real() || user::copies("DtoH").0 > 2);
    }

    [] => fn new_memory_for_what_comes_up() {
        let stager = stager();
        let mut data = blocks(50, 1234).0;
        data.push(Vec::new());
        data.push((0..9 << 20).map(|i| (i % 253) as u8).collect());
        let from: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let before = user::reported("device");
        let buffers = stager.upload_new(&from).unwrap();
        assert!(user::reported("device") <= before + 2, "one for all, and one to pack into");
        assert_eq!(user::reported("cuLaunchKernel"), 0, "what lies side by side needs none");
        for (buffer, bytes) in buffers.iter().zip(&data) {
            buffer.wait().unwrap();
            assert_eq!(buffer.address() % 256, 0);
            assert_eq!(&user::read(buffer.address(), buffer.len()), bytes);
        }
        let mut made: Vec<Vec<u8>> = data.iter().map(|bytes| vec![0; bytes.len()]).collect();
        let mut into: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();
        stager.fetch(&buffers, &mut into).unwrap();
        assert_eq!(stager.fetch(&buffers[1..], &mut into), Err(GpuError::TooSmall));
        assert!(made == data && user::reported("cuLaunchKernel") == 1);
        let part = buffers[0].part(4, 30).unwrap();
        assert!(!part.is_sole() && part.part(0, 31).is_none() && part.part(usize::MAX, 2).is_none());
        let (live, address) = (user::reported("device"), part.address());
        drop(buffers);
        assert!(part.is_sole());
        assert_eq!(user::read(address, 30), &data[0][4..34]);
        drop(part);
        assert_eq!(user::reported("device"), live - 1);
    }

    [("CUDASIM_DEVICES", "2")] => fn what_is_not_on_the_device_is_refused_before_anything_is_copied() {
        let stager = stager();
        let address = user::device_memory(&[1; 1000]);
        let own = [0u8; 64];
        let pool = user::locked(&[2; 64]);
        user::use_device(1);
        let elsewhere = user::device_memory(&[1; 1000]);
        user::use_device(0);
        let device = stager.device().id();
        let refused = |address: u64, shape: &[usize], strides: &[isize]| {
            let all = [user::region(address, shape, strides, 4, None)];
            matches!(down(&stager, &all), Err(GpuError::NotThere { device: found, .. }) if found == device)
        };
        assert!(!refused(address, &[250], &[4]));
        assert!(refused(address, &[251], &[4]), "past the end");
        assert!(refused(address + 8, &[4], &[-4]), "before the beginning");
        assert!(refused(0, &[4], &[-4]) && refused(u64::MAX - 3, &[2], &[4]), "no addresses at all");
        assert!(refused(address, &[3, 2], &[isize::MAX / 4, 4]), "far away");
        assert!(refused(own.as_ptr() as u64, &[4], &[4]), "the host's");
        assert!(!refused(pool, &[4], &[4]), "locked memory can be read");
        assert!(refused(elsewhere, &[4], &[4]), "another device's");
        assert!(!refused(7, &[0, 3], &[4, 4]), "of nothing it does not matter");
        user::ok("cuMemFree_v2", &[address]);
        assert!(refused(address, &[4], &[4]), "freed");
        let mut short = [0u8; 3];
        let all = [user::bytes(elsewhere, 4, None)];
        assert_eq!(stager.download(&all, &mut [&mut short], None), Err(GpuError::TooSmall));
        assert_eq!(stager.upload(&[&[0; 5]], &all), Err(GpuError::TooSmall));
        assert_eq!(stager.upload(&[], &all), Err(GpuError::TooSmall));
        assert_eq!(user::log().iter().filter(|call| call.contains("cuMemcpyDtoH")).count(), 2);
    }

    [] => fn the_driver_is_not_asked_about_what_is_vouched_for() {
        let stager = stager();
        let (data, regions) = blocks(30, 512);
        assert_eq!(down(&stager, &regions).unwrap(), data);
        assert_eq!(user::reported("cuPointerGetAttributes"), 30, "once for each allocation");
        let vouched: Vec<Region> = regions.into_iter().map(user::vouched).collect();
        assert_eq!(down(&stager, &vouched).unwrap(), data);
        assert_eq!(user::reported("cuPointerGetAttributes"), 30);
        let whole = user::device_memory(&[5; 4096]);
        let parts: Vec<Region> = (0..64).map(|i| user::bytes(whole + 64 * i, 64, None)).collect();
        assert_eq!(down(&stager, &parts).unwrap(), vec![vec![5; 64]; 64]);
        assert_eq!(user::reported("cuPointerGetAttributes"), 31);
    }

    [("CUDASIM_FAULTS", "cuModuleLoadData:1=2")] => fn kernels_that_could_not_be_loaded_are_tried_again() {
        let stager = stager();
        let (data, regions) = blocks(30, 512);
        for launches in 0..3 {
            assert_eq!(down(&stager, &regions).unwrap(), data);
            assert_eq!(user::reported("cuLaunchKernel"), launches);
        }
    }

    [("CUDASIM_DEVICES", "2")] => fn a_second_device_has_a_stager_of_its_own() {
        let first = stager();
        let (data, regions) = blocks(10, 700);
        let own = user::use_device(1);
        let there = Stager::of(&open_device(devices().unwrap()[1]).unwrap());
        let (other, others) = blocks(12, 600);
        assert!(down(&first, &others).is_err() && down(&there, &regions).is_err());
        assert_eq!((down(&first, &regions).unwrap(), down(&there, &others).unwrap()), (data, other));
        let buffers = there.snapshot(&others).unwrap();
        assert_eq!(there.device().classify(buffers[3].address()).unwrap().device, Some(there.device().id()));
        assert_eq!(user::current(), own, "the caller's context is as it was");
    }

    [] => fn threads_transfer_at_a_time() {
        let stager = stager();
        let (data, regions) = blocks(20, 5000);
        let device: Arc<Device> = stager.device().clone();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(down(&stager, &regions).unwrap(), data);
                    }
                });
            }
        });
        assert!(user::reported("cuStreamCreate") <= 4);
        assert_eq!(Stager::of(&device).pool().locked(), stager.pool().locked(), "one for the process");
    }

    [] => fn a_call_that_fails_leaves_the_next_one_whole() {
        let stager = stager();
        let (data, regions) = blocks(30, 3000);
        let large: Vec<u8> = (0..15 << 20).map(|i| (i % 249) as u8).collect();
        let mut regions = regions;
        regions.push(user::bytes(user::device_memory(&large), large.len(), Some(user::named(user::stream()))));
        let data: Vec<Vec<u8>> = data.into_iter().chain([large]).collect();
        assert_eq!(down(&stager, &regions).unwrap(), data);
        let live = ["streams", "device", "pinned"].map(user::reported);
        for (call, times) in [
            ("cuMemcpyDtoHAsync_v2", 4), ("cuLaunchKernel", 1), ("cuEventRecord", 3), ("cuStreamWaitEvent", 1),
            ("cuEventSynchronize", 2), ("cuPointerGetAttributes", 2), ("cuStreamIsCapturing", 1),
        ] {
            for n in 1..=times {
                user::control(&format!("fault {call}:{n}=4242"));
                let error = down(&stager, &regions).err();
                user::control("nofaults");
                // A record that fails after a copy is made good by waiting.
                let told = Some(GpuError::Failed { call, code: 4242 });
                assert!(error == told || call == "cuEventRecord" && n > 1, "{call} {n}: {error:?}");
                assert_eq!(down(&stager, &regions).unwrap(), data, "{call} {n}");
            }
        }
        assert_eq!(["streams", "device", "pinned"].map(user::reported), live);
    }
}
