"""Memory views: linked to their object, or over a copy of what they show."""

from __future__ import annotations

import sys
from _pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


class _Bytes:
    """A view of what another view shows, out of band from protocol 5 on."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol >= 5:
            return memoryview, (PickleBuffer(self._view),)
        content = bytes(self._view)
        return memoryview, (content if self._view.readonly else bytearray(content),)


def memory_view(obj: memoryview, policy: Any) -> ReduceValue:
    try:
        exporter = obj.obj
    except ValueError:
        # The state of a released view is that it is released.
        return after(memoryview, (b"",), [Call(memoryview.release, obj)])
    if obj.ndim == 0 or (obj.nbytes == 0 and obj.ndim > 1):
        refuse(obj, "it has no dimensions, or no items in several; pickle its object")
    if obj.c_contiguous and _holds_itself(exporter):
        base = memoryview(exporter)
        # The same bytes in the same order, if as many: then shared with the object.
        if base.c_contiguous and base.nbytes == obj.nbytes:
            return _shaped(Call(memoryview, exporter), base, obj)
    if obj.c_contiguous and obj.nbytes:
        flat = obj.cast("B")
    else:
        flat = memoryview(obj.tobytes() if obj.readonly else bytearray(obj.tobytes()))
    return _shaped(Call(memoryview.cast, _Bytes(flat), "B"), flat, obj)


def _holds_itself(exporter: object) -> bool:
    """Whether the object that exports a view can be pickled in its place."""
    if type(exporter) in (bytes, bytearray):
        return True
    for module, name in (("array", "array"), ("numpy", "ndarray")):
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and type(exporter) is known:
            return True
    return False


def _shaped(view: Call, now: memoryview, wanted: memoryview) -> ReduceValue:
    """A call's view with the format and shape of another, as `memoryview.cast` gives them."""
    steps: list[tuple[Any, ...]] = []
    if (now.format, now.shape) != (wanted.format, wanted.shape):
        if now.format != "B" or now.ndim != 1:
            steps.append((memoryview.cast, "B"))
        if wanted.format != "B" or wanted.ndim != 1:
            shape = (list(wanted.shape or ()),) if wanted.ndim != 1 else ()
            steps.append((memoryview.cast, wanted.format, *shape))
            try:
                memoryview(bytes(wanted.nbytes)).cast(wanted.format, *shape)  # type: ignore[call-overload]
            except (TypeError, ValueError):
                refuse(
                    wanted, f"no view of format {wanted.format!r} can be made; pickle its object"
                )
    if wanted.readonly and not now.readonly:
        steps.append((memoryview.toreadonly,))
    for function, *args in steps:
        view = Call(function, view, *args)
    return view.__reduce__()
