"""Passes 1 to 3: what follows from constants and fixed shapes alone is computed before anybody reads on.

The file is first read by our own reader, so that no library sees unchecked bytes; then a process folds it
that is limited and sealed as a worker is; what comes back is read by the same reader again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec
import numpy as np

from inference.converter.gate import FLOAT
from inference.engines.interface import Array, EngineError, from_array
from inference.graph import CONSTANTS_MAX, MODEL_BYTES_MAX, PORTS_MAX, Graph, Port, read
from inference.process import WorkerProcess, WorkerSettings
from inference.refusal import refuse
from inference.tensor import ELEMENTS_MAX, ITEM_BYTES, RANK_MAX, Tensor
from inference.unable import Unable
from primitives.codec import Codec, CodecError, Record

PROCESS: Final = WorkerSettings(
    module="inference.engines.folding", engine="", memory_bytes=6 << 30, sessions_bytes=0, base_s=120
)
"""The process that folds: its address space, and its processor time."""
WALL_S: Final = 600.0
"""Longest that a fold may take on a loaded machine."""
REQUEST_BYTES_MAX: Final = 4 * MODEL_BYTES_MAX
REPLY_BYTES_MAX: Final = 2 * MODEL_BYTES_MAX
NAME_CHARACTERS_MAX: Final = 256

Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS_MAX)]
Size = Annotated[int, msgspec.Meta(ge=0, le=ELEMENTS_MAX)]
Sizes = Annotated[tuple[Size, ...], msgspec.Meta(max_length=RANK_MAX)]


class FoldRequest(Record, frozen=True):
    """A model, the shape of each input, and the values of those that are constant from now on."""

    model: Annotated[bytes, msgspec.Meta(max_length=MODEL_BYTES_MAX)]
    shapes: Annotated[tuple[tuple[Name, Sizes], ...], msgspec.Meta(max_length=PORTS_MAX)]
    constants: Annotated[tuple[tuple[Name, Tensor], ...], msgspec.Meta(max_length=PORTS_MAX)]


class TensorType(Record, frozen=True):
    """Of an input, or of the result of a node."""

    name: Name
    dtype: Annotated[str, msgspec.Meta(max_length=7)]
    shape: Sizes


class Folded(Record, frozen=True, tag="folded"):
    """The file after folding."""

    model: Annotated[bytes, msgspec.Meta(max_length=MODEL_BYTES_MAX)]
    tensors: Annotated[tuple[TensorType, ...], msgspec.Meta(max_length=CONSTANTS_MAX)]


class Unfolded(Record, frozen=True, tag="unfolded"):
    """Why the model cannot be loaded or run."""

    reason: Annotated[str, msgspec.Meta(max_length=400)]


FoldReply = Folded | Unfolded
REQUEST: Final = Codec[FoldRequest](FoldRequest)
REPLY: Final = Codec[FoldReply](FoldReply)


@dataclass(frozen=True, slots=True)
class FoldedGraph:
    """A float model with fixed shapes, in which nothing follows from constants alone any more."""

    file: bytes
    graph: Graph
    types: Mapping[str, TensorType]
    """Of every input and every result of a node that is a tensor of numbers."""
    unprotected: tuple[str, ...] = ()
    """Protections that the process which folded it had to do without; see `inference.protections`."""


def fold(
    data: bytes,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> FoldedGraph:
    """The model with its open dimensions and inputs bound, and folded.

    Raises Refused; EngineError if the process that folds was ended for its use of time or memory.
    """
    reply, unprotected = ask(prepare(data, shapes, constants))
    return replace(opened(reply), unprotected=unprotected)


def prepare(
    data: bytes,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> FoldRequest:
    """What to ask of the process that folds, once the file has passed the gate. Raises Refused."""
    graph = read(data, FLOAT)
    bound = {name: from_array(np.asarray(value)) for name, value in (constants or {}).items()}
    ports = [port for port in graph.inputs if port.name not in graph.constants]
    _ensure_known((*(shapes or {}), *bound), ports)
    free = [port for port in ports if port.name not in bound]
    return FoldRequest(
        model=data,
        shapes=tuple((port.name, _shape(port, (shapes or {}).get(port.name))) for port in free),
        constants=tuple(
            (port.name, _constant(port, bound[port.name])) for port in ports if port.name in bound
        ),
    )


def opened(reply: FoldReply) -> FoldedGraph:
    """The folded graph, once it has passed the gate too. Raises Refused."""
    if isinstance(reply, Unfolded):
        refuse(f"the model does not run: {reply.reason}"[:400])
    types = {each.name: each for each in reply.tensors}
    return FoldedGraph(reply.model, read(reply.model, FLOAT), types)


def _ensure_known(names: tuple[str, ...], ports: list[Port]) -> None:
    inputs = [port.name for port in ports]
    for name in names:
        if name not in inputs:
            refuse(f"the model has no input {name!r}; its inputs are {', '.join(inputs)}", "options")


def _shape(port: Port, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input: as declared, open dimensions as given; an open first one is the batch, 1."""
    if port.dtype not in ITEM_BYTES:
        refuse(
            "the input is not a tensor of numbers; export the model with float32 inputs, words as numbers",
            port.name,
        )
    shown = ", ".join(str(size or "?") for size in port.shape)
    if given is None:
        given = tuple(size or int(not at) for at, size in enumerate(port.shape))
        if 0 in given:
            refuse(f"the shape ({shown}) is open; give it as shapes, for example {_example(port)}", port.name)
    fits = len(given) == len(port.shape) or not port.shape
    if not fits or any(size not in (0, wanted) for size, wanted in zip(port.shape, given, strict=False)):
        refuse(f"the shape {given} does not fit the declared one ({shown})", port.name)
    if min(given, default=1) < 1 or len(given) > RANK_MAX or np.prod(given, dtype=object) > ELEMENTS_MAX:
        refuse(f"the shape {given} is impossible or too large", port.name)
    return tuple(given)


def _example(port: Port) -> str:
    """A shape that would do."""
    sizes = [size or (64 if at else 1) for at, size in enumerate(port.shape)]
    return f"{port.name}={'x'.join(str(size) for size in sizes)}"


def _constant(port: Port, value: Tensor) -> Tensor:
    fits = len(value.shape) == len(port.shape) and all(
        size in (0, given) for size, given in zip(port.shape, value.shape, strict=True)
    )
    if value.dtype != port.dtype or not fits:
        shown = ", ".join(str(size or "?") for size in port.shape)
        refuse(
            f"{value.dtype}{list(value.shape)} was given for an input {port.dtype}[{shown}]",
            port.name,
        )
    return value


def ask(request: FoldRequest, process: WorkerSettings = PROCESS) -> tuple[FoldReply, tuple[str, ...]]:
    """What a process of its own says, and the protections that it lacked. Raises EngineError."""
    folding = WorkerProcess(process)
    try:
        ready = folding.greet(WALL_S)
        if ready.trouble:
            raise EngineError(f"folding does not work here: {ready.trouble}")
        reply = REPLY.decode(folding.exchange(REQUEST.encode(request), WALL_S, REPLY_BYTES_MAX))
        return reply, ready.protections.missing()
    except Unable as trouble:
        raise EngineError(f"folding: {trouble}") from None
    except CodecError:
        raise EngineError("folding gave what makes no sense") from None
    finally:
        folding.kill()
        folding.release()
