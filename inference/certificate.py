"""What a proof establishes about a model, in canonical bytes, so that validators can vote on it.

Holds integers, text and bytes only, and depends on the model's bytes alone: two provers that follow the
rules, on any two machines, produce the same bytes.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from inference.graph import MODEL_BYTES_MAX, NAME_BYTES_MAX, PORTS_MAX
from inference.refusal import Refusal
from inference.tensor import ELEMENTS_MAX, Shape, Tensor, TensorError, TypeName, ensure_sound, integers
from inference.wire import ITEMS_MAX
from primitives.codec import Codec, Record
from primitives.types import U63, U63_MAX, Bytes32

VERDICT_BYTES_MAX: Final = 4096
"""Longest certificate: it is kept in full by all who vote on it. Bounds the scales to some two hundred."""

SCALES_MAX: Final = VERDICT_BYTES_MAX // 4
"""Most scales, and most zero points, of one input or output: more cannot fit."""

GAS_BASE: Final = 900_000
"""Gas of one run besides the model. All constants of a run are in multiply-adds, fitted by `benchmarks.gas`;
docs/gas.md has the table."""
GAS_PER_NODE: Final = 25_000
"""Dispatch of a node."""
GAS_PER_MAC: Final = 1
GAS_PER_COMPARISON: Final = 200
"""A node that a tree passes on the way to a leaf."""
GAS_PER_BYTE: Final = 75
"""Hashing a byte of the model's file, as each job does; reading it from memory is a tenth of that."""
PROOF_GAS_BASE: Final = 4_000_000_000
"""Starting a proof, and the steps that it may take however short the file is: 70 ms of Python."""
PROOF_GAS_PER_BYTE: Final = 12_000
"""Proving in Python takes about 0.2 us per byte: 13 s for 64 MB of weights."""
PROOF_GAS_PER_ITEM: Final = 60_000
"""Reading what is no tensor, number by number, takes a microsecond for each byte more; a file has at most
ITEMS_MAX such numbers."""

READY_BASE_BYTES: Final = 128 * 1024
"""What an engine keeps for a model of any size; 105 KiB measured."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_BYTES_MAX)]
I63 = Annotated[int, msgspec.Meta(ge=-U63_MAX, le=U63_MAX)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=U63_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=ELEMENTS_MAX)]


class Scale(Record, frozen=True):
    """The real number that one step of an integer stands for: numerator / denominator, in lowest terms."""

    numerator: Positive
    denominator: Positive


class PortSpec(Record, frozen=True):
    """An input or output: its type, its range, and which real numbers its integers stand for.

    An integer q of channel c stands for (q - zero_points[c]) * scales[c]; channels run along the last
    dimension. A single scale, or zero point, serves every channel.
    """

    name: Name
    dtype: TypeName
    shape: Shape
    low: I63
    """Least integer that makes a difference: the model limits a smaller input to this one."""
    high: I63
    scales: Annotated[tuple[Scale, ...], msgspec.Meta(min_length=1, max_length=SCALES_MAX)]
    zero_points: Annotated[tuple[I63, ...], msgspec.Meta(min_length=1, max_length=SCALES_MAX)]


Ports = Annotated[tuple[PortSpec, ...], msgspec.Meta(min_length=1, max_length=PORTS_MAX)]


class Assumption(Record, frozen=True):
    """How accurate every library's Exp, Erf, Sigmoid and Tanh of float32 numbers are taken to be."""

    ulps: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    """A result is off by at most ulps * 2^-23: of itself for Exp, of 1 for the others, which lie within 1."""


class Gap(Record, frozen=True):
    """What a model with certified functions rests on: no slash does."""

    assumption: Assumption
    margin: U63
    """Least distance, in 2^-32 of a step, of what any engine may compute from a boundary of rounding."""


class ExactnessCertificate(Record, frozen=True, tag="exact"):
    """A model's outputs are the same bits on every engine that computes in IEEE arithmetic, in any order."""

    model_hash: Bytes32
    """BLAKE2b-256 of the canonical model, which says what the file says in the one way there is."""
    inputs: Ports
    outputs: Ports
    attested: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1, max_length=PORTS_MAX)]
    """Indices of the outputs that an attestation covers: not a class, which could be guessed, but its scores.
    """
    bounds_digest: Bytes32
    """BLAKE2b-256 over type, shape and cells of every tensor, in order."""
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MODEL_BYTES_MAX)]
    """Size of the canonical model."""
    nodes: U63
    macs: U63
    """Multiply-accumulate operations of one run."""
    elements: U63
    """Elements that the nodes write in one run."""
    peak_bytes: U63
    """Most bytes of constants and live tensors at one time, if every tensor is freed after its last use."""
    gas: U63
    """Cost of one run."""
    gap: Gap | None = None
    """None if the proof assumes nothing."""


