"""The types of the objects in the catalogue, as `types` has those of the interpreter.

Empty until `ferropickle.compat.dill.load_types` fills it.
"""
