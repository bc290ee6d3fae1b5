"""Numba for CUDA: kernels, device functions, what vectorize makes, configured launches.

A kernel that a module has under its name goes by name. Any other is made again by
`numba.cuda.jit` from its function and options, and compiled again; under
`NUMBA_ENABLE_CUDASIM=1` that gives a kernel of Numba's simulator.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, call_result, refuse
from ferropickle.reducers._kernels import named
from ferropickle.reducers._once import once
from ferropickle.reducers.numba_handles import of_launch

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# What `numba.cuda.jit` does when it is not told.
_DEFAULTS = {
    "debug": False,
    "device": False,
    "extensions": [],
    "fastmath": False,
    "forceinline": False,
    "inline": "never",
    "launch_bounds": None,
    "lineinfo": False,
    "link": (),
    "opt": True,
    "shared_memory_carveout": None,
}


def dispatcher(obj: Any, policy: Any) -> ReduceValue:
    """A function of `numba.cuda.jit`; one with signatures is compiled for them when loaded."""
    known = named(obj, obj.py_func, policy)
    if known is not None:
        return known
    options = {
        name: value
        for name, value in obj.targetoptions.items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }
    # True where it can be, unless the user wants otherwise.
    if options.get("lto", True) or options.get("debug"):
        options.pop("lto", None)
    if "link" in options:
        options["link"] = tuple(_linked(part) for part in options["link"])
    jit = sys.modules["numba.cuda"].jit
    if obj._can_compile:
        return once(obj, Call(_with(jit, options), obj.py_func), policy)
    signatures = list(obj.overloads)
    given = signatures[0] if obj._specialized and len(signatures) == 1 else signatures
    made = call_result(Call(_with(jit, options), given), obj.py_func)
    return once(obj, made, policy)


def _with(function: Any, options: dict[str, Any]) -> Any:
    return functools.partial(function, **options) if options else function


def _linked(part: Any) -> Any:
    """What is linked to a kernel: a file by what is in it."""
    if isinstance(part, str):
        return sys.modules["numba.cuda.cudadrv.linkable_code"].LinkableCode.from_path(part)
    return part


def simulated(obj: Any, policy: Any) -> ReduceValue:
    """A kernel of Numba's simulator."""
    known = named(obj, obj.fn, policy)
    if known is not None:
        return known
    options = {"device": obj._device, "fastmath": obj._fastmath}
    options = {name: True for name, value in options.items() if value}
    made = Call(_with(sys.modules["numba.cuda"].jit, options), obj.fn)
    return once(obj, made, policy)


def launch(obj: Any, policy: Any) -> ReduceValue:
    """A kernel with its grid: configured again, on a default stream."""
    if obj.pre_launch_callbacks:
        refuse(obj, "it has callbacks; pickle the kernel and configure it where it is loaded")
    of = of_launch(obj, obj.stream)
    return operator.getitem, (obj.dispatcher, (obj.griddim, obj.blockdim, of, obj.sharedmem))


def for_all(obj: Any, policy: Any) -> ReduceValue:
    """What `forall` of a kernel gives: asked for again, on a default stream."""
    of = of_launch(obj, obj.stream)
    call = operator.methodcaller("forall", obj.ntasks, obj.thread_per_block, of, obj.sharedmem)
    return call, (obj.dispatcher,)


def vectorized(obj: Any, policy: Any) -> ReduceValue:
    """What `numba.vectorize(target="cuda")` gives, compiled again when it is loaded."""
    cores = [
        kernel.py_func.__globals__.get("__core__") for _result, kernel in obj.functions.values()
    ]
    functions = {getattr(core, "py_func", None) for core in cores}
    if len(functions) != 1 or None in functions:
        refuse(obj, "its function is not known; pickle that, and vectorize it where it is loaded")
    (function,) = functions
    known = named(obj, function, policy)
    if known is not None:
        return known
    signatures = [core.overloads[args].signature for core in cores for args in core.overloads]
    decorate = functools.partial(sys.modules["numba"].vectorize, signatures, target="cuda")
    return once(obj, call_result(Call(decorate), function), policy)


def generalized(obj: Any, policy: Any) -> ReduceValue:
    refuse(obj, "it is compiled code; pickle its function, and guvectorize it where it is loaded")
