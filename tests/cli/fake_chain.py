"""A node in a dictionary behind real HTTP: the real runtime decides, and every block is final at once."""

from typing import Any

import msgspec

from frame.error import InvalidTransaction
from frame.metadata import decode_value, encode_fields
from primitives.block import Block
from primitives.codec import CodecError
from primitives.extrinsic import CALL, EXTRINSIC, Extrinsic, decode_extrinsic, extrinsic_hash
from primitives.outcome import BlockOutcome, EventRecord, Outcome
from primitives.types import AccountId
from tests.cli.fake_rpc import FakeNode, Refusal
from tests.runtime.chain import GENESIS_HASH, Chain


class FakeChain(FakeNode):
    """Takes extrinsics; one in the pool is put into a block when its status is asked for a second time."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.blocks: list[tuple[Block, BlockOutcome]] = []
        self.pool: dict[str, Extrinsic] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self.grow()
        super().__init__(
            {
                "system_properties": lambda: {"tokenSymbol": "CNS", "tokenDecimals": 9, "ss58Format": 42},
                "system_accountNextIndex": self.next_index,
                "chain_getFinalizedHead": lambda: hexed(self.chain.hashes[-1]),
                "chain_getBlockHash": self.block_hash,
                "chain_getHeader": self.header,
                "chain_getBlock": self.block,
                "chain_getEvents": self.events,
                "state_getMetadata": lambda: msgspec.to_builtins(self.chain.runtime.metadata()),
                "state_getRuntimeVersion": self.version,
                "state_getStorage": self.storage,
                "state_getKeysPaged": self.keys,
                "state_call": self.view,
                "author_submitExtrinsic": self.submit,
                "author_extrinsicStatus": self.status_of,
                "payment_queryInfo": lambda text: self.view("fees.quote", [text]),
                "light_readProof": lambda keys: hexed(b"proof"),
            }
        )

    def grow(self, *extrinsics: Extrinsic) -> None:
        block, _ = self.chain.block(extrinsics)
        executed = self.chain.grow(*extrinsics)
        self.blocks.append((block, executed.outcome))

    def version(self) -> dict[str, Any]:
        return {
            "specName": "consilience",
            "specVersion": 1,
            "genesisHash": hexed(GENESIS_HASH),
            "forkId": "fork",
        }

    def next_index(self, account: str) -> Any:
        return self.chain.runtime.query(self.chain.state, "system.nonce", AccountId(unhexed(account)))

    def block_hash(self, height: int) -> str | None:
        return hexed(self.chain.hashes[height]) if height < len(self.chain.hashes) else None

    def header(self, block: str | None = None) -> dict[str, Any] | None:
        hashes = [hexed(hash_) for hash_ in self.chain.hashes]
        if block is not None and block not in hashes:
            return None
        height = len(hashes) - 1 if block is None else hashes.index(block)
        return {"height": height, "hash": hashes[height]}

    def block(self, block: str) -> dict[str, Any] | None:
        header = self.header(block)
        if header is None or header["height"] == 0:
            return None
        body = self.blocks[header["height"] - 1][0].body
        return {
            "header": header,
            "inherents": [hexed(CALL.encode(call)) for call in body.inherents],
            "extrinsics": [hexed(EXTRINSIC.encode(one)) for one in body.extrinsics],
        }

    def events(self, block: str) -> dict[str, Any]:
        header = self.header(block)
        assert header is not None
        outcome = self.blocks[header["height"] - 1][1]
        return {
            "calls": [shown(call) for call in outcome.calls],
            "events": [event(one) for one in outcome.events],
        }

    def storage(self, key: str, block: str | None = None) -> str | None:
        value = self.chain.state.get(unhexed(key))
        return None if value is None else hexed(value)

    def keys(self, prefix: str, count: int, start: str = "0x") -> list[str]:
        found = [hexed(key) for key, _ in self.chain.state.iterate(unhexed(prefix)) if hexed(key) > start]
        return found[:count]

    def view(self, name: str, arguments: list[Any]) -> Any:
        pallet, _, view = name.partition(".")
        [info] = [one for one in self.chain.runtime.metadata().pallet(pallet).views if one.name == view]
        named = {field.name: value for field, value in zip(info.parameters, arguments, strict=True)}
        answer = self.chain.runtime.view(self.chain.state, name, encode_fields(info.parameters, named))
        return decode_value(info.returns, answer)

    def submit(self, text: str) -> str:
        try:
            extrinsic = decode_extrinsic(unhexed(text))
            self.chain.runtime.validate_transaction(self.chain.state, extrinsic, self.chain.parent)
        except CodecError as error:
            raise Refusal(1000, "Malformed", f"not an extrinsic: {error}") from None
        except InvalidTransaction as error:
            raise Refusal(1000, error.reason.name, f"it is refused: {error.reason.name}") from None
        identity = hexed(extrinsic_hash(unhexed(text)))
        self.pool[identity] = extrinsic
        return identity

    def status_of(self, identity: str) -> dict[str, Any]:
        if identity in self.pool:
            self.grow(self.pool.pop(identity))
            self.places[identity] = (len(self.blocks), 0)
            return {"status": "pending"}
        if identity not in self.places:
            return {"status": "unknown"}
        height, index = self.places[identity]
        outcome = self.blocks[height - 1][1]
        place = {"height": height, "index": index, "blockHash": hexed(self.chain.hashes[height])}
        return {"status": "finalized", **place, **shown(outcome.calls[index])}


def shown(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "failure": None if failure is None else {"pallet": failure.pallet, "error": failure.error},
        "events": [event(one) for one in outcome.events],
    }


def event(record: EventRecord) -> dict[str, str]:
    return {"pallet": record.pallet, "event": record.event, "fields": hexed(record.fields)}


def hexed(data: bytes) -> str:
    return f"0x{data.hex()}"


def unhexed(text: str) -> bytes:
    return bytes.fromhex(text[2:])
