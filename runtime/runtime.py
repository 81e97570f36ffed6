"""What a node asks: pure functions of a read-only state and their arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from frame.context import BlockContext, Context
from frame.error import (
    InvalidBlock,
    InvalidQuery,
    InvalidTransaction,
    NotHere,
    Rejection,
    TransactionError,
    Unable,
)
from frame.host import HostFunctions
from frame.metadata import Metadata
from frame.pallet import Pallet
from frame.state import Changes, Overlay, StateView
from frame.weight import CallClass
from pallets.system import System
from primitives import signing
from primitives.block import GENESIS_PARENT, Block, Body
from primitives.certificate import Verifier
from primitives.codec import CodecError, spell
from primitives.committee import Committee, committee_root
from primitives.extrinsic import Call, Extrinsic
from primitives.merkle import list_root
from primitives.outcome import events_root
from primitives.types import (
    AccountId,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    TimestampMs,
)
from runtime.constants import SHARES
from runtime.description import describe_runtime
from runtime.executive import Checked, Executed, Execution
from runtime.fork import ForkConfig, fork_changes
from runtime.genesis import GenesisConfig, genesis_changes
from runtime.jobs import OpenJob, open_jobs
from runtime.pallets import Pallets
from runtime.pinned import PinnedModel, pinned_models

RESTS_MAX: Final = 64
"""Most blocks of one author in which a model that made trouble is not tried."""


class NoHost:
    """A machine that runs no models. Implements frame.host.HostFunctions."""

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """Raises Unable."""
        raise Unable("this machine runs no models")


class GivingUp:
    """A machine that an author asks, who has no time to lose twice in a block.

    Once it was unable it is asked no more in that block; nor for the same model in some of the next ones,
    twice as many each time: who is left out pays nothing, so that a model that hangs could else keep every
    author from making blocks, for ever. A model that is missing costs no time, and holds up no other.
    Implements frame.host.HostFunctions; in memory only, and nothing of any state.
    """

    def __init__(self, host: HostFunctions) -> None:
        """Nothing has gone wrong yet."""
        self._host = host
        self._trouble: Unable | None = None
        self._failures: dict[Hash, int] = {}
        """In a row; of deployed models, which are few."""

        self._rests: dict[Hash, int] = {}
        """Blocks in which a model is not tried."""

    def begin_block(self) -> None:
        """Forget the trouble of the block before."""
        self._trouble = None
        self._rests = {blob: left - 1 for blob, left in self._rests.items() if left > 1}

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """Raises Unable."""
        if self._trouble is not None:
            raise self._trouble
        if blob in self._rests:
            raise Unable(f"the model {blob.hex()[:12]} made trouble in a block before")
        try:
            outputs = self._host.run_model(blob, certificate, inputs)
        except NotHere:
            raise
        except Unable as trouble:
            self._trouble = trouble
            failures = self._failures[blob] = self._failures.get(blob, 0) + 1
            self._rests[blob] = min(1 << failures, RESTS_MAX)
            raise
        self._failures.pop(blob, None)
        return outputs


@dataclass(frozen=True, slots=True)
class Validity:
    """What the pool needs to know of a valid extrinsic."""

    priority: int
    """Fee per microsecond of reference time, in smallest units; operational calls come first."""

    requires: tuple[bytes, ...]
    """Tags that must be provided before."""

    provides: tuple[bytes, ...]
    """Tags; no two extrinsics of a block provide the same."""

    expires: BlockNumber
    """The last height at which it is valid."""


class Runtime:
    """Implements the seam between node and runtime. Holds no state of any chain."""

    def __init__(self, verifier: Verifier = signing.verify, host: HostFunctions | None = None) -> None:
        """`verifier` judges signatures: (public key, message, signature) -> valid. `host` runs models."""
        self._verifier = verifier
        self._host = host or NoHost()
        self._author_host = GivingUp(self._host)

    def build_genesis(self, config: GenesisConfig) -> Changes:
        """The state of block 0."""
        return genesis_changes(config, self._host)

    def fork(self, state: StateView, config: ForkConfig) -> Changes:
        """What makes a state of another chain the state of block 0. Raises ForkRefused."""
        return fork_changes(state, config, self._host)

    def execute_block(self, state: StateView, block: Block) -> Executed:
        """Run a block on its parent's state; the node compares the state root.

        Raises InvalidBlock if it is invalid for ever, Unable if this machine could not tell.
        """
        header, body = block.header, block.body
        context = BlockContext(header.epoch, header.height, header.parent, header.timestamp_ms, header.author)
        execution = Execution(state, context, self._host, self._verifier)
        execution.initialize()
        inherents = [spell(call) for call in body.inherents]
        extrinsics = [spell(extrinsic) for extrinsic in body.extrinsics]
        if list_root(inherents + extrinsics) != header.body_root:
            raise InvalidBlock(Rejection.BAD_BODY_ROOT)
        for call, data in zip(body.inherents, inherents, strict=True):
            _ensure_inherent(execution, call, len(data))
        for extrinsic, data in zip(body.extrinsics, extrinsics, strict=True):
            _ensure_extrinsic(execution, extrinsic, len(data))
        executed = execution.finalize()
        if events_root(executed.outcome) != header.events_root:
            raise InvalidBlock(Rejection.BAD_EVENTS_ROOT)
        following = executed.next_committee
        if header.next_set != (None if following is None else committee_root(following)):
            raise InvalidBlock(Rejection.BAD_NEXT_SET)
        return executed

    def build_block(
        self,
        state: StateView,
        context: BlockContext,
        inherents: Sequence[Call],
        candidates: Iterable[Extrinsic],
    ) -> tuple[Body, Executed]:
        """A body of what is valid and fits, in the order given, and what it does.

        What this machine is unable to run is left out, and what else it could lose time with: see GivingUp.

        Raises InvalidBlock if no block with this context can be valid, Unable if this machine could not tell.
        """
        self._author_host.begin_block()
        execution = Execution(state, context, self._author_host, self._verifier)
        execution.initialize()
        calls = [call for call in inherents if _try_inherent(execution, call)]
        extrinsics = [extrinsic for extrinsic in candidates if _try_extrinsic(execution, extrinsic)]
        return Body(tuple(calls), tuple(extrinsics)), execution.finalize()

    def validate_transaction(self, state: StateView, extrinsic: Extrinsic, parent: BlockHash) -> Validity:
        """Whether the extrinsic may enter the block after `parent`, or a later one once its nonce is due.

        `parent` is the hash of the block that left `state`, which no state knows. Raises InvalidTransaction.
        """
        execution = Execution(state, _next_block(state, parent), self._host, self._verifier)
        execution.initialize_for_pool()
        length_bytes = len(spell(extrinsic))
        checked = execution.check(extrinsic, length_bytes)
        share = SHARES[checked.declaration.call_class]
        if length_bytes > share.length_bytes or not checked.weight.fits(share.weight):
            raise InvalidTransaction(TransactionError.TOO_HEAVY)
        return _validity(extrinsic, checked)

    def committee(self, state: StateView) -> Committee:
        """The committee of the epoch that the block after `state` belongs to."""
        return self._pallets(state).session.committee.get()

    def open_jobs(self, state: StateView) -> tuple[OpenJob, ...]:
        """What the attestation service acts on."""
        return open_jobs(self._pallets(state))

    def pinned_models(self, state: StateView) -> tuple[PinnedModel, ...]:
        """The model files without which blocks after `state` cannot be executed."""
        return pinned_models(self._pallets(state))

    def view(self, state: StateView, name: str, arguments: bytes) -> bytes:
        """The answer of the view `pallet.view`, encoded; `arguments` is their canonical array.

        Raises InvalidQuery.
        """
        pallet, view = _find_view(self._pallets(state), name)
        declaration = pallet.views[view]
        try:
            answer = getattr(pallet, view)(*declaration.arguments.decode(arguments))
        except (CodecError, InvalidTransaction) as error:
            raise InvalidQuery(f"{name}: {error}") from None
        return declaration.result.encode(answer)

    def query(self, state: StateView, name: str, *arguments: Any) -> Any:
        """As `view`, with values instead of bytes, for use within the node."""
        pallet, view = _find_view(self._pallets(state), name)
        return getattr(pallet, view)(*arguments)

    def metadata(self) -> Metadata:
        """Everything that a client needs to encode, decode and explain."""
        return describe_runtime()

    def check_state(self, state: StateView) -> None:
        """Assert every pallet's invariants. Walks the whole state: for tests and upgrades."""
        for pallet in self._pallets(state).by_index.values():
            pallet.check_state()

    def _pallets(self, state: StateView) -> Pallets:
        return Pallets(Context(Overlay(state), _next_block(state, GENESIS_PARENT), self._host))


