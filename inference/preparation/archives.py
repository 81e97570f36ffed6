"""Archives of arrays as numpy writes them, read without belief in what they say of themselves."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.preparation.errors import PreparationError

SET_BYTES_MAX: Final = 2 << 30
"""Most bytes that a set may take in memory."""
ARRAYS_MAX: Final = 256
LABELS: Final = ("labels", "label", "y")
"""Names of the array or column, if there is one, that holds the classes."""

_UNREADABLE: Final = (
    *(OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),  # a compression that Python lacks; a password
)
"""What reading an archive raises if it is none, or damaged."""


def absent(place: Path) -> PreparationError:
    """There is no such file."""
    return PreparationError(f"cannot read {place}: there is no such file", "check the path")


def archive_shapes(place: Path, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays for those inputs in an .npz, without their values; none if it is no archive.

    What is wrong with it, `read_set` says.
    """
    if place.suffix.lower() != ".npz":
        return {}
    try:
        with zipfile.ZipFile(place) as archive:
            shapes = {name: header.shape for name, header in _headers(archive).items()}
    except _UNREADABLE:
        return {}
    arrays = [name for name in shapes if name not in LABELS]
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: shapes[arrays[0]]}
    return {name: shapes[name] for name in names if name in shapes}


def read_archive(file: Path, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
    """The arrays for those inputs of a model, and the labels, if there are any. Raises PreparationError.

    The array for the only input may have any name.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            headers = _headers(archive)
            found = {name: _array_for(name, len(names), headers, file) for name in names}
            labels_at = next((name for name in LABELS if name in headers), None)
            wanted = {*found.values(), *([] if labels_at is None else [labels_at])}
            _ensure_bounded(file, {name: headers[name] for name in wanted})
            arrays = {}
            for name in wanted:
                with archive.open(headers[name].entry) as opened:
                    arrays[name] = np.lib.format.read_array(opened, allow_pickle=False)
    except FileNotFoundError:
        raise absent(file) from None
    except _UNREADABLE as error:
        raise PreparationError(
            f"cannot read {file}: {error}", "write arrays of numbers with numpy.savez"
        ) from None
    chosen = {name: arrays[at] for name, at in found.items()}
    return chosen, None if labels_at is None else arrays[labels_at]


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array in an archive says of itself; nothing is believed yet."""

    entry: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unpacked_bytes: int
    """What the archive has for it, and gives at most."""


def _headers(archive: zipfile.ZipFile) -> dict[str, _Header]:
    """The arrays in an archive, by name; at most ARRAYS_MAX, and without what is no array.

    Raises what is in `_UNREADABLE`.
    """
    found = {}
    for entry in archive.infolist()[:ARRAYS_MAX]:
        if entry.filename.endswith(".npy"):
            with archive.open(entry) as opened:
                first = np.lib.format.read_magic(opened) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(opened)
            name = entry.filename.removesuffix(".npy")
            found[name] = _Header(entry.filename, tuple(shape), dtype, entry.file_size)
    return found


def _array_for(name: str, inputs: int, headers: Mapping[str, _Header], file: Path) -> str:
    """The name of the array for an input: a single one may have any."""
    arrays = [each for each in headers if each not in LABELS]
    if inputs == 1 and len(arrays) == 1:
        return arrays[0]
    if name not in arrays:
        only = f", only {', '.join(arrays)[:200]}" if arrays else ""
        raise PreparationError(
            f"{file} has no array {name!r}{only}", "name each array after an input of the model"
        )
    return name


def _ensure_bounded(file: Path, headers: Mapping[str, _Header]) -> None:
    """Raises PreparationError before anything is made of arrays that are too large, or no numbers at all."""
    for name, header in headers.items():
        if header.dtype.hasobject:
            raise PreparationError(
                f"{file}: {name[:80]} holds Python objects, not numbers",
                "save it with its numbers: .astype(float)",
            )
        if prod(header.shape) * header.dtype.itemsize > header.unpacked_bytes:
            raise PreparationError(f"{file}: {name[:80]} is cut short", "write it again with numpy.savez")
    if sum(header.unpacked_bytes for header in headers.values()) > SET_BYTES_MAX:
        raise PreparationError(f"{file} unpacks to more than {SET_BYTES_MAX} bytes", "make it smaller")
