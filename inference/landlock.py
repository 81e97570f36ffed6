"""Forbid this process the file system, and what else Landlock can: new files and directories, TCP, signals.

Source: the Linux kernel's userspace-api/landlock.rst.
"""

import ctypes
import os
import struct
import sys
from typing import Final

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
"""Asks for the version instead of a rule set."""

_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of access to files each version can forbid; later ones as many as the last."""
_TCP_VERSION: Final = 4
_TCP: Final = 0b11
"""To bind and to connect."""
_SCOPE_VERSION: Final = 6
_SCOPES: Final = 0b11
"""Abstract sockets and signals of other processes."""


def forbid_files() -> bool:
    """Forbid the calling thread, and those that it starts, every access by name, for good; whether it worked.

    What is open stays open. The process must not be able to gain privileges (PR_SET_NO_NEW_PRIVS).
    """
    if sys.platform != "linux":
        return False
    version = _syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    rules = ruleset(version)
    descriptor = _syscall(_CREATE_RULESET, rules, len(rules), 0)
    if descriptor < 0:
        return False
    restricted = _syscall(_RESTRICT_SELF, descriptor, 0) == 0
    os.close(descriptor)
    return restricted


def ruleset(version: int) -> bytes:
    """struct landlock_ruleset_attr that handles everything, for no rule to allow again."""
    files = (1 << _FILE_RIGHTS.get(version, max(_FILE_RIGHTS.values()))) - 1
    if version < _TCP_VERSION:
        return struct.pack("=Q", files)
    if version < _SCOPE_VERSION:
        return struct.pack("=QQ", files, _TCP)
    return struct.pack("=QQQ", files, _TCP, _SCOPES)


def _syscall(number: int, *arguments: bytes | int | None) -> int:
    """These calls have the same numbers on every processor."""
    converted = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *converted))
