"""Sets of samples: an .npz archive of arrays, a .csv table, or a folder of pictures or texts."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from inference.preparation import images
from inference.preparation.archives import LABELS, SET_BYTES_MAX, absent, read_archive
from inference.preparation.card import Card, ImageInput, MaskInput, TableInput, TextInput
from inference.preparation.errors import PreparationError
from inference.preparation.text import TEXT_CHARACTERS_MAX, encode_text

CSV_BYTES_MAX: Final = 256 << 20
FILES_MAX: Final = 100_000
COLUMN_CHARACTERS_MAX: Final = 256
_SUFFIXES: Final = (*images.SUFFIXES, ".txt")
_SETS: Final = "give .npz, .csv, a picture, a .txt, or a folder of pictures or texts"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """An input of a model."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Samples in the order of the file, or of the names of the files."""

    samples: tuple[dict[str, Array], ...]
    labels: tuple[str, ...]
    """One for each sample, or none at all; an array of numbers as JSON."""
    names: tuple[str, ...]
    """How to tell a person which sample is meant."""
    shortened: int = 0
    """How many texts had more tokens than the model takes, so that the rest was left out."""

    def part(self, chosen: Callable[[int], bool]) -> "SampleSet":
        """The samples at the positions that `chosen` takes."""
        at = [index for index in range(len(self.samples)) if chosen(index)]
        return SampleSet(
            tuple(self.samples[index] for index in at),
            tuple(self.labels[index] for index in at) if self.labels else (),
            tuple(self.names[index] for index in at),
        )


def read_set(place: Path, inputs: Sequence[Taken], card: Card) -> SampleSet:
    """The samples at `place` for a model that takes `inputs`. Raises PreparationError."""
    ensure_described(card, inputs)
    if place.is_dir():
        found = _folder(place, inputs, card)
    elif place.suffix.lower() == ".npz":
        found = _archive(place, inputs)
    elif place.suffix.lower() == ".csv":
        found = _table(place, inputs, card)
    elif not place.exists():
        raise absent(place)
    elif place.suffix.lower() in _SUFFIXES:
        found = _joined(place, [place], inputs, card)
    else:
        raise PreparationError(f"{place} is no set of samples", _SETS)
    if not found.samples:
        raise PreparationError(f"{place} holds no samples", _SETS)
    return found


def ensure_described(card: Card, inputs: Sequence[Taken]) -> None:
    """Raises PreparationError if the card is about inputs that the model does not take."""
    names = [taken.name for taken in inputs]
    strange = [name for name in card.inputs if name not in names]
    if strange:
        raise PreparationError(
            f"the card describes the input {strange[0]!r}, and the model takes {', '.join(names)[:200]}",
            "correct the name in the card, or leave that input out of it",
        )


def kept_apart(found: SampleSet) -> tuple[SampleSet, SampleSet]:
    """Four fifths to calibrate with, and every fifth sample to measure on, spread over the set."""
    return found.part(lambda index: index % 5 != 4), found.part(lambda index: index % 5 == 4)


def read_text(text: str, inputs: Sequence[Taken], card: Card) -> tuple[dict[str, Array], int]:
    """One sample of a model whose card has a text input, and how many tokens were left out of it.

    Raises PreparationError.
    """
    sample: dict[str, Array] = {}
    left_out = 0
    masks: dict[str, Array] = {}
    for taken in inputs:
        how = card.inputs.get(taken.name)
        if isinstance(how, TextInput):
            tokens = encode_text(text, how, prod(taken.shape))
            sample[taken.name] = tokens.numbers.astype(taken.dtype).reshape(taken.shape)
            masks[taken.name] = tokens.mask
            left_out = max(left_out, tokens.left_out)
    for taken in inputs:
        how = card.inputs.get(taken.name)
        if isinstance(how, MaskInput) and how.of in masks:
            sample[taken.name] = masks[how.of].astype(taken.dtype).reshape(taken.shape)
    missing = [taken.name for taken in inputs if taken.name not in sample]
    if missing:
        raise PreparationError(
            f"the card does not say how text becomes {', '.join(missing)[:200]}",
            'give a card with "inputs": {"NAME": {"kind": "text", ...}}, or a value that it always has '
            f"when the model is converted: --constant {missing[0][:80]}=0",
        )
    return sample, left_out


def read_picture(file: Path, inputs: Sequence[Taken], card: Card) -> dict[str, Array]:
    """One sample of a model whose only input is a picture. Raises PreparationError."""
    (taken, *others) = inputs
    how = card.inputs.get(taken.name)
    if others or not isinstance(how, ImageInput):
        raise PreparationError(
            f"nothing says how a picture becomes {', '.join(each.name for each in inputs)[:200]}",
            f'give a card with "inputs": {{"{taken.name}": {{"kind": "image", ...}}}}',
        )
    return {taken.name: images.read_image(file, how, taken.shape).astype(taken.dtype)}


