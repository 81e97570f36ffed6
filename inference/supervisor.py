"""The node's side of the worker: synchronous, with deadlines, over a process that may be killed at any time.

Imports no ONNX library and no numpy. Two kinds of trouble are kept apart: `Refused` is a verdict on a model
or its inputs, the same on every machine; `Unable` says that this machine could not do it now, so its
validator abstains.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, Final, Self

from inference import messages
from inference.certificate import ExactnessCertificate, Verdict
from inference.graph import MODEL_BYTES_MAX, PORTS_MAX, ensure_size
from inference.messages import HEADER_BYTES, REPLY_BYTES_MAX, Failed, Reply, Request
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, TensorError, ensure_sound
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


class Unable(Exception):
    """The worker crashed, hung, ran out of memory, or its engine failed. Says nothing about the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one worker may use."""

    memory_bytes: int = 4 << 30
    """Address space; the libraries alone map 300 MB, of which they use 60."""
    cpu_s: int = 300
    """Processor time per request."""
    start_s: float = 60.0
    """Until the worker has imported its libraries; 1 s on an idle machine."""
    request_s: float = 300.0
    """From the request to the last byte of the reply."""


class Supervisor:
    """One worker at a time, started when needed and replaced when it fails. Calls from several threads take
    turns."""

    def __init__(self, limits: WorkerLimits | None = None) -> None:
        self._limits = limits or WorkerLimits()
        self._turn = Lock()
        self._worker: _Worker | None = None
        self._closed = False

    def prove(self, model: bytes) -> Verdict:
        """The certificate of a file, or why it is refused. Raises Unable."""
        try:
            ensure_size(model)
        except Refused as refused:
            return refused.refusal
        with self._turn:
            reply = self._ask(messages.Prove(model=model))
            if isinstance(reply, ExactnessCertificate | Refusal):
                return reply
            raise self._unexpected(reply)

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The outputs of the model whose file has that BLAKE2b-256; `fetch` gives the file if the worker
        lacks it.

        Raises Refused if the model cannot be proved or the inputs do not fit, Unable if this machine failed.
        """
        request = messages.Run(file_hash=file_hash, inputs=_sendable(inputs))
        with self._turn:
            reply = self._ask(request)
            if isinstance(reply, messages.NotLoaded):
                model = fetch()
                ensure_size(model)
                loaded = self._ask(messages.Load(model=model))
                reply = self._ask(request) if isinstance(loaded, messages.Loaded) else loaded
            if isinstance(reply, messages.Outputs):
                return reply.tensors
            if isinstance(reply, Refusal):
                raise Refused(reply.node, reply.reason)
            raise self._unexpected(reply)

    def self_test(self) -> None:
        """Raises Unable, with the reason, unless the engine computes as the proofs assume."""
        with self._turn:
            reply = self._ask(messages.SelfTest())
            if not isinstance(reply, messages.Loaded):
                raise self._unexpected(reply)

    def network_isolated(self) -> bool:
        """Whether the worker is without network; if not, the operator should be warned. Raises Unable."""
        with self._turn:
            return self._started().network_isolated

    def close(self) -> None:
        """End the worker, in the middle of a request if need be; leaves no process and no file."""
        self._closed = True
        worker = self._worker
        if worker is not None:
            worker.kill()
        with self._turn:
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: Request) -> Reply:
        """One request to a running worker, which does not survive a failure to answer."""
        payload = messages.REQUEST.encode(request)
        worker = self._started()
        try:
            return worker.ask(payload, self._limits.request_s)
        except BaseException:
            self._discard()
            raise

    def _started(self) -> "_Worker":
        """A worker that has greeted; one that has ended meanwhile is replaced."""
        if self._worker is not None and self._worker.has_ended():
            self._discard()
        if self._worker is None:
            self._worker = _Worker(self._limits)
            try:
                self._worker.greet(self._limits.start_s)
            except BaseException:
                self._discard()
                raise
        if self._closed:
            self._discard()
            raise Unable("the supervisor is closed")
        return self._worker

    def _discard(self) -> None:
        """Part with the worker, if there is one."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.release()
            self._worker = None

    def _unexpected(self, reply: Reply) -> Unable:
        """Why a reply is no answer."""
        if isinstance(reply, Failed):
            return Unable(reply.reason)
        return Unable(f"the worker answered {type(reply).__name__}")


def _sendable(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The inputs, if they are tensors and fit a request; whether they fit the model, the worker says."""
    try:
        for tensor in inputs:
            ensure_sound(tensor)
    except TensorError as error:
        raise Refused("inputs", str(error)) from None
    if len(inputs) > PORTS_MAX or sum(len(tensor.data) for tensor in inputs) > MODEL_BYTES_MAX:
        raise Refused("inputs", "too many inputs, or too large")
    return tuple(inputs)


class _Worker:
    """One process in a process group of its own, in a directory that is gone, without our environment."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long-lived as the process
        self._ending = Lock()
        self.network_isolated = False
        arguments = [str(limits.memory_bytes), str(limits.cpu_s)]
        with tempfile.TemporaryDirectory(prefix="consil-worker-") as directory:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "inference.worker", *arguments],
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
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)

    def greet(self, seconds: float) -> None:
        """Wait until the worker has started. Raises Unable."""
        reply = self._receive(time.monotonic() + seconds)
        if not isinstance(reply, messages.Ready):
            raise Unable("the worker did not greet")
        self.network_isolated = reply.network_isolated

    def ask(self, payload: bytes, seconds: float) -> Reply:
        """Raises Unable."""
        deadline = time.monotonic() + seconds
        left = memoryview(messages.frame(payload))
        while left:
            self._wait(self._input, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._input, left) :]
            except OSError:
                raise Unable(self._last_words()) from None
        return self._receive(deadline)

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

    def _receive(self, deadline: float) -> Reply:
        size = int.from_bytes(self._read(HEADER_BYTES, deadline), "big")
        if size > REPLY_BYTES_MAX:
            raise Unable(f"the worker sent a reply of {size} bytes")
        try:
            return messages.REPLY.decode(self._read(size, deadline))
        except CodecError:
            raise Unable("the worker sent a reply that makes no sense") from None

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self._output, select.POLLIN, deadline)
            part = os.read(self._output, min(size - len(parts), 1 << 20))
            if not part:
                raise Unable(self._last_words())
            parts += part
        return bytes(parts)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Unable("the worker took too long")

    def _last_words(self) -> str:
        """How the worker ended, with the last line that it wrote about it."""
        self.kill()
        self._errors.seek(0)
        lines = self._errors.read(1 << 20).decode("utf-8", "replace").splitlines()
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the worker ended with {how}" + (f": {lines[-1][:200]}" if lines else "")
