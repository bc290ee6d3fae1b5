"""What other processes do with arrays on devices that reach them by queues, pipes and pools."""

import functools

import numpy as np

import ferropickle as fp
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
