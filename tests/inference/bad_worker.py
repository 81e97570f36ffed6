"""A worker that misbehaves in the way that its first argument names; a program, like `inference.worker`.

Its engine is sound until a model says that it is bad to load, or is given the input that is bad to run. What
became of a misdeed that failed is reported as an error of the engine.
"""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread, get_ident

import numpy as np

from inference.engines.choice import alone
from inference.engines.interface import EngineError, LoadedModel
from inference.engines.reference import NumpyEngine
from inference.messages import REPLY, Loaded, frame
from inference.tensor import Tensor, from_integers, integers
from inference.worker import serve

BAD_TO_RUN = 66
BAD_TO_LOAD = b"66/1"
REPLIES = 3
"""The descriptor of the pipe to the supervisor; the sandbox makes it before anything else opens one."""


def die() -> None:
    signal.pthread_kill(get_ident(), signal.SIGKILL)


def end_without_a_name() -> None:
    """By a signal that Python has no name for."""
    signal.pthread_kill(get_ident(), 40)


def stop() -> None:
    signal.pthread_kill(get_ident(), signal.SIGSTOP)


def loop() -> None:
    while True:
        pass


def exhaust_memory() -> None:
    held = []
    while True:
        held.append(np.empty(1 << 24))


def start_threads() -> None:
    while True:
        Thread(target=time.sleep, args=(3600,), daemon=True).start()


def fork() -> None:
    while True:
        if not os.fork():
            time.sleep(3600)


def connect() -> None:
    socket.socket().connect(("127.0.0.1", 9))


def execute() -> None:
    os.execv("/bin/true", ["true"])


def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def read_file() -> None:
    Path("/etc/hostname").read_bytes()


def write_file() -> None:
    Path("/tmp/written-by-a-model").write_bytes(b"")


def crash() -> None:
    ctypes.string_at(0)


def talk() -> None:
    sys.stdout.write("a library prints\n")
    sys.stdout.flush()
    os.write(1, b"a library writes\n")


def send_garbage() -> None:
    os.write(REPLIES, b"\0\0\0\4oops")


def send_half() -> None:
    os.write(REPLIES, b"\0\0\0\4oo")
    die()


def send_part() -> None:
    """And then no more."""
    os.write(REPLIES, b"\0\0\0\4oo")
    stop()


def send_without_end() -> None:
    while True:
        os.write(REPLIES, b"\0" * (1 << 16))


def complain_without_end() -> None:
    while True:
        os.write(2, b"a library complains\n" * 1000)


def send_too_much() -> None:
    os.write(REPLIES, b"\xff\xff\xff\xff")


def send_twice() -> None:
    os.write(REPLIES, frame(REPLY.encode(Loaded())))
    os.write(REPLIES, frame(REPLY.encode(Loaded())))


def send_nothing_more() -> None:
    os.close(REPLIES)


MISDEEDS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        *(die, loop, exhaust_memory, start_threads, fork, connect, execute, kill_parent, read_file),
        *(write_file, crash, talk, send_garbage, send_half, send_too_much, send_twice, send_nothing_more),
        *(end_without_a_name, stop, send_part, send_without_end, complain_without_end),
    )
}


class Misbehaving:
    """Loads sound models; misbehaves when the trigger says so."""

    def __init__(self, misdeed: Callable[[], None]) -> None:
        self._misdeed = misdeed

    def load(self, model: bytes) -> LoadedModel:
        if BAD_TO_LOAD in model:
            self._misdeed()
        return MisbehavingModel(NumpyEngine().load(model), self._misdeed)


class MisbehavingModel:
    def __init__(self, sound: LoadedModel, misdeed: Callable[[], None]) -> None:
        self._sound, self._misdeed = sound, misdeed

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if inputs[0].data[0] == BAD_TO_RUN:
            try:
                self._misdeed()
            except (OSError, RuntimeError) as error:
                raise EngineError(f"{type(error).__name__}: {error}") from None
        return self._sound.run(inputs)


class Flattering:
    """Fails the self-test: every answer is one too high."""

    def load(self, model: bytes) -> LoadedModel:
        return FlatteringModel(NumpyEngine().load(model))


class FlatteringModel:
    def __init__(self, sound: LoadedModel) -> None:
        self._sound = sound

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        output, *_ = self._sound.run(inputs)
        return (from_integers(output.dtype, output.shape, [value + 1 for value in integers(output)]),)


def main() -> None:
    """Serve, or do at once what comes before any service."""
    match sys.argv[1]:
        case "flatter":
            serve(lambda: alone(Flattering()))
        case "start_die":
            die()
        case "start_loop":
            loop()
        case "start_garbage":
            os.write(1, b"\0\0\0\4oops")
            loop()
        case "start_without_greeting":
            os.write(1, frame(REPLY.encode(Loaded())))
            loop()
        case name:
            serve(lambda: alone(Misbehaving(MISDEEDS[name])))


if __name__ == "__main__":
    main()
