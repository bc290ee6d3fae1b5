"""The warnings and errors of dill; the errors are the standard library's own."""

from __future__ import annotations

from _pickle import PickleError, PicklingError, UnpicklingError

__all__ = [
    "PickleError",
    "PickleWarning",
    "PicklingError",
    "PicklingWarning",
    "UnpicklingError",
    "UnpicklingWarning",
]


class PickleWarning(Warning, PickleError):
    """The base of the warnings."""


class PicklingWarning(PickleWarning, PicklingError):
    """Something was pickled in a way that may not be meant."""


class UnpicklingWarning(PickleWarning, UnpicklingError):
    """Something was rebuilt in a way that may not be meant."""
