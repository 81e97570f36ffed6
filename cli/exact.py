"""What commands show of exact models: certificates, and outputs as real numbers."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final

from cli.errors import UserError
from cli.output import print_fields
from inference.certificate import ExactnessCertificate, PortSpec, decode_verdict
from inference.encoding import decode
from inference.prover import Proof, prove
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, integers

if TYPE_CHECKING:
    from inference.preparation.card import Card

SHOWN_MAX: Final = 24
"""Numbers of an output that a person is shown; `--json` has all."""


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


def outputs_document(
    certificate: ExactnessCertificate, attested: Sequence[Tensor], card: "Card | None" = None
) -> dict[str, Any]:
    """The attested outputs by name, as the real numbers that they stand for, and what the first says.

    One score for each class: the class, by name if the card has one. Such scores for each step of a sequence:
    the classes. A single number, or one for each pixel, says only itself.
    """
    ports = [certificate.outputs[index] for index in certificate.attested]
    values = {
        name: [float(number) for number in numbers] for name, numbers in decode(ports, attested).items()
    }
    return {**_classes(attested[0], card), "values": values}


def _classes(scores: Tensor, card: "Card | None") -> dict[str, Any]:
    width = scores.shape[-1] if scores.shape else 1
    steps = prod(scores.shape) // width
    if width == 1 or len(scores.shape) > 3:
        return {}
    codes = integers(scores)
    rows = [codes[start : start + width] for start in range(0, steps * width, width)]
    classes = [row.index(max(row)) for row in rows]
    labels = [card.label(each) for each in classes] if card is not None and card.labels else []
    if steps > 1:
        return {"classes": classes} | ({"labels": labels} if labels else {})
    return {"class": classes[0]} | ({"label": labels[0]} if labels else {})


def print_outputs(document: Mapping[str, Any]) -> None:
    """What `outputs_document` says, for people; of long lists the beginning."""
    shown = {name: value for name, value in document.items() if name != "values"}
    print_fields({name: _short(value) for name, value in (shown | document["values"]).items()})


def _short(value: Any) -> str:
    """A list without brackets, cut where no person reads on."""
    if not isinstance(value, list):
        return str(value)
    more = f" ... ({len(value)} in all)" if len(value) > SHOWN_MAX else ""
    return (
        ", ".join(f"{each:.6g}" if isinstance(each, float) else str(each) for each in value[:SHOWN_MAX])
        + more
    )


def _port(port: PortSpec) -> str:
    return f"{port.name}: {port.dtype}{list(port.shape)} in {port.low}..{port.high}"
