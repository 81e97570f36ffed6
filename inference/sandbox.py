"""What a worker gives up: memory, network, privileges at its start; files and system calls once its libraries
have loaded. Linux for all of it, other systems in part.
"""

import ctypes
import math
import os
import resource
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from inference.graph import MODEL_BYTES_MAX
from inference.landlock import forbid_files
from inference.protections import Protections
from inference.seccomp import forbid_calls

FILE_BYTES_MAX: Final = 1024 * 1024
"""Largest file that a worker can write, unless told otherwise; only its error output is one."""
FILES_MAX: Final = 64

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: three words for each of two groups of 32 capabilities."""


def enter(memory_bytes: int, file_bytes: int = FILE_BYTES_MAX, leaves_network: bool = True) -> Protections:
    """Limit this process for good, before it has threads."""
    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_CORE, 0),
    )
    limited = [_limit(kind, most) for kind, most in limits]
    _be_the_first_to_go()
    network = leaves_network and _leave_network()
    return Protections(
        memory=limited[0], network=network, privileges=_drop_privileges(), files=False, calls=False
    )


def enter_with_network(memory_bytes: int) -> Protections:
    """The same for an engine on a server: it keeps the network, and may write a model's file."""
    return enter(memory_bytes, MODEL_BYTES_MAX, leaves_network=False)


def seal(entered: Protections) -> Protections:
    """Forbid files and most system calls for good, once every library is loaded; threads may start after it.

    What was dropped by `enter` stays dropped.
    """
    if not entered.privileges:
        return entered
    files = _is_single_threaded() and forbid_files()
    return Protections(
        memory=entered.memory,
        network=entered.network,
        privileges=entered.privileges,
        files=files,
        calls=forbid_calls(os.getpid()),
    )


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


def _limit(kind: int, most: int) -> bool:
    """Not every system knows every limit."""
    try:
        resource.setrlimit(kind, (most, most))
    except (OSError, ValueError):
        return False
    return True


def _be_the_first_to_go() -> None:
    """When the machine runs out of memory, the system ends this process rather than the node."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _leave_network() -> bool:
    """Enter an empty network namespace, alone if privileged, else together with a user namespace."""
    return _call("unshare", _CLONE_NEWNET) or _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)


def _drop_privileges() -> bool:
    """Gain none from files, and have no capability, which a superuser has without asking."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
    none = ctypes.create_string_buffer(struct.pack("=6I", *[0] * 6))
    return _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) and _call("capset", header, none)


def _is_single_threaded() -> bool:
    """Landlock holds for the calling thread and those it starts, not for others there are."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


def _call(name: str, *arguments: "int | ctypes.Array[ctypes.c_char]") -> bool:
    """Whether a function of the C library exists and succeeds; `os.unshare` comes with Python 3.12 only."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    return function is not None and function(*arguments) == 0