def _next_block(state: StateView, parent: BlockHash) -> BlockContext:
    """A block after `state` of which only height and parent are known."""
    height = System.number.bind(Overlay(state)).get() + 1
    return BlockContext(EpochIndex(0), BlockNumber(height), parent, TimestampMs(0), PublicKey(bytes(32)))


def _ensure_inherent(execution: Execution, call: Call, length_bytes: int) -> None:
    try:
        done = execution.apply_inherent(call, length_bytes)
    except InvalidTransaction as error:
        raise InvalidBlock(_rejection(error, Rejection.BAD_INHERENT)) from None
    if not done:
        raise InvalidBlock(Rejection.BAD_INHERENT)


def _ensure_extrinsic(execution: Execution, extrinsic: Extrinsic, length_bytes: int) -> None:
    try:
        execution.apply_extrinsic(extrinsic, length_bytes)
    except InvalidTransaction as error:
        raise InvalidBlock(_rejection(error, Rejection.BAD_EXTRINSIC)) from None


def _rejection(error: InvalidTransaction, otherwise: Rejection) -> Rejection:
    return Rejection.TOO_HEAVY if error.reason is TransactionError.TOO_HEAVY else otherwise


def _try_inherent(execution: Execution, call: Call) -> bool:
    try:
        return execution.apply_inherent(call, len(spell(call)))
    except InvalidTransaction:
        return False


def _try_extrinsic(execution: Execution, extrinsic: Extrinsic) -> bool:
    try:
        execution.apply_extrinsic(extrinsic, len(spell(extrinsic)))
    except (InvalidTransaction, Unable):
        return False
    return True


def _validity(extrinsic: Extrinsic, checked: Checked) -> Validity:
    priority = int(checked.fee) * 1_000_000 // checked.weight.reference_time_ps
    if checked.declaration.call_class is CallClass.OPERATIONAL:
        priority += 1 << 63
    is_due = extrinsic.nonce == checked.account.nonce
    return Validity(
        priority=priority,
        requires=() if is_due else (_tag(extrinsic.signer, Nonce(extrinsic.nonce - 1)),),
        provides=(_tag(extrinsic.signer, extrinsic.nonce),),
        expires=BlockNumber(extrinsic.mortality.birth + extrinsic.mortality.period),
    )


def _tag(who: AccountId, nonce: Nonce) -> bytes:
    return who + nonce.to_bytes(8, "big")


def _find_view(pallets: Pallets, name: str) -> tuple[Pallet, str]:
    pallet_name, _, view = name.partition(".")
    for pallet in pallets.by_index.values():
        if pallet_name == pallet.NAME and view in pallet.views:
            return pallet, view
    raise InvalidQuery(f"no view is named '{name}'")
