"""Instant: small models that every node runs while it executes a block.

The answer is in the same block as the question, and final with it. That asks more of a model than a job does:
its proof must rest on no assumption, for nobody could be outvoted; a run must be short, for every voter waits
for it; and its file must be kept as long as the chain lives, for whoever executes an old block needs it. So a
model is deployed once, for a price that is not given back, some blocks before it can be run.

A machine that cannot run a model says so (`frame.error.Unable`) and does not judge the block.
"""

from dataclasses import dataclass
from math import prod
from typing import Final

from msgspec.structs import replace

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import ensure
from frame.identity import ChainIdentity
from frame.models import Models, Offer
from frame.newest import Newest
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from frame.weight import Weight
from inference.certificate import (
    ExactnessCertificate,
    decode_certificate,
    decode_inputs,
    decode_outputs,
    in_range,
    ready_bytes,
)
from inference.encoding import greatest
from inference.tensor import ITEM_BYTES, TensorError
from pallets.instant import weights
from pallets.instant.types import (
    CALL_GAS_MAX,
    MODEL_BYTES_MAX,
    MODEL_READY_BYTES_MAX,
    AlreadyDeployed,
    Answered,
    BadInput,
    CallGas,
    Deployed,
    Input,
    InstantRecord,
    ModelDeployed,
    ModelNotUsable,
    NotDeployed,
    NotForBlocks,
    NotOwner,
    PriceAboveMaximum,
    TooManyDeployed,
    TooMuchGas,
)
from primitives.codec import CodecError
from primitives.hashing import blake2b_256, domain
from primitives.job_message import RESULT_BYTES_MAX
from primitives.types import U32, U63, AccountId, Balance, BlockNumber, Hash

TENSOR_FRAME_BYTES: Final = 96
"""More than type, shape and lengths of one tensor take beside its elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    price: Balance
    """What deploying a model costs: every node keeps it, for ever."""

    treasury: AccountId
    models_max: U32
    bytes_max: U32
    """Of all deployed models together: a node holds them in memory."""

    ready_bytes_max: U32
    """Memory of all deployed models together, in which every node keeps them ready: a run is paid for, and
    loading is not."""

    lead_blocks: U32
    """Blocks between deploying a model and its first run, in which nodes fetch it."""

    records_max: U32
    """Most records; the oldest makes room for a new one, and stays provable in older states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    models: Models
    identity: ChainIdentity


def _infer_weight(model: Hash, input: Input, max_gas: CallGas, max_price: Balance) -> Weight:
    return weights.INFER + weights.INPUT_BYTE.times(len(input)) + weights.GAS.times(max_gas)


