"""What commands show of exact models: certificates, and outputs as real numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.errors import UserError
from inference.certificate import ExactnessCertificate, PortSpec, decode_verdict
from inference.encoding import decode, greatest
from inference.prover import Proof, prove
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor


def prove_file(data: bytes, file: object) -> Proof:
    """The proof that the model in a file is exact. Raises UserError with the node and the reason."""
    try:
        return prove(data)
    except Refused as error:
        raise UserError(
            f"{file} is not exact: {error}", "make an exact model with `consil model convert`"
        ) from None


def certificate_of(verdict: str) -> ExactnessCertificate:
    """The certificate in the hexadecimal verdict of a model's proof. Raises UserError if it is a refusal."""
    found = decode_verdict(bytes.fromhex(verdict[2:]))
    if isinstance(found, Refusal):
        raise UserError(f"validators refused this model ({found.node}: {found.reason})", "it cannot be used")
    return found


def certificate_document(certificate: ExactnessCertificate) -> dict[str, Any]:
    """A certificate for people and for `--json`."""
    return {
        "hash": f"0x{certificate.model_hash.hex()}",
        "inputs": [_port(port) for port in certificate.inputs],
        "outputs": [_port(port) for port in certificate.outputs],
        "bytes": certificate.size_bytes,
        "nodes": certificate.nodes,
        "macs": certificate.macs,
        "peakBytes": certificate.peak_bytes,
        "gas": certificate.gas,
    }


def certificate_fields(document: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `certificate_document` says, for people; nothing if there is none."""
    shown = {} if document is None else document
    return {name: "\n".join(value) if isinstance(value, list) else value for name, value in shown.items()}


def outputs_document(certificate: ExactnessCertificate, attested: Sequence[Tensor]) -> dict[str, Any]:
    """The attested outputs by name, as the real numbers that they stand for, and the class of the first."""
    ports = [certificate.outputs[index] for index in certificate.attested]
    values = {
        name: [float(number) for number in numbers] for name, numbers in decode(ports, attested).items()
    }
    return {"class": greatest(attested[0]), "values": values}


def _port(port: PortSpec) -> str:
    return f"{port.name}: {port.dtype}{list(port.shape)} in {port.low}..{port.high}"
