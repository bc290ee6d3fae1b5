//! A segment: the file in memory of an arena, mapped.

use core::sync::atomic::Ordering::SeqCst;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::error::ShmError;
use super::layout::{DATA_START, Shared};
use crate::sys::memory::Mapping;
use crate::sys::{memfile, process};

/// What names of POSIX segments begin with.
pub const PREFIX: &str = "ferropickle-";

/// A segment whose creator has not finished it after this time has died.
const UNFINISHED: Duration = Duration::from_secs(60);

/// A mapped file in memory.
pub struct Segment {
    /// The mapping of all of it.
    pub map: Mapping,
    /// Its descriptor.
    pub file: OwnedFd,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// A number that no other arena has.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(process::Stamp::own().word());
    hasher.finish()
}

/// Where the system makes no file without a name: a segment that loses its name at once.
fn nameless(size: u64) -> io::Result<OwnedFd> {
    let name = format!("{PREFIX}{:016x}", random());
    let file = memfile::create_named(&name, size)?;
    memfile::unlink_named(&name)?;
    Ok(file)
}

impl Segment {
    /// A segment without a name, for `capacity` bytes of data.
    pub fn anonymous(capacity: u64) -> Result<Segment, ShmError> {
        let size = file_size(capacity)?;
        let file = memfile::anonymous(c"ferropickle", size).or_else(|_| nameless(size))?;
        Segment::map(file, size, capacity, None)
    }

    /// A new segment of a name. First takes away those that dead processes left.
    pub fn named(name: &str, capacity: u64) -> Result<Segment, ShmError> {
        sweep();
        let name = format!("{PREFIX}{name}");
        let size = file_size(capacity)?;
        let file = memfile::create_named(&name, size)?;
        match Segment::map(file, size, capacity, Some(name.clone())) {
            Ok(segment) => Ok(segment),
            Err(error) => {
                let _ = memfile::unlink_named(&name);
                Err(error)
            }
        }
    }

    fn map(
        file: OwnedFd,
        size: u64,
        capacity: u64,
        name: Option<String>,
    ) -> Result<Segment, ShmError> {
        let len = usize::try_from(size).map_err(io::Error::other)?;
        let map = Mapping::shared(file.as_fd(), len)?;
        map.prefer_huge_pages();
        let segment = Segment { map, file, name };
        segment.secure(0, size_of::<Shared>())?;
        let head = segment.head()?;
        head.id.store(random(), SeqCst);
        head.capacity.store(capacity, SeqCst);
        head.namespace.store(process::namespace(), SeqCst);
        Ok(segment)
    }

    /// Takes memory for a range and gets it ready to be written. What is touched without that, where the system
    /// has no more, ends the process.
    pub fn secure(&self, offset: usize, len: usize) -> io::Result<()> {
        match self.map.populate(offset, len) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                memfile::allocate(self.fd(), offset as u64, len as u64)
            }
            done => done,
        }
    }

    /// The segment of a name.
    pub fn open(name: &str) -> Result<Segment, ShmError> {
        let name = format!("{PREFIX}{name}");
        Segment::attach(memfile::open_named(&name)?, Some(name))
    }

    /// The segment of a descriptor.
    pub fn attach(file: OwnedFd, name: Option<String>) -> Result<Segment, ShmError> {
        let size = memfile::size(file.as_fd())?;
        let len = usize::try_from(size).map_err(io::Error::other)?;
        if len < DATA_START {
            return Err(ShmError::NotAnArena);
        }
        let map = Mapping::shared(file.as_fd(), len)?;
        map.prefer_huge_pages();
        let head = Shared::of(&map)?;
        let capacity = head.capacity.load(SeqCst);
        if !head.is_open() || file_size(capacity).ok() != Some(size) {
            return Err(ShmError::NotAnArena);
        }
        if head.namespace.load(SeqCst) != process::namespace() {
            return Err(ShmError::Namespace);
        }
        Ok(Segment { map, file, name })
    }

    /// Its head.
    pub fn head(&self) -> Result<&Shared, ShmError> {
        Shared::of(&self.map)
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Takes the name away.
    pub fn unlink(&self) {
        if let Some(name) = &self.name {
            let _ = memfile::unlink_named(name);
        }
    }
}

fn file_size(capacity: u64) -> Result<u64, ShmError> {
    capacity.checked_add(DATA_START as u64).ok_or(ShmError::NotAnArena)
}

/// Takes away the names of segments all of whose processes are dead.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/dev/shm") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let old = entry.metadata().and_then(|data| data.modified()).ok();
        let old = old.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > UNFINISHED);
        let dead = match memfile::open_named(name).map(|file| Segment::attach(file, None)) {
            Ok(Ok(segment)) => segment.head().is_ok_and(|head| !head.anyone_lives()),
            Ok(Err(ShmError::NotAnArena)) => old,
            _ => false,
        };
        if dead {
            let _ = memfile::unlink_named(name);
        }
    }
}
