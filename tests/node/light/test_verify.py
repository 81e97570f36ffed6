"""What a light client believes, and refuses, of a server that lies on request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from node.light.client import BeliefError, LightClient, load_belief, new_client, save_belief
from node.light.messages import PROVED_READ, ProvedEntry, ProvedRead
from primitives.finality import EPOCH_PROOF, FINALITY_PROOF, BadProof, FinalityProof, Flaw
from primitives.state_root import state_root
from primitives.types import BlockHash, Hash
from tests.primitives.chains import Chain, committee, finalize, make_chain
from tests.primitives.states import prove

STATE = {b"alice": b"10", b"bob": b"", b"carol": b"30"}


CHAIN = make_chain(state_root(STATE.items()))


class Server:
    """Answers from a chain; `lie` alters what is about to be sent."""

    def __init__(self, chain: Chain = CHAIN, head: int = 7) -> None:
        self.chain = chain
        self.head = head
        self.lie: Callable[[str, Any], Any] = lambda _, answer: answer

    def call(self, method: str, *params: Any) -> object:
        match method:
            case "light_finalizedHeight":
                return self.lie(method, self.head)
            case "light_epochProof":
                return "0x" + EPOCH_PROOF.encode(self.lie(method, self.chain.epoch_proof(*params))).hex()
            case "light_finalityProof":
                proof = self.lie(method, self.chain.finality_proof(params[0], params[0]))
                return "0x" + FINALITY_PROOF.encode(proof).hex()
            case _:
                keys = [bytes.fromhex(key[2:]) for key in params[0]]
                entries = tuple(ProvedEntry(key, STATE.get(key), prove(key, STATE)) for key in keys)
                answer = ProvedRead(self.chain.finality_proof(self.head, self.head), entries)
                return "0x" + PROVED_READ.encode(self.lie(method, answer)).hex()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> LightClient:
    return new_client(server, CHAIN.headers[0], committee(1))


def test_values_and_absences_are_proved_across_an_epoch(client: LightClient) -> None:
    answer = client.read([b"alice", b"bob", b"dave"])
    assert answer.values == {b"alice": b"10", b"bob": b"", b"dave": None}
    assert answer.header == CHAIN.headers[7]
    assert client.belief.trusted.committee == committee(2)
    assert client.belief.newest == CHAIN.headers[7]


def test_sync_reaches_the_newest_final_header(client: LightClient, server: Server) -> None:
    assert client.sync() == CHAIN.headers[7]
    server.head = 8
    assert client.sync() == CHAIN.headers[8]
    assert client.header(6) == CHAIN.headers[6]
    assert client.belief.newest == CHAIN.headers[8]


R = TypeVar("R", bound=msgspec.Struct)


def replace(record: R, **changes: Any) -> R:
    return msgspec.structs.replace(record, **changes)


def _forge_value(answer: ProvedRead) -> ProvedRead:
    return replace(answer, entries=(replace(answer.entries[0], value=b"1000"),))


def _forge_absence(answer: ProvedRead) -> ProvedRead:
    return replace(answer, entries=(replace(answer.entries[0], value=None),))


def _forge_proof(answer: ProvedRead) -> ProvedRead:
    entry = answer.entries[0]
    sibling = Hash(b"\x01" * 32)
    proof = replace(entry.proof, siblings=(sibling, *entry.proof.siblings[1:]))
    return replace(answer, entries=(replace(entry, proof=proof),))


def _other_key(answer: ProvedRead) -> ProvedRead:
    return replace(answer, entries=(ProvedEntry(b"carol", STATE[b"carol"], prove(b"carol", STATE)),))


def _forge_certificate(answer: ProvedRead) -> ProvedRead:
    header = answer.finality.headers[0]
    certificate = finalize(header, CHAIN.anchor(2), signers=(0, 1))
    return replace(answer, finality=FinalityProof((header,), certificate))


def _forge_header(answer: ProvedRead) -> ProvedRead:
    state = {**STATE, b"alice": b"1000"}
    header = replace(answer.finality.headers[0], state_root=state_root(state.items()))
    entry = ProvedEntry(b"alice", b"1000", prove(b"alice", state))
    return replace(answer, finality=replace(answer.finality, headers=(header,)), entries=(entry,))


def _stale(answer: ProvedRead) -> ProvedRead:
    return replace(answer, finality=CHAIN.finality_proof(5, 5))


FORGERIES: list[tuple[Callable[[ProvedRead], ProvedRead], Flaw]] = [
    (_forge_value, Flaw.WRONG_STATE),
    (_forge_absence, Flaw.WRONG_STATE),
    (_forge_proof, Flaw.WRONG_STATE),
    (_other_key, Flaw.WRONG_STATE),
    (_forge_certificate, Flaw.BAD_CERTIFICATE),
    (_forge_header, Flaw.NOT_FINAL),
    (_stale, Flaw.WRONG_HEIGHT),
]


@pytest.mark.parametrize(("forge", "flaw"), FORGERIES, ids=lambda value: getattr(value, "__name__", None))
def test_a_forged_answer_is_refused_and_changes_nothing(
    client: LightClient, server: Server, forge: Callable[[ProvedRead], ProvedRead], flaw: Flaw
) -> None:
    client.sync()
    believed = client.belief
    server.lie = lambda method, answer: forge(answer) if method == "light_readProof" else answer
    with pytest.raises(BadProof) as refusal:
        client.read([b"alice"])
    assert refusal.value.flaw == flaw
    assert client.belief == believed


def test_a_server_cannot_send_the_client_on_an_endless_walk(client: LightClient, server: Server) -> None:
    far = FinalityProof((replace(CHAIN.headers[7], epoch=2**60),), CHAIN.finality_proof(7, 7).certificate)
    server.lie = lambda method, answer: far if method == "light_finalityProof" else answer
    with pytest.raises(BadProof) as refusal:
        client.sync()
    assert refusal.value.flaw == Flaw.WRONG_EPOCH


@pytest.mark.parametrize("answer", [None, 7, "beef", "0x", "0xzz", "0xc0", ["0x"]])
def test_garbage_is_refused(client: LightClient, server: Server, answer: object) -> None:
    garbage: Any = lambda *_: answer  # noqa: E731
    server.call = garbage  # type: ignore[method-assign]
    with pytest.raises(BadProof) as refusal:
        client.read([b"alice"])
    assert refusal.value.flaw == Flaw.MALFORMED


def test_what_is_believed_survives_a_restart(client: LightClient, tmp_path: Path) -> None:
    client.sync()
    path = tmp_path / "deep" / "light"
    save_belief(path, client.belief)
    assert load_belief(path, client.belief.genesis) == client.belief
    assert [entry.name for entry in path.parent.iterdir()] == ["light"]


def test_a_belief_that_cannot_be_used_is_explained(client: LightClient, tmp_path: Path) -> None:
    path = tmp_path / "light"
    genesis = client.belief.genesis
    with pytest.raises(BeliefError, match="light init"):
        load_belief(path, genesis)
    path.write_bytes(b"\x00")
    with pytest.raises(BeliefError, match="delete it"):
        load_belief(path, genesis)
    save_belief(path, client.belief)
    with pytest.raises(BeliefError, match="another chain"):
        load_belief(path, BlockHash(bytes(32)))
    with pytest.raises(BeliefError, match="cannot write"):
        save_belief(path / "file", client.belief)
