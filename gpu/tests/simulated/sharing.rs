//! Device memory between processes: what one packs into its arena the other finds there, on every driver.

use std::time::Duration;

use ferropickle_gpu::wire::{ArenaNote, SlotNote};
use ferropickle_gpu::{ArenaExport, DeviceArena, DevicePeer, GpuError, Region, Stager};

use crate::peer::{Peer, export_line, files, hex};
use crate::staging::stager;
use crate::{EVERYWHERE, HELD, tests, user};

const MIB: usize = 1 << 20;

pub fn arena(stager: &Stager, capacity: usize) -> (DeviceArena, ArenaExport) {
    let arena = DeviceArena::new(stager, capacity).unwrap();
    let export = arena.export().unwrap();
    (arena, export)
}

/// Three arrays, one of them strided, and what they are when packed as a message.
pub fn three() -> (Vec<Region>, Vec<Vec<u8>>) {
    let memory: Vec<u8> = (0..4000).map(|i| (i * 7 % 253) as u8).collect();
    let address = user::device_memory(&memory);
    let rows: Vec<u8> = memory.chunks(40).flat_map(|row| row[..12].to_vec()).collect();
    let regions = vec![
        user::bytes(address, 1000, None),
        user::region(address, &[100, 3], &[40, 4], 4, None),
        user::bytes(address + 5, 77, None),
    ];
    (regions, vec![memory[..1000].to_vec(), rows, memory[5..82].to_vec()])
}

/// Sends three arrays to a peer and sees that they arrive.
fn exchange() {
    let stager = stager();
    let (arena, export) = arena(&stager, 4 * MIB);
    let mut peer = Peer::start(&[]);
    assert_eq!(peer.ask(&format!("import {}", export_line(&export))), "ok");
    let (regions, expected) = three();
    for verb in ["read", "copy", "hold"] {
        let sent = arena.send(&regions, false).unwrap().unwrap();
        assert_eq!(arena.busy(), 1);
        let answer = peer.ask(&format!("{verb} {}", hex(&sent.note)));
        let found =
            crate::peer::unhex(answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}")));
        for (&at, expected) in sent.places.iter().zip(&expected) {
            assert_eq!(&found[at..at + expected.len()], expected);
        }
        assert_eq!(arena.busy(), usize::from(verb == "hold"));
    }
    peer.ask("drop");
    assert_eq!((arena.busy(), arena.used()), (0, 0));
    peer.end();
}

