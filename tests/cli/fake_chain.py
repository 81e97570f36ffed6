"""A node in a dictionary behind real HTTP: the real runtime decides, and every block is final at once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from frame.error import InvalidTransaction
from frame.metadata import decode_value, encode_fields
from inference.certificate import Verdict
from inference.engines.interface import run
from inference.engines.reference import NumpyEngine
from inference.evaluation import Evaluation, Unusable, evaluate, read_dataset
from inference.messages import Evaluate
from inference.protections import Protections
from inference.prover import verdict
from inference.tensor import Tensor
from node.attestation.computation import Material, compute, opened
from node.attestation.core import Result, Stored, Trouble, Word, word_of
from node.blobs.messages import blob_id, manifest_of
from node.sealing.box import public_key_of
from primitives.block import Block, block_hash
from primitives.codec import CodecError
from primitives.extrinsic import CALL, EXTRINSIC, Call, Extrinsic, decode_extrinsic, extrinsic_hash
from primitives.job_message import (
    JobPhase,
    commitment_of,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
)
from primitives.outcome import BlockOutcome, EventRecord, Outcome
from primitives.types import AccountId, Hash, Seed
from runtime.jobs import EvaluateTask, InferTask, OpenJob, Task
from runtime.runtime import Runtime
from tests.cli.fake_rpc import FakeNode, Refusal
from tests.runtime.chain import ALICE, GENESIS_HASH, Chain, call

JOBS = 5
SEALING_SEED = Seed(b"\x5e" * 32)
"""Secret of the sealing key that Alice's node has."""


class FakeChain(FakeNode):
    """Takes extrinsics; one in the pool is put into a block when its status is asked for a second time.

    It is also the worker of its only validator: node.attestation.computation.Worker.
    """

    calls_max = 1

    def __init__(self) -> None:
        self.chain = Chain(Runtime(host=self))
        self.blocks: list[tuple[Block, BlockOutcome]] = []
        self.pool: dict[str, Extrinsic] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.verdict: Callable[[bytes], Verdict] = verdict
        self.abstains = False
        self.secrets = {public_key_of(SEALING_SEED): SEALING_SEED}
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
                "author_sealingKey": lambda: hexed(next(iter(self.secrets))),
                "payment_queryInfo": lambda text: self.view("fees.quote", [text]),
                "light_readProof": lambda keys: hexed(b"proof"),
            }
        )

    def grow(self, *extrinsics: Extrinsic, inherents: Sequence[Call] = ()) -> None:
        block, executed = self.chain.block(extrinsics, inherents)
        assert len(block.body.inherents) == len(inherents)
        self.chain.state.apply(executed.changes)
        self.chain.hashes.append(block_hash(block.header))
        self.blocks.append((block, executed.outcome))

    def store(self, data: bytes) -> bytes:
        blob = blob_id(manifest_of(data))
        self.blobs[blob] = data
        return json.dumps({"blob": hexed(blob), "sizeBytes": len(data)}).encode()

    def attest(self) -> None:
        """Alice, who is the only validator, does her part of every open job in a block."""
        messages = []
        for job in self.chain.runtime.open_jobs(self.chain.state):
            word, salt = self.word_on(job), bytes(32)
            if word.result is None:
                said = sign_abstain(ALICE, GENESIS_HASH, job.id, cannot_open=word.cannot_open)
                messages.append(call(JOBS, 1, said))
                continue
            digest = result_digest(word.result)
            if job.phase is JobPhase.COMMIT:
                commitment = commitment_of(GENESIS_HASH, job.id, ALICE.public_key, digest, salt)
                messages.append(call(JOBS, 0, sign_commit(ALICE, GENESIS_HASH, job.id, commitment)))
            else:
                reveal = sign_reveal(ALICE, GENESIS_HASH, job.id, digest, salt)
                messages.append(call(JOBS, 2, reveal, word.result))
        self.grow(inherents=messages)

    def give(self, blob: str) -> bytes | None:
        return self.blobs.get(unhexed(blob))

    def word_on(self, job: OpenJob) -> Word:
        """What Alice has to say, by the rules of a real validator."""
        outcome = self.outcome_of(job.task)
        if isinstance(outcome, Stored):
            self.store(outcome.output)
        return word_of(job.id, outcome)

    def outcome_of(self, task: Task) -> Result | Trouble:
        if self.abstains:
            return Trouble.UNABLE
        material: Material | Trouble = Material(b"")
        if isinstance(task, InferTask) and task.given is not None:
            given = self.blobs.get(task.given.blob)
            material = Trouble.WITHHELD if given is None else opened(task, given, self.secrets)
        if isinstance(task, EvaluateTask):
            material = Material(b"", self.blobs[task.dataset])
        if isinstance(material, Trouble):
            return material
        return compute(self, task, replace(material, model=self.blobs[task.blob]))

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """As in frame.host.HostFunctions."""
        task = InferTask(blob=blob, certificate=certificate, input=inputs, given=None)
        found = compute(self, task, Material(self.blobs[blob]))
        assert isinstance(found, bytes)
        return found

    def prove(self, model: bytes) -> Verdict:
        return self.verdict(model)

    def run(
        self, file_hash: bytes, fetch: Callable[[], bytes], inputs: Sequence[Tensor], gas: int
    ) -> tuple[Tensor, ...]:
        return run(NumpyEngine(), fetch(), inputs)

    def self_test(self) -> None:
        """It is fit."""

    def protections(self) -> Protections:
        return Protections(memory=True, network=True, privileges=True, files=True, calls=True)

    def evaluate(self, request: Evaluate, fetch: Callable[[], bytes]) -> Evaluation:
        rows = read_dataset(request.certificate, request.metric, request.data, request.rows)
        if isinstance(rows, Unusable):
            return rows
        return evaluate(request.certificate, request.metric, rows, NumpyEngine().load(fetch()).run)

    def close(self) -> None:
        """There is nothing to close."""

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

    def view(self, name: str, arguments: list[Any] | dict[str, Any]) -> Any:
        pallet, _, view = name.partition(".")
        [info] = [one for one in self.chain.runtime.metadata().pallet(pallet).views if one.name == view]
        names = [field.name for field in info.parameters]
        named = dict(zip(names, arguments, strict=True)) if isinstance(arguments, list) else arguments
        answer = self.chain.runtime.view(self.chain.state, name, encode_fields(info.parameters, named))
        if name in ("models.get", "inference.pending", "evaluation.receipt", "disputes.unsettled"):
            self.attest()
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
