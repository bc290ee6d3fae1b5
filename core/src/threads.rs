//! Threads for work on large memory: a pool of our own.
//!
//! Threads do not survive a fork, and a pool whose threads are gone waits for
//! ever. So a pool belongs to the process that made it: a child makes its own
//! when it first needs one, and the parent's is never touched there. Nothing
//! here takes a lock that a fork could leave locked.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicPtr, Ordering};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// More threads than this gain nothing: memory is the limit.
const MOST_THREADS: usize = 8;

struct Pool {
    process: u32,
    threads: Option<ThreadPool>,
}

static CURRENT: AtomicPtr<Pool> = AtomicPtr::new(core::ptr::null_mut());

/// The pool of this process; `None` where there is one processor, or no thread
/// could be started.
pub fn pool() -> Option<&'static ThreadPool> {
    let process = std::process::id();
    let known = CURRENT.load(Ordering::Acquire);
    // SAFETY: null or a pool that was leaked below: it is never freed.
    if let Some(pool) = unsafe { known.as_ref() }
        && pool.process == process
    {
        return pool.threads.as_ref();
    }
    let made = Box::into_raw(Box::new(Pool { process, threads: start() }));
    match CURRENT.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just leaked; never freed.
        Ok(_) => unsafe { (*made).threads.as_ref() },
        Err(other) => {
            // SAFETY: ours alone still; the other is a leaked pool of this
            // process, as a fork leaves one thread.
            unsafe {
                drop(Box::from_raw(made));
                (*other).threads.as_ref()
            }
        }
    }
}

/// How many threads may work at once, this one included.
pub fn count() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// Calls `work` on this thread, with 0, and with 1 up to `others` on threads of
/// the pool that come in time: before the call of this thread is over. Returns
/// when all calls that have begun are over; a panic in one goes on here.
///
/// Each call is to take what it does from something that all share, until
/// nothing is left: so no thread is needed but this one. Where there is more to
/// do than there are processors, the turn of another thread may come long after
/// the work is done.
pub fn together(others: usize, work: impl Fn(usize) + Sync) {
    let Some(pool) = pool().filter(|_| others > 0) else { return work(0) };
    let gate = Arc::new(Gate::default());
    let lent = Lent::of(&work);
    for number in 1..=others {
        let gate = gate.clone();
        pool.spawn(move || {
            if gate.enter() {
                // SAFETY: it is called inside of the gate alone, and `Closing`
                // lets nobody in and waits until all are out before this
                // function ends, by a panic too.
                let call = AssertUnwindSafe(|| unsafe { lent.call(number) });
                gate.leave(catch_unwind(call).err());
            }
        });
    }
    let closing = Closing(&gate);
    work(0);
    drop(closing);
    if let Some(panic) = gate.inside().panic.take() {
        resume_unwind(panic);
    }
}

/// Gives each of the pieces to `work`, on this thread and others. Returns when
/// all are done; a panic in one goes on here.
pub fn share<T: Send>(
    pieces: impl IntoIterator<Item = T, IntoIter: Send>,
    work: impl Fn(T) + Sync,
) {
    let left = Mutex::new(pieces.into_iter());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    together(count() - 1, |_| {
        while let Some(piece) = take() {
            work(piece);
        }
    });
}

type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Work of a thread that others may call while it lasts. It may be kept longer.
#[derive(Clone, Copy)]
struct Lent(*const Work<'static>);

// SAFETY: what it points to is `Sync`, and touched by `call` alone.
unsafe impl Send for Lent {}

impl Lent {
    fn of(work: &Work<'_>) -> Lent {
        // SAFETY: only the lifetime in the type changes, which `call` asks for.
        Lent(unsafe { core::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) })
    }

    /// # Safety
    ///
    /// The work lives until the call is over.
    unsafe fn call(self, number: usize) {
        // SAFETY: it lives, as the caller says.
        unsafe { (*self.0)(number) }
    }
}

/// Where threads go in to work and come out, until it is closed.
#[derive(Default)]
struct Gate {
    inside: Mutex<Inside>,
    out: Condvar,
}

