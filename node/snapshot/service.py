"""The shell that gives held states, and the proofs of the committees, to nodes that join."""

from typing import Final, Protocol, assert_never

import trio

from node.chain import Readers
from node.db.database import Database
from node.db.errors import UnknownState
from node.network.identity import PeerId
from node.network.requests import RequestHandler, ServiceLimits
from node.network.streams import ProtocolViolation
from node.snapshot.budget import Budget
from node.snapshot.messages import (
    ANSWER_BYTES_MAX,
    CHUNK,
    CHUNK_BYTES,
    CHUNK_ENTRIES_MAX,
    EPOCHS,
    EPOCHS_BYTES,
    EPOCHS_MAX,
    HEIGHTS_MAX,
    OFFER,
    PROTOCOL,
    QUESTION,
    REQUEST_BYTES_MAX,
    Chunk,
    ChunkQuestion,
    Epochs,
    EpochsQuestion,
    NotHeld,
    Offer,
    OfferQuestion,
)
from primitives.codec import CodecError, spell
from primitives.finality import EPOCH_PROOF, EpochProof
from primitives.types import EpochIndex

PEER_BYTES_PER_S: Final = 16 << 20
"""Read for one peer: a million entries in ten seconds, and less than half of what one thread reads."""

TOTAL_BYTES_PER_S: Final = 32 << 20
BURST_BYTES: Final = 32 << 20
QUESTION_BYTES: Final = 4 << 10
"""What even the smallest question costs."""

SERVICE_LIMITS: Final = ServiceLimits(
    request_bytes_max=REQUEST_BYTES_MAX, response_bytes_max=ANSWER_BYTES_MAX, per_peer_max=2
)


class Network(Protocol):
    """What serving asks of the network."""

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None: ...


class SnapshotService:
    """Answers nodes that join; it has nothing to do by itself."""

    def __init__(self, database: Database, network: Network) -> None:
        """Reads `database` in a thread of its own."""
        self._database = database
        self._readers = Readers(database, at_once=1)
        self._budgets = {
            True: Budget(PEER_BYTES_PER_S, BURST_BYTES),
            False: Budget(TOTAL_BYTES_PER_S, BURST_BYTES),
        }
        network.serve(PROTOCOL, self.answer, SERVICE_LIMITS)

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        """Answer a peer's question, when its turn has come. Raises ProtocolViolation."""
        try:
            question = QUESTION.decode(payload)
        except CodecError:
            raise ProtocolViolation("malformed snapshot question") from None
        for is_peer, budget in self._budgets.items():
            await trio.sleep(budget.wait_s(is_peer and peer, trio.current_time()))
        match question:
            case OfferQuestion():
                data, cost = await self._readers.read(self._offer)
            case EpochsQuestion():
                data, cost = await self._readers.read(self._epochs, question.first)
            case ChunkQuestion():
                data, cost = await self._readers.read(self._chunk, question)
            case _:
                assert_never(question)
        for is_peer, budget in self._budgets.items():
            budget.charge(is_peer and peer, cost + QUESTION_BYTES, trio.current_time())
        return data

    def _offer(self) -> tuple[bytes, int]:
        database = self._database
        heights = database.holds.heights()[-HEIGHTS_MAX:]
        return OFFER.encode(Offer(database.finalized().height, database.blocks.running_epoch(), heights)), 0

    def _epochs(self, first: EpochIndex) -> tuple[bytes, int]:
        proofs: list[EpochProof] = []
        size = 0
        while len(proofs) < EPOCHS_MAX and size < EPOCHS_BYTES:
            proof = self._database.blocks.epoch_proof(EpochIndex(first + len(proofs)))
            if proof is None:
                break
            proofs.append(proof)
            size += len(EPOCH_PROOF.encode(proof))
        return EPOCHS.encode(Epochs(tuple(proofs))), size

    def _chunk(self, question: ChunkQuestion) -> tuple[bytes, int]:
        size_max = (CHUNK_BYTES, CHUNK_ENTRIES_MAX)
        try:
            part = self._database.holds.part(question.height, question.range_, size_max, question.known)
        except UnknownState:
            return CHUNK.encode(NotHeld()), 0
        return spell(Chunk(part.range_, part.entries, part.proof)), part.read_bytes
