"""Batches of extrinsics on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.pool.messages import BATCH_ITEMS_MAX, FRAME_BYTES_MAX, decode_batch, encode_batches
from primitives.codec import CodecError
from primitives.extrinsic import EXTRINSIC_BYTES_MAX


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=40))
def test_batches_carry_every_extrinsic_in_order(extrinsics: list[bytes]) -> None:
    frames = list(encode_batches(extrinsics))
    assert [item for frame in frames for item in decode_batch(frame)] == extrinsics


def test_small_extrinsics_share_a_frame_up_to_the_count() -> None:
    frames = list(encode_batches([b"x"] * (BATCH_ITEMS_MAX + 1)))
    assert [len(decode_batch(frame)) for frame in frames] == [BATCH_ITEMS_MAX, 1]


def test_the_longest_extrinsics_fit_a_frame() -> None:
    frames = list(encode_batches([bytes(EXTRINSIC_BYTES_MAX)] * 3))
    assert [len(decode_batch(frame)) for frame in frames] == [2, 1]
    assert max(map(len, frames)) <= FRAME_BYTES_MAX


def test_nothing_to_tell_makes_no_frame() -> None:
    assert list(encode_batches([])) == []


@pytest.mark.parametrize(
    "frame", [b"", b"\x91\x90", b"\x91\xdc\x00\x01\xc4\x01x", bytes(FRAME_BYTES_MAX + 1)]
)
def test_an_empty_uncanonical_or_overlong_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(CodecError):
        decode_batch(frame)
