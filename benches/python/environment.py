"""On what machine, and with which versions, measurements were taken. No names, no paths."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from adapters import OURS
from contenders import CONTENDERS

BESIDE = ("numpy", "pandas", "networkx", "scikit-learn", "cupy", "torch")  # what workloads are of


def environment() -> dict[str, Any]:
    """CPU, cores, Python and its build flags, package versions, the commit measured."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    env: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "python_build": " ".join(
            flag for flag in ("--enable-optimizations", "--with-lto") if flag in options
        )
        or "no PGO, no LTO",
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }
    packages = [c.package for c in CONTENDERS.values() if c.package]
    env["packages"] = {
        name: version for name in dict.fromkeys([*packages, *BESIDE]) if (version := _version(name))
    }
    return env


def describe(env: dict[str, Any]) -> str:
    """`environment()` in two lines."""
    packages = ", ".join(f"{k} {v}" for k, v in env.get("packages", {}).items())
    return (
        f"{env['cpu']}, {env['cores']} cores, {env['system']}; "
        f"CPython {env['python']} ({env['python_build']})\n{packages}"
    )


def _version(package: str) -> str:
    if package == OURS:  # it may be on the path without being installed
        return getattr(importlib.import_module(OURS), "__version__", "")
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*args: str) -> str:
    command = ["git", "-C", str(Path(__file__).resolve().parent), *args]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a checkout: the record will not name its commit
