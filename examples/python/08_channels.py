"""Channels and arenas: large data from process to process, copied once."""

import array
import multiprocessing
import tempfile
import threading
from pathlib import Path

import ferropickle as fp


def doubles(channel: fp.Channel) -> None:
    """Answer every array with twice its values, until the other end is closed."""
    with channel:
        for numbers in channel:
            channel.send(array.array("d", (2 * x for x in numbers)))


def main() -> None:
    # A pair of ends; one goes to a child as an argument.
    here, there = fp.Channel.pair(capacity=16 << 20)
    child = multiprocessing.get_context("spawn").Process(target=doubles, args=(there,))
    child.start()
    there.close()  # the child has it: only so does it see that the other end is closed
    with here:
        here.send(array.array("d", range(10_000)))
        assert here.recv(timeout=60)[-1] == 2 * 9_999
        assert not here.poll()
    child.join()
    assert child.exitcode == 0

    # Programs that find each other by an address: a unix socket here, (host, port) for TCP.
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "socket")
        with fp.Channel.listen(address, authkey=b"a secret") as listener:
            clerk = threading.Thread(target=lambda: listener.accept().send(lambda x: x + 1))
            clerk.start()
            with fp.Channel.connect(address, authkey=b"a secret") as channel:
                assert channel.recv()(41) == 42
                try:
                    channel.recv()
                except EOFError as error:
                    print(error)
            clerk.join()

    # The arena beneath: messages of a few bytes, to be sent in any way there is.
    with fp.Arena(16 << 20) as arena:
        message = arena.pack({"table": fp.PickleBuffer(bytearray(5_000_000))})
        print(f"a message of {len(message)} bytes, {arena.used} bytes in shared memory")
        with fp.Arena.attach(arena.fd) as attached:  # as the receiver does with the descriptor
            table = memoryview(attached.unpack(message)["table"])
            table[0] = 1  # nobody else has this memory
            del table
        assert arena.used == 0
        # Without room it goes in the message itself.
        assert len(arena.pack({"table": fp.PickleBuffer(bytearray(20_000_000))})) > 20_000_000


if __name__ == "__main__":
    main()
