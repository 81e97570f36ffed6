"""The methods of the RPC: what a node tells about itself and its chain, and what it takes in.

Bytes are `0x` hexadecimal; a block is named by its hash, the newest finalized one if none is named.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

import msgspec

from frame.error import InvalidQuery, InvalidTransaction
from frame.metadata import decode_value, encode_fields
from frame.state import StateView
from node.chain import Chain, Readers
from node.db.errors import UnknownState
from node.light.messages import KEYS_MAX, PROVED_READ, ProvedEntry, ProvedRead
from node.pool.core import PoolRefused
from node.pool.service import PoolService
from node.rpc.dispatch import Method
from node.rpc.errors import RpcError, invalid_params, refused, unavailable
from primitives.block import Header, block_hash
from primitives.codec import CodecError
from primitives.extrinsic import CALL, EXTRINSIC, EXTRINSIC_BYTES_MAX
from primitives.finality import EPOCH_PROOF, FINALITY_PROOF, FinalityProof
from primitives.outcome import EventRecord, Outcome
from primitives.types import (
    STORAGE_KEY_BYTES_MAX,
    U63_MAX,
    AccountId,
    BlockHash,
    BlockNumber,
    EpochIndex,
    ExtrinsicHash,
    Nonce,
)

T = TypeVar("T")

HashText = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
KeyText = Annotated[str, msgspec.Meta(pattern="^0x([0-9a-f]{2})*$", max_length=2 + 2 * STORAGE_KEY_BYTES_MAX)]
ExtrinsicText = Annotated[
    str, msgspec.Meta(pattern="^0x([0-9a-f]{2})*$", max_length=2 + 2 * EXTRINSIC_BYTES_MAX)
]
Number = Annotated[int, msgspec.Meta(ge=0, le=U63_MAX)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Keys = Annotated[list[KeyText], msgspec.Meta(min_length=1, max_length=KEYS_MAX)]

READS_AT_ONCE: Final = 2
"""Threads that read for clients, besides those of the node itself: no client can keep the node waiting."""

PENDING_SHOWN_MAX: Final = 256
"""Most extrinsics in one answer about the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What does not change while a node runs."""

    chain_name: str
    chain_type: str
    fork_id: str
    properties: Mapping[str, Any]
    version: str
    name: str
    peer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What does; read when it is asked for."""

    peers: Callable[[], list[dict[str, Any]]]
    bans: Callable[[], list[dict[str, Any]]]
    addresses: Callable[[], list[str]]
    sync_state: Callable[[], dict[str, Any]]
    is_syncing: Callable[[], bool]
    consensus: Callable[[], dict[str, Any]]


