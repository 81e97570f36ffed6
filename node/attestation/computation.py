"""The result of a task, as canonical bytes: the same on every machine, or none."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from frame.sealing import SealingKey
from inference.certificate import (
    ExactnessCertificate,
    Verdict,
    decode_certificate,
    decode_inputs,
    encode_outputs,
    encode_verdict,
    in_range,
)
from inference.evaluation import Evaluation, Unusable, encode_evaluation
from inference.messages import Evaluate
from inference.protections import Protections
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, TensorError, integers
from inference.unable import Unable
from node.attestation.core import Result, Stored, Trouble
from node.sealing.box import Fixed, NotForUs, Unopenable, open_input, seal_output
from pallets.inference import is_output_long
from primitives.codec import CodecError
from primitives.hashing import blake2b_256
from primitives.types import Bytes32, Seed
from runtime.jobs import EvaluateTask, InferTask, ProveTask, Task

LOGGER: Final = logging.getLogger(__name__)


class Worker(Protocol):
    """Who proves and runs models: `inference.pool.WorkerPool`."""

    @property
    def calls_max(self) -> int:
        """Calls at one time of which none is refused for being too many."""
        ...

    def self_test(self) -> None:
        """Raises Unable, with the reason, unless the engine computes as the proofs assume."""
        ...

    def protections(self) -> Protections:
        """What stands between models and this machine. Raises Unable."""
        ...

    def prove(self, model: bytes, /) -> Verdict:
        """Raises Unable."""
        ...

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int, /
    ) -> tuple[Tensor, ...]:
        """The outputs of a run that costs `gas`. Raises Refused, Unable."""
        ...

    def evaluate(self, request: Evaluate, fetch: Callable[[], bytes], /) -> Evaluation:
        """What a model is worth on a data set. Raises Refused, Unable."""
        ...

    def close(self) -> None:
        """End a computation that is under way."""
        ...


def unfitness(worker: Worker) -> str | None:
    """Why this machine does not compute as the proofs assume; None if it does."""
    try:
        worker.self_test()
        missing = worker.protections().missing()
        if missing:
            LOGGER.warning("models run here without these protections: %s", ", ".join(missing))
    except Unable as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class Material:
    """What a task is about, fetched and opened."""

    model: bytes
    input: bytes | None = None
    """What the requester gave outside of the state; or a data set."""

    salt: Bytes32 | None = None
    """Of a private input."""


def opened(task: InferTask, given: bytes, secrets: Mapping[SealingKey, Seed]) -> Material | Trouble:
    """The input in what the requester gave, without a model; trouble if it is none that the model takes."""
    assert task.given is not None
    try:
        if task.given.commitment is None or task.given.panel is None:
            found = Material(b"", given)
        else:
            fixed = Fixed(task.given.purpose, task.given.commitment, task.given.panel)
            secret = open_input(given, fixed, secrets)
            found = Material(b"", secret.plaintext, secret.salt)
        ensure_input(decode_certificate(task.certificate), found.input or b"")
    except NotForUs:
        LOGGER.warning("abstaining from a private job: it is not sealed to a key of this node")
        return Trouble.UNABLE
    except (Unopenable, CodecError, TensorError) as error:
        LOGGER.warning("abstaining from a job, by the fault of its requester: %s", error)
        return Trouble.UNREADABLE
    return found


def ensure_input(certificate: ExactnessCertificate, data: bytes) -> None:
    """Raises CodecError or TensorError unless `data` is what the model tells apart."""
    for port, tensor in zip(certificate.inputs, decode_inputs(certificate, data), strict=True):
        if not all(port.low <= value <= port.high for value in integers(tensor)):
            raise TensorError(f"{port.name} is out of its range")


def compute(worker: Worker, task: Task, material: Material) -> Result | Trouble:
    """The result of `task`; blocks until the worker is done."""
    try:
        if isinstance(task, ProveTask):
            return _verdict(worker, task, material.model)
        if isinstance(task, EvaluateTask):
            return _evaluation(worker, task, material)
        return _outputs(worker, task, material)
    except Unable as error:
        LOGGER.warning("abstaining from a job: %s", error)
        return Trouble.UNABLE


def wrong_dataset(size_bytes: int, task: EvaluateTask) -> bytes:
    """The verdict on a data set of another length than was registered, which nobody need look into."""
    return encode_evaluation(Unusable(0, f"it has {size_bytes} bytes, not {task.size_bytes}"))


def wrong_length(task: ProveTask, size_bytes: int) -> bytes:
    """The verdict on a file of another length than was registered, which nobody need look into."""
    reason = f"the file has {size_bytes} bytes, not {task.size_bytes}"
    return encode_verdict(Refusal(node="model", reason=reason))


def _verdict(worker: Worker, task: ProveTask, model: bytes) -> bytes:
    """What the chain is told of a file: a refusal is a verdict like any other."""
    if len(model) != task.size_bytes:
        return wrong_length(task, len(model))
    return encode_verdict(worker.prove(model))


def _outputs(worker: Worker, task: InferTask, material: Material) -> Result:
    """The attested outputs of a run. Raises Unable."""
    certificate = decode_certificate(task.certificate)
    given = task.input if task.given is None else material.input
    assert given is not None
    inputs = decode_inputs(certificate, given)
    model = material.model
    try:
        outputs = worker.run(blake2b_256(model), lambda: model, inputs, certificate.gas)
        attested = encode_outputs(certificate, outputs)
    except (Refused, TensorError) as error:
        raise Unable(f"this machine contradicts the proof of the model: {error}") from None
    if not in_range(certificate.outputs, outputs):
        raise Unable("the engine left the range that was proved")
    if task.given is not None and task.given.is_output_sealed:
        assert material.salt is not None
        return Stored(seal_output(material.salt, attested))
    return Stored(attested) if is_output_long(certificate) else attested


def _evaluation(worker: Worker, task: EvaluateTask, material: Material) -> bytes:
    """What the model is worth on the data set, of which this process reads nothing. Raises Unable."""
    model, data = material.model, material.input or b""
    if len(data) != task.size_bytes:
        return wrong_dataset(len(data), task)
    request = Evaluate(
        file_hash=blake2b_256(model),
        certificate=decode_certificate(task.certificate),
        metric=task.metric,
        rows=task.rows,
        data=data,
    )
    try:
        return encode_evaluation(worker.evaluate(request, lambda: model))
    except Refused as error:
        raise Unable(f"this machine contradicts the proof of the model: {error}") from None
