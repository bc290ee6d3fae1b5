"""What belongs to a process is refused when it is dumped, and the error says what to do."""

import asyncio
import bz2
import lzma
import mmap
import pickle
import select
import socket
import subprocess
import sys
import zlib

import pytest

from helpers import steps
from helpers.stock import arrives, dumps

MAKERS = {
    "socket": (lambda: socket.socket(), "connect again"),
    "epoll": (lambda: select.epoll(), "connect again"),
    "mmap": (lambda: mmap.mmap(-1, 16), "name of the file"),
    "zlib": (zlib.compressobj, "compression"),
    "zlib back": (zlib.decompressobj, "compression"),
    "bz2": (bz2.BZ2Compressor, "compression"),
    "lzma": (lzma.LZMADecompressor, "compression"),
    "process": (lambda: subprocess.Popen([sys.executable, "-c", ""]), "return code"),
    "loop": (asyncio.new_event_loop, "pickle the results"),
    "frame": (lambda: sys._getframe(), "pickle a traceback"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_refusals(name):
    make, message = MAKERS[name]
    obj = make()
    try:
        with pytest.raises(pickle.PicklingError, match=message):
            dumps([obj])
    finally:
        if name == "process":
            obj.wait()
        elif hasattr(obj, "close"):
            obj.close()


def test_a_refusal_is_also_the_error_of_the_standard_library():
    generator = steps.generate(1)
    next(generator)
    with pytest.raises(TypeError, match="cannot pickle 'generator' object") as caught:
        dumps(generator)
    assert isinstance(caught.value, pickle.PicklingError)
    arrives(caught.value, "assert type(obj) is pickle.PicklingError and 'generator' in str(obj)")


def test_futures():
    async def main():
        with pytest.raises(pickle.PicklingError, match="pickle the results"):
            dumps(asyncio.current_task())
        with pytest.raises(pickle.PicklingError, match="pickle the results"):
            dumps(asyncio.get_running_loop().create_future())

    asyncio.run(main())


def test_a_generator_before_its_first_step():
    generator = steps.generate(1, 2, 3, b=4, more=5)
    arrives(generator, "assert list(obj) == [1, (2, 3), 4, {'more': 5}, 'closure']")
    assert list(generator) == [1, (2, 3), 4, {"more": 5}, "closure"]


def test_a_generator_of_a_method():
    arrives(steps.Counter(3).up(), "assert list(obj) == [0, 1, 2]")
    arrives(steps.Counter.named("x"), "assert list(obj) == ['Counter', 'x']")


def test_a_generator_after_its_last_step():
    generator = steps.generate(1)
    list(generator)
    arrives(generator, "assert type(obj).__name__ == 'generator' and list(obj) == []")


def test_a_generator_in_its_midst():
    generator = steps.generate(1)
    next(generator)
    with pytest.raises(pickle.PicklingError, match="a list of its items"):
        dumps(generator)


def test_coroutines():
    coroutine = steps.add(1, b=2)
    arrives(coroutine, "import asyncio; assert asyncio.run(obj) == 3")
    coroutine.close()
    with pytest.raises(pickle.PicklingError, match="midst"):
        dumps(coroutine)


def test_async_generators():
    generator = steps.count_async(2)
    arrives(
        generator,
        """
        import asyncio
        async def main():
            return [x async for x in obj]
        assert asyncio.run(main()) == [0, 1]
        """,
    )

    async def main():
        await generator.__anext__()
        with pytest.raises(pickle.PicklingError, match="midst"):
            dumps(generator)
        await generator.aclose()

    asyncio.run(main())
