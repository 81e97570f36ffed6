"""How a bug is planted in the engine, and taken out again.

A mutant replaces one or a few attributes of the real classes and modules while a run lasts; everything else
stays as it is. Each is declared once, next to what it breaks, and nothing but its name switches it on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

Real = Callable[..., Any]
"""What is replaced."""

Declare = Callable[[Real], Real]
Target = tuple[object, str]
"""Class or module, and the name of an attribute."""


class Breaks(Enum):
    """What a mutant puts at risk."""

    SAFETY = "safety"
    """What is final might not stay so, or somebody honest might be convicted."""

    LIVENESS = "liveness"
    """Blocks might become final too late or never, or somebody honest be shunned."""


@dataclass(frozen=True)
class Change:
    """One attribute that a mutant replaces."""

    owner: object
    """Class or module."""

    name: str
    bend: Callable[[Any], Any]
    """From the real attribute to the one that takes its place."""

    @contextmanager
    def made(self) -> Iterator[None]:
        """The attribute is another one for a while."""
        real = vars(self.owner)[self.name]
        setattr(self.owner, self.name, self.bend(real))
        try:
            yield
        finally:
            setattr(self.owner, self.name, real)


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    name: str
    what: str
    """What goes wrong, in one sentence without a subject: the engine's."""

    breaks: Breaks
    changes: tuple[Change, ...]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The engine has this bug for a while."""
        with ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(change.made())
            yield


class Family:
    """Mutants of one kind, in the order in which they are declared."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.mutants: dict[str, Mutant] = {}

    def register(self, name: str, breaks: Breaks, what: str, *changes: Change) -> None:
        """Declare a mutant that a single function cannot express."""
        assert name not in self.mutants, f"two mutants are called {name}"
        self.mutants[name] = Mutant(name, what, breaks, changes)

    def safety(self, what: str, *targets: Target) -> Declare:
        """Declare the decorated function a mutant that breaks safety: it takes the place of each target.

        It is called as the real one would be, with the real one as an additional first argument.
        """
        return partial(self._declare, Breaks.SAFETY, what, targets)

    def liveness(self, what: str, *targets: Target) -> Declare:
        """Declare a mutant that breaks liveness, likewise."""
        return partial(self._declare, Breaks.LIVENESS, what, targets)

    def _declare(self, breaks: Breaks, what: str, targets: Sequence[Target], function: Real) -> Real:
        changes = (instead(owner, name, function) for owner, name in targets)
        self.register(function.__name__, breaks, what, *changes)
        return function


def instead(owner: object, name: str, function: Real) -> Change:
    """A function in place of another, which it is given as its first argument."""

    def bend(real: Real) -> Real:
        def bent(*arguments: Any, **more: Any) -> Any:
            return function(real, *arguments, **more)

        return bent

    return Change(owner, name, bend)


def value(owner: object, name: str, other: object) -> Change:
    """Another constant."""
    return Change(owner, name, lambda _: other)
