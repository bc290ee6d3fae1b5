//! The arena among several processes, some of which are killed.
//!
//! A child is this test program again, told by its environment to run [`child`]; it opens the
//! arena through its parent's descriptor under `/proc`.

use core::sync::atomic::Ordering;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::layout::SLOTS;
use super::slots::{Hold, Kind, State};
use super::*;

const MIB: u64 = 1 << 20;

fn arena(capacity: u64) -> Arena {
    Arena::create(Some(capacity), None).expect("memory")
}

fn again(arena: &Arena) -> Arena {
    Arena::attach(arena.fd().try_clone_to_owned().expect("a descriptor")).expect("an arena")
}

fn put(arena: &Arena, bytes: &[u8]) -> Option<SlotRef> {
    let mut room = arena.reserve(bytes.len() as u64).expect("a person")?;
    room.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
    Some(room.publish(false))
}

#[test]
fn what_one_puts_the_other_takes_once() {
    let here = arena(MIB);
    let there = again(&here);
    assert_eq!((here.id(), here.capacity()), (there.id(), there.capacity()));
    let slot = put(&here, b"some bytes").expect("room");
    let lease = there.take(slot).expect("it was sent");
    assert!(lease.sole());
    let buffer = lease.into_buffer();
    assert_eq!(&buffer.as_slice()[..10], b"some bytes");
    assert!(matches!(there.take(slot), Err(ShmError::Lost)));
    assert!(matches!(here.take(slot), Err(ShmError::Lost)));
    let part = buffer.part(5, 5).expect("within");
    drop(buffer);
    assert_eq!((here.busy(), part.as_slice()), (1, &b"bytes"[..]));
    drop(part);
    assert_eq!((here.busy(), here.used()), (0, 0));
}

#[test]
fn slots_of_other_memory_take_none_of_the_file_s() {
    use std::os::unix::fs::MetadataExt;
    let here = Arena::of_other_memory(1 << 30).expect("an arena");
    let file = File::from(here.fd().try_clone_to_owned().expect("a descriptor"));
    let blocks = || file.metadata().expect("a file").blocks();
    let before = blocks();
    let there = here.fd().try_clone_to_owned().expect("a descriptor");
    let there = Arena::attach_of_other_memory(there).expect("an arena");
    let first = here.reserve(300 * MIB).expect("a person").expect("room");
    let second = here.reserve(5000).expect("a person").expect("room");
    assert_eq!((first.place(), second.place()), (0, 300 * MIB));
    let slot = second.slot();
    assert!(here.is_busy(slot) && !here.is_busy(SlotRef { generation: 9, ..slot }));
    assert!(!here.is_busy(SlotRef { index: u32::MAX, ..slot }));
    assert_eq!(second.publish(false), slot);
    let lease = there.take(slot).expect("it was sent");
    assert_eq!(lease.place(), (300 * MIB, 8192));
    drop(lease);
    assert!(!here.is_busy(slot));
    assert_eq!(blocks(), before, "nothing was written there");
}

#[test]
fn the_same_memory_is_used_again() {
    let arena = arena(MIB);
    let mut places = std::collections::BTreeSet::new();
    for round in 0..100u8 {
        let slot = put(&arena, &[round; 10_000]).expect("room");
        let buffer = arena.take(slot).expect("it was sent").into_buffer();
        assert_eq!(buffer.as_slice()[9_999], round);
        places.insert(buffer.as_ptr() as usize);
    }
    assert_eq!(places.len(), 1);
}

#[test]
fn a_reference_to_an_earlier_use_of_a_slot_is_refused() {
    let arena = arena(MIB);
    let first = put(&arena, b"first").expect("room");
    drop(arena.take(first).expect("it was sent"));
    let second = put(&arena, b"second").expect("room");
    assert_eq!(first.index, second.index);
    assert!(matches!(arena.take(first), Err(ShmError::Lost)) && !arena.withdraw(first));
    assert_eq!(&arena.take(second).expect("it was sent").into_buffer().as_slice()[..6], b"second");
}

#[test]
fn without_room_there_is_no_slot_and_room_comes_back() {
    let arena = arena(MIB);
    assert!(put(&arena, &vec![0; MIB as usize + 1]).is_none());
    let slots: Vec<_> = (0..4).map(|_| put(&arena, &[1; 256 << 10]).expect("room")).collect();
    assert!(put(&arena, b"x").is_none());
    drop(arena.take(slots[2]).expect("it was sent"));
    let slot = put(&arena, b"x").expect("room");
    assert!(arena.withdraw(slot) && !arena.withdraw(slot));
    assert!(matches!(arena.take(slot), Err(ShmError::Lost)));
    assert!(put(&arena, &[2; 256 << 10]).is_some());
}

