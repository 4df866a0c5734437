"""The confinement of a process: the rights that it gives up before it reads an untrusted file.

A confined process may use its memory, its open files and the clock, and may end. Every other system
call fails: it can reach no other file, socket, process or signal. The filter lists the allowed
calls, so an unlisted call is refused. It uses seccomp(2): a program for the kernel's packet filter
(BPF) that reads the number of each call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple


class ProcessLimits(NamedTuple):
    """The resources that a process may use from its confinement on.

    Attributes:
        memory_bytes: address space, in addition to what it has then.
        cpu_s: seconds of processor time.
        file_bytes: the size to which an open file may grow.
    """

    memory_bytes: int
    cpu_s: int
    file_bytes: int


def confinable() -> bool:
    """Whether this machine can confine a process: Linux with seccomp, on a known processor."""
    if sys.platform != "linux" or platform.machine() not in _PROCESSORS:
        return False
    try:
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0)
    except OSError as error:  # with filters, the kernel rejects the null address
        return error.errno == errno.EFAULT
    return False


def confine(limits: ProcessLimits) -> None:
    """Give up, for good, every right except to compute, and to read and write open files.

    Args:
        limits: the resources that may still be used.

    Raises:
        OSError: where the kernel refuses; then the process must not read the file.
    """
    import resource  # noqa: PLC0415 - Windows has none, and is never confinable

    used = resource.getrusage(resource.RUSAGE_SELF)
    bounds = {
        resource.RLIMIT_AS: _address_space_bytes() + limits.memory_bytes,
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        _, most = resource.getrlimit(kind)
        least = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(kind, (least, least))
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)  # it does not outlive its parent
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _install_filter(_PROCESSORS[platform.machine()])


# The allowed calls, with their numbers on x86_64 and aarch64. None of them takes a path, a network
# address or another process.
_CALLS: Final = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "gettimeofday": (96, 169),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}


class _Processor(NamedTuple):
    """The kernel's constants for one processor architecture.

    Attributes:
        audit_arch: the architecture's number, ``AUDIT_ARCH_*``.
        column: the index of its number in the entries of ``_CALLS``.
        seccomp: the number of seccomp(2), which installs a filter.
    """

    audit_arch: int
    column: int
    seccomp: int


_PROCESSORS: Final = {
    "x86_64": _Processor(audit_arch=0xC000003E, column=0, seccomp=317),
    "aarch64": _Processor(audit_arch=0xC00000B7, column=1, seccomp=277),
}

# Constants of <linux/prctl.h>, <linux/seccomp.h>, <linux/filter.h>.
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SIGKILL = 9
_SECCOMP_MODE_FILTER, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 2, 1, 1
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL_PROCESS, _FAIL, _ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
_NUMBER_AT, _ARCH_AT = 0, 4


def _program(audit_arch: int, numbers: Iterable[int]) -> bytes:
    """The filter. A call of another architecture (32-bit code) has other numbers: it kills."""
    allowed = tuple(numbers)
    steps = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JUMP_IF_EQUAL, 1, 0, audit_arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        # The second and third fields of a jump: steps to skip if equal, and if not.
        *((_JUMP_IF_EQUAL, len(allowed) - i, 0, number) for i, number in enumerate(allowed)),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _install_filter(processor: _Processor) -> None:
    """Install the filter on every thread of this process: libraries may have started some."""
    steps = _program(processor.audit_arch, (call[processor.column] for call in _CALLS.values()))
    program = ctypes.create_string_buffer(steps, len(steps))
    # struct sock_fprog: the number of steps of 8 bytes, and their address.
    described = struct.pack("@HP", len(steps) // 8, ctypes.addressof(program))
    words = (processor.seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC)
    answer = _libc().syscall(*map(ctypes.c_long, words), ctypes.c_char_p(described))
    if answer != 0:  # -1, or the id of a thread that could not be synchronised
        raise OSError(ctypes.get_errno(), "The kernel takes no filter of system calls")


def _prctl(option: int, *arguments: int) -> None:
    words = (*arguments, 0, 0, 0, 0)[:4]
    if _libc().prctl(ctypes.c_int(option), *map(ctypes.c_ulong, words)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
