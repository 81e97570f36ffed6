"""A light client over JSON-RPC: asks one node, believes only proofs, and remembers what it believes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from node.light.messages import PROVED_READ
from node.light.verify import BELIEF, Belief, believe_genesis, enter_epoch, read, see_final
from primitives.block import Header
from primitives.codec import Codec, CodecError
from primitives.committee import Committee
from primitives.finality import EPOCH_PROOF, FINALITY_PROOF, BadProof, FinalityProof, Flaw
from primitives.types import BlockHash

T = TypeVar("T")

EPOCHS_MAX: Final = 100_000
"""Most epochs that one call walks through, so that a server cannot keep a client busy for ever."""


class Rpc(Protocol):
    """The node that is asked. Errors of the transport and of the node pass through."""

    def call(self, method: str, *params: object) -> object:
        """The result of one JSON-RPC method."""
        ...


class BeliefError(Exception):
    """The file of a light client cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Proved entries of the state."""

    header: Header
    """Of the final block after which the state was read."""

    values: Mapping[bytes, bytes | None]
    proof_bytes: int
    """Size of the whole answer: finality proof, values and state proofs."""

    certificate_bytes: int
    """The part of it that is the finality proof."""


class LightClient:
    """Follows a chain through one node that it does not trust."""

    def __init__(self, rpc: Rpc, belief: Belief) -> None:
        """Start from what is believed already."""
        self._rpc = rpc
        self.belief = belief
        """What has been proved so far."""

    def sync(self) -> Header:
        """The newest final header that the node can prove. Raises BadProof."""
        finality = self._finality(_integer(self._rpc.call("light_finalizedHeight")))
        self._reach(finality.headers[0].epoch)
        self.belief, header = see_final(self.belief, finality)
        return header

    def read(self, keys: Sequence[bytes]) -> Answer:
        """What the newest final state holds under `keys`. Raises BadProof."""
        result = self._rpc.call("light_readProof", ["0x" + key.hex() for key in keys])
        answer, size = _decode(PROVED_READ, result)
        self._reach(answer.finality.headers[0].epoch)
        self.belief, header, values = read(self.belief, keys, answer)
        return Answer(header, values, size, len(FINALITY_PROOF.encode(answer.finality)))

    def header(self, height: int) -> Header:
        """The final header at `height`, in the epoch that was reached. Raises BadProof."""
        self.belief, header = see_final(self.belief, self._finality(height))
        if header.height != height:
            raise BadProof(Flaw.WRONG_HEIGHT)
        return header

    def _finality(self, height: int) -> FinalityProof:
        proof, _ = _decode(FINALITY_PROOF, self._rpc.call("light_finalityProof", height))
        return proof

    def _reach(self, epoch: int) -> None:
        """Walk from committee to committee up to `epoch`."""
        ahead = epoch - self.belief.trusted.committee.epoch
        if not 0 <= ahead <= EPOCHS_MAX:
            raise BadProof(Flaw.WRONG_EPOCH)
        for _ in range(ahead):
            current = self.belief.trusted.committee.epoch
            proof, _ = _decode(EPOCH_PROOF, self._rpc.call("light_epochProof", current))
            self.belief = enter_epoch(self.belief, proof)


def load_belief(path: Path, genesis: BlockHash) -> Belief:
    """What was saved at `path`, which must be of the chain with this genesis. Raises BeliefError."""
    try:
        belief = BELIEF.decode(path.read_bytes())
    except FileNotFoundError:
        raise BeliefError(
            f"no light client at {path}: start one with `consil light init`, with the same --chain and --dir"
        ) from None
    except (OSError, CodecError) as error:
        raise BeliefError(f"cannot use {path} ({error}): delete it and run `consil light init`") from None
    if belief.genesis != genesis:
        raise BeliefError(f"{path} follows another chain: choose another file, or delete it")
    return belief


def save_belief(path: Path, belief: Belief) -> None:
    """Replace what is saved at `path`, whole or not at all. Raises BeliefError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(BELIEF.encode(belief))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise BeliefError(f"cannot write {path}: {error.strerror}") from None


def new_client(rpc: Rpc, genesis: Header, committee: Committee) -> LightClient:
    """A client that knows the genesis block and nothing else."""
    return LightClient(rpc, believe_genesis(genesis, committee))


def _decode(codec: Codec[T], result: object) -> tuple[T, int]:
    """The proof in a result, and its size in bytes. Raises BadProof for anything else."""
    if not isinstance(result, str) or not result.startswith("0x"):
        raise BadProof(Flaw.MALFORMED)
    try:
        data = bytes.fromhex(result[2:])
        return codec.decode(data), len(data)
    except ValueError:
        raise BadProof(Flaw.MALFORMED) from None


def _integer(result: object) -> int:
    if not isinstance(result, int) or result < 0:
        raise BadProof(Flaw.MALFORMED)
    return result
