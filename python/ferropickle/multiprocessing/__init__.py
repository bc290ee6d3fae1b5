"""`multiprocessing`, for any object: lambdas, closures, local classes and arrays.

The names are those of the standard library's package, and so is what they do::

    import ferropickle.multiprocessing as mp

    with mp.Pool() as pool:
        print(pool.map(lambda x: x * x, range(10)))

What differs: everything that goes from process to process is pickled by
ferropickle; a pool whose worker dies raises `WorkerLostError` for the task
that is lost and goes on; exceptions come back with their causes and notes.
Nothing of the standard library is changed, and its own processes, locks and
pools can be used beside these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing._errors import WorkerLostError
from ferropickle.multiprocessing.context import default_context as _default
from ferropickle.multiprocessing.process import Process

if TYPE_CHECKING:
    from ferropickle.multiprocessing.executor import ProcessPoolExecutor

# The methods of the default context, as the standard library's package has them.
Array = _default.Array
AuthenticationError = _default.AuthenticationError
Barrier = _default.Barrier
BoundedSemaphore = _default.BoundedSemaphore
BufferTooShort = _default.BufferTooShort
Condition = _default.Condition
Event = _default.Event
JoinableQueue = _default.JoinableQueue
Lock = _default.Lock
Manager = _default.Manager
Pipe = _default.Pipe
Pool = _default.Pool
ProcessError = _default.ProcessError
Queue = _default.Queue
RLock = _default.RLock
RawArray = _default.RawArray
RawValue = _default.RawValue
Semaphore = _default.Semaphore
SimpleQueue = _default.SimpleQueue
TimeoutError = _default.TimeoutError
Value = _default.Value
active_children = _default.active_children
allow_connection_pickling = _default.allow_connection_pickling
cpu_count = _default.cpu_count
current_process = _default.current_process
freeze_support = _default.freeze_support
get_all_start_methods = _default.get_all_start_methods
get_context = _default.get_context
get_logger = _default.get_logger
get_start_method = _default.get_start_method
log_to_stderr = _default.log_to_stderr
parent_process = _default.parent_process
reducer = _default.reducer
set_executable = _default.set_executable
set_forkserver_preload = _default.set_forkserver_preload
set_start_method = _default.set_start_method

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "ProcessPoolExecutor",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "WorkerLostError",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]


def __getattr__(name: str) -> Any:
    if name == "ProcessPoolExecutor":  # imports concurrent.futures
        from ferropickle.multiprocessing.executor import ProcessPoolExecutor

        return ProcessPoolExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
