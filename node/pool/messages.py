"""What travels on the transaction protocol: batches of encoded extrinsics."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from msgspec import Meta

from primitives.codec import Codec, CodecError, Record
from primitives.extrinsic import EXTRINSIC_BYTES_MAX

PROTOCOL: Final = "/consilience/tx/1"

BATCH_ITEMS_MAX: Final = 512
"""Most extrinsics in one batch; a transfer is about 250 bytes."""

BATCH_BYTES_MAX: Final = 2 * EXTRINSIC_BYTES_MAX
"""Most bytes of extrinsics in one batch: the longest extrinsic always fits."""

FRAME_BYTES_MAX: Final = BATCH_BYTES_MAX + 8 * BATCH_ITEMS_MAX
"""Longest encoded batch: five bytes before each item at most, and the record around them."""


class Batch(Record, frozen=True):
    """Extrinsics, each in its canonical bytes, so that one malformed item does not spoil the others."""

    extrinsics: Annotated[
        tuple[Annotated[bytes, Meta(min_length=1, max_length=EXTRINSIC_BYTES_MAX)], ...],
        Meta(min_length=1, max_length=BATCH_ITEMS_MAX),
    ]


_BATCH: Final = Codec[Batch](Batch)


def encode_batches(extrinsics: Iterable[bytes]) -> Iterator[bytes]:
    """The frames that carry `extrinsics`, in order, as few as the bounds allow."""
    items: list[bytes] = []
    size_bytes = 0
    for item in extrinsics:
        if items and (len(items) == BATCH_ITEMS_MAX or size_bytes + len(item) > BATCH_BYTES_MAX):
            yield _BATCH.encode(Batch(tuple(items)))
            items, size_bytes = [], 0
        items.append(item)
        size_bytes += len(item)
    if items:
        yield _BATCH.encode(Batch(tuple(items)))


def decode_batch(frame: bytes) -> tuple[bytes, ...]:
    """The extrinsics in `frame`. Raises CodecError."""
    if len(frame) > FRAME_BYTES_MAX:
        raise CodecError(f"{len(frame)} bytes; a batch has at most {FRAME_BYTES_MAX}")
    return _BATCH.decode(frame).extrinsics