def _archive(file: Path, inputs: Sequence[Taken]) -> SampleSet:
    arrays, labels = read_archive(file, [taken.name for taken in inputs])
    first = arrays[inputs[0].name]
    count = len(first) if first.ndim else 0
    rows = {taken.name: _rows(arrays[taken.name], taken, count, file) for taken in inputs}
    samples = tuple({name: each[index] for name, each in rows.items()} for index in range(count))
    names = tuple(f"row {number}" for number in range(1, count + 1))
    return SampleSet(samples, _labels(labels, count, file), names)


def _rows(array: Array, taken: Taken, count: int, file: Path) -> Array:
    """The array as [samples, *shape of the input]."""
    each = prod(taken.shape)
    if taken.shape and taken.shape[0] > 1 and array.shape[1:] == taken.shape[1:]:
        raise PreparationError(
            f"the model takes batches of {taken.shape[0]}, and is to take one sample at a time",
            "export it for a batch of 1, or with an open first dimension",
        )
    if array.ndim < 1 or len(array) != count or array.size != count * each:
        raise PreparationError(
            f"{file}: {taken.name} is {list(array.shape)}, and each sample {list(taken.shape)}",
            "stack the samples along the first dimension",
        )
    if array.dtype.kind not in "fiub":
        raise PreparationError(
            f"{file}: {taken.name} is {array.dtype}, no real numbers",
            "make numbers of it as for the training",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.isfinite(array.reshape(count, each)).all(axis=1).argmin()) + 1
        raise PreparationError(
            f"{file}: {taken.name} has values that are no numbers, the first in row {row}",
            "leave those samples out, or fill what is missing, also when the model is used",
        )
    if array.dtype.kind == "f" and np.dtype(taken.dtype).kind == "f":
        with np.errstate(over="ignore"):
            values = array.astype(taken.dtype)
        if not np.isfinite(values).all():
            raise PreparationError(
                f"{file}: {taken.name} has values too large for {taken.dtype}", "leave those samples out"
            )
    else:
        values = array.astype(taken.dtype)
    return values.reshape(count, *taken.shape)


def _labels(labels: Array | None, count: int, file: Path) -> tuple[str, ...]:
    if labels is None:
        return ()
    if labels.ndim < 1 or len(labels) != count:
        raise PreparationError(
            f"{file}: {len(labels) if labels.ndim else 1} labels for {count} samples", "give one for each"
        )
    return tuple(json.dumps(each) if isinstance(each, list) else str(each) for each in labels.tolist())


def _table(file: Path, inputs: Sequence[Taken], card: Card) -> SampleSet:
    """Rows of numbers; or, for a card with text, a column `text`."""
    header, rows = _csv(file)
    labels_at = next((header.index(name) for name in LABELS if name in header), None)
    labels = tuple(row[labels_at] for row in rows) if labels_at is not None else ()
    names = tuple(f"line {number}" for number in range(2, len(rows) + 2))
    if any(isinstance(how, TextInput) for how in card.inputs.values()):
        if "text" not in header:
            raise PreparationError(f"{file} has no column 'text'", "name the column with the text so")
        at = header.index("text")
        found = [
            _text(row[at], inputs, card, f"{file}, {name}") for row, name in zip(rows, names, strict=True)
        ]
        return _of_texts(found, labels, names)
    numbers = {taken.name: _columns(taken, len(inputs), header, rows, card, file) for taken in inputs}
    samples = tuple({name: each[index] for name, each in numbers.items()} for index in range(len(rows)))
    return SampleSet(samples, labels, names)


def _columns(
    taken: Taken, inputs: int, header: list[str], rows: list[list[str]], card: Card, file: Path
) -> Array:
    """The columns of one input, as [samples, *shape]: as the card says; else all; of several inputs, the
    column with the input's name."""
    how = card.inputs.get(taken.name)
    if isinstance(how, TableInput):
        wanted = list(how.columns)
    else:
        wanted = [taken.name] if inputs > 1 else table_columns(header)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise PreparationError(
            f"{file} has no column {missing[0]!r}, only {', '.join(header)[:160]}",
            "name the columns as the card and the model do",
        )
    if len(wanted) != prod(taken.shape):
        raise PreparationError(
            f"{taken.name} takes {prod(taken.shape)} numbers, and {file} has {len(wanted)} columns for it: "
            + ", ".join(wanted)[:160],
            "call the column with the answers 'label', or name the columns in a card: "
            f'{{"inputs": {{"{taken.name}": {{"kind": "table", "columns": [...]}}}}}}',
        )
    columns = [header.index(name) for name in wanted]
    values = [
        [_number(row[at], header[at], file, line) for at in columns] for line, row in enumerate(rows, start=2)
    ]
    return _rows(np.array(values, dtype=np.float64).reshape(len(rows), len(columns)), taken, len(rows), file)


def table_columns(header: Sequence[str]) -> list[str]:
    """The columns of a table that are no labels."""
    return [name for name in header if name not in LABELS]


