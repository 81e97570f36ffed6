"""From an understood model to an exact one: prepare, calibrate, allot, lower, prove, measure.

Understanding and proving share nothing with what lies between: whatever the passes in the middle do, the
model that comes out is exact, because the prover says so from its bytes alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from inference.canonical import write
from inference.converter.allocate import allocate
from inference.converter.build import build
from inference.converter.calibrate import Floats, View, calibrate, checked
from inference.converter.correlation import correlate
from inference.converter.layout import laid_out
from inference.converter.measure import Measurement
from inference.converter.options import WEIGHT_BITS, Method, Options, Sample, Samples, Watch
from inference.converter.plan import Correlation, Spread
from inference.converter.prepare import prepare
from inference.converter.program import Program, Source
from inference.converter.report import Conversion, Trial
from inference.converter.sharing import Survey, survey
from inference.engines.interface import InferenceEngine
from inference.graph import Graph
from inference.prover import Proof, examine, prove
from inference.refusal import Refused, refuse

PIXELS: Final = (Fraction(1), Fraction(1, 255))
"""Units of pictures: an input that takes only multiples of one, up to 255 of it, gets it as its scale."""

TRIAL_SAMPLES_MIN: Final = 10
"""With fewer samples none can be spared to choose the method of calibration."""

TRIAL_SAMPLES_MAX: Final = 120
"""Most samples by which the method is chosen: the time of a trial is a conversion's."""

_APART: Final = 5
"""One sample of so many is kept apart."""

_OTHER_WEIGHT_BITS: Final = (8, 9, 10, 7)
"""What is tried, in this order, where the bits chosen for each layer do not reach the target."""


def make_exact(
    program: Program,
    samples: Samples,
    held_out: Samples,
    options: Options,
    engine: InferenceEngine,
    watch: Watch,
) -> Conversion:
    """Raises Refused, or EngineError."""
    if options.weight_bits is not None and options.weight_bits not in WEIGHT_BITS:
        refuse(
            f"weights of {options.weight_bits} bits: give {WEIGHT_BITS[0]} to {WEIGHT_BITS[-1]}", "options"
        )
    if options.int8 and options.weight_bits is not None:
        refuse("int8 fixes the bits of weights: leave one of the two out", "options")
    work = _Work.begin(program, samples, held_out, options, engine, watch)
    tried: tuple[Trial, ...] = ()
    if options.method is None:
        tried = work.tried(options) if options.int8 else ()
        options = replace(options, method=best(tried))
    if options.target_agreement is None:
        done = work.convert(options)
    else:
        done = work.reach(options, options.target_agreement)
    return replace(done, report=replace(done.report, tried=tried))


