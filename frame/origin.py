"""Who a call acts for."""

from msgspec import Struct

from frame.error import DispatchError
from primitives.types import AccountId


class Signed(Struct, frozen=True, gc=False):
    """An account signed the extrinsic."""

    account: AccountId


class Root(Struct, frozen=True, gc=False):
    """The chain itself, such as an enacted proposal."""


class Nobody(Struct, frozen=True, gc=False):
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
