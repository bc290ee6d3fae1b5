"""What people write by hand for large arrays: pickle's buffers through shared memory kept warm."""

from __future__ import annotations

import multiprocessing
import pickle
from multiprocessing.shared_memory import SharedMemory
from typing import Any

CAPACITY = 320 << 20  # more than any message has
ALIGN = 64


class SharedMemoryEnd:
    """An end of a pipe for streams, beside which buffers lie in memory that both ends have mapped.

    One message at a time: the next may be sent when the other end has answered, and by then it must
    have let go of the arrays.
    """

    def __init__(self, pipe: Any, memory: SharedMemory, owner: bool) -> None:
        self._pipe = pipe
        self._memory = memory
        self._owner = owner

    def send(self, value: Any) -> None:
        """Pickle, copy the buffers, send the stream and their places."""
        buffers: list[pickle.PickleBuffer] = []
        stream = pickle.dumps(value, 5, buffer_callback=buffers.append)
        places = []
        at = 0
        for buffer in buffers:
            raw = buffer.raw()
            self._memory.buf[at : at + raw.nbytes] = raw
            places.append((at, raw.nbytes))
            at += -(-raw.nbytes // ALIGN) * ALIGN
        self._pipe.send((stream, places))

    def recv(self) -> Any:
        """The next object; its arrays are views of the shared memory."""
        stream, places = self._pipe.recv()
        memory = self._memory.buf
        return pickle.loads(stream, buffers=[memory[at : at + size] for at, size in places])

    def close(self) -> None:
        """Close the pipe; the end that made the memory gives it back."""
        self._pipe.close()
        if self._owner:
            self._memory.unlink()


def pair() -> tuple[SharedMemoryEnd, SharedMemoryEnd]:
    """Both ends."""
    here, there = multiprocessing.Pipe()
    memory = SharedMemory(create=True, size=CAPACITY)
    return SharedMemoryEnd(here, memory, True), SharedMemoryEnd(there, memory, False)