tests! {
    [EVERYWHERE] => fn arrays_arrive_in_another_process() {
        exchange();
        assert_eq!(user::reported("violations"), 0);
    }

    [("CUDASIM_IPC", "0")] => fn where_there_are_no_events_between_processes_the_sender_waits() {
        exchange();
        assert!(user::reported("cuIpcGetEventHandle") > 0, "it was asked for");
    }

    [HELD] => fn a_message_is_filled_when_it_is_received() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[("CUDASIM_HOLD_US", "300000")]);
        peer.ask(&format!("import {}", export_line(&export)));
        let (address, fresh, producer) = (user::device_memory(b"old."), user::locked(b"new!"), user::stream());
        let region = [user::bytes(address, 4, Some(user::named(producer)))];
        // What the driver makes at the first time is made before time matters.
        let first = arena.send(&region, false).unwrap().unwrap();
        user::ok("cuCtxSynchronize", &[]);
        peer.ask(&format!("read {}", hex(&first.note)));
        user::control("hold 200000");
        user::write_late(address, fresh, 4, producer);
        let sent = arena.send(&region, false).unwrap().unwrap();
        assert_eq!(peer.ask(&format!("read {}", hex(&sent.note))), format!("ok {}", hex(b"new!")));
        // Without the event the receiver is too early: it finds what was there before.
        user::control("hold 20000000");
        user::write_late(address, user::locked(b"late"), 4, producer);
        let sent = arena.send(&region, false).unwrap().unwrap();
        let note = SlotNote { event: None, ..SlotNote::read(&sent.note).unwrap() };
        assert_eq!(peer.ask(&format!("read {}", hex(&note.bytes()))), format!("ok {}", hex(b"new!")));
        peer.end();
    }

    [HELD] => fn what_is_sent_is_of_the_time_when_it_was_sent() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let (address, fresh, producer) = (user::device_memory(b"old."), user::locked(b"new!"), user::stream());
        for (stream, expected) in [(Some(user::named(producer)), b"old."), (Some(user::named(user::stream())), b"new!")] {
            user::ok("cuMemcpyHtoD_v2", &[address, b"old.".as_ptr() as u64, 4]);
            user::ok("cuCtxSynchronize", &[]);
            let sent = arena.send(&[user::bytes(address, 4, stream)], false).unwrap().unwrap();
            // Without an edge to the stream that writes, it is of a later time.
            user::write_late(address, fresh, 4, producer);
            user::ok("cuStreamSynchronize", &[producer]);
            user::ok("cuCtxSynchronize", &[]);
            assert_eq!(peer.ask(&format!("read {}", hex(&sent.note))), format!("ok {}", hex(expected)));
        }
        peer.end();
    }

    [EVERYWHERE] => fn a_message_is_taken_once_and_a_kept_one_until_it_is_withdrawn() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peers = [Peer::start(&[]), Peer::start(&[])];
        for peer in &mut peers {
            peer.ask(&format!("import {}", export_line(&export)));
        }
        let (regions, _) = three();
        let sent = arena.send(&regions, false).unwrap().unwrap();
        let read = format!("read {}", hex(&sent.note));
        assert!(peers[0].ask(&read).starts_with("ok"));
        for peer in &mut peers {
            assert!(peer.ask(&read).contains("taken before"));
        }
        assert!(!arena.withdraw(&sent).unwrap());
        let kept = arena.send(&regions, true).unwrap().unwrap();
        let read = format!("read {}", hex(&kept.note));
        for peer in &mut peers {
            assert!(peer.ask(&read).starts_with("ok") && peer.ask(&read).starts_with("ok"));
        }
        assert!(arena.withdraw(&kept).unwrap());
        assert!(peers[1].ask(&read).starts_with("error"));
        assert_eq!(arena.busy(), 0);
        peers.into_iter().for_each(Peer::end);
    }

    [EVERYWHERE] => fn a_full_arena_says_so_and_what_nobody_takes_expires() {
        let stager = stager();
        let (arena, _export) = arena(&stager, 1);
        assert_eq!(arena.capacity(), 2 * MIB, "a granule");
        let big = [user::bytes(user::device_memory(&vec![1; MIB + 1]), MIB + 1, None)];
        let sent = arena.send(&big, false).unwrap().unwrap();
        assert_eq!(arena.send(&big, false).unwrap(), None, "it goes another way");
        assert_eq!(arena.expire(Duration::from_secs(3600)).unwrap(), 0);
        assert_eq!(arena.expire(Duration::ZERO).unwrap(), 1);
        assert!(!arena.withdraw(&sent).unwrap());
        assert!(arena.send(&big, false).unwrap().is_some());
        let never = [user::bytes(user::device_memory(&vec![1; 3 * MIB]), 3 * MIB, None)];
        assert_eq!(arena.send(&never, false).unwrap(), None);
    }

    [EVERYWHERE] => fn what_comes_is_spread_into_arrays_of_the_user() {
        let stager = stager();
        let from = stager.upload_new(&[b"abcdefgh", b"12"]).unwrap();
        let address = user::device_memory(&[b'.'; 32]);
        let into = [user::region(address, &[4], &[8], 2, None), user::bytes(address + 2, 2, None)];
        stager.spread(&from, &into).unwrap();
        assert_eq!(user::read(address, 32), *b"ab12....cd......ef......gh......");
        let twice = [user::region(address, &[4], &[0], 2, None), user::bytes(address, 2, None)];
        assert_eq!(stager.spread(&from, &twice), Err(GpuError::Overlapping));
        assert_eq!(stager.spread(&from[..1], &into), Err(GpuError::TooSmall));
    }

    [("CUDASIM_VMM", "0")] => fn a_device_without_such_memory_says_so() {
        let error = DeviceArena::new(&stager(), MIB).err().unwrap();
        assert!(matches!(error, GpuError::Unshareable(_)), "{error}");
        assert!(error.to_string().contains("through the host"), "{error}");
    }

    [("CUDASIM_UUIDS", "MIG-00000000-0000-0000-0000-0000000000aa")] => fn partitions_share_no_memory() {
        let stager = stager();
        let (_arena, export) = arena(&stager, MIB);
        let mut same = Peer::start(&[]);
        assert_eq!(same.ask(&format!("import {}", export_line(&export))), "ok");
        same.end();
        let mut other = Peer::start(&[("CUDASIM_UUIDS", "MIG-00000000-0000-0000-0000-0000000000bb")]);
        let answer = other.ask(&format!("import {}", export_line(&export)));
        assert!(answer.contains("another device") && answer.contains("through the host"), "{answer}");
        other.end();
    }

    [EVERYWHERE] => fn a_process_does_not_import_its_own() {
        let stager = stager();
        let (_arena, export) = arena(&stager, MIB);
        let ArenaExport { note, memory, slots } = export;
        let error = DevicePeer::import(stager.device(), &note, memory, slots).err().unwrap();
        assert!(matches!(error, GpuError::Unshareable(_)), "{error}");
    }

    [EVERYWHERE] => fn notes_that_lie_are_refused_and_leave_nothing_behind() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let (second, other) = self::arena(&stager, 4 * MIB);
        let mut peer = Peer::start(&[]);
        let good = export_line(&export);
        let words: Vec<String> = good.split(' ').map(String::from).collect();
        let theirs: Vec<String> = export_line(&other).split(' ').map(String::from).collect();
        let files = peer.ask("files");
        let note = ArenaNote::read(&export.note).unwrap();
        let lies = [
            ArenaNote { size: note.size * 2, ..note },
            ArenaNote { size: note.size / 2, granule: note.granule / 2, ..note },
            ArenaNote { id: note.id ^ 1, ..note },
            ArenaNote { device: ferropickle_gpu::DeviceId::from_bytes([9; 16]), ..note },
        ];
        let lies = lies.map(|lie| format!("{} {} {}", hex(&lie.bytes()), words[1], words[2]));
        let swapped = [
            format!("{} {} {}", words[0], words[2], words[1]),
            format!("{} {} {}", words[0], words[1], theirs[2]),
            format!("{} /dev/null {}", words[0], words[2]),
            format!("{} {} /dev/zero", words[0], words[1]),
            format!("{} {} {}", &words[0][2..], words[1], words[2]),
            format!("00{} {} {}", &words[0][2..], words[1], words[2]),
            // Larger than the memory behind it: the table and the note are of the larger one.
            format!("{} {} {}", theirs[0], words[1], theirs[2]),
        ];
        for lie in lies.iter().chain(&swapped) {
            assert!(peer.ask(&format!("import {lie}")).starts_with("error"), "{lie}");
            for (live, count) in [("mapped", "0"), ("reservations", "0"), ("handles", "0")] {
                assert_eq!(peer.ask(&format!("reported {live}")), count, "{live} after {lie}");
            }
            assert_eq!(peer.ask("files"), files, "after {lie}");
        }
        assert_eq!(peer.ask(&format!("import {good}")), "ok");
        let (regions, _) = three();
        let sent = arena.send(&regions, false).unwrap().unwrap();
        let note = SlotNote::read(&sent.note).unwrap();
        for lie in [
            SlotNote { arena: note.arena ^ 1, ..note },
            SlotNote { index: note.index + 1, ..note },
            SlotNote { index: u32::MAX, ..note },
            SlotNote { generation: note.generation + 1, ..note },
        ] {
            assert!(peer.ask(&format!("read {}", hex(&lie.bytes()))).starts_with("error"), "{lie:?}");
            assert_eq!(arena.busy(), 1, "the message is still there");
        }
        // These are found out when the message has been taken: it is given back.
        for lie in [
            SlotNote { len: 4097 * 8, ..note },
            SlotNote { len: u64::MAX, ..note },
            SlotNote { event: Some([7; 64]), ..note },
        ] {
            let sent = arena.send(&regions, false).unwrap().unwrap();
            let of = SlotNote::read(&sent.note).unwrap();
            let lie = SlotNote { index: of.index, generation: of.generation, ..lie };
            assert!(peer.ask(&format!("read {}", hex(&lie.bytes()))).starts_with("error"), "{lie:?}");
            assert_eq!(arena.busy(), 1);
        }
        assert!(peer.ask(&format!("read {}", hex(&note.bytes()))).starts_with("ok"));
        peer.end();
        drop(second);
    }

    [] => fn an_arena_is_imported_once() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[]);
        for _ in 0..3 {
            assert_eq!(peer.ask(&format!("import {}", export_line(&export))), "ok");
        }
        assert_eq!(peer.ask("reported cuMemImportFromShareableHandle"), "1");
        assert!(DevicePeer::known(stager.device(), arena.id()).is_none());
        peer.end();
    }

    [("CUDASIM_HOLD_US", "0")] => fn a_call_that_fails_leaves_no_slot_behind() {
        let stager = stager();
        let (regions, expected) = three();
        for call in ["cuMemCreate", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess", "cuMemGetAllocationGranularity"] {
            user::control(&format!("fault {call}:1=4242"));
            let error = DeviceArena::new(&stager, MIB).err();
            user::control("nofaults");
            assert_eq!(error, Some(GpuError::Failed { call, code: 4242 }));
            assert_eq!(["mapped", "handles", "reservations"].map(user::reported), [0; 3], "{call}");
        }
        let (arena, export) = arena(&stager, 2 * MIB);
        let line = export_line(&export);
        // The first record is of a fence, without which the copy is waited for.
        for (call, n) in [
            ("cuEventCreate", 1), ("cuIpcGetEventHandle", 1), ("cuPointerGetAttributes", 1), ("cuLaunchKernel", 1),
            ("cuEventRecord", 2),
        ] {
            user::control(&format!("fault {call}:{n}=4242"));
            let error = arena.send(&regions, false).err();
            user::control("nofaults");
            assert_eq!(error, Some(GpuError::Failed { call, code: 4242 }));
            assert_eq!((arena.busy(), user::reported("events") < 8), (0, true), "{call}");
        }
        let mut peer = Peer::start(&[]);
        for call in ["cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess"] {
            peer.ask(&format!("fault {call}:1=4242"));
            assert!(peer.ask(&format!("import {line}")).contains("4242"), "{call}");
            peer.ask("nofaults");
            for live in ["mapped", "handles", "reservations"] {
                assert_eq!(peer.ask(&format!("reported {live}")), "0", "{live} after {call}");
            }
        }
        assert_eq!(peer.ask(&format!("import {line}")), "ok");
        for call in ["cuIpcOpenEventHandle", "cuEventQuery"] {
            let sent = arena.send(&regions, false).unwrap().unwrap();
            peer.ask(&format!("fault {call}:1=4242"));
            assert!(peer.ask(&format!("read {}", hex(&sent.note))).contains("4242"), "{call}");
            peer.ask("nofaults");
            assert_eq!(arena.busy(), 0, "{call}");
        }
        let sent = arena.send(&regions, false).unwrap().unwrap();
        let found = crate::peer::unhex(&peer.ask(&format!("read {}", hex(&sent.note)))[3..]);
        assert_eq!(found[..expected[0].len()], expected[0]);
        peer.end();
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn a_slot_is_not_filled_again_while_its_receiver_s_work_is_under_way() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[("CUDASIM_HOLD_US", "500000")]);
        peer.ask(&format!("import {}", export_line(&export)));
        let send = |bytes| arena.send(&[user::bytes(user::device_memory(bytes), 4, None)], false).unwrap().unwrap();
        peer.ask(&format!("take {}", hex(&send(b"one!").note)));
        peer.ask("late");
        assert_eq!(arena.busy(), 0);
        send(b"two!");
        user::ok("cuCtxSynchronize", &[]);
        assert_eq!(peer.ask("copied"), hex(b"one!"));
        peer.end();
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn a_capture_is_not_spoilt_by_messages_that_are_copied() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        let (regions, _) = three();
        let sent = [(); 3].map(|()| arena.send(&regions, false).unwrap().unwrap());
        peer.ask(&format!("take {}", hex(&sent[0].note)));
        peer.ask("capture");
        peer.ask("drop");
        assert!(!arena.is_held(&sent[0]));
        assert_eq!(peer.ask(&format!("swallow {}", hex(&sent[1].note))), "ok");
        assert_eq!(peer.ask("captured"), "ok", "the capture was not spoilt");
        assert!(peer.ask(&format!("read {}", hex(&sent[2].note))).starts_with("ok"));
        assert_eq!(arena.busy(), 0);
        peer.end();
    }

    [EVERYWHERE] => fn a_forked_child_neither_sends_nor_ends_what_is_its_parent_s() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let (regions, _) = three();
        let sent = arena.send(&regions, false).unwrap().unwrap();
        let refused = user::in_fork(|| {
            let forked = |error: Option<GpuError>| matches!(error, Some(GpuError::Forked { .. }));
            let refused = forked(arena.send(&regions, false).err())
                && forked(arena.export().err())
                && forked(arena.expire(Duration::ZERO).err())
                && forked(DeviceArena::new(&stager, MIB).err());
            drop(arena.clone());
            refused
        });
        assert!(refused);
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {}", export_line(&export)));
        assert!(peer.ask(&format!("read {}", hex(&sent.note))).starts_with("ok"));
        peer.end();
    }

    [] => fn arenas_end_without_a_trace() {
        let stager = stager();
        let (regions, _) = three();
        let live = ["mapped", "handles", "reservations", "events"].map(user::reported);
        let mut before = 0;
        for round in 0..20 {
            let (arena, export) = arena(&stager, 2 * MIB);
            let _ = arena.send(&regions, false).unwrap();
            drop((arena, export));
            if round == 0 {
                before = files();
            }
        }
        assert_eq!(files(), before);
        assert_eq!(["mapped", "handles", "reservations"].map(user::reported), live[..3]);
        assert_eq!(user::reported("violations"), 0);
    }
}

/// Every version of the driver has what is needed.
#[test]
fn all_drivers_share() {
    for version in ["12.0", "12.2", "12.4", "12.8", "13.0", "13.2"] {
        if crate::is_child(concat!(module_path!(), "::all_drivers_share"), version, &[]) {
            return exchange();
        }
    }
}
