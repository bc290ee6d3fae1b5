"""Faces of other picklers over ferropickle's one engine.

`ferropickle.compat.pickle` is the standard library's pickle,
`ferropickle.compat.cloudpickle` cloudpickle and `ferropickle.compat.dill` dill.
"""
