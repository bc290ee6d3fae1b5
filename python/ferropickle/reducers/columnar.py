"""Columns of Arrow and Polars, through buffers that can leave the stream.

PyArrow's own reductions hand buffers out already, but a slice's are those of
all it was cut from. Polars writes its columns as bytes inside the stream.
"""

from __future__ import annotations

import io
import operator
import sys
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# A slice is copied where this much more would go with it than it holds.
_LEAST_WASTE = 4096


def arrow_array(obj: Any, policy: Any) -> ReduceValue:
    """An array of PyArrow: if it is a small part of its buffers, a copy with buffers of its own."""
    pyarrow = sys.modules["pyarrow"]
    if type(obj) is pyarrow.ExtensionArray or obj.type.num_buffers == 0:
        return NotImplemented
    whole = obj.get_total_buffer_size()
    if whole < 2 * obj.nbytes + _LEAST_WASTE:
        return NotImplemented
    # Of one array `concat_arrays` gives that array.
    copy = pyarrow.concat_arrays([obj, obj.slice(0, 0)])
    return copy.__reduce_ex__(5) if copy.get_total_buffer_size() < whole else NotImplemented


def polars_frame(obj: Any, policy: Any) -> ReduceValue:
    """A DataFrame of Polars: what Arrow's format has of it, as one buffer."""
    polars = sys.modules["polars"]
    if "Object" in repr(obj.schema):
        # References: Polars refuses them itself, but not in this format.
        return NotImplemented
    file = io.BytesIO()
    try:
        obj.write_ipc_stream(file, compat_level=polars.CompatLevel.newest())
    except (AttributeError, TypeError, polars.exceptions.PolarsError):
        # An older version, or a type that the format lacks: as Polars has it.
        return NotImplemented
    return polars.read_ipc_stream, (Call(io.BytesIO, PickleBuffer(file.getbuffer())),)


def polars_series(obj: Any, policy: Any) -> ReduceValue:
    """A Series of Polars, as the one column of a DataFrame."""
    frame = polars_frame(obj.to_frame(), policy)
    if frame is NotImplemented:
        return NotImplemented
    return operator.methodcaller("to_series"), (Call(*_flat(frame)),)


def _flat(reduced: tuple[Any, tuple[Any, ...]]) -> tuple[Any, ...]:
    function, args = reduced
    return (function, *args)
