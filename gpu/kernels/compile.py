"""Compile the project's kernels to PTX: `python gpu/kernels/compile.py`.

Each `.cu` beside this file, and each in tests/python/gpu/kernels, gives the `.ptx` of its name,
which is committed. The compiler is NVRTC 12.0 (the dependency group "kernels"): its PTX is of
version 8.0, which every driver since 525 reads. No device and no toolkit are needed.
"""

import ctypes
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [ROOT / "gpu" / "kernels", ROOT / "tests" / "python" / "gpu" / "kernels"]
OPTIONS = [b"--gpu-architecture=compute_75", b"--std=c++17"]


def compiler():
    """The NVRTC library of the installed package; ImportError without it."""
    try:
        package = importlib.import_module("nvidia.cuda_nvrtc")
    except ImportError:
        raise ImportError("NVRTC is not installed: pip install --group kernels") from None
    folder = Path(package.__path__[0]) / "lib"
    return ctypes.CDLL(str(folder / "libnvrtc.so.12"))


def text_of(library, program, kind):
    """What NVRTC gives as its `kind`: "PTX" or "ProgramLog"."""
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{kind}")(program, text)
    return text.value.decode()


def compile_source(source):
    """The PTX of the CUDA C++ file `source`; RuntimeError with the compiler's messages."""
    library = compiler()
    program = ctypes.c_void_p()
    name = source.name.encode()
    library.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), name, 0, None, None)
    options = (ctypes.c_char_p * len(OPTIONS))(*OPTIONS)
    if library.nvrtcCompileProgram(program, len(OPTIONS), options):
        raise RuntimeError(text_of(library, program, "ProgramLog"))
    return text_of(library, program, "PTX")


def sources():
    """The kernels' files."""
    return [path for folder in FOLDERS for path in sorted(folder.glob("*.cu"))]


def main():
    for source in sources():
        source.with_suffix(".ptx").write_text(compile_source(source))
        print(source.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