#[derive(Default)]
struct Inside {
    closed: bool,
    threads: usize,
    panic: Option<Box<dyn Any + Send>>,
}

impl Gate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if it is closed.
    fn enter(&self) -> bool {
        let mut inside = self.inside();
        inside.threads += usize::from(!inside.closed);
        !inside.closed
    }

    fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
        let mut inside = self.inside();
        inside.threads -= 1;
        if panic.is_some() {
            inside.panic = panic;
        }
        drop(inside);
        self.out.notify_one();
    }
}

/// Closes a gate when it is dropped, and waits until nobody is inside.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.closed = true;
        while inside.threads > 0 {
            inside = self.0.out.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn start() -> Option<ThreadPool> {
    let threads = std::thread::available_parallelism().ok()?.get().min(MOST_THREADS);
    if threads < 2 {
        return None;
    }
    let name = |n| format!("ferropickle-{n}");
    ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all threads of the pool, and lets them go when it is dropped.
    fn hold_pool() -> impl Drop {
        struct Held(Option<std::sync::mpsc::Sender<()>>, Option<std::thread::JoinHandle<()>>);
        impl Drop for Held {
            fn drop(&mut self) {
                drop(self.0.take());
                self.1.take().map(std::thread::JoinHandle::join);
            }
        }
        let (free, wait) = std::sync::mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let (held, holds) = std::sync::mpsc::channel();
        let holder = std::thread::spawn(move || {
            let Some(pool) = pool() else { return };
            pool.broadcast(|_| {
                held.send(()).expect("it waits");
                let wait = wait.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = wait.recv();
            });
        });
        (0..pool().map_or(0, ThreadPool::current_num_threads)).for_each(|_| {
            holds.recv().expect("each says so");
        });
        Held(Some(free), Some(holder))
    }

    #[test]
    fn each_piece_gets_its_turn() {
        let mut items: Vec<usize> = (0..2000).collect();
        share(items.iter_mut(), |item| *item += 100);
        assert_eq!(items, (100..2100).collect::<Vec<_>>());
        share([0usize; 0], |_| unreachable!("there is none"));
    }

    #[test]
    fn work_does_not_wait_for_threads_that_are_busy() {
        let held = hold_pool();
        let mut items = [0u8; 100];
        share(items.iter_mut(), |item| *item = 1);
        assert!(items.iter().all(|item| *item == 1));
        let lent = String::from("of this call");
        let calls = Mutex::new(Vec::new());
        together(3, |number| {
            assert_eq!(lent, "of this call");
            calls.lock().expect("no panic").push(number);
        });
        drop(lent);
        drop(held);
        // The other calls' turn comes now: they find the gate closed.
        pool().map(|pool| pool.broadcast(|_| ()));
        assert_eq!(*calls.lock().expect("no panic"), [0]);
    }

    #[test]
    fn calls_that_have_begun_are_waited_for() {
        if pool().is_none() {
            return;
        }
        for _ in 0..50 {
            let begun = std::sync::Barrier::new(2);
            let ended = Mutex::new(0);
            together(1, |number| {
                begun.wait();
                if number == 1 {
                    std::thread::sleep(core::time::Duration::from_micros(300));
                }
                *ended.lock().expect("no panic") += 1;
            });
            assert_eq!(*ended.lock().expect("no panic"), 2);
        }
    }

    #[test]
    fn a_panic_goes_on_in_the_caller() {
        for bad in [0, 1] {
            if pool().is_none() {
                return;
            }
            let both = std::sync::Barrier::new(2);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                together(1, |number| {
                    both.wait();
                    assert_ne!(number, bad, "the bad one");
                });
            }));
            let panic = caught.expect_err("one panics");
            assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("bad one")));
        }
    }

    #[test]
    fn the_pool_is_made_once() {
        let of = || pool().map(|pool| core::ptr::from_ref(pool) as usize);
        let others: Vec<_> = (0..4).map(|_| std::thread::spawn(of)).collect();
        let first = of();
        for other in others {
            assert_eq!(other.join().expect("no panic"), first);
        }
    }
}
