"""What the commands of `consil testnet` share: opening a network, and telling refusals and results."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import typer

from cli.errors import UserError
from cli.output import print_json, print_line
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet

T = TypeVar("T")

Directory = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Everything of the network is in it.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="A name from `consil testnet status`.")]


def open_network(directory: Path) -> Testnet:
    """The network in `directory`. Raises UserError if there is none."""
    return attempt(lambda: Testnet.open(directory))


def attempt(action: Callable[[], T]) -> T:
    """The result of `action`; what the network refuses is told to the user."""
    try:
        return action()
    except TestnetError as error:
        raise UserError(str(error)) from None


def say(document: Any, text: str, as_json: bool) -> None:
    """The result of a command: one document, or one line."""
    if as_json:
        print_json(document)
    else:
        print_line(text)


def stop_on_signals() -> None:
    """A closed terminal and a polite kill are answered as Ctrl-C is."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
