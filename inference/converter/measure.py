"""The exact model next to the float model, over samples that calibration has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.canonical import write
from inference.certificate import ExactnessCertificate, PortSpec
from inference.converter.build import Built
from inference.converter.calibrate import Floats, View
from inference.converter.code import Code
from inference.converter.options import Sample, Watch
from inference.converter.plan import Plan
from inference.converter.program import Head, Map, Reals, Sink
from inference.converter.report import LayerReport, OutputReport, Report
from inference.engines.interface import InferenceEngine, from_array, to_array
from inference.graph import Graph, Port
from inference.prover import Proof

Array = NDArray[Any]

LAYER_SAMPLES_MAX: Final = 16
"""Most samples over which every tensor is compared: there are many of them."""

SURE: Final = 0.5
"""The score from which the float model is taken to be sure."""

_CLOSE: Final = 0.01
"""For an output that is a number, not a choice: what counts as the same, by the outputs' own size."""


def codes_of(port: PortSpec, array: Array) -> tuple[Array, bool]:
    """The integers that stand for an input's reals, and whether one had to be limited."""
    scales = np.array([each.numerator / each.denominator for each in port.scales])
    whole = np.rint(array.astype(np.float64) / scales) + np.array(port.zero_points)
    limited = np.clip(whole, port.low, port.high)
    return limited.astype(port.dtype), bool((limited != whole).any())


@dataclass(slots=True)
class _Tally:
    """One output, over the samples."""

    sink: Sink
    axis: int
    unit: float
    matched: int = 0
    total: int = 0
    sure_matched: int = 0
    sure_total: int = 0
    error: float = 0.0
    size: float = 0.0

    def add(self, reals: Reals, integers: Array) -> bool:
        """Whether the sample gets the same answer throughout."""
        exact = integers.astype(np.float64) * self.unit
        if exact.shape[self.axis] == 2 * reals.shape[self.axis]:
            reals = np.concatenate([np.zeros_like(reals), reals], axis=self.axis)
        self.error += float(np.square(exact - reals).sum())
        self.size += float(np.square(reals).sum())
        same, sure = self._same(reals, exact)
        self.matched += int(same.sum())
        self.total += same.size
        self.sure_matched += int((same & sure).sum())
        self.sure_total += int(sure.sum())
        return bool(same.all())

    def _same(self, reals: Reals, exact: Reals) -> tuple[Array, Array]:
        if self.sink.head is Head.SIGMOID and self.sink.class_axis is None:
            same = (reals > 0) == (exact > 0)
            return same, np.ones_like(same)
        if reals.shape[self.axis] == 1:
            same = np.abs(exact - reals) <= _CLOSE * np.sqrt(self.size / max(self.total + reals.size, 1))
            return same, np.ones_like(same)
        best = np.argmax(reals, axis=self.axis)
        powers = np.exp(reals - reals.max(axis=self.axis, keepdims=True))
        sure = 1 / powers.sum(axis=self.axis) >= SURE
        return np.asarray(best == np.argmax(exact, axis=self.axis)), np.asarray(sure)

    def report(self) -> OutputReport:
        return OutputReport(
            name=self.sink.name,
            matched=self.matched,
            total=self.total,
            sure_matched=self.sure_matched,
            sure_total=self.sure_total,
            relative_error=float(np.sqrt(self.error / self.size)) if self.size else 0.0,
        )


@dataclass(slots=True)
class _Layer:
    """One step, over the samples."""

    error: float = 0.0
    size: float = 0.0
    limited: int = 0
    count: int = 0

    def add(self, reals: Reals, exact: Array, code: Code, ends: tuple[Reals, Reals]) -> None:
        if reals.shape != exact.shape:
            return
        values = exact.astype(np.float64) * code.scale + code.offset
        self.error += float(np.square(values - reals).sum())
        self.size += float(np.square(reals).sum())
        self.limited += int(((reals < ends[0]) | (reals > ends[1])).sum())
        self.count += reals.size


