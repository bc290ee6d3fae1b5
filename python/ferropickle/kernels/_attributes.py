"""Attributes of CuPy's kernels that a program may set. They are those of what is loaded."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DRIVER = "cupy_backends.cuda.api.driver"
_DYNAMIC = "max_dynamic_shared_size_bytes"
_CARVEOUT = "preferred_shared_memory_carveout"
_NUMBERS = {
    _DYNAMIC: "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES",
    _CARVEOUT: "CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT",
}

# Shared memory that any kernel may have, its own included.
_COMMON = 48 << 10


def attributes_of(kernel: Any) -> dict[str, int]:
    """What has been set of a `RawKernel` that has been loaded; nothing is compiled for it.

    What is still to be set counts too. Of other classes nothing is known.
    """
    if type(kernel).__module__ == __name__:
        return dict(kernel.attributes_to_set)
    if type(kernel) is not import_module("cupy").RawKernel:
        return {}
    loaded = (part for part in gc.get_referents(kernel) if type(part) is list)
    function = next((each for part in loaded for each in part if each is not None), None)
    if function is None:
        return {}
    driver = import_module(_DRIVER)

    def read(name: str) -> int:
        return int(driver.funcGetAttribute(getattr(driver, name), function.ptr))

    found = {}
    dynamic = read(_NUMBERS[_DYNAMIC])
    if dynamic + read("CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES") > _COMMON:
        found[_DYNAMIC] = dynamic
    carveout = read(_NUMBERS[_CARVEOUT])
    if carveout != -1:
        found[_CARVEOUT] = carveout
    return found


def raw_kernel(state: Mapping[str, Any], attributes: Mapping[str, int]) -> Any:
    """A `cupy.RawKernel`; if it has attributes, they are set when a device loads it."""
    cls = _class() if attributes else import_module("cupy").RawKernel
    kernel = cls("", "")
    kernel.__setstate__(state)
    if attributes:
        kernel.attributes_to_set = dict(attributes)
    return kernel


class _SetsAttributes:
    """What comes before CuPy's class: the attributes that are still to be set on each device."""

    attributes_to_set: Mapping[str, int] = {}

    @property
    def kernel(self) -> Any:
        """What the driver has loaded for the current device."""
        function = super().kernel  # type: ignore[misc]
        done = self.__dict__.setdefault("_functions_set", [])
        if not any(each is function for each in done):
            driver = import_module(_DRIVER)
            for name, value in self.attributes_to_set.items():
                driver.funcSetAttribute(function.ptr, getattr(driver, _NUMBERS[name]), value)
            done.append(function)
        return function


# The class that is both, once there is one.
_classes: dict[Any, Any] = {}


def _class() -> Any:
    base: Any = import_module("cupy").RawKernel
    if base not in _classes:
        _classes[base] = type("RawKernel", (_SetsAttributes, base), {"__module__": __name__})
    return _classes[base]
