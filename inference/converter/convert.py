"""The whole conversion: understand, prepare, calibrate, allot, lower, prove, measure."""

from inference.converter.exact import make_exact
from inference.converter.options import Options, Samples, Watch, unwatched
from inference.converter.report import Conversion
from inference.converter.understanding import understand
from inference.engines.interface import InferenceEngine


def convert(
    model: bytes,
    samples: Samples,
    held_out: Samples,
    options: Options,
    engine: InferenceEngine,
    watch: Watch = unwatched,
) -> Conversion:
    """An exact model that does what the float model does; the same arguments give the same bytes.

    `samples` show which values occur; on `held_out`, which calibration has not seen, both are compared.
    Raises Refused, naming the node and what to change, or EngineError.
    """
    program = understand(model, options.shapes)
    return make_exact(program, samples, held_out, options, engine, watch)
