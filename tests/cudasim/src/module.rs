//! Modules and their functions. CUDA Driver API, "Module Management", "Library Management".

use std::ffi::{CString, c_char, c_int, c_uint};
use std::sync::Arc;

use crate::context::{current, current_device};
use crate::driver::{Driver, State, Tag};
use crate::memory::{allocate, release};
use crate::profile::version;
use crate::ptx::{self, Kernel};
use crate::raw::{Host, In, Out, Text};
use crate::space::Kind;
use crate::status::{Outcome, Status};
use crate::sys;

/// A loaded module; a library is one that belongs to no context.
pub struct Module {
    pub context: u64,
    code: ptx::Module,
    /// Where its variables are, or 0 if it has none.
    pub variables: u64,
}

/// A kernel's handle.
pub struct Function {
    pub module: u64,
    pub kernel: Arc<Kernel>,
    /// The kernel's name, as it is given out: callers keep the pointer.
    name: CString,
    /// Attributes that were set.
    pub max_dynamic: u64,
}

/// The text of an image: up to its zero byte, if it begins as PTX does.
fn text_of(image: Host) -> Outcome<String> {
    let at = image.address();
    if at == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let mut start = [0; 4];
    if !sys::read_host(at, &mut start) {
        return Err(Status::INVALID_IMAGE);
    }
    // Machine code, alone or in a bundle: there is nothing here that runs it.
    if start == *b"\x7fELF" || start == [0x50, 0xed, 0x55, 0xba] {
        return Err(Status::NO_BINARY);
    }
    image.text().get().map_err(|_| Status::INVALID_IMAGE)
}

/// The newest PTX that a driver of this version reads. PTX ISA, "Release Notes".
fn newest_ptx(driver: i32) -> u32 {
    let releases = [
        (13020, 92),
        (13010, 91),
        (13000, 90),
        (12090, 88),
        (12080, 87),
        (12050, 85),
        (12040, 84),
        (12030, 83),
        (12020, 82),
        (12010, 81),
    ];
    releases.iter().find(|(first, _)| driver >= *first).map_or(80, |(_, ptx)| *ptx)
}

/// Where a loader wants to have messages.
#[derive(Clone, Copy)]
pub struct Log {
    at: u64,
    room: usize,
}

/// The error log among the options of a load. `CUjit_option`: 5 its buffer, 6 its size.
fn error_log(count: c_uint, options: In<c_uint>, values: In<u64>) -> Option<Log> {
    let find =
        |wanted| (0..count as usize).find(|&i| options.at(i) == wanted).map(|i| values.at(i));
    Some(Log { at: find(5)?, room: find(6)? as usize })
}

fn tell(log: Option<Log>, text: &str) {
    if let Some(log) = log.filter(|log| log.room > 0) {
        let kept = text.bytes().take(log.room - 1).chain([0]);
        sys::write_host(log.at, &kept.collect::<Vec<u8>>());
    }
}

fn parse(d: &Driver, image: Host, log: Option<Log>) -> Outcome<ptx::Module> {
    let text = text_of(image)?;
    let code = ptx::parse(&text).map_err(|refusal| {
        tell(log, &refusal.to_string());
        d.violation(format!("a module is refused: {refusal}"));
        if text.contains(".version") { Status::INVALID_PTX } else { Status::INVALID_IMAGE }
    })?;
    if code.version > newest_ptx(version()) {
        tell(log, "the PTX is of a version that this driver does not know");
        return Err(Status::UNSUPPORTED_PTX);
    }
    if code.target as i32 > d.config.capability {
        tell(log, "the PTX is for a newer device");
        return Err(Status::INVALID_PTX);
    }
    Ok(code)
}

fn load(d: &'static Driver, image: Host, log: Option<Log>) -> Outcome<u64> {
    let (context, device) = current_device(&*d.state()?)?;
    let code = parse(d, image, log)?;
    let mut state = d.state()?;
    let mut variables = 0;
    if code.variable_bytes > 0 {
        let mut range =
            allocate(d, &mut state, device, code.variable_bytes as usize, Kind::Static)?;
        range.context = context;
        range.bytes.fill(0, range.size, 0);
        for variable in code.variables.values() {
            range.bytes.write(variable.offset, &variable.initial)?;
        }
        variables = range.base;
        state.space.insert(range);
    }
    let id = state.handle(Tag::Module);
    state.modules.insert(id, Module { context, code, variables });
    Ok(id)
}

