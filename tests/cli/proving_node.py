"""A node that proves what it says to light clients, and may lie."""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from chainspec.genesis import genesis_block
from cli.specs import load_spec
from node.light.messages import PROVED_READ, ProvedEntry, ProvedRead
from primitives.block import Header, block_hash
from primitives.certificate import certificate_of
from primitives.finality import FINALITY_PROOF, FinalityProof
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.state_root import state_root
from primitives.types import AuthorityIndex, BlockNumber, EpochIndex, Hash, View
from primitives.vote import Vote, VoteKind, vote_message
from tests.cli.fake_rpc import FakeNode
from tests.primitives.states import prove


class ProvingNode(FakeNode):
    """Has one final block after the genesis block, with the same state; `lie` alters what it sends of it."""

    def __init__(self, spec_file: Path) -> None:
        spec = load_spec(str(spec_file))
        block_0 = genesis_block(spec)
        self.state = {key: value for key, value in block_0.changes or () if value is not None}
        genesis = block_0.header
        self.header = replace(
            genesis,
            epoch=EpochIndex(1),
            view=View(1),
            height=BlockNumber(1),
            parent=block_hash(genesis),
            next_set=None,
        )
        self.anchor = block_hash(genesis)
        self.lie: Callable[[ProvedRead], ProvedRead] = lambda answer: answer
        super().__init__(
            {
                "light_finalizedHeight": lambda: 1,
                "light_finalityProof": lambda height: hexed(
                    FINALITY_PROOF.encode(self.finality(self.header))
                ),
                "light_readProof": self.read,
            }
        )

    def show(self, state: dict[bytes, bytes]) -> None:
        """From now on the final block has this state."""
        self.state = state
        self.header = replace(self.header, state_root=state_root(state.items()))

    def finality(self, header: Header) -> FinalityProof:
        alice = SigningKey(seed_from_uri("//Alice"))
        kind, subject = VoteKind.FINALIZE, block_hash(self.header)
        signature = alice.sign(vote_message(self.anchor, kind, header.epoch, header.view, subject))
        vote = Vote(kind, header.epoch, header.view, subject, AuthorityIndex(0), signature)
        return FinalityProof((header,), certificate_of([vote]))

    def read(self, keys: list[str]) -> str:
        asked = [bytes.fromhex(key[2:]) for key in keys]
        entries = tuple(ProvedEntry(key, self.state.get(key), prove(key, self.state)) for key in asked)
        return hexed(PROVED_READ.encode(self.lie(ProvedRead(self.finality(self.header), entries))))


def hexed(data: bytes) -> str:
    return f"0x{data.hex()}"


def forge_value(answer: ProvedRead) -> ProvedRead:
    entry = answer.entries[0]
    return replace(answer, entries=(replace(entry, value=(entry.value or b"") + b"\x00"),))


def forge_absence(answer: ProvedRead) -> ProvedRead:
    return replace(answer, entries=(replace(answer.entries[0], value=None),))


def forge_header(answer: ProvedRead) -> ProvedRead:
    header = replace(answer.finality.headers[0], state_root=Hash(bytes(32)))
    return replace(answer, finality=replace(answer.finality, headers=(header,)))


def forge_certificate(answer: ProvedRead) -> ProvedRead:
    forged = replace(answer.finality.certificate, signatures=(bytes(64),))
    return replace(answer, finality=replace(answer.finality, certificate=forged))
