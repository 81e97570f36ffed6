"""What a worker gives up at its start: network, memory, files, privileges. Linux for all of it, other systems
in part.
"""

import ctypes
import math
import os
import resource
from typing import Final

FILE_BYTES_MAX: Final = 1024 * 1024
"""Largest file that a worker can write, unless told otherwise; only its error output is one."""
FILES_MAX: Final = 64

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38


def enter(memory_bytes: int, file_bytes: int = FILE_BYTES_MAX) -> bool:
    """Limit this process for good, before it has threads. Says whether it is now without network."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    isolated = _leave_network()
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return isolated


def allow_cpu(seconds: int) -> None:
    """Let the process use so much more processor time; the system kills it after that."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(usage.ru_utime + usage.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def keep_output() -> int:
    """A descriptor for replies that no library writes to: prints go to the error output instead."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _leave_network() -> bool:
    """Enter an empty network namespace, alone if privileged, else together with a user namespace."""
    return _call("unshare", _CLONE_NEWNET) or _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)


def _call(name: str, *arguments: int) -> bool:
    """Whether a function of the C library exists and succeeds; `os.unshare` comes with Python 3.12 only."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    return function is not None and function(*arguments) == 0