fn unload(state: &mut State, module: u64) -> Outcome {
    let own = state.modules.remove(&module).ok_or(Status::INVALID_HANDLE)?;
    state.functions.retain(|_, function| function.module != module);
    if let Some(range) = state.space.starting(own.variables).cloned() {
        release(state, &range);
    }
    Ok(())
}

/// The handle of a kernel: each time the same.
fn function(state: &mut State, module: u64, name: &str) -> Outcome<u64> {
    let own = state.modules.get(&module).ok_or(Status::INVALID_HANDLE)?;
    let kernel = own.code.kernels.get(name).ok_or(Status::NOT_FOUND)?.clone();
    let known = state.functions.iter().find(|(_, f)| f.module == module && f.kernel.name == name);
    if let Some((id, _)) = known {
        return Ok(*id);
    }
    let c_name = CString::new(name).map_err(|_| Status::NOT_FOUND)?;
    let id = state.handle(Tag::Function);
    state.functions.insert(id, Function { module, kernel, name: c_name, max_dynamic: DYNAMIC });
    Ok(id)
}

/// Shared memory that a launch may add without an attribute, and with it.
pub const DYNAMIC: u64 = 48 << 10;
pub const DYNAMIC_MOST: u64 = 227 << 10;

fn attribute(state: &State, function: u64, number: c_uint) -> Outcome<c_int> {
    let own = state.functions.get(&function).ok_or(Status::INVALID_HANDLE)?;
    let module = state.modules.get(&own.module).ok_or(Status::INVALID_HANDLE)?;
    Ok(match number {
        0 => own.kernel.max_threads as c_int,
        1 => own.kernel.shared_bytes as c_int,
        2 => 0,
        3 => own.kernel.local_bytes as c_int,
        4 => own.kernel.registers.min(255) as c_int,
        5 | 6 => module.code.target as c_int,
        8 => own.max_dynamic as c_int,
        7 | 9..=15 => 0,
        _ => return Err(Status::INVALID_VALUE),
    })
}

fn set_attribute(state: &mut State, function: u64, number: c_uint, value: c_int) -> Outcome {
    let own = state.functions.get_mut(&function).ok_or(Status::INVALID_HANDLE)?;
    match number {
        8 if (0..=(DYNAMIC_MOST - own.kernel.shared_bytes) as c_int).contains(&value) => {
            own.max_dynamic = value as u64;
            Ok(())
        }
        9 => Ok(()),
        _ => Err(Status::INVALID_VALUE),
    }
}

fn variable(state: &State, module: u64, name: &str) -> Outcome<(u64, usize)> {
    let own = state.modules.get(&module).ok_or(Status::INVALID_HANDLE)?;
    let variable = own.code.variables.get(name).ok_or(Status::NOT_FOUND)?;
    Ok((own.variables + variable.offset, variable.size as usize))
}

fn parameter(state: &State, function: u64, index: usize) -> Outcome<(u64, u64)> {
    let own = state.functions.get(&function).ok_or(Status::INVALID_HANDLE)?;
    own.kernel.parameters.get(index).copied().ok_or(Status::INVALID_VALUE)
}

