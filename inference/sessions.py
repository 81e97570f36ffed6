"""The models that a worker keeps ready to run."""

from collections import OrderedDict
from dataclasses import dataclass

from inference.certificate import ExactnessCertificate, ensure_tensors, ready_bytes
from inference.engines.interface import EngineError, LoadedModel, to_array
from inference.tensor import Tensor, TensorError


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
        for port, tensor in zip(self.certificate.outputs, outputs, strict=True):
            array = to_array(tensor)
            if array.min() < port.low or array.max() > port.high:
                raise EngineError("the engine returned numbers outside their proved range")
        return outputs


class Sessions:
    """By the hash of the file. Beyond `bytes_max` the one unused for longest goes, but never the last."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[bytes, Session] = OrderedDict()

    def get(self, file_hash: bytes) -> Session | None:
        session = self._kept.get(file_hash)
        if session is not None:
            self._kept.move_to_end(file_hash)
        return session

    def put(self, file_hash: bytes, session: Session) -> None:
        self._drop(file_hash)
        self._kept[file_hash] = session
        self._bytes += ready_bytes(session.certificate)
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def _drop(self, file_hash: bytes) -> None:
        session = self._kept.pop(file_hash, None)
        if session is not None:
            self._bytes -= ready_bytes(session.certificate)
