//! What a user's own library does with the driver: calls by name, with statuses; and what tests ask of the simulator.

use std::ffi::{CString, c_char, c_int, c_long};
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use cudarc::driver::sys;
use ferropickle_core::copy::Source;
use ferropickle_core::strided::Layout;
use ferropickle_gpu::{GpuError, Pinned, Region, Stream, StreamRef};

/// Calls a driver function with up to six arguments; the status.
pub fn call(name: &str, arguments: &[u64]) -> c_int {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    type Function = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64) -> c_int;
    // SAFETY: tests run with a driver on the library path.
    let library = unsafe { sys::culib() };
    // SAFETY: arguments of the driver's functions are integers and pointers, which go in registers of 64 bits here;
    // those that a function does not have are not looked at.
    let function = unsafe { library.get::<Function>(name) }.unwrap();
    // SAFETY: the tests pass what the driver's reference asks for.
    unsafe { function(a, b, c, d, e, f) }
}

/// Calls a function that has to succeed.
pub fn ok(name: &str, arguments: &[u64]) {
    assert_eq!(call(name, arguments), 0, "{name}");
}

/// Calls a function whose first parameter is where a handle or an address goes.
pub fn get(name: &str, arguments: &[u64]) -> u64 {
    let mut value = 0u64;
    let mut all = vec![&raw mut value as u64];
    all.extend(arguments);
    ok(name, &all);
    value
}

/// The context that is current in this thread, or 0.
pub fn current() -> u64 {
    get("cuCtxGetCurrent", &[])
}

/// Makes the primary context of a device current, as the run-time library does.
pub fn use_device(ordinal: u64) -> u64 {
    ok("cuInit", &[0]);
    let context = get("cuDevicePrimaryCtxRetain", &[ordinal]);
    ok("cuCtxSetCurrent", &[context]);
    context
}

/// Device memory with these bytes in it.
pub fn device_memory(bytes: &[u8]) -> u64 {
    let address = get("cuMemAlloc_v2", &[bytes.len() as u64]);
    ok("cuMemcpyHtoD_v2", &[address, bytes.as_ptr() as u64, bytes.len() as u64]);
    ok("cuCtxSynchronize", &[]);
    address
}

/// The bytes of device memory.
pub fn read(address: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    ok("cuMemcpyDtoH_v2", &[bytes.as_mut_ptr() as u64, address, size as u64]);
    bytes
}

/// A stream that the default stream does not order.
pub fn stream() -> u64 {
    get("cuStreamCreate", &[1])
}

/// Locked memory with these bytes in it, for copies that come late.
pub fn locked(bytes: &[u8]) -> u64 {
    let at = get("cuMemHostAlloc", &[bytes.len() as u64, 0]);
    // SAFETY: the driver has just given so much memory, which nobody else uses.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
    at
}

/// Bytes of locked memory.
pub fn host(at: u64, len: usize) -> Vec<u8> {
    // SAFETY: tests name memory that they have locked, and no copy into it is under way.
    unsafe { std::slice::from_raw_parts(at as *const u8, len) }.to_vec()
}

/// A stream of a user's by its handle.
pub fn named(stream: u64) -> StreamRef {
    StreamRef::Handle(NonZeroUsize::new(stream as usize).unwrap())
}

/// Queues a write of a producer's in its stream.
pub fn write_late(address: u64, from: u64, size: usize, stream: u64) {
    ok("cuMemcpyHtoDAsync_v2", &[address, from, size as u64, stream]);
}

/// Copies device memory that the test keeps until the copy is done.
pub fn copy_to_host(
    stream: &Stream,
    from: u64,
    into: &mut Pinned,
    size: usize,
) -> Result<(), GpuError> {
    // SAFETY: tests allocate what they name, and free it at their end if at all.
    unsafe { stream.copy_to_host(from, into, size) }
}

/// As [`copy_to_host`], the other way.
pub fn copy_to_device(
    stream: &Stream,
    to: u64,
    from: &mut Pinned,
    size: usize,
) -> Result<(), GpuError> {
    // SAFETY: as in `copy_to_host`.
    unsafe { stream.copy_to_device(to, from, size) }
}

/// Tells the simulator something: `tests/cudasim/README.md`. A real driver is not told.
pub fn control(command: &str) {
    if crate::is_real() {
        return;
    }
    let command = CString::new(command).unwrap();
    ok("cudasim_control", &[command.as_ptr() as u64]);
}

