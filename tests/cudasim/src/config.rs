//! What the environment says about the simulated machine. README.md lists the variables.

use std::env;
use std::time::Duration;

use crate::status::Status;

/// One device as the environment describes it.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Of the whole device; a partition has its device's.
    pub uuid: [u8; 16],
    /// Of the partition, where the device is one.
    pub partition: Option<[u8; 16]>,
}

impl DeviceConfig {
    /// What tells this device from every other, across processes.
    pub fn identity(&self) -> [u8; 16] {
        self.partition.unwrap_or(self.uuid)
    }
}

/// A status that a call gives instead of being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function's name; `*` for any.
    pub call: String,
    /// Which call of it, counted from 1 when the fault is set.
    pub nth: u64,
    pub code: i32,
}

pub struct Config {
    pub devices: Vec<DeviceConfig>,
    /// Bytes of each device.
    pub memory: u64,
    /// How long work waits that nobody waits for.
    pub hold: Duration,
    pub seed: u64,
    /// The compute capability, 90 for 9.0.
    pub capability: i32,
    pub pools: bool,
    pub virtual_memory: bool,
    pub legacy_ipc: bool,
    pub faults: Vec<Fault>,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

impl Config {
    pub fn from_environment() -> Self {
        let uuids = env::var("CUDASIM_UUIDS").unwrap_or_default();
        let named: Vec<&str> = uuids.split(',').filter(|text| !text.is_empty()).collect();
        let count = number("CUDASIM_DEVICES", named.len().max(1) as u64) as usize;
        let all = (0..count).map(|i| device(i, named.get(i).copied())).collect();
        Self {
            devices: visible(all, env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()),
            memory: number("CUDASIM_MEMORY", 1 << 30),
            hold: Duration::from_micros(number("CUDASIM_HOLD_US", 2000)),
            seed: number("CUDASIM_SEED", 1),
            capability: number("CUDASIM_CAPABILITY", 90) as i32,
            pools: number("CUDASIM_POOLS", 1) != 0,
            virtual_memory: number("CUDASIM_VMM", 1) != 0,
            legacy_ipc: number("CUDASIM_IPC", 1) != 0,
            faults: faults(&env::var("CUDASIM_FAULTS").unwrap_or_default()).unwrap_or_default(),
        }
    }
}

fn device(ordinal: usize, name: Option<&str>) -> DeviceConfig {
    let mut uuid = *b"cudasim device \0";
    uuid[15] = ordinal as u8;
    match name {
        Some(name) if name.starts_with("MIG-") => {
            DeviceConfig { uuid, partition: Some(digits(name)) }
        }
        Some(name) => DeviceConfig { uuid: digits(name), partition: None },
        None => DeviceConfig { uuid, partition: None },
    }
}

/// The sixteen bytes of a UUID in text; missing digits are 0.
fn digits(text: &str) -> [u8; 16] {
    let mut uuid = [0; 16];
    let bare = text.trim_start_matches("GPU-").trim_start_matches("MIG-");
    for (i, digit) in bare.chars().filter_map(|c| c.to_digit(16)).take(32).enumerate() {
        uuid[i / 2] |= (digit as u8) << (4 * (1 - i % 2));
    }
    uuid
}

/// What `CUDA_VISIBLE_DEVICES` leaves, in its order: ordinals or UUIDs, up to the first that names none.
/// CUDA C++ Programming Guide, "CUDA Environment Variables".
fn visible(all: Vec<DeviceConfig>, chosen: Option<&str>) -> Vec<DeviceConfig> {
    let Some(chosen) = chosen else { return all };
    let find = |name: &str| match name.parse::<usize>() {
        Ok(ordinal) => all.get(ordinal).cloned(),
        Err(_) if name.starts_with("GPU-") || name.starts_with("MIG-") => {
            let wanted = digits(name);
            all.iter().find(|device| device.identity() == wanted).cloned()
        }
        Err(_) => None,
    };
    chosen.split(',').map_while(|name| find(name.trim())).collect()
}

/// Faults as text: `cuMemAlloc_v2:2=2;*:50=719` is "the second such call gives 2, the fiftieth of any 719".
pub fn faults(text: &str) -> Result<Vec<Fault>, Status> {
    let one = |part: &str| {
        let (call, rest) = part.split_once(':')?;
        let (nth, code) = rest.split_once('=')?;
        Some(Fault { call: call.into(), nth: nth.parse().ok()?, code: code.parse().ok()? })
    };
    text.split(';')
        .filter(|part| !part.is_empty())
        .map(|part| one(part.trim()).ok_or(Status::INVALID_VALUE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let read = faults("cuMemAlloc_v2:2=2;*:50=719").unwrap();
        assert_eq!(read[0], Fault { call: "cuMemAlloc_v2".into(), nth: 2, code: 2 });
        assert_eq!(read[1], Fault { call: "*".into(), nth: 50, code: 719 });
        assert_eq!(faults("cuInit=3"), Err(Status::INVALID_VALUE));
    }

    #[test]
    fn visible_devices_are_chosen_by_ordinal_or_uuid() {
        let all: Vec<_> = (0..3).map(|i| device(i, None)).collect();
        let ids = |text: Option<&str>| -> Vec<u8> {
            visible(all.clone(), text).iter().map(|d| d.uuid[15]).collect()
        };
        assert_eq!(ids(None), [0, 1, 2]);
        assert_eq!(ids(Some("2,0")), [2, 0]);
        assert_eq!(ids(Some("1,9,0")), [1], "the first that names none ends the list");
        assert_eq!(ids(Some("")), [0; 0]);
        assert_eq!(ids(Some("GPU-63756461-7369-6d20-6465-766963652001")), [1]);
    }
}
