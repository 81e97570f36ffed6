"""Answers that are not in the state: fetched by their hash, and opened with the secret of their request."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.errors import UserError
from node.blobs.messages import blob_id, manifest_of
from node.keystore.store import Keystore, KeystoreError
from node.sealing.box import Sealed, Unopenable, open_output, seal_output
from primitives.hashing import blake2b_256
from primitives.job_message import STORED_OUTPUT, StoredOutput
from primitives.sealing import input_commitment, purpose_of
from primitives.types import AccountId, Bytes32, Hash, Seed

SECRETS: Final = "requests"
"""Where, in a user's keystore, the secrets of private requests are, each named by what the request fixed."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a user's private requests."""

    keystore: Path

    def keep(self, sealed: Sealed) -> None:
        """Before the request is sent: without the secret nobody reads a sealed answer. Raises UserError."""
        try:
            self._store.add(_name(f"0x{sealed.commitment.hex()}"), Seed(sealed.salt))
        except KeystoreError as error:
            raise UserError(str(error), "choose another --keystore") from None

    def find(self, input_hash: str) -> Bytes32 | None:
        """The secret of a request, if it was made here. Raises UserError."""
        name = _name(input_hash)
        try:
            return Bytes32(self._store.seed_of(name)) if name in self._store.names() else None
        except KeystoreError as error:
            raise UserError(str(error)) from None

    @property
    def _store(self) -> Keystore:
        return Keystore(self.keystore.expanduser() / SECRETS)


def _name(input_hash: str) -> str:
    """As long as a keystore takes, and far too long to meet another."""
    return input_hash[2:34]


def stored_output(record: dict[str, Any]) -> StoredOutput | None:
    """What the record says of an output that is a blob; None if it holds the output itself, or none."""
    if record["output"] is None or not record["is_output_stored"]:
        return None
    return STORED_OUTPUT.decode(bytes.fromhex(record["output"][2:]))


def read_output(record: dict[str, Any], fetch: Callable[[str], bytes], secrets: Secrets) -> bytes | None:
    """The output of a record as canonical tensors; None if there is none, or it is sealed to somebody else.

    `fetch` gives the blob with an id, checked by it. Raises UserError.
    """
    named = stored_output(record)
    if named is None:
        return None if record["output"] is None else bytes.fromhex(record["output"][2:])
    if not record["is_output_sealed"]:
        return fetch(f"0x{named.blob.hex()}")
    salt = secrets.find(record["input_hash"])
    if salt is None:
        return None
    try:
        return open_output(salt, fetch(f"0x{named.blob.hex()}"))
    except Unopenable as error:
        raise UserError(str(error), "the secret in the keystore is not that of this request") from None


def expected(record: dict[str, Any], inputs: bytes, output: bytes, secrets: Secrets) -> dict[str, bytes]:
    """What `input_hash` and `output` of the record must be for these tensors. Raises UserError."""
    salt = None
    match record["input_form"]:
        case "sealed":
            salt = secrets.find(record["input_hash"])
            if salt is None:
                raise UserError("the input is private", "only who made the request can compute it again")
            requester, model = (bytes.fromhex(record[name][2:]) for name in ("requester", "model"))
            purpose = purpose_of(AccountId(requester), Hash(model), record["is_output_sealed"])
            input_hash = input_commitment(purpose, salt, inputs)
        case "stored":
            input_hash = Hash(blob_id(manifest_of(inputs)))
        case _:
            input_hash = blake2b_256(inputs)
    if record["is_output_sealed"] and salt is not None:
        output = seal_output(salt, output)
    if record["is_output_stored"]:
        output = STORED_OUTPUT.encode(StoredOutput(Hash(blob_id(manifest_of(output))), len(output)))
    return {"input_hash": input_hash, "output": output}
