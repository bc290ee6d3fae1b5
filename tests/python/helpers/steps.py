"""Generators and coroutines. Importable where ferropickle is not installed."""


def generate(a, *rest, b=0, **more):
    def inner():
        return a and "closure"

    yield a
    yield rest
    yield b
    yield more
    yield inner()


class Counter:
    def __init__(self, end):
        self.end = end

    def up(self):
        yield from range(self.end)

    @classmethod
    def named(cls, name):
        yield cls.__name__
        yield name


async def add(a, b):
    return a + b


async def count_async(end):
    for i in range(end):
        yield i
