"""`multiprocessing.shared_memory`, as it is."""

from multiprocessing.shared_memory import ShareableList, SharedMemory

__all__ = ["ShareableList", "SharedMemory"]
