"""The confinement of a process: the rights that it gives up before it reads what nobody trusts.

A confined process has its memory, what it has open, the clock and its end. Every other system call
fails: no file, socket, process or signal is within its reach. The filter names what is allowed, so
that a call which nobody thought of is refused. It is seccomp(2), a program for the kernel's packet
filter that looks at the number of each call.
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


class Limits(NamedTuple):
    """What a confined process may use up, from the moment at which it is confined.

    Attributes:
        memory_bytes: address space, beside what it has.
        cpu_s: seconds of the processor.
        file_bytes: the size to which a file that it has open may grow.
    """

    memory_bytes: int
    cpu_s: int
    file_bytes: int


def confinable() -> bool:
    """Whether this machine can confine a process: Linux with filters, on a known processor."""
    if sys.platform != "linux" or platform.machine() not in _PROCESSORS:
        return False
    try:
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0)
    except OSError as error:  # one that has filters complains of the address of this one
        return error.errno == errno.EFAULT
    return False


def confine(limits: Limits) -> None:
    """Give up, for good, every right but to compute, and to read and write what is open.

    Args:
        limits: what may still be used up.

    Raises:
        OSError: where the kernel refuses; the process must then read nothing.
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
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)  # it does not outlive who waits for it
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _install_filter(_PROCESSORS[platform.machine()])


# What is allowed, with its number on x86_64 and on aarch64. None takes a path, an address of the
# network, or another process.
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
    """How the kernel names a kind of processor, and numbers its calls there.

    Attributes:
        audit_arch: the kernel's word for it.
        column: which number of a call is its own.
        seccomp: the number of the call that installs a filter.
    """

    audit_arch: int
    column: int
    seccomp: int


_PROCESSORS: Final = {
    "x86_64": _Processor(audit_arch=0xC000003E, column=0, seccomp=317),
    "aarch64": _Processor(audit_arch=0xC00000B7, column=1, seccomp=277),
}

# Words of <linux/prctl.h>, <linux/seccomp.h>, <linux/filter.h>.
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SIGKILL = 9
_SECCOMP_MODE_FILTER, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 2, 1, 1
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL_PROCESS, _FAIL, _ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
_NUMBER_AT, _ARCH_AT = 0, 4


def _program(audit_arch: int, numbers: Iterable[int]) -> bytes:
    """The filter. Calls of another kind, as of 32-bit code, have other numbers: they kill."""
    allowed = tuple(numbers)
    steps = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JUMP_IF_EQUAL, 1, 0, audit_arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        # A jump says how many steps to pass over where equal, and where not.
        *((_JUMP_IF_EQUAL, len(allowed) - i, 0, number) for i, number in enumerate(allowed)),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _install_filter(processor: _Processor) -> None:
    """Put the filter on every thread of this process: libraries may have started some."""
    steps = _program(processor.audit_arch, (call[processor.column] for call in _CALLS.values()))
    program = ctypes.create_string_buffer(steps, len(steps))
    # struct sock_fprog: how many steps of 8 bytes, and where they are.
    described = struct.pack("@HP", len(steps) // 8, ctypes.addressof(program))
    words = (processor.seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC)
    answer = _libc().syscall(*map(ctypes.c_long, words), ctypes.c_char_p(described))
    if answer != 0:  # -1, or the thread that could not follow
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