class Methods:
    """Every method by its name, in `table`."""

    def __init__(self, about: About, live: Live, chain: Chain, pool: PoolService) -> None:
        """Answers about `chain`, and hands extrinsics to `pool`."""
        self._about = about
        self._live = live
        self._chain = chain
        self._pool = pool
        self._readers = Readers(chain.database, READS_AT_ONCE)
        self._declared = chain.runtime.metadata()
        self._metadata = msgspec.to_builtins(self._declared)

    def table(self) -> dict[str, Method]:
        """Name to method."""
        methods: dict[str, Method] = {
            "system_name": self._constant("Consilience"),
            "system_version": self._constant(self._about.version),
            "system_chain": self._constant(self._about.chain_name),
            "system_chainType": self._constant(self._about.chain_type),
            "system_nodeName": self._constant(self._about.name),
            "system_properties": self._constant(dict(self._about.properties)),
            "system_localPeerId": self._constant(self._about.peer_id),
            "system_localListenAddresses": self._reading(self._live.addresses),
            "system_peers": self._reading(self._live.peers),
            "system_bannedPeers": self._reading(self._live.bans),
            "system_syncState": self._reading(self._live.sync_state),
            "system_consensus": self._reading(self._live.consensus),
            "system_health": self.health,
            "system_accountNextIndex": self.next_index,
            "chain_getHeader": self.header,
            "chain_getBlock": self.block,
            "chain_getBlockHash": self.block_hash,
            "chain_getFinalizedHead": self.finalized_head,
            "chain_getEvents": self.events,
            "state_getStorage": self.storage,
            "state_getKeysPaged": self.keys_paged,
            "state_getMetadata": self._constant(self._metadata),
            "state_getRuntimeVersion": self.runtime_version,
            "state_call": self.call_view,
            "author_submitExtrinsic": self.submit,
            "author_pendingExtrinsics": self.pending,
            "author_extrinsicStatus": self.extrinsic_status,
            "payment_queryInfo": self.query_fee,
            "light_finalizedHeight": self.finalized_height,
            "light_epochProof": self.epoch_proof,
            "light_finalityProof": self.finality_proof,
            "light_readProof": self.read_proof,
        }
        return {**methods, "rpc_methods": self._constant(sorted([*methods, "rpc_methods"]))}

    # system

    async def health(self) -> dict[str, Any]:
        """Whether the node is well connected and up to date."""
        return {
            "peers": len(self._live.peers()),
            "isSyncing": self._live.is_syncing(),
            "shouldHavePeers": self._about.chain_type != "Development",
        }

    async def next_index(self, account: HashText) -> int:
        """The nonce of an account's next extrinsic, after those that wait in the pool."""
        who = AccountId(_bytes(account))
        nonce = await self._readers.query(lambda state: self._chain.runtime.query(state, "system.nonce", who))
        return self._pool.core.next_nonce(who, Nonce(nonce))

    # chain

    async def header(self, block: HashText | None = None) -> dict[str, Any] | None:
        """A finalized header."""
        found = await self._readers.read(self._chain.database.blocks.header, self._at(block))
        if found is None:
            await self._ensure_not_older(block)
            return None
        return _header(found)

    async def block(self, block: HashText | None = None) -> dict[str, Any] | None:
        """A finalized block; inherents and extrinsics in their wire form."""
        found = await self._readers.read(self._chain.database.blocks.block, self._at(block))
        if found is None:
            await self._ensure_not_older(block)
            return None
        return {
            "header": _header(found.header),
            "inherents": [_hex(CALL.encode(call)) for call in found.body.inherents],
            "extrinsics": [_hex(EXTRINSIC.encode(extrinsic)) for extrinsic in found.body.extrinsics],
        }

    async def block_hash(self, height: Number | None = None) -> str | None:
        """The hash of the finalized block at a height."""
        if height is None:
            return _hex(self._chain.finalized.hash)
        blocks = self._chain.database.blocks
        found = await self._readers.read(blocks.hash_at, BlockNumber(height))
        if found is None and height < (first := await self._readers.read(blocks.complete_from)):
            raise _too_old(first)
        return None if found is None else _hex(found)

    async def finalized_head(self) -> str:
        """The hash of the newest finalized block."""
        return _hex(self._chain.finalized.hash)

    async def events(self, block: HashText | None = None) -> dict[str, Any] | None:
        """What each call of a block did, and the block's own events; fields in their wire form."""
        found = await self._readers.read(self._chain.database.blocks.outcome, self._at(block))
        if found is None:
            await self._ensure_not_older(block)
            return None
        return {
            "calls": [_outcome(call) for call in found.calls],
            "events": [_event(event) for event in found.events],
        }

    # state

    async def storage(self, key: KeyText, block: HashText | None = None) -> str | None:
        """The value under a storage key."""
        value = await self._query(lambda state: state.get(_bytes(key)), block)
        return None if value is None else _hex(value)

    async def keys_paged(self, prefix: KeyText, count: Count, start: KeyText | None = None) -> list[str]:
        """Storage keys that begin with `prefix`, ascending, those after `start`."""
        within, after = _bytes(prefix), None if start is None else _bytes(start)
        if after is not None and not after.startswith(within):
            raise invalid_params("the start key does not begin with the prefix")

        def page(state: StateView) -> list[str]:
            return [_hex(key) for key in islice(_keys(state, within, after), count)]

        return await self._query(page, None)

    async def runtime_version(self) -> dict[str, Any]:
        """What an extrinsic must be signed for, besides its own fields and its birth block."""
        return {
            "specName": self._metadata["spec_name"],
            "specVersion": self._metadata["spec_version"],
            "genesisHash": _hex(self._chain.database.genesis_hash),
            "forkId": self._about.fork_id,
        }

    async def call_view(
        self, view: str, arguments: list[Any] | dict[str, Any], block: HashText | None = None
    ) -> Any:
        """The answer of a view such as `fees.quote`; arguments as the metadata describes them."""
        pallet_name, _, name = view.partition(".")
        found = [
            info
            for pallet in self._declared.pallets
            if pallet.name == pallet_name
            for info in pallet.views
            if info.name == name
        ]
        if not found:
            raise invalid_params(f"there is no view '{view}'; state_getMetadata lists them")
        info = found[0]
        if isinstance(arguments, list):
            if len(arguments) != len(info.parameters):
                raise invalid_params(f"{view} takes {len(info.parameters)} arguments")
            names = (parameter.name for parameter in info.parameters)
            arguments = dict(zip(names, arguments, strict=True))
        try:
            data = encode_fields(info.parameters, arguments)
        except ValueError as error:
            raise invalid_params(str(error)) from None
        try:
            answer = await self._query(lambda state: self._chain.runtime.view(state, view, data), block)
        except InvalidQuery as error:
            raise refused("InvalidQuery", str(error)) from None
        return decode_value(info.returns, answer)

    # author, payment

    async def submit(self, extrinsic: ExtrinsicText) -> str:
        """Take an extrinsic into the pool and tell the network; its hash."""
        try:
            return _hex(await self._pool.submit(_bytes(extrinsic)))
        except CodecError as error:
            raise refused("Malformed", f"not an extrinsic: {error}") from None
        except InvalidTransaction as error:
            raise refused(error.reason.name, _INVALID.get(error.reason.name, error.reason.name)) from None
        except PoolRefused as error:
            raise refused(error.refusal.name, f"the pool refuses it: {error.refusal.name}") from None

    async def pending(self) -> list[str]:
        """Extrinsics that wait, in their wire form."""
        return [_hex(pooled.data) for pooled in islice(self._pool.core, PENDING_SHOWN_MAX)]

    async def extrinsic_status(self, extrinsic: HashText) -> dict[str, Any]:
        """Where an extrinsic is: `finalized` with its outcome, `pending`, or `unknown`."""
        identity = ExtrinsicHash(_bytes(extrinsic))
        blocks = self._chain.database.blocks
        place = await self._readers.read(blocks.place_of, identity)
        if place is None:
            return {"status": "pending" if identity in self._pool.core else "unknown"}
        block = await self._readers.read(blocks.block, place.height)
        outcome = await self._readers.read(blocks.outcome, place.height)
        assert block is not None
        assert outcome is not None
        call = outcome.calls[len(block.body.inherents) + place.index]
        return {
            "status": "finalized",
            "height": place.height,
            "index": place.index,
            "blockHash": _hex(block_hash(block.header)),
            **_outcome(call),
        }

    async def query_fee(self, extrinsic: ExtrinsicText) -> Any:
        """What an extrinsic costs, whether or not it is valid."""
        return await self.call_view("fees.quote", [extrinsic])

    # light

    async def finalized_height(self) -> int:
        """Height of the newest finalized block, which only its proof makes true."""
        return self._chain.finalized.height

    async def epoch_proof(self, epoch: Number) -> str:
        """The proof that leads from the committee of an epoch to that of the next."""
        proof = await self._readers.read(self._chain.database.blocks.epoch_proof, EpochIndex(epoch))
        if proof is None:
            raise unavailable("NoProof", f"epoch {epoch} has not ended on this node, or has no certificate")
        return _hex(EPOCH_PROOF.encode(proof))

    async def finality_proof(self, height: Number) -> str:
        """The proof that the block at a height is final."""
        return _hex(FINALITY_PROOF.encode(await self._proof_of(BlockNumber(height))))

    async def read_proof(self, keys: Keys, height: Number | None = None) -> str:
        """Entries of the state after a finalized block, each with its proof."""
        at = self._chain.finalized.height if height is None else BlockNumber(height)
        try:
            proved = await self._readers.read(self._chain.database.prove, [_bytes(key) for key in keys], at)
        except UnknownState as error:
            raise unavailable("UnknownState", str(error)) from None
        entries = tuple(ProvedEntry(one.key, one.value, one.proof) for one in proved)
        return _hex(PROVED_READ.encode(ProvedRead(await self._proof_of(at), entries)))

    async def _proof_of(self, height: BlockNumber) -> FinalityProof:
        proof = await self._readers.read(self._chain.database.blocks.finality_proof, height)
        if proof is None:
            raise unavailable("NoProof", f"there is no certificate at or above height {height} here")
        return proof

    async def _query(self, question: Callable[[StateView], T], block: str | None) -> T:
        try:
            return await self._readers.query(question, None if block is None else BlockHash(_bytes(block)))
        except UnknownState as error:
            raise unavailable("UnknownState", str(error)) from None

    async def _ensure_not_older(self, block: str | None) -> None:
        """Raises the error that says so, if an unknown block may be one of before this node joined."""
        blocks = self._chain.database.blocks
        first = await self._readers.read(blocks.complete_from)
        height = await self._readers.read(blocks.height_of, self._at(block))
        if first and (height is None or height < first):
            raise _too_old(first)

    def _at(self, block: str | None) -> BlockHash:
        return self._chain.finalized.hash if block is None else BlockHash(_bytes(block))

    @staticmethod
    def _constant(value: Any) -> Method:
        async def answer() -> Any:
            return value

        return answer

    @staticmethod
    def _reading(read: Callable[[], Any]) -> Method:
        async def answer() -> Any:
            return read()

        return answer