def remembered(card: Card, place: Path, inputs: Sequence[Taken]) -> Card:
    """The card, with the columns of the table at `place` if that is the only input: so that later tables may
    have others, and in another order. Raises PreparationError.
    """
    if card.inputs or len(inputs) != 1 or place.suffix.lower() != ".csv":
        return card
    columns = table_columns(_csv(place)[0])
    if not columns or not all(0 < len(name) <= COLUMN_CHARACTERS_MAX for name in columns):
        return card
    return replace(card, inputs={inputs[0].name: TableInput(columns=tuple(columns))})


def _csv(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        if file.stat().st_size > CSV_BYTES_MAX:
            raise PreparationError(f"{file} has more than {CSV_BYTES_MAX} bytes", "make it smaller")
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = list(csv.reader(opened))
    except FileNotFoundError:
        raise absent(file) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PreparationError(
            f"cannot read {file}: {error}", "save it as a table of commas, in UTF-8"
        ) from None
    return _named(lines, file)


def _named(lines: list[list[str]], file: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows, all of them as long; blank lines at the end do not count."""
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 2:
        raise PreparationError(f"{file} holds no samples", "give a line with names, then a line for each")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if not header or _are_measured(header):
        raise PreparationError(
            f"{file} begins with {','.join(header)[:80]!r}, which names nothing",
            "put a line with the names of the columns before it",
        )
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise PreparationError(f"{file} has one column, {header[0][:80]!r}", "separate columns by commas")
    if len(set(header)) != len(header):
        raise PreparationError(f"{file}: two columns have the same name", "the first line names the columns")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise PreparationError(
                f"{file}, line {line}: {len(row)} columns, not {len(header)}", "correct it"
            )
    return header, rows


def _are_measured(header: Sequence[str]) -> bool:
    """Whether those are a sample's numbers, not the positions that columns without names are called."""
    try:
        _ = [float(name) for name in header]
    except ValueError:
        return False
    return not all(name.isdecimal() for name in header)


def _number(cell: str, column: str, file: Path, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        shown = repr(cell[:40]) if cell.strip() else "nothing"
        raise PreparationError(
            f"{file}, line {line}: {shown} in column {column[:80]!r}, not a number",
            "leave that row out, or make numbers of the column as was done for the training",
        )
    return value


def _folder(place: Path, inputs: Sequence[Taken], card: Card) -> SampleSet:
    """Files beside one another, or in a folder for each class, in order of name."""
    files = [file for file in _files(place) if file.suffix.lower() in _SUFFIXES]
    if len(files) > FILES_MAX:
        raise PreparationError(f"{place} has more than {FILES_MAX} files", "take a part of them")
    beside = [file for file in files if file.parent == place]
    if beside and len(beside) < len(files):
        raise PreparationError(
            f"{beside[0]} lies beside folders of classes", "put it into one of them, or move it away"
        )
    return _joined(place, files, inputs, card)


def _files(place: Path) -> Iterator[Path]:
    """Without hidden ones, which systems and editors leave everywhere."""
    for entry in sorted(_seen(place)):
        if entry.is_dir():
            yield from sorted(file for file in _seen(entry) if file.is_file())
        elif entry.is_file():
            yield entry


def _seen(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _joined(place: Path, files: Sequence[Path], inputs: Sequence[Taken], card: Card) -> SampleSet:
    found, size_bytes = [], 0
    for file in files:
        found.append(_one(file, inputs, card))
        size_bytes += sum(array.nbytes for array in found[-1][0].values())
        if size_bytes > SET_BYTES_MAX:
            raise PreparationError(f"{place} takes more than {SET_BYTES_MAX} bytes", "take a part of it")
    classes = tuple(file.parent.name for file in files)
    in_folders = bool(files) and all(file.parent != place and file != place for file in files)
    names = tuple(str(file.relative_to(place)) if file != place else file.name for file in files)
    return _of_texts(found, classes if in_folders else (), names)


def _one(file: Path, inputs: Sequence[Taken], card: Card) -> tuple[dict[str, Array], int]:
    if file.suffix.lower() != ".txt":
        return read_picture(file, inputs, card), 0
    try:
        with file.open(encoding="utf-8-sig") as opened:
            text = opened.read(TEXT_CHARACTERS_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationError(f"cannot read {file}: {error}", "texts are UTF-8") from None
    return _text(text, inputs, card, str(file))


def _text(text: str, inputs: Sequence[Taken], card: Card, where: str) -> tuple[dict[str, Array], int]:
    """As `read_text`; what is wrong is said with the place where it is."""
    try:
        return read_text(text, inputs, card)
    except PreparationError as error:
        raise PreparationError(f"{where}: {error}", error.advice) from None


def _of_texts(
    found: Sequence[tuple[dict[str, Array], int]], labels: tuple[str, ...], names: tuple[str, ...]
) -> SampleSet:
    """Samples, each with how many tokens were left out of it."""
    shortened = sum(left_out > 0 for _, left_out in found)
    return SampleSet(tuple(sample for sample, _ in found), labels, names, shortened)