crate::api::functions! {
    0 fn cuModuleLoadData(d, module: Out<u64>, image: Host) {
        module.set(load(d, image, None)?)
    }

    0 fn cuModuleLoadDataEx(d, module: Out<u64>, image: Host, count: c_uint, options: In<c_uint>, values: In<u64>) {
        module.set(load(d, image, error_log(count, options, values))?)
    }

    0 fn cuModuleLoadFatBinary(_d, _module: Out<u64>, _image: Host) {
        Err(Status::NO_BINARY)
    }

    0 fn cuModuleUnload(d, module: u64) {
        let mut state = d.state()?;
        current(&state)?;
        unload(&mut state, module)
    }

    0 fn cuModuleGetFunction(d, handle: Out<u64>, module: u64, name: Text) {
        let mut state = d.state()?;
        handle.set(function(&mut state, module, &name.get()?)?)
    }

    0 fn cuModuleGetGlobal_v2(d, address: Out<u64>, size: Out<usize>, module: u64, name: Text) {
        let (at, bytes) = variable(&*d.state()?, module, &name.get()?)?;
        address.set_if(at);
        size.set_if(bytes);
        Ok(())
    }

    0 fn cuLibraryLoadData(d, library: Out<u64>, image: Host, options: In<c_uint>, values: In<u64>, count: c_uint, _library_options: Host, _library_values: Host, _library_count: c_uint) {
        library.set(load(d, image, error_log(count, options, values))?)
    }

    0 fn cuLibraryUnload(d, library: u64) {
        unload(&mut *d.state()?, library)
    }

    0 fn cuLibraryGetKernel(d, kernel: Out<u64>, library: u64, name: Text) {
        let mut state = d.state()?;
        kernel.set(function(&mut state, library, &name.get()?)?)
    }

    0 fn cuLibraryGetModule(d, module: Out<u64>, library: u64) {
        d.state()?.modules.get(&library).ok_or(Status::INVALID_HANDLE)?;
        module.set(library)
    }

    0 fn cuLibraryGetGlobal(d, address: Out<u64>, size: Out<usize>, library: u64, name: Text) {
        let (at, bytes) = variable(&*d.state()?, library, &name.get()?)?;
        address.set_if(at);
        size.set_if(bytes);
        Ok(())
    }

    // A kernel and its function are one here.
    0 fn cuKernelGetFunction(d, function: Out<u64>, kernel: u64) {
        d.state()?.functions.get(&kernel).ok_or(Status::INVALID_HANDLE)?;
        function.set(kernel)
    }

    0 fn cuKernelGetAttribute(d, value: Out<c_int>, number: c_uint, kernel: u64, _device: c_int) {
        value.set(attribute(&*d.state()?, kernel, number)?)
    }

    0 fn cuKernelSetAttribute(d, number: c_uint, value: c_int, kernel: u64, _device: c_int) {
        set_attribute(&mut *d.state()?, kernel, number, value)
    }

    12030 fn cuKernelGetName(d, name: Out<*const c_char>, kernel: u64) {
        name.set(d.state()?.functions.get(&kernel).ok_or(Status::INVALID_HANDLE)?.name.as_ptr())
    }

    12030 fn cuFuncGetName(d, name: Out<*const c_char>, function: u64) {
        name.set(d.state()?.functions.get(&function).ok_or(Status::INVALID_HANDLE)?.name.as_ptr())
    }

    12050 fn cuKernelGetLibrary(d, library: Out<u64>, kernel: u64) {
        library.set(d.state()?.functions.get(&kernel).ok_or(Status::INVALID_HANDLE)?.module)
    }

    12040 fn cuKernelGetParamInfo(d, kernel: u64, index: usize, offset: Out<usize>, size: Out<usize>) {
        let (at, bytes) = parameter(&*d.state()?, kernel, index)?;
        offset.set(at as usize)?;
        size.set_if(bytes as usize);
        Ok(())
    }

    12040 fn cuFuncGetParamInfo(d, function: u64, index: usize, offset: Out<usize>, size: Out<usize>) {
        let (at, bytes) = parameter(&*d.state()?, function, index)?;
        offset.set(at as usize)?;
        size.set_if(bytes as usize);
        Ok(())
    }

    0 fn cuFuncGetAttribute(d, value: Out<c_int>, number: c_uint, function: u64) {
        value.set(attribute(&*d.state()?, function, number)?)
    }

    0 fn cuFuncSetAttribute(d, function: u64, number: c_uint, value: c_int) {
        set_attribute(&mut *d.state()?, function, number, value)
    }

    0 fn cuFuncSetCacheConfig(d, function: u64, _config: c_uint) {
        d.state()?.functions.get(&function).map(drop).ok_or(Status::INVALID_HANDLE)
    }

    0 fn cuFuncGetModule(d, module: Out<u64>, function: u64) {
        module.set(d.state()?.functions.get(&function).ok_or(Status::INVALID_HANDLE)?.module)
    }
}
