//! A file's bytes as memory.
//!
//! Pages are read when they are touched. What is written to them stays in this
//! process: a page that is written becomes a copy of its own. A file that is cut
//! short while it is mapped ends the process with SIGBUS where it is touched
//! beyond its end, as for every map; replacing the file, as `save` does, leaves
//! the one that is mapped as it was.

use crate::buffer::Buffer;
use std::fs::File;
use std::io;

/// The whole file, of `len` bytes, which may be written to.
#[cfg(unix)]
pub fn map(file: &File, len: usize) -> io::Result<Buffer> {
    use crate::buffer::Owner;
    use crate::sys::memory::Mapping;
    use std::os::fd::AsFd;
    use std::sync::Arc;

    struct Map(Mapping);
    impl Owner for Map {}

    if len == 0 {
        return Ok(Buffer::from_vec(Vec::new()));
    }
    let map = Arc::new(Map(Mapping::copy_on_write(file.as_fd(), 0, len)?));
    let start = map.0.start();
    // SAFETY: `len` bytes that stay mapped, at that place, while the owner
    // lives; other processes cannot write to a private mapping's copies, and to
    // the file itself only who breaks the agreement that the head speaks of.
    Ok(unsafe { Buffer::from_raw(start, len, map) })
}

/// The whole file, of `len` bytes, read.
#[cfg(not(unix))]
pub fn map(mut file: &File, len: usize) -> io::Result<Buffer> {
    use crate::buffer::Block;
    use std::io::{Read, Seek, SeekFrom};

    let mut block = Block::zeroed(len).ok_or(io::ErrorKind::OutOfMemory)?;
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(block.as_mut_slice())?;
    Ok(block.into())
}
