//! Launches. CUDA Driver API, "Execution Control", "Occupancy".

use std::ffi::{c_int, c_uint};

use crate::context::current;
use crate::driver::{Driver, State};
use crate::module::DYNAMIC_MOST;
use crate::ptx::{self, Launch, View};
use crate::raw::{Host, In, Out};
use crate::status::{Outcome, Status};
use crate::stream::resolve;
use crate::sys;

/// `CUlaunchConfig`, without its attributes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Config {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    stream: u64,
    attributes: u64,
    attribute_count: c_uint,
}

/// The parameters' bytes: from an array of pointers to them, or from one buffer.
fn parameters(kernel: &ptx::Kernel, pointers: In<u64>, extra: In<u64>) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; kernel.parameter_bytes as usize];
    if !pointers.is_null() {
        for (i, &(offset, size)) in kernel.parameters.iter().enumerate() {
            let part = &mut bytes[offset as usize..(offset + size) as usize];
            if !sys::read_host(pointers.at(i), part) {
                return Err(Status::INVALID_VALUE);
            }
        }
    } else if !extra.is_null() {
        // Pairs of a name and a value: 1 the buffer, 2 where its size is, 0 the end.
        let pairs = (0..).step_by(2).map(|i| (extra.at(i), i)).take_while(|(name, _)| *name != 0);
        for (name, i) in pairs {
            if name == 1 && !sys::read_host(extra.at(i + 1), &mut bytes) {
                return Err(Status::INVALID_VALUE);
            }
        }
    } else if !bytes.is_empty() {
        return Err(Status::INVALID_VALUE);
    }
    Ok(bytes)
}

/// What a device can launch. CUDA C++ Programming Guide, "Compute Capabilities".
fn check(grid: [u32; 3], block: [u32; 3], shared: u64, limits: (u64, u64)) -> Outcome {
    let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
    let sizes = grid.iter().chain(&block).all(|&n| n > 0);
    let narrow =
        grid[1] <= 65535 && grid[2] <= 65535 && block[2] <= 64 && grid[0] <= i32::MAX as u32;
    let (max_threads, max_shared) = limits;
    if !sizes || !narrow || threads > max_threads || shared > max_shared {
        return Err(Status::INVALID_VALUE);
    }
    Ok(())
}

fn launch(
    d: &'static Driver,
    function: u64,
    config: Config,
    pointers: In<u64>,
    extra: In<u64>,
) -> Outcome {
    let mut state = d.state()?;
    current(&state)?;
    let stream = resolve(d, &mut state, config.stream)?;
    let Some(own) = state.functions.get(&function) else {
        d.violation(format!("{function:#x} is launched and is no function, or no longer"));
        return Err(Status::INVALID_HANDLE);
    };
    let kernel = own.kernel.clone();
    let limits = (kernel.max_threads, own.max_dynamic);
    check(config.grid, config.block, config.shared.into(), limits)?;
    let variables = state.modules.get(&own.module).ok_or(Status::INVALID_HANDLE)?.variables;
    let parameters = parameters(&kernel, pointers, extra)?;
    let context = state.streams.get(&stream).ok_or(Status::INVALID_HANDLE)?.context;
    let (grid, block) = (config.grid, config.block);
    let launch =
        Launch { kernel, grid, block, dynamic: config.shared.into(), parameters, variables };
    d.queue(&mut state, stream, Vec::new(), move |d| {
        let view = View::new(&*d.state()?, context);
        ptx::launch(&launch, &view).map_err(|fault| {
            d.violation(fault.text);
            fault.status
        })
    })
    .map(drop)
}

fn occupancy(state: &State, function: u64, block: u64) -> Outcome<c_int> {
    state.functions.get(&function).ok_or(Status::INVALID_HANDLE)?;
    Ok((2048 / block.clamp(32, 2048)).min(32) as c_int)
}

crate::api::functions! {
    0 fn cuLaunchKernel => cuLaunchKernel_ptsz(d, function: u64, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint, block_z: c_uint, shared: c_uint, stream: u64, parameters: In<u64>, extra: In<u64>) {
        let config = Config { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], shared, stream, attributes: 0, attribute_count: 0 };
        launch(d, function, config, parameters, extra)
    }

    // Attributes (clusters, priorities) change nothing of what is simulated.
    0 fn cuLaunchKernelEx => cuLaunchKernelEx_ptsz(d, config: In<Config>, function: u64, parameters: In<u64>, extra: In<u64>) {
        launch(d, function, config.get()?, parameters, extra)
    }

    0 fn cuOccupancyMaxActiveBlocksPerMultiprocessor(d, blocks: Out<c_int>, function: u64, threads: c_int, _shared: usize) {
        blocks.set(occupancy(&*d.state()?, function, threads.max(1) as u64)?)
    }

    0 fn cuOccupancyMaxPotentialBlockSize(d, grid: Out<c_int>, block: Out<c_int>, function: u64, _size_of: Host, _shared: usize, limit: c_int) {
        let most = d.state()?.functions.get(&function).ok_or(Status::INVALID_HANDLE)?.kernel.max_threads as c_int;
        block.set(if limit > 0 { most.min(limit) } else { most })?;
        grid.set(8)
    }

    0 fn cuOccupancyAvailableDynamicSMemPerBlock(d, bytes: Out<usize>, function: u64, _blocks: c_int, _threads: c_int) {
        let state = d.state()?;
        let own = state.functions.get(&function).ok_or(Status::INVALID_HANDLE)?;
        bytes.set((DYNAMIC_MOST - own.kernel.shared_bytes) as usize)
    }
}
