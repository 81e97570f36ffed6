"""What runs the models of blocks: the right answer, or none. For the thread that executes blocks.

A file that is not here is asked for and not waited for: the thread is that of the whole chain. So is a worker
that hangs, which is why this one is nobody else's and has little time.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, Protocol

from frame.error import NotHere, Unable
from inference.certificate import (
    decode_certificate,
    decode_inputs,
    encode_outputs,
    in_range,
)
from inference.engines.kinds import EngineKind
from inference.process import WorkerSettings
from inference.refusal import Refused
from inference.tensor import ITEM_BYTES, Shape, Tensor, TensorError, TypeName
from inference.unable import Unable as WorkerUnable
from primitives.codec import CodecError
from primitives.hashing import blake2b_256
from primitives.types import Hash
from runtime.constants import INSTANT

SETTINGS: Final = WorkerSettings(
    start_s=20.0,
    base_s=4.0,
    memory_bytes=2 << 30,
    sessions_bytes=INSTANT.ready_bytes_max,
    engine=EngineKind.ONNXRUNTIME,
)
"""The engine is pinned: it is not the operator's choice, as it is for jobs. A block waits for it, so that all
models that blocks run stay ready at the same time."""

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """Who runs models: `inference.supervisor.Supervisor`, which starts its process when that is needed."""

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int, /
    ) -> tuple[Tensor, ...]:
        """Raises Refused, Unable."""
        ...

    def close(self) -> None:
        """End a computation that is under way."""
        ...


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    hash: bytes
    """BLAKE2b-256 of the data, by which the worker knows it."""


class BlockHost:
    """Implements frame.host.HostFunctions. `give` and `missing` are for another thread."""

    def __init__(self, worker: Worker) -> None:
        """No file is here."""
        self._worker = worker
        self._files: dict[Hash, _File] = {}
        self._missing: dict[Hash, None] = {}

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """As in HostFunctions."""
        file = self._files.get(blob)
        if file is None:
            self._missing[blob] = None
            raise NotHere(f"the model {blob.hex()[:12]} that the block runs is not here yet")
        proved = decode_certificate(certificate)
        try:
            tensors = decode_inputs(proved, inputs)
            outputs = self._worker.run(file.hash, lambda: file.data, tensors, proved.gas)
            attested = encode_outputs(proved, outputs)
        except WorkerUnable as error:
            raise Unable(f"the model that the block runs could not be run: {error}") from None
        except (Refused, TensorError, CodecError) as error:
            raise Unable(f"this machine contradicts the proof of a model in a block: {error}") from None
        if not in_range(proved.outputs, outputs):
            raise Unable("the engine left the range that was proved of a model in a block")
        return attested

    def give(self, blob: Hash, data: bytes) -> None:
        """A file that blocks may need, from now on."""
        self._files[blob] = _File(data, blake2b_256(data))
        self._missing.pop(blob, None)

    def has(self, blob: Hash) -> bool:
        """Whether the file is here."""
        return blob in self._files

    def missing(self) -> tuple[Hash, ...]:
        """Files that a block needed and that were not here."""
        return tuple(self._missing)

    def warm(self, blob: Hash, certificate: bytes) -> None:
        """Run a model once on zeros, so that no block waits for it to load."""
        proved = decode_certificate(certificate)
        file = self._files[blob]
        zeros = [
            Tensor(dtype=port.dtype, shape=port.shape, data=bytes(_size_bytes(port.dtype, port.shape)))
            for port in proved.inputs
        ]
        try:
            self._worker.run(file.hash, lambda: file.data, zeros, proved.gas)
        except (WorkerUnable, Refused) as error:
            _log.warning("a model that blocks run does not run here: %s", error)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


def _size_bytes(dtype: TypeName, shape: Shape) -> int:
    return prod(shape) * ITEM_BYTES[dtype]
