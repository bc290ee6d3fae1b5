"""The commands of `python -m ferropickle`; the table is in `ferropickle.__main__`."""
