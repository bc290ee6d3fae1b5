"""The parts of demo.py: the data set, the other process, and the way between them."""