@dataclass(slots=True)
class Measurement:
    """Both models, ready to run side by side."""

    plan: Plan
    built: Built
    proof: Proof
    views: Mapping[str, View]
    engine: InferenceEngine
    watch: Watch
    _layers: dict[str, _Layer] = field(default_factory=dict)

    def report(self, floats: Floats, samples: Sequence[Sample]) -> Report:
        """Raises EngineError."""
        tallies = [self._tally(sink) for sink in self.plan.program.sinks]
        exact = self.engine.load(self.proof.canonical)
        names = [port.name for port in self.proof.certificate.outputs]
        differing, limited = [], 0
        for index, sample in enumerate(samples):
            self.watch("comparing", index, len(samples))
            inputs, beyond = self._encoded(self.proof.certificate, sample)
            limited += beyond
            outputs = dict(zip(names, exact.run([from_array(each) for each in inputs]), strict=True))
            reals = floats.run(sample)
            same = [
                tally.add(self._reals(reals, tally.sink.step), to_array(outputs[tally.sink.name]))
                for tally in tallies
            ]
            if not all(same):
                differing.append(index)
        self._compare_layers(floats, samples[:LAYER_SAMPLES_MAX])
        assert self.plan.options.method is not None
        return Report(
            method=self.plan.options.method,
            layers=tuple(self._layer(name) for name in self.plan.steps if name in self._layers),
            outputs=tuple(tally.report() for tally in tallies),
            matched=len(samples) - len(differing),
            total=len(samples),
            differing=tuple(differing),
            limited_samples=limited,
            unprotected=self.plan.program.unprotected,
        )

    def _tally(self, sink: Sink) -> _Tally:
        unit = float(self.plan.grids[sink.step].scale.reshape(-1)[0])
        return _Tally(sink, sink.axis(self.plan.steps[sink.step].shape), unit)

    def _encoded(self, certificate: ExactnessCertificate, sample: Sample) -> tuple[list[Array], bool]:
        coded = [codes_of(port, np.asarray(sample[port.name])) for port in certificate.inputs]
        return [codes for codes, _ in coded], any(beyond for _, beyond in coded)

    def _reals(self, arrays: Mapping[str, Array], name: str) -> Reals:
        return self.views[name].of(arrays).astype(np.float64)

    def _compare_layers(self, floats: Floats, samples: Sequence[Sample]) -> None:
        """With every tensor of the exact graph that stands for one of the float model as an output."""
        codes = {
            name: code
            for name, code in self.built.codes.items()
            if name in self.plan.steps and code.dtype == "float32" and self._made(code.name)
        }
        names = sorted({code.name for code in codes.values()})
        shapes = {code.name: code.shape for code in codes.values()}
        graph = self.built.graph
        ports = tuple(Port(name, "float32", shapes[name]) for name in names)
        probe = Graph(graph.inputs, ports, graph.nodes, graph.constants, {})
        model = self.engine.load(write(probe))
        for index, sample in enumerate(samples):
            self.watch("comparing layers", index, len(samples))
            inputs, _ = self._encoded(self.proof.certificate, sample)
            arrays = model.run([from_array(each) for each in inputs])
            outputs = {name: to_array(each) for name, each in zip(names, arrays, strict=True)}
            reals = floats.run(sample)
            for name, code in codes.items():
                layer = self._layers.setdefault(name, _Layer())
                grid = self.plan.grids[name]
                ends = ((grid.low - 0.5) * grid.scale, (grid.high + 0.5) * grid.scale)
                values = outputs[code.name].reshape(code.shape)
                layer.add(self._reals(reals, name), values, code, ends)

    def _made(self, name: str) -> bool:
        return any(name in node.outputs for node in self.built.graph.nodes)

    def _layer(self, name: str) -> LayerReport:
        layer, step = self._layers[name], self.plan.steps[name]
        kind = (step.label or step.form.value) if isinstance(step, Map) else type(step).__name__
        return LayerReport(
            name=name,
            kind=kind,
            bits=self.plan.grids[name].bits,
            weight_bits=self.built.weight_bits.get(name),
            relative_error=float(np.sqrt(layer.error / layer.size)) if layer.size else 0.0,
            limited=layer.limited / max(layer.count, 1),
        )
