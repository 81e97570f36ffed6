"""Calls, inherents and views: the methods of a pallet that are reached from outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast, get_type_hints

from frame.origin import Origin
from frame.storage import array_codec
from frame.weight import CallClass, Weight
from primitives.codec import Codec

if TYPE_CHECKING:
    from frame.pallet import Pallet

P = ParamSpec("P")
R = TypeVar("R")
PalletT = TypeVar("PalletT", bound="Pallet")
Method = Callable[Concatenate[PalletT, Origin, P], None]

CallWeight = Weight | Callable[..., Weight]
"""A constant, or a function of the call's arguments."""

_DECLARATION: Final = "__declaration__"


@dataclass(frozen=True)
class CallDeclaration:
    """One `@call` or `@inherent`."""

    name: str
    index: int
    call_class: CallClass
    is_inherent: bool
    weight: CallWeight
    parameters: dict[str, Any]
    """Name to type, in order, without the origin."""

    docs: str
    arguments: Codec[Sequence[Any]]
    """The canonical array of the arguments."""

    def weigh(self, arguments: Sequence[Any]) -> Weight:
        """The weight of the call with these arguments, without that of the calls among them."""
        return self.weight if isinstance(self.weight, Weight) else self.weight(*arguments)


@dataclass(frozen=True)
class ViewDeclaration:
    """One `@view`."""

    name: str
    parameters: dict[str, Any]
    returns: Any
    docs: str
    arguments: Codec[Sequence[Any]]
    result: Codec[Any]


def call(
    *, index: int, weight: CallWeight, call_class: CallClass = CallClass.NORMAL
) -> Callable[[Method[PalletT, P]], Method[PalletT, P]]:
    """A method that accounts call, directly or through other calls. Runs in a storage transaction."""
    return _declare(index, weight, call_class, is_inherent=False)


def inherent(*, index: int, weight: CallWeight) -> Callable[[Method[PalletT, P]], Method[PalletT, P]]:
    """A method that a block's author calls without a signer; what it refuses makes the block invalid.

    Shares the indices of the pallet's calls.
    """
    return _declare(index, weight, CallClass.MANDATORY, is_inherent=True)


def view(method: Callable[Concatenate[PalletT, P], R]) -> Callable[Concatenate[PalletT, P], R]:
    """A read-only method for the outside world, reached as `pallet.method`."""
    hints = get_type_hints(method, include_extras=True)
    returns = hints.pop("return")
    declaration = ViewDeclaration(
        method.__name__,
        hints,
        returns,
        method.__doc__ or "",
        array_codec(tuple(hints.values())),
        Codec(returns),
    )
    setattr(method, _DECLARATION, declaration)
    return method


def declaration_of(member: object) -> CallDeclaration | ViewDeclaration | None:
    """What a decorator above noted on a member of a pallet's class."""
    declaration = getattr(member, _DECLARATION, None)
    return declaration if isinstance(declaration, CallDeclaration | ViewDeclaration) else None


def _declare(
    index: int, weight: CallWeight, call_class: CallClass, is_inherent: bool
) -> Callable[[Method[PalletT, P]], Method[PalletT, P]]:
    def decorate(method: Method[PalletT, P]) -> Method[PalletT, P]:
        hints = get_type_hints(method, include_extras=True)
        del hints["return"], hints["origin"]

        @wraps(method)
        def transactional(self: PalletT, origin: Origin, *args: P.args, **kwargs: P.kwargs) -> None:
            transaction = self.context.begin()
            try:
                method(self, origin, *args, **kwargs)
            except BaseException:
                self.context.rollback(transaction)
                raise

        declaration = CallDeclaration(
            name=method.__name__,
            index=index,
            call_class=call_class,
            is_inherent=is_inherent,
            weight=weight,
            parameters=hints,
            docs=method.__doc__ or "",
            arguments=array_codec(tuple(hints.values())),
        )
        setattr(transactional, _DECLARATION, declaration)
        return cast(Method[PalletT, P], transactional)

    return decorate
