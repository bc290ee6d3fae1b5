//! Many slices to a descriptor by few calls.

use std::io::{Error, ErrorKind, IoSlice, Result};

/// Slices given to one call: `IOV_MAX` of Linux, which POSIX lets be less.
const MOST_SLICES: usize = 1024;

/// Bytes given to one call, so that signals are not put off for long.
const MOST_BYTES: usize = 64 << 20;

/// Writes all slices. `write` may write a part, as `writev` does; `wait` is
/// called when it was interrupted or would block, and then it is tried again.
/// Gives the number of bytes written.
pub fn write_all<'a>(
    slices: impl Iterator<Item = &'a [u8]>,
    mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize>,
    mut wait: impl FnMut(ErrorKind) -> Result<()>,
) -> Result<u64> {
    let mut slices = slices.filter(|slice| !slice.is_empty()).peekable();
    // The rest of a slice that was written in part.
    let mut rest: &[u8] = &[];
    let mut done = 0u64;
    let mut batch: Vec<&[u8]> = Vec::with_capacity(64);
    loop {
        batch.clear();
        let mut bytes = 0;
        while bytes < MOST_BYTES && batch.len() < MOST_SLICES {
            let next = if rest.is_empty() { slices.next() } else { Some(rest) };
            let Some(next) = next else { break };
            let (now, later) = next.split_at(next.len().min(MOST_BYTES - bytes));
            rest = later;
            bytes += now.len();
            batch.push(now);
        }
        if batch.is_empty() {
            return Ok(done);
        }
        let mut from = 0;
        while from < batch.len() {
            let vector: Vec<IoSlice<'_>> = batch[from..].iter().map(|s| IoSlice::new(s)).collect();
            match write(&vector) {
                Ok(0) => return Err(Error::from(ErrorKind::WriteZero)),
                Ok(mut written) => {
                    done += written as u64;
                    while from < batch.len() && written >= batch[from].len() {
                        written -= batch[from].len();
                        from += 1;
                    }
                    if written > 0 {
                        batch[from] = &batch[from][written..];
                    }
                }
                Err(error) => match error.kind() {
                    kind @ (ErrorKind::Interrupted | ErrorKind::WouldBlock) => wait(kind)?,
                    _ => return Err(error),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_interruptions_and_many_slices() {
        let slices: Vec<Vec<u8>> = (0..5000usize).map(|n| vec![n as u8; n % 7]).collect();
        let whole = slices.concat();
        let (mut out, mut calls, mut waits) = (Vec::new(), 0, 0);
        let write = |vector: &[IoSlice<'_>]| {
            assert!(vector.len() <= MOST_SLICES && !vector.is_empty());
            calls += 1;
            if calls % 3 == 0 {
                return Err(Error::from(ErrorKind::Interrupted));
            }
            let all: Vec<u8> = vector.iter().flat_map(|slice| slice.to_vec()).collect();
            let some = all.len().min(1 + calls * 11 % 500);
            out.extend_from_slice(&all[..some]);
            Ok(some)
        };
        let wait = |_| {
            waits += 1;
            Ok(())
        };
        let done = write_all(slices.iter().map(Vec::as_slice), write, wait).expect("no error");
        assert!(out == whole && done == whole.len() as u64 && waits > 5);
    }

    #[test]
    fn errors_and_full_descriptors_end_it() {
        let slices = [&b"abc"[..]];
        let full = write_all(slices.into_iter(), |_| Ok(0), |_| Ok(()));
        assert_eq!(full.expect_err("nothing goes").kind(), ErrorKind::WriteZero);
        let broken = |_: &[IoSlice<'_>]| Err(Error::from(ErrorKind::BrokenPipe));
        let broken = write_all(slices.into_iter(), broken, |_| Ok(()));
        assert_eq!(broken.expect_err("it is broken").kind(), ErrorKind::BrokenPipe);
        let stop = |_: &[IoSlice<'_>]| Err(Error::from(ErrorKind::Interrupted));
        let stopped = write_all(slices.into_iter(), stop, |kind| Err(Error::from(kind)));
        assert_eq!(stopped.expect_err("wait says so").kind(), ErrorKind::Interrupted);
    }
}
