"""A filter of system calls for a process that only computes. Linux on x86-64 and 64-bit ARM.

Everything is forbidden but a list: what memory, threads, locks, clocks, and reading and writing of open
descriptors need. A forbidden call fails: it is not permitted, or, if it is younger than 2019, not there, as
in an older kernel, for then libraries use its elder. The list has no open, socket, execve, ptrace, kill,
ioctl or io_uring; `clone` makes threads only, new memory is never executable.
Source: linux/seccomp.h, linux/filter.h, linux/audit.h; call numbers: asm/unistd_64.h, asm-generic/unistd.h.
"""

import ctypes
import platform
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SET_MODE_FILTER: Final = 1
_FILTER_FLAG_TSYNC: Final = 1
"""The filter holds for every thread of the process, not for the caller alone."""

_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_ANY_BIT: Final = 0x45
_JUMP_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_NOT_PERMITTED: Final = 0x00050000 | 1
"""Fail with EPERM."""
_NOT_THERE: Final = 0x00050000 | 38
"""Fail with ENOSYS."""
_YOUNG_CALL: Final = 424
"""From this number on calls have the same number on every processor."""

_CALL_OFFSET: Final = 0
_ARCHITECTURE_OFFSET: Final = 4

_PROT_EXEC: Final = 4
_CLONE_THREAD: Final = 0x10000
_PR_SET_NAME: Final = 15
_PR_SET_VMA: Final = 0x53564D41
"""Naming a thread, and naming memory, as the C library does for its own."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the low word of one argument of a call must be; the high word does not matter to these calls."""

    argument: int
    equals: tuple[int, ...] = ()
    """One of these; empty if only bits matter."""
    with_bits: int = 0
    """At least one of these bits set."""
    without_bits: int = 0
    """None of these bits set."""


@dataclass(frozen=True, slots=True)
class Machine:
    """How a kind of processor numbers the calls that are allowed."""

    audit_code: int
    seccomp: int
    free: tuple[int, ...]
    """Allowed with any arguments."""
    mmap: int
    mprotect: int
    clone: int
    prctl: int
    tgkill: int


_X86_64: Final = Machine(
    audit_code=0xC000003E,
    seccomp=317,
    free=(
        *(0, 1, 19, 20, 3, 5, 8, 7, 271),  # read write readv writev close fstat lseek poll ppoll
        *(11, 25, 28, 12),  # munmap mremap madvise brk
        *(202, 449, 273, 334, 218, 186, 39, 24, 204, 203, 309, 324),  # futex futex_waitv set_robust_list rseq
        # set_tid_address gettid getpid sched_yield sched_getaffinity sched_setaffinity getcpu membarrier
        *(13, 14, 15, 131, 219),  # rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
        *(
            228,
            229,
            230,
            35,
            96,
            201,
        ),  # clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
        *(318, 60, 231, 98, 302, 160, 97, 99, 63),  # getrandom exit exit_group getrusage prlimit64 setrlimit
        # getrlimit sysinfo uname
    ),
    mmap=9,
    mprotect=10,
    clone=56,
    prctl=157,
    tgkill=234,
)

_AARCH64: Final = Machine(
    audit_code=0xC00000B7,
    seccomp=277,
    free=(
        *(63, 64, 65, 66, 57, 80, 62, 73),
        *(215, 216, 233, 214),
        *(98, 449, 99, 293, 96, 178, 172, 124, 123, 122, 168, 283),
        *(134, 135, 139, 132, 128),
        *(113, 114, 115, 101, 169),
        *(278, 93, 94, 165, 261, 164, 163, 179, 160),
    ),
    mmap=222,
    mprotect=226,
    clone=220,
    prctl=167,
    tgkill=131,
)
"""The same calls in the same order; `poll` and `time` do not exist there."""

MACHINES: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}


def forbid_calls(process_id: int) -> bool:
    """Filter the calls of every thread of this process, whose id it is, for good; whether that worked.

    The process must not be able to gain privileges (PR_SET_NO_NEW_PRIVS).
    """
    machine = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None:
        return False
    code = program(machine, process_id)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions, padding, their address.
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    call = ctypes.CDLL(None, use_errno=True).syscall
    arguments = (machine.seccomp, _SET_MODE_FILTER, _FILTER_FLAG_TSYNC)
    return bool(call(*(ctypes.c_long(each) for each in arguments), header) == 0)


def program(machine: Machine, process_id: int) -> bytes:
    """The filter, in classic BPF."""
    return b"".join(_instructions(machine, process_id))


def _instructions(machine: Machine, process_id: int) -> Iterator[bytes]:
    """`tgkill` reaches threads of the process only: it is how abort() ends it."""
    yield _load(_ARCHITECTURE_OFFSET)
    yield _instruction(_JUMP_IF_EQUAL, machine.audit_code, 1, 0)
    yield _instruction(_RETURN, _KILL_PROCESS)
    yield _load(_CALL_OFFSET)
    for number in machine.free:
        yield _instruction(_JUMP_IF_EQUAL, number, 0, 1)
        yield _instruction(_RETURN, _ALLOW)
    conditions = {
        machine.mmap: Condition(2, without_bits=_PROT_EXEC),
        machine.mprotect: Condition(2, without_bits=_PROT_EXEC),
        machine.clone: Condition(0, with_bits=_CLONE_THREAD),
        machine.prctl: Condition(0, equals=(_PR_SET_NAME, _PR_SET_VMA)),
        machine.tgkill: Condition(0, equals=(process_id,)),
    }
    for number, condition in conditions.items():
        checks = list(_checks(condition))
        yield _instruction(_JUMP_IF_EQUAL, number, 0, len(checks))
        yield from checks
    yield _instruction(_JUMP_IF_AT_LEAST, _YOUNG_CALL, 0, 1)
    yield _instruction(_RETURN, _NOT_THERE)
    yield _instruction(_RETURN, _NOT_PERMITTED)


def _checks(condition: Condition) -> Iterator[bytes]:
    """Return for a call whose number matched."""
    yield _load(16 + 8 * condition.argument)
    for value in condition.equals:
        yield _instruction(_JUMP_IF_EQUAL, value, 0, 1)
        yield _instruction(_RETURN, _ALLOW)
    if condition.with_bits:
        yield _instruction(_JUMP_IF_ANY_BIT, condition.with_bits, 0, 1)
        yield _instruction(_RETURN, _ALLOW)
    if condition.without_bits:
        yield _instruction(_JUMP_IF_ANY_BIT, condition.without_bits, 1, 0)
        yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_RETURN, _NOT_PERMITTED)


def _load(offset: int) -> bytes:
    """Load a word of struct seccomp_data; both processors are little-endian."""
    return _instruction(_LOAD_WORD, offset)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
