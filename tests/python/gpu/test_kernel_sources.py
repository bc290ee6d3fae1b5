"""The committed PTX is what the committed sources give, and good machine code for every device.

Both need compilers (the dependency group "kernels", `make test-kernels`) and no device.
"""

import importlib.util
import re
import subprocess
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


ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]

# With more, a multiprocessor has fewer threads than keep its memory busy.
MOST_REGISTERS = 40


def ptxas():
    """The assembler of the installed package, or None."""
    try:
        package = importlib.import_module("nvidia.cuda_nvcc")
    except ImportError:
        return None
    return Path(package.__path__[0]) / "bin" / "ptxas"


OWN = sorted(COMPILE.FOLDERS[0].glob("*.cu"))


@pytest.mark.parametrize("source", OWN, ids=lambda path: path.stem)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_fit_every_device(source, architecture, tmp_path):
    """Few registers, and none that go to memory and back."""
    assembler = ptxas()
    if assembler is None:
        pytest.skip("ptxas is not installed (dependency group kernels)")
    ptx, cubin = source.with_suffix(".ptx"), tmp_path / "kernels.cubin"
    command = [assembler, "-v", f"-arch=sm_{architecture}", ptx, "-o", cubin]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    kernels = re.findall(r"Compiling entry function '(\w+)'", told)
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", told)]
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", told)
    assert len(registers) == len(spills) == len(kernels) > 0, told
    assert all(name.startswith("ferropickle_") for name in kernels)
    assert set(spills) == {("0", "0")}, told
    assert max(registers) <= MOST_REGISTERS, told
    assert cubin.stat().st_size > 0
