"""The process that proves and runs models for a node: `python -m inference.worker MEMORY_BYTES CPU_S`.

It reads requests from its standard input and ends as soon as that closes, in the middle of work if need be,
so that it never outlives its supervisor. (PR_SET_PDEATHSIG would not do: it fires when the *thread* that
started the worker ends.) It runs only what it proved, from bytes that it wrote itself.
"""

import os
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from queue import Queue
from threading import Thread
from typing import BinaryIO, Final

from inference import messages, sandbox, selftest
from inference.certificate import ExactnessCertificate, ensure_tensors, outputs_in_range
from inference.engines.interface import EngineError, InferenceEngine, LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.messages import HEADER_BYTES, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Failed, Reply, Request
from inference.prover import prove, verdict
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, TensorError, from_integers
from primitives.codec import CodecError
from primitives.hashing import blake2b_256

SESSIONS_MAX: Final = 8
"""Models kept ready; the one unused for longest goes first."""


@dataclass(frozen=True, slots=True)
class Session:
    """A proved model that is ready to run."""

    certificate: ExactnessCertificate
    model: LoadedModel

    def run(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Raises TensorError for inputs that do not fit, EngineError for impossible outputs."""
        ensure_tensors(self.certificate.inputs, inputs)
        outputs = self.model.run(inputs)
        try:
            ensure_tensors(self.certificate.outputs, outputs)
        except TensorError as error:
            raise EngineError(f"the engine returned the wrong tensors: {error}") from None
        if not outputs_in_range(self.certificate, outputs):
            raise EngineError("the engine returned numbers outside their proved range")
        return outputs


@dataclass(slots=True)
class Service:
    """Answers requests, one at a time."""

    engine: InferenceEngine
    sessions: OrderedDict[bytes, Session] = field(default_factory=OrderedDict)

    def answer(self, request: Request) -> Reply:
        try:
            match request:
                case messages.Prove(model):
                    return verdict(model)
                case messages.Load(model):
                    return self._load(model)
                case messages.Run(file_hash, inputs):
                    return self._run(file_hash, inputs)
                case messages.SelfTest():
                    trouble = selftest.trouble(self.engine)
                    return Failed(reason=trouble[:400]) if trouble else messages.Loaded()
        except EngineError as error:
            return Failed(reason=str(error)[:400])
        except MemoryError:
            return Failed(reason="the worker ran out of memory")

    def _load(self, file: bytes) -> Reply:
        """Prove, load, and run once on zeros: what an engine cannot do shows here."""
        try:
            proof = prove(file)
        except Refused as refused:
            return refused.refusal
        session = Session(proof.certificate, self.engine.load(proof.canonical))
        session.run(tuple(_zeros(port.dtype, port.shape) for port in proof.certificate.inputs))
        self.sessions[blake2b_256(file)] = session
        while len(self.sessions) > SESSIONS_MAX:
            self.sessions.popitem(last=False)
        return messages.Loaded()

    def _run(self, file_hash: bytes, inputs: tuple[Tensor, ...]) -> Reply:
        session = self.sessions.get(file_hash)
        if session is None:
            return messages.NotLoaded()
        self.sessions.move_to_end(file_hash)
        try:
            return messages.Outputs(tensors=session.run(inputs))
        except TensorError as error:
            return Refusal(node="inputs", reason=str(error)[:400])


def _zeros(dtype: str, shape: tuple[int, ...]) -> Tensor:
    one = from_integers(dtype, (), [0])
    count = 1
    for size in shape:
        count *= size
    return Tensor(dtype=dtype, shape=shape, data=one.data * count)


def main() -> None:
    """Serve until the standard input closes."""
    memory_bytes, cpu_s = (int(argument) for argument in sys.argv[1:3])
    isolated = sandbox.enter(memory_bytes)
    replies = sandbox.keep_output()
    requests: Queue[Request] = Queue(maxsize=1)
    Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    service = Service(OnnxRuntimeEngine())
    _write(replies, messages.Ready(network_isolated=isolated))
    while True:
        request = requests.get()
        sandbox.allow_cpu(cpu_s)
        _write(replies, service.answer(request))


def _read(source: BinaryIO, requests: Queue[Request]) -> None:
    """Queue what arrives; end the process when nothing more can, or when it cannot be read."""
    try:
        while header := source.read(HEADER_BYTES):
            size = int.from_bytes(header, "big")
            payload = source.read(size) if size <= REQUEST_BYTES_MAX else b""
            requests.put(messages.REQUEST.decode(payload))
    except (CodecError, MemoryError) as error:
        os.write(2, f"cannot read a request: {type(error).__name__}".encode())
        os._exit(1)
    os._exit(0)


def _write(replies: int, reply: Reply) -> None:
    payload = messages.REPLY.encode(reply)
    if len(payload) > REPLY_BYTES_MAX:
        payload = messages.REPLY.encode(Failed(reason="the outputs are too large to return"))
    left = memoryview(messages.frame(payload))
    while left:
        left = left[os.write(replies, left) :]


if __name__ == "__main__":
    main()
