"""CuPy: kernels from CUDA source or expressions, fused and compiled functions.

CuPy writes some of them together with memos of what it has compiled, addresses included. Here
they are made again by its own constructors; what they were compiled to stays behind.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, by_name, call_result, found_in_modules
from ferropickle.reducers._kernels import named, with_text
from ferropickle.reducers._once import once

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def raw_kernel(obj: Any, policy: Any) -> ReduceValue:
    """A kernel of CUDA source as CuPy writes it; one of a file with what is in the file.

    Where attributes have been set of it, they go along.
    """
    from ferropickle.kernels import _attributes

    attributes = _attributes.attributes_of(obj)
    if obj.file_path is None and not attributes:
        return NotImplemented
    state = obj.__getstate__()
    if obj.file_path is not None:
        state["file_path"] = _file(obj.file_path)
    if attributes:
        return _attributes.raw_kernel, (state, attributes)
    function, args, *_ = obj.__reduce_ex__(4)
    return function, args, state


def raw_module(obj: Any, policy: Any) -> ReduceValue:
    """A module of CUDA source as CuPy writes it; one of a file with what is in the file."""
    if obj.file_path is None:
        return NotImplemented
    options: dict[str, Any] = {"path": _file(obj.file_path)}
    if obj.enable_cooperative_groups:
        options["enable_cooperative_groups"] = True
    cls: Any = type(obj)
    return functools.partial(cls, **options), ()


def _file(path: str) -> Call:
    from ferropickle.kernels._files import contents, file_with

    return Call(file_with, *contents(path))


def elementwise_kernel(obj: Any, policy: Any) -> ReduceValue:
    """An `ElementwiseKernel`: what it was made with."""
    cls: Any = type(obj)
    return functools.partial(cls, **obj.kwargs), (
        _parameters(obj.in_params, True),
        _parameters(obj.out_params, False),
        obj.operation,
        obj.name,
        obj.reduce_dims,
        obj.preamble,
        obj.no_return,
        obj.return_tuple,
    )


def reduction_kernel(obj: Any, policy: Any) -> ReduceValue:
    """A `ReductionKernel`: what it was made with."""
    return type(obj), (
        _parameters(obj.in_params, True),
        _parameters(obj.out_params, False),
        obj.map_expr,
        obj.reduce_expr,
        obj.post_map_expr,
        obj.identity,
        obj.name,
        obj.reduce_type,
        obj.reduce_dims,
        obj.preamble,
        obj.options,
    )


def _parameters(found: tuple[Any, ...], constant: bool) -> str:
    """Parameters as they are declared."""
    texts = []
    for parameter in found:
        words = ["raw"] if parameter.raw else []
        if constant and not parameter.is_const:
            words.append("_non_const")
        if parameter.dtype is not None:
            words.append(parameter.dtype.name)
        else:
            words.append(parameter.ctype or "CIndexer")
        texts.append(" ".join([*words, parameter.name]))
    return ", ".join(texts)


def ufunc(obj: Any, policy: Any) -> ReduceValue:
    """A ufunc by the name that a module has for it; one that none has without its memo."""
    found = found_in_modules(obj, policy)
    if found is not None:
        return by_name(*found)
    memo = obj._kernel_memo
    function, args, state, *_ = obj.__reduce_ex__(4)
    return function, args, tuple({} if part is memo else part for part in state)


def fusion(obj: Any, policy: Any) -> ReduceValue:
    """A function of `cupy.fuse`."""
    known = named(obj, obj.func, policy)
    if known is not None:
        return known
    fuse = sys.modules["cupy"].fuse
    if obj.name == obj.func.__name__:
        return once(obj, Call(fuse, obj.func), policy)
    decorate = Call(functools.partial(fuse, kernel_name=obj.name))
    return once(obj, call_result(decorate, obj.func), policy)


def jit_kernel(obj: Any, policy: Any) -> ReduceValue:
    """A function of `cupyx.jit.rawkernel`, from its text."""
    known = named(obj, obj._func, policy)
    if known is not None:
        return known
    rawkernel = sys.modules["cupyx.jit"].rawkernel
    decorate = Call(functools.partial(rawkernel, mode=obj._mode, device=obj._device))
    return once(obj, call_result(decorate, with_text(obj._func)), policy)


def vectorized(obj: Any, policy: Any) -> ReduceValue:
    """A function of `cupy.vectorize`, from its text."""
    options = {
        name: getattr(obj, name)
        for name in ("otypes", "excluded", "cache", "signature")
        if getattr(obj, name)
    }
    if obj.__doc__ != obj.pyfunc.__doc__:
        options["doc"] = obj.__doc__
    cls: Any = type(obj)
    made = Call(functools.partial(cls, **options), with_text(obj.pyfunc))
    return once(obj, made, policy)
