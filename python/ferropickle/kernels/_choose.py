"""Which of a bundle's forms of code a device can run, best first. No driver is needed here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The version of PTX that a driver of CUDA 12.x reads; one of 13.x reads 9.x.
_PTX_OF_12 = (0, 1, 2, 3, 4, 5, 5, 6, 7, 8)

_ARCH = re.compile(r"(?:sm|compute)_(\d+)(\d)([af]?)\Z")
_VERSION = re.compile(rb"^\s*\.version\s+(\d+)\.(\d+)", re.MULTILINE)
_TARGET = re.compile(rb"^\s*\.target\s+(sm_\d+[af]?)", re.MULTILINE)


@dataclass(frozen=True)
class Arch:
    """An architecture: compute capability, and whether code for it runs on no other ("a"), or on
    its family ("f")."""

    major: int
    minor: int
    kind: str = ""

    @classmethod
    def of(cls, name: str) -> Arch:
        """The architecture of a name such as "sm_90a". ValueError if it is none."""
        found = _ARCH.match(name)
        if found is None:
            raise ValueError(f"{name!r} is not the name of an architecture, such as 'sm_90'")
        return cls(int(found[1]), int(found[2]), found[3])

    def __str__(self) -> str:
        return f"sm_{self.major}{self.minor}{self.kind}"


@dataclass(frozen=True)
class Target:
    """What code is to run on.

    capability: the device's compute capability, or None if no device is known.
    driver: the newest version of CUDA that the driver knows, or None.
    compiler: None if source can be compiled, else why not.
    """

    capability: tuple[int, int] | None = None
    driver: tuple[int, int] | None = None
    compiler: str | None = None


def order(
    archs: Iterable[str], ptx: bytes | None, has_source: bool, target: Target
) -> tuple[list[str], dict[str, str]]:
    """The forms of code that may run on a target, best first, and why each other does not.

    Forms are the names of architectures, "ptx" and "source". Machine code for just the device
    comes first, then that for lower minor versions of the same major one, highest first.
    """
    fit: list[tuple[tuple[int, ...], str]] = []
    reasons: dict[str, str] = {}
    for name in archs:
        arch = Arch.of(name)
        reason = _machine_code(arch, target)
        if reason is None:
            rank = (0 if (arch.major, arch.minor) == target.capability else 1, -arch.minor)
            # Of two for the same, what is made for this one alone.
            fit.append(((*rank, 0 if arch.kind == "a" else 1 if arch.kind == "f" else 2), name))
        else:
            reasons[name] = reason
    forms = [name for _rank, name in sorted(fit)]
    if ptx is not None:
        reason = _intermediate_code(ptx, target)
        if reason is None:
            forms.append("ptx")
        else:
            reasons["ptx"] = reason
    if has_source:
        if target.compiler is None:
            forms.append("source")
        else:
            reasons["source"] = target.compiler
    return forms, reasons


def _machine_code(arch: Arch, target: Target) -> str | None:
    """Why machine code does not run on the target, or None."""
    if target.capability is None:
        return "no device is known"
    major, minor = target.capability
    here = f"the device is sm_{major}{minor}"
    if arch.kind == "a" and (arch.major, arch.minor) != (major, minor):
        return f"{here}, and code for {arch} runs on no other"
    if arch.major != major:
        return f"{here}, of another major version"
    if arch.minor > minor:
        return f"{here}, which is older"
    return None


def _intermediate_code(ptx: bytes, target: Target) -> str | None:
    """Why PTX does not run on the target, or None."""
    if target.capability is None or target.driver is None:
        return "no device is known"
    version, made_for = _VERSION.search(ptx), _TARGET.search(ptx)
    if version is None or made_for is None:
        return "it does not say its version and target"
    needed = int(version[1]), int(version[2])
    reads = ptx_version(target.driver)
    if needed > reads:
        return (
            f"it is PTX {needed[0]}.{needed[1]}, and the driver, of CUDA "
            f"{target.driver[0]}.{target.driver[1]}, reads {reads[0]}.{reads[1]}"
        )
    arch = Arch.of(made_for[1].decode())
    least, device = (arch.major, arch.minor), target.capability
    here = f"the device is sm_{device[0]}{device[1]}"
    if arch.kind == "a" and least != device:
        return f"{here}, and PTX for {arch} runs on no other"
    if arch.kind == "f" and arch.major != device[0]:
        return f"{here}, which is not of the family of {arch}"
    if least > device:
        return f"{here}, and it needs {arch}"
    return None


def ptx_version(driver: tuple[int, int]) -> tuple[int, int]:
    """The newest version of PTX that a driver of a version of CUDA reads."""
    major, minor = driver
    if major == 12:
        return 8, _PTX_OF_12[min(minor, len(_PTX_OF_12) - 1)]
    if major == 11:
        return 7, min(minor, 8)
    return major - 4, minor
