"""Arrays on devices between processes: channels, queues, pools; by the host's memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import ferropickle as fp
from ferropickle import multiprocessing as fmp
from helpers.cuda import Peer, on_driver
from helpers.producers import Placed, add_one, host, put_doubled

BENCH = Path(__file__).resolve().parents[4] / "benches" / "python" / "devices.py"


def base():
    return np.arange(1 << 16, dtype="<f4").reshape(256, 256)


def echo(d, other):
    """In the other process: answer each object with its arrays and what NumPy makes of them."""
    d.context()
    channel = fp.Channel.connect(other.receive().decode())
    with channel:
        for obj in channel:
            channel.send({"arrays": obj, "seen": [host(array) for array in obj]})


@on_driver()
def test_a_channel_takes_them_there_and_back(d):
    d.context()
    path = f"/tmp/fp-test-{os.getpid()}"
    placed = Placed(d, base())
    views = [base(), base()[::2], base()[:4, :4]]
    sent = [placed.produce(), placed.produce(placed.base[::2]), placed.produce(placed.base[:4, :4])]
    with fp.Channel.listen(path) as listener, Peer(echo) as peer:
        peer.send(path.encode())
        with listener.accept(timeout=60) as channel:
            for _ in range(3):
                channel.send(sent)
                answer = channel.recv(timeout=60)
                for array, seen, expected in zip(answer["arrays"], answer["seen"], views):
                    np.testing.assert_array_equal(seen, expected)
                    np.testing.assert_array_equal(array.get(), expected)


@on_driver(simulated=True)
def test_the_benchmarks_run(d):
    command = [sys.executable, BENCH, "--small", "--rounds", "1"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert out.returncode == 0, out.stderr
    assert "1,000 x 4 KiB, dumps" in out.stdout


@on_driver()
def test_queues_and_pools_take_them(d):
    d.context()
    context = fmp.get_context("spawn")
    array = Placed(d, base()).produce()
    queue = context.Queue()
    process = context.Process(target=put_doubled, args=(queue, array))
    process.start()
    np.testing.assert_array_equal(queue.get(timeout=60).get(), base() * 2)
    process.join(60)
    with context.Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(add_one, (array,)).get(), base() + 1)
