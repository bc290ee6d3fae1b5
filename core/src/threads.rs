//! Threads for work on large memory: a pool of our own.
//!
//! Threads do not survive a fork, and a pool whose threads are gone waits for
//! ever. So a pool belongs to the process that made it: a child makes its own
//! when it first needs one, and the parent's is never touched there. Nothing
//! here takes a lock that a fork could leave locked.

use core::sync::atomic::{AtomicPtr, Ordering};
use rayon::{ThreadPool, ThreadPoolBuilder};

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

/// Gives each item to `work`: the first on this thread, the others on the
/// pool's. Returns when all are done; a panic in one goes on here.
pub fn with_each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let Some((own, others)) = items.split_first_mut() else { return };
    let Some(pool) = pool() else {
        work(own);
        return others.iter_mut().for_each(work);
    };
    pool.in_place_scope(|scope| {
        let work = &work;
        for item in others {
            scope.spawn(move |_| work(item));
        }
        work(own);
    });
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

    #[test]
    fn each_item_gets_its_turn() {
        let mut items: Vec<usize> = (0..20).collect();
        with_each(&mut items, |item| *item += 100);
        assert_eq!(items, (100..120).collect::<Vec<_>>());
        with_each(&mut [0usize; 0], |_| unreachable!("there is none"));
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
