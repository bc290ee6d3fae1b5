"""Faces of other picklers over ferropickle's one engine.

`ferropickle.compat.pickle` is the standard library's pickle, and
`ferropickle.compat.cloudpickle` cloudpickle.
"""
