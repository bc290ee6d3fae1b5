//! Live memory of a user's own in another process: opened once, told apart by its number, held by a lease.

use std::time::Duration;

use ferropickle_gpu::GpuError;
use ferropickle_gpu::wire::BlockNote;

use crate::peer::{Peer, export_line, hex};
use crate::sharing::arena;
use crate::staging::stager;
use crate::{EVERYWHERE, HELD, tests, user};

const MIB: usize = 1 << 20;

fn ok(bytes: &[u8]) -> String {
    format!("ok {}", hex(bytes))
}

tests! {
    [("CUDASIM_HOLD_US", "0")] => fn both_sides_see_what_either_writes() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let address = user::device_memory(b"0123456789");
        let share = |from: u64, len| {
            let (sent, block) = arena.share(&user::bytes(address + from, len, None), false).unwrap().unwrap();
            let line = format!("share {} {}", hex(&sent.note), hex(&block));
            (sent, line)
        };
        let (first, line) = share(2, 4);
        assert!(arena.is_held(&first), "on its way");
        assert_eq!(peer.ask(&line), ok(b"2345"));
        user::ok("cuMemsetD8_v2", &[address, u64::from(b'x'), 10]);
        user::ok("cuCtxSynchronize", &[]);
        assert_eq!(peer.ask("again 0"), ok(b"xxxx"));
        let (second, line) = share(0, 10);
        assert_eq!(peer.ask(&line), ok(b"xxxxxxxxxx"));
        assert_eq!(peer.ask("reported cuIpcOpenMemHandle_v2"), "1", "opened once");
        assert!(arena.is_held(&first) && arena.is_held(&second));
        peer.ask("drop");
        assert!(!arena.is_held(&first) && !arena.is_held(&second));
        assert_eq!(peer.ask("reported imported"), "2", "with the arena: it is kept for the next time");
        peer.end();
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn a_receiver_that_dies_holds_nothing() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let region = user::bytes(user::device_memory(b"live"), 4, None);
        let (sent, block) = arena.share(&region, false).unwrap().unwrap();
        assert_eq!(peer.ask(&format!("share {} {}", hex(&sent.note), hex(&block))), ok(b"live"));
        peer.kill();
        assert!(!arena.is_held(&sent));
        let (never, _) = arena.share(&region, false).unwrap().unwrap();
        assert!(arena.is_held(&never));
        assert_eq!(arena.expire(Duration::ZERO).unwrap(), 1);
        assert!(!arena.is_held(&never));
    }

    [] => fn an_address_that_is_used_again_is_opened_anew() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let regions = [b"one!", b"two!"].map(|bytes| user::bytes(user::device_memory(bytes), 4, None));
        let share = |region| {
            let (sent, block) = arena.share(region, false).unwrap().unwrap();
            (hex(&sent.note), BlockNote::read(&block).unwrap())
        };
        let (slot, first) = share(&regions[0]);
        assert_eq!(peer.ask(&format!("share {slot} {}", hex(&first.bytes()))), ok(b"one!"));
        // The second allocation as if it were where the first was.
        let (slot, second) = share(&regions[1]);
        let second = BlockNote { base: first.base, ..second };
        assert_eq!(peer.ask(&format!("share {slot} {}", hex(&second.bytes()))), ok(b"two!"));
        assert_eq!(peer.ask("again 0"), ok(b"one!"), "what was there is still good");
        peer.ask("drop");
        assert_eq!(peer.ask("reported imported"), "2", "with the arena: the first is closed");
        peer.end();
    }

    [] => fn many_allocations_are_not_all_kept_open() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        for value in 0..100 {
            let region = user::bytes(user::device_memory(&[value; 8]), 8, None);
            let (sent, block) = arena.share(&region, false).unwrap().unwrap();
            assert_eq!(peer.ask(&format!("share {} {}", hex(&sent.note), hex(&block))), ok(&[value; 8]));
            if value % 10 == 0 {
                peer.ask("drop");
            }
        }
        let open: u64 = peer.ask("reported imported").parse().unwrap();
        assert!(open <= 65, "with the arena: {open}");
        peer.end();
    }

    [HELD] => fn a_receiver_comes_after_what_was_queued() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let (address, fresh) = (user::device_memory(b"old."), user::locked(b"new!"));
        let mut share = |writer, stream| {
            user::write_late(address, fresh, 4, writer);
            let region = user::bytes(address, 4, Some(user::named(stream)));
            let (sent, block) = arena.share(&region, false).unwrap().unwrap();
            // What somebody waits for is not held.
            if stream != writer {
                user::ok("cuStreamSynchronize", &[stream]);
            }
            peer.ask(&format!("share {} {}", hex(&sent.note), hex(&block)))
        };
        user::control("hold 20000000");
        assert_eq!(share(user::stream(), user::stream()), ok(b"old."), "another stream's");
        user::control("hold 100000");
        let writer = user::stream();
        assert_eq!(share(writer, writer), ok(b"new!"));
        peer.end();
    }

    [] => fn memory_of_other_kinds_is_not_shared() {
        let stager = stager();
        let (arena, export) = arena(&stager, MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let pooled = user::get("cuMemAllocAsync", &[64, 0]);
        user::ok("cuCtxSynchronize", &[]);
        for address in [pooled, user::get("cuMemAllocManaged", &[64, 1]), user::locked(&[0; 64])] {
            let error = arena.share(&user::bytes(address, 64, None), false).err().unwrap();
            assert!(matches!(error, GpuError::Unshareable(_) | GpuError::NotThere { .. }), "{error}");
        }
        assert_eq!(arena.busy(), 0);
        let region = user::bytes(user::device_memory(&[3; 64]), 64, None);
        let (sent, block) = arena.share(&region, true).unwrap().unwrap();
        let note = BlockNote::read(&block).unwrap();
        for lie in [
            BlockNote { device: ferropickle_gpu::DeviceId::from_bytes([9; 16]), ..note },
            BlockNote { maker: note.maker ^ 1 << 40, ..note },
            BlockNote { size: 1 << 30, len: 1 << 29, ..note },
            BlockNote { handle: [1; 64], base: 4096, ..note },
        ] {
            let answer = peer.ask(&format!("share {} {}", hex(&sent.note), hex(&lie.bytes())));
            assert!(answer.starts_with("error"), "{answer}");
        }
        assert_eq!(peer.ask("reported imported"), "1", "the arena");
        assert_eq!(peer.ask(&format!("share {} {}", hex(&sent.note), hex(&block))), ok(&[3; 64]));
        peer.end();
    }
}
