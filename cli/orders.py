"""How an input gets to the panel: with its request, as a blob, or sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.answers import Secrets
from cli.chain import Chain
from cli.errors import UserError
from frame.sealing import SealingKey
from node.sealing.box import Sealed, seal_input
from pallets.inference.types import INPUT_BYTES_MAX, STORED_BYTES_MAX
from primitives.sealing import panel_digest, purpose_of
from primitives.types import AccountId, Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to call, and what to upload first."""

    call: str
    arguments: dict[str, str]
    blob: bytes = b""
    inline_bytes: int = 0
    """Length of an input that comes with its request."""

    sealed: Sealed | None = None

    @property
    def size(self) -> dict[str, object]:
        """What the price of the request depends on, as `inference.quote` takes it."""
        return {"input_bytes": self.inline_bytes or len(self.blob), "is_stored": bool(self.blob)}

    def send(self, chain: Chain) -> dict[str, str]:
        """Keep the secret and upload the blob; the arguments of the call. Raises UserError."""
        if self.sealed is not None:
            Secrets(chain.keystore.directory).keep(self.sealed)
        if not self.blob:
            return self.arguments
        return {**self.arguments, "blob": chain.upload(self.blob), "size_bytes": str(len(self.blob))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Who may read an input, and for what."""

    readers: Sequence[dict[str, Any]]
    """As `sealing.readers` names them."""

    requester: AccountId
    model: str
    is_output_sealed: bool


def plan(inputs: bytes, privacy: Privacy | None) -> Order:
    """For these canonical tensors; public without privacy. Raises UserError."""
    order = _public(inputs) if privacy is None else _private(inputs, privacy)
    if len(order.blob) > STORED_BYTES_MAX:
        raise UserError(f"the input has {len(inputs)} bytes", f"at most {STORED_BYTES_MAX} are taken")
    return order


def _public(inputs: bytes) -> Order:
    if len(inputs) <= INPUT_BYTES_MAX:
        arguments = {"input": f"0x{inputs.hex()}"}
        return Order(call="inference.request", arguments=arguments, inline_bytes=len(inputs))
    return Order(call="inference.request_stored", arguments={}, blob=inputs)


def _private(inputs: bytes, privacy: Privacy) -> Order:
    readers = privacy.readers
    keys = [None if one["key"] is None else SealingKey(bytes.fromhex(one["key"][2:])) for one in readers]
    able = sum(one["stake"] for one in readers if one["key"] is not None)
    if 3 * able <= 2 * sum(one["stake"] for one in readers):
        raise UserError(
            f"{sum(key is not None for key in keys)} of {len(keys)} validators take private inputs: too few",
            "validators register a key with `consil key seal`",
        )
    model = Hash(bytes.fromhex(privacy.model.removeprefix("0x")))
    sealed = seal_input(inputs, purpose_of(privacy.requester, model, privacy.is_output_sealed), keys)
    arguments = {
        "commitment": f"0x{sealed.commitment.hex()}",
        "panel": f"0x{panel_digest(keys).hex()}",
        "is_output_sealed": "true" if privacy.is_output_sealed else "false",
    }
    return Order(call="inference.request_private", arguments=arguments, blob=sealed.data, sealed=sealed)
