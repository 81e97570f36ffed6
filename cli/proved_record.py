"""The record of a request or an evaluation, believed by its proof alone; and an answer computed again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.answers import Secrets, expected
from cli.errors import UserError
from cli.exact import certificate_of, prove_file
from cli.files import read_model
from cli.light import asking, belief_file, load, save
from cli.lookup import find_storage
from cli.specs import load_spec
from frame.metadata import StorageInfo, decode_value, storage_key
from inference.certificate import ExactnessCertificate, encode_inputs, encode_outputs
from inference.encoding import Encoded
from node.light.client import Answer, LightClient
from node.light.messages import KEYS_MAX
from runtime.description import describe_runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedRecord:
    """What a chain has on record about one job, and about the model that it was done with."""

    record: dict[str, Any]
    certificate: ExactnessCertificate
    height: int
    """Of the final block under whose state root the record was proved."""

    proof_bytes: int


def verify_record(chain: str, directory: Path, rpc: str, item: str, job: str) -> ProvedRecord:
    """The record of `job` in the map `item`, proved from the genesis of `chain` on. Raises UserError."""
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    with asking(rpc, load(file, spec)) as client:
        [record], answer = read_entries(client, [(item, job)])
        [proof], _ = read_entries(client, [("models.proofs", record["model"])])
        save(file, client.belief)
    return ProvedRecord(
        record=record,
        certificate=certificate_of(proof["verdict"]),
        height=answer.header.height,
        proof_bytes=answer.proof_bytes,
    )


def prove_entries(
    chain: str, directory: Path, rpc: str, items: Sequence[tuple[str, str]]
) -> tuple[list[Any], Answer]:
    """Entries of maps, each an item and a key, of one final state of `chain`, and how they were proved.

    Raises UserError, also for an entry that is proved absent.
    """
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    with asking(rpc, load(file, spec)) as client:
        found = read_entries(client, items)
        save(file, client.belief)
    return found


def prove_model_and_readers(
    chain: str, directory: Path, rpc: str, model: str
) -> tuple[ExactnessCertificate, list[dict[str, Any]]]:
    """What validators proved of a model, and the keys of those who validate, in the order of their panel.

    As `sealing.readers` would say it, but proved: a node that gave its own key for that of a validator would
    read what is sealed to it, also if the chain then refuses the request. Raises UserError.
    """
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    with asking(rpc, load(file, spec)) as client:
        [proof], _ = read_entries(client, [("models.proofs", model)])
        readers = _readers(client)
        save(file, client.belief)
    return certificate_of(proof["verdict"]), readers


def _readers(client: LightClient) -> list[dict[str, Any]]:
    """Raises UserError if validators changed meanwhile."""
    metadata = describe_runtime()
    seated, sealing = find_storage(metadata, "session.validators"), find_storage(metadata, "sealing.keys")
    seats_key = storage_key(seated, [])
    first = client.read([seats_key]).values[seats_key]
    assert first is not None  # every state has validators
    seats = decode_value(seated.value, first)
    readers = []
    for at in range(0, len(seats), KEYS_MAX - 1):
        some = [(seat, storage_key(sealing, [seat["account"]])) for seat in seats[at : at + KEYS_MAX - 1]]
        values = client.read([seats_key, *(key for _, key in some)]).values
        if values[seats_key] != first:
            raise UserError("the validators have just changed", "try again")
        for seat, key in some:
            data = values[key]
            known = None if data is None else decode_value(sealing.value, data)["key"]
            readers.append({"account": seat["account"], "stake": seat["stake"], "key": known})
    return readers


def read_entries(client: LightClient, items: Sequence[tuple[str, str]]) -> tuple[list[Any], Answer]:
    """As `prove_entries`, of a client."""
    infos = [find_storage(describe_runtime(), item) for item, _ in items]
    keys = [_key(info, key) for info, (_, key) in zip(infos, items, strict=True)]
    answer = client.read(keys)
    values = []
    for info, state_key, (item, key) in zip(infos, keys, items, strict=True):
        data = answer.values[state_key]
        if data is None:
            raise UserError(f"it is proved that {item} has no {key}", "it is not there yet, or never was")
        values.append(decode_value(info.value, data))
    return values, answer


def recompute(
    record: dict[str, Any], file: Path, read: Callable[[ExactnessCertificate], Encoded], secrets: Secrets
) -> None:
    """Run the model in `file` on the input that `read` gives. Raises UserError for another record."""
    from inference.engines.onnx_runtime import OnnxRuntimeEngine

    proof = prove_file(read_model(file), file)
    encoded = read(proof.certificate)
    inputs = encode_inputs(proof.certificate, encoded.tensors)
    tensors = OnnxRuntimeEngine().load(proof.canonical).run(encoded.tensors)
    output = encode_outputs(proof.certificate, tensors)
    found = {"exact_hash": proof.certificate.model_hash, **expected(record, inputs, output, secrets)}
    for name, value in found.items():
        if record[name] != f"0x{value.hex()}":
            raise UserError(
                f"the record has another {name.replace('_', ' ')}", "check the model and the input"
            )


def _key(info: StorageInfo, key: str) -> bytes:
    try:
        return storage_key(info, [key])
    except ValueError as error:
        raise UserError(f"'{key[:80]}' is no identity: {error}", "write 0x and 64 digits") from None
