"""Options that many commands share, so that they are spelled and explained alike."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_RPC: Final = "http://127.0.0.1:9944"
"""Where `consil node run` answers unless told otherwise."""

DEFAULT_KEYSTORE: Final = Path("~/.consilience/keys")
"""Where a user's own keys are kept; a node has its keystore under its base path."""

DEFAULT_BELIEFS: Final = Path("~/.consilience/light")
"""Where light clients keep what they believe, a file for each chain."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Rpc = Annotated[str, typer.Option("--rpc", metavar="URL", help="The node to ask.")]
KeystoreDirectory = Annotated[
    Path, typer.Option("--keystore", metavar="DIR", help="Where named keys are kept.")
]
ChainOption = Annotated[
    str, typer.Option("--chain", help="The chain: dev, local, or the file of its specification.")
]
BeliefDirectory = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where beliefs are kept.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

ACCOUNT_HELP: Final = "An address, //Alice, 0x and 64 digits, or a name in the keystore."
SIGNER_HELP: Final = "Whose key signs: //Alice, or a name in the keystore."
AMOUNT_HELP: Final = "In tokens (1.5 or '1.5 CNS'), or in the smallest unit ('1500000000 plank')."


def command_group() -> typer.Typer:
    """An empty group of commands whose help is plain text, as that of `consil` is."""
    return typer.Typer(rich_markup_mode=None)


def examples(*lines: str) -> str:
    """The end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
