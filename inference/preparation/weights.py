"""Float models whose weights lie in a second file, as PyTorch exports them: put into one.

Only a regular file beside the model is read, of the sizes that the model says, and no more than a model may
have: `inference.graph` refuses everything else.
Source: onnx/onnx `docs/ExternalData.md`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inference import schema
from inference.graph import MODEL_BYTES_MAX
from inference.preparation.errors import PreparationError
from inference.wire import Field, Message, Reader, Schema, WireType, bytes_field, number_field

_TENSOR: Final[Schema] = {**schema.TENSOR, 13: Field("external_data", WireType.BYTES, repeated=True)}
_ELSEWHERE: Final = frozenset({"external_data", "data_location", "raw_data"})
_ADVICE: Final = "export it again with external_data=False"


def with_weights(file: Path, data: bytes) -> bytes:
    """The model `data` that was read from `file`, with the weights from beside it.

    `data` itself if there are none. Raises PreparationError, or Refused if it is no model.
    """
    reader = Reader()
    model = reader.message(memoryview(data), "ModelProto", schema.MODEL)
    graph = reader.message(model.part("graph"), "GraphProto", schema.GRAPH)
    constants = [reader.message(part, "TensorProto", _TENSOR) for part in graph.parts("initializer")]
    if not any(each.number("data_location") for each in constants):
        return data
    beside = _Beside(file, reader, MODEL_BYTES_MAX - len(data))
    parts = [
        beside.tensor(each) if each.number("data_location") else bytes(part)
        for each, part in zip(constants, graph.parts("initializer"), strict=True)
    ]
    whole = b"".join(
        (*_fields(graph, schema.GRAPH, {"initializer"}), *(bytes_field(5, each) for each in parts))
    )
    return b"".join((*_fields(model, schema.MODEL, {"graph"}), bytes_field(7, whole)))


class _Beside:
    """Reads tensors from the files beside a model, `bytes_left` in all."""

    def __init__(self, model: Path, reader: Reader, bytes_left: int) -> None:
        self._model = model
        self._reader = reader
        self._bytes_left = bytes_left

    def tensor(self, message: Message) -> bytes:
        """The tensor with its elements in it."""
        entries = {}
        for part in message.parts("external_data"):
            entry = self._reader.message(part, "StringStringEntryProto", schema.ENTRY)
            entries[bytes(entry.part("key"))] = bytes(entry.part("value")).decode(errors="replace")
        offset, length = (entries.get(key, "") for key in (b"offset", b"length"))
        if not length.isdecimal() or not (offset or "0").isdecimal() or len(offset + length) > 32:
            raise PreparationError(f"{self._model} does not say which bytes are its weights", _ADVICE)
        data = self._read(entries.get(b"location", ""), int(offset or "0"), int(length))
        return b"".join((*_fields(message, _TENSOR, _ELSEWHERE), bytes_field(9, data)))

    def _read(self, name: str, offset: int, length: int) -> bytes:
        self._bytes_left -= length
        if self._bytes_left < 0:
            raise PreparationError(
                f"{self._model} and its weights have more than {MODEL_BYTES_MAX} bytes",
                "that is more than is taken; train a smaller model",
            )
        file = self._model.parent / name
        if not name or Path(name).name != name or "\\" in name or file.is_symlink() or not file.is_file():
            raise PreparationError(
                f"{self._model} has its weights in {name[:200]!r}, and there is no such file beside it",
                f"copy it there, or {_ADVICE}",
            )
        try:
            with file.open("rb") as opened:
                opened.seek(offset)
                data = opened.read(length)
        except (OSError, OverflowError, ValueError) as error:
            raise PreparationError(f"cannot read {file}: {error}", _ADVICE) from None
        if len(data) != length:
            raise PreparationError(f"{file} is shorter than {self._model} says", _ADVICE)
        return data


def _fields(message: Message, known: Schema, without: frozenset[str] | set[str]) -> Iterator[bytes]:
    """The fields of a message as they were, but for some."""
    for number, field in known.items():
        if field.name not in without:
            yield from (number_field(number, value) for value in message.numbers(field.name))
            yield from (bytes_field(number, bytes(part)) for part in message.parts(field.name))