#[test]
fn slots_run_out_before_memory_does() {
    let arena = arena(64 * MIB);
    let slots: Vec<_> = (0..SLOTS).map(|_| put(&arena, b"x").expect("room")).collect();
    assert!(put(&arena, b"x").is_none());
    assert!(arena.withdraw(slots[17]));
    assert!(put(&arena, b"x").is_some());
}

#[test]
fn what_nobody_took_can_be_taken_back_at_once() {
    let arena = arena(MIB);
    let slots: Vec<_> = (0..3).map(|_| put(&arena, b"x").expect("room")).collect();
    let held = arena.take(slots[1]).expect("it was sent");
    arena.withdraw_all();
    assert_eq!(arena.busy(), 1);
    assert!(matches!(arena.take(slots[0]), Err(ShmError::Lost)));
    drop(held);
    assert_eq!(arena.busy(), 0);
}

#[test]
fn memory_that_is_not_published_is_free_again() {
    let arena = arena(MIB);
    let room = arena.reserve(100).expect("a person").expect("room");
    assert_eq!(arena.busy(), 1);
    drop(room);
    assert_eq!(arena.busy(), 0);
}

#[test]
fn a_kept_slot_is_taken_by_many_and_goes_with_the_last() {
    let here = arena(MIB);
    let there = again(&here);
    let mut room = here.reserve(5).expect("a person").expect("room");
    room.as_mut_slice()[..5].copy_from_slice(b"bytes");
    let slot = room.publish(true);
    let first = there.take(slot).expect("it is kept");
    let second = here.take(slot).expect("it is kept");
    assert!(!first.sole() && !second.sole());
    let private = second.into_private_buffer().expect("a mapping");
    assert_eq!(&private.as_slice()[..5], b"bytes");
    let first = first.into_buffer();
    assert!(here.withdraw(slot));
    assert!(matches!(there.take(slot), Err(ShmError::Lost)));
    drop(private);
    assert_eq!(here.busy(), 1);
    drop(first);
    assert_eq!(here.busy(), 0);
}

#[test]
fn memory_is_given_back_to_the_system_and_got_again() {
    let arena = arena(16 * MIB);
    let kept = put(&arena, &[1; 4096]).expect("room");
    let slot = put(&arena, &vec![7; 8 * MIB as usize]).expect("room");
    drop(arena.take(slot).expect("it was sent"));
    arena.trim().expect("a file with holes");
    let slot = put(&arena, &vec![9; 4 * MIB as usize]).expect("room");
    let buffer = arena.take(slot).expect("it was sent").into_buffer();
    assert!(buffer.as_slice().iter().all(|byte| *byte == 9));
    assert_eq!(arena.take(kept).expect("it was sent").into_buffer().as_slice()[4095], 1);
}

#[test]
fn a_file_that_is_no_arena_is_refused() {
    let path =
        std::env::temp_dir().join(format!("ferropickle-test-{}", crate::sys::process::pid()));
    let file = || File::options().read(true).write(true).open(&path).expect("a file");
    for len in [0, 100, 2 << 20, 3 << 20] {
        std::fs::write(&path, vec![0u8; len]).expect("a file");
        assert!(matches!(Arena::attach(file().into()), Err(ShmError::NotAnArena)), "{len} bytes");
    }
    std::fs::remove_file(&path).expect("the file");
}

#[test]
fn a_reference_that_was_made_up_is_refused() {
    let arena = arena(MIB);
    let slot = put(&arena, b"x").expect("room");
    for (index, generation) in
        [(u32::MAX, 1), (SLOTS as u32, 1), (slot.index, 0), (slot.index, 2), (5, 0)]
    {
        let made_up = SlotRef { index, generation };
        assert!(matches!(arena.take(made_up), Err(ShmError::Lost)));
        assert!(!arena.withdraw(made_up));
    }
}

#[test]
fn a_named_arena_is_opened_by_name_and_its_name_goes_with_the_last() {
    let name = format!("test-{:x}", super::segment::random());
    let path = format!("/dev/shm/{}{name}", super::segment::PREFIX);
    let here = Arena::create(Some(MIB), Some(&name)).expect("a folder of segments");
    assert!(matches!(Arena::create(Some(MIB), Some(&name)), Err(ShmError::System(_))));
    let slot = put(&here, b"by name").expect("room");
    let there = Arena::open(&name).expect("its name");
    assert_eq!(&there.take(slot).expect("it was sent").into_buffer().as_slice()[..7], b"by name");
    assert!(std::path::Path::new(&path).exists());
    // Both are this process, which is alone: the first that goes takes the name along.
    drop(here);
    assert!(!std::path::Path::new(&path).exists());
    drop(there);
}