_INVALID: Final = {
    "BAD_SIGNATURE": "the signature is not valid for this chain; was it made for another chain or version?",
    "STALE_NONCE": "the nonce was used before; ask for the next one and sign again",
    "FUTURE_NONCE": "the nonce is too far ahead; send the extrinsics before it first",
    "CANNOT_PAY": "the account cannot pay the fee and keep the existential deposit",
    "EXPIRED": "the extrinsic has expired; sign it again",
    "NOT_YET_BORN": "its birth block is not known here; is the node still syncing?",
    "UNKNOWN_CALL": "there is no such call",
    "BAD_ARGUMENTS": "the arguments do not fit the call",
    "TOO_HEAVY": "the extrinsic is larger than a block may take",
}


def _too_old(first: BlockNumber) -> RpcError:
    told = f"this node joined by snapshot and has blocks from {first} on"
    return unavailable("NoHistory", f"{told}: ask a node that synced in full")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _keys(state: StateView, prefix: bytes, after: bytes | None) -> Iterator[bytes]:
    """Keys that begin with `prefix`, ascending, those after `after`, without walking through the others."""
    if after is None:
        yield from (key for key, _ in state.iterate(prefix))
        return
    yield from (key for key, _ in state.iterate(after) if key != after)
    for cut in range(len(after) - 1, len(prefix) - 1, -1):
        for byte in range(after[cut] + 1, 256):
            yield from (key for key, _ in state.iterate(after[:cut] + bytes([byte])))


def _header(header: Header) -> dict[str, Any]:
    return {
        "hash": _hex(block_hash(header)),
        "epoch": header.epoch,
        "view": header.view,
        "height": header.height,
        "parent": _hex(header.parent),
        "stateRoot": _hex(header.state_root),
        "bodyRoot": _hex(header.body_root),
        "eventsRoot": _hex(header.events_root),
        "timestampMs": header.timestamp_ms,
        "author": _hex(header.author),
        "nextSet": None if header.next_set is None else _hex(header.next_set),
    }


def _event(event: EventRecord) -> dict[str, str]:
    return {"pallet": event.pallet, "event": event.event, "fields": _hex(event.fields)}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "failure": None if failure is None else {"pallet": failure.pallet, "error": failure.error},
        "events": [_event(event) for event in outcome.events],
    }
