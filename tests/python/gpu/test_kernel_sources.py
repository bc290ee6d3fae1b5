"""The committed PTX is what the committed sources give."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def load_compile():
    path = ROOT / "gpu" / "kernels" / "compile.py"
    spec = importlib.util.spec_from_file_location("compile_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMPILE = load_compile()


@pytest.mark.parametrize("source", COMPILE.sources(), ids=lambda path: path.name)
def test_ptx_is_of_its_source(source):
    try:
        COMPILE.compiler()
    except ImportError:
        pytest.skip("NVRTC 12.0 is not installed (dependency group kernels)")
    assert source.with_suffix(".ptx").read_text() == COMPILE.compile_source(source)
