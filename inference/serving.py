"""A program that answers its parent for as long as that lives: limited from its start, sealed before its
first answer.

It ends as soon as its standard input closes, in the middle of work if need be, so that it never outlives who
started it. (PR_SET_PDEATHSIG would not do: it fires when the *thread* that started it ends.)
"""

import os
import select
import sys
from collections.abc import Callable
from threading import Thread
from typing import BinaryIO

from inference import messages, sandbox
from inference.messages import HEADER_BYTES
from primitives.codec import CodecError

Answer = Callable[[bytes], bytes]
"""From the payload of a request to that of its reply. Raises CodecError for what is no request."""


def serve(
    load: Callable[[], tuple[Answer, str]], memory_bytes: int, request_bytes_max: int, alone: bool = True
) -> None:
    """Serve until the standard input closes; with network and files unless `alone`.

    `load` gives what answers, and what is wrong with it, if anything. It must have every library load what it
    loads when first used, for after that it can read no file.
    """
    entered = sandbox.enter(memory_bytes) if alone else sandbox.enter_with_network(memory_bytes)
    replies = sandbox.keep_output()
    answer, trouble = load()
    protections = sandbox.seal(entered) if alone else entered
    Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    ready = messages.Ready(protections=protections, trouble=trouble[:400])
    _write(replies, messages.REPLY.encode(ready))
    while True:
        try:
            reply = answer(_read(sys.stdin.buffer, request_bytes_max))
        except (CodecError, MemoryError) as error:
            os.write(2, f"cannot read a request: {type(error).__name__}".encode())
            os._exit(1)
        _write(replies, reply)


def _end_with(descriptor: int) -> None:
    """End the process when nobody is left who could write to a pipe, whatever else it does."""
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(0)


def _read(source: BinaryIO, bytes_max: int) -> bytes:
    """The next request; ends the process when there is none. Nothing of one that is too long."""
    header = source.read(HEADER_BYTES)
    if not header:
        os._exit(0)
    size = int.from_bytes(header, "big")
    return source.read(size) if size <= bytes_max else b""


def _write(replies: int, payload: bytes) -> None:
    left = memoryview(messages.frame(payload))
    while left:
        left = left[os.write(replies, left) :]
