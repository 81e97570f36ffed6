import pytest

from primitives.block import BLOCK, Block, Body, Header, block_hash, body_root
from primitives.codec import CodecError
from primitives.extrinsic import (
    EXTRINSIC,
    EXTRINSIC_BYTES_MAX,
    Call,
    Extrinsic,
    Mortality,
    SigningContext,
    decode_extrinsic,
    extrinsic_hash,
    sign_extrinsic,
    verify_extrinsic,
)
from primitives.signing import SigningKey
from primitives.types import (
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    Seed,
    SpecVersion,
    TimestampMs,
    View,
)

KEY = SigningKey(Seed(b"\x01" * 32))
OTHER = SigningKey(Seed(b"\x02" * 32))
CONTEXT = SigningContext(BlockHash(b"g" * 32), "", SpecVersion(1), b"h" * 32)
CALL = Call(2, 0, b"\x92\x01\x02")
SIGNED = sign_extrinsic(KEY, Nonce(7), Mortality(64, BlockNumber(5)), Balance(1), CALL, CONTEXT)


def test_a_signed_extrinsic_verifies_in_its_context() -> None:
    assert verify_extrinsic(SIGNED, CONTEXT)
    assert decode_extrinsic(EXTRINSIC.encode(SIGNED)) == SIGNED


@pytest.mark.parametrize(
    "context",
    [
        SigningContext(BlockHash(b"G" * 32), "", SpecVersion(1), b"h" * 32),
        SigningContext(BlockHash(b"g" * 32), "fork", SpecVersion(1), b"h" * 32),
        SigningContext(BlockHash(b"g" * 32), "", SpecVersion(2), b"h" * 32),
        SigningContext(BlockHash(b"g" * 32), "", SpecVersion(1), b"H" * 32),
    ],
)
def test_it_is_worth_nothing_in_another_context(context: SigningContext) -> None:
    assert not verify_extrinsic(SIGNED, context)


@pytest.mark.parametrize(
    "altered",
    [
        Extrinsic(
            AccountId(OTHER.public_key),
            SIGNED.nonce,
            SIGNED.mortality,
            SIGNED.tip,
            CALL,
            SIGNED.signature,
        ),
        Extrinsic(
            SIGNED.signer,
            Nonce(8),
            SIGNED.mortality,
            SIGNED.tip,
            CALL,
            SIGNED.signature,
        ),
        Extrinsic(
            SIGNED.signer,
            SIGNED.nonce,
            Mortality(65, BlockNumber(5)),
            SIGNED.tip,
            CALL,
            SIGNED.signature,
        ),
        Extrinsic(
            SIGNED.signer,
            SIGNED.nonce,
            Mortality(64, BlockNumber(6)),
            SIGNED.tip,
            CALL,
            SIGNED.signature,
        ),
        Extrinsic(
            SIGNED.signer,
            SIGNED.nonce,
            SIGNED.mortality,
            Balance(0),
            CALL,
            SIGNED.signature,
        ),
        Extrinsic(
            SIGNED.signer,
            SIGNED.nonce,
            SIGNED.mortality,
            SIGNED.tip,
            Call(2, 1, b"\x92\x01\x02"),
            SIGNED.signature,
        ),
    ],
)
def test_an_altered_field_breaks_the_signature_and_changes_the_hash(
    altered: Extrinsic,
) -> None:
    assert not verify_extrinsic(altered, CONTEXT)
    assert extrinsic_hash(EXTRINSIC.encode(altered)) != extrinsic_hash(EXTRINSIC.encode(SIGNED))


def test_an_oversized_extrinsic_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(CodecError, match="at most"):
        decode_extrinsic(b"\x00" * (EXTRINSIC_BYTES_MAX + 1))


def test_a_block_survives_the_wire_and_its_hash_covers_the_header() -> None:
    body = Body((CALL,), (SIGNED,))
    header = Header(
        EpochIndex(1),
        View(1),
        BlockNumber(1),
        BlockHash(b"p" * 32),
        Hash(b"s" * 32),
        body_root(body),
        Hash(b"e" * 32),
        TimestampMs(1000),
        PublicKey(KEY.public_key),
        None,
    )
    assert BLOCK.decode(BLOCK.encode(Block(header, body))) == Block(header, body)
    assert body_root(body) != body_root(Body((CALL, CALL), (SIGNED,))) != body_root(Body((), (SIGNED,)))
    last = Header(
        header.epoch,
        header.view,
        header.height,
        header.parent,
        header.state_root,
        header.body_root,
        header.events_root,
        header.timestamp_ms,
        header.author,
        Hash(b"n" * 32),
    )
    assert block_hash(header) != block_hash(last)
