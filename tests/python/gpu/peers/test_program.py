"""The source of cuda.core's programs is read from memory: only if they are as they are known."""

import sys

from helpers.travel import travels


@travels("cuda.core")
def test_another_layout_is_refused():
    import builtins
    import io
    import pickle

    from cuda.core import Program, ProgramOptions

    made = Program("source", "c++", ProgramOptions(arch="sm_90"))
    text = None
    if "ferropickle" in sys.modules:
        import ferropickle as fp

        real = builtins.open

        def other(path, *args):
            if not str(path).endswith("_program.pxd"):
                return real(path, *args)
            with real(path) as file:
                return io.StringIO(
                    file.read().replace("bytes _code ", "size_t _size\n bytes _code ")
                )

        builtins.open = other
        try:
            fp.dumps([made])
        except pickle.PicklingError as error:
            text = str(error)
        builtins.open = real
    text = yield text
    assert text.startswith("obj[0]: cannot pickle 'Program' object: its source cannot be read"), (
        text
    )
