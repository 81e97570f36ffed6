"""The result of a task, as canonical bytes: the same on every machine, or none."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from inference.certificate import (
    ExactnessCertificate,
    Verdict,
    decode_inputs,
    decode_verdict,
    encode_outputs,
    encode_verdict,
    outputs_in_range,
)
from inference.protections import Protections
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, TensorError
from inference.unable import Unable
from node.attestation.core import Trouble
from primitives.hashing import blake2b_256
from runtime.jobs import InferTask, ProveTask

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


def compute(worker: Worker, task: ProveTask | InferTask, model: bytes) -> bytes | Trouble:
    """The result of `task` about the file `model`; blocks until the worker is done."""
    try:
        return _verdict(worker, task, model) if isinstance(task, ProveTask) else _outputs(worker, task, model)
    except Unable as error:
        LOGGER.warning("abstaining from a job: %s", error)
        return Trouble.UNABLE


def wrong_length(task: ProveTask, size_bytes: int) -> bytes:
    """The verdict on a file of another length than was registered, which nobody need look into."""
    reason = f"the file has {size_bytes} bytes, not {task.size_bytes}"
    return encode_verdict(Refusal(node="model", reason=reason))


def _verdict(worker: Worker, task: ProveTask, model: bytes) -> bytes:
    """What the chain is told of a file: a refusal is a verdict like any other."""
    if len(model) != task.size_bytes:
        return wrong_length(task, len(model))
    return encode_verdict(worker.prove(model))


def _outputs(worker: Worker, task: InferTask, model: bytes) -> bytes:
    """The attested outputs of a run. Raises Unable."""
    certificate = decode_verdict(task.certificate)
    assert isinstance(certificate, ExactnessCertificate)
    inputs = decode_inputs(certificate, task.input)
    try:
        outputs = worker.run(blake2b_256(model), lambda: model, inputs, certificate.gas)
        attested = encode_outputs(certificate, outputs)
    except (Refused, TensorError) as error:
        raise Unable(f"this machine contradicts the proof of the model: {error}") from None
    if not outputs_in_range(certificate, outputs):
        raise Unable("the engine left the range that was proved")
    return attested
