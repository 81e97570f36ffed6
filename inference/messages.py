"""What supervisor and worker say to each other: one request, one reply, each a frame on a pipe.

A frame is the length of its payload in four bytes, big-endian, and the payload, canonical MessagePack.
"""

from typing import Annotated, Final

import msgspec

from inference.certificate import ExactnessCertificate
from inference.evaluation import DATASET_BYTES_MAX, Evaluation, Metric, RowCount, evaluation_gas
from inference.graph import MODEL_BYTES_MAX, PORTS_MAX
from inference.protections import Protections
from inference.refusal import Refusal
from inference.tensor import Tensor
from primitives.codec import Codec, Record
from primitives.types import Bytes32

HEADER_BYTES: Final = 4
REQUEST_BYTES_MAX: Final = MODEL_BYTES_MAX + 4096
REPLY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bounds outputs: results above 4 KiB are rare, above 1 MiB unheard of."""

ModelBytes = Annotated[bytes, msgspec.Meta(max_length=MODEL_BYTES_MAX)]
Tensors = Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=PORTS_MAX)]
Reason = Annotated[str, msgspec.Meta(max_length=400)]


class Prove(Record, frozen=True, tag="prove"):
    """Asks for the verdict on a file."""

    model: ModelBytes


class Load(Record, frozen=True, tag="load"):
    """Asks to prove a file and keep it ready to run."""

    model: ModelBytes


class Run(Record, frozen=True, tag="run"):
    """Asks for the outputs of a model that was loaded, named by the BLAKE2b-256 of its file."""

    file_hash: Bytes32
    inputs: Tensors


class Evaluate(Record, frozen=True, tag="evaluate"):
    """Asks what a model that was loaded is worth on a data set."""

    file_hash: Bytes32
    certificate: ExactnessCertificate
    """What is known of the model; a worker that proves something else of it counts nothing."""

    metric: Metric
    rows: RowCount
    """That the data set should have."""

    data: Annotated[bytes, msgspec.Meta(max_length=DATASET_BYTES_MAX)]

    @property
    def gas(self) -> int:
        """Of all of it."""
        return evaluation_gas(self.certificate, self.metric, self.rows, len(self.data))


class Ready(Record, frozen=True, tag="ready"):
    """The worker has started."""

    protections: Protections
    trouble: Reason
    """Why its engine does not compute as the proofs assume; empty if it does."""


class Loaded(Record, frozen=True, tag="loaded"):
    """The model is ready."""


class NotLoaded(Record, frozen=True, tag="not_loaded"):
    """The worker does not hold that model (any more)."""


class Outputs(Record, frozen=True, tag="outputs"):
    """What a run gave."""

    outputs: Tensors


class Failed(Record, frozen=True, tag="failed"):
    """The worker could not do it; says nothing about the model."""

    reason: Reason


Request = Prove | Load | Run | Evaluate
Reply = Ready | ExactnessCertificate | Refusal | Loaded | NotLoaded | Outputs | Evaluation | Failed

REQUEST: Final[Codec[Request]] = Codec(Request)
REPLY: Final[Codec[Reply]] = Codec(Reply)


def frame(payload: bytes) -> bytes:
    """The payload with its length before it."""
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload
