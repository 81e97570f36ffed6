"""What the runtime asks of the machine it runs on."""

from typing import Protocol


class HostFunctions(Protocol):
    """Functions that are exact on every machine, or say that they could not be run."""

    def run_model(self, model: bytes, tensors: bytes) -> bytes:
        """Outputs of the exact model with this content hash. Raises Unable; never gives another answer."""
        ...
