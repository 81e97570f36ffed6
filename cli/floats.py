"""Float models as people export them: read, with the sizes that the file leaves open."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import UserError
from cli.files import read_model
from inference.encoding import EncodingError, parse_real
from inference.graph import Port, read

if TYPE_CHECKING:
    from inference.converter.program import Program
    from inference.preparation.sets import Taken

ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME=SIZES", help="Sizes of an input that the file leaves open: x=1x3x48x192."
    ),
]
ConstantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--constant", metavar="NAME=NUMBER", help="An input that always has this value, such as a mask."
    ),
]


def understand_file(
    file: Path, shape: Sequence[str] | None, constant: Sequence[str] | None, samples: Path
) -> "Program":
    """What a float model computes; sizes that it leaves open are those of the samples.

    Raises UserError, Refused, EngineError.
    """
    import numpy as np

    from inference.converter.gate import FLOAT
    from inference.converter.understanding import understand
    from inference.preparation.errors import PreparationError
    from inference.preparation.weights import with_weights

    try:
        data = with_weights(file.expanduser(), read_model(file))
    except PreparationError as error:
        raise UserError(str(error), error.advice) from None
    graph = read(data, FLOAT)
    ports = [port for port in graph.inputs if port.name not in graph.constants]
    shapes = _seen_shapes(ports, samples) | _shapes(shape or ())
    bound = _constants(constant or ())
    for name in (*shapes, *bound):
        if name not in [port.name for port in ports]:
            raise UserError(f"{file} has no input {name!r}", f"its inputs are {_names(ports)}")
    for port in ports:
        sizes = _opened(port) if port.name not in shapes else shapes[port.name]
        if 0 in sizes:
            raise UserError(f"{file} leaves the sizes of {port.name} open", f"give {_example(port)}")
        if port.name in bound:
            shapes[port.name] = sizes
    if len(bound) == len(ports):
        raise UserError("--constant leaves no input for samples", f"leave out one of {_names(ports)}")
    constants = {
        port.name: np.full(shapes.pop(port.name), bound[port.name], dtype=port.dtype)
        for port in ports
        if port.name in bound
    }
    return understand(data, shapes, constants)


def _seen_shapes(ports: Sequence[Port], samples: Path) -> dict[str, tuple[int, ...]]:
    """The sizes of inputs that are open beyond the batch, as an archive of samples has them."""
    from inference.preparation.archives import archive_shapes

    found = archive_shapes(samples.expanduser(), [port.name for port in ports])
    return {
        port.name: (1, *found[port.name][1:])
        for port in ports
        if 0 in port.shape[1:] and len(found.get(port.name, ())) == len(port.shape)
    }


def _opened(port: Port) -> tuple[int, ...]:
    """Only the first dimension may be left open without a word: it is the batch."""
    return tuple(size or int(not at) for at, size in enumerate(port.shape))


def _example(port: Port) -> str:
    """Sizes that would do, as an option."""
    sizes = [size or (64 if at else 1) for at, size in enumerate(port.shape)]
    return f"them, for example --shape {port.name}={'x'.join(map(str, sizes))}, or samples as .npz"


def _names(ports: Sequence[Port]) -> str:
    return ", ".join(port.name for port in ports)


def taken_by(program: "Program") -> "list[Taken]":
    """What a float model takes."""
    from inference.preparation.sets import Taken

    return [Taken(source.name, source.dtype, source.shape) for source in program.sources]


def _shapes(given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """From NAME=1x3x48x192."""
    shapes = {}
    for text in given:
        name, separator, sizes = text.rpartition("=")
        if not separator or not all(size.isdecimal() for size in sizes.split("x")):
            raise typer.BadParameter(f"{text!r} is not NAME=1x3x48x192", param_hint="--shape")
        shapes[name] = tuple(int(size) for size in sizes.split("x"))
    return shapes


def _constants(given: Sequence[str]) -> dict[str, float]:
    """From NAME=1."""
    constants = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            constants[name] = float(parse_real(number))
        except EncodingError:
            raise typer.BadParameter(f"{text!r} is not NAME=NUMBER", param_hint="--constant") from None
    return constants
