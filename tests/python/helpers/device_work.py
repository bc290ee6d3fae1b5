"""What other processes do with arrays on devices that reach them by queues, pipes and pools."""

import functools
import gc
import os
import signal

import numpy as np

import ferropickle as fp
from ferropickle import multiprocessing as fmp
from helpers.cuda import Driver
from helpers.producers import Placed, host


@functools.cache
def driver():
    """The driver, with a context current in this process."""
    d = Driver()
    d.cuInit(0)
    d.context()
    return d


def copies(d=None):
    """Which copies there were since the last call: how many and of how many bytes, by kind."""
    d = d or driver()
    found = d.report()["copies"]
    d.control("reset")
    return found


@functools.cache
def placed(n):
    """The array of `arange` of this length, on the device."""
    return Placed(driver(), np.arange(n, dtype="<f4"))


def base(n):
    return placed(n).base


def counted(array):
    """Which copies it took to get an array, and what is in it."""
    found = copies()
    data = host(array).tobytes()
    copies()
    return found, data


def produced(n):
    """An array on the device, and which copies it took to send the one before."""
    made = placed(n).produce()
    return copies(), made


def answer(questions, answers):
    """Answer each array with what `counted` gives, until None comes."""
    driver()
    while (array := questions.get()) is not None:
        answers.put(counted(array))


def answer_by_pipe(pipe):
    driver()
    while (array := pipe.recv()) is not None:
        pipe.send(counted(array))


def same(array):
    """The elements of an array on the device anew."""
    return Placed(driver(), host(array).copy()).produce()


def answer_from_the_host(questions, answers):
    """Answer each array, which comes as one of NumPy's, with its class and what is in it."""
    with fp.policy(on_missing="host"):
        while (array := questions.get()) is not None:
            answers.put((type(array).__name__, array.tobytes()))


def take(questions, told):
    """Take as many arrays as is told, keep the last, and say so; end at 0."""
    driver()
    kept = None
    while number := told.recv():
        for _ in range(number):
            kept = questions.get()
        told.send(kept is not None)


def put(questions, told):
    """Put arrays of the lengths that are told, to stay on their device, and say so; end at 0."""
    driver()
    while length := told.recv():
        with fp.policy(device="auto"):
            questions.put(placed(length).produce())
        told.send(length)


def die(array):
    """End at once, with an array taken."""
    os.kill(os.getpid(), signal.SIGKILL)


def left(d):
    """Descriptors, bytes in use on the device, and what is mapped or made to be."""
    gc.collect()
    report = d.report()
    live = [report["live"].get(kind, 0) for kind in ("mapped", "handles", "reservations")]
    return len(os.listdir("/proc/self/fd")), report["bytes"], live


class Reader:
    """A process that answers what is put into a queue, as a context manager.

    variables: of its environment; None takes one away.
    """

    def __init__(self, questions, function=None, method="spawn", **variables):
        context = fmp.get_context(method)
        function = function or answer
        self.questions, self.answers = questions, context.SimpleQueue()
        self.process = context.Process(target=function, args=(questions, self.answers))
        self.variables = variables

    def __enter__(self):
        kept = dict(os.environ)
        for name, value in self.variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self.process.start()
        os.environ.clear()
        os.environ.update(kept)
        return self

    def ask(self, array):
        """Put an array, to stay on its device if it can; the answer."""
        with fp.policy(device="auto"):
            self.questions.put(array)
        while not self.answers._reader.poll(0.2):
            assert self.process.is_alive()
        return self.answers.get()

    def __exit__(self, *raised):
        self.questions.put(None)
        self.process.join(60)
        assert self.process.exitcode == 0 or raised[0]


def place(n):
    """The array of `arange` of this length, on the device."""
    return placed(n).produce()
