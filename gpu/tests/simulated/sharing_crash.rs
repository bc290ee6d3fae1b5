//! Processes that are killed at each step, and many messages: nothing is lost but theirs, nothing stays behind.

use std::time::Duration;

use ferropickle_gpu::{DeviceArena, GpuError};

use crate::peer::{PATIENCE, Peer, export_line, files, hex, import_line, unhex};
use crate::sharing::{arena, three};
use crate::staging::stager;
use crate::{EVERYWHERE, tests, user};

const MIB: usize = 1 << 20;

/// A message of one value comes through: the arena is as good as new.
fn still_works(arena: &DeviceArena, line: &str) {
    assert_eq!((arena.busy(), arena.used()), (0, 0));
    let mut peer = Peer::start(&[]);
    assert_eq!(peer.ask(&format!("import {line}")), "ok");
    let region = [user::bytes(user::device_memory(b"well"), 4, None)];
    let sent = arena.send(&region, false).unwrap().unwrap();
    assert_eq!(peer.ask(&format!("copy {}", hex(&sent.note))), format!("ok {}", hex(b"well")));
    peer.end();
    assert_eq!(arena.busy(), 0);
}

tests! {
    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn receivers_are_killed_at_each_step() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let (line, (regions, _)) = (export_line(&export), three());
        for step in 0..6 {
            let mut peer = Peer::start(&[]);
            if step > 0 {
                peer.ask(&format!("import {line}"));
            }
            if step > 1 {
                let sent = arena.send(&regions, false).unwrap().unwrap();
                let note = hex(&sent.note);
                match step {
                    // Told, and perhaps not read.
                    2 => peer.tell(&format!("hold {note}")),
                    3 => assert!(peer.ask(&format!("hold {note}")).starts_with("ok")),
                    4 => assert!(peer.ask(&format!("hold {note}")).starts_with("ok") && peer.ask("drop") == "ok"),
                    // Kept, and held by it.
                    _ => {
                        arena.withdraw(&sent).unwrap();
                        let kept = arena.send(&regions, true).unwrap().unwrap();
                        peer.ask(&format!("hold {}", hex(&kept.note)));
                        arena.withdraw(&kept).unwrap();
                        assert_eq!(arena.busy(), 1);
                    }
                }
            }
            peer.kill();
            arena.expire(Duration::ZERO).unwrap();
            still_works(&arena, &line);
        }
        assert_eq!(user::reported("violations"), 0);
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn a_receiver_is_killed_while_it_waits() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let (line, (regions, _)) = (export_line(&export), three());
        let mut peer = Peer::start(&[]);
        peer.ask(&format!("import {line}"));
        user::control("hold 2000000");
        let stream = user::named(user::stream());
        let late = [user::bytes(regions[0].address(), 100, Some(stream))];
        let sent = arena.send(&late, false).unwrap().unwrap();
        peer.tell(&format!("hold {}", hex(&sent.note)));
        std::thread::sleep(Duration::from_millis(300));
        peer.kill();
        user::ok("cuCtxSynchronize", &[]);
        user::control("hold 0");
        arena.expire(Duration::ZERO).unwrap();
        still_works(&arena, &line);
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn what_a_killed_sender_has_filled_can_be_read() {
        let stager = stager();
        let mut peer = Peer::start(&[]);
        let line = peer.ask("arena 4000000");
        let imported = import_line(&stager, &line).unwrap();
        let notes: Vec<Vec<u8>> = (1..5).map(|value| unhex(&peer.ask(&format!("send {value} 1000")))).collect();
        peer.ask("settle");
        let first = imported.receive(&notes[0], PATIENCE).unwrap();
        let second = imported.receive(&notes[1], PATIENCE).unwrap();
        peer.kill();
        assert_eq!(user::read(first.address(), first.len()), [1; 1000]);
        drop(first);
        let copies = stager.copy_out(&[second]).unwrap();
        assert_eq!(user::read(copies[0].address(), 1000), [2; 1000]);
        // Not opened before, the event of this slot went with its process: nobody can tell whether it was filled.
        assert!(imported.receive(&notes[2], PATIENCE).is_err());
        let live = ["mapped", "handles", "reservations"];
        assert!(crate::is_real() || live.map(user::reported) == [1; 3]);
        drop(imported);
        assert_eq!(live.map(user::reported), [0; 3]);
        assert_eq!(user::reported("violations"), 0);
    }

    [("CUDASIM_HOLD_US", "0")] => fn a_sender_that_is_killed_before_it_has_filled_a_slot_is_seen() {
        let stager = stager();
        let mut peer = Peer::start(&[("CUDASIM_HOLD_US", "60000000")]);
        let imported = import_line(&stager, &peer.ask("arena 2000000")).unwrap();
        let note = unhex(&peer.ask("send 1 1000"));
        let waiting = std::thread::spawn(move || imported.receive(&note, PATIENCE).map(|buffer| buffer.len()));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "it waits for what is not there yet");
        peer.kill();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("its sender has died"), "{error}");
    }

    [("CUDASIM_HOLD_US", "0")] => fn a_message_that_comes_late_is_not_waited_for_and_goes_back_when_it_is_there() {
        let stager = stager();
        let mut peer = Peer::start(&[("CUDASIM_HOLD_US", "60000000")]);
        let imported = import_line(&stager, &peer.ask("arena 2000000")).unwrap();
        let note = unhex(&peer.ask("send 1 1000"));
        assert_eq!(imported.receive(&note, Duration::from_millis(10)).err(), Some(GpuError::Late));
        assert_eq!(peer.ask("busy"), "1", "it may still be filled");
        peer.ask("settle");
        let next = unhex(&peer.ask("send 2 1000"));
        peer.ask("settle");
        assert_eq!(user::read(imported.receive(&next, PATIENCE).unwrap().address(), 4), [2; 4]);
        assert_eq!(peer.ask("busy"), "0");
        assert_eq!(imported.receive(&note, PATIENCE).err(), Some(GpuError::Lost), "it was taken before");
        peer.end();
    }

    [("CUDASIM_HOLD_US", "0"), EVERYWHERE] => fn many_messages_leave_memory_and_descriptors_as_they_were() {
        let stager = stager();
        let (arena, export) = arena(&stager, 2 * MIB);
        let mut peer = Peer::start(&[]);
        assert_eq!(peer.ask(&format!("import {}", export_line(&export))), "ok");
        let region = [user::bytes(user::device_memory(&[1; 600]), 600, Some(user::named(user::stream())))];
        const AT_A_TIME: usize = 50;
        let mut measure = |round: usize| {
            let mut state: Vec<u64> = ["bytes", "events", "device", "pinned", "mapped", "streams"].map(user::reported).to_vec();
            state.push(files() as u64);
            for live in ["bytes", "events", "mapped", "imported"] {
                state.push(peer.ask(&format!("reported {live}")).parse().unwrap());
            }
            state.push(peer.ask("files").parse().unwrap());
            for _ in 0..round {
                let notes: Vec<_> = (0..AT_A_TIME).map(|_| arena.send(&region, false).unwrap().unwrap()).collect();
                notes.iter().for_each(|sent| peer.tell(&format!("touch {}", hex(&sent.note))));
                notes.iter().for_each(|_| assert_eq!(peer.answer(), "ok"));
            }
            state
        };
        measure(20);
        let before = measure(100_000 / AT_A_TIME);
        assert_eq!(measure(0), before);
        peer.end();
        assert_eq!((arena.busy(), user::reported("violations")), (0, 0));
    }
}
