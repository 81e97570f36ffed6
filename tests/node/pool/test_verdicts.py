"""The memory of valid signatures."""

from node.pool.verdicts import Verdicts
from primitives.signing import SigningKey
from primitives.types import Seed

KEY = SigningKey(Seed(bytes(32)))
MESSAGE = b"message"
SIGNATURE = KEY.sign(MESSAGE)


def test_a_valid_signature_is_verified_once() -> None:
    verdicts = Verdicts()
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    assert (verdicts.verified, verdicts.remembered) == (1, 1)


def test_another_message_key_or_signature_is_another_question() -> None:
    verdicts = Verdicts()
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    assert not verdicts(KEY.public_key, MESSAGE + b"!", SIGNATURE)
    assert not verdicts(SigningKey(Seed(b"1" * 32)).public_key, MESSAGE, SIGNATURE)
    assert not verdicts(KEY.public_key, MESSAGE, KEY.sign(b"other"))


def test_the_border_between_message_and_key_cannot_be_moved() -> None:
    verdicts = Verdicts()
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    assert not verdicts(MESSAGE[-1:] + KEY.public_key, MESSAGE[:-1], SIGNATURE)


def test_invalid_signatures_push_nothing_out() -> None:
    verdicts = Verdicts(entries_max=1)
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    for number in range(3):
        assert not verdicts(KEY.public_key, bytes([number]), SIGNATURE)
    assert verdicts(KEY.public_key, MESSAGE, SIGNATURE)
    assert verdicts.remembered == 1


def test_the_least_recently_used_is_forgotten() -> None:
    asked: list[bytes] = []

    def verifier(public_key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(message)
        return True

    verdicts = Verdicts(verifier, entries_max=2)
    for message in (b"a", b"b", b"a", b"c", b"a", b"b"):
        assert verdicts(bytes(32), message, bytes(64))
    assert asked == [b"a", b"b", b"c", b"b"]
