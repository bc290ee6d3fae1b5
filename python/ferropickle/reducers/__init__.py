"""Reduce values for objects that the standard library's pickle refuses, or copies badly.

`find` tells which function, if any, reduces the objects of a type. What it
writes is in stock form: plain `pickle.loads` builds the object, with nothing
but the standard library in the receiver.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["find"]

# Where a type's reducer is, by the type's own module and name: so nothing is
# imported before an object of the type is met.
_EXACT = {
    "Token.MISSING": "contexts.missing",
    "_asyncio.Future": "refusals.event_loop",
    "_asyncio.Task": "refusals.event_loop",
    "_blake2.blake2b": "digests.hash_object",
    "_blake2.blake2s": "digests.hash_object",
    "_bz2.BZ2Compressor": "refusals.compressor",
    "_bz2.BZ2Decompressor": "refusals.compressor",
    "_contextvars.Context": "contexts.context",
    "_contextvars.ContextVar": "contexts.variable",
    "_contextvars.Token": "contexts.token",
    "_csv.Dialect": "tables.dialect",
    "_csv.reader": "tables.reader",
    "_csv.writer": "tables.writer",
    "_ctypes.PyCArrayType": "foreign.array_type",
    "_ctypes.PyCFuncPtrType": "foreign.function_type",
    "_ctypes.PyCPointerType": "foreign.pointer_type",
    "_ctypes.PyCSimpleType": "foreign.simple_type",
    "_hashlib.HASH": "digests.hash_object",
    "_hashlib.HASHXOF": "digests.hash_object",
    "_io.BufferedRandom": "files.buffered",
    "_io.BufferedReader": "files.buffered",
    "_io.BufferedWriter": "files.buffered",
    "_io.BytesIO": "files.in_memory",
    "_io.FileIO": "files.raw",
    "_io.StringIO": "files.in_memory",
    "_io.TextIOWrapper": "files.text",
    "_lzma.LZMACompressor": "refusals.compressor",
    "_lzma.LZMADecompressor": "refusals.compressor",
    "_queue.SimpleQueue": "queues.simple_queue",
    "_struct.Struct": "matches.compiled_struct",
    "_thread.RLock": "locks.rlock",
    "_thread._ThreadHandle": "threads.handle",
    "_thread.lock": "locks.lock",
    "_weakrefset.WeakSet": "weak.weak_set",
    "builtins.PyCapsule": "descriptors.capsule",
    "builtins.async_generator": "generators.async_generator",
    "builtins.async_generator_asend": "refusals.awaited",
    "builtins.async_generator_athrow": "refusals.awaited",
    "builtins.classmethod_descriptor": "descriptors.descriptor",
    "builtins.coroutine": "generators.coroutine",
    "builtins.coroutine_wrapper": "refusals.awaited",
    "builtins.dict_items": "views.dict_items",
    "builtins.dict_keys": "views.dict_keys",
    "builtins.dict_values": "views.dict_values",
    "builtins.frame": "tracebacks.frame",
    "builtins.generator": "generators.generator",
    "builtins.getset_descriptor": "descriptors.descriptor",
    "builtins.mappingproxy": "views.mapping_proxy",
    "builtins.member_descriptor": "descriptors.descriptor",
    "builtins.memoryview": "memory.memory_view",
    "builtins.method-wrapper": "descriptors.method_wrapper",
    "builtins.method_descriptor": "descriptors.descriptor",
    "builtins.object": "names.sentinel",
    "builtins.odict_items": "views.odict_items",
    "builtins.odict_keys": "views.odict_keys",
    "builtins.odict_values": "views.odict_values",
    "builtins.super": "descriptors.super_object",
    "builtins.traceback": "tracebacks.traceback",
    "builtins.type": "names.type_without_name",
    "builtins.wrapper_descriptor": "descriptors.descriptor",
    "bz2.BZ2File": "compressed.bz2_file",
    "contextvars.Context": "contexts.context",
    "contextvars.ContextVar": "contexts.variable",
    "contextvars.Token": "contexts.token",
    "ctypes.CDLL": "foreign.library",
    "ctypes.PyDLL": "foreign.library",
    "cuda.core._context.Context": "cuda_core.context",
    "cuda.core._event.Event": "cuda_core.event",
    "cuda.core._launch_config.LaunchConfig": "cuda_core.launch_config",
    "cuda.core._linker.Linker": "cuda_core.linker",
    "cuda.core._memory._buffer.Buffer": "devices.core_buffer",
    "cuda.core._module.Kernel": "cuda_core.kernel",
    "cuda.core._module.ObjectCode": "cuda_core.object_code",
    "cuda.core._program.Program": "cuda_core.program",
    "cuda.core._stream.Stream": "cuda_core.stream",
    "cuda.core.experimental._memory._buffer.Buffer": "devices.core_buffer",
    "cupy._core._kernel.ElementwiseKernel": "cupy_kernels.elementwise_kernel",
    "cupy._core._kernel.ufunc": "cupy_kernels.ufunc",
    "cupy._core._reduction.ReductionKernel": "cupy_kernels.reduction_kernel",
    "cupy._core.fusion.Fusion": "cupy_kernels.fusion",
    "cupy._core.raw.RawModule": "cupy_kernels.raw_module",
    "cupy._functional.vectorize.vectorize": "cupy_kernels.vectorized",
    "cupy.cuda.cufft.Plan1d": "cupy_handles.plan",
    "cupy.cuda.cufft.PlanNd": "cupy_handles.plan",
    "cupy.cuda.function.Function": "cupy_handles.loaded",
    "cupy.cuda.function.LinkState": "cupy_handles.loaded",
    "cupy.cuda.function.Module": "cupy_handles.loaded",
    "cupy.cuda.graph.Graph": "cupy_handles.graph",
    "cupy.cuda.memory.CFunctionAllocatorMemory": "cupy_handles.memory",
    "cupy.cuda.memory.ManagedMemory": "cupy_handles.memory",
    "cupy.cuda.memory.Memory": "cupy_handles.memory",
    "cupy.cuda.memory.MemoryAsync": "cupy_handles.memory",
    "cupy.cuda.memory.MemoryAsyncPool": "cupy_handles.memory",
    "cupy.cuda.memory.MemoryPointer": "cupy_handles.memory",
    "cupy.cuda.memory.MemoryPool": "cupy_handles.memory",
    "cupy.cuda.memory.PooledMemory": "cupy_handles.memory",
    "cupy.cuda.memory.SystemMemory": "cupy_handles.memory",
    "cupy.cuda.memory.UnownedMemory": "cupy_handles.memory",
    "cupy.cuda.pinned_memory.PinnedMemory": "cupy_handles.memory",
    "cupy.cuda.pinned_memory.PinnedMemoryPointer": "cupy_handles.memory",
    "cupy.cuda.pinned_memory.PinnedMemoryPool": "cupy_handles.memory",
    "cupy.cuda.texture.CUDAarray": "cupy_handles.texture",
    "cupy.cuda.texture.ResourceDescriptor": "cupy_handles.texture",
    "cupy.cuda.texture.SurfaceObject": "cupy_handles.texture",
    "cupy.cuda.texture.TextureObject": "cupy_handles.texture",
    "cupy.ndarray": "devices.cupy_array",
    "cupy_backends.cuda.libs.nccl.NcclCommunicator": "cupy_handles.plan",
    "cupyx.jit._interface._JitRawKernel": "cupy_kernels.jit_kernel",
    "dataclasses._FIELD_BASE": "names.sentinel",
    "dataclasses._HAS_DEFAULT_FACTORY_CLASS": "names.sentinel",
    "dataclasses._KW_ONLY_TYPE": "names.sentinel",
    "dataclasses._MISSING_TYPE": "names.sentinel",
    "ferropickle._device.DeviceArray": "interfaces.device_array",
    "functools.KeyWrapper": "caches.key_wrapper",
    "functools._lru_cache_wrapper": "caches.lru_cache",
    "functools.partialmethod": "caches.partial_method",
    "gzip.GzipFile": "compressed.gzip_file",
    "itertools._grouper": "iterators.group",
    "itertools._tee": "iterators.tee",
    "itertools._tee_dataobject": "iterators.tee_data",
    "itertools.accumulate": "iterators.accumulate",
    "itertools.batched": "iterators.batched",
    "itertools.chain": "iterators.chain",
    "itertools.combinations": "iterators.combinations",
    "itertools.combinations_with_replacement": "iterators.combinations_with_replacement",
    "itertools.compress": "iterators.compress",
    "itertools.count": "iterators.count",
    "itertools.cycle": "iterators.cycle",
    "itertools.dropwhile": "iterators.drop_while",
    "itertools.filterfalse": "iterators.filter_false",
    "itertools.groupby": "iterators.group_by",
    "itertools.islice": "iterators.slice_of",
    "itertools.pairwise": "iterators.pairwise",
    "itertools.permutations": "iterators.permutations",
    "itertools.product": "iterators.product",
    "itertools.repeat": "iterators.repeat",
    "itertools.starmap": "iterators.starmap",
    "itertools.takewhile": "iterators.take_while",
    "itertools.zip_longest": "iterators.zip_longest",
    "logging.Logger": "logs.logger",
    "lzma.LZMAFile": "compressed.lzma_file",
    "mmap.mmap": "refusals.mapped_memory",
    "numba.cuda.cudadrv.devicearray.DeviceNDArray": "devices.numba_array",
    "numba.cuda.cudadrv.driver.Context": "numba_handles.context",
    "numba.cuda.cudadrv.driver.CudaPythonFunction": "numba_handles.loaded",
    "numba.cuda.cudadrv.driver.CudaPythonModule": "numba_handles.loaded",
    "numba.cuda.cudadrv.driver.Device": "numba_handles.context",
    "numba.cuda.dispatcher.CUDADispatcher": "numba_kernels.dispatcher",
    "numba.cuda.dispatcher.ForAll": "numba_kernels.for_all",
    "numba.cuda.dispatcher._LaunchConfiguration": "numba_kernels.launch",
    "numba.cuda.simulator.kernel.FakeCUDAKernel": "numba_kernels.simulated",
    "numba.cuda.vectorizers.CUDAGeneralizedUFunc": "numba_kernels.generalized",
    "numba.cuda.vectorizers.CUDAUFuncDispatcher": "numba_kernels.vectorized",
    "numpy.ma.MaskedArray": "arrays.masked",
    "numpy.ma.core.MaskedArray": "arrays.masked",
    "numpy.memmap": "arrays.mapped",
    "polars.dataframe.frame.DataFrame": "columnar.polars_frame",
    "polars.series.series.Series": "columnar.polars_series",
    "random.SystemRandom": "entropy.system_random",
    "re.Match": "matches.match",
    "rmm.pylibrmm.device_buffer.DeviceBuffer": "devices.rmm_buffer",
    "select.epoll": "refusals.connection",
    "select.poll": "refusals.connection",
    "socket.socket": "refusals.connection",
    "sqlite3.Connection": "database.connection",
    "sqlite3.Cursor": "database.cursor",
    "sqlite3.Row": "database.row",
    "ssl.SSLSocket": "refusals.connection",
    "subprocess.Popen": "refusals.process",
    "sys.flags": "names.table_of_sys",
    "sys.float_info": "names.table_of_sys",
    "sys.hash_info": "names.table_of_sys",
    "sys.int_info": "names.table_of_sys",
    "sys.thread_info": "names.table_of_sys",
    "sys.version_info": "names.table_of_sys",
    "tempfile._TemporaryFileWrapper": "files.temporary",
    "threading.Barrier": "locks.barrier",
    "threading.BoundedSemaphore": "locks.bounded_semaphore",
    "threading.Condition": "locks.condition",
    "threading._RLock": "locks.python_rlock",
    "torch.cuda._utils._CudaKernel": "torch_handles.compiled",
    "torch.cuda._utils._CudaModule": "torch_handles.compiled",
    "torch.nn.parameter.Parameter": "devices.torch_tensor",
    "triton.compiler.compiler.CompiledKernel": "triton_kernels.compiled_kernel",
    "triton.runtime.autotuner.Autotuner": "triton_kernels.autotuner",
    "triton.runtime.autotuner.Heuristics": "triton_kernels.heuristics",
    "triton.runtime.interpreter.InterpretedFunction": "triton_kernels.interpreted_function",
    "triton.runtime.jit.ConstexprFunction": "triton_kernels.constexpr_function",
    "weakref.CallableProxyType": "weak.proxy",
    "weakref.ProxyType": "weak.proxy",
    "weakref.ReferenceType": "weak.ref",
    "weakref.WeakKeyDictionary": "weak.weak_key_dictionary",
    "weakref.WeakMethod": "weak.weak_method",
    "weakref.WeakValueDictionary": "weak.weak_value_dictionary",
    "weakref.finalize": "weak.finalizer",
    "zlib.Compress": "refusals.compressor",
    "zlib.Decompress": "refusals.compressor",
}

# The same for types and their subclasses, unless these say themselves how they
# are pickled.
_BASES = {
    "_ctypes.CFuncPtr": "foreign.function",
    "_ctypes.PyCStructType": "foreign.structure_type",
    "_ctypes.UnionType": "foreign.structure_type",
    "_io.TextIOWrapper": "files.standard_only",
    "_thread._local": "threads.local",
    "_weakrefset.WeakSet": "weak.container_subclass",
    "asyncio.events.AbstractEventLoop": "refusals.event_loop",
    "cupy._core.raw.RawKernel": "cupy_kernels.raw_kernel",
    "cupy.cuda.stream.Event": "cupy_handles.event",
    "cupy.cuda.stream._BaseStream": "cupy_handles.stream",
    "logging.Handler": "logs.handler",
    "numba.cuda.cudadrv.driver.Event": "numba_handles.event",
    "numba.cuda.cudadrv.driver.MemoryPointer": "numba_handles.memory",
    "numba.cuda.cudadrv.driver.OwnedPointer": "numba_handles.memory",
    "numba.cuda.cudadrv.driver.PinnedMemory": "numba_handles.memory",
    "numba.cuda.cudadrv.driver.Stream": "numba_handles.stream",
    "numpy.ndarray": "arrays.subclass",
    "pyarrow.lib.Array": "columnar.arrow_array",
    "threading.Thread": "threads.thread",
    "torch.Event": "torch_handles.event",
    "torch.Stream": "torch_handles.device_stream",
    "torch.Tensor": "devices.torch_tensor",
    "torch.cuda.graphs.CUDAGraph": "torch_handles.graph",
    "torch.cuda.memory.MemPool": "torch_handles.pool",
    "torch.cuda.streams.Event": "torch_handles.event",
    "torch.cuda.streams.Stream": "torch_handles.stream",
    "triton.runtime.jit.JITFunction": "triton_kernels.jit_function",
    "weakref.ReferenceType": "weak.ref_subclass",
    "weakref.WeakKeyDictionary": "weak.container_subclass",
    "weakref.WeakValueDictionary": "weak.container_subclass",
}

# What says that it is an array on a device, or may be one.
_INTERFACES = ("__cuda_array_interface__", "__dlpack_device__")
_INTERFACE = "interfaces.array_interface"

# Exceptions honour their own methods for pickling in the reducer.
_EXCEPTION = "exceptions.exception"

_module_of = type.__dict__["__module__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__


def find(cls: type) -> Callable[[Any, Any], Any] | None:
    """The reducer of the objects whose exact type is `cls`, or None.

    It is called with the object and the policy of the dump, and returns what
    `__reduce_ex__(4)` may return, or NotImplemented: as if there were no reducer.
    The answer is the same for as long as the class stays as it is. Functions,
    classes written in Python, code, modules and the like are not covered.
    """
    where = _EXACT.get(_key(cls))
    if where is not None and _is_original(cls):
        return _load(where)
    if issubclass(cls, BaseException):
        return _load(_EXCEPTION)
    for base in _mro_of(cls)[:-1]:
        where = _BASES.get(_key(base))
        if where is not None and _is_original(base):
            return None if _reduces_itself(cls, base) else _load(where)
    if any(name in vars(base) for base in _mro_of(cls) for name in _INTERFACES):
        return None if _says_how(cls) else _load(_INTERFACE)
    return None


def _key(cls: type) -> str:
    try:
        return f"{_module_of(cls)}.{_qualname_of(cls)}"
    except AttributeError:
        # Made where no module has a name.
        return ""


def _is_original(cls: type) -> bool:
    """Whether no other class has the name that this one claims."""
    found: Any = sys.modules.get(_module_of(cls))
    for name in _qualname_of(cls).split("."):
        found = getattr(found, name, cls)
    return found is cls or not isinstance(found, type)


def _reduces_itself(cls: type, base: type) -> bool:
    """Whether a class has other methods for pickling than those of its base."""
    return any(
        getattr(cls, name, None) is not getattr(base, name, None)
        for name in ("__reduce_ex__", "__reduce__", "__getstate__")
    )


def _says_how(cls: type) -> bool:
    """Whether a class has methods for pickling of its own."""
    names = ("__getnewargs__", "__getnewargs_ex__")
    return _reduces_itself(cls, object) or any(hasattr(cls, name) for name in names)


def _load(where: str) -> Callable[[Any, Any], Any]:
    module, _, name = where.partition(".")
    reducer: Callable[[Any, Any], Any] = getattr(
        importlib.import_module(f"{__name__}.{module}"), name
    )
    return reducer
