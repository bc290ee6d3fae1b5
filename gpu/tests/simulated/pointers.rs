//! What an address is the address of.

use ferropickle_gpu::{Export, Memory, PointerInfo, devices, open_device};

use crate::{tests, user};

const GRANULE: u64 = 2 << 20;

/// `CUmemAllocationProp` of exportable memory of device 0; its first four words are those of `CUmemPoolProps`.
const EXPORTABLE: [u32; 24] = {
    let mut words = [0; 24];
    words[0] = 1; // pinned, the only type
    words[1] = 1; // to be exported as a descriptor
    words[2] = 1; // on a device
    words
};

tests! {
    [("CUDASIM_DEVICES", "2")] => fn memory_is_told_apart() {
        let all = devices().unwrap();
        let device = open_device(all[0]).unwrap();
        user::use_device(0);
        let what = |address: u64| {
            let info = device.classify(address).unwrap();
            (info.memory, info.export)
        };
        let plain = user::get("cuMemAlloc_v2", &[5000]);
        assert_eq!(what(plain), (Memory::Device, Export::Legacy));
        let info = device.classify(plain + 100).unwrap();
        assert_eq!((info.base, info.size, info.device), (plain, 5000, Some(all[0])));
        assert_eq!(what(user::get("cuMemAllocManaged", &[64, 1])), (Memory::Managed, Export::None));
        assert_eq!(what(user::locked(b"host")), (Memory::Pinned, Export::None));
        assert_eq!(what(user::get("cuMemAllocAsync", &[64, 0])), (Memory::Device, Export::None));

        let properties = EXPORTABLE.as_ptr() as u64;
        let pool = user::get("cuMemPoolCreate", &[properties]);
        let pooled = user::get("cuMemAllocFromPoolAsync", &[64, pool, 0]);
        assert_eq!(what(pooled), (Memory::Device, Export::Pool));
        let memory = user::get("cuMemCreate", &[GRANULE, properties, 0]);
        let mapped = user::get("cuMemAddressReserve", &[GRANULE, 0, 0, 0]);
        user::ok("cuMemMap", &[mapped, GRANULE, 0, memory, 0]);
        assert_eq!(what(mapped), (Memory::Device, Export::Descriptor));

        let own = [0u8; 64];
        assert_eq!(device.classify(own.as_ptr() as u64).unwrap(), PointerInfo::unknown());
        assert_eq!(device.classify(0).unwrap(), PointerInfo::unknown());

        user::use_device(1);
        let there = user::get("cuMemAlloc_v2", &[64]);
        assert_eq!(device.classify(there).unwrap().device, Some(all[1]));
    }

    [] => fn an_address_that_is_used_again_is_another_buffer() {
        let device = open_device(devices().unwrap()[0]).unwrap();
        user::use_device(0);
        let first = user::get("cuMemAlloc_v2", &[64]);
        let buffer = device.classify(first).unwrap().buffer;
        user::ok("cuMemFree_v2", &[first]);
        assert_eq!(device.classify(first).unwrap(), PointerInfo::unknown());
        let second = user::get("cuMemAlloc_v2", &[64]);
        assert_ne!(device.classify(second).unwrap().buffer, buffer);
    }
}
