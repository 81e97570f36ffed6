"""The conversion: understand, calibrate, allot bits, lower, write, prove, measure.

Understanding and proving share nothing with what lies between: whatever the passes in the middle do, the
model that comes out is exact, because the prover says so from its bytes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from inference.canonical import write
from inference.certificate import ExactnessCertificate, Scale
from inference.converter.arithmetic import Reals
from inference.converter.dense import (
    Grid,
    IntegerLayer,
    bits_for,
    hidden_grid,
    input_grid,
    lower,
    lower_scores,
)
from inference.converter.importer import understand
from inference.converter.network import Layer, Network
from inference.converter.original import open_original
from inference.encoding import encode, greatest
from inference.engines.interface import InferenceEngine, from_array
from inference.graph import AttributeValue, Graph, Node, Port
from inference.prover import Proof, prove
from inference.refusal import refuse
from inference.scales import declare
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers

INPUT: Final = "features"
SCORES: Final = "scores"
CLASS: Final = "class"


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What became of one layer, over the calibration samples."""

    name: str
    inputs: int
    outputs: int
    input_bits: int
    """Bits of the integers that enter it."""
    weight_bits: int
    """Bits of the largest weight of the coarsest output."""
    relative_error: float
    """Root mean square of the difference to the float layer, by that of the float layer's results."""
    limited: float
    """Share of the results that the float layer has beyond the integers' range."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a conversion cost."""

    layers: tuple[LayerReport, ...]
    matched: int
    """Held-out samples that get the same class from the exact model as from the float model."""
    total: int
    differing: tuple[int, ...]
    """Indices of the samples that do not."""
    limited_samples: int
    """Held-out samples with a feature outside the range that was seen in calibration."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """An exact model, its certificate and what it cost."""

    model: bytes
    certificate: ExactnessCertificate
    report: Report


def convert(
    model: bytes,
    calibration: Sequence[Sequence[Fraction]],
    held_out: Sequence[Sequence[Fraction]],
    engine: InferenceEngine,
) -> Conversion:
    """An exact model that does what the float model does; the same arguments give the same bytes.

    `held_out` are samples that calibration has not seen. Raises Refused, or EngineError.
    """
    network = with_two_scores(understand(model))
    samples = _matrix(calibration, network)
    _matrix(held_out, network)
    lowered = _lower(network, samples)
    proof = prove(write(_graph(lowered)))
    matched = _compare(model, network, proof, held_out, engine)
    report = Report(
        layers=tuple(_layer_reports(network, lowered, samples)),
        matched=sum(same for same, _ in matched),
        total=len(matched),
        differing=tuple(index for index, (same, _) in enumerate(matched) if not same),
        limited_samples=sum(limited for _, limited in matched),
    )
    return Conversion(proof.canonical, proof.certificate, report)


def with_two_scores(network: Network) -> Network:
    """A single score before a sigmoid becomes the scores 0 and itself: the greater one is the class."""
    if not network.single_score:
        return network
    last = network.layers[-1]
    weights = np.concatenate([np.zeros_like(last.weights), last.weights], axis=1)
    layer = Layer(last.name, weights, np.concatenate([[0.0], last.bias]), last.low, last.high)
    return Network(
        input_name=network.input_name,
        input_shape=network.input_shape,
        input_dtype=network.input_dtype,
        layers=(*network.layers[:-1], layer),
        classes_name=network.classes_name,
        single_score=True,
    )


@dataclass(frozen=True, slots=True)
class _Lowered:
    """A network on integers."""

    source: Grid
    source_scales: tuple[Fraction, ...]
    layers: tuple[IntegerLayer, ...]
    scores_scale: Fraction


def _matrix(rows: Sequence[Sequence[Fraction]], network: Network) -> Reals:
    """The samples as float64[rows, features]."""
    width = network.layers[0].weights.shape[0]
    if not rows:
        refuse("there are no samples", "samples")
    for index, row in enumerate(rows):
        if len(row) != width:
            refuse(f"sample {index} has {len(row)} features, the model takes {width}", "samples")
    return np.array([[float(value) for value in row] for row in rows])


def _lower(network: Network, samples: Reals) -> _Lowered:
    """Layer by layer; each result gets the bits that suit the layer that reads it."""
    magnitudes = (samples.max(axis=0) - samples.min(axis=0)) / 2
    source, source_scales = input_grid(samples, bits_for(network.layers[0], magnitudes))
    grid, results, layers = source, samples, []
    for layer, reader in zip(network.layers[:-1], network.layers[1:], strict=True):
        results = layer.apply(results)
        reached = np.abs(results).max(axis=0)
        target = hidden_grid(layer, reached, bits_for(reader, reached))
        layers.append(lower(layer, grid, target))
        grid = target
    scores, scores_scale = lower_scores(network.layers[-1], grid)
    return _Lowered(source, source_scales, (*layers, scores), scores_scale)


def _graph(lowered: _Lowered) -> Graph:
    """int32 features, limited, then Gemm, Clip and Round for each layer, to int32 scores and the class."""
    grid = lowered.source
    constants = {
        "low": from_integers("int32", (), [grid.low]),
        "high": from_integers("int32", (), [grid.high]),
    }
    nodes: list[Node] = []

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: AttributeValue) -> str:
        nodes.append(Node(len(nodes), operator, tuple(inputs), (output,), attributes))
        return output

    at = add("Clip", (INPUT, "low", "high"), "limited")
    at = add("Cast", (at,), "real", to=ELEMENT_CODES["float32"])
    for index, layer in enumerate(lowered.layers):
        factors = 2.0**-layer.steps
        constants[f"weights{index}"] = _float32(layer.weights * factors)
        constants[f"bias{index}"] = _float32(layer.bias * factors)
        at = add("Gemm", (at, f"weights{index}", f"bias{index}"), f"sums{index}")
        if index < len(lowered.layers) - 1:
            constants[f"low{index}"] = _float32(np.array(layer.grid.low))
            constants[f"high{index}"] = _float32(np.array(layer.grid.high))
            at = add("Clip", (at, f"low{index}", f"high{index}"), f"limited{index}")
            at = add("Round", (at,), f"hidden{index}")
    at = add("Cast", (at,), SCORES, to=ELEMENT_CODES["int32"])
    add("ArgMax", (at,), CLASS, axis=1, keepdims=0)
    width = len(lowered.layers[-1].bias)
    return Graph(
        inputs=(Port(INPUT, "int32", (1, len(grid.scales))),),
        outputs=(Port(SCORES, "int32", (1, width)), Port(CLASS, "int64", (1,))),
        nodes=tuple(nodes),
        constants=constants,
        metadata=declare(
            INPUT,
            [_scale(each) for each in lowered.source_scales],
            grid.zeros[: len(lowered.source_scales)].tolist(),
        )
        | declare(SCORES, [_scale(lowered.scores_scale)], [0]),
    )


def _float32(values: Reals) -> Tensor:
    """Exact: every value is an integer below 2^24 times a power of two."""
    exact = values.astype(np.float32)
    assert (exact == values).all()
    return from_array(exact)


def _scale(value: Fraction) -> Scale:
    return Scale(numerator=value.numerator, denominator=value.denominator)


def _compare(
    model: bytes, network: Network, proof: Proof, rows: Sequence[Sequence[Fraction]], engine: InferenceEngine
) -> list[tuple[bool, bool]]:
    """For each sample: whether both models give the same class, and whether an input had to be limited."""
    original, exact = open_original(model, network, engine), engine.load(proof.canonical)
    compared = []
    for row in rows:
        encoded = encode(proof.certificate, {INPUT: row})
        scores = exact.run(encoded.tensors)[0]
        compared.append((greatest(scores) == original.classify(row)[1], bool(encoded.limited)))
    return compared


def _layer_reports(network: Network, lowered: _Lowered, samples: Reals) -> list[LayerReport]:
    """Both networks side by side over the calibration samples."""
    grid = lowered.source
    codes = np.rint(samples / grid.scales).astype(np.int64) + grid.zeros
    integers, reals, reports = np.clip(codes, grid.low, grid.high), samples, []
    for layer, integer_layer in zip(network.layers, lowered.layers, strict=True):
        reals, integers = layer.apply(reals), integer_layer.apply(integers)
        target = integer_layer.grid
        difference = integers * target.scales - reals
        size = float(np.sqrt(np.mean(reals**2)))
        beyond = (reals > target.high * target.scales) | (reals < target.low * target.scales)
        reports.append(
            LayerReport(
                name=layer.name,
                inputs=layer.weights.shape[0],
                outputs=layer.weights.shape[1],
                input_bits=grid.bits,
                weight_bits=_weight_bits(integer_layer),
                relative_error=float(np.sqrt(np.mean(difference**2))) / size if size else 0.0,
                limited=float(np.mean(beyond)),
            )
        )
        grid = target
    return reports


def _weight_bits(layer: IntegerLayer) -> int:
    """Bits of the largest weight of the coarsest output, outputs without weights aside."""
    largest = np.abs(layer.weights).max(axis=0)
    return int(largest[largest > 0].min(initial=2**24)).bit_length()
