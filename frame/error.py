"""The kinds of refusal. They are told apart by name and never mixed.

A `DispatchError` refuses one call. `InvalidTransaction` refuses an extrinsic before it may enter a block, and
`InvalidBlock` a block. `Unable` is trouble of this machine and says nothing about the block.
"""

from enum import Enum, auto
from typing import ClassVar

from primitives.outcome import Failure


class DispatchError(Exception):
    """A call was refused; what it wrote is rolled back. The class's name is the error's name on the wire."""

    PALLET: ClassVar[str]
    """Name of the pallet that lists the error, set when that pallet is declared."""

    def failure(self) -> Failure:
        """The error as an outcome records it."""
        return Failure(self.PALLET, type(self).__name__)


class ValueOutOfRange(DispatchError):
    """A result does not fit its type."""


class InnerFailure(DispatchError):
    """A call that ran another one is refused with it, and for the same reason."""

    def __init__(self, inner: Failure) -> None:
        """`inner`: what became of the other call."""
        super().__init__()
        self._inner = inner

    def failure(self) -> Failure:
        """That of the other call."""
        return self._inner


def ensure(holds: bool, error: type[DispatchError]) -> None:
    """Raises `error` unless `holds`."""
    if not holds:
        raise error


class TransactionError(Enum):
    """Why an extrinsic may not enter a block."""

    UNKNOWN_CALL = auto()
    """No such pallet or call, or one that nobody may sign."""

    BAD_ARGUMENTS = auto()
    """The arguments are not the canonical array of what the call declares."""

    BAD_SIGNATURE = auto()
    """Signed by another key, for another chain, fork or version, or altered."""

    STALE_NONCE = auto()
    """The account has sent an extrinsic with this nonce."""

    FUTURE_NONCE = auto()
    """An earlier nonce of the account has to come first."""

    CANNOT_PAY = auto()
    """The account cannot pay the fee and stay alive."""

    EXPIRED = auto()
    """Its last valid height has passed."""

    NOT_YET_BORN = auto()
    """Its birth block is not an ancestor yet."""

    TOO_HEAVY = auto()
    """It does not fit what its class may take of a block: of an empty one, in the pool."""


class InvalidTransaction(Exception):
    """The extrinsic is not valid on this state."""

    def __init__(self, reason: TransactionError) -> None:
        """`reason` is all that there is to say."""
        super().__init__(reason.name)
        self.reason = reason


class Rejection(Enum):
    """Why a block is invalid."""

    WRONG_HEIGHT = auto()
    """Not one above its parent."""

    WRONG_EPOCH = auto()
    """Not the epoch that its height belongs to."""

    WRONG_AUTHOR = auto()
    """The author is no member of the epoch's committee."""

    TOO_EARLY = auto()
    """Less than the block time after its parent."""

    TOO_HEAVY = auto()
    """A class of calls takes more weight or bytes than its share of the block, or all together too much."""

    BAD_BODY_ROOT = auto()
    """The header commits to another body."""

    BAD_INHERENT = auto()
    """An inherent is unknown, malformed, repeated or refused."""

    BAD_EXTRINSIC = auto()
    """An extrinsic is not valid where it stands."""

    BAD_STATE_ROOT = auto()
    """The header commits to another state; the node compares, for it keeps the tree."""

    BAD_EVENTS_ROOT = auto()
    """The header commits to other results or events."""

    BAD_NEXT_SET = auto()
    """The header commits to another next committee, or to one where there is none, or to none."""


class InvalidBlock(Exception):
    """The block is invalid on every machine and for ever."""

    def __init__(self, rejection: Rejection) -> None:
        """`rejection` is all that there is to say."""
        super().__init__(rejection.name)
        self.rejection = rejection


class Unable(Exception):
    """This machine could not tell: a worker crashed, memory ran out, a model is missing. Try again later."""


class NotHere(Unable):
    """A model is missing, which this machine knew at once: nothing else that it could run is in doubt."""


class InvalidQuery(ValueError):
    """A view does not exist, or not with these arguments; the message says which."""
