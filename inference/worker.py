"""The process that proves and runs models for a node:
`python -m inference.worker ENGINE MEMORY_BYTES SESSIONS_BYTES BASE_S [ARGUMENT ...]`.

It runs only what it proved, from bytes that it wrote itself.
"""

import math
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from inference import messages, sandbox, serving
from inference.certificate import VERDICT_BYTES_MAX, proof_gas
from inference.engines.choice import Chosen, choose
from inference.engines.interface import EngineError, InferenceEngine
from inference.engines.kinds import EngineKind
from inference.evaluation import Unusable, evaluate, read_dataset
from inference.gas import allowance_s
from inference.messages import REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Failed, Reply, Request
from inference.prover import Proof, prove, verdict
from inference.refusal import Refusal, Refused
from inference.selftest import trial
from inference.sessions import Session, Sessions
from inference.tensor import Tensor, TensorError, from_integers
from primitives.hashing import blake2b_256

PROVED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of the proved files that are remembered, and their certificates: reading a file can take as long as proving
it."""


@dataclass(frozen=True, slots=True)
class Service:
    """Answers requests, one at a time."""

    engine: InferenceEngine
    sessions: Sessions
    allow: Callable[[int], None]
    """Called with the gas of what comes next, so that it gets the time that it may take."""

    proved: OrderedDict[bytes, Proof] = field(default_factory=OrderedDict)
    """What was loaded before, by the hash of the file; what was not for longest first."""

    def reply(self, request: bytes) -> bytes:
        """The answer as it is sent. Raises CodecError for what is no request."""
        payload = messages.REPLY.encode(self.answer(messages.REQUEST.decode(request)))
        if len(payload) > REPLY_BYTES_MAX:
            payload = messages.REPLY.encode(Failed(reason="the outputs are too large to return"))
        return payload

    def answer(self, request: Request) -> Reply:
        try:
            match request:
                case messages.Prove(model):
                    self.allow(proof_gas(len(model)))
                    return verdict(model)
                case messages.Load(model):
                    return self._load(model)
                case messages.Run(file_hash, inputs):
                    return self._run(file_hash, inputs)
                case messages.Evaluate():
                    return self._evaluate(request)
        except EngineError as error:
            return Failed(reason=str(error)[:400])
        except MemoryError:
            self.sessions.clear()
            return Failed(reason="the worker ran out of memory")

    def _load(self, file: bytes) -> Reply:
        """Prove, load, and run once on zeros: what an engine cannot do shows here."""
        self.allow(proof_gas(len(file)))
        file_hash = blake2b_256(file)
        try:
            proof = self._proof(file_hash, file)
        except Refused as refused:
            return refused.refusal
        self.allow(proof.certificate.gas)
        session = Session(proof.certificate, self.engine.load(proof.canonical))
        session.run(tuple(_zeros(port.dtype, port.shape) for port in proof.certificate.inputs))
        self.sessions.put(file_hash, session)
        return messages.Loaded()

    def _proof(self, file_hash: bytes, file: bytes) -> Proof:
        """The proof of a file, which takes long only the first time: whoever has many models run in turn pays
        for the runs alone. Raises Refused."""
        proof = self.proved.pop(file_hash, None) or prove(file)
        self.proved[file_hash] = proof
        while sum(map(_remembered_bytes, self.proved.values())) > PROVED_BYTES_MAX:
            self.proved.popitem(last=False)
        return proof

    def _run(self, file_hash: bytes, inputs: tuple[Tensor, ...]) -> Reply:
        session = self.sessions.get(file_hash)
        if session is None:
            return messages.NotLoaded()
        self.allow(session.certificate.gas)
        try:
            return messages.Outputs(outputs=session.run(inputs))
        except TensorError as error:
            return Refusal(node="inputs", reason=str(error)[:400])

    def _evaluate(self, request: messages.Evaluate) -> Reply:
        session = self.sessions.get(request.file_hash)
        if session is None:
            return messages.NotLoaded()
        if session.certificate != request.certificate:
            return Failed(reason="this machine contradicts the proof of the model")
        self.allow(request.gas)
        rows = read_dataset(request.certificate, request.metric, request.data, request.rows)
        if isinstance(rows, Unusable):
            return rows
        return evaluate(request.certificate, request.metric, rows, session.run)


def _remembered_bytes(proof: Proof) -> int:
    return len(proof.canonical) + VERDICT_BYTES_MAX


def _zeros(dtype: str, shape: tuple[int, ...]) -> Tensor:
    one = from_integers(dtype, (), [0])
    return Tensor(dtype=dtype, shape=shape, data=one.data * math.prod(shape))


def main() -> None:
    """Serve the engine that the arguments name."""
    kind = EngineKind(sys.argv[1])
    serve(lambda: choose(kind, sys.argv[5:]), alone=kind is not EngineKind.REMOTE)


def serve(make_engine: Callable[[], Chosen], alone: bool = True) -> None:
    """Serve until the standard input closes; with network and files unless `alone`.

    The self-test has every library load what it loads when first used.
    """
    memory_bytes, sessions_bytes, base_s = (int(argument) for argument in sys.argv[2:5])

    def allow(gas: int) -> None:
        sandbox.allow_cpu(base_s + math.ceil(allowance_s(gas)))

    def load() -> tuple[serving.Answer, str]:
        chosen = make_engine()
        service = Service(chosen.engine, Sessions(sessions_bytes), allow)
        return service.reply, trial.trouble(*chosen.tested) or ""

    serving.serve(load, memory_bytes, REQUEST_BYTES_MAX, alone)


if __name__ == "__main__":
    main()
