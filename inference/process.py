"""A worker process as its supervisor holds it: two pipes, a deadline on everything, an end at any time."""

import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Final

from inference import messages
from inference.engines.kinds import EngineKind
from inference.messages import HEADER_BYTES, REPLY_BYTES_MAX, Ready, Reply
from inference.unable import Crashed, Garbled, TimedOut, Unable
from primitives.codec import CodecError

_ENVIRONMENT: Final = {
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "LC_ALL": "C.UTF-8",
}
"""All that a worker has of an environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What one worker is and may use."""

    memory_bytes: int = 4 << 30
    """Address space; the libraries alone map 300 MB, of which they use 60."""
    sessions_bytes: int = 1 << 30
    """Memory of the models that it keeps ready."""
    start_s: float = 60.0
    """Until the worker has imported its libraries and tested its engine; 1 s on an idle machine."""
    base_s: float = 10.0
    """What any request may take besides its gas: a machine that swaps stands still for seconds."""
    engine: str = EngineKind.AUTO
    """The kind."""
    arguments: tuple[str, ...] = ()
    """Of the engine; see `inference.engines.choice.choose`."""
    module: str = "inference.worker"
    """The program."""


class WorkerProcess:
    """One process in a process group of its own, in a directory that is gone, without our environment."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long-lived as the process
        self._ending = Lock()
        limits = (settings.memory_bytes, settings.sessions_bytes, math.ceil(settings.base_s))
        arguments = [settings.engine, *map(str, limits), *settings.arguments]
        with tempfile.TemporaryDirectory(prefix="consil-worker-") as directory:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", settings.module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                cwd=directory,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.id: Final = self._process.pid
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._output, select.POLLIN)
        self._writable.register(self._input, select.POLLOUT)

    def greet(self, seconds: float) -> Ready:
        """Wait until the worker has started. Raises Unable."""
        reply = _decoded(self._receive(time.monotonic() + seconds, REPLY_BYTES_MAX))
        if not isinstance(reply, Ready):
            raise Garbled("the worker did not greet")
        return reply

    def ask(self, payload: bytes, seconds: float) -> Reply:
        """Raises Unable."""
        return _decoded(self.exchange(payload, seconds))

    def exchange(self, payload: bytes, seconds: float, reply_bytes_max: int = REPLY_BYTES_MAX) -> bytes:
        """The payload of the reply to a request. Raises Unable."""
        if self._readable.poll(0):
            raise self._cut_off(Garbled("the worker answered what nobody asked"))
        deadline = time.monotonic() + seconds
        left = memoryview(messages.frame(payload))
        while left:
            self._wait(self._writable, deadline)
            try:
                left = left[os.write(self._input, left) :]
            except OSError:
                raise Crashed(self._last_words()) from None
        return self._receive(deadline, reply_bytes_max)

    def has_ended(self) -> bool:
        with self._ending:
            return self._process.poll() is not None

    def kill(self) -> None:
        """End the whole process group; may be called twice, and from any thread."""
        with self._ending:
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def release(self) -> None:
        """Close our ends of the pipes; only the thread whose turn it is may, since descriptors are used
        again."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            stream.close()

    def _cut_off(self, trouble: Unable) -> Unable:
        """The trouble, unless the pipe is readable because the worker has ended."""
        return Crashed(self._last_words()) if self.has_ended() else trouble

    def _receive(self, deadline: float, bytes_max: int) -> bytes:
        size = int.from_bytes(self._read(HEADER_BYTES, deadline), "big")
        if size > bytes_max:
            raise Garbled(f"the worker sent a reply of {size} bytes")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self._readable, deadline)
            part = os.read(self._output, min(size - len(parts), 1 << 20))
            if not part:
                raise Crashed(self._last_words())
            parts += part
        return bytes(parts)

    def _wait(self, poll: select.poll, deadline: float) -> None:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimedOut("the worker took too long")

    def _last_words(self) -> str:
        """How the worker ended, with the last line that it wrote about it."""
        self.kill()
        self._errors.seek(0)
        lines = self._errors.read(1 << 20).decode("utf-8", "replace").splitlines()
        code = self._process.returncode
        how = f"signal {_signal(-code)}" if code < 0 else f"exit code {code}"
        return f"the worker ended with {how}" + (f": {lines[-1][:200]}" if lines else "")


def _decoded(payload: bytes) -> Reply:
    """Raises Garbled."""
    try:
        return messages.REPLY.decode(payload)
    except CodecError:
        raise Garbled("the worker sent a reply that makes no sense") from None


def _signal(number: int) -> str:
    """Its name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