Verdict = ExactnessCertificate | Refusal
"""What a prover says of a model: both are deterministic, and both are voted on."""

_VERDICT: Final[Codec[Verdict]] = Codec(Verdict)
_CERTIFICATE: Final = Codec[ExactnessCertificate](ExactnessCertificate)
_TENSORS: Final[Codec[tuple[Tensor, ...]]] = Codec(tuple[Tensor, ...])


def run_gas(*, macs: int, handling: int, comparisons: int, nodes: int, size_bytes: int) -> int:
    """Gas of one run of a model."""
    work = GAS_PER_MAC * macs + handling + GAS_PER_COMPARISON * comparisons
    return GAS_BASE + work + GAS_PER_NODE * nodes + GAS_PER_BYTE * size_bytes


def ready_bytes(certificate: ExactnessCertificate) -> int:
    """Memory of a model that is ready to run: the weights, once as they came and once as the engine arranges
    them, and the tensors of a run."""
    return READY_BASE_BYTES + certificate.peak_bytes + certificate.size_bytes


def proof_gas(size_bytes: int) -> int:
    """Gas of proving a file of `size_bytes`, known before the proof."""
    items = min(size_bytes, ITEMS_MAX)
    return PROOF_GAS_BASE + PROOF_GAS_PER_BYTE * size_bytes + PROOF_GAS_PER_ITEM * items


def encode_verdict(verdict: Verdict) -> bytes:
    """The canonical bytes that a `prove` job's digest covers and its record keeps."""
    return _VERDICT.encode(verdict)


def decode_verdict(data: bytes) -> Verdict:
    """Raises primitives.codec.CodecError."""
    return _VERDICT.decode(data)


def decode_certificate(data: bytes) -> ExactnessCertificate:
    """A verdict that proves. Raises primitives.codec.CodecError, of a refusal too."""
    return _CERTIFICATE.decode(data)


def encode_outputs(certificate: ExactnessCertificate, outputs: Sequence[Tensor]) -> bytes:
    """The canonical bytes that an `infer` job's digest covers: the attested outputs. Raises TensorError."""
    ensure_tensors(certificate.outputs, outputs)
    return _TENSORS.encode(tuple(outputs[index] for index in certificate.attested))


def decode_outputs(certificate: ExactnessCertificate, data: bytes) -> tuple[Tensor, ...]:
    """The attested outputs from their canonical bytes. Raises CodecError or TensorError."""
    outputs = _TENSORS.decode(data)
    ensure_tensors([certificate.outputs[index] for index in certificate.attested], outputs)
    return outputs


def encode_inputs(certificate: ExactnessCertificate, inputs: Sequence[Tensor]) -> bytes:
    """The canonical bytes of a model's inputs, in the certificate's order. Raises TensorError."""
    ensure_tensors(certificate.inputs, inputs)
    return _TENSORS.encode(tuple(inputs))


def decode_inputs(certificate: ExactnessCertificate, data: bytes) -> tuple[Tensor, ...]:
    """A model's inputs from their canonical bytes. Raises CodecError or TensorError."""
    inputs = _TENSORS.decode(data)
    ensure_tensors(certificate.inputs, inputs)
    return inputs


def ensure_tensors(ports: Sequence[PortSpec], tensors: Sequence[Tensor]) -> None:
    """Raises TensorError unless there is one sound tensor for each port, of its type and shape."""
    if len(tensors) != len(ports):
        wanted = ", ".join(f"{port.name} {port.dtype}{list(port.shape)}" for port in ports)
        raise TensorError(f"expected {len(ports)}: {wanted[:160]}; not {len(tensors)}")
    for port, tensor in zip(ports, tensors, strict=True):
        ensure_sound(tensor)
        if (tensor.dtype, tensor.shape) != (port.dtype, port.shape):
            raise TensorError(
                f"{port.name} takes {port.dtype}{list(port.shape)}, not {tensor.dtype}{list(tensor.shape)}"
            )


def in_range(ports: Sequence[PortSpec], tensors: Sequence[Tensor]) -> bool:
    """Whether every integer lies in the range of its port. Raises TensorError of what are no integers.

    Of inputs, that is what the model tells apart; an engine whose outputs leave the range is broken.
    """
    for port, tensor in zip(ports, tensors, strict=True):
        values = integers(tensor)
        if min(values) < port.low or max(values) > port.high:
            return False
    return True
