"""`multiprocessing.sharedctypes`, as it is."""

from multiprocessing.sharedctypes import Array, RawArray, RawValue, Value, copy, synchronized

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]
