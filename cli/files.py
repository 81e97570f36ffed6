"""Files that commands read and write: bounded, whole or not at all, and tried before long work."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from cli.errors import UserError
from inference import schema
from inference.graph import MODEL_BYTES_MAX
from inference.refusal import Refused
from inference.wire import FLOAT_ITEMS_MAX, Reader

_MODEL: Final = {number: replace(field, refused="") for number, field in schema.MODEL.items()}
_GRAPH: Final = {number: replace(field, refused="") for number, field in schema.GRAPH.items()}


_BLOCK_BYTES: Final = 4096
"""What is written to see whether there is any room; the content itself is known only after the work."""


def read_bytes(file: Path, bytes_max: int) -> bytes:
    """The content of a file of at most `bytes_max`. Raises UserError."""
    try:
        with file.expanduser().open("rb") as opened:
            data = opened.read(bytes_max + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", "check the path") from None
    if len(data) > bytes_max:
        raise UserError(f"{file} has more than {bytes_max} bytes", "that is more than is taken")
    return data


def read_model(file: Path) -> bytes:
    """The content of a file that looks like an ONNX model: not that it can be used. Raises UserError."""
    data = read_bytes(file, MODEL_BYTES_MAX)
    reader = Reader(FLOAT_ITEMS_MAX)
    try:
        graph = reader.message(memoryview(data), "ModelProto", _MODEL).part("graph")
        nodes = reader.message(graph, "GraphProto", _GRAPH).parts("node")
    except Refused as error:
        raise _no_model(file, error.refusal.reason) from None
    if not nodes:
        raise _no_model(file, "it holds no graph")
    return data


def _no_model(file: Path, reason: str) -> UserError:
    return UserError(f"{file} is no ONNX model: {reason}", "check the path, or export the model again")


def ensure_writable(file: Path) -> None:
    """Raises UserError if `write_whole` of `file` would: asked before the work that makes its content."""
    _attempt(file, bytes(_BLOCK_BYTES), keep=False)
    place = file.expanduser()
    if place.exists() and not place.is_file():
        raise UserError(f"cannot write {file}: it is no regular file", "choose another name")


def ensure_another(file: Path, out: Path) -> None:
    """Raises UserError if writing `out` would overwrite `file`, or cannot succeed."""
    if out.expanduser().resolve() == file.expanduser().resolve():
        raise UserError(f"--out would overwrite {file}", "choose another --out")
    ensure_writable(out)


def ensure_new(file: Path) -> None:
    """Raises UserError if `file` is there, or `write_new` of it could not succeed."""
    if os.path.lexists(file.expanduser()):
        raise _taken(file)
    ensure_writable(file)


def write_whole(file: Path, data: bytes) -> None:
    """All of it or nothing, whatever interrupts or writes there at the same time. Raises UserError."""
    _attempt(file, data, keep=True)


def write_new(file: Path, data: bytes) -> None:
    """Write a file that is not there yet, all of it or nothing. Raises UserError."""
    place = file.expanduser()
    try:
        with place.open("xb") as out:
            try:
                out.write(data)
                out.flush()
            except OSError:
                place.unlink()
                raise
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise _unwritten(file, error) from None


def _attempt(file: Path, data: bytes, *, keep: bool) -> None:
    place = file.expanduser()
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    try:
        try:
            draft.write_bytes(data)
            if keep:
                draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(file, error) from None


def _taken(file: Path) -> UserError:
    return UserError(f"{file} exists", "choose another file, or move it away")


def _unwritten(file: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {file}: {error.strerror}", "make room, or choose a place that you can write to"
    )
