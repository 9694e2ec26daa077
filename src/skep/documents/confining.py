"""What a process gives up before it looks at a stranger's file: sockets, processes, memory, time.

The sandbox around it has no network and next to no files; this is the second wall, and the only one without a sandbox.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | 1
"""SECCOMP_RET_ERRNO with EPERM."""

_KILL = 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""Operations of classic BPF (linux/filter.h)."""

_X32_CALLS = 0x40000000
"""The second numbering of an x86_64 kernel begins here."""

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH of the kernel, and the column of the table below."""

_REFUSED_CALLS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "shmget": (29, 194),
    "memfd_create": (319, 279),
}
"""Numbers on x86_64 and aarch64; None where there is no such call. io_uring could do all the others."""


def confine(memory_bytes: int, seconds: int) -> None:
    """Give it up, for good. Where the kernel cannot filter calls (not Linux, another processor), limits alone remain."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_FSIZE, 0, 0)
    _limit(resource.RLIMIT_NOFILE, 16, 16)
    with suppress(ValueError, OSError):  # macOS refuses any
        _limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)
    if sys.platform == "linux" and platform.machine() in _MACHINES:
        _refuse_calls(call_filter(platform.machine()))


def _limit(kind: int, soft: int, hard: int) -> None:
    allowed = resource.getrlimit(kind)[1]
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(kind, (soft, hard))


def call_filter(machine: str) -> bytes:
    """The program that the kernel asks about each call. Pure."""
    architecture, column = _MACHINES[machine]
    numbers = [row[column] for row in _REFUSED_CALLS.values() if row[column] is not None]
    rows = [
        (_LOAD, 0, 0, 4),  # the architecture of the call
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # its number
        (_JUMP_AT_LEAST, len(numbers) + 1, 0, _X32_CALLS),
        *((_JUMP_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("rows", ctypes.c_char_p))


def _refuse_calls(rows: bytes) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(rows) // 8, rows)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), f"the kernel filters no calls: {os.strerror(ctypes.get_errno())}")
