"""Sealed inputs and outputs: who can open them, and what nobody takes for the input that was fixed."""

import pytest
from msgspec.structs import replace
from nacl.public import PublicKey, SealedBox
from nacl.secret import SecretBox

from frame.sealing import SealingKey
from node.sealing.box import (
    _SEALED,
    Fixed,
    KeyBox,
    NotForUs,
    Opened,
    SealedInput,
    Unopenable,
    open_input,
    open_output,
    public_key_of,
    seal_input,
    seal_output,
)
from primitives.sealing import input_commitment, panel_digest, purpose_of
from primitives.types import AccountId, Bytes32, Hash, Seed

SEEDS = [Seed(bytes([index]) * 32) for index in range(3)]
KEYS = [public_key_of(seed) for seed in SEEDS]
INPUT = b"a private input"
PURPOSE = purpose_of(AccountId(b"\x0a" * 32), Hash(b"\x0b" * 32), is_output_sealed=True)


def test_every_reader_opens_it_and_nobody_else() -> None:
    panel = [KEYS[0], None, KEYS[1]]
    sealed, named = seal_input(INPUT, PURPOSE, panel), panel_digest(panel)
    for key, seed in zip(KEYS[:2], SEEDS, strict=False):
        assert open_input(sealed.data, Fixed(PURPOSE, sealed.commitment, named), {key: seed}) == Opened(
            INPUT, sealed.salt
        )
    with pytest.raises(NotForUs):
        open_input(sealed.data, Fixed(PURPOSE, sealed.commitment, named), {KEYS[2]: SEEDS[2]})
    assert INPUT not in sealed.data
    assert sealed.commitment == input_commitment(PURPOSE, sealed.salt, INPUT)


@pytest.mark.parametrize(
    ("requester", "model", "is_output_sealed"),
    [
        (b"\x0e" * 32, b"\x0b" * 32, True),
        (b"\x0a" * 32, b"\x0c" * 32, True),
        (b"\x0a" * 32, b"\x0b" * 32, False),
    ],
)
def test_nobody_else_has_it_run_nor_by_another_model_nor_in_public(
    requester: bytes, model: bytes, is_output_sealed: bool
) -> None:
    """Who copies what a request fixed, with the blob, gets nothing of what is in it."""
    sealed, panel = seal_input(INPUT, PURPOSE, KEYS), panel_digest(KEYS)
    other = purpose_of(AccountId(requester), Hash(model), is_output_sealed)
    with pytest.raises(Unopenable, match="not what the request fixed"):
        open_input(sealed.data, Fixed(other, sealed.commitment, panel), {KEYS[0]: SEEDS[0]})


def test_the_same_input_looks_different_every_time() -> None:
    one, two = seal_input(INPUT, PURPOSE, KEYS), seal_input(INPUT, PURPOSE, KEYS)
    assert one.commitment != two.commitment
    assert one.salt != two.salt


def test_what_is_not_what_was_fixed_is_not_opened() -> None:
    sealed, other = seal_input(INPUT, PURPOSE, KEYS), seal_input(b"another", PURPOSE, KEYS)
    ours = {KEYS[0]: SEEDS[0]}
    flipped = bytearray(sealed.data)
    flipped[-1] ^= 1
    cases = [other.data, bytes(flipped), sealed.data[:-1], b"", b"nonsense"]
    with pytest.raises(Unopenable):
        open_input(_short(KEYS[0]), Fixed(PURPOSE, sealed.commitment, panel_digest(KEYS[:1])), ours)
    for data in cases:
        with pytest.raises(Unopenable):
            open_input(data, Fixed(PURPOSE, sealed.commitment, panel_digest(KEYS)), ours)


def _short(reader: SealingKey) -> bytes:
    """A sealed input without room for a salt."""
    key = bytes(32)
    box = KeyBox(reader, SealedBox(PublicKey(reader)).encrypt(key))
    return _SEALED.encode(SealedInput((box,), bytes(SecretBox(key).encrypt(b"x"))))


@pytest.mark.parametrize("panel", [KEYS[:2], KEYS[1:], [*KEYS[:2], None, KEYS[2]], [None]])
def test_nobody_is_left_out_of_the_panel_that_was_fixed(panel: list[SealingKey | None]) -> None:
    sealed = seal_input(INPUT, PURPOSE, panel)
    for key, seed in zip(KEYS, SEEDS, strict=True):
        with pytest.raises(Unopenable, match="the keys that the request fixed"):
            open_input(sealed.data, Fixed(PURPOSE, sealed.commitment, panel_digest(KEYS)), {key: seed})


def test_a_box_that_holds_no_key_is_the_fault_of_who_sealed_it() -> None:
    sealed = seal_input(INPUT, PURPOSE, KEYS[:1])
    found = _SEALED.decode(sealed.data)
    assert found.boxes[0] is not None
    wrong, panel = replace(found.boxes[0], box=bytes(80)), panel_digest(KEYS[:1])
    data = _SEALED.encode(replace(found, boxes=(wrong,)))
    with pytest.raises(Unopenable):
        open_input(data, Fixed(PURPOSE, sealed.commitment, panel), {KEYS[0]: SEEDS[0]})


def test_an_output_is_sealed_alike_by_all_and_opened_with_the_secret() -> None:
    salt = Bytes32(b"\x07" * 32)
    data = seal_output(salt, b"scores")
    assert data == seal_output(salt, b"scores")
    assert open_output(salt, data) == b"scores"
    for secret, wrong in ((Bytes32(bytes(32)), data), (salt, data[:-1]), (salt, b"")):
        with pytest.raises(Unopenable):
            open_output(secret, wrong)


def test_a_panel_is_named_by_its_keys_in_order() -> None:
    panels: list[list[bytes | None]] = [
        [*KEYS],
        [*reversed(KEYS)],
        [KEYS[0], None, KEYS[1]],
        [None, *KEYS[:2]],
        [*KEYS[:2]],
    ]
    assert len({panel_digest(panel) for panel in panels}) == len(panels)
    assert panel_digest([]) != Hash(bytes(32))
