"""Who a call acts for."""

from dataclasses import dataclass

from frame.error import DispatchError
from primitives.types import AccountId


@dataclass(frozen=True, slots=True)
class Signed:
    """An account signed the extrinsic."""

    account: AccountId


@dataclass(frozen=True, slots=True)
class Root:
    """The chain itself, such as an enacted proposal."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """An inherent, which the block's author put in."""


Origin = Signed | Root | Nobody


class BadOrigin(DispatchError):
    """The call is not for this kind of origin."""


def ensure_signed(origin: Origin) -> AccountId:
    """The account that signed. Raises BadOrigin if none did."""
    if isinstance(origin, Signed):
        return origin.account
    raise BadOrigin


def ensure_root(origin: Origin) -> None:
    """Raises BadOrigin unless the chain itself calls."""
    if not isinstance(origin, Root):
        raise BadOrigin


def ensure_none(origin: Origin) -> None:
    """Raises BadOrigin unless the call is an inherent."""
    if not isinstance(origin, Nobody):
        raise BadOrigin
