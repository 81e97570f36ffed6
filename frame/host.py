"""What the runtime asks of the machine it runs on."""

from typing import Protocol

from primitives.types import Hash


class HostFunctions(Protocol):
    """Functions that are exact on every machine, or say that they could not be run."""

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """The attested outputs of an exact model, `inference.certificate.encode_outputs`.

        `blob` is the content hash of its file, `certificate` what was proved of it, and `inputs` are
        canonical tensors within the ranges of the certificate. Raises Unable; never gives another answer.
        """
        ...