/// A number of the simulator's report, by the key before it; 0 if it is not there.
pub fn reported(key: &str) -> u64 {
    let text = report();
    let after = text.split_once(&format!("\"{key}\":")).map_or("", |(_, rest)| rest);
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// How many copies went in a direction, and their bytes.
pub fn copies(direction: &str) -> (u64, u64) {
    let text = report();
    let Some((_, after)) = text.split_once(&format!("\"{direction}\":[")) else { return (0, 0) };
    let (numbers, _) = after.split_once(']').unwrap();
    let (count, bytes) = numbers.split_once(',').unwrap();
    (count.parse().unwrap(), bytes.parse().unwrap())
}

/// The last calls in their order, those that only look or belong to no transfer left out.
pub fn log() -> Vec<String> {
    let text = report();
    let (_, after) = text.split_once("\"log\":[").unwrap();
    let calls = after.split(']').next().unwrap().split(',').map(|call| call.trim_matches('"'));
    let told = ["cuMemcpy", "cuLaunch", "cuEventSync", "cuStreamSync", "cuMemAlloc", "cuMemHost"];
    let told = calls.filter(|call| told.iter().any(|name| call.starts_with(name)));
    told.map(String::from).collect()
}

fn report() -> String {
    if crate::is_real() {
        return "{}".into();
    }
    type Report = unsafe extern "C" fn(*mut c_char, usize) -> usize;
    // SAFETY: tests run with a driver on the library path.
    let library = unsafe { sys::culib() };
    // SAFETY: the simulator's function has this type.
    let report = unsafe { library.get::<Report>("cudasim_report") }.unwrap();
    let mut text = vec![0u8; 1 << 20];
    // SAFETY: the buffer has the room that it is said to have.
    let needed = unsafe { report(text.as_mut_ptr().cast(), text.len()) };
    String::from_utf8(text[..needed - 1].to_vec()).unwrap()
}

/// A descriptor of another process, by its path under `/proc`: opened, or where its file has no name that could be, fetched.
pub fn descriptor(path: &str) -> std::io::Result<OwnedFd> {
    let opened = File::options().read(true).write(true).open(path);
    let numbers = path.strip_prefix("/proc/").and_then(|rest| rest.split_once("/fd/"));
    let (Err(_), Some((process, number))) = (&opened, numbers) else {
        return opened.map(OwnedFd::from);
    };
    let (process, number): (c_long, c_long) = (process.parse().unwrap(), number.parse().unwrap());
    let checked = |descriptor: c_long| match descriptor {
        // SAFETY: the call has just opened it for this process.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(descriptor as c_int) }),
        _ => Err(std::io::Error::last_os_error()),
    };
    const PIDFD_OPEN: c_long = 434;
    const PIDFD_GETFD: c_long = 438;
    // SAFETY: both calls take integers.
    let process = checked(unsafe { syscall(PIDFD_OPEN, process, 0 as c_long, 0 as c_long) })?;
    // SAFETY: as above.
    checked(unsafe { syscall(PIDFD_GETFD, c_long::from(process.as_raw_fd()), number, 0 as c_long) })
}

/// Lets processes that this one has started fetch its descriptors, where the system asks for that.
pub fn be_fetched_from() {
    const SET_PTRACER: c_int = 0x5961_6d61;
    const ANY: c_long = -1;
    // SAFETY: the call takes integers; where the system does not ask, it fails and changes nothing.
    unsafe { prctl(SET_PTRACER, ANY, 0 as c_long, 0 as c_long, 0 as c_long) };
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

/// Runs a function in a forked child; whether it said yes.
pub fn in_fork(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs only `body`, which takes no lock that another thread may hold, and ends at once.
    let child = unsafe { fork() };
    if child == 0 {
        let said = body();
        // SAFETY: ends the process without running what belongs to the parent.
        unsafe { _exit(c_int::from(!said)) }
    }
    let mut status = 0;
    // SAFETY: the child is ours and not waited for elsewhere; `status` is live.
    assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
    status == 0
}

/// An array of a user's in device memory, which the test keeps as long as it uses the region.
pub fn region(
    address: u64,
    shape: &[usize],
    strides: &[isize],
    item: usize,
    stream: Option<StreamRef>,
) -> Region {
    // SAFETY: tests allocate what they name, and free it at their end if at all.
    unsafe { Region::strided(address, shape, strides, item, stream) }.unwrap()
}

/// Bytes of a user's in device memory.
pub fn bytes(address: u64, len: usize, stream: Option<StreamRef>) -> Region {
    // SAFETY: as in `region`.
    unsafe { Region::bytes(address, len, stream) }.unwrap()
}

/// A region whose memory the test knows to be there.
pub fn vouched(region: Region) -> Region {
    // SAFETY: as in `region`.
    unsafe { region.vouched() }
}

/// What the elements of an array are, packed; `memory` holds them, the first of all indices 0 at `at`.
pub fn packed(memory: &[u8], at: usize, layout: &Layout) -> Vec<u8> {
    assert!(at >= layout.before() && at - layout.before() + layout.extent() <= memory.len());
    let mut into = vec![0; layout.len_bytes()];
    // SAFETY: the elements lie within the memory.
    unsafe { Source::new(memory.as_ptr().add(at), layout) }.fill(&mut into);
    into
}
