"""Does a call leave something behind? Counted over many rounds, with three counters."""

import gc
import os
import sys

# The interpreter's cache of class attributes keeps names alive, a new one wherever a name that a
# stream spells is looked up: thousands of blocks, which are no leak.
clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def blocks():
    """Memory blocks that the interpreter has handed out, after a full collection."""
    for _ in range(2):
        gc.collect()
    clear_caches()
    return sys.getallocatedblocks()


def objects():
    """Objects that the cyclic collector tracks."""
    gc.collect()
    return len(gc.get_objects())


def resident_bytes():
    """The process's resident memory, or None where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def assert_no_growth(call, rounds=200, tries=6):
    """Raise AssertionError if `call` leaks a block or a tracked object per round.

    A leak grows in every try; a cache that fills up grows only in the first.
    """
    for _ in range(20):
        call()
    growth = []
    for _ in range(tries):
        before = blocks(), objects()
        for _ in range(rounds):
            call()
        grown = blocks() - before[0], objects() - before[1]
        if max(grown) < rounds // 2:
            return
        growth.append(grown)
    raise AssertionError(f"grows on every try, (blocks, objects) per {rounds} rounds: {growth}")


def assert_resident_stays(call, rounds, allowance):
    """Raise AssertionError if resident memory grows by more than `allowance` bytes per try."""
    call()
    growth = []
    for _ in range(3):
        before = resident_bytes()
        for _ in range(rounds):
            call()
        growth.append(resident_bytes() - before)
        if growth[-1] <= allowance:
            return
    raise AssertionError(f"resident memory grows on every try, bytes: {growth}")
