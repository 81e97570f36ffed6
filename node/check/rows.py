"""Rows that may be damaged."""

from typing import TypeVar

from node.db.schema import JOINED_KEY, Table, number_of
from node.db.store import Transaction
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


def joined_height(snapshot: Transaction) -> int:
    """Up to here the node has the last headers of the epochs only; 0: it has every block."""
    row = snapshot.get(Table.META, JOINED_KEY)
    return 0 if row is None else number_of(row)
