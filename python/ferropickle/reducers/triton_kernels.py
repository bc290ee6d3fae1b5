"""Triton: functions of `triton.jit`, autotuners, heuristics, compiled kernels.

Made again by the library's own decorators from the function and its text. What a
device has compiled, and the handles of it, stay behind.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute, call_result
from ferropickle.reducers._kernels import named, with_text
from ferropickle.reducers._once import once

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# From a kernel to the one that it wraps.
_LINKS = ("fn",)

_JIT_OPTIONS = {
    "version": "version",
    "do_not_specialize": "do_not_specialize",
    "do_not_specialize_on_alignment": "do_not_specialize_on_alignment",
    "debug": "debug",
    "noinline": "noinline",
    "repr": "_repr",
    "launch_metadata": "launch_metadata",
}


def jit_function(obj: Any, policy: Any) -> ReduceValue:
    """A function of `triton.jit`, or of Gluon: by its name, else from its text."""
    options = {
        name: getattr(obj, kept)
        for name, kept in _JIT_OPTIONS.items()
        if getattr(obj, kept, None) not in (None, [])
    }
    return _decorated(obj, policy, _decorator(obj), options)


def interpreted_function(obj: Any, policy: Any) -> ReduceValue:
    """What `triton.jit` gives where kernels are interpreted."""
    return _decorated(obj, policy, sys.modules["triton"].jit, _given(obj.kwargs))


def constexpr_function(obj: Any, policy: Any) -> ReduceValue:
    """A function of `triton.constexpr_function`."""
    return _decorated(obj, policy, sys.modules["triton"].constexpr_function, {})


def _decorator(obj: Any) -> Any:
    if getattr(obj, "is_gluon", bool)():
        return sys.modules["triton.experimental.gluon"].jit
    return sys.modules["triton"].jit


def _decorated(obj: Any, policy: Any, decorator: Any, options: dict[str, Any]) -> ReduceValue:
    known = named(obj, obj.fn, policy, _LINKS)
    if known is not None:
        return known
    decorate = functools.partial(decorator, **options) if options else decorator
    made = Call(decorate, with_text(obj.fn, _source(obj)))
    hooks = getattr(obj, "pre_run_hooks", None)
    if hooks:
        made.then(Call(setattr, made, "pre_run_hooks", hooks))
    return once(obj, made, policy)


def _source(obj: Any) -> tuple[list[str], int] | None:
    """The lines that Triton has read, and the number of the first."""
    lines = getattr(obj, "raw_src", None)
    return None if lines is None else (list(lines), obj.starting_line_number)


def autotuner(obj: Any, policy: Any) -> ReduceValue:
    """An autotuner, with what it has found out: results that the receiver has are kept."""
    known = named(obj, obj.base_fn, policy, _LINKS)
    if known is not None:
        return known
    prune = {"perf_model": obj.perf_model, "early_config_prune": obj.early_config_prune}
    prune = _given(prune)
    if obj.configs_top_k != 1.0:
        prune["top_k"] = obj.configs_top_k
    options = _given(
        {
            "configs": obj.configs,
            "key": obj.keys,
            "prune_configs_by": prune or None,
            "reset_to_zero": obj.reset_to_zero or None,
            "restore_value": obj.restore_value or None,
            "pre_hook": obj.pre_hook if obj.user_defined_pre_hook else None,
            "post_hook": obj.post_hook if obj.user_defined_post_hook else None,
            "warmup": obj.num_warmups,
            "rep": obj.num_reps,
            "use_cuda_graph": obj.use_cuda_graph or None,
            "cache_results": getattr(obj, "cache_results", None) or None,
            "do_bench": None if _is_deprecated(obj) else obj._do_bench,
        }
    )
    decorate = Call(functools.partial(sys.modules["triton"].autotune, **options))
    function, args = once(obj, call_result(decorate, obj.fn), policy)
    if not obj.cache:
        return function, args
    found = attribute(obj, "cache")
    merged = Call(operator.or_, dict(obj.cache), found)
    return after(function, args, [Call(dict.update, found, merged)])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_deprecated(obj: Any) -> bool:
    """Whether the autotuner has made its benchmark itself, from arguments of old."""
    return obj.num_warmups is not None or obj.num_reps is not None or obj.use_cuda_graph


def heuristics(obj: Any, policy: Any) -> ReduceValue:
    """A kernel with heuristics."""
    base = obj.fn
    while hasattr(base, "fn"):
        base = base.fn
    known = named(obj, base, policy, _LINKS)
    if known is not None:
        return known
    decorate = Call(sys.modules["triton"].heuristics, obj.values)
    return once(obj, call_result(decorate, obj.fn), policy)


# Of a compiled kernel: what the driver gave, and files of this machine.
_OF_THE_PROCESS: dict[str, Any] = {
    "module": None,
    "function": None,
    "_run": None,
    "_module_pid": None,
    "metadata_group": {},
}
_TOLD_BY_THE_DRIVER = ("n_regs", "n_spills", "n_max_threads")


def compiled_kernel(obj: Any, policy: Any) -> ReduceValue:
    """A compiled kernel: its code in every form, loaded again at its first launch."""
    state = {name: value for name, value in vars(obj).items() if name not in _TOLD_BY_THE_DRIVER}
    state.update(_OF_THE_PROCESS)
    made = Call(object.__new__, type(obj))
    made.then(Call(dict.update, attribute(made, "__dict__"), state))
    return once(obj, made, policy)