#[test]
fn names_that_dead_processes_left_are_taken_away() {
    let name = format!("test-{:x}", super::segment::random());
    let path = format!("/dev/shm/{}{name}", super::segment::PREFIX);
    let mut child = Running::start("named", &name);
    child.line();
    assert!(std::path::Path::new(&path).exists());
    child.kill();
    let other = Arena::create(Some(MIB), Some(&format!("{name}-2"))).expect("a folder of segments");
    assert!(!std::path::Path::new(&path).exists());
    drop(other);
}

// ---- processes that die ----

const ROLE: &str = "FERROPICKLE_TEST_ROLE";
const WHERE: &str = "FERROPICKLE_TEST_ARENA";

/// A child; killed on drop.
struct Running(Child, BufReader<std::process::ChildStdout>);

impl Running {
    fn start(role: &str, place: &str) -> Running {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "shm::tests::child", "--nocapture"])
            .env(ROLE, role)
            .env(WHERE, place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program runs");
        let out = child.stdout.take().expect("a pipe");
        Running(child, BufReader::new(out))
    }

    fn with(role: &str, arena: &Arena) -> Running {
        let place = format!("/proc/{}/fd/{}", std::process::id(), arena.fd().as_raw_fd());
        Running::start(role, &place)
    }

    /// What the child says next, after the test runner's own words.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).expect("text") > 0, "the child ended");
            if let Some(said) = line.trim().strip_prefix("child: ") {
                return said.to_owned();
            }
        }
    }

    fn kill(&mut self) {
        self.0.kill().expect("our child");
        self.0.wait().expect("our child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn say(what: &str) {
    println!("\nchild: {what}");
}

fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Not a test by itself: what the children run.
#[test]
fn child() {
    let (Ok(role), Ok(place)) = (std::env::var(ROLE), std::env::var(WHERE)) else { return };
    if role == "named" {
        let _arena = Arena::create(Some(MIB), Some(&place)).expect("a folder of segments");
        say("made");
        stay();
    }
    let file = File::options().read(true).write(true).open(place).expect("the parent's descriptor");
    let arena = Arena::attach(file.into()).expect("an arena");
    let fill = |room: &mut Reservation| room.as_mut_slice()[..100].fill(3);
    match role.as_str() {
        "writes" => {
            let mut room = arena.reserve(MIB / 2).expect("a person").expect("room");
            fill(&mut room);
            say("writing");
            stay();
        }
        "sends" => {
            let mut room = arena.reserve(100).expect("a person").expect("room");
            fill(&mut room);
            let slot = room.publish(false);
            say(&format!("{} {}", slot.index, slot.generation));
            stay();
        }
        "takes" => {
            let slot = any_published(&arena).expect("there is one");
            let _lease = arena.take(slot).expect("it was sent");
            say("taken");
            stay();
        }
        "locks" => {
            let _guard = arena.head().lock.acquire(Duration::from_secs(5)).expect("free");
            say("locked");
            stay();
        }
        "works" => work(&arena),
        other => panic!("no role {other}"),
    }
}

fn any_published(arena: &Arena) -> Option<SlotRef> {
    (0..SLOTS as u32).find_map(|index| {
        let state =
            State::from_word(arena.head().slots[index as usize].state.load(Ordering::SeqCst));
        let published = matches!(state.kind, Kind::Sent | Kind::Kept);
        published.then_some(SlotRef { index, generation: state.generation })
    })
}

#[test]
fn what_a_dead_writer_claimed_is_free_again() {
    let arena = arena(MIB);
    let mut child = Running::with("writes", &arena);
    child.line();
    assert_eq!((arena.busy(), arena.reclaim(false)), (1, 0));
    assert!(put(&arena, &vec![0; MIB as usize]).is_none(), "the writer lives");
    child.kill();
    std::thread::sleep(Duration::from_millis(60));
    assert!(put(&arena, &vec![0; MIB as usize]).is_some(), "a claim counts the dead by itself");
}

#[test]
fn what_a_dead_taker_held_is_free_again() {
    for kept in [false, true] {
        let arena = arena(MIB);
        let slot = arena.reserve(100).expect("a person").expect("room").publish(kept);
        let mut child = Running::with("takes", &arena);
        child.line();
        assert_eq!((arena.reclaim(false), arena.busy()), (0, 1));
        child.kill();
        if kept {
            assert!(arena.withdraw(slot));
        }
        arena.reclaim(false);
        assert_eq!(arena.busy(), 0);
        assert!(arena.head().stamp(2).is_none(), "the dead are off the list");
    }
}

#[test]
fn what_a_dead_sender_sent_arrives_and_is_freed_only_when_nobody_came() {
    let arena = arena(MIB);
    let mut child = Running::with("sends", &arena);
    let sent = |line: String| {
        let (index, generation) = line.split_once(' ').expect("two numbers");
        SlotRef {
            index: index.parse().expect("a number"),
            generation: generation.parse().expect("a number"),
        }
    };
    let first = sent(child.line());
    child.kill();
    assert_eq!((arena.reclaim(false), arena.busy()), (0, 1));
    let buffer = arena.take(first).expect("it was sent").into_buffer();
    assert_eq!(buffer.as_slice()[..100], [3; 100]);
    drop(buffer);
    let mut child = Running::with("sends", &arena);
    let second = sent(child.line());
    child.kill();
    assert_eq!(arena.reclaim(false), 0);
    assert_eq!(arena.reclaim(true), 1);
    assert!(matches!(arena.take(second), Err(ShmError::Lost)));
}

#[test]
fn a_lock_that_a_dead_process_holds_is_taken_over() {
    let arena = arena(MIB);
    let mut child = Running::with("locks", &arena);
    child.line();
    let start = Instant::now();
    assert!(put(&arena, b"x").is_none(), "the holder lives");
    assert!(start.elapsed() < Duration::from_secs(5), "and is not waited for");
    child.kill();
    assert!(put(&arena, b"x").is_some());
}

#[test]
fn a_hold_for_a_child_outlives_its_parent() {
    let arena = arena(MIB);
    let slot = put(&arena, b"x").expect("room");
    let head = arena.head();
    let (parent, child) = (head.enter().expect("room"), head.enter().expect("room"));
    assert_eq!(head.take(slot, parent), Some(Hold::Owner));
    let entry = head.share(slot, parent).expect("room");
    head.release(slot, parent, Hold::Owner);
    assert_eq!(arena.busy(), 1);
    assert!(
        head.hand_over(entry, slot, parent, child) && !head.hand_over(entry, slot, parent, child)
    );
    head.release(slot, child, Hold::Entry(entry));
    assert_eq!(arena.busy(), 0);
}

/// Puts, takes and lets go for ever, and ends with an error if memory is ever shared by two messages.
fn work(arena: &Arena) -> ! {
    let mut seed = super::segment::random() | 1;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut held = Vec::new();
    say("ready");
    loop {
        match random(4) {
            0 | 1 => {
                let len = 16 + random(200_000) / 8 * 8;
                if let Some(mut room) = arena.reserve(len).expect("a person") {
                    let mark = random(u64::MAX).to_ne_bytes();
                    let bytes: Vec<u8> = mark.iter().copied().cycle().take(len as usize).collect();
                    room.as_mut_slice()[..bytes.len()].copy_from_slice(&bytes);
                    room.publish(random(3) == 0);
                }
            }
            2 => {
                if let Some(lease) = any_published(arena).and_then(|slot| arena.take(slot).ok()) {
                    let buffer = lease.into_buffer();
                    let mark: [u8; 8] = buffer.as_slice()[..8].try_into().expect("8 bytes");
                    held.push((mark, buffer));
                }
                if let Some(slot) = any_published(arena).filter(|_| random(2) == 0) {
                    arena.withdraw(slot);
                }
            }
            _ => {
                if !held.is_empty() {
                    let at = random(held.len() as u64) as usize;
                    let (mark, buffer) = held.swap_remove(at);
                    let words = buffer.as_slice()[..16].chunks_exact(8);
                    let whole = words.filter(|word| *word == mark).count() == 2;
                    if !whole {
                        say("torn");
                    }
                }
            }
        }
        if held.len() > 8 {
            held.clear();
        }
    }
}

#[test]
fn processes_killed_at_any_time_lose_no_memory_and_hang_nobody() {
    let arena = arena(4 * MIB);
    let mut workers: Vec<_> = (0..3).map(|_| Running::with("works", &arena)).collect();
    for worker in &mut workers {
        worker.line();
    }
    for round in 0..40u64 {
        std::thread::sleep(Duration::from_millis(5 + round % 13));
        let at = (round % 3) as usize;
        workers[at] = Running::with("works", &arena);
        assert_eq!(workers[at].line(), "ready");
    }
    for worker in &mut workers {
        worker.kill();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut worker.1, &mut rest).expect("text");
        assert!(!rest.contains("torn"), "memory was given to two messages");
    }
    arena.reclaim(true);
    assert_eq!((arena.busy(), arena.used()), (0, 0));
    let people = (1..=8).filter(|person| arena.head().stamp(*person).is_some()).count();
    assert_eq!(people, 1);
    assert!(put(&arena, &vec![1; 4 * MIB as usize]).is_some());
}
