"""Rows that may be damaged."""

from typing import TypeVar

from primitives.codec import Codec, CodecError

T = TypeVar("T")


def decoded(codec: Codec[T], row: bytes | None) -> T | None:
    """The value of a row; None if there is none, or it is damaged."""
    if row is None:
        return None
    try:
        return codec.decode(row)
    except CodecError:
        return None
