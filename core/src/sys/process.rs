//! Who a process is, whether it lives, how much memory there is.
//!
//! # Safety
//!
//! The calls take and return integers, or fill in a struct of plain data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// This process's id. Asked each time: after a fork it is another.
pub fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::getpid() as u32 }
}

/// Bits of a process id: Linux hands out ids below 2^22.
const PID_BITS: u32 = 22;

/// A process, told apart from a later one with the same id by the time of its start. One word, so that it
/// can be exchanged atomically; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// This process.
    pub fn own() -> Stamp {
        // The id in it tells a forked child that it is not its own.
        static OWN: AtomicU64 = AtomicU64::new(0);
        let known = OWN.load(Ordering::Relaxed);
        let pid = pid();
        if known != 0 && Stamp(known).pid() == pid {
            return Stamp(known);
        }
        let started = status(pid).map_or(0, |status| status.started);
        let stamp = Stamp::new(pid, started);
        OWN.store(stamp.0, Ordering::Relaxed);
        stamp
    }

    fn new(pid: u32, started: u64) -> Stamp {
        Stamp(started << PID_BITS | u64::from(pid) & ((1 << PID_BITS) - 1))
    }

    /// The stamp of a word, unless it is 0, which stands for nobody.
    pub fn from_word(word: u64) -> Option<Stamp> {
        (word != 0).then_some(Stamp(word))
    }

    /// As a word.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The process id.
    pub fn pid(self) -> u32 {
        (self.0 & ((1 << PID_BITS) - 1)) as u32
    }

    /// Whether the process still runs. One that was killed and not yet waited for does not. In doubt the
    /// answer is yes.
    pub fn alive(self) -> bool {
        let started = self.0 >> PID_BITS;
        match status(self.pid()) {
            // A dead main thread does not end a process whose other threads run.
            Some(status) if status.ended && status.threads <= 1 => false,
            Some(status) => started == 0 || status.started == started,
            None => exists(self.pid()),
        }
    }
}

/// Whether there is a process of an id, dead ones that nobody has waited for included.
fn exists(pid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    let answer = unsafe { libc::kill(pid as libc::pid_t, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

struct Status {
    ended: bool,
    threads: u64,
    started: u64,
}

/// What `/proc` says of a process; `None` where it says nothing.
fn status(pid: u32) -> Option<Status> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold brackets and spaces itself.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = core::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let threads = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Status { ended: matches!(state, "Z" | "X" | "x"), threads, started })
}

/// A number for the namespaces in which process ids and start times hold; 0 where there are none.
pub fn namespace() -> u64 {
    let number = |kind: &str| -> u64 {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
        let digits = link.to_string_lossy();
        digits
            .bytes()
            .filter(u8::is_ascii_digit)
            .fold(0, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    };
    number("pid").rotate_left(32) ^ number("time")
}

/// Milliseconds of a clock that all processes of the machine share and nobody sets.
pub fn milliseconds() -> u64 {
    // SAFETY: `timespec` is plain data, filled in by the call.
    let time = unsafe {
        let mut time: libc::timespec = core::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    };
    let whole = Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_millis();
    whole as u64
}

/// Bytes of memory that can be had without pushing other programs out: the machine's, or less where a
/// control group allows less.
pub fn available_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
        kib.checked_mul(1024)
    });
    let number = |path: &str| -> Option<u64> {
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let group = |limit: &str, used: &str| Some(number(limit)?.saturating_sub(number(used)?));
    let group = group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current").or_else(|| {
        let folder = "/sys/fs/cgroup/memory";
        group(
            &format!("{folder}/memory.limit_in_bytes"),
            &format!("{folder}/memory.usage_in_bytes"),
        )
    });
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_lives_until_it_is_killed_even_if_nobody_waits_for_it() {
        assert!(Stamp::own().alive());
        let mut child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .expect("a program named sleep");
        let started = status(child.id()).expect("a live process").started;
        let stamp = Stamp::new(child.id(), started);
        assert!(stamp.alive());
        assert!(!Stamp::new(child.id(), started + 1).alive(), "another start, another process");
        child.kill().expect("our child");
        // Not waited for: it stays as a zombie.
        for _ in 0..500 {
            if !stamp.alive() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!stamp.alive());
        child.wait().expect("our child");
        assert!(!stamp.alive());
    }

    #[test]
    fn a_stamp_is_one_word() {
        let stamp = Stamp::own();
        assert_eq!(stamp.pid(), pid());
        assert_eq!(Stamp::from_word(stamp.word()), Some(stamp));
        assert_eq!(Stamp::from_word(0), None);
    }

    #[test]
    fn memory_and_time_are_told() {
        assert!(available_memory().is_none_or(|bytes| bytes > 1 << 20));
        let first = milliseconds();
        assert!(milliseconds() >= first);
    }
}
