import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.consensus.messages import (
    BLOCKS_MAX,
    CERTIFICATES_MAX,
    MESSAGE,
    MESSAGE_BYTES_MAX,
    Ask,
    AskBlock,
    Bundle,
    Cast,
    Message,
    blocks_within,
    certificates_within,
    read_message,
)
from primitives.block import Block, Body, body_root
from primitives.codec import CodecError
from primitives.extrinsic import CALL_BYTES_MAX, Call
from primitives.types import U63_MAX, BlockNumber, View
from tests.node.consensus.engine import (
    CHAIN,
    EPOCH,
    NOTARIZE,
    NULLIFY,
    block_on,
    name_of,
    propose,
    quorum,
    vote,
)

BLOCK = block_on(CHAIN.genesis, 1)
MESSAGES: list[Message] = [
    propose(BLOCK, quorum(NULLIFY, 1, without=0)),
    Cast(vote(NOTARIZE, 1, name_of(BLOCK), 0)),
    Ask(EPOCH.index, View(7)),
    AskBlock(EPOCH.index, name_of(BLOCK), BlockNumber(0)),
    Bundle(EPOCH.index, (quorum(NULLIFY, 1, without=0),), (BLOCK,)),
]


def big_block() -> Block:
    calls = tuple(Call(0, 0, bytes([index]) * (CALL_BYTES_MAX - 64)) for index in range(4))
    body = Body(calls, ())
    return Block(replace(BLOCK.header, body_root=body_root(body)), body)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_wire(message: Message) -> None:
    assert read_message(MESSAGE.encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_truncated_and_extended_messages_are_refused(message: Message) -> None:
    frame = MESSAGE.encode(message)
    for wrong in (frame[:-1], frame + b"\x00", b""):
        with pytest.raises(CodecError):
            read_message(wrong)


@given(st.binary(max_size=200))
def test_noise_is_refused_or_canonical(frame: bytes) -> None:
    try:
        message = read_message(frame)
    except CodecError:
        return
    assert MESSAGE.encode(message) == frame


def test_numbers_out_of_range_die_in_the_codec() -> None:
    for number in (-1, U63_MAX + 1):
        with pytest.raises(CodecError):
            MESSAGE.encode(Ask(EPOCH.index, View(number)))


def test_message_larger_than_the_limit_is_refused_unread() -> None:
    with pytest.raises(CodecError, match="larger than 1 MiB"):
        read_message(bytes(MESSAGE_BYTES_MAX + 1))


def test_certificates_stop_at_number_and_size_without_repetition() -> None:
    certs = [quorum(NULLIFY, view, without=0) for view in range(1, 100)]
    assert certificates_within([certs[0], certs[0], certs[1]], 0) == (certs[0], certs[1])
    assert certificates_within(certs, 0) == tuple(certs[:CERTIFICATES_MAX])
    chosen = certificates_within(certs, MESSAGE_BYTES_MAX - 10_000)
    assert 0 < len(chosen) < CERTIFICATES_MAX
    assert len(MESSAGE.encode(Bundle(EPOCH.index, chosen))) < 10_000


def test_blocks_stop_at_number_and_size() -> None:
    assert blocks_within([BLOCK] * 20) == (BLOCK,) * BLOCKS_MAX
    chosen = blocks_within([big_block()] * 3)
    assert len(chosen) == 1
    assert len(MESSAGE.encode(Bundle(EPOCH.index, (), chosen))) <= MESSAGE_BYTES_MAX


def test_largest_proposal_fits_with_its_certificates() -> None:
    block = big_block()
    certs = certificates_within([quorum(NULLIFY, view, without=0) for view in range(1, 65)], 525_000)
    assert len(MESSAGE.encode(propose(block, *certs))) <= MESSAGE_BYTES_MAX
