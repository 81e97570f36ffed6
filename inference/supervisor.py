"""The node's side of one worker: synchronous, with deadlines, over a process that may be killed at any time.

Imports no ONNX library and no numpy.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from types import TracebackType
from typing import Final, Self

from inference import messages
from inference.certificate import ExactnessCertificate, Verdict, proof_gas
from inference.evaluation import Evaluation
from inference.gas import allowance_s
from inference.graph import MODEL_BYTES_MAX, PORTS_MAX, ensure_size
from inference.messages import Failed, Ready, Reply, Request
from inference.process import WorkerProcess, WorkerSettings
from inference.protections import Protections
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, TensorError, ensure_sound
from inference.unable import Unable

Tensors = tuple[Tensor, ...]

RECENT_MAX: Final = 64
"""Models that a supervisor remembers its worker to have run."""


class Supervisor:
    """One worker at a time, started when needed and replaced when it fails. Calls from several threads take
    turns."""

    def __init__(self, settings: WorkerSettings | None = None) -> None:
        self._settings = settings or WorkerSettings()
        self._turn = Lock()
        self._worker: WorkerProcess | None = None
        self._ready: Ready | None = None
        self._closed = False
        self._recent: tuple[bytes, ...] = ()
        self.ended: Counter[str] = Counter()
        """How often a worker had to be replaced, by the kind of trouble."""

    def prove(self, model: bytes) -> Verdict:
        """The certificate of a file, or why it is refused. Raises Unable."""
        try:
            ensure_size(model)
        except Refused as refused:
            return refused.refusal
        with self._turn:
            reply = self._ask(messages.Prove(model=model), proof_gas(len(model)))
            if isinstance(reply, ExactnessCertificate | Refusal):
                return reply
            raise self._unexpected(reply)

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int
    ) -> Tensors:
        """The outputs of the model whose file has that BLAKE2b-256 and whose certificate says `gas`.

        `fetch` gives the file if the worker lacks it. Raises Refused if the model cannot be proved or the
        inputs do not fit, Unable if this machine failed.
        """
        request = messages.Run(file_hash=file_hash, inputs=_sendable(inputs))
        with self._turn:
            reply = self._ask_loaded(request, gas, fetch, gas)
            if isinstance(reply, messages.Outputs):
                return reply.outputs
            raise self._unexpected(reply)

    def evaluate(self, request: messages.Evaluate, fetch: Callable[[], bytes]) -> Evaluation:
        """What a model is worth on a data set, all of it in one request.

        `fetch` gives the file if the worker lacks it. Raises Refused if the model cannot be proved, Unable if
        this machine failed.
        """
        with self._turn:
            reply = self._ask_loaded(request, request.gas, fetch, request.certificate.gas)
            if isinstance(reply, Evaluation):
                return reply
            raise self._unexpected(reply)

    def has_run(self, file_hash: bytes) -> bool:
        """Whether the worker ran that model lately, so that it may be ready. From any thread, at once."""
        return file_hash in self._recent

    def self_test(self) -> None:
        """Raises Unable, with the reason, unless the engine computes as the proofs assume."""
        with self._turn:
            self._started_soundly()

    def protections(self) -> Protections:
        """What stands between a model and this machine; the operator should be warned of what does not.

        Raises Unable.
        """
        with self._turn:
            return self._started()[1].protections

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

    def _ask_loaded(
        self, request: messages.Run | messages.Evaluate, gas: int, fetch: Callable[[], bytes], run_gas: int
    ) -> Reply:
        """One request of `gas` about a model of which a run costs `run_gas`, loaded first if need be. Raises
        Refused, Unable."""
        self._started_soundly()
        reply = self._ask(request, gas)
        if isinstance(reply, messages.NotLoaded):
            model = fetch()
            ensure_size(model)
            reply = self._ask(messages.Load(model=model), proof_gas(len(model)) + run_gas)
            if isinstance(reply, messages.Loaded):
                reply = self._ask(request, gas)
        if isinstance(reply, Refusal):
            raise Refused(reply.node, reply.reason)
        if request.file_hash not in self._recent:
            self._recent = (request.file_hash, *self._recent[: RECENT_MAX - 1])
        return reply

    def _ask(self, request: Request, gas: int) -> Reply:
        """One request to a running worker, which does not survive a failure to answer."""
        payload = messages.REQUEST.encode(request)
        worker, _ = self._started()
        try:
            return worker.ask(payload, self._settings.base_s + allowance_s(gas))
        except BaseException as error:
            self._part(error)
            raise

    def _started_soundly(self) -> None:
        """A worker whose engine passed the self-test. Raises Unable."""
        trouble = self._started()[1].trouble
        if trouble:
            raise Unable(trouble)

    def _started(self) -> tuple[WorkerProcess, Ready]:
        """A worker that has greeted, and how; one that has ended meanwhile is replaced."""
        if self._worker is not None and self._worker.has_ended():
            self.ended["Crashed"] += 1
            self._discard()
        if self._worker is None:
            self._worker = WorkerProcess(self._settings)
            try:
                self._ready = self._worker.greet(self._settings.start_s)
            except BaseException as error:
                self._part(error)
                raise
        if self._closed:
            self._discard()
            raise Unable("the supervisor is closed")
        assert self._ready is not None
        return self._worker, self._ready

    def _part(self, error: BaseException) -> None:
        """Discard a worker that failed, unless it was ended on purpose, which is no failure of its own."""
        if not self._closed:
            self.ended[type(error).__name__] += 1
        self._discard()

    def _discard(self) -> None:
        """Part with the worker, if there is one."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.release()
            self._worker, self._ready, self._recent = None, None, ()

    def _unexpected(self, reply: Reply) -> Unable:
        """Why a reply is no answer."""
        if isinstance(reply, Failed):
            return Unable(reply.reason)
        return Unable(f"the worker answered {type(reply).__name__}")


def _sendable(inputs: Sequence[Tensor]) -> Tensors:
    """The inputs, if they are tensors and fit a request; whether they fit the model, the worker says."""
    try:
        for tensor in inputs:
            ensure_sound(tensor)
    except TensorError as error:
        raise Refused("inputs", str(error)) from None
    if len(inputs) > PORTS_MAX or sum(len(tensor.data) for tensor in inputs) > MODEL_BYTES_MAX:
        raise Refused("inputs", f"more than {PORTS_MAX} inputs, or more than {MODEL_BYTES_MAX} bytes of them")
    return tuple(inputs)
