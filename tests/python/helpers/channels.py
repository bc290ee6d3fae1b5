"""What children of the channel tests run: importable there by name."""

import os
import signal
import time

import numpy as np


def echo(channel):
    """Send back what comes, until the other end is closed."""
    with channel:
        for obj in channel:
            channel.send(obj)


def negate(channel, table):
    """Answer arrays with the table's values less theirs; the arrays must lie where they came."""
    with channel:
        for array in channel:
            assert not array.flags.owndata
            channel.send(table - array)


def die():
    """End as a crash would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def die_before_sending(channel, arena):
    """Fill memory, then die with it."""
    arena.pack(np.ones(100_000))
    die()


def die_after_sending(channel, arena):
    """Die with a message on its way."""
    channel.send(np.full(100_000, 3.0))
    die()


def die_holding(channel, arena):
    """Die with an array that came."""
    array = channel.recv()
    assert array.sum() == array.size
    channel.send("got it")
    die()


def die_receiving(channel, arena):
    """Die when the descriptor says that something came, before it is received."""
    assert channel.poll(30)
    die()


def work_until_killed(channel, arena):
    """Take whatever comes and send it back, for ever."""
    held = []
    while True:
        array = channel.recv()
        held = [*held[-3:], array]
        channel.send([array, array.sum()])


def send_more_than_fits(channel):
    """Send a message that the socket cannot hold: the call waits until the other end reads."""
    channel.send("now")
    channel.send(np.ones(50_000_000, np.uint8))
