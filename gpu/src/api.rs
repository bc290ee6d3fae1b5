//! The types that cross the border of this crate. No driver's names appear here, so that a second
//! kind of device needs no change in those who use them.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// A device, by its UUID.
///
/// An ordinal means another device in another process as soon as one of them hides or reorders
/// devices; a UUID does not, so it is what travels in a parcel. A partition of a device has a UUID
/// of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    uuid: [u8; 16],
}

impl DeviceId {
    /// The device with these sixteen bytes, in the order in which its UUID is written.
    pub const fn from_bytes(uuid: [u8; 16]) -> Self {
        Self { uuid }
    }

    /// The sixteen bytes, in the order in which the UUID is written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.uuid
    }
}

/// Writes `GPU-` and the UUID in lower case: `GPU-00112233-4455-6677-8899-aabbccddeeff`.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU")?;
        for (i, byte) in self.uuid.iter().enumerate() {
            if matches!(i, 0 | 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

/// Reads what [`Display`](fmt::Display) writes; the prefix may be `GPU-`, `MIG-` or missing, the
/// digits of either case.
impl FromStr for DeviceId {
    type Err = ParseDeviceIdError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceIdError> {
        let bare = text.strip_prefix("GPU-").or_else(|| text.strip_prefix("MIG-")).unwrap_or(text);
        let groups = [8, 4, 4, 4, 12];
        let mut parts = bare.split('-');
        let mut digits = Vec::with_capacity(32);
        for length in groups {
            let part = parts.next().filter(|p| p.len() == length).ok_or(ParseDeviceIdError)?;
            digits.extend_from_slice(part.as_bytes());
        }
        if parts.next().is_some() {
            return Err(ParseDeviceIdError);
        }
        let nibble = |c: u8| (c as char).to_digit(16).map(|d| d as u8).ok_or(ParseDeviceIdError);
        let mut uuid = [0; 16];
        for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self { uuid })
    }
}

/// A text that is not a device's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseDeviceIdError;

impl fmt::Display for ParseDeviceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a device UUID: expected GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    }
}

impl std::error::Error for ParseDeviceIdError {}

/// The queue in which a producer's work on its memory is ordered.
///
/// This is a name, not an owner: whoever holds one knows that the stream outlives its use. "Nothing to
/// wait for" is `Option::None`, never a value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamRef {
    /// The default stream that orders itself against every blocking stream of the device.
    Default,
    /// The calling thread's own default stream.
    PerThread,
    /// A stream that somebody made, by its handle.
    Handle(NonZeroUsize),
}

/// Where the bytes of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Placement {
    /// Ordinary memory of this process.
    #[default]
    Host,
    /// Host memory that is locked in place, so that a device copies from and to it at full speed.
    Pinned,
    /// Host memory that other processes on this machine can map.
    Shared,
    /// Memory of this device.
    Device(DeviceId),
}

impl Placement {
    /// Whether the processor can read the bytes where they are.
    pub const fn is_host(&self) -> bool {
        !matches!(self, Self::Device(_))
    }
}

/// What the memory behind an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Memory {
    /// Memory of the host's that the driver does not know.
    Pageable,
    /// Host memory that is locked in place.
    Pinned,
    /// Memory that moves between host and device by itself.
    Managed,
    /// Memory of a device.
    Device,
}

/// How memory could be given to another process as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Export {
    /// Not at all: it is copied into memory that can be.
    None,
    /// By a handle of the whole allocation.
    Legacy,
    /// By a descriptor of the memory.
    Descriptor,
    /// By a descriptor of its pool.
    Pool,
}

/// What the driver knows about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointerInfo {
    /// What it is the address of.
    pub memory: Memory,
    /// The device that the memory is on, or was locked for.
    pub device: Option<DeviceId>,
    /// Where the allocation starts.
    pub base: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// A number that no other allocation of this process has or will have: an address is used again, this is not.
    pub buffer: u64,
    /// How it could be given to another process.
    pub export: Export,
}

impl PointerInfo {
    /// What is said of an address that the driver does not know.
    pub const fn unknown() -> Self {
        let (memory, export) = (Memory::Pageable, Export::None);
        Self { memory, device: None, base: 0, size: 0, buffer: 0, export }
    }
}

/// What a load does with a device buffer when the device that it came from is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnMissing {
    /// The load fails and names the device.
    #[default]
    Raise,
    /// The bytes arrive as a host array.
    Host,
}

/// The interface that a driver offers, as major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverVersion {
    /// 13 of 13.2.
    pub major: u32,
    /// 2 of 13.2.
    pub minor: u32,
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What [`probe`](crate::probe) found: a driver that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverInfo {
    /// The newest interface that the driver offers.
    pub version: DriverVersion,
    /// How many devices this process can see; never 0.
    pub devices: usize,
}