@dataclass(slots=True)
class _Work:
    """One conversion, perhaps with several settings."""

    survey: Survey
    views: Mapping[str, View]
    floats: Floats
    pixels: Mapping[str, Fraction]
    samples: Sequence[Sample]
    held_out: Sequence[Sample]
    engine: InferenceEngine
    watch: Watch
    spreads: dict[Method, dict[str, Spread]]
    correlations: dict[str, Correlation] | None = None

    @classmethod
    def begin(
        cls,
        program: Program,
        samples: Samples,
        held_out: Samples,
        options: Options,
        engine: InferenceEngine,
        watch: Watch,
    ) -> "_Work":
        prepared = prepare(program, options.int8)
        seen, unseen = checked(program, samples), checked(program, held_out)
        found = survey(prepared.program)
        views = {
            name: replace(prepared.aliases.get(name, View(name, 0)), axis=axis)
            for name, axis in found.axes.items()
        }
        floats = Floats(program, sorted({view.tensor for view in views.values()}), engine)
        pixels = {source.name: unit for source in program.sources if (unit := _pixels(source, seen))}
        return cls(found, views, floats, pixels, seen, unseen, engine, watch, {})

    def convert(self, options: Options) -> Conversion:
        """With the given settings, the method among them."""
        assert options.method is not None
        if options.method not in self.spreads:
            self.spreads[options.method] = calibrate(
                self.floats, self.views, self.samples, options.method, self.watch
            )
        if self.correlations is None:
            program = self.survey.wiring.program
            self.correlations = correlate(program, self.views, self.floats, self.samples, self.watch)
        spreads = self.spreads[options.method]
        plan = allocate(self.survey, spreads, self.correlations, self.pixels, options)
        built = build(plan, self.watch)
        self.watch("proving", 0, 1)
        proof = _proved(built.graph)
        measurement = Measurement(plan, built, proof, self.views, self.engine, self.watch)
        return Conversion(proof.canonical, proof.certificate, measurement.report(self.floats, self.held_out))

    def tried(self, options: Options) -> tuple[Trial, ...]:
        """Every method, calibrated on four of five samples and measured on the fifth. Raises Refused."""
        samples = self.samples[:TRIAL_SAMPLES_MAX]
        if len(samples) < TRIAL_SAMPLES_MIN:
            return ()
        seen = [sample for index, sample in enumerate(samples) if (index + 1) % _APART]
        work = replace(self, samples=seen, held_out=samples[_APART - 1 :: _APART], spreads={})
        trials = []
        for method in Method:
            outputs = work.convert(replace(options, method=method)).report.outputs
            matched, total = sum(each.matched for each in outputs), sum(each.total for each in outputs)
            trials.append(Trial(method, matched, total, max(each.relative_error for each in outputs)))
        return tuple(trials)

    def reach(self, options: Options, target: Fraction) -> Conversion:
        """With the first settings, in a fixed order, whose agreement meets the target."""
        best, why = Fraction(-1), ""
        for each in settings(options):
            try:
                done = self.convert(each)
            except Refused as refused:
                why = why or str(refused)
                continue
            agreement = Fraction(done.report.matched, done.report.total)
            if agreement >= target:
                return done
            best = max(best, agreement)
        reached = f"the best of the settings agrees on {float(best):.2%} of the held-out samples"
        wanted = f"not {float(target):.2%}: give more samples for calibration, or a lower target"
        return refuse(f"{reached}, {wanted}" if best >= 0 else f"no setting gives an exact model: {why}")


def best(tried: Sequence[Trial]) -> Method:
    """The method with the most answers that are the float model's, then the one with the least error."""
    ranked = sorted(tried, key=lambda trial: (-trial.matched, trial.relative_error))
    return ranked[0].method if ranked else Method.MINMAX


def _proved(graph: Graph) -> Proof:
    """The graph as it was lowered if it has no movements, else in the layout that saves some of them.

    In that, bounds of channels may become one: where that is too wide, the graph is taken as it was lowered.
    Raises Refused.
    """
    proof, findings = examine(write(graph))
    if not any(node.operator in ("Reshape", "Transpose") for node in graph.nodes):
        return proof
    shapes = {port.name: port.shape for port in graph.inputs}
    for finding in findings:
        shapes |= {
            name: value.shape for name, value in zip(finding.node.outputs, finding.values, strict=True)
        }
    try:
        return prove(write(laid_out(graph, shapes)))
    except Refused:
        return proof


def settings(options: Options) -> Iterator[Options]:
    """What is tried to meet a target: as asked, other methods, then other bits for weights."""
    methods = [options.method, *(method for method in Method if method is not options.method)]
    bits = [options.weight_bits]
    if not options.int8:
        bits += [each for each in (None, *_OTHER_WEIGHT_BITS) if each != options.weight_bits]
    for weight_bits in bits:
        for method in methods:
            yield replace(options, method=method, weight_bits=weight_bits)


def _pixels(source: Source, samples: Sequence[Sample]) -> Fraction | None:
    """The unit of a picture, if the input is one: of rank 3 or more, with few distinct values."""
    if len(source.shape) < 3 or not source.dtype.startswith("float"):
        return None
    for unit in PIXELS:
        if all(_multiples(np.asarray(sample[source.name], dtype=np.float64), unit) for sample in samples):
            return unit
    return None


def _multiples(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], unit: Fraction) -> bool:
    steps = values / float(unit)
    return bool((np.abs(steps) <= 255).all() and (np.abs(steps - np.rint(steps)) < 1e-3).all())