class Instant(Pallet):
    """Models that are run in blocks."""

    NAME = "instant"
    EVENTS = (ModelDeployed, Answered)
    ERRORS = (
        ModelNotUsable,
        NotOwner,
        NotForBlocks,
        AlreadyDeployed,
        TooManyDeployed,
        NotDeployed,
        TooMuchGas,
        PriceAboveMaximum,
        BadInput,
    )

    models = StorageMap[Hash, Deployed](Hash, Deployed)
    """By identity of the model; never removed."""

    records = StorageMap[Hash, InstantRecord](Hash, InstantRecord)
    """By identity of the answer."""

    count = StorageValue[int](U63, default=0)
    """Records ever made."""

    sequence = StorageMap[int, Hash](U63, Hash)
    """Identities of the records, in the order in which they were made, counted from 0."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`context.host` runs the models."""
        super().__init__(context)
        self.config = config
        self._needs = needs

    @call(index=0, weight=weights.DEPLOY)
    def deploy(self, origin: Origin, model: Hash) -> None:
        """Have every node keep a model for ever, so that it can be run in blocks. Origin: Signed.

        It costs a price that is not given back.

        `model`: identity of a proven model of the signer.
        """
        who = ensure_signed(origin)
        offer = self._offer(model)
        ensure(offer.owner == who, NotOwner)
        ensure(self.models.find(model) is None, AlreadyDeployed)
        proved = self._needs.models.certificate(model)
        certificate = decode_certificate(proved)
        ensure(_is_for_blocks(offer, certificate), NotForBlocks)
        deployed = [one for _, one in self.models.items()]
        ensure(len(deployed) < self.config.models_max, TooManyDeployed)
        total = sum(one.size_bytes for one in deployed) + offer.size_bytes
        ensure(total <= self.config.bytes_max, TooManyDeployed)
        ready = sum(one.ready_bytes for one in deployed) + ready_bytes(certificate)
        ensure(ready <= self.config.ready_bytes_max, TooManyDeployed)
        self._needs.currency.move(who, self.config.treasury, self.config.price)
        since = BlockNumber(self.context.block.height + self.config.lead_blocks)
        one = Deployed(offer.blob, offer.size_bytes, ready_bytes(certificate), since, proved)
        self.models.put(model, one)
        self.deposit(ModelDeployed(model, offer.blob, since))

    @call(index=1, weight=_infer_weight)
    def infer_now(
        self, origin: Origin, model: Hash, input: Input, max_gas: CallGas, max_price: Balance
    ) -> None:
        """Run a model in this block. Origin: Signed.

        `model`: identity of a deployed model.
        `input`: its inputs as canonical tensors; everybody can read them.
        `max_gas`: what is paid for; a run of the model must not cost more.
        `max_price`: most to pay to the owner of the model.
        """
        requester = ensure_signed(origin)
        deployed = self.models.find(model)
        if deployed is None or self.context.block.height < deployed.since:
            raise NotDeployed
        offer, certificate = self._offer(model), decode_certificate(deployed.certificate)
        ensure(self._needs.models.certificate(model) == deployed.certificate, NotDeployed)
        ensure(certificate.gas <= max_gas, TooMuchGas)
        ensure(offer.price <= max_price, PriceAboveMaximum)
        _ensure_input(certificate, input)
        self._needs.currency.move(requester, offer.owner, offer.price)
        output = self.context.host.run_model(deployed.blob, deployed.certificate, input)
        classes = tuple(greatest(tensor) for tensor in decode_outputs(certificate, output))
        record = InstantRecord(
            requester=requester,
            model=model,
            exact_hash=Hash(certificate.model_hash),
            input_hash=blake2b_256(input),
            output=output,
            classes=classes,
            price=offer.price,
            height=self.context.block.height,
        )
        self.deposit(Answered(self._keep(record), model, requester, output))

    @view
    def deployed(self, model: Hash) -> Deployed | None:
        """Whether a model can be run in blocks, and from when on.

        `model`: its identity.
        """
        return self.models.find(model)

    @view
    def receipt(self, id: Hash) -> InstantRecord | None:
        """What a model answered in a block.

        `id`: as the event names it.
        """
        return self.records.find(id)

    def restart(self) -> None:
        """Heights begin again, and every model can be run."""
        for model, one in list(self.models.items()):
            self.models.put(model, replace(one, since=BlockNumber(0)))

    def check_state(self) -> None:
        """Deployed models are proven exactly; the newest records are kept, in order."""
        deployed = dict(self.models.items())
        assert len(deployed) <= self.config.models_max
        assert sum(one.size_bytes for one in deployed.values()) <= self.config.bytes_max
        assert sum(one.ready_bytes for one in deployed.values()) <= self.config.ready_bytes_max
        assert all(decode_certificate(one.certificate).gap is None for one in deployed.values())
        self._newest.check_state()

    def _offer(self, model: Hash) -> Offer:
        offer = self._needs.models.offer(model)
        if offer is None:
            raise ModelNotUsable
        return offer

    def _keep(self, record: InstantRecord) -> Hash:
        """Store a record; its identity."""
        number = self.count.get().to_bytes(8, "big")
        id_ = blake2b_256(_DOMAIN + self._needs.identity.genesis() + number)
        self._newest.keep(id_, record)
        return id_

    @property
    def _newest(self) -> Newest:
        return Newest(self.records, self.sequence, self.count, self.config.records_max)


def _is_for_blocks(offer: Offer, certificate: ExactnessCertificate) -> bool:
    """Nobody can be outvoted in a block: a proof that assumes something of an engine does not do."""
    ports = certificate.outputs  # also those that are not attested: every integer is looked at, in Python
    output_bytes = sum(prod(port.shape) * ITEM_BYTES[port.dtype] + TENSOR_FRAME_BYTES for port in ports)
    is_short = certificate.gas <= CALL_GAS_MAX and output_bytes <= RESULT_BYTES_MAX
    is_small = offer.size_bytes <= MODEL_BYTES_MAX and ready_bytes(certificate) <= MODEL_READY_BYTES_MAX
    return certificate.gap is None and is_short and is_small


def _ensure_input(certificate: ExactnessCertificate, data: bytes) -> None:
    """Raises BadInput."""
    try:
        is_in_range = in_range(certificate.inputs, decode_inputs(certificate, data))
    except (CodecError, TensorError):
        raise BadInput from None
    ensure(is_in_range, BadInput)


_DOMAIN: Final = domain("instant/1")
