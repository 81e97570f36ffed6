"""The program that folds, with an answer that misbehaves as the model's name says: what a model could do that
takes over the optimiser. What it got is the reason that it gives.
"""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from inference.converter.fold import FoldReply, FoldRequest, Unfolded
from inference.engines import folding


def read_file() -> str:
    return Path("/proc/self/status").read_text()[:40]


def write_file() -> str:
    return str(Path("written").write_text("by a model"))


def connect() -> str:
    with socket.socket() as plug:
        plug.connect(("127.0.0.1", 9))
    return "connected"


def execute() -> str:
    os.execv("/bin/true", ["true"])


def kill_parent() -> str:
    os.kill(os.getppid(), signal.SIGCONT)
    return "signalled"


def talk_without_end() -> str:
    while True:
        os.write(3, b"\0" * (1 << 16))


MISDEEDS: dict[bytes, Callable[[], str]] = {
    each.__name__.encode(): each
    for each in (read_file, write_file, connect, execute, kill_parent, talk_without_end)
}


def answer(request: FoldRequest) -> FoldReply:
    misdeed = MISDEEDS.get(request.model)
    if misdeed is None:
        return _sound(request)
    try:
        return Unfolded(reason=f"done: {misdeed()}")
    except OSError as error:
        return Unfolded(reason=type(error).__name__)


_sound = folding.answer


if __name__ == "__main__":
    folding.answer = answer
    folding.main()