/// Why there is no device to work with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuError {
    /// This build has no device code in it.
    NotBuilt,
    /// No driver library is installed, or none that can be loaded.
    NoDriver,
    /// The driver is too old or too new: it lacks a function that we call.
    MissingSymbol(&'static str),
    /// The driver is there, but says no.
    Refused {
        /// The function that failed.
        call: &'static str,
        /// Its status, as the driver gave it; drivers newer than this crate may give codes that it cannot name.
        code: i32,
    },
    /// The driver works and has no device for this process.
    NoDevice,
    /// This process does not see the device.
    NotVisible(DeviceId),
    /// A call failed, of a driver that works.
    Failed {
        /// The function that failed.
        call: &'static str,
        /// Its status.
        code: i32,
    },
    /// The stream is being captured into a graph: copies for a message have no place there.
    Capturing,
    /// A buffer has fewer bytes than a copy of it.
    TooSmall,
    /// These bytes are not in one allocation that the device can read.
    NotThere {
        /// Where they begin.
        address: u64,
        /// How many they are.
        bytes: u64,
        /// The device.
        device: DeviceId,
    },
    /// Elements that have memory in common cannot be written to one by one.
    Overlapping,
    /// The host has no memory for so many bytes.
    NoHostMemory(usize),
    /// The memory cannot be shared as it is; messages go through the host.
    Unshareable(&'static str),
    /// The memory of a message is not there any more.
    Lost,
    /// A message was not filled in time.
    Late,
    /// What another process says about device memory makes no sense.
    Damaged(&'static str),
    /// The table of an arena's slots: the system refused, or it is another's.
    Slots(String),
    /// The driver was started in the parent, and this process was forked from it: no driver survives that.
    Forked {
        /// The process that started the driver.
        started_by: u32,
    },
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this build of ferropickle has no device support"),
            Self::NoDriver => {
                f.write_str("no GPU driver is installed here, or it cannot be loaded")
            }
            Self::MissingSymbol(name) => {
                write!(f, "the GPU driver lacks {name}: update the driver")
            }
            Self::Refused { call, code } => {
                write!(f, "the GPU driver is unusable: {call} failed with status {code}")?;
                explain(f, *code)
            }
            Self::Failed { call, code } => {
                write!(f, "the GPU driver's {call} failed with status {code}")?;
                explain(f, *code)
            }
            Self::NotVisible(id) => write!(f, "this process does not see the device {id}"),
            Self::Capturing => f.write_str(
                "the stream is being captured into a graph; pickle before the capture begins or after it has ended",
            ),
            Self::NotThere { address, bytes, device } => write!(
                f,
                "{bytes} bytes at {address:#x} are not in memory that the device {device} can read"
            ),
            Self::Overlapping => {
                f.write_str("elements of the array share memory: it cannot be written to")
            }
            Self::NoHostMemory(bytes) => write!(f, "no memory for {bytes} bytes"),
            Self::Unshareable(why) => {
                write!(f, "device memory cannot be shared with this process: {why}; send it through the host")
            }
            Self::Lost => f.write_str(
                "the device memory of this message is gone: it was taken before, withdrawn, or its sender has died",
            ),
            Self::Late => f.write_str("the device memory of this message was not filled in time by its sender"),
            Self::Damaged(what) => write!(f, "a damaged message: {what}"),
            Self::Slots(what) => write!(f, "shared device memory: {what}"),
            Self::TooSmall => f.write_str("the buffer is smaller than the copy"),
            Self::NoDevice => f.write_str("the GPU driver has no device for this process"),
            Self::Forked { started_by } => write!(
                f,
                "the GPU driver was started by process {started_by} before this one was forked from it; \
                 start workers with spawn or forkserver"
            ),
        }
    }
}

impl std::error::Error for GpuError {}

fn explain(f: &mut fmt::Formatter<'_>, code: i32) -> fmt::Result {
    match meaning(code) {
        Some(text) => write!(f, " ({text})"),
        None => Ok(()),
    }
}

/// What a status that a person can mend, or has caused, means. Others stay numbers.
fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        2 => "out of memory",
        3 => "not initialized; after a fork the child cannot use the driver",
        34 => "this is the toolkit's stub library: take its folder off the library path",
        100 => "no device",
        101 => "no such device",
        700 => "a kernel has used an address that is not its own; the device's context is lost",
        709 => "the device was reset",
        719 => "a kernel failed; the device's context is lost",
        803 => {
            "the driver's library and its kernel module are of different versions: reboot after an update"
        }
        804 => "this device does not support the compatibility package",
        999 => "unknown error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    ];

    #[test]
    fn device_id_is_written_and_read() {
        let id = DeviceId::from_bytes(UUID);
        let text = "GPU-00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(id.to_string(), text);
        assert_eq!(id.as_bytes(), &UUID);
        for form in [text, &text.replace("GPU-", "MIG-"), &text[4..], &text[4..].to_uppercase()] {
            assert_eq!(form.parse(), Ok(id), "{form}");
        }
    }

    #[test]
    fn device_id_refuses_what_is_none() {
        for text in [
            "",
            "GPU-",
            "0",
            "GPU-00112233-4455-6677-8899-aabbccddee",
            "GPU-00112233-4455-6677-8899-aabbccddeeff-00",
            "GPU-0011223-34455-6677-8899-aabbccddeeff",
            "GPU-0011223g-4455-6677-8899-aabbccddeeff",
            "GPU-é112233-4455-6677-8899-aabbccddeeff",
        ] {
            assert_eq!(text.parse::<DeviceId>(), Err(ParseDeviceIdError), "{text:?}");
        }
    }

    #[test]
    fn placement_says_what_the_processor_can_read() {
        assert!(
            Placement::default().is_host()
                && Placement::Pinned.is_host()
                && Placement::Shared.is_host()
        );
        assert!(!Placement::Device(DeviceId::from_bytes(UUID)).is_host());
    }

    #[test]
    fn errors_say_what_to_do() {
        let stub = GpuError::Refused { call: "cuInit", code: 34 };
        assert!(stub.to_string().contains("stub library"), "{stub}");
        let unknown = GpuError::Refused { call: "cuInit", code: 919 };
        assert_eq!(
            unknown.to_string(),
            "the GPU driver is unusable: cuInit failed with status 919"
        );
        assert!(GpuError::Forked { started_by: 7 }.to_string().contains("spawn"));
    }
}
