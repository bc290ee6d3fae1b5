"""`multiprocessing.reduction`, as it is: a reducer registered there goes first here as well."""

from multiprocessing.reduction import ForkingPickler, dump, recv_handle, register, send_handle

__all__ = ["ForkingPickler", "dump", "recv_handle", "register", "send_handle"]
