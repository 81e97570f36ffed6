"""The base of every pallet."""

from typing import Any, ClassVar

from frame.call import CallDeclaration, ViewDeclaration, declaration_of
from frame.context import Context
from frame.error import DispatchError
from frame.event import Event
from frame.storage import StorageItem
from primitives.codec import Codec
from primitives.outcome import EventRecord


class Pallet:
    """One concern of the chain: its storage, calls, events, errors, views, hooks and invariants.

    Declarations are read when the class is made. A pallet object lives as long as one block, so that plain
    attributes may hold what a block does not leave behind.
    """

    NAME: ClassVar[str]
    """Lower case; names the pallet in storage keys, outcomes, chain specifications and commands."""

    EVENTS: ClassVar[tuple[type[Event], ...]] = ()
    ERRORS: ClassVar[tuple[type[DispatchError], ...]] = ()

    storage: ClassVar[dict[str, StorageItem[Any, Any]]]
    calls: ClassVar[dict[int, CallDeclaration]]
    """Calls and inherents by index."""

    views: ClassVar[dict[str, ViewDeclaration]]
    _event_codecs: ClassVar[dict[type[Event], Codec[Any]]]

    def __init_subclass__(cls) -> None:
        """Collect what the class declares."""
        cls.storage, cls.calls, cls.views = {}, {}, {}
        for name, member in vars(cls).items():
            declaration = declaration_of(member)
            if isinstance(member, StorageItem):
                member.declare(cls.NAME, name)
                cls.storage[name] = member
            elif isinstance(declaration, CallDeclaration):
                assert declaration.index not in cls.calls, f"{cls.NAME}: call index {declaration.index} twice"
                cls.calls[declaration.index] = declaration
            elif isinstance(declaration, ViewDeclaration):
                cls.views[name] = declaration
        for error in cls.ERRORS:
            assert "PALLET" not in vars(error), f"{error.__name__} belongs to {error.PALLET}"
            error.PALLET = cls.NAME
        cls._event_codecs = {event: Codec(event) for event in cls.EVENTS}

    def __init__(self, context: Context) -> None:
        """Bind the storage items to the block's state."""
        self.context = context
        for name, item in self.storage.items():
            setattr(self, name, item.bind(context.overlay))

    def deposit(self, event: Event) -> None:
        """Report `event`, which the pallet lists in EVENTS. Rolled back with the call that reports it."""
        fields = self._event_codecs[type(event)].encode(event)
        self.context.deposit(EventRecord(self.NAME, type(event).__name__, fields))

    def on_initialize(self) -> None:
        """Before the calls of every block, in the order of the runtime."""

    def on_finalize(self) -> None:
        """After the calls of every block, in the order of the runtime."""

    def check_state(self) -> None:
        """Assert what must hold between any two blocks."""
