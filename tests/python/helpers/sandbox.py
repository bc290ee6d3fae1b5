"""Makes this process poorer than the machine: for programs that tests run by themselves."""

import ctypes
import os
import platform
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_USERS, _PRIVATE = 0x00020000, 0x10000000, (1 << 18) | (1 << 14)
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _ERROR, _ENOSYS = 0x7FFF0000, 0x00050000, 38
_MEMFD_CREATE = {"x86_64": (0xC000003E, 319), "aarch64": (0xC00000B7, 279)}


def forbid_memfd():
    """Let `memfd_create` fail from here on, as under a strict sandbox; say whether that worked."""
    if platform.machine() not in _MEMFD_CREATE:
        return False
    arch, number = _MEMFD_CREATE[platform.machine()]

    def rule(code, jump_true, jump_false, k):
        return struct.pack("HBBI", code, jump_true, jump_false, k)

    load, equal, answer = 0x20, 0x15, 0x06
    program = ctypes.create_string_buffer(
        rule(load, 0, 0, 4)
        + rule(equal, 0, 3, arch)
        + rule(load, 0, 0, 0)
        + rule(equal, 0, 1, number)
        + rule(answer, 0, 0, _ERROR | _ENOSYS)
        + rule(answer, 0, 0, _ALLOW)
    )

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("rules", ctypes.c_void_p)]

    rules = Program(6, ctypes.addressof(program))
    if _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return _LIBC.prctl(_SECCOMP, _FILTER, ctypes.byref(rules), 0, 0) == 0


def small_segment_folder(size):
    """Mount an empty `/dev/shm` of this size, for this process alone; say whether that worked.

    Before there are threads: who is not root needs a namespace of users for it.
    """
    if _LIBC.unshare(_NEW_MOUNTS):
        ids = {"setgroups": "deny"}
        for kind, number in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
            ids[kind] = f"{number} {number} 1"
        if _LIBC.unshare(_NEW_USERS | _NEW_MOUNTS):
            return False
        try:
            for name, text in ids.items():
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        except OSError:
            return False
    if _LIBC.mount(b"none", b"/", None, _PRIVATE, None):
        return False
    options = f"size={size}".encode()
    return _LIBC.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, options) == 0
