//! Every bound on untrusted input, and every size that shapes a stream.

/// Frames are closed at the first opcode boundary after this many bytes, and
/// payloads of at least this size stand outside frames (PEP 3154; CPython
/// `Modules/_pickle.c`, `FRAME_SIZE_TARGET`).
pub const FRAME_TARGET_BYTES: usize = 64 * 1024;

/// A frame shorter than this is written without its header (PEP 3154;
/// `FRAME_SIZE_MIN`).
pub const FRAME_MIN_BYTES: usize = 4;

/// Length of a frame header: opcode and 8-byte length.
pub const FRAME_HEADER_BYTES: usize = 9;

/// Items per APPENDS, SETITEMS or ADDITEMS (`BATCHSIZE` in `_pickle.c`).
pub const BATCH_ITEMS: u32 = 1000;

/// A memo index may run this far ahead of the entries that exist and still get
/// a slot in the dense table; indices beyond go to a hash map, so that a
/// crafted index cannot allocate gigabytes.
pub const MEMO_DENSE_SLACK: usize = 4096;

/// Bytes taken from a file in one step while the announced length of an item
/// is not yet backed by data: a crafted length costs at most this much memory.
pub const READ_STEP_BYTES: usize = 1024 * 1024;

/// Longest text line of a protocol 0 argument accepted (decimal digits of an
/// int, a class name, an escaped string): 1 GiB.
pub const LINE_MAX_BYTES: usize = 1 << 30;

/// Highest protocol written and read.
pub const HIGHEST_PROTOCOL: u8 = 5;

/// How long a message in shared memory whose sender has ended may still be taken,
/// where memory is short: it may lie in a queue that somebody reads late.
pub const UNCLAIMED_MS: u64 = 600_000;
