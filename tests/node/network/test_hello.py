import pytest

from node.network.hello import (
    MESSAGES,
    VERSION,
    Goodbye,
    Hello,
    LocalHello,
    Message,
    Refusal,
    Refused,
    Role,
    Status,
    verify_hello,
)
from node.network.identity import peer_id_of
from primitives.codec import CodecError
from primitives.signing import SigningKey
from primitives.types import Seed
from tests.node.network.networks import GENESIS, seed

SESSION = SigningKey(Seed(b"\x05" * 32))
PEER = peer_id_of(seed(1))
AUTHORITY = LocalHello(peer_id=PEER, genesis=GENESIS, role=Role.AUTHORITY, signer=SESSION).at(3, 30333)
FULL = LocalHello(peer_id=PEER, genesis=GENESIS, role=Role.FULL, signer=None).at(3, 30333)


def altered(hello: Hello, **changes: object) -> Hello:
    fields = {name: getattr(hello, name) for name in hello.__struct_fields__}
    return Hello(**(fields | changes))


@pytest.mark.parametrize("hello", [AUTHORITY, FULL])
def test_a_proper_hello_is_accepted(hello: Hello) -> None:
    verify_hello(hello, GENESIS, PEER)


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (altered(FULL, genesis=bytes(32)), Refusal.WRONG_GENESIS),
        (altered(FULL, version=VERSION + 1), Refusal.WRONG_VERSION),
        (altered(FULL, role=Role.AUTHORITY), Refusal.BAD_SESSION_PROOF),
        (altered(FULL, session_proof=bytes(64)), Refusal.BAD_SESSION_PROOF),
        (altered(AUTHORITY, session_proof=None), Refusal.BAD_SESSION_PROOF),
        (altered(AUTHORITY, session_proof=bytes(64)), Refusal.BAD_SESSION_PROOF),
        (
            altered(AUTHORITY, session_key=SigningKey(Seed(bytes(32))).public_key),
            Refusal.BAD_SESSION_PROOF,
        ),
    ],
    ids=["genesis", "version", "no key", "proof of nothing", "no proof", "empty proof", "other key"],
)
def test_a_hello_is_refused(hello: Hello, reason: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        verify_hello(hello, GENESIS, PEER)
    assert caught.value.reason == reason


def test_a_session_proof_is_worth_nothing_for_another_peer_or_chain() -> None:
    with pytest.raises(Refused):
        verify_hello(AUTHORITY, GENESIS, peer_id_of(seed(2)))
    with pytest.raises(Refused):
        verify_hello(altered(AUTHORITY, genesis=bytes(32)), bytes(32), PEER)


@pytest.mark.parametrize(
    "message",
    [AUTHORITY, FULL, Status(finalized_height=1, addresses=("/ip4/1.2.3.4/tcp/5",)), Goodbye(reason="full")],
)
def test_messages_read_back(message: Message) -> None:
    assert MESSAGES.decode(MESSAGES.encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Status(finalized_height=1, addresses=("x",) * 33),
        Status(finalized_height=1, addresses=("x" * 321,)),
        Status(finalized_height=2**63, addresses=()),
        Goodbye(reason="x" * 201),
    ],
)
def test_messages_out_of_bounds_are_refused(message: Message) -> None:
    with pytest.raises(CodecError):
        MESSAGES.encode(message)
